/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Tables and descriptions of objects. Nothing is owned. One thread. */

#include "directlunctl/view.h"

#include "util/json-text.h"

#include <stdio.h>
#include <string.h>

/* ---- rows ---------------------------------------------------------------------------------- */

/* Name and message of an error in one cell; NULL: there is none. */
static char *error_text(JsonObject *object, const char *name)
{
        JsonArray *pair = ctl_json_array(object, name);

        if (!pair || json_array_get_length(pair) < 2 || !*ctl_json_element(pair, 0))
                return NULL;
        return g_strdup_printf("%s: %s", ctl_json_element(pair, 0), ctl_json_element(pair, 1));
}

static void add_number(CtlTable *table, unsigned number)
{
        ctl_table_take(table, g_strdup_printf("%u", number));
}

static void add_bool(CtlTable *table, bool value)
{
        ctl_table_add(table, value ? "yes" : "no");
}

/* A property of another object, of which we have the path. */
static const char *related(const CtlObjects *objects, JsonObject *object, const char *path_name,
                           const char *name)
{
        JsonObject *other = ctl_objects_get(objects, ctl_json_string(object, path_name));

        return other ? ctl_json_string(other, name) : "";
}

static char *portals_text(JsonObject *target)
{
        JsonArray *portals = ctl_json_array(target, "Portals");
        GString *text = g_string_new(NULL);

        for (unsigned i = 0; portals && i < json_array_get_length(portals); i++) {
                JsonArray *portal = json_array_get_array_element(portals, i);
                const char *address = ctl_json_element(portal, 0);

                g_string_append_printf(text, strchr(address, ':') ? "%s[%s]:%d" : "%s%s:%d",
                                       i ? " " : "", address,
                                       (int)json_array_get_int_element(portal, 1));
        }
        return g_string_free(text, false);
}

static const CtlColumn target_columns[] = {
        {"TARGET", .cut = CTL_CUT_START, .min = 24},
        {"STATE", .cut = CTL_CUT_NEVER},
        {"MANAGED", .cut = CTL_CUT_NEVER},
        {"USERS", .cut = CTL_CUT_NEVER, .right = true},
        {"LUNS", .cut = CTL_CUT_NEVER, .right = true},
        {"PORTALS", .min = 8},
        {"ERROR", .min = 8, .optional = true},
        {},
};

static void add_target(CtlTable *table, const CtlObjects *objects, JsonObject *target)
{
        ctl_table_add(table, ctl_json_string(target, "Iqn"));
        ctl_table_add(table, ctl_json_string(target, "State"));
        add_bool(table, ctl_json_bool(target, "Managed"));
        add_number(table, ctl_json_length(target, "Users"));
        add_number(table, ctl_json_length(target, "Luns"));
        ctl_table_take(table, portals_text(target));
        ctl_table_take(table, error_text(target, "LastError"));
}

static const CtlColumn lun_columns[] = {
        {"GUID", .cut = CTL_CUT_NEVER},
        {"STATUS", .cut = CTL_CUT_NEVER},
        {"SIZE", .cut = CTL_CUT_NEVER, .right = true},
        {"PATHS", .cut = CTL_CUT_NEVER, .right = true},
        {"MODEL", .min = 5},
        {"VDISK", .min = 5, .optional = true},
        {"REASON", .min = 6, .optional = true},
        {},
};

static char *paths_text(JsonObject *lun)
{
        JsonArray *paths = ctl_json_array(lun, "Paths");
        unsigned n = ctl_json_length(lun, "Paths"), active = 0;

        for (unsigned i = 0; i < n; i++)
                active += strcmp(ctl_json_string(json_array_get_object_element(paths, i), "state"),
                                 "active") == 0;
        return g_strdup_printf("%u/%u", active, n);
}

/* Who uses it is what one wants to know; it is most of the reason too. */
static char *reason_text(JsonObject *lun)
{
        JsonArray *holders = ctl_json_array(lun, "Holders");
        GString *text = g_string_new(NULL);

        for (unsigned i = 0; holders && i < json_array_get_length(holders); i++)
                g_string_append_printf(text, "%s%s", i ? " " : "", ctl_json_element(holders, i));
        if (text->len == 0)
                g_string_append(text, ctl_json_string(lun, "Reason"));
        return g_string_free(text, false);
}

