/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* CHAP credentials in arguments: names, and secrets by file descriptor. Loop thread only. */

#include "core/flows.h"

/* As given; borrowed from the message. Nothing is read from the descriptors before the client is
 * authorised. */
typedef struct DlBusChap {
        const char *user; /* NULL: not given */
        int secret;       /* -1: not given */
        const char *target_user;
        int target_secret;
} DlBusChap;

#define DL_BUS_CHAP_NONE ((DlBusChap){.secret = -1, .target_secret = -1})

bool dl_bus_chap_is_given(const DlBusChap *chap);

/* InvalidArgs for what cannot belong together. */
bool dl_bus_chap_check(const DlBusChap *chap, GError **error);

/* Reads the secrets. ret_chap owns them: dl_bus_chap_unload(). */
bool dl_bus_chap_load(const DlBusChap *chap, DlChap *ret_chap, GError **error);
void dl_bus_chap_unload(DlChap *chap);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(DlChap, dl_bus_chap_unload)
