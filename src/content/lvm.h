/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * LVM2's metadata, as far as it says whose a physical volume is: the label and the PV header at the
 * front of the device, and the text that describes the volume group. What is not LVM's, or damaged
 * so that LVM itself would not take it, is none. Pure: bytes of anybody in, structs out; nothing is
 * read beyond what is given. Any thread.
 */

#include <glib.h>
#include <stddef.h>
#include <stdint.h>

#define DL_LVM_UUID_SIZE 39 /* "FhQx7v-dKnP-…": 32 characters in 7 groups, and the NUL */

/* Most of a text that is asked for: the head of it tells all that is wanted. */
#define DL_LVM_TEXT_MAX ((size_t)128 * 1024)

typedef struct DlLvmPv {
        char uuid[DL_LVM_UUID_SIZE];
        uint64_t size; /* bytes: of the device, as the header says */
        /* Where the text begins, in the order of reading (its area is a ring, so it may go on at
         * the area's start); size 0: there is no (more) text on this device. */
        struct {
                uint64_t offset;
                size_t size;
        } text[2];
} DlLvmPv;

/* What the text says of its volume group. */
typedef struct DlLvmVg {
        char *name;
        char *uuid;
        GStrv tags; /* never NULL */
        GStrv pvs;  /* the UUIDs of its physical volumes, this one among them; never NULL */
} DlLvmVg;

/*
 * head: the first bytes of the device, which should reach to the end of the first metadata area's
 * header (LVM puts it at 4 KiB); without that there is no text. Negative errno: ENODATA (no label),
 * EBADMSG (a label that LVM would not take).
 */
int dl_lvm_pv_parse(const uint8_t *head, size_t size, DlLvmPv *ret);

/*
 * The text, or its beginning: what comes before the end is taken. Negative errno: EBADMSG (it does
 * not begin as a volume group does).
 */
int dl_lvm_vg_parse(const char *text, size_t size, DlLvmVg **ret);
void dl_lvm_vg_free(DlLvmVg *vg);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(DlLvmVg, dl_lvm_vg_free)

/*
 * The id of the oVirt storage domain that the volume group is, by its tags: MDT_SDUUID=ID, or the
 * mark RHAT_storage_domain and then the group's name. NULL: it is none. Borrowed.
 */
const char *dl_lvm_vg_storage_domain(const DlLvmVg *vg);
