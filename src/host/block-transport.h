/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* By what a disk is reached, from where sysfs has it. One thread at a time. */

#include "host/block-devices.h"

#include <libudev.h>

/* Fills transport, target, address, port, tpgt, session, host, hctl and lun. */
void dl_block_transport_read(struct udev_device *device, DlBlockDevice *ret);
