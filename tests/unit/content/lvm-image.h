/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The first bytes of a physical volume of LVM, as pvcreate and vgcreate write them. */

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#define LVM_IMAGE_SIZE     ((size_t)64 * 1024)
#define LVM_IMAGE_PV       "PVPVPV-PVPV-PVPV-PVPV-PVPV-PVPV-PVPVPV"
#define LVM_IMAGE_OTHER_PV "otherP-VPVP-VPVP-VPVP-VPVP-VPVP-VPVPVP"
#define LVM_IMAGE_VG       "VGVGVG-VGVG-VGVG-VGVG-VGVG-VGVG-VGVGVG"

typedef struct LvmImage {
        uint64_t device_size;
        const char *pv;   /* NULL: LVM_IMAGE_PV */
        const char *text; /* NULL: no metadata area */
        size_t text_at;   /* from the start of the metadata area, which is at 4 KiB; 0: 512 */
        size_t area_size; /* 0: what fits into the image */
        bool ignored;     /* the area is marked as not in use */
} LvmImage;

/* LVM_IMAGE_SIZE bytes; newly allocated. */
uint8_t *lvm_image_new(const LvmImage *image);

/* The text of a volume group with these tags ("" or "\"a\", \"b\""); newly allocated. */
char *lvm_image_text(const char *vg, const char *tags);
/* The same of one that LVM_IMAGE_OTHER_PV belongs to as well. */
char *lvm_image_text_of_two(const char *vg, const char *tags);
