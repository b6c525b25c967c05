/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* org.ovirt.DirectLun.Vm. Loop thread only. */

#include "bus/bus-call.h"
#include "bus/bus-device.h"
#include "bus/bus-reply.h"

/* ---- AttachDisk ---------------------------------------------------------------------------- */

static bool parse_attach(DlBusCall *call, void *args, GError **error)
{
        DlBusDevice *device = args;
        const DlVDisk *vdisk;

        if (!dl_bus_device_read(call->message, device, error) ||
            !dl_bus_parse_options(call, args, error))
                return false;
        dl_bus_call_detail(call, "guid", device->spec.guid);
        if (device->spec.vdisk) {
                vdisk = DL_LOOKUP_VDISK(call->bus->core, device->spec.vdisk);
                dl_bus_call_detail(call, "guid", vdisk ? vdisk->guid : NULL);
        }
        dl_bus_call_detail(call, "guid", device->spec.inline_lun.guid);
        dl_bus_call_detail(call, "target", device->spec.inline_lun.iqn);
        dl_bus_call_detail(call, "portal", device->spec.inline_lun.address);
        return dl_bus_chap_redeem(call->bus, call->message, &device->chap, error);
}

static void clear_attach(void *args)
{
        dl_bus_device_clear(args);
}

static DlBusAction attach_actions(const DlBusCall *call, const void *args, const void *object)
{
        const DlBusDevice *device = args;
        int plug = device->spec.plug;
        DlBusAction actions = 0;

        if (plug > 0 || (plug < 0 && dl_vm_is_active(object)))
                actions |= DL_BUS_HOT_PLUG;
        if (dl_bus_chap_is_given(&device->chap)) /* it is kept for the target */
                actions |= DL_BUS_MANAGE_CREDENTIALS;
        return actions;
}

static DlJob *start_attach(DlBusCall *call, void *args, void *object, const DlRequest *request,
                           GError **error)
{
        DlBusDevice *device = args;
        g_auto(DlChap) chap = {};
        DlDeviceSpec spec = device->spec;

        if (!dl_bus_chap_load(&device->chap, &chap, error))
                return NULL;
        spec.inline_lun.chap = chap;
        /* Should the VM be started before it is the job's turn, the job must not do what nobody
         * allowed. */
        if (spec.plug < 0 && !dl_vm_is_active(object))
                spec.plug = 0;
        return dl_flow_attach_disk(object, request, &spec, error);
}

static int method_attach_disk(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
        static const DlBusMethod method = {
                .verb = "attach-disk",
                .args_size = sizeof(DlBusDevice),
                .parse = parse_attach,
                .clear = clear_attach,
                .action = DL_BUS_ATTACH,
                .more_actions = attach_actions,
                .start = start_attach,
                .reply = dl_bus_reply_object,
        };

        return dl_bus_call_begin(m, userdata, &method);
}

/* ---- Run, Restart, Stop, Migrate ----------------------------------------------------------- */

typedef struct RunArgs {
        GStrv hosts;
        const char *image; /* of Run; NULL: as it is */
} RunArgs;

static bool parse_hosts(DlBusCall *call, RunArgs *a, GError **error)
{
        if (!dl_bus_names_read(call->message, "preferred_hosts", &a->hosts, error))
                return false;
        dl_bus_call_detail(call, "host", a->hosts[0]);
        return true;
}

static bool parse_run(DlBusCall *call, void *args, GError **error)
{
        static const DlBusOption options[] = {
                {"image", 's', .offset = offsetof(RunArgs, image)},
                {},
        };

        return parse_hosts(call, args, error) &&
               dl_bus_options_read(call->message, options, args, &call->options, error);
}

static bool parse_restart(DlBusCall *call, void *args, GError **error)
{
        return parse_hosts(call, args, error) && dl_bus_parse_options(call, args, error);
}

static void clear_run(void *args)
{
        RunArgs *a = args;

        g_strfreev(a->hosts);
}

static DlJob *start_run(DlBusCall *call, void *args, void *object, const DlRequest *request,
                        GError **error)
{
        RunArgs *a = args;
        const char *const *hosts = (const char *const *)a->hosts;

        return a->image ? dl_flow_run_image(object, request, hosts, a->image, error)
                        : dl_flow_run(object, request, hosts, error);
}

static int method_run(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
        static const DlBusMethod method = {
                .verb = "run",
                .args_size = sizeof(RunArgs),
                .parse = parse_run,
                .clear = clear_run,
                .action = DL_BUS_RUN_VM,
                .start = start_run,
                .reply = dl_bus_reply_string,
        };

        return dl_bus_call_begin(m, userdata, &method);
}

static DlJob *start_restart(DlBusCall *call, void *args, void *object, const DlRequest *request,
                            GError **error)
{
        RunArgs *a = args;

        return dl_flow_restart(object, request, (const char *const *)a->hosts, error);
}

