/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What a libvirtd that died in the middle of a plug has left in QEMU, and its successor does not
 * know of: the block node of the LUN (libvirt adds it first), or the device itself, which the guest
 * then has although libvirt says that it has not. The next plug would stumble over the name, the
 * LUN be taken for free. QEMU tells, and removes it; the guest has to release a device. Loop thread
 * only.
 */

#include "core/core-private.h"

typedef struct DlLeftover DlLeftover;

/* Whether a plug failed because of such a thing. */
bool dl_leftover_is_told(const GError *error);

/*
 * Removes what QEMU has of the disk of this vDisk, which libvirt's running domain does not have.
 * done: once, from the loop, not after a cancel; with GuestDidNotRelease the device is still there.
 */
DlLeftover *dl_leftover_remove(DlVm *vm, const char *vdisk, DlVirtDone done, void *userdata);
void dl_leftover_cancel(DlLeftover *leftover); /* takes NULL */
