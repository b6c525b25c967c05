/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The errors that users see. Everything that can fail for a reason a user can act on reports a
 * GError of domain DL_ERROR with one of these codes; its message says what happened and what to do
 * next, and never contains a secret. src/bus turns a code into "org.ovirt.DirectLun.Error." plus
 * dl_error_name() (or one of the common D-Bus names), nothing else in the tree knows D-Bus names.
 *
 * Purely technical functions (event loop, file descriptors) return negative errno instead.
 */

#include <glib.h>

typedef enum DlErrorCode {
        DL_ERROR_FAILED = 0, /* internal; a bug or an environment that no other code describes */

        DL_ERROR_PORTAL_UNREACHABLE,
        DL_ERROR_NAME_RESOLUTION,
        DL_ERROR_AUTH_FAILED,
        DL_ERROR_TARGET_NOT_FOUND,
        DL_ERROR_LUN_NOT_VISIBLE,
        DL_ERROR_LUN_NOT_FOUND,
        DL_ERROR_GUID_MISMATCH,
        DL_ERROR_GUID_NOT_UNIQUE,
        DL_ERROR_PATHS_INCONSISTENT,
        DL_ERROR_LUN_SHRUNK,
        DL_ERROR_IN_USE,
        DL_ERROR_NOT_SHAREABLE,
        DL_ERROR_ALREADY_ATTACHED,
        DL_ERROR_NOT_ATTACHED,
        DL_ERROR_VM_NOT_FOUND,
        DL_ERROR_VM_NOT_RUNNING,
        DL_ERROR_VM_RUNNING,
        DL_ERROR_BUSY,
        DL_ERROR_NO_HOST_AVAILABLE,
        DL_ERROR_HOST_NOT_FOUND,
        DL_ERROR_FENCING_REQUIRED,
        DL_ERROR_RESERVATION_BLOCKS_MIGRATION,
        DL_ERROR_UNSUPPORTED_FORMAT,
        DL_ERROR_UNSUPPORTED_INTERFACE,
        DL_ERROR_GUEST_DID_NOT_RELEASE,
        DL_ERROR_STORAGE_DOMAIN_CONFLICT,
        DL_ERROR_LIMITS_EXCEEDED,
        DL_ERROR_ENGINE_UNAVAILABLE,
        DL_ERROR_PROTOCOL_ERROR,
        DL_ERROR_CANCELLED,
        DL_ERROR_TIMED_OUT,
        DL_ERROR_LIBVIRT_ERROR,

        /* these have well-known names outside our own error namespace */
        DL_ERROR_INVALID_ARGS,
        DL_ERROR_ACCESS_DENIED,
        DL_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED,

        _DL_ERROR_MAX,
} DlErrorCode;

#define DL_ERROR (dl_error_quark())
GQuark dl_error_quark(void);

/* "PortalUnreachable" and so on. Never NULL: an unknown code is "Failed". */
const char *dl_error_name(int code);

/* The code of a name that dl_error_name() gives; DL_ERROR_FAILED if there is none. */
DlErrorCode dl_error_from_name(const char *name);

/* The code of an error of any domain: DL_ERROR_FAILED if it is not ours or NULL. */
DlErrorCode dl_error_code(const GError *error);
