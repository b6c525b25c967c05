/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vms, run, stop, prepare-start. Options are GOption's until the end. One thread. */

#include "directlunctl/command.h"
#include "directlunctl/view.h"

#include <string.h>
#include <unistd.h>

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
static gboolean graceful, autostart;

static const GOptionEntry run_options[] = {
        {"autostart", 0, 0, G_OPTION_ARG_NONE, &autostart,
         "all VMs with disks that libvirt should have started at boot; try again until --timeout",
         NULL},
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

static bool run_one(Ctl *ctl, const char *name, GError **error)
{
        g_autofree char *path = ctl_find_vm(ctl, name, error);
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

/* How often a VM whose LUNs are not there yet is tried. */
#define AUTOSTART_PAUSE_USEC (5 * G_USEC_PER_SEC)
#define VMS_PAUSE_USEC       (G_USEC_PER_SEC / 2)

/* Whether the service knows the host's VMs; while libvirt starts, and runs what is to be
 * autostarted, it does not. */
static bool vms_are_known(const CtlObjects *objects)
{
        g_autoptr(GPtrArray) found = ctl_objects_of_kind(objects, "host");

        for (unsigned i = 0; i < found->len; i++)
                if (ctl_json_bool(found->pdata[i], "Local"))
                        return strcmp(ctl_json_string(found->pdata[i], "State"), "up") == 0;
        return false;
}

static CtlObjects *load_with_vms(Ctl *ctl, gint64 end, GError **error)
{
        for (;;) {
                g_autoptr(CtlObjects) objects = ctl_objects_load(ctl, error);

                if (!objects || vms_are_known(objects))
                        return g_steal_pointer(&objects);
                if (g_get_monotonic_time() + VMS_PAUSE_USEC > end) {
                        g_set_error(error, DL_ERROR, DL_ERROR_LIBVIRT_ERROR,
                                    "libvirt does not tell its VMs; is libvirtd running?");
                        return NULL;
                }
                g_usleep(VMS_PAUSE_USEC);
        }
}

/* UUIDs of those that libvirt has not started, or could not. */
static GPtrArray *left_by_autostart(Ctl *ctl, gint64 end, GError **error)
{
        g_autoptr(CtlObjects) objects = load_with_vms(ctl, end, error);
        g_autoptr(GPtrArray) vms = NULL;
        GPtrArray *uuids;

        if (!objects)
                return NULL;
        vms = ctl_objects_of_kind(objects, "vm");
        uuids = g_ptr_array_new_with_free_func(g_free);
        for (unsigned i = 0; i < vms->len; i++) {
                JsonObject *vm = vms->pdata[i];

                if (ctl_json_bool(vm, "Autostart") && ctl_json_length(vm, "Attachments") > 0 &&
                    strcmp(ctl_json_string(vm, "State"), "shutoff") == 0)
                        g_ptr_array_add(uuids, g_strdup(ctl_json_string(vm, "Uuid")));
        }
        return uuids;
}

/* Only those that were off in the beginning: one that was stopped since stays so. */
static bool run_autostart(Ctl *ctl, GError **error)
{
        gint64 end = g_get_monotonic_time() + (gint64)ctl->timeout_msec * 1000;
        g_autoptr(GPtrArray) left = left_by_autostart(ctl, end, error);
        g_autoptr(GError) last = NULL;

        if (!left)
                return false;
        ctl->timeout_msec = 0; /* each try has the service's own */
        for (;;) {
                for (unsigned i = left->len; i > 0; i--) {
                        g_autoptr(GError) failure = NULL;

                        if (run_one(ctl, left->pdata[i - 1], &failure)) {
                                g_ptr_array_remove_index(left, i - 1);
                                continue;
                        }
                        ctl_note(ctl, "Not yet: %s", failure->message);
                        g_clear_error(&last);
                        last = g_steal_pointer(&failure);
                }
                if (left->len == 0)
                        return true;
                if (g_get_monotonic_time() + AUTOSTART_PAUSE_USEC > end)
                        break;
                g_usleep(AUTOSTART_PAUSE_USEC);
        }
        g_propagate_error(error, g_steal_pointer(&last));
        return false;
}

static bool run_run(Ctl *ctl, char **args, GError **error)
{
        if (autostart && args[0])
                return ctl_usage_error(error, "--autostart is for all VMs, not for one");
        if (!autostart && !args[0])
                return ctl_usage_error(error, "usage: directlunctl run [OPTION…] VM");
        return autostart ? run_autostart(ctl, error) : run_one(ctl, args[0], error);
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

#define XML_BYTES_MAX (16U * 1024 * 1024)

/* Of the file, or (NULL) of standard input. */
static char *read_xml(const char *path, GError **error)
{
        g_autoptr(GIOChannel) channel = path ? g_io_channel_new_file(path, "r", error)
                                             : g_io_channel_unix_new(STDIN_FILENO);
        g_autofree char *text = NULL;
        gsize size;

        if (!channel ||
            g_io_channel_read_to_end(channel, &text, &size, error) != G_IO_STATUS_NORMAL)
                return NULL;
        if (size > XML_BYTES_MAX || strlen(text) != size) {
                ctl_usage_error(error, "that is not the XML of a domain");
                return NULL;
        }
        return g_steal_pointer(&text);
}

static bool run_prepare_start(Ctl *ctl, char **args, GError **error)
{
        g_autofree char *xml = read_xml(args[0], error);
        g_autoptr(CtlCall)
                call = xml ? ctl_call_new(ctl, CTL_ROOT, "Manager", "PrepareStart", error) : NULL;
        g_autoptr(sd_bus_message) reply = NULL;

        if (!call)
                return false;
        ctl_call_append(call, "s", xml);
        ctl_call_open(call);
        reply = ctl_call_run(call, error);
        return reply;
}

static const GOptionEntry no_options[] = {{}};

const CtlCommand ctl_vm_commands[] = {
        {"vms", "", "List the VMs", 0, 0, no_options, run_vms},
        {"run", "VM", "Connect what a VM needs, and start it", 0, 1, run_options, run_run},
        {"stop", "VM", "Stop a VM and let go of its connections", 1, 1, stop_options, run_stop},
        {"prepare-start", "[FILE]", "Prove the disks of a domain's XML; for libvirt's hook", 0, 1,
         no_options, run_prepare_start},
        {},
};
