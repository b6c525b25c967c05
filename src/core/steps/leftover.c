/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Asks QEMU for what libvirt has forgotten. A removal belongs to who started it until it is done or
 * cancelled. What QEMU answers is not trusted. Loop thread only. */

#include "core/records/json.h"
#include "core/steps/block-proof.h"
#include "core/steps/leftover.h"

#include <string.h>

/* How often QEMU is asked whether the guest has released the device, and how long. */
#define ASK_USEC     (100 * 1000)
#define RELEASE_USEC (5 * G_USEC_PER_SEC)

struct DlLeftover {
        DlCore *core;
        char *vm, *name, *alias;
        GPtrArray *luns;  /* char *: "IQN/number", or name of the device: where the LUN is or was */
        GPtrArray *nodes; /* char *: to be removed, the last first */
        bool asked;       /* the guest, for the device */
        uint64_t until_usec;
        DlVirtCall *call;
        sd_event_source *timer;
        DlVirtDone done;
        void *userdata;
};

/* QEMU's words; libvirt passes them on. */
bool dl_leftover_is_told(const GError *error)
{
        return dl_error_code(error) == DL_ERROR_LIBVIRT_ERROR &&
               (strstr(error->message, "Duplicate nodes") ||
                strstr(error->message, "Duplicate device ID") ||
                strstr(error->message, "Duplicate ID"));
}

static void leftover_free(DlLeftover *leftover)
{
        sd_event_source_disable_unref(leftover->timer);
        g_ptr_array_unref(leftover->luns);
        g_ptr_array_unref(leftover->nodes);
        g_free(leftover->vm);
        g_free(leftover->name);
        g_free(leftover->alias);
        g_free(leftover);
}

void dl_leftover_cancel(DlLeftover *leftover)
{
        if (!leftover)
                return;
        dl_virt_cancel(leftover->call);
        leftover_free(leftover);
}

static void end(DlLeftover *leftover, const GError *error)
{
        DlVirtDone done = leftover->done;
        void *userdata = leftover->userdata;

        leftover_free(leftover);
        done(error, userdata);
}

static void ask(DlLeftover *leftover, const char *command, DlVirtAnswered answered)
{
        leftover->call = dl_virt_ask_qemu(leftover->core->virt, leftover->vm, command, answered,
                                          leftover);
}

/* ---- the nodes ----------------------------------------------------------------------------- */

static void remove_next(DlLeftover *leftover);

/* One that is in use is not removed by QEMU: it is no leftover then. */
static void on_removed(const char *reply, const GError *error, void *userdata)
{
        DlLeftover *leftover = userdata;

        leftover->call = NULL;
        if (error)
                end(leftover, error);
        else
                remove_next(leftover);
}

static void remove_next(DlLeftover *leftover)
{
        g_autofree char *node = NULL, *command = NULL;

        if (leftover->nodes->len == 0) {
                end(leftover, NULL);
                return;
        }
        node = g_ptr_array_steal_index(leftover->nodes, leftover->nodes->len - 1);
        command = g_strdup_printf(
                "{\"execute\":\"blockdev-del\",\"arguments\":{\"node-name\":\"%s\"}}", node);
        dl_debug("VM %s: removing the block node %s, if nothing uses it", leftover->name, node);
        ask(leftover, command, on_removed);
}

/* "libvirt-7-format" */
static bool is_of_libvirt(const char *node)
{
        return node && g_str_has_prefix(node, "libvirt-") && strlen(node) < 64 &&
               strspn(node, "abcdefghijklmnopqrstuvwxyz0123456789-") == strlen(node);
}

static bool is_place(const DlLeftover *leftover, const char *place)
{
        return place && g_ptr_array_find_with_equal_func(leftover->luns, place, g_str_equal, NULL);
}

/* The protocol's options: QEMU keeps the number as it was given, a number or a text. */
static bool is_lun(const DlLeftover *leftover, JsonObject *options)
{
        const char *target = dl_json_string(options, "target", NULL);
        g_autofree char *number = g_strdup_printf("%" G_GINT64_FORMAT,
                                                  dl_json_int(options, "lun", 0, UINT16_MAX, 0));
        const char *lun = dl_json_string(options, "lun", number);
        g_autofree char *place = target ? g_strconcat(target, "/", lun, NULL) : NULL;

        return is_place(leftover, place) ||
               is_place(leftover, dl_json_string(options, "filename", NULL));
}

/* "json:{"driver":"raw","file":{"driver":"iscsi",…}}"; of a block device it may be its name. */
static bool leads_to_lun(const DlLeftover *leftover, const char *filename)
{
        g_autoptr(JsonNode) node = NULL;
        JsonObject *options = NULL;

        if (!filename || !g_str_has_prefix(filename, "json:"))
                return is_place(leftover, filename);
        node = dl_json_parse(filename + strlen("json:"));
        options = node ? json_node_get_object(node) : NULL;
        if (options && g_strcmp0(dl_json_string(options, "driver", NULL), "raw") == 0)
                options = dl_json_object(options, "file");
        return options && is_lun(leftover, options);
}

static JsonArray *list_of(JsonNode *reply)
{
        return reply ? dl_json_array(json_node_get_object(reply), "return") : NULL;
}

