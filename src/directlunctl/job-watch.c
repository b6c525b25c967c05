/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The job of a call: found among the new objects by its token, followed by its property changes.
 * Both come before the call's answer, so that what is known here is complete then. The watch owns
 * its copies. One thread.
 */

#include "directlunctl/job-watch.h"
#include "directlunctl/objects.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define JOB_INTERFACE CTL_SERVICE ".Job"

/* What is over at once need not be told. */
#define UNSEEN_USEC UINT64_C(250000)

struct CtlJobWatch {
        Ctl *ctl;
        char *token;
        void (*found)(void *userdata);
        void *userdata;
        sd_bus_slot *added, *changed;
        char *path;
        JsonObject *job;
        sd_event_source *patience; /* until it is drawn */
        bool draws;                /* somebody looks */
        bool drawn;
};

void ctl_job_watch_clear_line(CtlJobWatch *watch)
{
        if (watch->drawn)
                fputs("\r\033[K", stderr);
        watch->drawn = false;
}

static unsigned stderr_width(void)
{
        struct winsize size = {};

        if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_col < 2)
                return 79;
        return size.ws_col - 1U;
}

static void draw(CtlJobWatch *watch)
{
        g_autofree char *text = NULL, *clean = NULL, *cut = NULL;
        const char *phase = ctl_json_string(watch->job, "Phase");

        if (!watch->draws)
                return;
        ctl_job_watch_clear_line(watch);
        if (!*phase)
                return;
        if (ctl_json_bool(watch->job, "ProgressValid"))
                text = g_strdup_printf("%s: %s, %d%%", ctl_json_string(watch->job, "Operation"),
                                       phase, (int)(ctl_json_double(watch->job, "Progress") * 100));
        else
                text = g_strdup_printf("%s: %s", ctl_json_string(watch->job, "Operation"), phase);
        clean = ctl_text_clean(text);
        cut = ctl_text_cut(clean, stderr_width(), CTL_CUT_END);
        fputs(cut, stderr);
        watch->drawn = true;
}

/* Takes over properties that came: all of them, or those that changed. */
static void merge(JsonObject *into, JsonObject *from)
{
        JsonObjectIter iter;
        const char *name;
        JsonNode *value;

        json_object_iter_init_ordered(&iter, from);
        while (json_object_iter_next_ordered(&iter, &name, &value))
                json_object_set_member(into, name, json_node_ref(value));
}

static int on_added(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
        CtlJobWatch *watch = userdata;
        g_autoptr(JsonNode) interfaces = NULL;
        JsonNode *job;
        const char *path;

        if (watch->path || sd_bus_message_read(m, "o", &path) < 0 ||
            ctl_json_read(m, &interfaces) < 0 || !JSON_NODE_HOLDS_OBJECT(interfaces))
                return 0;
        job = json_object_get_member(json_node_get_object(interfaces), JOB_INTERFACE);
        if (!job || !JSON_NODE_HOLDS_OBJECT(job) ||
            strcmp(ctl_json_string(json_node_get_object(job), "Token"), watch->token) != 0)
                return 0;
        watch->path = g_strdup(path);
        merge(watch->job, json_node_get_object(job));
        draw(watch);
        watch->found(watch->userdata);
        return 0;
}

static int on_changed(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
        CtlJobWatch *watch = userdata;
        g_autoptr(JsonNode) properties = NULL;
        const char *interface;

        if (g_strcmp0(sd_bus_message_get_path(m), watch->path) != 0 ||
            sd_bus_message_read(m, "s", &interface) < 0 || strcmp(interface, JOB_INTERFACE) != 0 ||
            ctl_json_read(m, &properties) < 0 || !JSON_NODE_HOLDS_OBJECT(properties))
                return 0;
        merge(watch->job, json_node_get_object(properties));
        draw(watch);
        return 0;
}

static int on_patience(sd_event_source *source, uint64_t usec, void *userdata)
{
        CtlJobWatch *watch = userdata;

        watch->draws = true;
        draw(watch);
        return 0;
}

static bool somebody_looks(const Ctl *ctl)
{
        return !ctl->quiet && isatty(STDERR_FILENO) && g_strcmp0(g_getenv("TERM"), "dumb") != 0;
}

CtlJobWatch *ctl_job_watch_new(Ctl *ctl, const char *token, void (*found)(void *userdata),
                               void *userdata, GError **error)
{
        g_autoptr(CtlJobWatch) watch = g_new0(CtlJobWatch, 1);
        int r;

        watch->ctl = ctl;
        watch->token = g_strdup(token);
        watch->found = found;
        watch->userdata = userdata;
        watch->job = json_object_new();
        r = sd_bus_match_signal_async(ctl->bus, &watch->added, CTL_SERVICE, CTL_ROOT,
                                      "org.freedesktop.DBus.ObjectManager", "InterfacesAdded",
                                      on_added, NULL, watch);
        if (r >= 0)
                r = sd_bus_add_match_async(ctl->bus, &watch->changed,
                                           "type='signal',sender='" CTL_SERVICE
                                           "',path_namespace='" CTL_ROOT "/jobs',"
                                           "interface='org.freedesktop.DBus.Properties',"
                                           "member='PropertiesChanged',arg0='" JOB_INTERFACE "'",
                                           on_changed, NULL, watch);
        if (r >= 0 && somebody_looks(ctl))
                r = sd_event_add_time_relative(ctl->event, &watch->patience, CLOCK_MONOTONIC,
                                               UNSEEN_USEC, 0, on_patience, watch);
        return ctl_read_ok(r, error) ? g_steal_pointer(&watch) : NULL;
}

void ctl_job_watch_free(CtlJobWatch *watch)
{
        if (!watch)
                return;
        ctl_job_watch_clear_line(watch);
        sd_event_source_disable_unref(watch->patience);
        sd_bus_slot_unref(watch->added);
        sd_bus_slot_unref(watch->changed);
        json_object_unref(watch->job);
        g_free(watch->path);
        g_free(watch->token);
        g_free(watch);
}

const char *ctl_job_watch_path(const CtlJobWatch *watch)
{
        return watch->path;
}

void ctl_job_watch_tell_report(CtlJobWatch *watch)
{
        JsonArray *report = ctl_json_array(watch->job, "Report");

        for (unsigned i = 0; report && i < json_array_get_length(report); i++)
                ctl_note(watch->ctl, "  %s", ctl_json_element(report, i));
}

static void print_job(const CtlJobWatch *watch)
{
        g_autoptr(JsonObject) interfaces = json_object_new();
        g_autoptr(JsonObject) job = NULL;
        g_autoptr(JsonNode) node = NULL;

        json_object_set_object_member(interfaces, JOB_INTERFACE, json_object_ref(watch->job));
        job = ctl_object_new(watch->path, interfaces);
        node = json_node_init_object(json_node_alloc(), job);
        ctl_print_json(watch->ctl, node);
}

void ctl_job_watch_tell_plan(CtlJobWatch *watch)
{
        JsonArray *report = ctl_json_array(watch->job, "Report");
        unsigned n_told = 0;

        ctl_job_watch_clear_line(watch);
        if (watch->ctl->format != CTL_TEXT && watch->path) {
                print_job(watch);
                return;
        }
        for (unsigned i = 0; report && i < json_array_get_length(report); i++) {
                g_autofree char *line = ctl_text_clean(ctl_json_element(report, i));

                if (!g_str_has_prefix(line, "Would "))
                        continue;
                puts(line);
                n_told++;
        }
        if (n_told == 0)
                ctl_note(watch->ctl, "Nothing to do.");
}
