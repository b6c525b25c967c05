/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* org.ovirt.DirectLun.Target. Loop thread only. */

#include "bus/bus-call.h"
#include "bus/bus-chap.h"
#include "bus/bus-reply.h"
#include "host/helper-protocol.h"

/* ---- methods ------------------------------------------------------------------------------- */

#define PATHS_MAX      1024
#define INTERFACES_MAX 16

typedef struct ConnectArgs {
        GStrv guids, interfaces;
        int pin;
        const char *data_path;
        uint32_t paths;
} ConnectArgs;

static bool check_data_path(const ConnectArgs *args, GError **error)
{
        static const char *const data_paths[] = {"auto", "qemu", "block", NULL};
        bool qemu = g_strcmp0(args->data_path, "qemu") == 0;

        if (args->data_path && !g_strv_contains(data_paths, args->data_path)) {
                g_set_error(error, DL_ERROR, DL_ERROR_INVALID_ARGS,
                            "data-path must be auto, qemu or block");
                return false;
        }
        if (args->paths > PATHS_MAX || (args->paths > 0 && qemu)) {
                g_set_error(error, DL_ERROR, DL_ERROR_INVALID_ARGS,
                            "paths is not for data-path qemu, and at most %d", PATHS_MAX);
                return false;
        }
        return true;
}

static bool check_interfaces(const ConnectArgs *args, GError **error)
{
        unsigned n = 0;

        for (GStrv name = args->interfaces; name && *name; name++, n++)
                if (!dl_helper_is_interface(*name)) {
                        g_set_error(error, DL_ERROR, DL_ERROR_INVALID_ARGS,
                                    "interfaces has a name that cannot be one of open-iscsi's; see "
                                    "iscsiadm -m iface");
                        return false;
                }
        if (n <= INTERFACES_MAX && (n == 0 || g_strcmp0(args->data_path, "qemu") != 0))
                return true;
        g_set_error(error, DL_ERROR, DL_ERROR_INVALID_ARGS,
                    "interfaces is not for data-path qemu, and at most %d", INTERFACES_MAX);
        return false;
}

static bool parse_connect(DlBusCall *call, void *args, GError **error)
{
        static const DlBusOption options[] = {
                {"guids", 'a', .offset = offsetof(ConnectArgs, guids)},
                {"pin", 'b', .offset = offsetof(ConnectArgs, pin)},
                {"data-path", 's', .offset = offsetof(ConnectArgs, data_path)},
                {"paths", 'u', .offset = offsetof(ConnectArgs, paths)},
                {"interfaces", 'a', .offset = offsetof(ConnectArgs, interfaces)},
                {},
        };

        return dl_bus_options_read(call->message, options, args, &call->options, error) &&
               check_data_path(args, error) && check_interfaces(args, error);
}

static void clear_connect(void *args)
{
        ConnectArgs *a = args;

        g_strfreev(a->guids);
        g_strfreev(a->interfaces);
}

static DlJob *start_connect(DlBusCall *call, void *args, void *object, const DlRequest *request,
                            GError **error)
{
        const ConnectArgs *a = args;
        const DlConnectSpec spec = {
                .guids = (const char *const *)a->guids,
                .pin = a->pin,
                .data_path = a->data_path,
                .n_paths = a->paths,
                .interfaces = (const char *const *)a->interfaces,
        };

        return dl_flow_connect(object, request, &spec, error);
}

static int method_connect(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
        static const DlBusMethod method = {
                .verb = "connect",
                .args_size = sizeof(ConnectArgs),
                .parse = parse_connect,
                .clear = clear_connect,
                .action = DL_BUS_CONNECT,
                .start = start_connect,
        };

        return dl_bus_call_begin(m, userdata, &method);
}

static DlJob *start_unmanage(DlBusCall *call, void *args, void *object, const DlRequest *request,
                             GError **error)
{
        return dl_flow_unmanage(object, request, error);
}

static int method_unmanage(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
        static const DlBusMethod method = {
                .verb = "unmanage",
                .parse = dl_bus_parse_options,
                .action = DL_BUS_UNMANAGE,
                .start = start_unmanage,
        };

        return dl_bus_call_begin(m, userdata, &method);
}

