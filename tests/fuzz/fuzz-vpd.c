/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The input is one page, taken for each page in turn. */

#include "fuzz.h"

#include "scsi/vpd.h"

#include <string.h>

static const uint8_t codes[] = {
        DL_SCSI_VPD_SUPPORTED,    DL_SCSI_VPD_SERIAL,          DL_SCSI_VPD_IDENTIFICATION,
        DL_SCSI_VPD_BLOCK_LIMITS, DL_SCSI_VPD_CHARACTERISTICS, DL_SCSI_VPD_PROVISIONING,
};

/* The size that counts: what came, but not more than the page says; 0 if it is no page at all. */
static size_t check_size(const uint8_t *data, size_t size)
{
        size_t full = 0;

        for (size_t i = 0; i < sizeof(codes); i++) {
                int r = dl_scsi_vpd_full_size(data, size, codes[i], &full);
                g_assert_true((r == 0) == (size >= 4 && data[1] == codes[i]));
        }
        g_assert_true(full == 0 || full == 4 + ((size_t)data[2] << 8 | data[3]));
        return MIN(full, size);
}

static void check_serial(const uint8_t *data, size_t size)
{
        g_autofree char *serial = dl_scsi_vpd_serial(data, size);

        if (!serial)
                return;
        g_assert_cmpuint(strlen(serial), <=, size - 4);
        g_assert_true(g_str_is_ascii(serial));
        for (const char *p = serial; *p; p++)
                g_assert_true(g_ascii_isprint(*p));
        g_assert_false(g_str_has_prefix(serial, " ") || g_str_has_suffix(serial, " "));
}

/* Designators lie one behind the other within the page. */
static void check_designators(const uint8_t *data, size_t size)
{
        DlScsiDesignators designators;
        DlScsiDesignator d;
        const uint8_t *end = data + 4;
        int r;

        if (dl_scsi_designators_init(&designators, data, size) < 0)
                return;
        while ((r = dl_scsi_designators_next(&designators, &d)) > 0) {
                g_assert_true(d.data == end + 4);
                g_assert_cmpuint(d.size, ==, end[3]);
                end = d.data + d.size;
                g_assert_true(end <= data + size);
        }
        g_assert_true((r == 0) == (end == data + size));
        g_assert_cmpint(dl_scsi_designators_next(&designators, &d), ==, r);
}

/* Not memcmp(): there is padding between the fields. */
static bool same_limits(const DlScsiBlockLimits *a, const DlScsiBlockLimits *b)
{
        return a->transfer_granularity_blocks == b->transfer_granularity_blocks &&
               a->transfer_max_blocks == b->transfer_max_blocks &&
               a->transfer_optimal_blocks == b->transfer_optimal_blocks &&
               a->unmap_max_blocks == b->unmap_max_blocks &&
               a->unmap_max_descriptors == b->unmap_max_descriptors &&
               a->unmap_granularity_blocks == b->unmap_granularity_blocks &&
               a->unmap_alignment_valid == b->unmap_alignment_valid &&
               a->unmap_alignment_blocks == b->unmap_alignment_blocks &&
               a->write_same_max_blocks == b->write_same_max_blocks;
}

/* What lies behind the page changes nothing. */
static void check_rest_is_ignored(const uint8_t *data, size_t size, size_t counts)
{
        DlScsiBlockLimits limits[2] = {0};
        DlScsiProvisioning provisioning[2] = {0};
        uint16_t rotation[2] = {0};

        g_assert_cmpint(dl_scsi_block_limits_parse(data, size, &limits[0]), ==,
                        dl_scsi_block_limits_parse(data, counts, &limits[1]));
        g_assert_true(same_limits(&limits[0], &limits[1]));
        g_assert_cmpint(dl_scsi_provisioning_parse(data, size, &provisioning[0]), ==,
                        dl_scsi_provisioning_parse(data, counts, &provisioning[1]));
        g_assert_cmpmem(&provisioning[0], sizeof(provisioning[0]), &provisioning[1],
                        sizeof(provisioning[1]));
        g_assert_cmpint(dl_scsi_rotation_parse(data, size, &rotation[0]), ==,
                        dl_scsi_rotation_parse(data, counts, &rotation[1]));
        g_assert_cmpuint(rotation[0], ==, rotation[1]);
        for (unsigned page = 0; data[1] == DL_SCSI_VPD_SUPPORTED && page < 256; page++)
                g_assert_true(dl_scsi_vpd_supports(data, size, (uint8_t)page) ==
                              dl_scsi_vpd_supports(data, counts, (uint8_t)page));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        size_t counts = check_size(data, size);

        check_serial(data, size);
        if (counts == 0)
                return 0;
        check_designators(data, counts);
        check_rest_is_ignored(data, size, counts);
        return 0;
}
