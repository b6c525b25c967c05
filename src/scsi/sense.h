/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Sense data: why a command failed (SPC-6, 4.4). Pure; any thread.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum DlScsiSenseKey {
        DL_SCSI_SENSE_NO_SENSE = 0x0,
        DL_SCSI_SENSE_RECOVERED_ERROR = 0x1,
        DL_SCSI_SENSE_NOT_READY = 0x2,
        DL_SCSI_SENSE_MEDIUM_ERROR = 0x3,
        DL_SCSI_SENSE_HARDWARE_ERROR = 0x4,
        DL_SCSI_SENSE_ILLEGAL_REQUEST = 0x5,
        DL_SCSI_SENSE_UNIT_ATTENTION = 0x6,
        DL_SCSI_SENSE_DATA_PROTECT = 0x7,
        DL_SCSI_SENSE_BLANK_CHECK = 0x8,
        DL_SCSI_SENSE_ABORTED_COMMAND = 0xb,
        DL_SCSI_SENSE_VOLUME_OVERFLOW = 0xd,
        DL_SCSI_SENSE_MISCOMPARE = 0xe,
} DlScsiSenseKey;

typedef struct DlScsiSense {
        uint8_t key; /* DlScsiSenseKey or another value up to 15 */
        uint8_t asc; /* 0 if the data is too short to say */
        uint8_t ascq;
        bool deferred; /* about an earlier command */
} DlScsiSense;

/*
 * Fixed (70h, 71h) or descriptor (72h, 73h) format; data starts at the response code (iSCSI puts a
 * 2-byte length before it: skip that). -EBADMSG: another format, or not even a sense key.
 */
int dl_scsi_sense_parse(const uint8_t *data, size_t size, DlScsiSense *ret);

/* The device says that something has changed since (reset, LUN mapped, capacity…): ask again. */
bool dl_scsi_sense_is_unit_attention(const DlScsiSense *sense);

/* Unit attentions with a meaning of their own */
bool dl_scsi_sense_is_luns_changed(const DlScsiSense *sense);     /* 3F/0E: REPORT LUNS anew */
bool dl_scsi_sense_is_capacity_changed(const DlScsiSense *sense); /* 2A/09 */

/* It passes by itself: becoming ready, busy with an operation, in an ALUA transition. */
bool dl_scsi_sense_is_transient(const DlScsiSense *sense);

bool dl_scsi_sense_is_medium_not_present(const DlScsiSense *sense); /* 3A/xx */
bool dl_scsi_sense_is_no_such_lun(const DlScsiSense *sense);        /* 25/00 */
bool dl_scsi_sense_is_not_supported(const DlScsiSense *sense);   /* unknown command, field, page */
bool dl_scsi_sense_is_write_protected(const DlScsiSense *sense); /* 27/xx */

/* One line for people, like "Not ready (2/04/0B): logical unit not accessible, target port in
 * standby state". Newly allocated. */
char *dl_scsi_sense_to_string(const DlScsiSense *sense);
