/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* org.ovirt.DirectLun.Manager, on the root. Loop thread only. */

#include "bus/bus-call.h"
#include "bus/bus-chap.h"
#include "bus/bus-error.h"
#include "bus/bus-lun-list.h"
#include "bus/bus-object.h"
#include "bus/bus-reply.h"
#include "bus/bus-secret.h"
#include "config.h"

/* ---- DiscoverTargets ----------------------------------------------------------------------- */

typedef struct DiscoverArgs {
        const char *address;
        uint16_t port;
        DlBusChap chap;
} DiscoverArgs;

static bool parse_discover(DlBusCall *call, void *args, GError **error)
{
        static const DlBusOption options[] = {
                {"user", 's', .offset = offsetof(DlBusChap, user)},
                {"secret", 'h', .offset = offsetof(DlBusChap, secret)},
                {"secret-token", 's', .offset = offsetof(DlBusChap, secret_token)},
                {"target-user", 's', .offset = offsetof(DlBusChap, target_user)},
                {"target-secret", 'h', .offset = offsetof(DlBusChap, target_secret)},
                {"target-secret-token", 's', .offset = offsetof(DlBusChap, target_secret_token)},
                {},
        };
        DiscoverArgs *a = args;
        int r;

        a->chap = DL_BUS_CHAP_NONE;
        r = sd_bus_message_read(call->message, "sq", &a->address, &a->port);
        if (!dl_bus_read_ok(r, "arguments", error) ||
            !dl_bus_options_read(call->message, options, &a->chap, &call->options, error) ||
            !dl_bus_check_text("address", a->address, 1, DL_BUS_NAME_MAX, error) ||
            !dl_bus_check_port(a->port, error))
                return false;
        dl_bus_call_detail(call, "portal", a->address);
        return dl_bus_chap_check(&a->chap, error) &&
               dl_bus_chap_redeem(call->bus, call->message, &a->chap, error);
}

static void clear_discover(void *args)
{
        DiscoverArgs *a = args;

        dl_bus_chap_clear(&a->chap);
}

/* What is given is kept for the targets that are found. */
static DlBusAction discover_actions(const DlBusCall *call, const void *args, const void *object)
{
        const DiscoverArgs *a = args;

        return dl_bus_chap_is_given(&a->chap) ? DL_BUS_MANAGE_CREDENTIALS : 0;
}

static DlJob *start_discover(DlBusCall *call, void *args, void *object, const DlRequest *request,
                             GError **error)
{
        DiscoverArgs *a = args;
        g_auto(DlChap) chap = {};

        if (!dl_bus_chap_load(&a->chap, &chap, error))
                return NULL;
        return dl_flow_discover(call->bus->core, request, a->address, a->port, &chap, error);
}

static int method_discover_targets(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
        static const DlBusMethod method = {
                .verb = "discover",
                .args_size = sizeof(DiscoverArgs),
                .parse = parse_discover,
                .clear = clear_discover,
                .action = DL_BUS_DISCOVER,
                .more_actions = discover_actions,
                .start = start_discover,
                .reply = dl_bus_reply_objects,
        };

        return dl_bus_call_begin(m, NULL, &method);
}

/* ---- AddTarget ----------------------------------------------------------------------------- */

typedef struct AddTargetArgs {
        const char *iqn;
        GArray *portals; /* DlPortalArg */
} AddTargetArgs;

static bool parse_portals(sd_bus_message *m, GArray *portals, GError **error)
{
        DlPortalArg portal;
        int r;

        r = sd_bus_message_enter_container(m, 'a', "(sqq)");
        while (r >= 0 && (r = sd_bus_message_read(m, "(sqq)", &portal.address, &portal.port,
                                                  &portal.tpgt)) > 0) {
                if (!dl_bus_check_text("address", portal.address, 1, DL_BUS_NAME_MAX, error) ||
                    !dl_bus_check_port(portal.port, error))
                        return false;
                g_array_append_val(portals, portal);
        }
        if (r >= 0)
                r = sd_bus_message_exit_container(m);
        if (!dl_bus_read_ok(r, "portals", error))
                return false;
        if (portals->len < 1 || portals->len > DL_BUS_PORTALS_MAX) {
                g_set_error(error, DL_ERROR, DL_ERROR_INVALID_ARGS,
                            "a target must have between 1 and %d portals", DL_BUS_PORTALS_MAX);
                return false;
        }
        return true;
}

