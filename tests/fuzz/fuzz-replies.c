/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The input is the answer to INQUIRY, READ CAPACITY and MODE SENSE, and sense data. */

#include "fuzz.h"

#include "scsi/capacity.h"
#include "scsi/inquiry.h"
#include "scsi/mode.h"
#include "scsi/sense.h"

#include <string.h>

static void check_text(const char *text, size_t max)
{
        g_assert_cmpuint(strlen(text), <=, max);
        for (const char *p = text; *p; p++)
                g_assert_true(g_ascii_isprint(*p));
        g_assert_false(g_str_has_prefix(text, " ") || g_str_has_suffix(text, " "));
}

static void check_inquiry(const uint8_t *data, size_t size)
{
        DlScsiInquiry inquiry;
        int r = dl_scsi_inquiry_parse(data, size, &inquiry);

        g_assert_true((r == 0) == (size >= DL_SCSI_INQUIRY_SIZE));
        if (r < 0)
                return;
        check_text(inquiry.vendor, DL_SCSI_VENDOR_SIZE);
        check_text(inquiry.product, DL_SCSI_PRODUCT_SIZE);
        check_text(inquiry.revision, DL_SCSI_REVISION_SIZE);
        g_assert_cmpmem(inquiry.vendor_raw, 8, data + 8, 8);
        g_assert_cmpmem(inquiry.product_raw, 16, data + 16, 16);
        g_assert_cmpmem(inquiry.revision_raw, 4, data + 32, 4);
        g_assert_cmpuint(inquiry.qualifier << 5 | inquiry.device_type, ==, data[0]);
        if (dl_scsi_inquiry_is_disk(&inquiry))
                g_assert_cmpuint(inquiry.qualifier, ==, 0);
}

/* The product of blocks and block size is exact, and a power of two of logical blocks is physical.
 */
static void check_capacity(const DlScsiCapacity *c)
{
        g_assert_cmpuint(c->logical_block_size, >, 0);
        g_assert_cmpuint(c->blocks, >, 0);
        g_assert_cmpuint(c->bytes / c->logical_block_size, ==, c->blocks);
        g_assert_cmpuint(c->bytes % c->logical_block_size, ==, 0);
        g_assert_cmpuint(c->physical_block_size % c->logical_block_size, ==, 0);
        uint32_t ratio = c->physical_block_size / c->logical_block_size;
        g_assert_true(ratio > 0 && (ratio & (ratio - 1)) == 0);
        g_assert_cmpuint(c->protection, <=, 8);
}

static void check_capacities(const uint8_t *data, size_t size)
{
        DlScsiCapacity c10, c16;

        if (dl_scsi_capacity10_parse(data, size, &c10) == 0) {
                check_capacity(&c10);
                g_assert_cmpuint(c10.blocks, <=, UINT32_MAX);
                g_assert_cmpuint(c10.physical_block_size, ==, c10.logical_block_size);
        }
        if (dl_scsi_capacity16_parse(data, size, &c16) == 0)
                check_capacity(&c16);
}

static void check_sense(const uint8_t *data, size_t size)
{
        DlScsiSense sense;

        if (dl_scsi_sense_parse(data, size, &sense) < 0)
                return;
        g_assert_true(size >= 2 && sense.key <= 0x0f);
        g_autofree char *text = dl_scsi_sense_to_string(&sense);
        check_text(text, 120);
        g_autofree char *code = g_strdup_printf("(%X/%02X/%02X)", (unsigned)sense.key,
                                                (unsigned)sense.asc, (unsigned)sense.ascq);
        g_assert_nonnull(strstr(text, code));

        /* one answer never asks for two reactions */
        g_assert_cmpint(dl_scsi_sense_is_unit_attention(&sense) +
                                dl_scsi_sense_is_transient(&sense) +
                                dl_scsi_sense_is_not_supported(&sense) +
                                dl_scsi_sense_is_write_protected(&sense),
                        <=, 1);
        if (dl_scsi_sense_is_luns_changed(&sense) || dl_scsi_sense_is_capacity_changed(&sense))
                g_assert_true(dl_scsi_sense_is_unit_attention(&sense));
}

static void check_mode(const uint8_t *data, size_t size)
{
        DlScsiMode mode;

        g_assert_true((dl_scsi_mode6_parse(data, size, &mode) == 0) == (size >= 4));
        if (size >= 4)
                g_assert_true(mode.write_protected == !!(data[2] & 0x80));
        g_assert_true((dl_scsi_mode10_parse(data, size, &mode) == 0) == (size >= 8));
        if (size >= 8)
                g_assert_true(mode.write_protected == !!(data[3] & 0x80));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        check_inquiry(data, size);
        check_capacities(data, size);
        check_sense(data, size);
        check_mode(data, size);
        return 0;
}
