/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A call of the service: its message, and the wait for its end, in which Ctrl-C cancels the job. A
 * CtlCall owns its message and, while it runs, its event sources. One thread.
 */

#include "directlunctl/agent.h"
#include "directlunctl/job-watch.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

/* The service ends a job in time by itself; these are for a service that does not answer at all. */
#define ASK_USEC                                                                                   \
        (120 * UINT64_C(1000000)) /* it may have to start, or somebody to type a password */
#define GRACE_USEC (60 * UINT64_C(1000000)) /* after the job's own deadline */
#define LONG_USEC  (3600 * UINT64_C(1000000))

/* How long a job may be under way when it is to be cancelled before anything is known of it. */
#define APPEAR_USEC (1 * UINT64_C(1000000))

struct CtlCall {
        Ctl *ctl;
        sd_bus_message *message;
        int r; /* the first thing that went wrong with the message */
        char *token;

        CtlJobWatch *watch;
        sd_event_source *interrupt, *terminate, *give_up;
        sd_bus_slot *pending, *cancel;
        sd_bus_message *reply;
        unsigned interrupts;
        bool over;
};

/* ---- the connection ------------------------------------------------------------------------ */

bool ctl_connect(Ctl *ctl, GError **error)
{
        int r;

        if (ctl->bus)
                return true;
        r = sd_event_new(&ctl->event);
        if (r >= 0)
                r = sd_bus_open_system(&ctl->bus);
        if (r >= 0)
                r = sd_bus_set_allow_interactive_authorization(ctl->bus, ctl->ask_password);
        if (r >= 0)
                r = sd_bus_attach_event(ctl->bus, ctl->event, SD_EVENT_PRIORITY_NORMAL);
        if (r >= 0)
                return true;
        g_set_error(error, CTL_ERROR, CTL_ERROR_SERVICE, "cannot connect to the system bus: %s",
                    g_strerror(-r));
        return false;
}

bool ctl_read_ok(int r, GError **error)
{
        if (r >= 0)
                return true;
        g_set_error(error, DL_ERROR, DL_ERROR_FAILED, "the service cannot be understood: %s",
                    g_strerror(-r));
        return false;
}

static char *full_interface(const char *interface)
{
        return strchr(interface, '.') ? g_strdup(interface)
                                      : g_strconcat(CTL_SERVICE ".", interface, NULL);
}

sd_bus_message *ctl_ask(Ctl *ctl, const char *path, const char *interface, const char *method,
                        GError **error, const char *types, ...)
{
        sd_bus_error e = SD_BUS_ERROR_NULL;
        g_autoptr(sd_bus_message) m = NULL;
        g_autofree char *name = full_interface(interface);
        sd_bus_message *reply = NULL;
        va_list ap;
        int r;

        if (!ctl_connect(ctl, error))
                return NULL;
        r = sd_bus_message_new_method_call(ctl->bus, &m, CTL_SERVICE, path, name, method);
        va_start(ap, types);
        if (r >= 0 && *types)
                r = sd_bus_message_appendv(m, types, ap);
        va_end(ap);
        if (r < 0) {
                g_set_error(error, DL_ERROR, DL_ERROR_INVALID_ARGS,
                            "an argument cannot be sent: %s", g_strerror(-r));
                return NULL;
        }
        r = sd_bus_call(ctl->bus, m,
                        ctl->timeout_msec ? ctl->timeout_msec * UINT64_C(1000) : ASK_USEC, &e,
                        &reply);
        if (r >= 0)
                return reply;
        g_propagate_error(error, ctl_error_from_bus(e.name, e.message));
        sd_bus_error_free(&e);
        return NULL;
}

/* ---- the message --------------------------------------------------------------------------- */

static char *random_token(void)
{
        uint64_t number[2];

        if (getrandom(number, sizeof number, 0) != sizeof number)
                number[0] = (uint64_t)
                        g_get_monotonic_time(); /* the pid makes it ours all the same */
        return g_strdup_printf("directlunctl-%d-%016" G_GINT64_MODIFIER "x", getpid(), number[0]);
}

CtlCall *ctl_call_new(Ctl *ctl, const char *path, const char *interface, const char *method,
                      GError **error)
{
        g_autofree char *name = full_interface(interface);
        CtlCall *call;

        if (!ctl_connect(ctl, error))
                return NULL;
        call = g_new0(CtlCall, 1);
        call->ctl = ctl;
        call->token = random_token();
        call->r = sd_bus_message_new_method_call(ctl->bus, &call->message, CTL_SERVICE, path, name,
                                                 method);
        return call;
}

