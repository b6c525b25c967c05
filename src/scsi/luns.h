/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Logical unit numbers: their 8-byte wire form (SAM-5, 4.7) and the REPORT LUNS data (SPC-6, 6.35).
 *
 * One LUN, one number: peripheral device addressing on bus 0, flat space and the two extended flat
 * forms carry a plain number, and the same number in two forms is the same logical unit. Every
 * other form (logical unit addressing, a unit behind another bus, well known units) is numbered by
 * its 8 wire bytes as one big-endian number, which is at least 2^56 and so no plain number.
 *
 * Pure; any thread.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
        DL_SCSI_LUN_WIRE_SIZE = 8
};

#define DL_SCSI_LUN_PERIPHERAL_MAX    UINT64_C(0xff)
#define DL_SCSI_LUN_FLAT_MAX          UINT64_C(0x3fff)
#define DL_SCSI_LUN_EXTENDED_MAX      UINT64_C(0xffffff)
#define DL_SCSI_LUN_LONG_EXTENDED_MAX UINT64_C(0xffffffffff)

typedef enum DlScsiLunMethod {
        DL_SCSI_LUN_PERIPHERAL,     /* 00b, bus 0: one byte */
        DL_SCSI_LUN_PERIPHERAL_BUS, /* 00b, another bus: a unit further down, not a plain number */
        DL_SCSI_LUN_FLAT,           /* 01b: 14 bits */
        DL_SCSI_LUN_LOGICAL_UNIT,   /* 10b: bus, target, LUN; not a plain number */
        DL_SCSI_LUN_EXTENDED,       /* 11b, 3 bytes */
        DL_SCSI_LUN_LONG_EXTENDED,  /* 11b, 5 bytes */
        DL_SCSI_LUN_WELL_KNOWN,     /* 11b, 1 byte: REPORT LUNS, access controls…; never a disk */
} DlScsiLunMethod;

typedef struct DlScsiLun {
        uint64_t number;
        DlScsiLunMethod method;
        uint8_t wire[DL_SCSI_LUN_WIRE_SIZE]; /* as the target sent it */
} DlScsiLun;

/*
 * -EBADMSG for what no standard defines: reserved extended forms, "not specified" (all ones), and
 * bytes other than zero after a form that ends the address.
 */
int dl_scsi_lun_decode(const uint8_t wire[DL_SCSI_LUN_WIRE_SIZE], DlScsiLun *ret);

/*
 * The wire form of a number: up to 255 peripheral, up to 16383 flat, then the extended forms; a
 * number that dl_scsi_lun_decode() gave for another form gives that form again. -ERANGE for a
 * number that no wire form has.
 */
int dl_scsi_lun_encode(uint64_t number, uint8_t ret[DL_SCSI_LUN_WIRE_SIZE]);

/* The allocation length that holds the whole REPORT LUNS answer of which data is the beginning (at
 * least 4 bytes, else -EBADMSG). More than size means: ask again with so much. */
int dl_scsi_luns_full_size(const uint8_t *data, size_t size, uint64_t *ret);

/*
 * The LUNs of a REPORT LUNS answer that may be disks: in ascending order, each once, at most max.
 * Well known units are left out; entries that cannot be decoded are left out and counted in
 * ret_ignored. *ret is newly allocated (g_free) and NULL if there are none.
 *
 * -EBADMSG: no whole header, or a list length that is not made of whole entries. -ENOBUFS: the list
 * is longer than the data (ask again, see above). -E2BIG: more than max entries.
 */
int dl_scsi_luns_parse(const uint8_t *data, size_t size, size_t max, DlScsiLun **ret, size_t *ret_n,
                       size_t *ret_ignored);
