/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the files that keep LUNs share. Loop thread only. */

#include "core/core-private.h"

/* SPC-6, peripheral device types */
#define DL_DEVICE_TYPE_DISK        0x00
#define DL_DEVICE_TYPE_SIMPLE_DISK 0x0e
#define DL_DEVICE_TYPE_ZONED       0x14

/* portal NULL: on any of that target. */
bool dl_path_is_on_portal(const DlPath *path, const char *iqn, const DlPortal *portal);

/* Frees it. */
void dl_lun_remove_path(DlLun *lun, unsigned index);
