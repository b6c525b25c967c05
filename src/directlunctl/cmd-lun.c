/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* list, show, explain, create, claim, release. Options are GOption's until the end. One thread. */

#include "directlunctl/command.h"
#include "directlunctl/view.h"

#include <string.h>

/* ---- list ---------------------------------------------------------------------------------- */

static gboolean refresh, check_status;

static const GOptionEntry list_options[] = {
        {"refresh", 0, 0, G_OPTION_ARG_NONE, &refresh, "look at the targets again first", NULL},
        {"check-status", 0, 0, G_OPTION_ARG_NONE, &check_status,
         "wait for a look at what is on the LUNs", NULL},
        {},
};

static bool look_again(Ctl *ctl, char **guids, GError **error)
{
        g_autoptr(CtlCall) call = ctl_call_new(ctl, CTL_ROOT, "Manager", "GetDeviceList", error);
        g_autoptr(sd_bus_message) reply = NULL;

        if (!call)
                return false;
        ctl_call_open(call);
        ctl_call_entry(call, "refresh", "b", (int)refresh);
        ctl_call_entry(call, "check-status", "b", (int)check_status);
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

        if ((refresh || check_status) && !look_again(ctl, args, error))
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

/* ---- explain ------------------------------------------------------------------------------- */

static bool run_explain(Ctl *ctl, char **args, GError **error)
{
        g_autoptr(CtlObjects) objects = ctl_objects_load(ctl, error);
        JsonObject *lun = objects ? ctl_objects_find(objects, "lun", args[0], error) : NULL;
        g_autoptr(sd_bus_message) reply = NULL;
        g_autoptr(JsonNode) facts = NULL;

        if (!lun)
                return false;
        reply = ctl_ask(ctl, ctl_json_string(lun, "path"), "Lun", "Explain", error, "a{sv}", 0);
        if (!reply || !ctl_read_ok(ctl_json_read(reply, &facts), error))
                return false;
        ctl_view_facts(ctl, facts);
        return true;
}

/* ---- claim, release ------------------------------------------------------------------------ */

static gboolean force;

static const GOptionEntry domain_options[] = {
        {"force", 0, 0, G_OPTION_ARG_NONE, &force, "even if it is in use, or another domain's",
         NULL},
        {},
};

/* A LUN that only the claim knew is gone after its release. */
static bool tell_domain(Ctl *ctl, const char *path, const char *before, GError **error)
{
        g_autoptr(CtlObjects) objects = ctl_objects_load(ctl, error);
        JsonObject *lun = objects ? ctl_objects_get(objects, path) : NULL;

        if (lun)
                ctl_view_result(ctl, objects, lun,
                                strcmp(before, ctl_json_string(lun, "StorageDomain")) != 0);
        return objects;
}

static bool change_domain(Ctl *ctl, char **args, const char *method, GError **error)
{
        g_autoptr(CtlObjects) objects = ctl_objects_load(ctl, error);
        JsonObject *lun = objects ? ctl_objects_find(objects, "lun", args[0], error) : NULL;
        const char *path = lun ? ctl_json_string(lun, "path") : NULL;
        g_autoptr(sd_bus_message) reply = NULL;
        g_autoptr(CtlCall) call = NULL;

        if (!lun)
                return false;
        ctl->force = force;
        call = ctl_call_new(ctl, path, "Lun", method, error);
        if (!call)
                return false;
        ctl_call_append(call, "s", args[1]);
        ctl_call_open(call);
        reply = ctl_call_run(call, error);
        return reply && tell_domain(ctl, path, ctl_json_string(lun, "StorageDomain"), error);
}

static bool run_claim(Ctl *ctl, char **args, GError **error)
{
        return change_domain(ctl, args, "ClaimForStorageDomain", error);
}

static bool run_release(Ctl *ctl, char **args, GError **error)
{
        return change_domain(ctl, args, "ReleaseStorageDomain", error);
}

/* ---- remove-stale -------------------------------------------------------------------------- */

static bool run_remove_stale(Ctl *ctl, char **args, GError **error)
{
        g_autoptr(CtlObjects) objects = ctl_objects_load(ctl, error);
        g_autoptr(sd_bus_message) reply = NULL;
        g_autoptr(CtlCall) call = NULL;
        JsonObject *lun = objects ? ctl_objects_find(objects, "lun", args[0], error) : NULL;

        if (!lun)
                return false;
        call = ctl_call_new(ctl, ctl_json_string(lun, "path"), "Lun", "RemoveStale", error);
        if (!call)
                return false;
        ctl_call_open(call);
        reply = ctl_call_run(call, error);
        if (reply)
                ctl_note(ctl, "Nothing stale of %s is in this host's kernel.",
                         ctl_json_string(lun, "Guid"));
        return reply;
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
        {"explain", "GUID", "Tell why a LUN is in its status", 1, 1, no_options, run_explain},
        {"claim", "GUID DOMAIN", "Claim a LUN for a storage domain", 2, 2, domain_options,
         run_claim},
        {"release", "GUID DOMAIN", "Take the claim of a storage domain back", 2, 2, domain_options,
         run_release},
        {"remove-stale", "GUID", "Remove what the kernel still has of a LUN that is gone", 1, 1,
         no_options, run_remove_stale},
        {"create", "GUID", "Make a vDisk of a LUN", 1, 1, create_options, run_create},
        {},
};
