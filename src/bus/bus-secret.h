/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Secrets that clients hand over by a socket, because what they reach the bus through passes no
 * descriptors (Cockpit's bridge). A client asks for a socket and gets a token with it; it writes
 * the secret to the socket and names the token in one later call. Both are good for that client and
 * its user only, once, for SecretTimeoutSec, and as long as the client is on the bus. Nothing is
 * done with a secret here: what the later call may do is polkit's to say. Loop thread only.
 */

#include "bus/bus-call.h"

/* The table of a DlBus. */
GHashTable *dl_bus_secrets_new(void);

/* Opens a socket for who calls. The token is the bus's; the path is the caller's. NULL with
 * LimitsExceeded or Failed. */
const char *dl_bus_secret_accept(DlBusCall *call, char **ret_path, GError **error);

/* Takes the secret; the token is spent. NULL with InvalidArgs if the sender has none of that token,
 * or has not written it. */
DlSecret *dl_bus_secret_redeem(DlBus *bus, const char *sender, const char *token, GError **error);

/* A client is gone, and with it what it has not used. */
void dl_bus_secrets_abandon(DlBus *bus, const char *sender);
