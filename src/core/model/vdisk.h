/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The entity a user manages. Loop thread only. */

#include "core/model/object.h"

typedef struct DlImage {
        uint64_t time_usec; /* CLOCK_REALTIME */
        char *uid;
} DlImage;

struct DlVDisk {
        DlObject object; /* id: UUIDv5 of the GUID */
        char *guid;
        char *alias;       /* never NULL; the GUID by default */
        char *description; /* never NULL */
        GPtrArray *images; /* DlImage; entry 0 is the raw LUN */
        int64_t revision;  /* of its row in the store */
};

DlLun *dl_vdisk_lun(const DlVDisk *vdisk);       /* NULL if its LUN is not known now */
GPtrArray *dl_vdisk_attachments(DlVDisk *vdisk); /* DlAttachment, borrowed; free the array */