static bool parse_add_target(DlBusCall *call, void *args, GError **error)
{
        AddTargetArgs *a = args;
        int r;

        a->portals = g_array_new(false, false, sizeof(DlPortalArg));
        r = sd_bus_message_read(call->message, "s", &a->iqn);
        if (!dl_bus_read_ok(r, "iqn", error) ||
            !dl_bus_check_text("iqn", a->iqn, 1, DL_BUS_NAME_MAX, error))
                return false;
        dl_bus_call_detail(call, "target", a->iqn);
        return parse_portals(call->message, a->portals, error) &&
               dl_bus_parse_options(call, args, error);
}

static void clear_add_target(void *args)
{
        AddTargetArgs *a = args;

        g_array_unref(a->portals);
}

static DlJob *start_add_target(DlBusCall *call, void *args, void *object, const DlRequest *request,
                               GError **error)
{
        AddTargetArgs *a = args;

        return dl_flow_add_target(call->bus->core, request, a->iqn,
                                  (const DlPortalArg *)(void *)a->portals->data, a->portals->len,
                                  error);
}

static int method_add_target(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
        static const DlBusMethod method = {
                .verb = "add-target",
                .args_size = sizeof(AddTargetArgs),
                .parse = parse_add_target,
                .clear = clear_add_target,
                .action = DL_BUS_DISCOVER,
                .start = start_add_target,
                .reply = dl_bus_reply_object,
        };

        return dl_bus_call_begin(m, NULL, &method);
}

/* ---- GetDeviceList ------------------------------------------------------------------------- */

typedef struct DeviceListArgs {
        GStrv guids;
        const char *storage_type;
        int check_status;
        int refresh;
} DeviceListArgs;

static bool parse_device_list(DlBusCall *call, void *args, GError **error)
{
        static const DlBusOption options[] = {
                {"guids", 'a', .offset = offsetof(DeviceListArgs, guids)},
                {"storage-type", 's', .may_be_empty = true,
                 .offset = offsetof(DeviceListArgs, storage_type)},
                {"check-status", 'b', .offset = offsetof(DeviceListArgs, check_status)},
                {"refresh", 'b', .offset = offsetof(DeviceListArgs, refresh)},
                {},
        };

        return dl_bus_options_read(call->message, options, args, &call->options, error);
}

static void clear_device_list(void *args)
{
        DeviceListArgs *a = args;

        g_strfreev(a->guids);
}

/* Reading is free; going out to the targets is not. */
static DlBusAction device_list_actions(const DlBusCall *call, const void *args, const void *object)
{
        const DeviceListArgs *a = args;

        return a->refresh || a->check_status ? DL_BUS_DISCOVER : 0;
}

static DlJob *start_device_list(DlBusCall *call, void *args, void *object, const DlRequest *request,
                                GError **error)
{
        DeviceListArgs *a = args;

        return dl_flow_device_list(call->bus->core, request, (const char *const *)a->guids,
                                   a->storage_type, a->refresh, a->check_status, error);
}

static int reply_device_list(DlBusCall *call, const DlJob *job, sd_bus_message *reply)
{
        return dl_bus_append_luns(reply, job->result_objects);
}

static int method_get_device_list(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
        static const DlBusMethod method = {
                .verb = "get-device-list",
                .args_size = sizeof(DeviceListArgs),
                .parse = parse_device_list,
                .clear = clear_device_list,
                .more_actions = device_list_actions,
                .start = start_device_list,
                .reply = reply_device_list,
        };

        return dl_bus_call_begin(m, NULL, &method);
}

/* ---- CreateVDisk --------------------------------------------------------------------------- */

