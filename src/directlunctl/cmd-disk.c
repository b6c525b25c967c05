/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* plug, unplug, detach: what is done to an attachment. One thread. */

#include "directlunctl/command.h"
#include "directlunctl/disk.h"

#include <string.h>

/* ---- which attachment ---------------------------------------------------------------------- */

static bool is_disk(const CtlObjects *objects, JsonObject *attachment, const char *word)
{
        JsonObject *vdisk = ctl_objects_get(objects, ctl_json_string(attachment, "VDisk"));
        JsonObject *lun = vdisk ? ctl_objects_get(objects, ctl_json_string(vdisk, "Lun")) : NULL;

        return ctl_object_is(attachment, word) ||
               strcmp(ctl_json_string(attachment, "Guid"), word) == 0 ||
               strcmp(ctl_json_string(attachment, "TargetDev"), word) == 0 ||
               (vdisk && ctl_object_is(vdisk, word)) || (lun && ctl_object_is(lun, word));
}

JsonObject *ctl_find_disk(const CtlObjects *objects, const char *vm, const char *word,
                          GError **error)
{
        g_autoptr(GPtrArray) list = ctl_objects_of_kind(objects, "attachment");
        JsonObject *found = NULL;

        for (unsigned i = 0; i < list->len && *word; i++) {
                if (strcmp(ctl_json_string(list->pdata[i], "Vm"), vm) != 0 ||
                    !is_disk(objects, list->pdata[i], word))
                        continue;
                if (found) {
                        ctl_usage_error(error, "'%s' is the name of several disks of this VM",
                                        word);
                        return NULL;
                }
                found = list->pdata[i];
        }
        if (!found)
                g_set_error(error, DL_ERROR, DL_ERROR_NOT_ATTACHED,
                            "the VM has no disk '%s': 'directlunctl show VM' lists its disks",
                            word);
        return found;
}

/* VM DISK, or ATTACHMENT alone. */
static JsonObject *find_attachment(Ctl *ctl, const CtlObjects *objects, char **args, GError **error)
{
        g_autofree char *vm = NULL;

        if (!args[1])
                return ctl_objects_find(objects, "attachment", args[0], error);
        vm = ctl_find_vm(ctl, args[0], error);
        return vm ? ctl_find_disk(objects, vm, args[1], error) : NULL;
}

/* ---- plug, unplug -------------------------------------------------------------------------- */

static gboolean force;
static char *image;

static const GOptionEntry plug_options[] = {
        {"force", 0, 0, G_OPTION_ARG_NONE, &force, "even if somebody else uses the LUN", NULL},
        {"image", 0, 0, G_OPTION_ARG_FILENAME, &image,
         "another image of what it reads, from now on", "IMAGE"},
        {},
};

static bool change(Ctl *ctl, JsonObject *attachment, const char *method, GError **error)
{
        const char *path = ctl_json_string(attachment, "path");
        g_autoptr(CtlCall) call = ctl_call_new(ctl, path, "Attachment", method, error);
        g_autoptr(sd_bus_message) reply = NULL;

        if (!call)
                return false;
        ctl_call_open(call);
        if (image)
                ctl_call_entry(call, "image", "s", image);
        reply = ctl_call_run(call, error);
        return reply;
}

static bool set_plugged(Ctl *ctl, char **args, bool plugged, GError **error)
{
        g_autoptr(CtlObjects) before = ctl_objects_load(ctl, error), after = NULL;
        JsonObject *attachment = before ? find_attachment(ctl, before, args, error) : NULL;
        JsonObject *changed;
        bool was;

        if (!attachment)
                return false;
        was = ctl_json_bool(attachment, "Plugged");
        if (!change(ctl, attachment, plugged ? "HotPlug" : "HotUnplug", error))
                return false;
        after = ctl_objects_load(ctl, error);
        if (!after)
                return false;
        changed = ctl_objects_find(after, "attachment", ctl_json_string(attachment, "path"), error);
        if (!changed)
                return false;
        if (was == plugged)
                ctl_note(ctl, "Nothing to do: it was %s.", was ? "plugged" : "not plugged");
        ctl_view_result(ctl, after, changed, was != plugged);
        return true;
}

static bool run_plug(Ctl *ctl, char **args, GError **error)
{
        ctl->force = force;
        return set_plugged(ctl, args, true, error);
}

static bool run_unplug(Ctl *ctl, char **args, GError **error)
{
        return set_plugged(ctl, args, false, error);
}

/* ---- detach -------------------------------------------------------------------------------- */

static void tell_detached(const Ctl *ctl, JsonObject *attachment, bool changed)
{
        g_autoptr(JsonNode) node = NULL;

        if (ctl->format == CTL_TEXT)
                return;
        json_object_set_boolean_member(attachment, "attached", false);
        json_object_set_boolean_member(attachment, "changed", changed);
        node = json_node_init_object(json_node_alloc(), attachment);
        ctl_print_json(ctl, node);
}

/* A repeat is no error: the disk is one that we know, and it is not attached to the VM. */
static bool was_detached(const Ctl *ctl, const CtlObjects *objects, const char *disk)
{
        g_autoptr(JsonObject) nothing = NULL;

        if (!ctl_objects_find(objects, "lun", disk, NULL) &&
            !ctl_objects_find(objects, "vdisk", disk, NULL))
                return false;
        ctl_note(ctl, "Nothing to do: it was not attached.");
        nothing = json_object_new();
        json_object_set_string_member(nothing, "kind", "attachment");
        tell_detached(ctl, nothing, false);
        return true;
}

static bool run_detach(Ctl *ctl, char **args, GError **error)
{
        g_autoptr(CtlObjects) objects = ctl_objects_load(ctl, error);
        g_autoptr(GError) not_found = NULL;
        JsonObject *attachment;

        if (!objects)
                return false;
        attachment = find_attachment(ctl, objects, args, &not_found);
        if (!attachment) {
                if (args[1] && dl_error_code(not_found) == DL_ERROR_NOT_ATTACHED &&
                    was_detached(ctl, objects, args[1]))
                        return true;
                g_propagate_error(error, g_steal_pointer(&not_found));
                return false;
        }
        if (!change(ctl, attachment, "Detach", error))
                return false;
        json_object_set_boolean_member(attachment, "Plugged", false);
        tell_detached(ctl, attachment, true);
        return true;
}

static const GOptionEntry no_options[] = {{}};

const CtlCommand ctl_disk_commands[] = {
        {"attach", "VM [GUID|VDISK]", "Attach a disk to a VM, and plug it if that runs", 1, 2,
         ctl_attach_options, ctl_attach},
        {"plug", "VM DISK | ATTACHMENT", "Plug an attached disk into the running VM", 1, 2,
         plug_options, run_plug},
        {"unplug", "VM DISK | ATTACHMENT", "Unplug it, when the guest has released it", 1, 2,
         no_options, run_unplug},
        {"detach", "VM DISK | ATTACHMENT", "End an attachment", 1, 2, no_options, run_detach},
        {},
};