static DlJob *start_rescan(DlBusCall *call, void *args, void *object, const DlRequest *request,
                           GError **error)
{
        return dl_flow_rescan(object, request, error);
}

static int method_rescan(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
        static const DlBusMethod method = {
                .verb = "rescan",
                .parse = dl_bus_parse_options,
                .action = DL_BUS_CONNECT,
                .start = start_rescan,
                .reply = dl_bus_reply_objects,
        };

        return dl_bus_call_begin(m, userdata, &method);
}

/* What follows the user and the secret, in whatever way that came. */
static bool parse_credentials(DlBusCall *call, DlBusChap *chap, GError **error)
{
        static const DlBusOption options[] = {
                {"target-user", 's', .offset = offsetof(DlBusChap, target_user)},
                {"target-secret", 'h', .offset = offsetof(DlBusChap, target_secret)},
                {"target-secret-token", 's', .offset = offsetof(DlBusChap, target_secret_token)},
                {},
        };

        if (!dl_bus_options_read(call->message, options, chap, &call->options, error) ||
            !dl_bus_check_text("user", chap->user, 0, DL_BUS_NAME_MAX, error))
                return false;
        if (!*chap->user) { /* removes them: there must be a secret, but it says nothing */
                chap->user = NULL;
                chap->secret = -1;
                chap->secret_token = NULL;
        }
        return dl_bus_chap_check(chap, error) &&
               dl_bus_chap_redeem(call->bus, call->message, chap, error);
}

static bool parse_set_credentials(DlBusCall *call, void *args, GError **error)
{
        DlBusChap *chap = args;
        int r;

        *chap = DL_BUS_CHAP_NONE;
        r = sd_bus_message_read(call->message, "sh", &chap->user, &chap->secret);
        return dl_bus_read_ok(r, "arguments", error) && parse_credentials(call, chap, error);
}

static bool parse_set_credentials_by_token(DlBusCall *call, void *args, GError **error)
{
        DlBusChap *chap = args;
        int r;

        *chap = DL_BUS_CHAP_NONE;
        r = sd_bus_message_read(call->message, "ss", &chap->user, &chap->secret_token);
        return dl_bus_read_ok(r, "arguments", error) && parse_credentials(call, chap, error);
}

static void clear_credentials(void *args)
{
        dl_bus_chap_clear(args);
}

static DlJob *start_set_credentials(DlBusCall *call, void *args, void *object,
                                    const DlRequest *request, GError **error)
{
        g_auto(DlChap) chap = {};

        if (!dl_bus_chap_load(args, &chap, error))
                return NULL;
        return dl_flow_set_credentials(object, request, &chap, error);
}

static int method_set_credentials(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
        static const DlBusMethod method = {
                .verb = "set-credentials",
                .args_size = sizeof(DlBusChap),
                .parse = parse_set_credentials,
                .clear = clear_credentials,
                .action = DL_BUS_MANAGE_CREDENTIALS,
                .start = start_set_credentials,
        };

        return dl_bus_call_begin(m, userdata, &method);
}

static int method_set_credentials_by_token(sd_bus_message *m, void *userdata,
                                           sd_bus_error *ret_error)
{
        static const DlBusMethod method = {
                .verb = "set-credentials",
                .args_size = sizeof(DlBusChap),
                .parse = parse_set_credentials_by_token,
                .clear = clear_credentials,
                .action = DL_BUS_MANAGE_CREDENTIALS,
                .start = start_set_credentials,
        };

        return dl_bus_call_begin(m, userdata, &method);
}

static DlJob *start_forget(DlBusCall *call, void *args, void *object, const DlRequest *request,
                           GError **error)
{
        return dl_flow_forget(object, request, error);
}

static int method_forget(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
        static const DlBusMethod method = {
                .verb = "forget",
                .parse = dl_bus_parse_options,
                .action = DL_BUS_UNMANAGE,
                .start = start_forget,
        };

        return dl_bus_call_begin(m, userdata, &method);
}

/* ---- properties ---------------------------------------------------------------------------- */

DL_BUS_GETTER(get_iqn, DlTarget, target, reply)
{
        return dl_bus_append_text(reply, target->object.id);
}