typedef struct CreateArgs {
        const char *guid, *alias, *description;
} CreateArgs;

static bool parse_create(DlBusCall *call, void *args, GError **error)
{
        static const DlBusOption options[] = {
                {"alias", 's', .offset = offsetof(CreateArgs, alias)},
                {"description", 's', .may_be_empty = true, .max = DL_BUS_DESCRIPTION_MAX,
                 .offset = offsetof(CreateArgs, description)},
                {},
        };
        CreateArgs *a = args;
        int r;

        r = sd_bus_message_read(call->message, "s", &a->guid);
        if (!dl_bus_read_ok(r, "guid", error) ||
            !dl_bus_check_text("guid", a->guid, 1, DL_BUS_NAME_MAX, error))
                return false;
        dl_bus_call_detail(call, "guid", a->guid);
        return dl_bus_options_read(call->message, options, args, &call->options, error);
}

static DlJob *start_create(DlBusCall *call, void *args, void *object, const DlRequest *request,
                           GError **error)
{
        CreateArgs *a = args;

        return dl_flow_create_vdisk(call->bus->core, request, a->guid, a->alias, a->description,
                                    error);
}

static int reply_create(DlBusCall *call, const DlJob *job, sd_bus_message *reply)
{
        int r = dl_bus_append_result(reply, job);

        return r < 0 ? r : sd_bus_message_append(reply, "b", job->result_created);
}

static int method_create_vdisk(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
        static const DlBusMethod method = {
                .verb = "create-vdisk",
                .args_size = sizeof(CreateArgs),
                .parse = parse_create,
                .action = DL_BUS_MANAGE_VDISK,
                .start = start_create,
                .reply = reply_create,
        };

        return dl_bus_call_begin(m, NULL, &method);
}

/* ---- GetVm --------------------------------------------------------------------------------- */

typedef struct GetVmArgs {
        const char *name;
} GetVmArgs;

static bool parse_get_vm(DlBusCall *call, void *args, GError **error)
{
        GetVmArgs *a = args;
        int r = sd_bus_message_read(call->message, "s", &a->name);

        return dl_bus_read_ok(r, "name_or_uuid", error) &&
               dl_bus_check_text("name_or_uuid", a->name, 1, DL_BUS_NAME_MAX, error);
}

static DlJob *start_get_vm(DlBusCall *call, void *args, void *object, const DlRequest *request,
                           GError **error)
{
        const GetVmArgs *a = args;

        return dl_flow_find_vm(call->bus->core, request, a->name, error);
}

static int method_get_vm(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
        static const DlBusMethod method = {
                .verb = "get-vm",
                .args_size = sizeof(GetVmArgs),
                .parse = parse_get_vm,
                .start = start_get_vm,
                .reply = dl_bus_reply_object,
        };

        return dl_bus_call_begin(m, NULL, &method);
}

/* ---- PrepareStart -------------------------------------------------------------------------- */

typedef struct PrepareStartArgs {
        const char *xml;
} PrepareStartArgs;

static bool parse_prepare_start(DlBusCall *call, void *args, GError **error)
{
        PrepareStartArgs *a = args;
        int r = sd_bus_message_read(call->message, "s", &a->xml);

        return dl_bus_read_ok(r, "domain_xml", error) && dl_bus_parse_options(call, NULL, error);
}

static DlJob *start_prepare_start(DlBusCall *call, void *args, void *object,
                                  const DlRequest *request, GError **error)
{
        const PrepareStartArgs *a = args;

        return dl_flow_prepare_start(call->bus->core, request, a->xml, error);
}

static int method_prepare_start(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
        static const DlBusMethod method = {
                .verb = "prepare-start",
                .args_size = sizeof(PrepareStartArgs),
                .parse = parse_prepare_start,
                .action = DL_BUS_RUN_VM,
                .start = start_prepare_start,
        };

        return dl_bus_call_begin(m, NULL, &method);
}

/* ---- AcceptSecret -------------------------------------------------------------------------- */