static void on_nodes(const char *text, const GError *error, void *userdata)
{
        DlLeftover *leftover = userdata;
        g_autoptr(JsonNode) reply = text ? dl_json_parse(text) : NULL;
        JsonArray *nodes = list_of(reply);

        leftover->call = NULL;
        if (error) {
                end(leftover, error);
                return;
        }
        for (unsigned i = 0; nodes && i < json_array_get_length(nodes); i++) {
                JsonObject *node = dl_json_element(nodes, i);
                const char *name = node ? dl_json_string(node, "node-name", NULL) : NULL;

                if (!is_of_libvirt(name) ||
                    !leads_to_lun(leftover, dl_json_string(node, "file", NULL)))
                        continue;
                /* What stands on another goes first. */
                g_ptr_array_insert(leftover->nodes, g_str_has_suffix(name, "-format") ? -1 : 0,
                                   g_strdup(name));
        }
        remove_next(leftover);
}

/* ---- the device ---------------------------------------------------------------------------- */

static void look(DlLeftover *leftover);

static int on_look_again(sd_event_source *source, uint64_t usec, void *userdata)
{
        look(userdata);
        return 0;
}

static void look_later(DlLeftover *leftover)
{
        leftover->timer = sd_event_source_disable_unref(leftover->timer);
        if (sd_event_add_time_relative(leftover->core->event, &leftover->timer, CLOCK_MONOTONIC,
                                       ASK_USEC, 0, on_look_again, leftover) < 0)
                g_error("no timer to look at a VM");
}

static void on_asked_guest(const char *reply, const GError *error, void *userdata)
{
        DlLeftover *leftover = userdata;

        leftover->call = NULL;
        if (error)
                end(leftover, error);
        else
                look_later(leftover);
}

static void ask_guest(DlLeftover *leftover)
{
        g_autofree char *command = g_strdup_printf(
                "{\"execute\":\"device_del\",\"arguments\":{\"id\":\"%s\"}}", leftover->alias);

        dl_warning(
                "The guest of VM %s has the disk %s, which libvirt has forgotten: it is asked to "
                "release it",
                leftover->name, leftover->alias);
        leftover->asked = true;
        leftover->until_usec = dl_now() + RELEASE_USEC;
        ask(leftover, command, on_asked_guest);
}

static bool has_device(const DlLeftover *leftover, JsonArray *devices)
{
        for (unsigned i = 0; devices && i < json_array_get_length(devices); i++) {
                JsonObject *device = dl_json_element(devices, i);
                const char *name = device ? dl_json_string(device, "qdev", NULL) : NULL;

                if (name && strstr(name, leftover->alias))
                        return true;
        }
        return false;
}

static void on_devices(const char *text, const GError *error, void *userdata)
{
        DlLeftover *leftover = userdata;
        g_autoptr(JsonNode) reply = text ? dl_json_parse(text) : NULL;
        g_autoptr(GError) stays = NULL;

        leftover->call = NULL;
        if (error) {
                end(leftover, error);
        } else if (!has_device(leftover, list_of(reply))) {
                ask(leftover,
                    "{\"execute\":\"query-named-block-nodes\",\"arguments\":{\"flat\":true}}",
                    on_nodes);
        } else if (!leftover->asked) {
                ask_guest(leftover);
        } else if (dl_now() < leftover->until_usec) {
                look_later(leftover);
        } else {
                stays = g_error_new(DL_ERROR, DL_ERROR_GUEST_DID_NOT_RELEASE,
                                    "The guest of VM %s has the disk although libvirt has "
                                    "forgotten it, and does not release it; power the VM off",
                                    leftover->name);
                end(leftover, stays);
        }
}

static void look(DlLeftover *leftover)
{
        ask(leftover, "{\"execute\":\"query-block\"}", on_devices);
}

/* ---- whose --------------------------------------------------------------------------------- */

static void add_luns(DlLeftover *leftover, const char *guid)
{
        const DlLun *lun = DL_LOOKUP_LUN(leftover->core, guid);
        const DlBlockLun *block = lun ? dl_lun_kernel(lun) : NULL;

        if (block && *block->node)
                g_ptr_array_add(leftover->luns, g_strdup(block->node));
        for (unsigned i = 0; lun && i < lun->paths->len; i++) {
                const DlPath *path = lun->paths->pdata[i];

                g_ptr_array_add(leftover->luns, g_strdup_printf("%s/%u", path->iqn,
                                                                dl_iscsi_lun_for_qemu(path->lun)));
        }
}

DlLeftover *dl_leftover_remove(DlVm *vm, const char *vdisk, DlVirtDone done, void *userdata)
{
        DlLeftover *leftover = g_new(DlLeftover, 1);
        const DlVDisk *known = DL_LOOKUP_VDISK(vm->object.core, vdisk);

        *leftover = (DlLeftover){
                .core = vm->object.core,
                .vm = g_strdup(vm->object.id),
                .name = g_strdup(vm->name),
                .alias = dl_disk_alias(vdisk),
                .luns = g_ptr_array_new_with_free_func(g_free),
                .nodes = g_ptr_array_new_with_free_func(g_free),
                .done = done,
                .userdata = userdata,
        };
        if (known)
                add_luns(leftover, known->guid);
        look(leftover);
        return leftover;
}
