/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The standard INQUIRY data (SPC-6, 6.7.2). Pure: bytes in, a plain value out; any thread.
 */

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
        DL_SCSI_INQUIRY_SIZE = 36, /* what every device must send, and all that is read here */
        DL_SCSI_VENDOR_SIZE = 8,
        DL_SCSI_PRODUCT_SIZE = 16,
        DL_SCSI_REVISION_SIZE = 4,
};

/* PERIPHERAL QUALIFIER: whether there is a device behind this LUN */
typedef enum DlScsiQualifier {
        DL_SCSI_QUALIFIER_CONNECTED = 0,
        DL_SCSI_QUALIFIER_NOT_CONNECTED = 1, /* the target can have one here but has none now */
        DL_SCSI_QUALIFIER_NOT_CAPABLE = 3,   /* the target can have none here */
} DlScsiQualifier;

/* PERIPHERAL DEVICE TYPE: those that this project knows by name */
typedef enum DlScsiDeviceType {
        DL_SCSI_TYPE_DISK = 0x00,
        DL_SCSI_TYPE_TAPE = 0x01,
        DL_SCSI_TYPE_CDROM = 0x05,
        DL_SCSI_TYPE_CHANGER = 0x08,
        DL_SCSI_TYPE_ARRAY_CONTROLLER = 0x0c,
        DL_SCSI_TYPE_ENCLOSURE = 0x0d,
        DL_SCSI_TYPE_RBC = 0x0e, /* reduced block commands: also a disk */
        DL_SCSI_TYPE_ZBC = 0x14, /* a host-managed zoned disk */
        DL_SCSI_TYPE_WELL_KNOWN = 0x1e,
        DL_SCSI_TYPE_UNKNOWN = 0x1f,
} DlScsiDeviceType;

typedef struct DlScsiInquiry {
        uint8_t qualifier;   /* DlScsiQualifier or another value up to 7 */
        uint8_t device_type; /* DlScsiDeviceType or another value up to 31 */
        bool removable;      /* RMB */
        uint8_t version;     /* 0x05 SPC-3, 0x06 SPC-4, 0x07 SPC-5 */

        /* for people: trimmed, every byte that is not printable ASCII is '?' */
        char vendor[DL_SCSI_VENDOR_SIZE + 1];
        char product[DL_SCSI_PRODUCT_SIZE + 1];
        char revision[DL_SCSI_REVISION_SIZE + 1];

        /* for the GUID: as sent, not terminated */
        uint8_t vendor_raw[DL_SCSI_VENDOR_SIZE];
        uint8_t product_raw[DL_SCSI_PRODUCT_SIZE];
        uint8_t revision_raw[DL_SCSI_REVISION_SIZE];
} DlScsiInquiry;

/* -EBADMSG if there are fewer than DL_SCSI_INQUIRY_SIZE bytes. More are fine and not looked at. */
int dl_scsi_inquiry_parse(const uint8_t *data, size_t size, DlScsiInquiry *ret);

/* Whether a device answered that can be a VM's disk: connected, and a disk by its type. */
bool dl_scsi_inquiry_is_disk(const DlScsiInquiry *inquiry);

/*
 * Text that a device sent, made fit to show: every byte that is not printable ASCII is '?', padding
 * (spaces and NULs) at both ends is removed. Newly allocated, never NULL.
 */
char *dl_scsi_text(const uint8_t *data, size_t size);