static void add_lun(CtlTable *table, const CtlObjects *objects, JsonObject *lun)
{
        const char *alias = related(objects, lun, "VDisk", "Alias");
        const char *guid = ctl_json_string(lun, "Guid");

        ctl_table_add(table, guid);
        ctl_table_add(table, ctl_json_string(lun, "Status"));
        ctl_table_take(table, ctl_text_size(ctl_json_uint(lun, "Capacity")));
        ctl_table_take(table, paths_text(lun));
        ctl_table_take(table, g_strdup_printf("%s %s", ctl_json_string(lun, "Vendor"),
                                              ctl_json_string(lun, "Product")));
        ctl_table_add(table, strcmp(alias, guid) == 0 ? "yes" : alias);
        ctl_table_take(table, reason_text(lun));
}

static const CtlColumn vdisk_columns[] = {
        {"VDISK", .cut = CTL_CUT_NEVER},
        {"GUID", .cut = CTL_CUT_NEVER},
        {"ALIAS", .min = 6},
        {"VMS", .cut = CTL_CUT_NEVER, .right = true},
        {},
};

static void add_vdisk(CtlTable *table, const CtlObjects *objects, JsonObject *vdisk)
{
        ctl_table_add(table, ctl_json_string(vdisk, "Id"));
        ctl_table_add(table, ctl_json_string(vdisk, "Guid"));
        ctl_table_add(table, ctl_json_string(vdisk, "Alias"));
        add_number(table, ctl_json_length(vdisk, "Attachments"));
}

static const CtlColumn vm_columns[] = {
        {"VM", .min = 8},
        {"STATE", .cut = CTL_CUT_NEVER},
        {"HOST", .min = 4, .optional = true},
        {"DISKS", .cut = CTL_CUT_NEVER, .right = true},
        {"TARGETS", .cut = CTL_CUT_NEVER, .right = true},
        {"UUID", .cut = CTL_CUT_NEVER},
        {},
};

static void add_vm(CtlTable *table, const CtlObjects *objects, JsonObject *vm)
{
        ctl_table_add(table, ctl_json_string(vm, "Name"));
        ctl_table_add(table, ctl_json_string(vm, "State"));
        ctl_table_add(table, ctl_json_string(vm, "Host"));
        add_number(table, ctl_json_length(vm, "Attachments"));
        add_number(table, ctl_json_length(vm, "RequiredTargets"));
        ctl_table_add(table, ctl_json_string(vm, "Uuid"));
}

static const CtlColumn attachment_columns[] = {
        {"VM", .min = 4},
        {"DEV", .min = 3, .optional = true},
        {"IFACE", .cut = CTL_CUT_NEVER},
        {"PLUGGED", .cut = CTL_CUT_NEVER},
        {"GUID", .cut = CTL_CUT_NEVER},
        {"VDISK", .min = 4, .optional = true},
        {"RESIZE", .min = 6, .optional = true},
        {"ERROR", .min = 6, .optional = true},
        {},
};

static void add_attachment(CtlTable *table, const CtlObjects *objects, JsonObject *attachment)
{
        const char *alias = related(objects, attachment, "VDisk", "Alias");
        const char *guid = ctl_json_string(attachment, "Guid");

        ctl_table_add(table, related(objects, attachment, "Vm", "Name"));
        ctl_table_add(table, ctl_json_string(attachment, "TargetDev"));
        ctl_table_add(table, ctl_json_string(attachment, "Iface"));
        if (ctl_json_bool(attachment, "LeftOut"))
                ctl_table_add(table, "left out");
        else
                add_bool(table, ctl_json_bool(attachment, "Plugged"));
        ctl_table_add(table, guid);
        ctl_table_add(table, strcmp(alias, guid) == 0 ? "" : alias);
        ctl_table_add(table, ctl_json_string(attachment, "ResizePending"));
        ctl_table_take(table, error_text(attachment, "LastError"));
}

static const CtlColumn job_columns[] = {
        {"JOB", .cut = CTL_CUT_NEVER, .right = true},
        {"OPERATION", .min = 8},
        {"STATE", .cut = CTL_CUT_NEVER},
        {"PROGRESS", .cut = CTL_CUT_NEVER, .right = true, .optional = true},
        {"PHASE", .min = 6, .optional = true},
        {"UID", .cut = CTL_CUT_NEVER, .right = true},
        {"STARTED", .cut = CTL_CUT_NEVER},
        {"ERROR", .min = 8, .optional = true},
        {},
};

static void add_job(CtlTable *table, const CtlObjects *objects, JsonObject *job)
{
        ctl_table_add(table, ctl_json_string(job, "id"));
        ctl_table_add(table, ctl_json_string(job, "Operation"));
        ctl_table_add(table, ctl_json_string(job, "State"));
        ctl_table_take(
                table,
                ctl_json_bool(job, "ProgressValid")
                        ? g_strdup_printf("%d%%", (int)(ctl_json_double(job, "Progress") * 100))
                        : NULL);
        ctl_table_add(table, ctl_json_string(job, "Phase"));
        add_number(table, (unsigned)ctl_json_uint(job, "StartedByUid"));
        ctl_table_take(table, ctl_text_time(ctl_json_uint(job, "StartTime")));
        ctl_table_take(table, error_text(job, "Error"));
}

