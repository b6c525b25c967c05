/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What is on the LUNs, and keeping that known. What is not known, or was read long ago, is read in
 * the background, a few LUNs at a time, while their target is needed anyway, and not before whoever
 * connected it had a second to list it; nobody waits for that.
 * Who must know waits for a look that begins now. Loop thread only.
 */

#include "core/core-private.h"

typedef struct DlContentWait DlContentWait;

DlContents *dl_contents_new(DlCore *core);
void dl_contents_free(DlContents *contents); /* before the initiator; takes NULL */

/* Somebody saw the LUN: it is looked at in the background if what is known of its content is old.
 */
void dl_contents_want(DlLun *lun);

/* Somebody may have written to it: what is known is old. */
void dl_contents_outdate(DlLun *lun);

/* The target is let go: its LUNs are not looked at any more, but for those that somebody waits for.
 */
void dl_contents_leave(DlCore *core, const char *iqn);

/* What is known was read a moment ago. */
bool dl_contents_is_fresh(const DlLun *lun);

/*
 * done: once, from the loop, when each of the LUNs was looked at after this call, or could not be
 * (content_error of the LUN). Not after a cancel.
 */
DlContentWait *dl_contents_wait(DlCore *core, DlLun *const *luns, size_t n_luns,
                                void (*done)(void *userdata), void *userdata);
void dl_contents_cancel(DlContentWait *wait); /* takes NULL */

/* There is a look under way, or to come. */
bool dl_contents_is_busy(const DlContents *contents);
