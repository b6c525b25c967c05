/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * directlund: settings in, one event loop, the service on the system bus, and out again when nobody
 * needs it. Owns everything that lives as long as the process. Loop thread only.
 */

#include "bus/bus.h"
#include "config.h"
#include "util/error.h"
#include "util/log.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <systemd/sd-daemon.h>

typedef struct Service {
        const DlSettings *settings;
        sd_event *event;
        sd_bus *connection;
        DlBus *bus;
        sd_event_source *idle_timer;
        sd_event_source *leaving; /* the name is released; what came before is still answered */
} Service;

/* ---- leaving when idle --------------------------------------------------------------------- */

static int on_drained(sd_event_source *source, void *userdata)
{
        Service *service = userdata;

        return dl_bus_has_no_calls(service->bus) ? sd_event_exit(service->event, 0) : 0;
}

/*
 * The bus answers in order: every call that it passed on before it took the name from us is in our
 * queue ahead of this reply, and every later one starts the service anew. So once the calls that
 * are here are answered, none is lost.
 */
static int on_name_released(sd_bus_message *reply, void *userdata, sd_bus_error *ret_error)
{
        Service *service = userdata;
        int r;

        dl_debug("idle: the name is released");
        if (dl_bus_has_no_calls(service->bus))
                return sd_event_exit(service->event, 0);
        /* Runs after each later event; with no call there might not be one. */
        r = sd_event_add_post(service->event, &service->leaving, on_drained, service);
        return r < 0 ? sd_event_exit(service->event, r) : 0;
}

static int leave(Service *service)
{
        service->idle_timer = sd_event_source_disable_unref(service->idle_timer);
        /* First of all, so that the service manager queues a new start behind our end. */
        (void)sd_notify(false, "STOPPING=1");
        return sd_bus_release_name_async(service->connection, NULL, DL_BUS_NAME, on_name_released,
                                         service);
}

static int on_idle_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
        Service *service = userdata;
        uint64_t now, next;
        int r;

        r = sd_event_now(service->event, CLOCK_MONOTONIC, &now);
        if (r < 0)
                return r;
        next = dl_bus_last_call_usec(service->bus) + service->settings->idle_exit_usec;
        if (next <= now) {
                if (dl_bus_is_idle(service->bus))
                        return leave(service);
                next = now + service->settings->idle_exit_usec;
        }
        r = sd_event_source_set_time(source, next);
        return r < 0 ? r : sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

static int start_idle_timer(Service *service)
{
        if (service->settings->idle_exit_usec == 0)
                return 0;
        return sd_event_add_time_relative(service->event, &service->idle_timer, CLOCK_MONOTONIC,
                                          service->settings->idle_exit_usec,
                                          service->settings->idle_exit_usec / 10 + 1, on_idle_timer,
                                          service);
}

/* ---- the start ----------------------------------------------------------------------------- */

static int on_name(sd_bus_message *reply, void *userdata, sd_bus_error *ret_error)
{
        Service *service = userdata;
        const sd_bus_error *e = sd_bus_message_get_error(reply);
        uint32_t result = 0;
        int r;

        if (!e)
                (void)sd_bus_message_read_basic(reply, 'u', &result);
        if (result != 1) { /* DBUS_REQUEST_NAME_REPLY_PRIMARY_OWNER */
                dl_err("cannot take the name " DL_BUS_NAME ": %s",
                       e ? e->message : "it is owned by another process");
                return sd_event_exit(service->event, 1);
        }
        (void)sd_notify(false, "READY=1");
        dl_debug("ready");
        r = start_idle_timer(service);
        return r < 0 ? sd_event_exit(service->event, r) : 0;
}

static void on_ready(void *userdata)
{
        Service *service = userdata;
        int r;

        r = sd_bus_request_name_async(service->connection, NULL, DL_BUS_NAME, 0, on_name, service);
        if (r < 0) {
                dl_err("cannot ask for the name " DL_BUS_NAME ": %s", g_strerror(-r));
                (void)sd_event_exit(service->event, r);
        }
}

