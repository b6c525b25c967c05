/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What an error means for the exit status, and how a D-Bus error becomes a GError. One thread. */

#include "util/error.h"

#include <systemd/sd-bus.h>

/* Documented in directlunctl(1): numbers never change their meaning. */
typedef enum CtlExit {
        CTL_EXIT_OK = 0,
        CTL_EXIT_FAILED = 1,
        CTL_EXIT_USAGE = 2,
        CTL_EXIT_NOT_FOUND = 3,
        CTL_EXIT_REFUSED = 4,     /* by the state that something is in */
        CTL_EXIT_UNREACHABLE = 5, /* or too slow */
        CTL_EXIT_CHAP = 6,
        CTL_EXIT_PERMISSION = 7,
        CTL_EXIT_CANCELLED = 8,
        CTL_EXIT_GUEST = 9,
        CTL_EXIT_LIBVIRT = 10,
        CTL_EXIT_IDENTITY = 11,
        CTL_EXIT_SERVICE = 12,
        CTL_EXIT_INTERRUPTED = 130, /* left at once, by the second Ctrl-C */
} CtlExit;

/* What goes wrong here rather than in the service; everything else is a DL_ERROR. */
typedef enum CtlErrorCode {
        CTL_ERROR_NOT_FOUND,   /* no such object */
        CTL_ERROR_SERVICE,     /* the service cannot be reached on the bus */
        CTL_ERROR_INTERRUPTED, /* the second Ctrl-C */
        CTL_ERROR_DRY_RUN,     /* nothing: what would be done has been told, and that is all */
} CtlErrorCode;

#define CTL_ERROR (ctl_error_quark())
GQuark ctl_error_quark(void);

CtlExit ctl_exit_code(const GError *error);

/* The last part of the error's D-Bus name, as the man page lists it; NULL if it has none. */
const char *ctl_error_name(const GError *error);

/* Of a D-Bus error's name and message (which may be NULL). Never NULL. */
GError *ctl_error_from_bus(const char *name, const char *message);
