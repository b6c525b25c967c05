/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Logical unit numbers and REPORT LUNS. */

#include "scsi/luns.h"

#include <errno.h>
#include <glib.h>
#include <string.h>

static const struct {
        uint8_t wire[DL_SCSI_LUN_WIRE_SIZE];
        int r;
        DlScsiLunMethod method;
        uint64_t number;
        bool canonical; /* what dl_scsi_lun_encode() gives for the number */
} forms[] = {
        {{0x00, 0x00}, 0, DL_SCSI_LUN_PERIPHERAL, 0, true},
        {{0x00, 0xff}, 0, DL_SCSI_LUN_PERIPHERAL, 255, true},
        {{0x40, 0x00}, 0, DL_SCSI_LUN_FLAT, 0, false},
        {{0x40, 0x05}, 0, DL_SCSI_LUN_FLAT, 5, false},
        {{0x41, 0x00}, 0, DL_SCSI_LUN_FLAT, 256, true},
        {{0x41, 0x2c}, 0, DL_SCSI_LUN_FLAT, 300, true},
        {{0x7f, 0xff}, 0, DL_SCSI_LUN_FLAT, 16383, true},
        {{0xd2, 0x00, 0x00, 0x07}, 0, DL_SCSI_LUN_EXTENDED, 7, false},
        {{0xd2, 0x00, 0x40, 0x00}, 0, DL_SCSI_LUN_EXTENDED, 16384, true},
        {{0xd2, 0xff, 0xff, 0xff}, 0, DL_SCSI_LUN_EXTENDED, 0xffffff, true},
        {{0xe2, 0x00, 0x01, 0x00, 0x00, 0x00}, 0, DL_SCSI_LUN_LONG_EXTENDED, 0x1000000, true},
        {{0xe2, 0xff, 0xff, 0xff, 0xff, 0xff}, 0, DL_SCSI_LUN_LONG_EXTENDED, 0xffffffffff, true},
        {{0x82, 0x47}, 0, DL_SCSI_LUN_LOGICAL_UNIT, UINT64_C(0x8247) << 48, true},
        {{0xbf, 0xff}, 0, DL_SCSI_LUN_LOGICAL_UNIT, UINT64_C(0xbfff) << 48, true},
        {{0x01, 0x02, 0x00, 0x03}, 0, DL_SCSI_LUN_PERIPHERAL_BUS, UINT64_C(0x01020003) << 32, true},
        {{0x3f, 0xff}, 0, DL_SCSI_LUN_PERIPHERAL_BUS, UINT64_C(0x3fff) << 48, true},
        {{0xc1, 0x01}, 0, DL_SCSI_LUN_WELL_KNOWN, UINT64_C(0xc101) << 48, true},

        {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, -EBADMSG},
        {{0xc0, 0x01}, -EBADMSG},
        {{0xd1, 0x00, 0x00, 0x01}, -EBADMSG},
        {{0xf2, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01}, -EBADMSG},
        {{0x00, 0x01, 0x00, 0x02}, -EBADMSG},
        {{0x40, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01}, -EBADMSG},
        {{0x82, 0x47, 0x01}, -EBADMSG},
        {{0xd2, 0x00, 0x00, 0x07, 0x01}, -EBADMSG},
        {{0xe2, 0x00, 0x00, 0x00, 0x00, 0x07, 0x01}, -EBADMSG},
        {{0xc1, 0x01, 0x01}, -EBADMSG},
};

static void test_forms(void)
{
        for (size_t i = 0; i < G_N_ELEMENTS(forms); i++) {
                DlScsiLun lun = {.number = 77};
                uint8_t wire[DL_SCSI_LUN_WIRE_SIZE];

                g_assert_cmpint(dl_scsi_lun_decode(forms[i].wire, &lun), ==, forms[i].r);
                if (forms[i].r < 0) {
                        g_assert_cmpuint(lun.number, ==, 77);
                        continue;
                }
                g_assert_cmpuint(lun.method, ==, forms[i].method);
                g_assert_cmphex(lun.number, ==, forms[i].number);
                g_assert_cmpmem(lun.wire, 8, forms[i].wire, 8);
                g_assert_cmpint(dl_scsi_lun_encode(lun.number, wire), ==, 0);
                g_assert_true((memcmp(wire, forms[i].wire, 8) == 0) == forms[i].canonical);
        }
}

static void test_encode_inverts(void)
{
        static const uint64_t impossible[] = {
                UINT64_C(0x10000000000),      /* beyond the long extended form */
                UINT64_C(0xffffffffffffff),   /* first byte 0, but no plain number */
                UINT64_C(0x0001000000000000), /* the bytes of peripheral LUN 1, whose number is 1 */
                UINT64_C(0x4105000000000000), /* of flat LUN 261 */
                UINT64_C(0xd200000700000000), UINT64_C(0xe200000000070000), UINT64_MAX,
        };
        uint8_t wire[DL_SCSI_LUN_WIRE_SIZE];
        DlScsiLun lun;

        for (uint64_t number = 0; number <= 70000; number++) {
                g_assert_cmpint(dl_scsi_lun_encode(number, wire), ==, 0);
                g_assert_cmpint(dl_scsi_lun_decode(wire, &lun), ==, 0);
                g_assert_cmpuint(lun.number, ==, number);
        }
        for (size_t i = 0; i < G_N_ELEMENTS(impossible); i++) {
                memset(wire, 0x5a, sizeof(wire));
                g_assert_cmpint(dl_scsi_lun_encode(impossible[i], wire), ==, -ERANGE);
                g_assert_cmphex(wire[0], ==, 0x5a);
        }
}

