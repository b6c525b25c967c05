/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The disk element of an attachment whose LUN was proven, and the secret that QEMU needs for it. */

#include "core/proof.h"

/* Newly allocated. */
char *dl_disk_xml(const DlCore *core, const DlDomainAttachment *meta, const DlProof *proof);

/* Puts the CHAP secret of the target (it must have one) where the disk element says it is. */
DlVirtCall *dl_disk_give_secret(const DlTarget *target, DlVirtDone done, void *userdata);
