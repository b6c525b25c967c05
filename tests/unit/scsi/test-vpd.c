/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Vital product data, and the cursor under all parsers. */

#include "scsi/vpd.h"

#include <errno.h>
#include <glib.h>
#include <string.h>

#define BYTES(s) (const uint8_t *)(s), sizeof(s) - 1

static void test_cursor(void)
{
        static const uint8_t data[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
        DlCursor c = dl_cursor(data, sizeof(data));
        uint8_t copy[3] = {9, 9, 9};

        g_assert_cmphex(dl_cursor_u8(&c), ==, 0x01);
        g_assert_cmphex(dl_cursor_u16(&c), ==, 0x0203);
        DlCursor sub = dl_cursor_sub(&c, 4);
        g_assert_cmphex(dl_cursor_u32(&sub), ==, 0x04050607);
        g_assert_cmpuint(dl_cursor_left(&sub), ==, 0);
        g_assert_true(dl_cursor_ok(&sub));
        g_assert_cmphex(dl_cursor_u8(&sub), ==, 0);
        g_assert_false(dl_cursor_ok(&sub));
        g_assert_true(dl_cursor_ok(&c));

        /* more than there is: nothing is taken, and the cursor stays failed */
        g_assert_cmphex(dl_cursor_u32(&c), ==, 0);
        g_assert_false(dl_cursor_ok(&c));
        g_assert_cmphex(dl_cursor_u8(&c), ==, 0);
        dl_cursor_copy(&c, copy, sizeof(copy));
        g_assert_cmpmem(copy, 3, "\0\0\0", 3);
        sub = dl_cursor_sub(&c, 0);
        g_assert_false(dl_cursor_ok(&sub));

        c = dl_cursor(data, sizeof(data));
        g_assert_cmphex(dl_cursor_u64(&c), ==, 0x0102030405060708);
        g_assert_null(dl_cursor_bytes(&c, SIZE_MAX));
        c = dl_cursor(NULL, 17);
        g_assert_cmpuint(dl_cursor_left(&c), ==, 0);
        g_assert_nonnull(dl_cursor_bytes(&c, 0));
        g_assert_true(dl_cursor_ok(&c));
}

static void test_supported(void)
{
        g_assert_true(dl_scsi_vpd_supports(BYTES("\0\0\0\3\0\x80\x83"), 0x83));
        g_assert_false(dl_scsi_vpd_supports(BYTES("\0\0\0\3\0\x80\x83"), 0xb0));
        g_assert_false(dl_scsi_vpd_supports(BYTES("\0\0\0\2\0\x80\x83"), 0x83));
        g_assert_true(dl_scsi_vpd_supports(BYTES("\0\0\xff\xff\0\x80\x83"), 0x83));
        g_assert_false(dl_scsi_vpd_supports(BYTES("\0\x80\0\1\x83"), 0x83));
        g_assert_false(dl_scsi_vpd_supports(BYTES("\0\0\0"), 0x00));
        g_assert_false(dl_scsi_vpd_supports(NULL, 0, 0x00));
}

static void test_full_size(void)
{
        size_t size = 7;

        g_assert_cmpint(dl_scsi_vpd_full_size(BYTES("\0\x83\xff\xff"), 0x83, &size), ==, 0);
        g_assert_cmpuint(size, ==, 65539);
        g_assert_cmpint(dl_scsi_vpd_full_size(BYTES("\0\x83\xff"), 0x83, &size), ==, -EBADMSG);
        g_assert_cmpint(dl_scsi_vpd_full_size(BYTES("\0\x80\0\0"), 0x83, &size), ==, -EBADMSG);
        g_assert_cmpuint(size, ==, 65539);
}

static void test_serial(void)
{
        g_autofree char *plain = dl_scsi_vpd_serial(BYTES("\0\x80\0\x08 beaf11 "));
        g_assert_cmpstr(plain, ==, "beaf11");
        g_autofree char *odd = dl_scsi_vpd_serial(BYTES("\0\x80\0\x04"
                                                        "a\nb\0"));
        g_assert_cmpstr(odd, ==, "a?b");
        g_autofree char *cut = dl_scsi_vpd_serial(BYTES("\0\x80\xff\xff"
                                                        "abc"));
        g_assert_cmpstr(cut, ==, "abc");
        g_autofree char *beyond = dl_scsi_vpd_serial(BYTES("\0\x80\0\1"
                                                           "abc"));
        g_assert_cmpstr(beyond, ==, "a");
        g_autofree char *empty = dl_scsi_vpd_serial(BYTES("\0\x80\0\0"));
        g_assert_cmpstr(empty, ==, "");
        g_assert_null(dl_scsi_vpd_serial(BYTES("\0\x83\0\1"
                                               "a")));
        g_assert_null(dl_scsi_vpd_serial(NULL, 0));
}

static void test_designators(void)
{
        /* a T10 id of the LUN, the relative port in a reserved code set, an empty one of the target
         */
        static const char page[] = "\0\x83\0\x15"
                                   "\x02\x01\0\5"
                                   "ACME1"
                                   "\x6f\x94\0\4"
                                   "\0\0\0\1"
                                   "\x01\xa3\0\0";
        DlScsiDesignators designators;
        DlScsiDesignator d;

        g_assert_cmpint(dl_scsi_designators_init(&designators, BYTES(page)), ==, 0);
        g_assert_cmpint(dl_scsi_designators_next(&designators, &d), ==, 1);
        g_assert_cmpuint(d.code_set, ==, DL_SCSI_CODE_ASCII);
        g_assert_cmpuint(d.association, ==, DL_SCSI_ASSOCIATION_LUN);
        g_assert_cmpuint(d.type, ==, DL_SCSI_DESIGNATOR_T10);
        g_assert_cmpmem(d.data, d.size, "ACME1", 5);
        g_assert_cmpint(dl_scsi_designators_next(&designators, &d), ==, 1);
        g_assert_cmpuint(d.code_set, ==, 15);
        g_assert_cmpuint(d.association, ==, DL_SCSI_ASSOCIATION_PORT);
        g_assert_cmpuint(d.type, ==, DL_SCSI_DESIGNATOR_RELATIVE_PORT);
        g_assert_cmpmem(d.data, d.size, "\0\0\0\1", 4);
        g_assert_cmpint(dl_scsi_designators_next(&designators, &d), ==, 1);
        g_assert_cmpuint(d.association, ==, DL_SCSI_ASSOCIATION_TARGET);
        g_assert_cmpuint(d.size, ==, 0);
        g_assert_cmpint(dl_scsi_designators_next(&designators, &d), ==, 0);
        g_assert_cmpint(dl_scsi_designators_next(&designators, &d), ==, 0);
}

static void test_designators_broken(void)
{
        static const char page[] = "\0\x83\0\x0b"
                                   "\x02\x01\0\0"
                                   "\x01\x03\0\4"
                                   "\x50\0\0";
        DlScsiDesignators designators;
        DlScsiDesignator d;

        g_assert_cmpint(dl_scsi_designators_init(&designators, BYTES("\0\x80\0\0")), ==, -EBADMSG);
        g_assert_cmpint(dl_scsi_designators_init(&designators, BYTES("\0\x83\0\0")), ==, 0);
        g_assert_cmpint(dl_scsi_designators_next(&designators, &d), ==, 0);

        g_assert_cmpint(dl_scsi_designators_init(&designators, BYTES(page)), ==, 0);
        g_assert_cmpint(dl_scsi_designators_next(&designators, &d), ==, 1);
        d.type = 77;
        g_assert_cmpint(dl_scsi_designators_next(&designators, &d), ==, -EBADMSG);
        g_assert_cmpint(dl_scsi_designators_next(&designators, &d), ==, -EBADMSG);
        g_assert_cmpuint(d.type, ==, 77); /* untouched */
}

/* a thin disk: granularity 8, 128 Ki blocks a transfer, 8192 blocks and 32 descriptors an UNMAP */
#define LIMITS                                                                                     \
        "\0\xb0\0\x3c"                                                                             \
        "\0\0\0\x08"                                                                               \
        "\0\2\0\0"                                                                                 \
        "\0\1\0\0"                                                                                 \
        "\0\0\0\0"                                                                                 \
        "\0\0\x20\0"                                                                               \
        "\0\0\0\x20"                                                                               \
        "\0\0\0\x10"                                                                               \
        "\x80\0\0\4"                                                                               \
        "\0\0\0\1\0\0\0\0"                                                                         \
        "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"

static void test_block_limits(void)
{
        DlScsiBlockLimits limits = {0};

        g_assert_cmpint(dl_scsi_block_limits_parse(BYTES(LIMITS), &limits), ==, 0);
        g_assert_cmpuint(limits.transfer_granularity_blocks, ==, 8);
        g_assert_cmpuint(limits.transfer_max_blocks, ==, 0x20000);
        g_assert_cmpuint(limits.transfer_optimal_blocks, ==, 0x10000);
        g_assert_cmpuint(limits.unmap_max_blocks, ==, 8192);
        g_assert_cmpuint(limits.unmap_max_descriptors, ==, 32);
        g_assert_cmpuint(limits.unmap_granularity_blocks, ==, 16);
        g_assert_true(limits.unmap_alignment_valid);
        g_assert_cmpuint(limits.unmap_alignment_blocks, ==, 4);
        g_assert_cmpuint(limits.write_same_max_blocks, ==, UINT64_C(0x100000000));

        /* the form of SBC-2 says nothing about UNMAP, whatever lies behind the page */
        g_autofree uint8_t *old = g_memdup2(LIMITS, sizeof(LIMITS) - 1);
        old[3] = 12;
        g_assert_cmpint(dl_scsi_block_limits_parse(old, sizeof(LIMITS) - 1, &limits), ==, 0);
        g_assert_cmpuint(limits.transfer_max_blocks, ==, 0x20000);
        g_assert_cmpuint(limits.unmap_max_blocks, ==, 0);
        g_assert_false(limits.unmap_alignment_valid);
        old[3] = 11;
        g_assert_cmpint(dl_scsi_block_limits_parse(old, sizeof(LIMITS) - 1, &limits), ==, -EBADMSG);

        for (size_t size = 0; size < 16; size++) {
                g_autofree uint8_t *cut = g_memdup2(LIMITS, size);
                g_assert_cmpint(dl_scsi_block_limits_parse(cut, size, &limits), ==, -EBADMSG);
        }
}

static void test_rotation(void)
{
        uint16_t rate = 7;

        g_assert_cmpint(dl_scsi_rotation_parse(BYTES("\0\xb1\0\x3c\x1c\x20"), &rate), ==, 0);
        g_assert_cmpuint(rate, ==, 7200);
        g_assert_cmpint(dl_scsi_rotation_parse(BYTES("\0\xb1\0\x3c\0\1"), &rate), ==, 0);
        g_assert_cmpuint(rate, ==, DL_SCSI_ROTATION_NONE);
        g_assert_cmpint(dl_scsi_rotation_parse(BYTES("\0\xb1\0\x3c\0"), &rate), ==, -EBADMSG);
        g_assert_cmpint(dl_scsi_rotation_parse(BYTES("\0\xb0\0\x3c\0\0"), &rate), ==, -EBADMSG);
        g_assert_cmpuint(rate, ==, 1);
}

static void test_provisioning(void)
{
        DlScsiProvisioning p = {0};

        g_assert_cmpint(dl_scsi_provisioning_parse(BYTES("\0\xb2\0\4\x0c\xe6\2\0"), &p), ==, 0);
        g_assert_true(p.unmap && p.write_same && p.write_same10 && p.anchor);
        g_assert_cmpuint(p.zeroes, ==, 1);
        g_assert_cmpuint(p.type, ==, DL_SCSI_PROVISIONING_THIN);
        g_assert_cmpuint(p.threshold_exponent, ==, 12);
        g_assert_cmpint(dl_scsi_provisioning_parse(BYTES("\0\xb2\0\4\0\x40\1\0"), &p), ==, 0);
        g_assert_true(!p.unmap && p.write_same && !p.write_same10 && !p.anchor);
        g_assert_cmpint(dl_scsi_provisioning_parse(BYTES("\0\xb2\0\2\0\x80\1\0"), &p), ==,
                        -EBADMSG);
        g_assert_false(p.unmap);
}

static void test_discard(void)
{
        DlScsiCapacity disk = {.logical_block_size = 4096, .provisioning = true};
        DlScsiProvisioning p = {.unmap = true};
        DlScsiBlockLimits limits = {.unmap_max_blocks = 8192, .unmap_max_descriptors = 1};

        g_assert_cmpuint(dl_scsi_discard_max_bytes(&disk, &p, &limits), ==, 32 << 20);
        g_assert_cmpuint(dl_scsi_discard_max_bytes(&disk, NULL, &limits), ==, 32 << 20);
        g_assert_cmpuint(dl_scsi_discard_max_bytes(&disk, &p, NULL), ==, 0);
        limits.unmap_max_blocks = UINT32_MAX;
        g_assert_cmpuint(dl_scsi_discard_max_bytes(&disk, &p, &limits), ==,
                         UINT64_C(0xffffffff) * 4096);
        p.unmap = false;
        g_assert_cmpuint(dl_scsi_discard_max_bytes(&disk, &p, &limits), ==, 0);
        p.unmap = true;
        disk.provisioning = false;
        g_assert_cmpuint(dl_scsi_discard_max_bytes(&disk, &p, &limits), ==, 0);
}

int main(int argc, char **argv)
{
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/scsi/cursor", test_cursor);
        g_test_add_func("/scsi/vpd/supported", test_supported);
        g_test_add_func("/scsi/vpd/full-size", test_full_size);
        g_test_add_func("/scsi/vpd/serial", test_serial);
        g_test_add_func("/scsi/vpd/designators", test_designators);
        g_test_add_func("/scsi/vpd/designators-broken", test_designators_broken);
        g_test_add_func("/scsi/vpd/block-limits", test_block_limits);
        g_test_add_func("/scsi/vpd/rotation", test_rotation);
        g_test_add_func("/scsi/vpd/provisioning", test_provisioning);
        g_test_add_func("/scsi/vpd/discard", test_discard);
        return g_test_run();
}
