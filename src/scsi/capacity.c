/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* READ CAPACITY data. Pure; plain values; any thread. */

#include "scsi/capacity.h"

#include "scsi/cursor.h"

#include <errno.h>

enum {
        LOGICAL_BLOCK_MAX = 64 * 1024,
        PHYSICAL_BLOCK_MAX = 16 * 1024 * 1024,
};

/* Fills in the sizes from what the device told; the flags are the caller's. */
static int set_sizes(DlScsiCapacity *capacity, uint64_t last_lba, uint32_t block_size,
                     unsigned physical_exponent)
{
        uint64_t physical = (uint64_t)block_size << physical_exponent;

        if (block_size == 0 || block_size > LOGICAL_BLOCK_MAX || physical > PHYSICAL_BLOCK_MAX)
                return -EBADMSG;
        if (__builtin_add_overflow(last_lba, UINT64_C(1), &capacity->blocks) ||
            __builtin_mul_overflow(capacity->blocks, (uint64_t)block_size, &capacity->bytes))
                return -EOVERFLOW;
        capacity->logical_block_size = block_size;
        capacity->physical_block_size = (uint32_t)physical;
        return 0;
}

int dl_scsi_capacity10_parse(const uint8_t *data, size_t size, DlScsiCapacity *ret)
{
        DlCursor c = dl_cursor(data, size);
        DlScsiCapacity capacity = {0};
        uint32_t last_lba = dl_cursor_u32(&c);
        uint32_t block_size = dl_cursor_u32(&c);

        if (!dl_cursor_ok(&c))
                return -EBADMSG;
        if (last_lba == UINT32_MAX)
                return -EOVERFLOW;
        int r = set_sizes(&capacity, last_lba, block_size, 0);
        if (r < 0)
                return r;
        *ret = capacity;
        return 0;
}

int dl_scsi_capacity16_parse(const uint8_t *data, size_t size, DlScsiCapacity *ret)
{
        DlCursor c = dl_cursor(data, size);
        DlScsiCapacity capacity = {0};
        uint64_t last_lba = dl_cursor_u64(&c);
        uint32_t block_size = dl_cursor_u32(&c);
        if (!dl_cursor_ok(&c))
                return -EBADMSG;

        /* all this is from later standards: a cursor at its end reads "no" */
        uint8_t protection = dl_cursor_u8(&c);
        uint8_t exponents = dl_cursor_u8(&c);
        uint16_t provisioning = dl_cursor_u16(&c);

        int r = set_sizes(&capacity, last_lba, block_size, exponents & 0x0f);
        if (r < 0)
                return r;
        if (protection & 0x01) /* PROT_EN */
                capacity.protection = (uint8_t)((protection >> 1 & 0x07) + 1);
        capacity.provisioning = provisioning & 0x8000;
        capacity.zeroes = provisioning & 0x4000;
        *ret = capacity;
        return 0;
}
