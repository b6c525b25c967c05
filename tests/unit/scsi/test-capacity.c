/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* READ CAPACITY data, and the mode parameter headers. */

#include "scsi/capacity.h"
#include "scsi/mode.h"

#include <errno.h>
#include <glib.h>

#define BYTES(s) (const uint8_t *)(s), sizeof(s) - 1

static void test_capacity10(void)
{
        DlScsiCapacity c = {0};

        g_assert_cmpint(dl_scsi_capacity10_parse(BYTES("\0\1\xff\xff\0\0\2\0"), &c), ==, 0);
        g_assert_cmpuint(c.blocks, ==, 0x20000);
        g_assert_cmpuint(c.bytes, ==, 64 << 20);
        g_assert_cmpuint(c.logical_block_size, ==, 512);
        g_assert_cmpuint(c.physical_block_size, ==, 512);
        g_assert_false(c.provisioning || c.zeroes);

        /* the largest that this command can tell, and the answer that means: ask READ CAPACITY(16)
         */
        g_assert_cmpint(dl_scsi_capacity10_parse(BYTES("\xff\xff\xff\xfe\0\0\x10\0"), &c), ==, 0);
        g_assert_cmpuint(c.bytes, ==, UINT64_C(0xffffffff) * 4096);
        g_assert_cmpint(dl_scsi_capacity10_parse(BYTES("\xff\xff\xff\xff\0\0\2\0"), &c), ==,
                        -EOVERFLOW);
        g_assert_cmpint(dl_scsi_capacity10_parse(BYTES("\0\0\0\0\0\0\0\0"), &c), ==, -EBADMSG);
        g_assert_cmpint(dl_scsi_capacity10_parse(BYTES("\0\0\0\0\0\0\2"), &c), ==, -EBADMSG);
        g_assert_cmpint(dl_scsi_capacity10_parse(NULL, 0, &c), ==, -EBADMSG);
        g_assert_cmpuint(c.blocks, ==, UINT32_MAX); /* untouched */
}

static void test_capacity16(void)
{
        DlScsiCapacity c = {0};

        /* 512e, thin, zeros, protection type 3 */
        g_assert_cmpint(dl_scsi_capacity16_parse(
                                BYTES("\0\0\0\1\0\0\0\xff\0\0\2\0\x05\x03\xc0\0\0\0\0\0\0\0\0\0\0\0"
                                      "\0\0\0\0\0\0"),
                                &c),
                        ==, 0);
        g_assert_cmpuint(c.blocks, ==, UINT64_C(0x100000100));
        g_assert_cmpuint(c.bytes, ==, UINT64_C(0x100000100) * 512);
        g_assert_cmpuint(c.logical_block_size, ==, 512);
        g_assert_cmpuint(c.physical_block_size, ==, 4096);
        g_assert_true(c.provisioning && c.zeroes);
        g_assert_cmpuint(c.protection, ==, 3);

        /* the least that an old device sends */
        g_assert_cmpint(dl_scsi_capacity16_parse(BYTES("\0\0\0\0\0\0\0\0\0\0\x10\0"), &c), ==, 0);
        g_assert_cmpuint(c.bytes, ==, 4096);
        g_assert_cmpuint(c.physical_block_size, ==, 4096);
        g_assert_false(c.provisioning || c.zeroes);
        g_assert_cmpuint(c.protection, ==, 0);
}

static void test_capacity16_refused(void)
{
        DlScsiCapacity c = {.blocks = 77};

        for (size_t size = 0; size < 12; size++) {
                g_autofree uint8_t *data = g_malloc0(size);
                g_assert_cmpint(dl_scsi_capacity16_parse(data, size, &c), ==, -EBADMSG);
        }
        /* 2^64 blocks; 2^64 bytes; one block less fits */
        g_assert_cmpint(
                dl_scsi_capacity16_parse(BYTES("\xff\xff\xff\xff\xff\xff\xff\xff\0\0\2\0"), &c), ==,
                -EOVERFLOW);
        g_assert_cmpint(
                dl_scsi_capacity16_parse(BYTES("\0\x7f\xff\xff\xff\xff\xff\xff\0\0\2\0"), &c), ==,
                -EOVERFLOW);
        g_assert_cmpuint(c.blocks, ==, 77);
        g_assert_cmpint(
                dl_scsi_capacity16_parse(BYTES("\0\x7f\xff\xff\xff\xff\xff\xfe\0\0\2\0"), &c), ==,
                0);
        g_assert_cmpuint(c.bytes, ==, UINT64_MAX - 511);

        /* block sizes: none, 64 KiB is the most, a physical one of 512 << 15 is 16 MiB */
        g_assert_cmpint(dl_scsi_capacity16_parse(BYTES("\0\0\0\0\0\0\0\0\0\0\0\0"), &c), ==,
                        -EBADMSG);
        g_assert_cmpint(dl_scsi_capacity16_parse(BYTES("\0\0\0\0\0\0\0\0\0\1\0\1"), &c), ==,
                        -EBADMSG);
        g_assert_cmpint(dl_scsi_capacity16_parse(BYTES("\0\0\0\0\0\0\0\0\0\0\2\0\0\x0f"), &c), ==,
                        0);
        g_assert_cmpuint(c.physical_block_size, ==, 16 << 20);
        g_assert_cmpint(dl_scsi_capacity16_parse(BYTES("\0\0\0\0\0\0\0\0\0\1\0\0\0\x0f"), &c), ==,
                        -EBADMSG);
}

static void test_mode(void)
{
        DlScsiMode mode = {0};

        g_assert_cmpint(dl_scsi_mode6_parse(BYTES("\3\0\x90\0"), &mode), ==, 0);
        g_assert_true(mode.write_protected && mode.fua);
        g_assert_cmpint(dl_scsi_mode6_parse(BYTES("\3\x80\x10\x80"), &mode), ==, 0);
        g_assert_true(!mode.write_protected && mode.fua);
        g_assert_cmpint(dl_scsi_mode6_parse(BYTES("\3\0\x80"), &mode), ==, -EBADMSG);
        g_assert_false(mode.write_protected);

        g_assert_cmpint(dl_scsi_mode10_parse(BYTES("\0\6\0\x80\0\0\0\0"), &mode), ==, 0);
        g_assert_true(mode.write_protected && !mode.fua);
        g_assert_cmpint(dl_scsi_mode10_parse(BYTES("\0\6\x80\0\0\0\0\0"), &mode), ==, 0);
        g_assert_false(mode.write_protected);
        g_assert_cmpint(dl_scsi_mode10_parse(BYTES("\0\6\0\x80\0\0\0"), &mode), ==, -EBADMSG);
        g_assert_cmpint(dl_scsi_mode10_parse(NULL, 0, &mode), ==, -EBADMSG);
}

int main(int argc, char **argv)
{
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/scsi/capacity/10", test_capacity10);
        g_test_add_func("/scsi/capacity/16", test_capacity16);
        g_test_add_func("/scsi/capacity/16-refused", test_capacity16_refused);
        g_test_add_func("/scsi/mode", test_mode);
        return g_test_run();
}
