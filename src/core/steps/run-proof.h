/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Everything that a VM needs of the storage before it starts: each of its disks proven, all side by
 * side, and its persistent domain made to name the portal on which each was proven. Loop thread
 * only.
 */

#include "core/core-private.h"

typedef struct DlRunProof DlRunProof;
typedef void (*DlRunProven)(const GError *error, void *userdata);

/* core: where it looks (see DlOperation). done: once, from the loop, not after a free: when all are
 * proven, or at the first failure of one that is not optional. An optional one fails for itself: it
 * is left out. */
DlRunProof *dl_run_proof_start(DlCore *core, DlVm *vm, DlRunProven done, void *userdata);

/* Gives libvirt the CHAP secrets, and rewrites the disks whose LUN moved. done: the same rules. */
void dl_run_proof_write(DlRunProof *proof, DlRunProven done, void *userdata);

/* What dl_run_proof_write() would do: char *, each to be read after "Would". */
GPtrArray *dl_run_proof_changes(const DlRunProof *proof);
/* The aliases of the disks that are left out; newly allocated. */
GStrv dl_run_proof_left_out(const DlRunProof *proof);
/* NULL: it is not. Borrowed. */
const GError *dl_run_proof_why_left_out(const DlRunProof *proof, const char *attachment);

/* Lets go of the targets. Takes NULL. */
void dl_run_proof_free(DlRunProof *proof);