static const CtlColumn host_columns[] = {
        {"HOST", .min = 8},
        {"STATE", .cut = CTL_CUT_NEVER},
        {"INITIATOR", .min = 16, .cut = CTL_CUT_START},
        {},
};

static void add_host(CtlTable *table, const CtlObjects *objects, JsonObject *host)
{
        ctl_table_add(table, ctl_json_string(host, "Name"));
        ctl_table_add(table, ctl_json_string(host, "State"));
        ctl_table_add(table, ctl_json_string(host, "InitiatorName"));
}

typedef struct View {
        const char *kind;
        const CtlColumn *columns;
        void (*add)(CtlTable *table, const CtlObjects *objects, JsonObject *object);
} View;

static const View views[] = {
        {"target", target_columns, add_target},
        {"lun", lun_columns, add_lun},
        {"vdisk", vdisk_columns, add_vdisk},
        {"vm", vm_columns, add_vm},
        {"attachment", attachment_columns, add_attachment},
        {"job", job_columns, add_job},
        {"host", host_columns, add_host},
};

static void print_rows(const Ctl *ctl, const CtlObjects *objects, const char *kind, GPtrArray *list)
{
        const View *view = views;

        while (strcmp(view->kind, kind) != 0)
                view++;
        g_autoptr(CtlTable) table = ctl_table_new(view->columns);
        for (unsigned i = 0; i < list->len; i++)
                view->add(table, objects, list->pdata[i]);
        ctl_print_table(ctl, table);
}

void ctl_view_list(const Ctl *ctl, const CtlObjects *objects, const char *kind, GPtrArray *list)
{
        g_autoptr(JsonNode) node = NULL;

        if (ctl->format == CTL_TEXT) {
                print_rows(ctl, objects, kind, list);
                return;
        }
        g_autoptr(JsonArray) array = json_array_new();
        for (unsigned i = 0; i < list->len; i++)
                json_array_add_object_element(array, json_object_ref(list->pdata[i]));
        node = json_node_init_array(json_node_alloc(), array);
        ctl_print_json(ctl, node);
}

static void print_object_json(const Ctl *ctl, JsonObject *object)
{
        g_autoptr(JsonNode) node = json_node_init_object(json_node_alloc(), object);

        ctl_print_json(ctl, node);
}

void ctl_view_result(const Ctl *ctl, const CtlObjects *objects, JsonObject *object, bool changed)
{
        g_autoptr(GPtrArray) list = g_ptr_array_new();

        if (ctl->format != CTL_TEXT) {
                json_object_set_boolean_member(object, "changed", changed);
                print_object_json(ctl, object);
        } else if (!ctl->quiet) {
                g_ptr_array_add(list, object);
                print_rows(ctl, objects, ctl_json_string(object, "kind"), list);
        }
}

/* ---- one object ---------------------------------------------------------------------------- */

/* What an object path is called for people. */
static char *path_text(const CtlObjects *objects, const char *path)
{
        JsonObject *object = ctl_objects_get(objects, path);
        const char *kind;
        char *id;

        if (object && *ctl_json_string(object, "Name"))
                return g_strdup(ctl_json_string(object, "Name"));
        if (ctl_path_parse(path, &kind, &id))
                return id;
        return g_strdup(path);
}

static char *value_text(const CtlObjects *objects, JsonNode *node);

static char *array_text(const CtlObjects *objects, JsonArray *array, const char *separator)
{
        g_autoptr(GString) text = g_string_new(NULL);

        for (unsigned i = 0; i < json_array_get_length(array); i++) {
                JsonNode *element = json_array_get_element(array, i);
                g_autofree char *part = JSON_NODE_HOLDS_ARRAY(element)
                                                ? array_text(objects, json_node_get_array(element),
                                                             " ")
                                                : value_text(objects, element);

                if (*part)
                        g_string_append_printf(text, "%s%s", text->len ? separator : "", part);
        }
        return g_strdup(text->str);
}

static char *object_text(const CtlObjects *objects, JsonObject *object)
{
        g_autoptr(GPtrArray) parts = g_ptr_array_new_with_free_func(g_free);
        JsonObjectIter iter;
        const char *name;
        JsonNode *value;

        json_object_iter_init_ordered(&iter, object);
        while (json_object_iter_next_ordered(&iter, &name, &value)) {
                g_autofree char *text = value_text(objects, value);

                if (*text)
                        g_ptr_array_add(parts, g_strdup_printf("%s=%s", name, text));
        }
        g_ptr_array_add(parts, NULL);
        return g_strjoinv(" ", (char **)parts->pdata);
}