DL_BUS_GETTER(get_portals, DlTarget, target, reply)
{
        int r = sd_bus_message_open_container(reply, 'a', "(sqq)");

        for (unsigned i = 0; r >= 0 && i < target->portals->len; i++) {
                const DlPortal *portal = target->portals->pdata[i];

                r = sd_bus_message_append(reply, "(sqq)", portal->address, portal->port,
                                          portal->tpgt);
        }
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

DL_BUS_GETTER(get_state, DlTarget, target, reply)
{
        return sd_bus_message_append(reply, "s", dl_target_state_name(target->state));
}

DL_BUS_GETTER(get_managed, DlTarget, target, reply)
{
        return sd_bus_message_append(reply, "b", dl_target_is_managed(target));
}

DL_BUS_GETTER(get_foreign, DlTarget, target, reply)
{
        return sd_bus_message_append(reply, "b", target->foreign);
}

DL_BUS_GETTER(get_data_path, DlTarget, target, reply)
{
        return sd_bus_message_append(reply, "s", dl_target_data_path(target));
}

DL_BUS_GETTER(get_data_path_reason, DlTarget, target, reply)
{
        return dl_bus_append_text(reply, target->data_path_why);
}

DL_BUS_GETTER(get_users, DlTarget, target, reply)
{
        g_autoptr(GPtrArray) users = dl_target_users((DlTarget *)target);

        return dl_bus_append_paths(reply, users);
}

DL_BUS_GETTER(get_has_credentials, DlTarget, target, reply)
{
        return sd_bus_message_append(reply, "b", dl_target_has_credentials(target));
}

DL_BUS_GETTER(get_portal_states, DlTarget, target, reply)
{
        int r = sd_bus_message_open_container(reply, 'a', "(sqss)");

        for (unsigned i = 0; r >= 0 && i < target->portals->len; i++) {
                const DlPortal *portal = target->portals->pdata[i];

                r = sd_bus_message_append(reply, "(sqss)", portal->address, portal->port,
                                          dl_target_state_name(portal->state),
                                          dl_last_error_name(&portal->last_error));
        }
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

DL_BUS_GETTER(get_last_error, DlTarget, target, reply)
{
        return dl_bus_append_last_error(reply, &target->last_error);
}

DL_BUS_GETTER(get_luns, DlTarget, target, reply)
{
        g_autoptr(GPtrArray) luns = dl_target_luns(target);

        return dl_bus_append_paths(reply, luns);
}

const sd_bus_vtable dl_bus_target_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD_WITH_ARGS("Connect", SD_BUS_ARGS("a{sv}", options), SD_BUS_NO_RESULT,
                                method_connect, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Unmanage", SD_BUS_ARGS("a{sv}", options), SD_BUS_NO_RESULT,
                                method_unmanage, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Rescan", SD_BUS_ARGS("a{sv}", options), SD_BUS_RESULT("ao", luns),
                                method_rescan, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS(
                "SetCredentials", SD_BUS_ARGS("s", user, "h", secret, "a{sv}", options),
                SD_BUS_NO_RESULT, method_set_credentials, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS(
                "SetCredentialsByToken", SD_BUS_ARGS("s", user, "s", token, "a{sv}", options),
                SD_BUS_NO_RESULT, method_set_credentials_by_token, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Forget", SD_BUS_ARGS("a{sv}", options), SD_BUS_NO_RESULT,
                                method_forget, SD_BUS_VTABLE_UNPRIVILEGED),
        DL_BUS_CONST("Iqn", "s", get_iqn),
        DL_BUS_CHANGES("Portals", "a(sqq)", get_portals),
        DL_BUS_CHANGES("State", "s", get_state),
        DL_BUS_CHANGES("Managed", "b", get_managed),
        DL_BUS_CHANGES("DataPath", "s", get_data_path),
        DL_BUS_CHANGES("DataPathReason", "s", get_data_path_reason),
        DL_BUS_CHANGES("Foreign", "b", get_foreign),
        DL_BUS_CHANGES("Users", "ao", get_users),
        DL_BUS_CHANGES("HasCredentials", "b", get_has_credentials),
        DL_BUS_CHANGES("PortalStates", "a(sqss)", get_portal_states),
        DL_BUS_CHANGES("LastError", "(ss)", get_last_error),
        DL_BUS_CHANGES("Luns", "ao", get_luns),
        SD_BUS_VTABLE_END,
};
