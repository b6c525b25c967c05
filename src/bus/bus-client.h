/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The clients that have calls in progress, or secrets here: who they are, how much they may ask for
 * at once, and whether they are still there. A client is known by its unique name, and forgotten
 * with its last call and secret. Loop thread only.
 */

#include "bus/bus-private.h"

typedef struct DlBusClient DlBusClient;
typedef struct DlBusCall DlBusCall;

/*
 * Counts the call among its sender's. NULL with LimitsExceeded if there are max already. If the
 * client is not known yet, dl_bus_call_identified() or _unidentified() is called later, from
 * the loop; dl_bus_call_abandoned() if it is gone, at any time.
 */
DlBusClient *dl_bus_client_join(DlBus *bus, DlBusCall *call, const char *sender, unsigned max,
                                GError **error);

/* Whether it is known who it is. */
bool dl_bus_client_is_known(const DlBusClient *client, uint32_t *ret_uid);

/* The call has ended; the client may go with it. */
void dl_bus_client_leave(DlBusClient *client, DlBusCall *call);

/* The client is watched on behalf of a secret, too: dl_bus_secrets_abandon() is called when it is
 * gone. To be kept while one of its calls is there. */
void dl_bus_client_keep(DlBusClient *client);
void dl_bus_client_release(DlBusClient *client); /* it may go with this */

/* Counts a call among those of its user. False with LimitsExceeded. */
bool dl_bus_user_enter(DlBus *bus, uint32_t uid, GError **error);
void dl_bus_user_exit(DlBus *bus, uint32_t uid);