void ctl_call_free(CtlCall *call)
{
        if (!call)
                return;
        sd_event_source_disable_unref(call->interrupt);
        sd_event_source_disable_unref(call->terminate);
        sd_event_source_disable_unref(call->give_up);
        sd_bus_slot_unref(call->pending);
        sd_bus_slot_unref(call->cancel);
        ctl_job_watch_free(call->watch);
        sd_bus_message_unref(call->reply);
        sd_bus_message_unref(call->message);
        g_free(call->token);
        g_free(call);
}

static void appendv(CtlCall *call, const char *types, va_list ap)
{
        if (call->r >= 0)
                call->r = sd_bus_message_appendv(call->message, types, ap);
}

void ctl_call_append(CtlCall *call, const char *types, ...)
{
        va_list ap;

        va_start(ap, types);
        appendv(call, types, ap);
        va_end(ap);
}

void ctl_call_strings(CtlCall *call, const char *const *strings)
{
        if (call->r >= 0)
                call->r = sd_bus_message_append_strv(call->message, (char **)strings);
}

static void open_container(CtlCall *call, char type, const char *contents)
{
        if (call->r >= 0)
                call->r = sd_bus_message_open_container(call->message, type, contents);
}

static void close_container(CtlCall *call)
{
        if (call->r >= 0)
                call->r = sd_bus_message_close_container(call->message);
}

static void open_entry(CtlCall *call, const char *name, const char *type)
{
        open_container(call, 'e', "sv");
        ctl_call_append(call, "s", name);
        open_container(call, 'v', type);
}

static void close_entry(CtlCall *call)
{
        close_container(call);
        close_container(call);
}

void ctl_call_open(CtlCall *call)
{
        open_container(call, 'a', "{sv}");
}

void ctl_call_close(CtlCall *call)
{
        close_container(call);
}

void ctl_call_entry(CtlCall *call, const char *name, const char *type, ...)
{
        va_list ap;

        open_entry(call, name, type);
        va_start(ap, type);
        appendv(call, type, ap);
        va_end(ap);
        close_entry(call);
}

void ctl_call_entry_strings(CtlCall *call, const char *name, const char *const *strings)
{
        open_entry(call, name, "as");
        ctl_call_strings(call, strings);
        close_entry(call);
}

void ctl_call_entry_pairs(CtlCall *call, const char *name, const char *const *pairs)
{
        open_entry(call, name, "a{ss}");
        open_container(call, 'a', "{ss}");
        for (; pairs[0]; pairs += 2)
                ctl_call_append(call, "{ss}", pairs[0], pairs[1]);
        close_container(call);
        close_entry(call);
}

void ctl_call_entry_open(CtlCall *call, const char *name)
{
        open_entry(call, name, "a{sv}");
        ctl_call_open(call);
}

void ctl_call_entry_close(CtlCall *call)
{
        ctl_call_close(call);
        close_entry(call);
}

/* ---- Ctrl-C -------------------------------------------------------------------------------- */

static int on_cancel_answered(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
        CtlCall *call = userdata;
        const sd_bus_error *e = sd_bus_message_get_error(m);

        if (e) {
                ctl_job_watch_clear_line(call->watch);
                ctl_note(call->ctl, "It goes on, Ctrl-C leaves it alone: %s",
                         e->message ? e->message : e->name);
        }
        return 0;
}

static void cancel_job(CtlCall *call)
{
        if (!call->cancel)
                (void)sd_bus_call_method_async(call->ctl->bus, &call->cancel, CTL_SERVICE,
                                               ctl_job_watch_path(call->watch), CTL_SERVICE ".Job",
                                               "Cancel", on_cancel_answered, call, "a{sv}", 0);
}

static void on_job_found(void *userdata)
{
        CtlCall *call = userdata;

        if (call->interrupts > 0)
                cancel_job(call);
}

/* There is no job, so nothing was begun; the service drops a call whose caller is gone. */
static int on_give_up(sd_event_source *source, uint64_t usec, void *userdata)
{
        CtlCall *call = userdata;

        call->over = !ctl_job_watch_path(call->watch);
        return 0;
}

static int on_signal(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata)
{
        CtlCall *call = userdata;

        if (++call->interrupts > 1) {
                call->over = true;
                return 0;
        }
        ctl_job_watch_clear_line(call->watch);
        ctl_note(call->ctl, "Cancelling; Ctrl-C leaves at once");
        if (ctl_job_watch_path(call->watch))
                cancel_job(call);
        else
                (void)sd_event_add_time_relative(call->ctl->event, &call->give_up, CLOCK_MONOTONIC,
                                                 APPEAR_USEC, 0, on_give_up, call);
        return 0;
}

