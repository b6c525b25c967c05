/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Who uses a block device on this host: mounts and swap from the kernel's tables, and what stands
 * on it (partitions, LVM, MD, device mapper) from sysfs. Reads small files of the kernel's, and
 * nothing of the device. One thread at a time.
 */

#include <glib.h>
#include <stdbool.h>
#include <sys/types.h>

/* Mounts and swap areas, by device. */
typedef struct DlBlockUses DlBlockUses;

/* mountinfo, swaps: the files. One that cannot be read has nothing. */
DlBlockUses *dl_block_uses_read(const char *mountinfo, const char *swaps);
void dl_block_uses_free(DlBlockUses *uses); /* takes NULL */

/* The devices (dev_t *, borrowed) whose uses differ between the two; for g_ptr_array_unref(). */
GPtrArray *dl_block_uses_compare(const DlBlockUses *a, const DlBlockUses *b);

/*
 * Who uses the device at this directory of sysfs, or anything that stands on it but a map of
 * multipath: "mount:/srv", "lvm:VG/LV" … (see DlBlockLun), sorted, each once, never NULL.
 * ret_is_system: this host runs from it.
 */
GStrv dl_block_uses_of(const DlBlockUses *uses, const char *directory, bool *ret_is_system);

/*
 * Calls found with the directory in sysfs of each disk that the device at this directory stands on,
 * itself if it stands on nothing.
 */
void dl_block_below(const char *directory, void (*found)(const char *directory, void *userdata),
                    void *userdata);

/* What a file of a device in sysfs says, stripped, printable and not too long; "" if it says
 * nothing. Newly allocated. */
char *dl_block_attribute(const char *directory, const char *name);
/* Makes text fit to be shown: the same, for text from elsewhere. Newly allocated, never NULL. */
char *dl_block_text(const char *text);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(DlBlockUses, dl_block_uses_free)
