/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Who a LUN is, from the bytes it answers. Pure: no I/O, no globals, any thread.
 */

#include "scsi/inquiry.h"
#include "scsi/vpd.h"

#include <glib.h>

/*
 * The GUID, the same string that a host which sees the LUN through its kernel has: ID_SERIAL of
 * udev's "scsi_id --export --whitelisted" (and "scsi_id -g -u"), which is also multipath's WWID.
 *
 * The rules, in this order; the first that gives something wins, and of several designators of one
 * rank the first in the page:
 *
 *   1. page 0x83 whose byte 6 is not 0 (the form of before SPC-3): '3' and the bytes in hex
 *   2. designators of page 0x83 that are about the LUN itself (association 0), by their type:
 *      '3' NAA 6, NAA 5, then any other NAA; '2' EUI-64; '1' T10 vendor id; '0' vendor specific
 *      (with vendor and product before it). Of one type those in binary, as hex, before ASCII
 *   3. page 0x80: 'S', vendor, product, serial number
 *   4. a SCSI name string of page 0x83 ("iqn.", "eui.", "naa."): '8', '2' or '3' and the name
 *      without those four characters, lower case for the latter two
 *
 * Text ends at a NUL; spaces at its end are removed and a run of spaces inside becomes one '_', as
 * does every byte that a device node's name may not have. Only the first 254 bytes of a page count.
 *
 * It differs from scsi_id in three things, all outside what scsi_id answers sensibly:
 *   - blank identifiers (empty, or all spaces) are passed over; scsi_id gives the bare prefix
 *     then, which all unconfigured LUNs of an array would share;
 *   - a designator that goes on beyond the 254 bytes is passed over; scsi_id reads its stack there;
 *   - rule 4 is multipath's; scsi_id gives nothing, and where it does give something we agree.
 *
 * page83, page80: the raw page with its header, or NULL if the LUN does not have it. Newly
 * allocated, valid UTF-8 without control characters or spaces; NULL if the LUN has no identity.
 */
char *dl_scsi_guid(const DlScsiInquiry *inquiry, const uint8_t *page83, size_t page83_size,
                   const uint8_t *page80, size_t page80_size);

/*
 * All that the LUN can be called by these rules (char *; for g_ptr_array_unref()), the GUID first.
 * A host's udev may have other preferences than scsi_id: the rules of sg3_utils take a T10 vendor
 * id before an NAA that is only locally assigned. What need not differ from LUN to LUN (a vendor's
 * own designator, the serial number of page 0x80) is a name only of one that has no better.
 */
GPtrArray *dl_scsi_names(const DlScsiInquiry *inquiry, const uint8_t *page83, size_t page83_size,
                         const uint8_t *page80, size_t page80_size);

/*
 * A digest of all that page 0x83 says about the LUN itself, and nothing of what it says about the
 * port or the target, so that it is the same on every path. NULL if this is not that page.
 */
char *dl_scsi_fingerprint(const uint8_t *page83, size_t size);