static char *value_text(const CtlObjects *objects, JsonNode *node)
{
        if (JSON_NODE_HOLDS_ARRAY(node))
                return array_text(objects, json_node_get_array(node), ", ");
        if (JSON_NODE_HOLDS_OBJECT(node))
                return object_text(objects, json_node_get_object(node));
        if (JSON_NODE_HOLDS_NULL(node))
                return g_strdup("");
        if (json_node_get_value_type(node) == G_TYPE_STRING) {
                const char *text = json_node_get_string(node);

                return *text == '/' ? path_text(objects, strcmp(text, "/") == 0 ? "" : text)
                                    : g_strdup(text);
        }
        if (json_node_get_value_type(node) == G_TYPE_BOOLEAN)
                return g_strdup(json_node_get_boolean(node) ? "yes" : "no");
        return dl_json_text(node, false);
}

static bool is_one_of(const char *name, const char *const *names)
{
        return g_strv_contains(names, name);
}

/* Sizes and times are told for people, everything else as it is. */
static char *property_text(const CtlObjects *objects, const char *name, JsonNode *value)
{
        static const char *const sizes[] = {"Capacity", "DiscardMaxBytes", NULL};
        static const char *const times[] = {"StartTime", "Deadline", NULL};
        bool number = JSON_NODE_HOLDS_VALUE(value) &&
                      json_node_get_value_type(value) == G_TYPE_INT64;

        if (strcmp(name, "path") == 0)
                return json_node_dup_string(value);
        if (number && is_one_of(name, sizes)) {
                uint64_t bytes = (uint64_t)json_node_get_int(value);
                g_autofree char *size = ctl_text_size(bytes);

                return g_strdup_printf("%s (%" G_GUINT64_FORMAT " bytes)", size, bytes);
        }
        if (number && is_one_of(name, times))
                return ctl_text_time((uint64_t)json_node_get_int(value));
        if (JSON_NODE_HOLDS_ARRAY(value) && json_array_get_length(json_node_get_array(value)) > 1 &&
            JSON_NODE_HOLDS_VALUE(json_array_get_element(json_node_get_array(value), 0)) &&
            (strcmp(name, "LastError") == 0 || strcmp(name, "Error") == 0))
                return g_strdup_printf(*ctl_json_element(json_node_get_array(value), 0) ? "%s: %s"
                                                                                        : "%s%s",
                                       ctl_json_element(json_node_get_array(value), 0),
                                       ctl_json_element(json_node_get_array(value), 1));
        return value_text(objects, value);
}

static void print_properties(const CtlObjects *objects, JsonObject *object)
{
        JsonObjectIter iter;
        const char *name;
        JsonNode *value;
        int width = 0;

        json_object_iter_init_ordered(&iter, object);
        while (json_object_iter_next_ordered(&iter, &name, &value))
                width = MAX(width, (int)strlen(name));
        json_object_iter_init_ordered(&iter, object);
        while (json_object_iter_next_ordered(&iter, &name, &value)) {
                g_autofree char *text = property_text(objects, name, value);
                g_autofree char *clean = ctl_text_clean(text);

                printf("%*s: %s\n", width, name, *clean ? clean : "-");
        }
}

void ctl_view_object(const Ctl *ctl, const CtlObjects *objects, JsonObject *object)
{
        if (ctl->format == CTL_TEXT)
                print_properties(objects, object);
        else
                print_object_json(ctl, object);
}

/* ---- facts --------------------------------------------------------------------------------- */

static const CtlColumn fact_columns[] = {
        {"ABOUT", .cut = CTL_CUT_NEVER},
        {"NAME", .min = 8},
        {"", .min = 20},
        {},
};

void ctl_view_facts(const Ctl *ctl, JsonNode *facts)
{
        JsonArray *array = json_node_get_array(facts);
        g_autoptr(CtlTable) table = NULL;

        if (ctl->format != CTL_TEXT) {
                ctl_print_json(ctl, facts);
                return;
        }
        table = ctl_table_new(fact_columns);
        for (unsigned i = 0; i < json_array_get_length(array); i++) {
                JsonObject *fact = json_array_get_object_element(array, i);

                ctl_table_add(table, ctl_json_string(fact, "about"));
                ctl_table_add(table, ctl_json_string(fact, "name"));
                ctl_table_add(table, ctl_json_string(fact, "text"));
        }
        ctl_print_table(ctl, table);
}
