/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Proving a target: every portal of it is asked at once, what each answers is merged into the LUNs,
 * and the portal's state follows. The callback runs when all have answered, or a moment after the
 * first good answer: a portal that is silent must not hold up the good ones. It goes on being asked
 * in the background.
 *
 * The callback runs once, from the loop, not after a cancel, and never after the target is gone.
 * Loop thread only.
 */

#include "core/core-private.h"

typedef struct DlConnect DlConnect;

/* error NULL: proven on at least one portal. Else the error that says most of all the portals'. */
typedef void (*DlConnectDone)(const GError *error, void *userdata);

/* luns NULL: all LUNs, else only these. The target must not go away meanwhile (dl_target_acquire).
 */
DlConnect *dl_connect_start(DlTarget *target, const uint64_t *luns, size_t n_luns,
                            DlConnectDone done, void *userdata);

/* Stops waiting, and asking. Takes NULL. */
void dl_connect_cancel(DlConnect *connect);
