/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The table of block devices, and what of it belongs to one GUID. One thread at a time. */

#include "host/block-device.h"

typedef struct DlBlockTable DlBlockTable;

DlBlockTable *dl_block_table_new(void);
void dl_block_table_free(DlBlockTable *table); /* takes NULL */

/* By its directory in sysfs. Takes over the device, in place of what was there; device NULL: there
 * is none any more. Returns whether that is new; the GUIDs of both are then to be told. */
bool dl_block_table_set(DlBlockTable *table, const char *sysfs, DlBlockDevice *device);
DlBlockDevice *dl_block_table_get(const DlBlockTable *table, const char *sysfs);
DlBlockDevice *dl_block_table_get_devnum(const DlBlockTable *table, dev_t devnum);
DlBlockDevice *dl_block_table_get_name(const DlBlockTable *table, const char *name);
const DlBlockLun *dl_block_table_lun(const DlBlockTable *table, const char *guid);
/* A device was changed in place: its GUID is to be told. */
void dl_block_table_touch(DlBlockTable *table, const DlBlockDevice *device);

/* DlBlockDevice, by directory; not to be changed while it is walked. */
GHashTable *dl_block_table_devices(const DlBlockTable *table);
GHashTable *dl_block_table_luns(const DlBlockTable *table); /* by GUID */

/* The GUIDs to be told (char *), their LUNs up to date; NULL: none. For g_ptr_array_unref(). */
GPtrArray *dl_block_table_take_changed(DlBlockTable *table);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(DlBlockTable, dl_block_table_free)
