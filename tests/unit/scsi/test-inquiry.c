/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The standard INQUIRY data. */

#include "scsi/inquiry.h"

#include <errno.h>
#include <string.h>

/* connected disk, SPC-3, as tgtd answers it; one more byte than is read */
static const uint8_t disk[] = "\x00\x00\x05\x02\x1f\x00\x00\x02"
                              "IET     "
                              "VIRTUAL-DISK    "
                              "0001"
                              "!";

static void test_disk(void)
{
        DlScsiInquiry inquiry;

        g_assert_cmpint(dl_scsi_inquiry_parse(disk, sizeof(disk) - 1, &inquiry), ==, 0);
        g_assert_cmpuint(inquiry.qualifier, ==, DL_SCSI_QUALIFIER_CONNECTED);
        g_assert_cmpuint(inquiry.device_type, ==, DL_SCSI_TYPE_DISK);
        g_assert_cmpuint(inquiry.version, ==, 5);
        g_assert_false(inquiry.removable);
        g_assert_cmpstr(inquiry.vendor, ==, "IET");
        g_assert_cmpstr(inquiry.product, ==, "VIRTUAL-DISK");
        g_assert_cmpstr(inquiry.revision, ==, "0001");
        g_assert_cmpmem(inquiry.vendor_raw, sizeof(inquiry.vendor_raw), "IET     ", 8);
        g_assert_cmpmem(inquiry.product_raw, sizeof(inquiry.product_raw), "VIRTUAL-DISK    ", 16);
        g_assert_cmpmem(inquiry.revision_raw, sizeof(inquiry.revision_raw), "0001", 4);
        g_assert_true(dl_scsi_inquiry_is_disk(&inquiry));
}

static void test_other_devices(void)
{
        static const struct {
                uint8_t first;
                bool is_disk;
        } devices[] = {
                {0x00, true},  /* disk */
                {0x0e, true},  /* disk with reduced commands */
                {0x05, false}, /* CD-ROM */
                {0x0c, false}, /* array controller: LUN 0 of tgtd */
                {0x20, false}, /* a disk could be here and is not */
                {0x7f, false}, /* nothing can be here */
        };

        for (size_t i = 0; i < G_N_ELEMENTS(devices); i++) {
                g_autofree uint8_t *data = g_memdup2(disk, DL_SCSI_INQUIRY_SIZE);
                DlScsiInquiry inquiry;

                data[0] = devices[i].first;
                data[1] = 0x80;
                g_assert_cmpint(dl_scsi_inquiry_parse(data, DL_SCSI_INQUIRY_SIZE, &inquiry), ==, 0);
                g_assert_cmpuint(inquiry.qualifier, ==, devices[i].first >> 5);
                g_assert_cmpuint(inquiry.device_type, ==, devices[i].first & 0x1f);
                g_assert_true(inquiry.removable);
                g_assert_true(dl_scsi_inquiry_is_disk(&inquiry) == devices[i].is_disk);
        }
}

static void test_odd_text(void)
{
        g_autofree uint8_t *data = g_memdup2(disk, DL_SCSI_INQUIRY_SIZE);
        DlScsiInquiry inquiry;

        memcpy(data + 8, "\0 A\0\nB\xff\0", 8);
        memset(data + 16, ' ', 16);
        memset(data + 32, '9', 4);
        g_assert_cmpint(dl_scsi_inquiry_parse(data, DL_SCSI_INQUIRY_SIZE, &inquiry), ==, 0);
        g_assert_cmpstr(inquiry.vendor, ==, "A??B?");
        g_assert_cmpstr(inquiry.product, ==, "");
        g_assert_cmpstr(inquiry.revision, ==, "9999");
}

static void test_short(void)
{
        for (size_t size = 0; size < DL_SCSI_INQUIRY_SIZE; size++) {
                g_autofree uint8_t *data = g_memdup2(disk, size);
                DlScsiInquiry inquiry = {.version = 99};

                g_assert_cmpint(dl_scsi_inquiry_parse(data, size, &inquiry), ==, -EBADMSG);
                g_assert_cmpuint(inquiry.version, ==, 99); /* untouched */
        }
}

static void test_text(void)
{
        g_autofree char *empty = dl_scsi_text(NULL, 0);
        g_assert_cmpstr(empty, ==, "");
        g_autofree char *blank = dl_scsi_text((const uint8_t *)" \0 ", 3);
        g_assert_cmpstr(blank, ==, "");
        g_autofree char *text = dl_scsi_text((const uint8_t *)" a b\x80 ", 6);
        g_assert_cmpstr(text, ==, "a b?");
}

int main(int argc, char **argv)
{
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/scsi/inquiry/disk", test_disk);
        g_test_add_func("/scsi/inquiry/other-devices", test_other_devices);
        g_test_add_func("/scsi/inquiry/odd-text", test_odd_text);
        g_test_add_func("/scsi/inquiry/short", test_short);
        g_test_add_func("/scsi/inquiry/text", test_text);
        return g_test_run();
}
