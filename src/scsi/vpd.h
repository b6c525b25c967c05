/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Vital product data: the pages of INQUIRY with EVPD=1 (SPC-6, 7.7; SBC-4, 6.6).
 *
 * Every function takes a whole page with its 4-byte header, as the device sent it, and believes
 * neither the page code nor the page length in it: another page's code is -EBADMSG, bytes beyond
 * the page length are not looked at, and a page length beyond the bytes that came means that the
 * page was cut by the allocation length: what came is parsed. Pure; any thread.
 */

#include "scsi/capacity.h"
#include "scsi/cursor.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
        DL_SCSI_VPD_SUPPORTED = 0x00,
        DL_SCSI_VPD_SERIAL = 0x80,
        DL_SCSI_VPD_IDENTIFICATION = 0x83,
        DL_SCSI_VPD_BLOCK_LIMITS = 0xb0,
        DL_SCSI_VPD_CHARACTERISTICS = 0xb1,
        DL_SCSI_VPD_PROVISIONING = 0xb2,
};

enum {
        DL_SCSI_VPD_HEADER_SIZE = 4
};

/*
 * The allocation length that holds the whole page: its header plus the length in the header.
 * -EBADMSG if this is not that page. More than size means: ask again with so much.
 */
int dl_scsi_vpd_full_size(const uint8_t *data, size_t size, uint8_t page, size_t *ret);

/* Page 00h: whether the device lists a page. False too if this is not page 00h. */
bool dl_scsi_vpd_supports(const uint8_t *data, size_t size, uint8_t page);

/* Page 80h: the unit serial number for people (see dl_scsi_text()); "" if blank, NULL if this is
 * not page 80h. Newly allocated. */
char *dl_scsi_vpd_serial(const uint8_t *data, size_t size);

/* ---- page 83h: who the LUN is --------------------------------------------------------------- */

typedef enum DlScsiCodeSet {
        DL_SCSI_CODE_BINARY = 1,
        DL_SCSI_CODE_ASCII = 2,
        DL_SCSI_CODE_UTF8 = 3,
} DlScsiCodeSet;

typedef enum DlScsiAssociation {
        DL_SCSI_ASSOCIATION_LUN = 0,
        DL_SCSI_ASSOCIATION_PORT = 1,
        DL_SCSI_ASSOCIATION_TARGET = 2,
} DlScsiAssociation;

typedef enum DlScsiDesignatorType {
        DL_SCSI_DESIGNATOR_VENDOR = 0,
        DL_SCSI_DESIGNATOR_T10 = 1,
        DL_SCSI_DESIGNATOR_EUI64 = 2,
        DL_SCSI_DESIGNATOR_NAA = 3,
        DL_SCSI_DESIGNATOR_RELATIVE_PORT = 4,
        DL_SCSI_DESIGNATOR_PORT_GROUP = 5,
        DL_SCSI_DESIGNATOR_LUN_GROUP = 6,
        DL_SCSI_DESIGNATOR_MD5 = 7,
        DL_SCSI_DESIGNATOR_NAME = 8,
        DL_SCSI_DESIGNATOR_PROTOCOL_PORT = 9,
        DL_SCSI_DESIGNATOR_UUID = 10,
} DlScsiDesignatorType;

typedef struct DlScsiDesignator {
        uint8_t code_set;    /* DlScsiCodeSet or another value up to 15 */
        uint8_t association; /* DlScsiAssociation or 3 */
        uint8_t type;        /* DlScsiDesignatorType or another value up to 15 */
        const uint8_t *data; /* in the page */
        size_t size;         /* at most 255 */
} DlScsiDesignator;

/* Borrows the page. */
typedef struct DlScsiDesignators {
        DlCursor rest;
} DlScsiDesignators;

/* -EBADMSG if this is not page 83h. */
int dl_scsi_designators_init(DlScsiDesignators *designators, const uint8_t *data, size_t size);

/* 1 and the next one; 0 at the end; -EBADMSG if what is left is not a whole designator. */
int dl_scsi_designators_next(DlScsiDesignators *designators, DlScsiDesignator *ret);

/* ---- pages B0h, B1h, B2h: what the disk can do ---------------------------------------------- */

/* Page B0h. Fields that the page is too short for are 0, which means "not reported" in all. */
typedef struct DlScsiBlockLimits {
        uint16_t transfer_granularity_blocks; /* optimal */
        uint32_t transfer_max_blocks;
        uint32_t transfer_optimal_blocks;
        uint32_t unmap_max_blocks; /* in one UNMAP; 0xffffffff: no limit; 0: no UNMAP */
        uint32_t unmap_max_descriptors;
        uint32_t unmap_granularity_blocks;
        bool unmap_alignment_valid;
        uint32_t unmap_alignment_blocks;
        uint64_t write_same_max_blocks;
} DlScsiBlockLimits;

/* -EBADMSG if this is not the page, or it has less than the 12 bytes of its SBC-2 form. */
int dl_scsi_block_limits_parse(const uint8_t *data, size_t size, DlScsiBlockLimits *ret);

enum {
        DL_SCSI_ROTATION_NOT_REPORTED = 0,
        DL_SCSI_ROTATION_NONE = 1, /* solid state */
};

/* Page B1h: rotations a minute, or one of the two values above. */
int dl_scsi_rotation_parse(const uint8_t *data, size_t size, uint16_t *ret);

typedef enum DlScsiProvisioningType {
        DL_SCSI_PROVISIONING_NOT_REPORTED = 0,
        DL_SCSI_PROVISIONING_RESOURCE = 1,
        DL_SCSI_PROVISIONING_THIN = 2,
} DlScsiProvisioningType;

/* Page B2h */
typedef struct DlScsiProvisioning {
        bool unmap;        /* LBPU */
        bool write_same;   /* LBPWS: WRITE SAME(16) may unmap */
        bool write_same10; /* LBPWS10 */
        uint8_t zeroes; /* LBPRZ: 0 unmapped blocks read as anything; xx1b zeros; 010b a pattern */
        bool anchor;    /* ANC_SUP */
        uint8_t type;   /* DlScsiProvisioningType or another value up to 7 */
        uint8_t threshold_exponent;
} DlScsiProvisioning;

int dl_scsi_provisioning_parse(const uint8_t *data, size_t size, DlScsiProvisioning *ret);

/*
 * How many bytes one UNMAP may discard; 0: the device takes none. provisioning is NULL if the
 * device lacks the page (then what READ CAPACITY(16) and the limits say is enough), limits likewise
 * (then there is no UNMAP). "No limit" is 2^32 - 1 blocks, which is all that an UNMAP can say.
 */
uint64_t dl_scsi_discard_max_bytes(const DlScsiCapacity *capacity,
                                   const DlScsiProvisioning *provisioning,
                                   const DlScsiBlockLimits *limits);
