/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Vital product data pages. Pure; results are plain values or newly allocated strings, designators
 * borrow the page; any thread.
 */

#include "scsi/vpd.h"

#include "scsi/inquiry.h"

#include <errno.h>

/* A cursor over what came of the page after its header; ret_length is what the header says. */
static int open_page(const uint8_t *data, size_t size, uint8_t page, DlCursor *ret,
                     size_t *ret_length)
{
        DlCursor c = dl_cursor(data, size);

        dl_cursor_skip(&c, 1); /* peripheral qualifier and device type, as in the standard data */
        uint8_t code = dl_cursor_u8(&c);
        size_t length = dl_cursor_u16(&c);
        if (!dl_cursor_ok(&c) || code != page)
                return -EBADMSG;

        size_t left = dl_cursor_left(&c);
        *ret = dl_cursor_sub(&c, length < left ? length : left);
        *ret_length = length;
        return 0;
}

int dl_scsi_vpd_full_size(const uint8_t *data, size_t size, uint8_t page, size_t *ret)
{
        DlCursor body;
        size_t length;
        int r = open_page(data, size, page, &body, &length);

        if (r < 0)
                return r;
        *ret = DL_SCSI_VPD_HEADER_SIZE + length;
        return 0;
}

bool dl_scsi_vpd_supports(const uint8_t *data, size_t size, uint8_t page)
{
        DlCursor body;
        size_t length;

        if (open_page(data, size, DL_SCSI_VPD_SUPPORTED, &body, &length) < 0)
                return false;
        while (dl_cursor_left(&body) > 0)
                if (dl_cursor_u8(&body) == page)
                        return true;
        return false;
}

char *dl_scsi_vpd_serial(const uint8_t *data, size_t size)
{
        DlCursor body;
        size_t length;

        if (open_page(data, size, DL_SCSI_VPD_SERIAL, &body, &length) < 0)
                return NULL;
        size_t left = dl_cursor_left(&body);
        return dl_scsi_text(dl_cursor_bytes(&body, left), left);
}

int dl_scsi_designators_init(DlScsiDesignators *designators, const uint8_t *data, size_t size)
{
        size_t length;

        return open_page(data, size, DL_SCSI_VPD_IDENTIFICATION, &designators->rest, &length);
}

int dl_scsi_designators_next(DlScsiDesignators *designators, DlScsiDesignator *ret)
{
        DlCursor *c = &designators->rest;

        if (dl_cursor_ok(c) && dl_cursor_left(c) == 0)
                return 0;

        uint8_t code = dl_cursor_u8(c);
        uint8_t type = dl_cursor_u8(c);
        dl_cursor_skip(c, 1);
        size_t size = dl_cursor_u8(c);
        const uint8_t *data = dl_cursor_bytes(c, size);
        if (!dl_cursor_ok(c))
                return -EBADMSG;

        *ret = (DlScsiDesignator){
                .code_set = code & 0x0f,
                .association = type >> 4 & 0x03,
                .type = type & 0x0f,
                .data = data,
                .size = size,
        };
        return 1;
}

int dl_scsi_block_limits_parse(const uint8_t *data, size_t size, DlScsiBlockLimits *ret)
{
        DlScsiBlockLimits limits = {0};
        DlCursor body;
        size_t length;
        int r = open_page(data, size, DL_SCSI_VPD_BLOCK_LIMITS, &body, &length);

        if (r < 0)
                return r;

        dl_cursor_skip(&body, 2); /* WSNZ, MAXIMUM COMPARE AND WRITE LENGTH */
        limits.transfer_granularity_blocks = dl_cursor_u16(&body);
        limits.transfer_max_blocks = dl_cursor_u32(&body);
        limits.transfer_optimal_blocks = dl_cursor_u32(&body);
        if (!dl_cursor_ok(&body))
                return -EBADMSG;

        /* from here on the page may end anywhere: a cursor at its end reads "not reported" */
        dl_cursor_skip(&body, 4); /* MAXIMUM PREFETCH LENGTH */
        limits.unmap_max_blocks = dl_cursor_u32(&body);
        limits.unmap_max_descriptors = dl_cursor_u32(&body);
        limits.unmap_granularity_blocks = dl_cursor_u32(&body);
        uint32_t alignment = dl_cursor_u32(&body);
        limits.unmap_alignment_valid = alignment & UINT32_C(0x80000000);
        limits.unmap_alignment_blocks = alignment & UINT32_C(0x7fffffff);
        limits.write_same_max_blocks = dl_cursor_u64(&body);
        *ret = limits;
        return 0;
}

int dl_scsi_rotation_parse(const uint8_t *data, size_t size, uint16_t *ret)
{
        DlCursor body;
        size_t length;
        int r = open_page(data, size, DL_SCSI_VPD_CHARACTERISTICS, &body, &length);

        if (r < 0)
                return r;
        uint16_t rate = dl_cursor_u16(&body);
        if (!dl_cursor_ok(&body))
                return -EBADMSG;
        *ret = rate;
        return 0;
}

int dl_scsi_provisioning_parse(const uint8_t *data, size_t size, DlScsiProvisioning *ret)
{
        DlCursor body;
        size_t length;
        int r = open_page(data, size, DL_SCSI_VPD_PROVISIONING, &body, &length);

        if (r < 0)
                return r;
        uint8_t exponent = dl_cursor_u8(&body);
        uint8_t flags = dl_cursor_u8(&body);
        uint8_t type = dl_cursor_u8(&body);
        if (!dl_cursor_ok(&body))
                return -EBADMSG;

        *ret = (DlScsiProvisioning){
                .unmap = flags & 0x80,
                .write_same = flags & 0x40,
                .write_same10 = flags & 0x20,
                .zeroes = flags >> 2 & 0x07,
                .anchor = flags & 0x02,
                .type = type & 0x07,
                .threshold_exponent = exponent,
        };
        return 0;
}

uint64_t dl_scsi_discard_max_bytes(const DlScsiCapacity *capacity,
                                   const DlScsiProvisioning *provisioning,
                                   const DlScsiBlockLimits *limits)
{
        if (!capacity->provisioning || (provisioning && !provisioning->unmap) || !limits)
                return 0;
        return (uint64_t)limits->unmap_max_blocks * capacity->logical_block_size;
}