typedef struct AcceptArgs {
        char *path;
        const char *token; /* the bus has it */
} AcceptArgs;

static bool parse_accept(DlBusCall *call, void *args, GError **error)
{
        return dl_bus_options_read(call->message, NULL, NULL, NULL, error);
}

static void clear_accept(void *args)
{
        AcceptArgs *a = args;

        g_free(a->path);
}

static bool act_accept(DlBusCall *call, void *args, void *object, GError **error)
{
        AcceptArgs *a = args;

        a->token = dl_bus_secret_accept(call, &a->path, error);
        return a->token;
}

static int reply_accept(DlBusCall *call, const DlJob *job, sd_bus_message *reply)
{
        const AcceptArgs *a = call->args;

        return sd_bus_message_append(reply, "ss", a->path, a->token);
}

static int method_accept_secret(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
        static const DlBusMethod method = {
                .verb = "accept-secret",
                .args_size = sizeof(AcceptArgs),
                .parse = parse_accept,
                .clear = clear_accept,
                .act = act_accept,
                .reply = reply_accept,
        };

        return dl_bus_call_begin(m, NULL, &method);
}

/* ---- what is answered at once -------------------------------------------------------------- */

static int method_describe(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
        const DlBusFolder *root = userdata;
        g_autoptr(GError) error = NULL;
        g_autofree char *json = NULL;

        if (!dl_bus_options_read(m, NULL, NULL, NULL, &error))
                return dl_bus_reply_error(m, error);
        json = dl_core_describe(root->bus->core);
        return sd_bus_reply_method_return(m, "s", json);
}

/* ---- properties ---------------------------------------------------------------------------- */

DL_BUS_GETTER(get_version, DlBusFolder, root, reply)
{
        return sd_bus_message_append(reply, "s", DL_VERSION);
}

DL_BUS_GETTER(get_features, DlBusFolder, root, reply)
{
        return dl_bus_append_strv(reply, dl_core_features(root->bus->core));
}

DL_BUS_GETTER(get_initiator_name, DlBusFolder, root, reply)
{
        return dl_bus_append_text(reply, dl_core_initiator_name(root->bus->core));
}

DL_BUS_GETTER(get_engine, DlBusFolder, root, reply)
{
        return sd_bus_message_append(reply, "s", dl_core_engine(root->bus->core));
}

const sd_bus_vtable dl_bus_manager_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD_WITH_ARGS(
                "DiscoverTargets", SD_BUS_ARGS("s", address, "q", port, "a{sv}", options),
                SD_BUS_RESULT("ao", targets), method_discover_targets, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS(
                "AddTarget", SD_BUS_ARGS("s", iqn, "a(sqq)", portals, "a{sv}", options),
                SD_BUS_RESULT("o", target), method_add_target, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("GetDeviceList", SD_BUS_ARGS("a{sv}", options),
                                SD_BUS_RESULT("aa{sv}", devices), method_get_device_list,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("CreateVDisk", SD_BUS_ARGS("s", guid, "a{sv}", options),
                                SD_BUS_RESULT("o", vdisk, "b", created), method_create_vdisk,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("GetVm", SD_BUS_ARGS("s", name_or_uuid), SD_BUS_RESULT("o", vm),
                                method_get_vm, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("PrepareStart", SD_BUS_ARGS("s", domain_xml, "a{sv}", options),
                                SD_BUS_NO_RESULT, method_prepare_start, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("AcceptSecret", SD_BUS_ARGS("a{sv}", options),
                                SD_BUS_RESULT("s", socket, "s", token), method_accept_secret,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Describe", SD_BUS_ARGS("a{sv}", options),
                                SD_BUS_RESULT("s", state), method_describe,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        DL_BUS_CONST("Version", "s", get_version),
        DL_BUS_CONST("Features", "as", get_features),
        DL_BUS_CONST("InitiatorName", "s", get_initiator_name),
        DL_BUS_CONST("Engine", "s", get_engine),
        SD_BUS_VTABLE_END,
};
