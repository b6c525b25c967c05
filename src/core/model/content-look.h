/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * One look at what is on LUNs: the head and tail of some of one target are read through one portal,
 * or of one by the helper from a device of this host; then, of those that are LVM's, the text that
 * names the volume group; then a worker recognises what there is (see content/content.h). LUNs are
 * known by their GUIDs: they may go meanwhile. Loop thread only.
 */

#include "content/content.h"
#include "core/core-private.h"

typedef struct DlContentLook DlContentLook;

typedef struct DlContentFound {
        const char *guid;
        DlContent *content; /* may be taken; NULL with error */
        const GError *error;
} DlContentFound;

/* From the loop, once, not after a free; the look is over, and found is borrowed. */
typedef void (*DlContentLooked)(DlContentFound *found, size_t n_found, void *userdata);

/* paths[i] is the path of luns[i]; all are on one portal. */
DlContentLook *dl_content_look_new(DlCore *core, DlLun *const *luns, DlPath *const *paths,
                                   size_t n_luns, DlContentLooked done, void *userdata);
/* The device is one of the LUN. */
DlContentLook *dl_content_look_new_device(DlCore *core, const DlLun *lun,
                                          const DlBlockDevice *device, DlContentLooked done,
                                          void *userdata);
void dl_content_look_free(DlContentLook *look); /* takes NULL */
