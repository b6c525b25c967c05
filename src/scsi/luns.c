/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Logical unit numbers and REPORT LUNS. Pure; the caller owns the results; any thread. */

#include "scsi/luns.h"

#include "scsi/cursor.h"

#include <errno.h>
#include <glib.h>

enum {
        LUN_LIST_HEADER_SIZE = 8
};

/* the first byte of the extended forms: method 11b, LENGTH, EXTENDED ADDRESS METHOD */
enum {
        FIRST_WELL_KNOWN = 0xc1,
        FIRST_EXTENDED = 0xd2,
        FIRST_LONG_EXTENDED = 0xe2,
};

static bool rest_is_zero(DlCursor c)
{
        while (dl_cursor_left(&c) > 0)
                if (dl_cursor_u8(&c) != 0)
                        return false;
        return true;
}

/* c is behind the first byte. Forms that are not plain numbers keep the whole as their number. */
static int decode_form(uint8_t first, DlCursor *c, uint64_t *number, DlScsiLunMethod *method)
{
        switch (first) {
        case 0x00:
                *method = DL_SCSI_LUN_PERIPHERAL;
                *number = dl_cursor_u8(c);
                break;
        case 0x01 ... 0x3f:
                *method = DL_SCSI_LUN_PERIPHERAL_BUS;
                return 0; /* what follows addresses the unit behind that bus */
        case 0x40 ... 0x7f:
                *method = DL_SCSI_LUN_FLAT;
                *number = (uint64_t)(first & 0x3f) << 8 | dl_cursor_u8(c);
                break;
        case 0x80 ... 0xbf:
                *method = DL_SCSI_LUN_LOGICAL_UNIT;
                dl_cursor_skip(c, 1);
                break;
        case FIRST_WELL_KNOWN:
                *method = DL_SCSI_LUN_WELL_KNOWN;
                dl_cursor_skip(c, 1);
                break;
        case FIRST_EXTENDED:
                *method = DL_SCSI_LUN_EXTENDED;
                *number = dl_cursor_uint(c, 3);
                break;
        case FIRST_LONG_EXTENDED:
                *method = DL_SCSI_LUN_LONG_EXTENDED;
                *number = dl_cursor_uint(c, 5);
                break;
        default:
                return -EBADMSG;
        }
        return rest_is_zero(*c) ? 0 : -EBADMSG;
}

int dl_scsi_lun_decode(const uint8_t wire[DL_SCSI_LUN_WIRE_SIZE], DlScsiLun *ret)
{
        DlCursor whole = dl_cursor(wire, DL_SCSI_LUN_WIRE_SIZE), c = whole;
        DlScsiLun lun = {.number = dl_cursor_u64(&whole)};
        uint8_t first = dl_cursor_u8(&c);
        int r = decode_form(first, &c, &lun.number, &lun.method);

        if (r < 0)
                return r;
        memcpy(lun.wire, wire, sizeof(lun.wire));
        *ret = lun;
        return 0;
}

static void put_uint(uint64_t value, uint8_t wire[DL_SCSI_LUN_WIRE_SIZE])
{
        for (int i = DL_SCSI_LUN_WIRE_SIZE - 1; i >= 0; i--, value >>= 8)
                wire[i] = (uint8_t)value;
}

int dl_scsi_lun_encode(uint64_t number, uint8_t ret[DL_SCSI_LUN_WIRE_SIZE])
{
        uint8_t wire[DL_SCSI_LUN_WIRE_SIZE];
        DlScsiLun lun;

        if (number <= DL_SCSI_LUN_PERIPHERAL_MAX)
                put_uint(number << 48, wire);
        else if (number <= DL_SCSI_LUN_FLAT_MAX)
                put_uint((UINT64_C(0x4000) | number) << 48, wire);
        else if (number <= DL_SCSI_LUN_EXTENDED_MAX)
                put_uint((uint64_t)FIRST_EXTENDED << 56 | number << 32, wire);
        else if (number <= DL_SCSI_LUN_LONG_EXTENDED_MAX)
                put_uint((uint64_t)FIRST_LONG_EXTENDED << 56 | number << 16, wire);
        else
                put_uint(number, wire);

        /* a large number may be the bytes of a form that is a plain number, or of none */
        if (dl_scsi_lun_decode(wire, &lun) < 0 || lun.number != number)
                return -ERANGE;
        memcpy(ret, wire, sizeof(wire));
        return 0;
}

int dl_scsi_luns_full_size(const uint8_t *data, size_t size, uint64_t *ret)
{
        DlCursor c = dl_cursor(data, size);
        uint32_t length = dl_cursor_u32(&c);

        if (!dl_cursor_ok(&c))
                return -EBADMSG;
        *ret = (uint64_t)LUN_LIST_HEADER_SIZE + length;
        return 0;
}

static int compare_luns(const void *a, const void *b)
{
        uint64_t x = ((const DlScsiLun *)a)->number, y = ((const DlScsiLun *)b)->number;

        return (x > y) - (x < y);
}

/* Sorts and keeps the first of each number. Two forms of one number are one logical unit. */
static size_t sort_unique(DlScsiLun *luns, size_t n)
{
        size_t kept = 0;

        if (n > 1)
                qsort(luns, n, sizeof(*luns), compare_luns);
        for (size_t i = 0; i < n; i++)
                if (kept == 0 || luns[kept - 1].number != luns[i].number)
                        luns[kept++] = luns[i];
        return kept;
}

int dl_scsi_luns_parse(const uint8_t *data, size_t size, size_t max, DlScsiLun **ret, size_t *ret_n,
                       size_t *ret_ignored)
{
        DlCursor c = dl_cursor(data, size);
        size_t length = dl_cursor_u32(&c), n = 0, ignored = 0;

        dl_cursor_skip(&c, 4);
        if (!dl_cursor_ok(&c) || length % DL_SCSI_LUN_WIRE_SIZE != 0)
                return -EBADMSG;
        if (length / DL_SCSI_LUN_WIRE_SIZE > max)
                return -E2BIG;
        if (length > dl_cursor_left(&c))
                return -ENOBUFS;

        DlCursor list = dl_cursor_sub(&c, length);
        g_autofree DlScsiLun *luns = g_new(DlScsiLun, length / DL_SCSI_LUN_WIRE_SIZE);
        while (dl_cursor_left(&list) > 0) {
                if (dl_scsi_lun_decode(dl_cursor_bytes(&list, DL_SCSI_LUN_WIRE_SIZE), &luns[n]) < 0)
                        ignored++;
                else if (luns[n].method != DL_SCSI_LUN_WELL_KNOWN)
                        n++;
        }
        *ret_n = sort_unique(luns, n);
        *ret_ignored = ignored;
        *ret = n > 0 ? g_steal_pointer(&luns) : NULL;
        return 0;
}