/* ---- running ------------------------------------------------------------------------------- */

static int on_reply(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
        CtlCall *call = userdata;

        call->reply = sd_bus_message_ref(m);
        call->over = true;
        return 0;
}

static void add_common_options(CtlCall *call)
{
        Ctl *ctl = call->ctl;

        ctl_call_entry(call, "job-token", "s", call->token);
        if (ctl->timeout_msec > 0)
                ctl_call_entry(call, "timeout-ms", "u", ctl->timeout_msec);
        if (ctl->force)
                ctl_call_entry(call, "force", "b", 1);
        if (ctl->dry_run)
                ctl_call_entry(call, "dry-run", "b", 1);
        ctl_call_close(call);
}

static int wait_for_end(CtlCall *call, const sigset_t *signals)
{
        Ctl *ctl = call->ctl;
        uint64_t timeout = ctl->timeout_msec ? ctl->timeout_msec * UINT64_C(1000) + GRACE_USEC
                                             : LONG_USEC;
        sigset_t old;
        int r;

        sigprocmask(SIG_BLOCK, signals, &old);
        r = sd_event_add_signal(ctl->event, &call->interrupt, SIGINT, on_signal, call);
        if (r >= 0)
                r = sd_event_add_signal(ctl->event, &call->terminate, SIGTERM, on_signal, call);
        if (r >= 0)
                r = sd_bus_call_async(ctl->bus, &call->pending, call->message, on_reply, call,
                                      timeout);
        while (r >= 0 && !call->over)
                r = sd_event_run(ctl->event, UINT64_MAX);
        call->interrupt = sd_event_source_disable_unref(call->interrupt);
        call->terminate = sd_event_source_disable_unref(call->terminate);
        sigprocmask(SIG_SETMASK, &old, NULL);
        ctl_job_watch_clear_line(call->watch);
        return r;
}

/* What came of it; NULL: all is well. */
static GError *outcome(CtlCall *call)
{
        const sd_bus_error *e = call->reply ? sd_bus_message_get_error(call->reply) : NULL;
        const char *path = ctl_job_watch_path(call->watch);

        if (e)
                return ctl_error_from_bus(e->name, e->message);
        if (call->reply)
                return NULL;
        if (call->interrupts > 1)
                return path ? g_error_new(CTL_ERROR, CTL_ERROR_INTERRUPTED,
                                          "left; job %s goes on, see 'directlunctl jobs'",
                                          strrchr(path, '/') + 1)
                            : g_error_new(CTL_ERROR, CTL_ERROR_INTERRUPTED, "left");
        return g_error_new(DL_ERROR, DL_ERROR_CANCELLED, "cancelled before anything was done");
}

void ctl_call_tell_report(CtlCall *call)
{
        ctl_job_watch_tell_report(call->watch);
}

sd_bus_message *ctl_call_run(CtlCall *call, GError **error)
{
        GError *failure;
        sigset_t signals;
        int r;

        add_common_options(call);
        if (call->r < 0) {
                g_set_error(error, DL_ERROR, DL_ERROR_INVALID_ARGS,
                            "an argument cannot be sent: %s", g_strerror(-call->r));
                return NULL;
        }
        call->watch = ctl_job_watch_new(call->ctl, call->token, on_job_found, call, error);
        if (!call->watch)
                return NULL;
        ctl_agent_open(call->ctl);
        sigemptyset(&signals);
        sigaddset(&signals, SIGINT);
        sigaddset(&signals, SIGTERM);
        r = wait_for_end(call, &signals);
        if (r < 0) {
                g_set_error(error, CTL_ERROR, CTL_ERROR_SERVICE,
                            "the connection to the bus is lost: %s", g_strerror(-r));
                return NULL;
        }
        failure = outcome(call);
        if (failure) {
                if (dl_error_code(failure) == DL_ERROR_CANCELLED && ctl_job_watch_path(call->watch))
                        ctl_note(call->ctl, "What was done is rolled back.");
                ctl_call_tell_report(call);
                g_propagate_error(error, failure);
                return NULL;
        }
        if (call->ctl->dry_run) {
                ctl_job_watch_tell_plan(call->watch);
                g_set_error(error, CTL_ERROR, CTL_ERROR_DRY_RUN, "a dry run");
                return NULL;
        }
        return sd_bus_message_ref(call->reply);
}
