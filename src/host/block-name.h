/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Which LUN a block device is, from the path that somebody named it by: some of udev's names tell
 * it themselves, the others are looked up in udev's records of who has them, the kernel's and the
 * device mapper's in sysfs. Reads a few small files of these, and nothing of the device. Any
 * thread.
 */

#include <glib.h>
#include <stdbool.h>

/*
 * Adds the GUIDs (char *, newly allocated) of the LUNs that the path (/dev/…) leads to, each once:
 * of a disk or a partition all that it can be called (see dl_scsi_names()), the usual one first;
 * the WWID of a multipath map; those of all that a volume is on; none if it cannot be told. sysfs:
 * "/sys"; udev: "/run/udev".
 */
void dl_block_name_guids(const char *sysfs, const char *udev, const char *path, GPtrArray *guids);

/* The same, by the kernel's name: "sda1", "dm-3". */
void dl_block_device_guids(const char *sysfs, const char *name, GPtrArray *guids);

/* It is this LUN, by one of its names: a disk, a namespace, or multipath's map; not what is on it.
 */
bool dl_block_device_is(const char *sysfs, const char *name, const char *guid);
