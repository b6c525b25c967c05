/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* list, show, create. Options are GOption's until the end. One thread. */

#include "directlunctl/command.h"
#include "directlunctl/view.h"

/* ---- list ---------------------------------------------------------------------------------- */

static gboolean refresh;

static const GOptionEntry list_options[] = {
        {"refresh", 0, 0, G_OPTION_ARG_NONE, &refresh, "look at the targets again first", NULL},
        {},
};

static bool look_again(Ctl *ctl, char **guids, GError **error)
{
        g_autoptr(CtlCall) call = ctl_call_new(ctl, CTL_ROOT, "Manager", "GetDeviceList", error);
        g_autoptr(sd_bus_message) reply = NULL;

        if (!call)
                return false;
        ctl_call_open(call);
        ctl_call_entry(call, "refresh", "b", 1);
        if (*guids)
                ctl_call_entry_strings(call, "guids", (const char *const *)guids);
        reply = ctl_call_run(call, error);
        if (reply)
                ctl_call_tell_report(call); /* targets that could not be looked at */
        return reply;
}

static bool run_list(Ctl *ctl, char **args, GError **error)
{
        g_autoptr(CtlObjects) objects = NULL;
        g_autoptr(GPtrArray) list = NULL;

        if (refresh && !look_again(ctl, args, error))
                return false;
        objects = ctl_objects_load(ctl, error);
        if (!objects)
                return false;
        list = *args ? g_ptr_array_new() : ctl_objects_of_kind(objects, "lun");
        for (; *args; args++) {
                JsonObject *lun = ctl_objects_find(objects, "lun", *args, error);

                if (!lun)
                        return false;
                g_ptr_array_add(list, lun);
        }
        if (list->len == 0)
                ctl_note(ctl, "No LUN is known yet: see 'directlunctl connect'.");
        ctl_view_list(ctl, objects, "lun", list);
        return true;
}

/* ---- show ---------------------------------------------------------------------------------- */

static bool run_show(Ctl *ctl, char **args, GError **error)
{
        g_autoptr(CtlObjects) objects = ctl_objects_load(ctl, error);
        JsonObject *found = objects ? ctl_objects_find(objects, NULL, args[0], error) : NULL;

        if (!found)
                return false;
        ctl_view_object(ctl, objects, found);
        return true;
}

/* ---- create -------------------------------------------------------------------------------- */

static char *alias, *description;

static const GOptionEntry create_options[] = {
        {"alias", 0, 0, G_OPTION_ARG_FILENAME, &alias, "its name; the GUID by default", "NAME"},
        {"description", 0, 0, G_OPTION_ARG_FILENAME, &description, "what it is for", "TEXT"},
        {},
};

static bool run_create(Ctl *ctl, char **args, GError **error)
{
        g_autoptr(CtlCall) call = ctl_call_new(ctl, CTL_ROOT, "Manager", "CreateVDisk", error);
        g_autoptr(sd_bus_message) reply = NULL;
        g_autoptr(CtlObjects) objects = NULL;
        JsonObject *vdisk;
        const char *path;
        int created;

        if (!call)
                return false;
        ctl_call_append(call, "s", args[0]);
        ctl_call_open(call);
        if (alias)
                ctl_call_entry(call, "alias", "s", alias);
        if (description)
                ctl_call_entry(call, "description", "s", description);
        reply = ctl_call_run(call, error);
        if (!reply || !ctl_read_ok(sd_bus_message_read(reply, "ob", &path, &created), error))
                return false;
        objects = ctl_objects_load(ctl, error);
        vdisk = objects ? ctl_objects_find(objects, "vdisk", path, error) : NULL;
        if (!vdisk)
                return false;
        if (!created)
                ctl_note(ctl, "There was a vDisk of this LUN; it is as it was.");
        ctl_view_result(ctl, objects, vdisk, created);
        return true;
}

static const GOptionEntry no_options[] = {{}};

const CtlCommand ctl_lun_commands[] = {
        {"list", "[GUID…]", "List the LUNs", 0, -1, list_options, run_list},
        {"show", "OBJECT", "Show all of an object", 1, 1, no_options, run_show},
        {"create", "GUID", "Make a vDisk of a LUN", 1, 1, create_options, run_create},
        {},
};
