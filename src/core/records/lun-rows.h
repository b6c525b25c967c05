/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The rows of LUNs, written many at a time. Each transaction waits for the disk: ten thousand LUNs
 * that are found at once must not be as many transactions, which all others would have to wait for.
 * What comes while rows are being written waits for these, and goes together then; without that,
 * for a moment in which more may come. Loop thread only.
 */

#include "core/core-private.h"

DlLunRows *dl_lun_rows_new(DlCore *core);

/* Submits what waits: the store may be closed behind it. */
void dl_lun_rows_flush(DlLunRows *rows);
void dl_lun_rows_free(DlLunRows *rows);

/* value NULL: the row is deleted. */
void dl_lun_rows_write(DlLunRows *rows, const char *guid, const char *value);

/* Once all rows that were given to dl_lun_rows_write() by now are on the disk, or were refused by
 * the store (which is logged: they can be learnt again). The callback runs once, from the loop,
 * unless the core goes first: wait for it. */
void dl_lun_rows_then(DlLunRows *rows, void (*done)(void *userdata), void *userdata);
