/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* CHAP credentials in arguments: names, and secrets by file descriptor or by the token of one that
 * the client has written to a socket (bus-secret.h). Loop thread only. */

#include "bus/bus-private.h"

/* As given; borrowed from the message, but for what the tokens stood for. Nothing is read from the
 * descriptors before the client is authorised. */
typedef struct DlBusChap {
        const char *user;         /* NULL: not given */
        int secret;               /* -1: not given */
        const char *secret_token; /* NULL: not given */
        const char *target_user;
        int target_secret;
        const char *target_secret_token;
        DlSecret *handed_over; /* owned; NULL unless redeemed */
        DlSecret *target_handed_over;
} DlBusChap;

#define DL_BUS_CHAP_NONE ((DlBusChap){.secret = -1, .target_secret = -1})

bool dl_bus_chap_is_given(const DlBusChap *chap);

/* InvalidArgs for what cannot belong together. */
bool dl_bus_chap_check(const DlBusChap *chap, GError **error);

/* Takes what the sender's tokens stand for. This is the last that parse() does: a token is spent by
 * it, and somebody may have to be asked for a password for longer than a token lives. */
bool dl_bus_chap_redeem(DlBus *bus, sd_bus_message *call, DlBusChap *chap, GError **error);
void dl_bus_chap_clear(DlBusChap *chap);

/* Reads the secrets. ret_chap owns them: dl_bus_chap_unload(). */
bool dl_bus_chap_load(const DlBusChap *chap, DlChap *ret_chap, GError **error);
void dl_bus_chap_unload(DlChap *chap);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(DlChap, dl_bus_chap_unload)
