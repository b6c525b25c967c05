/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The input is a REPORT LUNS answer. */

#include "fuzz.h"

#include "scsi/luns.h"

#include <errno.h>
#include <string.h>

/* Every LUN stands in the answer, and its number stands for it. */
static void check_lun(const DlScsiLun *lun, const uint8_t *data, size_t size)
{
        uint8_t wire[DL_SCSI_LUN_WIRE_SIZE];
        DlScsiLun again;
        bool found = false;

        for (size_t i = 8; !found && i + 8 <= size; i += 8)
                found = memcmp(data + i, lun->wire, 8) == 0;
        g_assert_true(found);
        g_assert_cmpuint(lun->method, !=, DL_SCSI_LUN_WELL_KNOWN);

        g_assert_cmpint(dl_scsi_lun_decode(lun->wire, &again), ==, 0);
        g_assert_true(again.number == lun->number && again.method == lun->method);
        g_assert_cmpint(dl_scsi_lun_encode(lun->number, wire), ==, 0);
        g_assert_cmpint(dl_scsi_lun_decode(wire, &again), ==, 0);
        g_assert_cmpuint(again.number, ==, lun->number);
}

/* A number that can be encoded is the number of what comes out. */
static void check_encode(const uint8_t *data, size_t size)
{
        uint8_t wire[DL_SCSI_LUN_WIRE_SIZE];
        uint64_t number = 0;
        DlScsiLun lun;

        for (size_t i = 0; i < MIN(size, 8); i++)
                number = number << 8 | data[i];
        if (dl_scsi_lun_encode(number, wire) < 0) {
                g_assert_cmpuint(number, >, DL_SCSI_LUN_LONG_EXTENDED_MAX);
                return;
        }
        g_assert_cmpint(dl_scsi_lun_decode(wire, &lun), ==, 0);
        g_assert_cmpuint(lun.number, ==, number);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        g_autofree DlScsiLun *luns = NULL;
        size_t n = 0, ignored = 0;
        uint64_t full = 0;

        check_encode(data, size);
        int r = dl_scsi_luns_parse(data, size, size, &luns, &n, &ignored);
        if (r < 0) {
                g_assert_true(!luns && n == 0 && ignored == 0);
                return 0;
        }

        g_assert_cmpint(dl_scsi_luns_full_size(data, size, &full), ==, 0);
        g_assert_cmpuint(full, <=, size);
        g_assert_cmpuint(8 + 8 * (n + ignored), <=, full);
        g_assert_true((n == 0) == !luns);
        for (size_t i = 0; i < n; i++) {
                g_assert_true(i == 0 || luns[i - 1].number < luns[i].number);
                check_lun(&luns[i], data, full);
        }
        if (full > 8)
                g_assert_cmpint(
                        dl_scsi_luns_parse(data, size, (full - 8) / 8 - 1, &luns, &n, &ignored), ==,
                        -E2BIG);
        return 0;
}
