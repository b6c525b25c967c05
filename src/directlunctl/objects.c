/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Loads and finds objects. A CtlObjects owns what it loaded. One thread. */

#include "directlunctl/objects.h"

#include <string.h>

struct CtlObjects {
        GPtrArray *all;      /* JsonObject */
        GHashTable *by_path; /* path → JsonObject; both belong to all */
};

/* What a kind's folder and interface are called, what names its objects have besides their ids, and
 * the error if there is none. In the order in which a word is looked for and objects are shown. */
typedef struct Kind {
        const char *name, *folder, *interface;
        const char *names[3];
        int error;
        const char *hint;
} Kind;

static const Kind kinds[] = {
        {"target",
         CTL_ROOT "/targets",
         CTL_SERVICE ".Target",
         {"Iqn"},
         DL_ERROR_TARGET_NOT_FOUND,
         "'directlunctl discover' finds the targets of a portal"},
        {"lun",
         CTL_ROOT "/luns",
         CTL_SERVICE ".Lun",
         {"Guid"},
         DL_ERROR_LUN_NOT_FOUND,
         "'directlunctl connect' finds the LUNs of a target"},
        {"vdisk",
         CTL_ROOT "/vdisks",
         CTL_SERVICE ".VDisk",
         {"Id", "Guid", "Alias"},
         DL_ERROR_LUN_NOT_FOUND,
         "'directlunctl create' makes a vDisk"},
        {"vm",
         CTL_ROOT "/vms",
         CTL_SERVICE ".Vm",
         {"Name", "Uuid"},
         DL_ERROR_VM_NOT_FOUND,
         "'directlunctl vms' lists the VMs"},
        {"attachment",
         CTL_ROOT "/attachments",
         CTL_SERVICE ".Attachment",
         {},
         DL_ERROR_NOT_ATTACHED,
         "'directlunctl show VM' lists its attachments"},
        {"host",
         CTL_ROOT "/hosts",
         CTL_SERVICE ".Host",
         {"Name"},
         DL_ERROR_HOST_NOT_FOUND,
         "there is the host that the service runs on"},
        {"job", CTL_ROOT "/jobs", CTL_SERVICE ".Job", {}, -1, "'directlunctl jobs' lists the jobs"},
};

static const Kind *kind_by_name(const char *name)
{
        for (unsigned i = 0; i < G_N_ELEMENTS(kinds); i++)
                if (strcmp(kinds[i].name, name) == 0)
                        return &kinds[i];
        return NULL;
}

static const Kind *parse_path(const char *path, char **ret_id)
{
        const char *last = strrchr(path, '/');

        for (unsigned i = 0; i < G_N_ELEMENTS(kinds); i++)
                if (last && strlen(kinds[i].folder) == (size_t)(last - path) &&
                    sd_bus_path_decode(path, kinds[i].folder, ret_id) > 0)
                        return &kinds[i];
        return NULL;
}

bool ctl_path_parse(const char *path, const char **ret_kind, char **ret_id)
{
        const Kind *kind = parse_path(path, ret_id);

        if (kind)
                *ret_kind = kind->name;
        return kind;
}

JsonObject *ctl_object_new(const char *path, JsonObject *interfaces)
{
        g_autofree char *id = NULL;
        const Kind *kind = parse_path(path, &id);
        JsonNode *properties = kind ? json_object_get_member(interfaces, kind->interface) : NULL;
        JsonObject *object;
        JsonObjectIter iter;
        const char *name;
        JsonNode *value;

        if (!properties || !JSON_NODE_HOLDS_OBJECT(properties))
                return NULL;
        object = json_object_new();
        json_object_set_string_member(object, "path", path);
        json_object_set_string_member(object, "kind", kind->name);
        json_object_set_string_member(object, "id", id);
        json_object_iter_init_ordered(&iter, json_node_get_object(properties));
        while (json_object_iter_next_ordered(&iter, &name, &value))
                json_object_set_member(object, name, json_node_ref(value));
        return object;
}

/* ---- loading ------------------------------------------------------------------------------- */

static gint compare_objects(gconstpointer a, gconstpointer b)
{
        JsonObject *x = *(JsonObject *const *)a, *y = *(JsonObject *const *)b;
        const Kind *kind_x = kind_by_name(ctl_json_string(x, "kind"));
        const Kind *kind_y = kind_by_name(ctl_json_string(y, "kind"));
        const char *id_x = ctl_json_string(x, "id"), *id_y = ctl_json_string(y, "id");

        if (kind_x != kind_y)
                return kind_x < kind_y ? -1 : 1;
        return strverscmp(id_x, id_y); /* job 9 is before job 10 */
}

static void add_all(CtlObjects *objects, JsonObject *managed)
{
        JsonObjectIter iter;
        const char *path;
        JsonNode *interfaces;

        json_object_iter_init_ordered(&iter, managed);
        while (json_object_iter_next_ordered(&iter, &path, &interfaces)) {
                JsonObject *object = JSON_NODE_HOLDS_OBJECT(interfaces)
                                             ? ctl_object_new(path,
                                                              json_node_get_object(interfaces))
                                             : NULL;

                if (!object)
                        continue;
                g_ptr_array_add(objects->all, object);
                g_hash_table_insert(objects->by_path, (char *)ctl_json_string(object, "path"),
                                    object);
        }
        g_ptr_array_sort(objects->all, compare_objects);
}

