/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What udev's database and sysfs say about one block device. One thread at a time. */

#include "host/block-devices.h"
#include "host/block-use.h"

#include <libudev.h>

/* NULL: it has no GUID, or is no disk. */
DlBlockDevice *dl_block_device_read(struct udev_device *device, const DlBlockUses *uses);
void dl_block_device_free(DlBlockDevice *device); /* takes NULL */
bool dl_block_device_equal(const DlBlockDevice *a, const DlBlockDevice *b);

/* The kernel's word for the state of the device, or of what it is reached by. */
char *dl_block_device_read_state(const DlBlockDevice *device);
/* Takes over who uses it; returns whether that is new. */
bool dl_block_device_read_uses(DlBlockDevice *device, const DlBlockUses *uses);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(DlBlockDevice, dl_block_device_free)
