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

/* The VM's state before; NULL with an error. */
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

/* Runs the call and shows the VM. */
static bool finish(Ctl *ctl, CtlCall *call, const char *path, bool changed, GError **error)
{
        g_autoptr(sd_bus_message) reply = ctl_call_run(call, error);
        g_autoptr(CtlObjects) objects = reply ? ctl_objects_load(ctl, error) : NULL;
        JsonObject *vm = objects ? ctl_objects_find(objects, "vm", path, error) : NULL;

        if (!vm)
                return false;
        if (!changed)
                ctl_note(ctl, "Nothing to do: it is %s.", ctl_json_string(vm, "State"));
        ctl_view_result(ctl, objects, vm, changed);
        return true;
}

static bool run_run(Ctl *ctl, char **args, GError **error)
{
        g_autofree char *path = ctl_find_vm(ctl, args[0], error);
        g_autofree char *state = path ? state_of(ctl, path, error) : NULL;
        g_autoptr(CtlCall) call = state ? ctl_call_new(ctl, path, "Vm", "Run", error) : NULL;

        if (!call)
                return false;
        ctl_call_strings(call, (const char *const *)hosts);
        ctl_call_open(call);
        return finish(ctl, call, path,
                      strcmp(state, "shutoff") == 0 || strcmp(state, "crashed") == 0, error);
}

static bool run_stop(Ctl *ctl, char **args, GError **error)
{
        g_autofree char *path = ctl_find_vm(ctl, args[0], error);
        g_autofree char *state = path ? state_of(ctl, path, error) : NULL;
        g_autoptr(CtlCall) call = state ? ctl_call_new(ctl, path, "Vm", "Stop", error) : NULL;

        if (!call)
                return false;
        ctl_call_open(call);
        if (graceful)
                ctl_call_entry(call, "graceful", "b", 1);
        return finish(ctl, call, path, strcmp(state, "shutoff") != 0, error);
}

static const GOptionEntry no_options[] = {{}};

const CtlCommand ctl_vm_commands[] = {
        {"vms", "", "List the VMs", 0, 0, no_options, run_vms},
        {"run", "VM", "Connect what a VM needs, and start it", 1, 1, run_options, run_run},
        {"stop", "VM", "Stop a VM and let go of its connections", 1, 1, stop_options, run_stop},
        {},
};
