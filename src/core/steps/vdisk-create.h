/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Making and removing the row of a vDisk: one transaction, and the object when it is durable. */

#include "core/core-private.h"

typedef struct DlVDiskCreate DlVDiskCreate;

/* vdisk is published. created false: somebody made it meanwhile. Exactly one of vdisk and error. */
typedef void (*DlVDiskCreated)(DlVDisk *vdisk, bool created, const GError *error, void *userdata);

/* The callback runs once, always: wait for it. alias, description: NULL for the default. */
void dl_vdisk_create(DlCore *core, const char *guid, const char *alias, const char *description,
                     DlVDiskCreated done, void *userdata);

/* The same, with the images that a VM has (files, the uppermost first; NULL: none). */
void dl_vdisk_restore(DlCore *core, const char *guid, const char *alias, const char *description,
                      const char *const *files, DlVDiskCreated done, void *userdata);

/* Writes its data as they are to be (NULL: as they are), then takes them over. */
void dl_vdisk_write(DlVDisk *vdisk, const char *alias, const char *description, DlPersisted done,
                    void *userdata);

/* Writes its stack as it is to be, then takes it over; the caller has an intent for it. The array
 * must not be changed any more. */
void dl_vdisk_write_images(DlVDisk *vdisk, GPtrArray *images, DlPersisted done, void *userdata);

/* Removes it; it must have no attachments. */
void dl_vdisk_remove(DlVDisk *vdisk, DlPersisted done, void *userdata);
