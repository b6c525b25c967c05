/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The entity a user manages. Loop thread only. */

#include "core/model/image.h"
#include "core/model/object.h"

struct DlVDisk {
        DlObject object; /* id: UUIDv5 of the GUID */
        char *guid;
        char *alias;       /* never NULL; the GUID by default */
        char *description; /* never NULL */
        GPtrArray *images; /* DlImage; entry 0 is the raw LUN */
        int64_t revision;  /* of its row in the store */
};

DlImage *dl_vdisk_find_image(const DlVDisk *vdisk, const char *uid, unsigned *ret_index);
/* The files of its overlays, the uppermost first, NULL-terminated; at the moment of an image (uid
 * NULL: now). Newly allocated, the strings are borrowed. */
const char **dl_vdisk_files(const DlVDisk *vdisk, const char *uid);
DlLun *dl_vdisk_lun(const DlVDisk *vdisk);       /* NULL if its LUN is not known now */
GPtrArray *dl_vdisk_attachments(DlVDisk *vdisk); /* DlAttachment, borrowed; free the array */