/* A REPORT LUNS answer of the given entries; its list length is right. */
static GByteArray *answer(const char *entries, size_t size)
{
        const uint8_t header[8] = {0, 0, (uint8_t)(size >> 8), (uint8_t)size};
        GByteArray *data = g_byte_array_append(g_byte_array_new(), header, sizeof(header));

        return g_byte_array_append(data, (const uint8_t *)entries, (guint)size);
}

static void test_list(void)
{
        /* out of order, LUN 1 twice in two forms, a well known unit, two entries of no known form
         */
        static const char entries[] = "\x41\x2c\0\0\0\0\0\0"
                                      "\0\1\0\0\0\0\0\0"
                                      "\xc1\1\0\0\0\0\0\0"
                                      "\x40\1\0\0\0\0\0\0"
                                      "\0\0\0\0\0\0\0\0"
                                      "\xff\xff\xff\xff\xff\xff\xff\xff"
                                      "\0\1\0\2\0\0\0\0";
        g_autoptr(GByteArray) data = answer(entries, sizeof(entries) - 1);
        g_autofree DlScsiLun *luns = NULL;
        size_t n = 0, ignored = 0;
        uint64_t full = 0;

        g_assert_cmpint(dl_scsi_luns_parse(data->data, data->len, 7, &luns, &n, &ignored), ==, 0);
        g_assert_cmpuint(n, ==, 3);
        g_assert_cmpuint(ignored, ==, 2);
        g_assert_cmpuint(luns[0].number, ==, 0);
        g_assert_cmpuint(luns[1].number, ==, 1);
        g_assert_cmpuint(luns[2].number, ==, 300);
        g_assert_cmpint(dl_scsi_luns_full_size(data->data, 4, &full), ==, 0);
        g_assert_cmpuint(full, ==, data->len);
        g_assert_cmpint(dl_scsi_luns_full_size(data->data, 3, &full), ==, -EBADMSG);
}

static void assert_refused(const uint8_t *data, size_t size, size_t max, int r)
{
        g_autofree uint8_t *copy = g_memdup2(data, size); /* exact, for the sanitizer */
        DlScsiLun *luns = (DlScsiLun *)&luns;
        size_t n = 77, ignored = 77;

        g_assert_cmpint(dl_scsi_luns_parse(copy, size, max, &luns, &n, &ignored), ==, r);
        g_assert_true((void *)luns == (void *)&luns && n == 77 && ignored == 77);
}

static void test_refused_lists(void)
{
        g_autoptr(GByteArray) data = answer("\0\0\0\0\0\0\0\0\0\1\0\0\0\0\0\0", 16);

        for (size_t size = 0; size < 8; size++)
                assert_refused(data->data, size, 10, -EBADMSG);
        for (size_t size = 8; size < data->len; size++)
                assert_refused(data->data, size, 10, -ENOBUFS);
        assert_refused(data->data, data->len, 1, -E2BIG);
        data->data[3] = 15;
        assert_refused(data->data, data->len, 10, -EBADMSG);
        memcpy(data->data, "\xff\xff\xff\xf8", 4);
        assert_refused(data->data, data->len, 16384, -E2BIG);
        assert_refused(data->data, data->len, SIZE_MAX, -ENOBUFS);
}

static void test_empty_list(void)
{
        g_autoptr(GByteArray) data = answer("", 0);
        DlScsiLun *luns = (DlScsiLun *)&luns;
        size_t n = 77, ignored = 77;

        g_assert_cmpint(dl_scsi_luns_parse(data->data, data->len, 0, &luns, &n, &ignored), ==, 0);
        g_assert_true(!luns && n == 0 && ignored == 0);

        /* bytes behind the list are not part of it */
        g_byte_array_append(data, (const uint8_t *)"\0\1\0\0\0\0\0\0", 8);
        g_assert_cmpint(dl_scsi_luns_parse(data->data, data->len, 9, &luns, &n, &ignored), ==, 0);
        g_assert_true(!luns && n == 0);
}

int main(int argc, char **argv)
{
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/scsi/luns/forms", test_forms);
        g_test_add_func("/scsi/luns/encode-inverts", test_encode_inverts);
        g_test_add_func("/scsi/luns/list", test_list);
        g_test_add_func("/scsi/luns/refused-lists", test_refused_lists);
        g_test_add_func("/scsi/luns/empty-list", test_empty_list);
        return g_test_run();
}
