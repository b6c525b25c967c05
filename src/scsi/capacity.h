/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * READ CAPACITY(10) and READ CAPACITY(16) data (SBC-4, 5.20 and 5.21). Pure; any thread.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
        DL_SCSI_CAPACITY10_SIZE = 8,
        DL_SCSI_CAPACITY16_SIZE = 32,
};

typedef struct DlScsiCapacity {
        uint64_t bytes;  /* blocks × logical block size */
        uint64_t blocks; /* one more than the last LBA, which is what the device tells */
        uint32_t logical_block_size;
        uint32_t physical_block_size; /* the logical one if the device does not say more */
        bool provisioning;            /* LBPME: thin, page B2h says more */
        bool zeroes;                  /* LBPRZ: unmapped blocks read as zeros */
        uint8_t protection;           /* T10 protection information type 1…3, 0: none */
} DlScsiCapacity;

/*
 * -EBADMSG: too short, or a block size that no disk has (0, or more than 64 KiB, or a physical one
 * of more than 16 MiB). -EOVERFLOW: the size in bytes does not fit; from READ CAPACITY(10) it means
 * that the disk is too large for this command and (16) must be asked.
 */
int dl_scsi_capacity10_parse(const uint8_t *data, size_t size, DlScsiCapacity *ret);
int dl_scsi_capacity16_parse(const uint8_t *data, size_t size, DlScsiCapacity *ret);
