/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Devices with known identities: what they answer, the GUID that they must get, and what udev's
 * scsi_id says where that is meant to differ. Constant data and pure helpers.
 */

#include "scsi/inquiry.h"

#include <glib.h>

typedef struct CaseDesignator {
        uint8_t code_set, association, type;
        const char *data;
        size_t size;
} CaseDesignator;

typedef struct IdentityCase {
        const char *name;
        const char *vendor, *product;  /* padded by the builder; NULL: VENDOR, PRODUCT */
        bool nul_padded;               /* vendor and product are padded with NULs, not spaces */
        CaseDesignator designators[5]; /* up to the first without data */
        int page83_length;             /* what the page says instead of the truth, if not 0 */
        const char *raw83;             /* the whole page, instead of designators */
        size_t raw83_size;
        const char *serial; /* page 0x80; NULL: none */
        size_t serial_size;
        int page80_length; /* what the page says instead of the truth, if not 0 */

        const char *guid;    /* NULL: no identity */
        const char *scsi_id; /* NULL: the same; "": nothing */
} IdentityCase;

extern const IdentityCase identity_cases[];
extern const size_t n_identity_cases;

/* What the device answers. The pages are NULL if it does not have them. */
typedef struct IdentityPages {
        uint8_t inquiry[DL_SCSI_INQUIRY_SIZE];
        GByteArray *page83, *page80;
} IdentityPages;

/* An INQUIRY answer of a disk; vendor and product are cut or padded. */
void identity_inquiry(uint8_t inquiry[DL_SCSI_INQUIRY_SIZE], const char *vendor,
                      const char *product, char padding);
void identity_append_designator(GByteArray *page83, const CaseDesignator *d);
/* An empty page, and its length corrected after something was appended. */
GByteArray *identity_page_new(uint8_t code);
void identity_page_set_length(GByteArray *page, int length);

void identity_pages_build(const IdentityCase *c, IdentityPages *ret);
void identity_pages_clear(IdentityPages *pages);

/* dl_scsi_guid() of the pages, from copies of exactly their sizes so that a sanitizer sees a read
 * beyond them. */
char *identity_pages_guid(const IdentityPages *pages);
