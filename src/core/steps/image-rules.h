/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What may be done with the images of a vDisk while VMs have it. One attachment writes to the
 * vDisk; others may be given, to read, what it was at the moment of an image: nothing that they see
 * may change. Looks, changes nothing. Loop thread only.
 */

#include "core/core-private.h"

/* The moment is lost: a merge into what there was then has been begun. */
bool dl_image_is_lost(const DlVDisk *vdisk, unsigned index);

/* The attachment that may write to the vDisk: NULL if there is none. NotShareable if there may be
 * several. */
bool dl_image_writer(DlVDisk *vdisk, DlAttachment **ret, GError **error);

/* InUse if somebody reads what is in entry first of the stack, or above. */
bool dl_image_check_readers(DlVDisk *vdisk, unsigned first, GError **error);

/* Who alone writes to the vDisk has the current image, and need not say so: its image is NULL then.
 */
void dl_image_normalize(DlVDisk *vdisk, DlDomainAttachment *meta);

/* Whether the vDisk (NULL: a new one) can be attached so. InvalidArgs, NotShareable,
 * UnsupportedInterface. */
bool dl_image_check_attach(const DlVDisk *vdisk, const DlDomainAttachment *meta, GError **error);

/* Whether the overlays of a disk are these files; whether this is one of them. */
bool dl_image_chain_is(const DlDomainDisk *disk, const char *const *files);
bool dl_image_chain_has(const DlDomainDisk *disk, const char *file);

/* InUse if the disk (NULL: none) of an attachment has overlays that somebody else has laid over it:
 * what they hold would be lost if it was plugged again as we know it. */
bool dl_image_check_known(const DlVm *vm, const DlDomainAttachment *meta, const DlDomainDisk *disk,
                          GError **error);
