/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Asking polkit, without waiting for it. Loop thread only. */

#include "bus/bus-private.h"

/* What somebody may be allowed to do: a set. */
typedef enum DlBusAction {
        DL_BUS_DISCOVER = 1 << 0,
        DL_BUS_CONNECT = 1 << 1,
        DL_BUS_UNMANAGE = 1 << 2,
        DL_BUS_MANAGE_VDISK = 1 << 3,
        DL_BUS_ATTACH = 1 << 4,
        DL_BUS_HOT_PLUG = 1 << 5,
        DL_BUS_RUN_VM = 1 << 6,
        DL_BUS_MIGRATE = 1 << 7,
        DL_BUS_MANAGE_CREDENTIALS = 1 << 8,
        DL_BUS_FORCE = 1 << 9,
        DL_BUS_CANCEL_JOB = 1 << 10,
        DL_BUS_CANCEL_JOB_OTHER_USER = 1 << 11,
        DL_BUS_STORAGE_DOMAIN = 1 << 12,
} DlBusAction;

typedef struct DlBusAuth DlBusAuth;

/* error NULL: allowed. Else AccessDenied, InteractiveAuthorizationRequired, TimedOut or
 * LimitsExceeded. */
typedef void (*DlBusAuthDone)(const GError *error, void *userdata);

/*
 * Asks whether the sender of a call may do this one action; details (string → string) are for the
 * rules. The person is asked for a password only if the call allows that. done() is called from the
 * loop, unless the query is freed before; the query is freed by its owner. Negative errno.
 */
int dl_bus_auth_new(DlBus *bus, sd_bus_message *call, DlBusAction action, GHashTable *details,
                    DlBusAuthDone done, void *userdata, DlBusAuth **ret);
void dl_bus_auth_free(DlBusAuth *auth); /* takes NULL; withdraws a question that is not answered */
