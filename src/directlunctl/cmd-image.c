/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* images, snapshot, merge, revert: the history of a vDisk. Options are GOption's until the end. One
 * thread. */

#include "directlunctl/command.h"
#include "directlunctl/view.h"

#include <stdio.h>
#include <string.h>

/* ---- the images as they are ---------------------------------------------------------------- */

static const CtlColumn columns[] = {
        {"IMAGE", .cut = CTL_CUT_NEVER},      {"TIME", .cut = CTL_CUT_NEVER},
        {"FORMAT", .cut = CTL_CUT_NEVER},     {"CURRENT", .cut = CTL_CUT_NEVER},
        {"NOTE", .min = 4, .optional = true}, {},
};

/* One of the property Images: [time, uid, {details}]. */
static JsonObject *image_new(JsonArray *entry)
{
        JsonObject *details = json_array_get_object_element(entry, 2);
        g_autoptr(GList) names = json_object_get_members(details);
        JsonObject *image = json_object_new();

        json_object_set_string_member(image, "image", json_array_get_string_element(entry, 1));
        json_object_set_member(image, "time", json_array_dup_element(entry, 0));
        for (GList *name = names; name; name = name->next)
                json_object_set_member(image, name->data,
                                       json_object_dup_member(details, name->data));
        return image;
}

static JsonArray *images_of(JsonObject *vdisk)
{
        JsonArray *entries = ctl_json_array(vdisk, "Images");
        JsonArray *images = json_array_new();

        for (unsigned i = 0; entries && i < json_array_get_length(entries); i++) {
                JsonNode *node = json_array_get_element(entries, i);

                if (JSON_NODE_HOLDS_ARRAY(node) &&
                    json_array_get_length(json_node_get_array(node)) == 3)
                        json_array_add_object_element(images, image_new(json_node_get_array(node)));
        }
        return images;
}

static const char *note_of(JsonObject *image)
{
        if (ctl_json_bool(image, "spoiled"))
                return "a merge was begun";
        return ctl_json_bool(image, "quiesced") ? "quiesced" : "";
}

static void print_images(Ctl *ctl, JsonObject *vdisk)
{
        g_autoptr(JsonArray) images = images_of(vdisk);
        g_autoptr(CtlTable) table = ctl_table_new(columns);

        if (ctl->format != CTL_TEXT) {
                g_autoptr(JsonNode) node = json_node_init_array(json_node_alloc(), images);

                ctl_print_json(ctl, node);
                return;
        }
        for (unsigned i = 0; i < json_array_get_length(images); i++) {
                JsonObject *image = json_array_get_object_element(images, i);

                ctl_table_add(table, ctl_json_string(image, "image"));
                ctl_table_take(table, ctl_text_time(ctl_json_uint(image, "time")));
                ctl_table_add(table, ctl_json_string(image, "format"));
                ctl_table_add(table, ctl_json_bool(image, "current") ? "yes" : "no");
                ctl_table_add(table, note_of(image));
        }
        ctl_print_table(ctl, table);
}

static bool run_images(Ctl *ctl, char **args, GError **error)
{
        g_autoptr(CtlObjects) objects = ctl_objects_load(ctl, error);
        JsonObject *vdisk = objects ? ctl_objects_find(objects, "vdisk", args[0], error) : NULL;

        if (vdisk)
                print_images(ctl, vdisk);
        return vdisk;
}

/* ---- changing them ------------------------------------------------------------------------- */

static gboolean quiesce;
static int bandwidth;

static const GOptionEntry snapshot_options[] = {
        {"quiesce", 0, 0, G_OPTION_ARG_NONE, &quiesce,
         "freeze the guest's file systems for the moment", NULL},
        {},
};

static const GOptionEntry merge_options[] = {
        {"bandwidth", 0, 0, G_OPTION_ARG_INT, &bandwidth, "at most so many MiB in a second", "MIB"},
        {},
};

/* A call of a method of the vDisk that the word names; its path in ret_path. */
static CtlCall *begin(Ctl *ctl, const char *word, const char *method, char **ret_path,
                      GError **error)
{
        g_autoptr(CtlObjects) objects = ctl_objects_load(ctl, error);
        JsonObject *vdisk = objects ? ctl_objects_find(objects, "vdisk", word, error) : NULL;

        if (!vdisk)
                return NULL;
        *ret_path = g_strdup(ctl_json_string(vdisk, "path"));
        return ctl_call_new(ctl, *ret_path, "VDisk", method, error);
}

/* What is there now: a table, unless quiet; in JSON the vDisk. */
static bool show(Ctl *ctl, const char *path, const char *uid, GError **error)
{
        g_autoptr(CtlObjects) objects = ctl_objects_load(ctl, error);
        JsonObject *vdisk = objects ? ctl_objects_find(objects, "vdisk", path, error) : NULL;

        if (!vdisk)
                return false;
        if (uid)
                json_object_set_string_member(vdisk, "image", uid);
        if (ctl->format != CTL_TEXT)
                ctl_view_result(ctl, objects, vdisk, true);
        else if (!ctl->quiet)
                print_images(ctl, vdisk);
        else if (uid)
                puts(uid); /* what a script needs */
        return true;
}

static bool run_snapshot(Ctl *ctl, char **args, GError **error)
{
        g_autofree char *path = NULL;
        g_autoptr(CtlCall) call = begin(ctl, args[0], "Snapshot", &path, error);
        g_autoptr(sd_bus_message) reply = NULL;
        const char *uid;

        if (!call)
                return false;
        ctl_call_open(call);
        if (quiesce)
                ctl_call_entry(call, "quiesce", "b", 1);
        reply = ctl_call_run(call, error);
        if (!reply || !ctl_read_ok(sd_bus_message_read(reply, "s", &uid), error))
                return false;
        return show(ctl, path, uid, error);
}

static bool run_merge(Ctl *ctl, char **args, GError **error)
{
        g_autofree char *path = NULL;
        g_autoptr(CtlCall) call = NULL;
        g_autoptr(sd_bus_message) reply = NULL;

        if (bandwidth < 0)
                return ctl_usage_error(error, "--bandwidth cannot be negative");
        call = begin(ctl, args[0], "Merge", &path, error);
        if (!call)
                return false;
        ctl_call_append(call, "s", args[1]);
        ctl_call_open(call);
        if (bandwidth > 0)
                ctl_call_entry(call, "bandwidth", "u", (uint32_t)bandwidth);
        reply = ctl_call_run(call, error);
        return reply && show(ctl, path, NULL, error);
}

static bool run_revert(Ctl *ctl, char **args, GError **error)
{
        g_autofree char *path = NULL;
        g_autoptr(CtlCall) call = begin(ctl, args[0], "Revert", &path, error);
        g_autoptr(sd_bus_message) reply = NULL;

        if (!call)
                return false;
        ctl_call_append(call, "s", args[1]);
        ctl_call_open(call);
        reply = ctl_call_run(call, error);
        return reply && show(ctl, path, NULL, error);
}

static const GOptionEntry no_options[] = {{}};

const CtlCommand ctl_image_commands[] = {
        {"images", "VDISK", "List the images of a vDisk", 1, 1, no_options, run_images},
        {"snapshot", "VDISK", "Keep what a vDisk is now, and write on in a new image", 1, 1,
         snapshot_options, run_snapshot},
        {"merge", "VDISK IMAGE", "Write an image into what is below it, under the running VM", 2, 2,
         merge_options, run_merge},
        {"revert", "VDISK IMAGE", "Make a vDisk what it was at the moment of an image", 2, 2,
         no_options, run_revert},
        {},
};
