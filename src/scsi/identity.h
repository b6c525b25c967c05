/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Who a LUN is, from the bytes it answers. Pure: no I/O, no globals, any thread.
 */

#include "scsi/inquiry.h"
#include "scsi/vpd.h"

/*
 * The GUID exactly as udev's "scsi_id -g" computes it: the best designator of page 0x83 (prefix
 * '0'…'8' by designator type), else the serial number of page 0x80 with prefix 'S', vendor and
 * product. Newly allocated; NULL if the LUN has neither.
 *
 * page83, page80: the raw page with its header, or NULL if the LUN does not have it.
 */
char *dl_scsi_guid(const DlScsiInquiry *inquiry, const uint8_t *page83, size_t page83_size,
                   const uint8_t *page80, size_t page80_size);
