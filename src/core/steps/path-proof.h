/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Asks the kernel's disks of a LUN who they are, each by the helper and all at once: what the
 * kernel remembers of them is from when it found them. Namespaces of NVMe are not asked: their
 * target tells the kernel of a change, and it gives up the device. Loop thread only.
 */

#include "core/core-private.h"
#include "host/block-devices.h"

typedef struct DlPathProof DlPathProof;

/* Once, from the loop, and then it is gone. GuidMismatch if one of them is another LUN; else, if
 * none has said that it is this one, what the first has said (LunNotVisible, TimedOut …). */
typedef void (*DlPathsProven)(const GError *error, void *userdata);

/* block is not kept. NULL: there is nothing to ask, and nothing is called. */
DlPathProof *dl_path_proof_start(DlCore *core, const DlBlockLun *block, DlPathsProven done,
                                 void *userdata);

/* Takes NULL. */
void dl_path_proof_cancel(DlPathProof *proof);
