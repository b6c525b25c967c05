/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Optional disks that a running VM was started without. The domain says which (left-out in our
 * metadata, the disk in the persistent domain and not in the running one), so a restart forgets
 * none, and the end of the VM, HotUnplug and Detach end the wish by themselves. Their targets are
 * kept being asked (see target.c); here is what follows from an answer. Loop thread only.
 */

#include "core/core-private.h"

/* Whether a running VM misses a disk of this target. */
bool dl_target_is_missed(const DlTarget *target);

/* Plugs what is there again; says of what is not why. Called whenever the target's state may have
 * changed: nothing happens twice. */
void dl_missing_look(DlTarget *target);

/* The same, for what the kernel has of a LUN. */
void dl_missing_look_block(DlLun *lun);