static int open_loop(Service *service)
{
        static const int signals[] = {SIGTERM, SIGINT};
        sigset_t blocked;
        int r;

        sigemptyset(&blocked);
        for (unsigned i = 0; i < G_N_ELEMENTS(signals); i++)
                sigaddset(&blocked, signals[i]);
        r = -pthread_sigmask(SIG_BLOCK, &blocked, NULL); /* before there are other threads */
        if (r >= 0)
                r = sd_event_default(&service->event);
        for (unsigned i = 0; r >= 0 && i < G_N_ELEMENTS(signals); i++)
                r = sd_event_add_signal(service->event, NULL, signals[i], NULL, NULL); /* exits */
        return r < 0 ? r : sd_event_set_watchdog(service->event, true);
}

static int open_bus(Service *service)
{
        int r;

        r = sd_bus_open_system_with_description(&service->connection, "directlund");
        if (r >= 0)
                r = sd_bus_attach_event(service->connection, service->event,
                                        SD_EVENT_PRIORITY_NORMAL);
        return r < 0 ? r : sd_bus_set_exit_on_disconnect(service->connection, true);
}

/* Returns an exit status. */
static int serve(Service *service)
{
        g_autoptr(GError) error = NULL;
        int r;

        r = open_loop(service);
        if (r >= 0)
                r = open_bus(service);
        if (r < 0) {
                dl_err("cannot connect to the system bus: %s", g_strerror(-r));
                return EXIT_FAILURE;
        }
        service->bus = dl_bus_new(service->event, service->connection, service->settings, on_ready,
                                  service, &error);
        if (!service->bus) {
                dl_err("cannot start: %s", error->message);
                /* Trying again at once does not help: the service manager is told not to. */
                return dl_error_code(error) == DL_ERROR_ENGINE_UNAVAILABLE ? EX_CONFIG
                                                                           : EXIT_FAILURE;
        }
        r = sd_event_loop(service->event);
        (void)sd_notify(false, "STOPPING=1");
        return r == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

static void close_all(Service *service)
{
        sd_event_source_disable_unref(service->idle_timer);
        sd_event_source_disable_unref(service->leaving);
        dl_bus_free(service->bus);
        sd_bus_flush_close_unref(service->connection);
        sd_event_unref(service->event);
}

/* ---- the process --------------------------------------------------------------------------- */

/* Secrets are in our memory: no dumps of it, and nobody looks into it. (The leak checker of debug
 * builds has to.) */
static void protect_memory(void)
{
#ifndef __SANITIZE_ADDRESS__
        (void)setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
#endif
}

static DlSettings *load_settings(void)
{
        g_autoptr(GPtrArray) warnings = NULL;
        DlSettings *settings = dl_settings_load(NULL, &warnings);

        dl_log_set_max_level(settings->log_level);
        for (unsigned i = 0; i < warnings->len; i++)
                dl_warning("%s", (const char *)warnings->pdata[i]);
        return settings;
}

/* Returns an exit status, or -1 to go on. */
static int parse_command_line(int argc, char **argv)
{
        static const struct option options[] = {
                {"help", no_argument, NULL, 'h'},
                {"version", no_argument, NULL, 'V'},
                {},
        };

        for (;;)
                switch (getopt_long(argc, argv, "hV", options, NULL)) {
                case 'h':
                        printf("Usage: %s [OPTION]\n\n"
                               "Gives block devices to virtual machines by their GUID. Started by "
                               "D-Bus and\nsystemd when somebody calls " DL_BUS_NAME ".\n\n"
                               "  -h, --help     this text\n"
                               "  -V, --version  the version\n\n"
                               "Settings: %s\n",
                               argv[0], dl_settings_path());
                        return 0;
                case 'V':
                        printf("directlund %s\n", DL_VERSION);
                        return 0;
                case -1:
                        if (optind == argc)
                                return -1;
                        fprintf(stderr, "%s: unexpected argument '%s'\n", argv[0], argv[optind]);
                        return 2;
                default:
                        return 2;
                }
}

int main(int argc, char **argv)
{
        g_autoptr(DlSettings) settings = NULL;
        Service service = {};
        int r;

        r = parse_command_line(argc, argv);
        if (r >= 0)
                return r;
        protect_memory();
        dl_log_open();
        settings = load_settings();
        service.settings = settings;
        r = serve(&service);
        close_all(&service);
        return r;
}
