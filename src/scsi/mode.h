/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The header of MODE SENSE(6) and MODE SENSE(10) data of a disk (SPC-6, 7.5.6; SBC-4, 6.5.1): all
 * that is needed of it is whether the disk may be written. Pure; any thread.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
        DL_SCSI_MODE6_HEADER_SIZE = 4,
        DL_SCSI_MODE10_HEADER_SIZE = 8,
};

typedef struct DlScsiMode {
        bool write_protected; /* WP */
        bool fua;             /* DPOFUA: the FUA bit is understood */
} DlScsiMode;

/* -EBADMSG if there is no whole header. */
int dl_scsi_mode6_parse(const uint8_t *data, size_t size, DlScsiMode *ret);
int dl_scsi_mode10_parse(const uint8_t *data, size_t size, DlScsiMode *ret);
