/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* monitor: the service's signals, one line each, until Ctrl-C. Does not start the service. One
 * thread. */

#include "directlunctl/command.h"
#include "directlunctl/objects.h"
#include "util/json-text.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#define PROPERTIES     "org.freedesktop.DBus.Properties"
#define OBJECT_MANAGER "org.freedesktop.DBus.ObjectManager"

/* ---- lines --------------------------------------------------------------------------------- */

/* properties may be NULL; it stays the caller's. */
static void tell_json(const Ctl *ctl, const char *event, const char *kind, const char *id,
                      const char *path, JsonNode *properties)
{
        g_autoptr(JsonObject) object = json_object_new();
        g_autoptr(JsonNode) node = NULL;

        json_object_set_int_member(object, "time", g_get_real_time());
        json_object_set_string_member(object, "event", event);
        json_object_set_string_member(object, "kind", kind);
        json_object_set_string_member(object, "id", id);
        json_object_set_string_member(object, "path", path);
        if (properties)
                json_object_set_member(object, "properties", json_node_ref(properties));
        node = json_node_init_object(json_node_alloc(), object);
        ctl_print_json(ctl, node);
}

static void append_properties(GString *line, JsonObject *properties)
{
        JsonObjectIter iter;
        const char *name;
        JsonNode *value;

        json_object_iter_init_ordered(&iter, properties);
        while (json_object_iter_next_ordered(&iter, &name, &value)) {
                bool string = JSON_NODE_HOLDS_VALUE(value) &&
                              json_node_get_value_type(value) == G_TYPE_STRING;
                g_autofree char *text = string ? json_node_dup_string(value)
                                               : dl_json_text(value, false);

                g_string_append_printf(line, " %s=%s", name, text);
        }
}

static void tell_text(const char *event, const char *kind, const char *id, JsonNode *properties)
{
        g_autoptr(GDateTime) now = g_date_time_new_now_local();
        g_autofree char *time = g_date_time_format(now, "%T"), *clean = NULL;
        g_autoptr(GString) line = g_string_new(NULL);

        g_string_append_printf(line, "%s %s %s %s", time, event, kind, id);
        if (properties && JSON_NODE_HOLDS_OBJECT(properties))
                append_properties(line, json_node_get_object(properties));
        clean = ctl_text_clean(line->str);
        puts(clean);
}

static void tell(const Ctl *ctl, const char *event, const char *path, JsonNode *properties)
{
        g_autofree char *id = NULL;
        const char *kind;

        if (!ctl_path_parse(path, &kind, &id)) {
                kind = "service";
                id = g_strdup(CTL_SERVICE);
        }
        if (ctl->format == CTL_TEXT)
                tell_text(event, kind, id, properties);
        else
                tell_json(ctl, event, kind, id, path, properties);
        if (fflush(stdout) == EOF) /* whoever read it is gone */
                sd_event_exit(ctl->event, 0);
}

/* ---- signals ------------------------------------------------------------------------------- */

static int on_added(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
        g_autoptr(JsonNode) interfaces = NULL, properties = NULL;
        g_autoptr(JsonObject) object = NULL;
        const char *path;

        if (sd_bus_message_read(m, "o", &path) < 0 || ctl_json_read(m, &interfaces) < 0 ||
            !JSON_NODE_HOLDS_OBJECT(interfaces))
                return 0;
        object = ctl_object_new(path, json_node_get_object(interfaces));
        if (!object)
                return 0;
        for (const char *const *name = (const char *const[]){"path", "kind", "id", NULL}; *name;
             name++)
                json_object_remove_member(object, *name);
        properties = json_node_init_object(json_node_alloc(), object);
        tell(userdata, "added", path, properties);
        return 0;
}

static int on_removed(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
        const char *path;

        if (sd_bus_message_read(m, "o", &path) >= 0)
                tell(userdata, "removed", path, NULL);
        return 0;
}

static int on_changed(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
        g_autoptr(JsonNode) properties = NULL;

        if (sd_bus_message_skip(m, "s") >= 0 && ctl_json_read(m, &properties) >= 0)
                tell(userdata, "changed", sd_bus_message_get_path(m), properties);
        return 0;
}

static int on_completed(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
        g_autoptr(JsonObject) object = json_object_new();
        g_autoptr(JsonNode) properties = NULL;
        const char *error, *message;
        int success;

        if (sd_bus_message_read(m, "bss", &success, &error, &message) < 0)
                return 0;
        json_object_set_boolean_member(object, "success", success);
        json_object_set_string_member(object, "error", error);
        json_object_set_string_member(object, "message", message);
        properties = json_node_init_object(json_node_alloc(), object);
        tell(userdata, "completed", sd_bus_message_get_path(m), properties);
        return 0;
}

static int on_owner(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
        const char *owner;

        if (sd_bus_message_skip(m, "ss") >= 0 && sd_bus_message_read(m, "s", &owner) >= 0)
                tell(userdata, *owner ? "started" : "stopped", CTL_ROOT, NULL);
        return 0;
}

#define FROM_SERVICE "type='signal',sender='" CTL_SERVICE "',"

typedef struct Match {
        const char *rule;
        sd_bus_message_handler_t handler;
} Match;

static const Match matches[] = {
        {FROM_SERVICE "path='" CTL_ROOT "',interface='" OBJECT_MANAGER "',member='InterfacesAdded'",
         on_added},
        {FROM_SERVICE "path='" CTL_ROOT "',interface='" OBJECT_MANAGER
                      "',member='InterfacesRemoved'",
         on_removed},
        {FROM_SERVICE "path_namespace='" CTL_ROOT "',interface='" PROPERTIES
                      "',member='PropertiesChanged'",
         on_changed},
        {FROM_SERVICE "path_namespace='" CTL_ROOT "/jobs',interface='" CTL_SERVICE
                      ".Job',member='Completed'",
         on_completed},
        {"type='signal',sender='org.freedesktop.DBus',member='NameOwnerChanged',arg0='" CTL_SERVICE
         "'",
         on_owner},
};

static bool run_monitor(Ctl *ctl, char **args, GError **error)
{
        sigset_t signals;
        int r = 0;

        if (!ctl_connect(ctl, error))
                return false;
        sigemptyset(&signals);
        sigaddset(&signals, SIGINT);
        sigaddset(&signals, SIGTERM);
        sigprocmask(SIG_BLOCK, &signals, NULL);
        signal(SIGPIPE, SIG_IGN);
        for (unsigned i = 0; r >= 0 && i < G_N_ELEMENTS(matches); i++)
                r = sd_bus_add_match(ctl->bus, NULL, matches[i].rule, matches[i].handler, ctl);
        if (r >= 0)
                r = sd_event_add_signal(ctl->event, NULL, SIGINT, NULL, NULL);
        if (r >= 0)
                r = sd_event_add_signal(ctl->event, NULL, SIGTERM, NULL, NULL);
        if (r >= 0) {
                ctl_note(ctl, "Following %s; Ctrl-C ends it.", CTL_SERVICE);
                r = sd_event_loop(ctl->event);
        }
        if (r < 0)
                g_set_error(error, CTL_ERROR, CTL_ERROR_SERVICE, "the bus cannot be followed: %s",
                            g_strerror(-r));
        return r >= 0;
}

static const GOptionEntry no_options[] = {{}};

const CtlCommand ctl_monitor_commands[] = {
        {"monitor", "", "Follow all changes, one line each", 0, 0, no_options, run_monitor},
        {},
};
