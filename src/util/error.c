/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The table of error codes and their names. Any thread. */

#include "error.h"

static const char *const names[_DL_ERROR_MAX] = {
        [DL_ERROR_FAILED] = "Failed",
        [DL_ERROR_PORTAL_UNREACHABLE] = "PortalUnreachable",
        [DL_ERROR_NAME_RESOLUTION] = "NameResolution",
        [DL_ERROR_AUTH_FAILED] = "AuthFailed",
        [DL_ERROR_TARGET_NOT_FOUND] = "TargetNotFound",
        [DL_ERROR_LUN_NOT_VISIBLE] = "LunNotVisible",
        [DL_ERROR_LUN_NOT_FOUND] = "LunNotFound",
        [DL_ERROR_GUID_MISMATCH] = "GuidMismatch",
        [DL_ERROR_GUID_NOT_UNIQUE] = "GuidNotUnique",
        [DL_ERROR_PATHS_INCONSISTENT] = "PathsInconsistent",
        [DL_ERROR_LUN_SHRUNK] = "LunShrunk",
        [DL_ERROR_IN_USE] = "InUse",
        [DL_ERROR_NOT_SHAREABLE] = "NotShareable",
        [DL_ERROR_ALREADY_ATTACHED] = "AlreadyAttached",
        [DL_ERROR_NOT_ATTACHED] = "NotAttached",
        [DL_ERROR_VM_NOT_FOUND] = "VmNotFound",
        [DL_ERROR_VM_NOT_RUNNING] = "VmNotRunning",
        [DL_ERROR_VM_RUNNING] = "VmRunning",
        [DL_ERROR_BUSY] = "Busy",
        [DL_ERROR_NO_HOST_AVAILABLE] = "NoHostAvailable",
        [DL_ERROR_HOST_NOT_FOUND] = "HostNotFound",
        [DL_ERROR_FENCING_REQUIRED] = "FencingRequired",
        [DL_ERROR_RESERVATION_BLOCKS_MIGRATION] = "ReservationBlocksMigration",
        [DL_ERROR_UNSUPPORTED_FORMAT] = "UnsupportedFormat",
        [DL_ERROR_UNSUPPORTED_INTERFACE] = "UnsupportedInterface",
        [DL_ERROR_GUEST_DID_NOT_RELEASE] = "GuestDidNotRelease",
        [DL_ERROR_STORAGE_DOMAIN_CONFLICT] = "StorageDomainConflict",
        [DL_ERROR_LIMITS_EXCEEDED] = "LimitsExceeded",
        [DL_ERROR_ENGINE_UNAVAILABLE] = "EngineUnavailable",
        [DL_ERROR_PROTOCOL_ERROR] = "ProtocolError",
        [DL_ERROR_CANCELLED] = "Cancelled",
        [DL_ERROR_TIMED_OUT] = "TimedOut",
        [DL_ERROR_LIBVIRT_ERROR] = "LibvirtError",
        [DL_ERROR_INVALID_ARGS] = "InvalidArgs",
        [DL_ERROR_ACCESS_DENIED] = "AccessDenied",
        [DL_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED] = "InteractiveAuthorizationRequired",
};

GQuark dl_error_quark(void)
{
        return g_quark_from_static_string("directlun-error");
}

const char *dl_error_name(int code)
{
        if (code < 0 || code >= _DL_ERROR_MAX)
                code = DL_ERROR_FAILED;
        return names[code];
}

DlErrorCode dl_error_from_name(const char *name)
{
        for (int code = 0; name && code < _DL_ERROR_MAX; code++)
                if (g_str_equal(names[code], name))
                        return code;
        return DL_ERROR_FAILED;
}

DlErrorCode dl_error_code(const GError *error)
{
        return error && error->domain == DL_ERROR ? (DlErrorCode)error->code : DL_ERROR_FAILED;
}
