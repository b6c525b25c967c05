/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vms, run, stop. Options are GOption's until the end. One thread. */

#include "directlunctl/command.h"
#include "directlunctl/view.h"

#include <string.h>

static bool run_vms(Ctl *ctl, char **args, GError **error)
{
        g_autoptr(CtlObjects) objects = ctl_objects_load(ctl, error);
        g_autoptr(GPtrArray) list = NULL;

        if (!objects)
                return false;
        list = ctl_objects_of_kind(objects, "vm");
        ctl_view_list(ctl, objects, "vm", list);
        return true;
}

static char **hosts;
static gboolean graceful;

static const GOptionEntry run_options[] = {
        {"on", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &hosts,
         "prefer this host (may be repeated, the best first)", "HOST"},
        {},
};

static const GOptionEntry stop_options[] = {
        {"graceful", 0, 0, G_OPTION_ARG_NONE, &graceful,
         "ask the guest and wait for it, rather than power off", NULL},
        {},
};

/* Shows the VM as it is now. */
static bool show(Ctl *ctl, const char *path, bool changed, GError **error)
{
        g_autoptr(CtlObjects) objects = ctl_objects_load(ctl, error);
        JsonObject *vm = objects ? ctl_objects_find(objects, "vm", path, error) : NULL;

        if (!vm)
                return false;
        if (!changed)
                ctl_note(ctl, "Nothing to do: it is %s.", ctl_json_string(vm, "State"));
        ctl_view_result(ctl, objects, vm, changed);
        return true;
}

/* A repeat is no error, unless it is to run elsewhere. */
static bool runs_as_wanted(Ctl *ctl, const char *path, const GError *failure)
{
        g_autoptr(CtlObjects) objects = NULL;
        JsonObject *vm;

        if (dl_error_code(failure) != DL_ERROR_VM_RUNNING)
                return false;
        objects = ctl_objects_load(ctl, NULL);
        vm = objects ? ctl_objects_get(objects, path) : NULL;
        return vm &&
               (!hosts || g_strv_contains((const char *const *)hosts, ctl_json_string(vm, "Host")));
}

static bool run_run(Ctl *ctl, char **args, GError **error)
{
        g_autofree char *path = ctl_find_vm(ctl, args[0], error);
        g_autoptr(CtlCall) call = path ? ctl_call_new(ctl, path, "Vm", "Run", error) : NULL;
        g_autoptr(sd_bus_message) reply = NULL;
        g_autoptr(GError) failure = NULL;

        if (!call)
                return false;
        ctl_call_strings(call, (const char *const *)hosts);
        ctl_call_open(call);
        reply = ctl_call_run(call, &failure);
        if (reply || runs_as_wanted(ctl, path, failure))
                return show(ctl, path, reply, error);
        g_propagate_error(error, g_steal_pointer(&failure));
        return false;
}

/* The VM's state; NULL with an error. */
static char *state_of(Ctl *ctl, const char *path, GError **error)
{
        g_autoptr(sd_bus_message) reply = NULL;
        const char *state;

        reply = ctl_ask(ctl, path, "org.freedesktop.DBus.Properties", "Get", error, "ss",
                        CTL_SERVICE ".Vm", "State");
        if (!reply || !ctl_read_ok(sd_bus_message_read(reply, "v", "s", &state), error))
                return NULL;
        return g_strdup(state);
}

static bool run_stop(Ctl *ctl, char **args, GError **error)
{
        g_autofree char *path = ctl_find_vm(ctl, args[0], error);
        g_autofree char *state = path ? state_of(ctl, path, error) : NULL;
        g_autoptr(CtlCall) call = state ? ctl_call_new(ctl, path, "Vm", "Stop", error) : NULL;
        g_autoptr(sd_bus_message) reply = NULL;

        if (!call)
                return false;
        ctl_call_open(call);
        if (graceful)
                ctl_call_entry(call, "graceful", "b", 1);
        reply = ctl_call_run(call, error);
        return reply && show(ctl, path, strcmp(state, "shutoff") != 0, error);
}

static const GOptionEntry no_options[] = {{}};

const CtlCommand ctl_vm_commands[] = {
        {"vms", "", "List the VMs", 0, 0, no_options, run_vms},
        {"run", "VM", "Connect what a VM needs, and start it", 1, 1, run_options, run_run},
        {"stop", "VM", "Stop a VM and let go of its connections", 1, 1, stop_options, run_stop},
        {},
};
