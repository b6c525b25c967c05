/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What a block device's bytes say about who uses it: file systems, partition tables, swap, members
 * of RAIDs and of LVM, encrypted containers. Only the beginning and the end of the device are
 * looked at, and a piece of LVM's metadata. The bytes are anybody's; a result is plain data, and
 * the caller's. Any thread; dl_content_probe() blocks, a little.
 */

#include "content/lvm.h"

#include <stdbool.h>

/* All that is looked for is in the first and last bytes of a device, but for LVM's text. */
#define DL_CONTENT_HEAD ((size_t)256 * 1024)
#define DL_CONTENT_TAIL ((size_t)128 * 1024)

/* One thing that was recognised. Strings are printable UTF-8, never NULL. */
typedef struct DlSignature {
        char *type;  /* libblkid's: "ext4", "LVM2_member", "linux_raid_member", "gpt" … */
        char *usage; /* "filesystem", "raid", "crypto", "other", or "partition-table" */
        char *label, *uuid;
} DlSignature;

typedef struct DlContent {
        GPtrArray *signatures;   /* DlSignature; empty: nothing was recognised */
        char *pv_uuid;           /* LVM; NULL: it is no physical volume */
        uint64_t pv_size;        /* bytes */
        char *vg_name, *vg_uuid; /* NULL: told on another physical volume, or by none */
        char *storage_domain;    /* oVirt's, whose volume group it is; NULL: none */
        GStrv vg_pvs;            /* PVs that the text here names besides this; NULL: none */
        bool vg_told;            /* by another physical volume: the three strings above */
} DlContent;

/* A piece of a device. */
typedef struct DlContentPiece {
        uint64_t offset;
        GBytes *data;
} DlContentPiece;

/*
 * The pieces of a device of this size: head, tail (which may overlap) and, as far as
 * dl_lvm_pv_parse() on the head asks for it, LVM's text. What is not given counts as zeros. Never
 * fails for what the bytes say; NULL with Failed if the system has no memory file.
 */
DlContent *dl_content_probe(const DlContentPiece *pieces, size_t n_pieces, uint64_t size,
                            uint32_t logical_block_size, GError **error);
void dl_content_free(DlContent *content);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(DlContent, dl_content_free)

/* What is on the devices, not what others tell; NULLs are equal. */
bool dl_content_equal(const DlContent *a, const DlContent *b);

/* A physical volume that says nothing of its volume group: it has no metadata, or what it has is
 * marked as not in use (oVirt lets two of a storage domain's have it). */
bool dl_content_is_bare_pv(const DlContent *content);

/* What another physical volume (NULL: none) tells of a bare one's group; whether that is new. */
bool dl_content_tell_group(DlContent *content, const DlContent *teller);

/* Something was recognised. */
bool dl_content_is_used(const DlContent *content);

/* Who holds it by this: "lvm:vg0", "raid", "filesystem:ext4", "partition-table:gpt",
 * "crypto:crypto_LUKS", "swap", "storage-domain:ID" …; newly allocated. */
char *dl_content_holder(const DlContent *content);

/* For people: "an LVM physical volume of volume group vg0"; newly allocated. */
char *dl_content_to_text(const DlContent *content);
