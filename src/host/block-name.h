/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Which LUN a block device is, from the path that somebody named it by: udev's names tell it
 * themselves, the kernel's and the device mapper's are looked up in sysfs. Reads a few small files
 * of sysfs, and nothing of the device. Any thread.
 */

#include <glib.h>

/*
 * Adds the GUIDs (char *, newly allocated) of the LUNs that the path (/dev/…) leads to, each once:
 * one for a disk, a partition or a multipath map, more for a volume over several, none if it cannot
 * be told. sysfs: "/sys".
 */
void dl_block_name_guids(const char *sysfs, const char *path, GPtrArray *guids);
