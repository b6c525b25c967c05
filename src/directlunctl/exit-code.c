/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The table of exit statuses. Errors belong to who asked for them. One thread. */

#include "directlunctl/exit-code.h"

#include <stdbool.h>
#include <string.h>

#define OUR_ERRORS "org.ovirt.DirectLun.Error."

GQuark ctl_error_quark(void)
{
        return g_quark_from_static_string("directlunctl-error");
}

/* No default: the compiler tells which new error has no exit status yet. */
static CtlExit exit_of(DlErrorCode code)
{
        switch (code) {
        case DL_ERROR_INVALID_ARGS:
        case DL_ERROR_UNSUPPORTED_FORMAT:
        case DL_ERROR_UNSUPPORTED_INTERFACE:
                return CTL_EXIT_USAGE;
        case DL_ERROR_TARGET_NOT_FOUND:
        case DL_ERROR_LUN_NOT_FOUND:
        case DL_ERROR_VM_NOT_FOUND:
        case DL_ERROR_HOST_NOT_FOUND:
        case DL_ERROR_NOT_ATTACHED:
                return CTL_EXIT_NOT_FOUND;
        case DL_ERROR_IN_USE:
        case DL_ERROR_NOT_SHAREABLE:
        case DL_ERROR_ALREADY_ATTACHED:
        case DL_ERROR_VM_NOT_RUNNING:
        case DL_ERROR_VM_RUNNING:
        case DL_ERROR_BUSY:
        case DL_ERROR_FENCING_REQUIRED:
        case DL_ERROR_RESERVATION_BLOCKS_MIGRATION:
        case DL_ERROR_STORAGE_DOMAIN_CONFLICT:
        case DL_ERROR_LIMITS_EXCEEDED:
                return CTL_EXIT_REFUSED;
        case DL_ERROR_PORTAL_UNREACHABLE:
        case DL_ERROR_NAME_RESOLUTION:
        case DL_ERROR_LUN_NOT_VISIBLE:
        case DL_ERROR_NO_HOST_AVAILABLE:
        case DL_ERROR_TIMED_OUT:
                return CTL_EXIT_UNREACHABLE;
        case DL_ERROR_AUTH_FAILED:
                return CTL_EXIT_CHAP;
        case DL_ERROR_ACCESS_DENIED:
        case DL_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED:
                return CTL_EXIT_PERMISSION;
        case DL_ERROR_CANCELLED:
                return CTL_EXIT_CANCELLED;
        case DL_ERROR_GUEST_DID_NOT_RELEASE:
                return CTL_EXIT_GUEST;
        case DL_ERROR_LIBVIRT_ERROR:
                return CTL_EXIT_LIBVIRT;
        case DL_ERROR_GUID_MISMATCH:
        case DL_ERROR_GUID_NOT_UNIQUE:
        case DL_ERROR_PATHS_INCONSISTENT:
        case DL_ERROR_LUN_SHRUNK:
                return CTL_EXIT_IDENTITY;
        case DL_ERROR_ENGINE_UNAVAILABLE:
                return CTL_EXIT_SERVICE;
        case DL_ERROR_FAILED:
        case DL_ERROR_PROTOCOL_ERROR:
        case _DL_ERROR_MAX:
                break;
        }
        return CTL_EXIT_FAILED;
}

CtlExit ctl_exit_code(const GError *error)
{
        if (!error || g_error_matches(error, CTL_ERROR, CTL_ERROR_DRY_RUN))
                return CTL_EXIT_OK;
        if (error->domain == DL_ERROR)
                return exit_of((DlErrorCode)error->code);
        if (error->domain == CTL_ERROR)
                return error->code == CTL_ERROR_NOT_FOUND ? CTL_EXIT_NOT_FOUND
                       : error->code == CTL_ERROR_SERVICE ? CTL_EXIT_SERVICE
                                                          : CTL_EXIT_INTERRUPTED;
        return CTL_EXIT_FAILED;
}

const char *ctl_error_name(const GError *error)
{
        return error->domain == DL_ERROR ? dl_error_name(error->code) : NULL;
}

typedef struct BusName {
        const char *name;
        bool ours;
        int code;
} BusName;

/* What the bus, polkit and sd-bus themselves say. */
static const BusName bus_names[] = {
        {SD_BUS_ERROR_INVALID_ARGS, true, DL_ERROR_INVALID_ARGS},
        {SD_BUS_ERROR_ACCESS_DENIED, true, DL_ERROR_ACCESS_DENIED},
        {SD_BUS_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED, true,
         DL_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED},
        {SD_BUS_ERROR_NO_REPLY, true, DL_ERROR_TIMED_OUT},
        {SD_BUS_ERROR_TIMEOUT, true, DL_ERROR_TIMED_OUT},
        {"org.freedesktop.DBus.Error.TimedOut", true, DL_ERROR_TIMED_OUT},
        {SD_BUS_ERROR_LIMITS_EXCEEDED, true, DL_ERROR_LIMITS_EXCEEDED},
        {SD_BUS_ERROR_UNKNOWN_OBJECT, false, CTL_ERROR_NOT_FOUND},
        {SD_BUS_ERROR_SERVICE_UNKNOWN, false, CTL_ERROR_SERVICE},
        {SD_BUS_ERROR_NAME_HAS_NO_OWNER, false, CTL_ERROR_SERVICE},
        {SD_BUS_ERROR_DISCONNECTED, false, CTL_ERROR_SERVICE},
        {SD_BUS_ERROR_NO_SERVER, false, CTL_ERROR_SERVICE},
};

GError *ctl_error_from_bus(const char *name, const char *message)
{
        const char *text = message && *message ? message : "no reason was given";

        if (g_str_has_prefix(name, OUR_ERRORS))
                return g_error_new(DL_ERROR, dl_error_from_name(name + strlen(OUR_ERRORS)), "%s",
                                   text);
        for (unsigned i = 0; i < G_N_ELEMENTS(bus_names); i++)
                if (strcmp(bus_names[i].name, name) == 0)
                        return g_error_new(bus_names[i].ours ? DL_ERROR : CTL_ERROR,
                                           bus_names[i].code, "%s", text);
        if (g_str_has_prefix(name, "org.freedesktop.DBus.Error.Spawn.") ||
            g_str_has_prefix(name, "org.freedesktop.systemd1."))
                return g_error_new(CTL_ERROR, CTL_ERROR_SERVICE,
                                   "the service cannot be started: %s", text);
        return g_error_new(DL_ERROR, DL_ERROR_FAILED, "%s", text);
}