CtlObjects *ctl_objects_load(Ctl *ctl, GError **error)
{
        g_autoptr(sd_bus_message) reply = NULL;
        g_autoptr(JsonNode) managed = NULL;
        CtlObjects *objects;

        reply = ctl_ask(ctl, CTL_ROOT, "org.freedesktop.DBus.ObjectManager", "GetManagedObjects",
                        error, "");
        if (!reply || !ctl_read_ok(ctl_json_read(reply, &managed), error))
                return NULL;
        objects = g_new0(CtlObjects, 1);
        objects->all = g_ptr_array_new_with_free_func((GDestroyNotify)json_object_unref);
        objects->by_path = g_hash_table_new(g_str_hash, g_str_equal);
        if (JSON_NODE_HOLDS_OBJECT(managed))
                add_all(objects, json_node_get_object(managed));
        return objects;
}

void ctl_objects_free(CtlObjects *objects)
{
        if (!objects)
                return;
        g_hash_table_unref(objects->by_path);
        g_ptr_array_unref(objects->all);
        g_free(objects);
}

/* ---- lists --------------------------------------------------------------------------------- */

JsonObject *ctl_objects_get(const CtlObjects *objects, const char *path)
{
        return g_hash_table_lookup(objects->by_path, path);
}

GPtrArray *ctl_objects_of_kind(const CtlObjects *objects, const char *kind)
{
        GPtrArray *found = g_ptr_array_new();

        for (unsigned i = 0; i < objects->all->len; i++)
                if (!kind || strcmp(ctl_json_string(objects->all->pdata[i], "kind"), kind) == 0)
                        g_ptr_array_add(found, objects->all->pdata[i]);
        return found;
}

GPtrArray *ctl_objects_all(const CtlObjects *objects)
{
        return ctl_objects_of_kind(objects, NULL);
}

GPtrArray *ctl_objects_listed(const CtlObjects *objects, JsonArray *paths)
{
        GPtrArray *found = g_ptr_array_new();

        for (unsigned i = 0; paths && i < json_array_get_length(paths); i++) {
                JsonObject *object = ctl_objects_get(objects, ctl_json_element(paths, i));

                if (object)
                        g_ptr_array_add(found, object);
        }
        g_ptr_array_sort(found, compare_objects);
        return found;
}

/* ---- finding ------------------------------------------------------------------------------- */

/* 1: by its id, 2: by another name, 0: not. */
static int rank(JsonObject *object, const char *word)
{
        const Kind *kind = kind_by_name(ctl_json_string(object, "kind"));

        if (strcmp(ctl_json_string(object, "path"), word) == 0 ||
            strcmp(ctl_json_string(object, "id"), word) == 0)
                return 1;
        for (unsigned i = 0; i < G_N_ELEMENTS(kind->names) && kind->names[i]; i++)
                if (strcmp(ctl_json_string(object, kind->names[i]), word) == 0)
                        return 2;
        return 0;
}

bool ctl_object_is(JsonObject *object, const char *word)
{
        return *word && rank(object, word) > 0;
}

static void set_not_found(const char *kind_name, const char *word, GError **error)
{
        const Kind *kind = kind_name ? kind_by_name(kind_name) : NULL;

        if (!kind)
                g_set_error(error, CTL_ERROR, CTL_ERROR_NOT_FOUND, "there is nothing called '%s'",
                            word);
        else
                g_set_error(error, kind->error < 0 ? CTL_ERROR : DL_ERROR,
                            kind->error < 0 ? (int)CTL_ERROR_NOT_FOUND : kind->error,
                            "there is no %s '%s': %s", kind->name, word, kind->hint);
}

JsonObject *ctl_objects_find(const CtlObjects *objects, const char *kind, const char *word,
                             GError **error)
{
        JsonObject *found = NULL, *other = NULL;

        for (unsigned i = 0; i < objects->all->len && *word; i++) {
                JsonObject *object = objects->all->pdata[i];
                int r = kind && strcmp(ctl_json_string(object, "kind"), kind) != 0
                                ? 0
                                : rank(object, word);

                if (r == 1)
                        return object;
                if (r == 2 && found)
                        other = object;
                else if (r == 2)
                        found = object;
        }
        if (!found)
                set_not_found(kind, word, error);
        else if (other)
                g_set_error(error, DL_ERROR, DL_ERROR_INVALID_ARGS,
                            "'%s' is the name of several: %s %s, %s %s", word,
                            ctl_json_string(found, "kind"), ctl_json_string(found, "id"),
                            ctl_json_string(other, "kind"), ctl_json_string(other, "id"));
        return other ? NULL : found;
}

char *ctl_find_vm(Ctl *ctl, const char *word, GError **error)
{
        g_autoptr(sd_bus_message) reply = NULL;
        g_autofree char *id = NULL;
        const char *path, *kind;

        if (*word == '/' && ctl_path_parse(word, &kind, &id) && strcmp(kind, "vm") == 0)
                word = id;
        reply = ctl_ask(ctl, CTL_ROOT, "Manager", "GetVm", error, "s", word);
        if (!reply || !ctl_read_ok(sd_bus_message_read(reply, "o", &path), error))
                return NULL;
        return g_strdup(path);
}