static int method_restart(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
        static const DlBusMethod method = {
                .verb = "restart",
                .args_size = sizeof(RunArgs),
                .parse = parse_restart,
                .clear = clear_run,
                .action = DL_BUS_RUN_VM,
                .start = start_restart,
                .reply = dl_bus_reply_string,
        };

        return dl_bus_call_begin(m, userdata, &method);
}

typedef struct StopArgs {
        int graceful;
} StopArgs;

static bool parse_stop(DlBusCall *call, void *args, GError **error)
{
        static const DlBusOption options[] = {
                {"graceful", 'b', .offset = offsetof(StopArgs, graceful)},
                {},
        };

        return dl_bus_options_read(call->message, options, args, &call->options, error);
}

static DlJob *start_stop(DlBusCall *call, void *args, void *object, const DlRequest *request,
                         GError **error)
{
        StopArgs *a = args;

        return dl_flow_stop(object, request, a->graceful, error);
}

static int method_stop(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
        static const DlBusMethod method = {
                .verb = "stop",
                .args_size = sizeof(StopArgs),
                .parse = parse_stop,
                .action = DL_BUS_RUN_VM,
                .start = start_stop,
        };

        return dl_bus_call_begin(m, userdata, &method);
}

typedef struct MigrateArgs {
        const char *destination;
} MigrateArgs;

static bool parse_migrate(DlBusCall *call, void *args, GError **error)
{
        MigrateArgs *a = args;
        int r;

        r = sd_bus_message_read(call->message, "s", &a->destination);
        if (!dl_bus_read_ok(r, "destination", error) ||
            !dl_bus_check_text("destination", a->destination, 1, DL_BUS_NAME_MAX, error))
                return false;
        dl_bus_call_detail(call, "host", a->destination);
        return dl_bus_parse_options(call, args, error);
}

static DlJob *start_migrate(DlBusCall *call, void *args, void *object, const DlRequest *request,
                            GError **error)
{
        MigrateArgs *a = args;

        return dl_flow_migrate(object, request, a->destination, error);
}

static int method_migrate(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
        static const DlBusMethod method = {
                .verb = "migrate",
                .args_size = sizeof(MigrateArgs),
                .parse = parse_migrate,
                .action = DL_BUS_MIGRATE,
                .start = start_migrate,
        };

        return dl_bus_call_begin(m, userdata, &method);
}

/* ---- properties ---------------------------------------------------------------------------- */

DL_BUS_GETTER(get_name, DlVm, vm, reply)
{
        return dl_bus_append_text(reply, vm->name);
}

DL_BUS_GETTER(get_uuid, DlVm, vm, reply)
{
        return sd_bus_message_append(reply, "s", vm->object.id);
}

DL_BUS_GETTER(get_state, DlVm, vm, reply)
{
        return sd_bus_message_append(reply, "s", dl_virt_state_name(vm->state));
}

DL_BUS_GETTER(get_autostart, DlVm, vm, reply)
{
        return sd_bus_message_append(reply, "b", vm->autostart);
}

DL_BUS_GETTER(get_host, DlVm, vm, reply)
{
        return dl_bus_append_text(reply, dl_vm_host(vm));
}

DL_BUS_GETTER(get_attachments, DlVm, vm, reply)
{
        g_autoptr(GPtrArray) attachments = dl_vm_attachments((DlVm *)vm);

        return dl_bus_append_paths(reply, attachments);
}

DL_BUS_GETTER(get_required_targets, DlVm, vm, reply)
{
        g_autoptr(GPtrArray) targets = dl_vm_required_targets((DlVm *)vm);

        return dl_bus_append_paths(reply, targets);
}

const sd_bus_vtable dl_bus_vm_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD_WITH_ARGS("AttachDisk", SD_BUS_ARGS("a{sv}", device, "a{sv}", options),
                                SD_BUS_RESULT("o", attachment), method_attach_disk,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Run", SD_BUS_ARGS("as", preferred_hosts, "a{sv}", options),
                                SD_BUS_RESULT("s", host), method_run, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Stop", SD_BUS_ARGS("a{sv}", options), SD_BUS_NO_RESULT,
                                method_stop, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Migrate", SD_BUS_ARGS("s", destination, "a{sv}", options),
                                SD_BUS_NO_RESULT, method_migrate, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Restart", SD_BUS_ARGS("as", preferred_hosts, "a{sv}", options),
                                SD_BUS_RESULT("s", host), method_restart,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        DL_BUS_CHANGES("Name", "s", get_name),
        DL_BUS_CONST("Uuid", "s", get_uuid),
        DL_BUS_CHANGES("State", "s", get_state),
        DL_BUS_CHANGES("Host", "s", get_host),
        DL_BUS_CHANGES("Autostart", "b", get_autostart),
        DL_BUS_CHANGES("Attachments", "ao", get_attachments),
        DL_BUS_CHANGES("RequiredTargets", "ao", get_required_targets),
        SD_BUS_VTABLE_END,
};
