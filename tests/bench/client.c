/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A client of the service on the system bus that does one thing and prints how long it took, as one
 * line of JSON; times are milliseconds until the reply was here.
 *
 *     client list ADDRESS PORT    discovery, Connect to all targets found, GetDeviceList
 *     client devices              GetDeviceList
 *     client objects              GetManagedObjects
 *     client forget               forgets all targets
 *     client first                one property, which starts the service if need be
 *     client follow COUNT         says "ready"; until so many objects came or went, and then no
 *                                 signal for a while: when the last was (by the monotonic clock)
 *     client method PATH INTERFACE METHOD   takes options only; times of the job's phases too
 *
 * Calls are in flight side by side, as many as the service takes from one client. One thread.
 */

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-bus.h>
#include <time.h>

#define SERVICE "org.ovirt.DirectLun"
#define ROOT    "/org/ovirt/DirectLun"
#define MANAGER SERVICE ".Manager"
#define FLIGHT  64 /* JobsPerClientMax */
#define TIMEOUT (UINT64_C(300) * 1000000)
#define MARKS   64
#define QUIET   (500 * 1000) /* microseconds */

static sd_bus *bus;
static unsigned in_flight;

static double now(void)
{
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static int must(int r, const char *what, const sd_bus_error *error)
{
        if (r >= 0)
                return r;
        fprintf(stderr, "%s: %s\n", what, error && error->message ? error->message : strerror(-r));
        exit(1);
}

static void process(void)
{
        int r = must(sd_bus_process(bus, NULL), "bus", NULL);

        if (r == 0)
                must(sd_bus_wait(bus, TIMEOUT), "bus", NULL);
}

static sd_bus_message *new_call(const char *path, const char *interface, const char *method)
{
        sd_bus_message *m;

        must(sd_bus_message_new_method_call(bus, &m, SERVICE, path, interface, method), method,
             NULL);
        return m;
}

static sd_bus_message *call(sd_bus_message *m)
{
        sd_bus_error error = SD_BUS_ERROR_NULL;
        sd_bus_message *reply;

        must(sd_bus_call(bus, m, TIMEOUT, &error, &reply), sd_bus_message_get_member(m), &error);
        sd_bus_message_unref(m);
        return reply;
}

static sd_bus_message *call_with_options(const char *path, const char *interface,
                                         const char *method)
{
        sd_bus_message *m = new_call(path, interface, method);

        must(sd_bus_message_append(m, "a{sv}", 0), method, NULL);
        return call(m);
}

static unsigned count(sd_bus_message *m, const char *container)
{
        unsigned n = 0;

        must(sd_bus_message_enter_container(m, 'a', container), "reply", NULL);
        while (must(sd_bus_message_skip(m, container), "reply", NULL) > 0) {
                n++;
                if (must(sd_bus_message_at_end(m, false), "reply", NULL))
                        break;
        }
        return n;
}

/* ---- many at a time ------------------------------------------------------------------------ */

static int on_reply(sd_bus_message *reply, void *userdata, sd_bus_error *error)
{
        const sd_bus_error *e = sd_bus_message_get_error(reply);

        if (e)
                must(-EIO, userdata, e);
        in_flight--;
        return 0;
}

static void call_all(char **paths, const char *method)
{
        for (; *paths || in_flight > 0; process())
                for (; *paths && in_flight < FLIGHT; paths++, in_flight++)
                        must(sd_bus_call_method_async(bus, NULL, SERVICE, *paths, SERVICE ".Target",
                                                      method, on_reply, (void *)method, "a{sv}", 0),
                             method, NULL);
}

/* ---- what it can do ------------------------------------------------------------------------ */

static void list(const char *address, const char *port)
{
        double start = now(), discovered, connected, listed;
        sd_bus_message *m = new_call(ROOT, MANAGER, "DiscoverTargets"), *reply;
        char **targets;
        unsigned n = 0;

        must(sd_bus_message_append(m, "sqa{sv}", address, atoi(port), 0), "call", NULL);
        reply = call(m);
        must(sd_bus_message_enter_container(reply, 'a', "o"), "reply", NULL);
        targets = calloc(1, sizeof *targets);
        for (const char *path; must(sd_bus_message_read(reply, "o", &path), "reply", NULL) > 0;) {
                targets = realloc(targets, (n + 2) * sizeof *targets);
                targets[n++] = strdup(path);
                targets[n] = NULL;
        }
        discovered = now();
        call_all(targets, "Connect");
        connected = now();
        reply = call_with_options(ROOT, MANAGER, "GetDeviceList");
        listed = now();
        printf("{\"targets\": %u, \"discover\": %.3f, \"connect\": %.3f, \"list\": %.3f, "
               "\"total\": %.3f, \"luns\": %u}\n",
               n, discovered - start, connected - discovered, listed - connected, listed - start,
               count(reply, "a{sv}"));
}

static void devices(void)
{
        double start = now(), end;
        sd_bus_message *reply = call_with_options(ROOT, MANAGER, "GetDeviceList");

        end = now();
        printf("{\"ms\": %.3f, \"count\": %u}\n", end - start, count(reply, "a{sv}"));
}

static void objects(void)
{
        double start = now(), end;
        sd_bus_message *reply = call(
                new_call(ROOT, "org.freedesktop.DBus.ObjectManager", "GetManagedObjects"));

        end = now();
        printf("{\"ms\": %.3f, \"count\": %u}\n", end - start, count(reply, "{oa{sa{sv}}}"));
}

static char **target_paths(void)
{
        sd_bus_message *reply = call(
                new_call(ROOT, "org.freedesktop.DBus.ObjectManager", "GetManagedObjects"));
        char **paths = calloc(1, sizeof *paths);
        const char *path;
        unsigned n = 0;

        must(sd_bus_message_enter_container(reply, 'a', "{oa{sa{sv}}}"), "reply", NULL);
        while (must(sd_bus_message_enter_container(reply, 'e', "oa{sa{sv}}"), "reply", NULL) > 0) {
                must(sd_bus_message_read(reply, "o", &path), "reply", NULL);
                must(sd_bus_message_skip(reply, "a{sa{sv}}"), "reply", NULL);
                must(sd_bus_message_exit_container(reply), "reply", NULL);
                if (strncmp(path, ROOT "/targets/", strlen(ROOT "/targets/")) != 0)
                        continue;
                paths = realloc(paths, (n + 2) * sizeof *paths);
                paths[n++] = strdup(path);
                paths[n] = NULL;
        }
        return paths;
}

static void forget(void)
{
        char **paths = target_paths();
        double start = now();

        call_all(paths, "Unmanage");
        call_all(paths, "Forget");
        printf("{\"ms\": %.3f}\n", now() - start);
}

static void first(void)
{
        sd_bus_error error = SD_BUS_ERROR_NULL;
        double start = now();
        char *version;

        must(sd_bus_get_property_string(bus, SERVICE, ROOT, MANAGER, "Version", &error, &version),
             "Version", &error);
        printf("{\"ms\": %.3f}\n", now() - start);
}

/* ---- one call, and the phases of its job --------------------------------------------------- */

static struct {
        char *phase;
        double at;
} marks[MARKS];
static unsigned n_marks;

static int on_changed(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        const char *interface, *name, *phase;
        double at = now();

        must(sd_bus_message_read(m, "s", &interface), "signal", NULL);
        if (strcmp(interface, SERVICE ".Job") != 0)
                return 0;
        must(sd_bus_message_enter_container(m, 'a', "{sv}"), "signal", NULL);
        while (must(sd_bus_message_enter_container(m, 'e', "sv"), "signal", NULL) > 0) {
                must(sd_bus_message_read(m, "s", &name), "signal", NULL);
                if (strcmp(name, "Phase") == 0 && n_marks < MARKS) {
                        must(sd_bus_message_read(m, "v", "s", &phase), "signal", NULL);
                        marks[n_marks].phase = strdup(phase);
                        marks[n_marks++].at = at;
                } else {
                        must(sd_bus_message_skip(m, "v"), "signal", NULL);
                }
                must(sd_bus_message_exit_container(m), "signal", NULL);
        }
        return 0;
}

static void method(const char *path, const char *interface, const char *name)
{
        double start;

        must(sd_bus_match_signal(bus, NULL, SERVICE, NULL, "org.freedesktop.DBus.Properties",
                                 "PropertiesChanged", on_changed, NULL),
             "match", NULL);
        start = now();
        must(sd_bus_call_method_async(bus, NULL, SERVICE, path, interface, name, on_reply,
                                      (void *)name, "a{sv}", 0),
             name, NULL);
        for (in_flight = 1; in_flight > 0;)
                process();
        printf("{\"ms\": %.3f, \"phases\": [", now() - start);
        for (unsigned i = 0; i < n_marks; i++)
                printf("%s[\"%s\", %.3f]", i ? ", " : "", marks[i].phase, marks[i].at - start);
        printf("]}\n");
}

/* ---- what others do ------------------------------------------------------------------------ */

static struct {
        unsigned added, removed, changed;
        double last;
} seen;

static int on_signal(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        const char *member = sd_bus_message_get_member(m);

        seen.last = now();
        seen.added += strcmp(member, "InterfacesAdded") == 0;
        seen.removed += strcmp(member, "InterfacesRemoved") == 0;
        seen.changed += strcmp(member, "PropertiesChanged") == 0;
        return 0;
}

static void follow(unsigned expected)
{
        must(sd_bus_match_signal(bus, NULL, SERVICE, NULL, NULL, NULL, on_signal, NULL), "match",
             NULL);
        puts("ready");
        fflush(stdout);
        while (seen.added + seen.removed < expected || now() - seen.last < QUIET / 1e3)
                if (must(sd_bus_process(bus, NULL), "bus", NULL) == 0)
                        must(sd_bus_wait(bus, QUIET), "bus", NULL);
        printf("{\"at\": %.3f, \"added\": %u, \"removed\": %u, \"changed\": %u}\n", seen.last,
               seen.added, seen.removed, seen.changed);
}

int main(int argc, char **argv)
{
        const char *what = argc > 1 ? argv[1] : "";

        must(sd_bus_open_system(&bus), "system bus", NULL);
        if (strcmp(what, "list") == 0 && argc == 4)
                list(argv[2], argv[3]);
        else if (strcmp(what, "devices") == 0)
                devices();
        else if (strcmp(what, "objects") == 0)
                objects();
        else if (strcmp(what, "forget") == 0)
                forget();
        else if (strcmp(what, "first") == 0)
                first();
        else if (strcmp(what, "follow") == 0 && argc == 3)
                follow((unsigned)atoi(argv[2]));
        else if (strcmp(what, "method") == 0 && argc == 5)
                method(argv[2], argv[3], argv[4]);
        else
                return 2;
        return 0;
}
