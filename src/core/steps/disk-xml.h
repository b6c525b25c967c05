/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The disk element of an attachment whose LUN was proven, and the secret that QEMU needs for it. */

#include "core/steps/proof.h"

/*
 * Newly allocated. The persistent domain (live: false) names the portal as it was written: a host
 * name may mean something else at the next start. A running QEMU is told the very address that was
 * proven, because it would look the name up with the whole VM standing still, and could get another
 * address.
 */
char *dl_disk_xml(const DlVm *vm, const DlDomainAttachment *meta, const DlProof *proof, bool live);

/* Puts the CHAP secret of the target (it must have one) where the disk element says it is. */
DlVirtCall *dl_disk_give_secret(DlTarget *target, DlVirtDone done, void *userdata);
/* Takes it away again; it is no error if it is not there. */
DlVirtCall *dl_disk_forget_secret(DlTarget *target, DlVirtDone done, void *userdata);
