/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What SCSI targets say of their own accord of the sizes of LUNs. The kernel hands a unit attention
 * CAPACITY DATA HAS CHANGED (SPC-6 table of additional sense codes, 2Ah/09h) to udev, as the
 * property SDEV_UA of an event of the SCSI device, and does nothing else about it. Loop thread
 * only.
 */

#include <systemd/sd-event.h>

typedef struct DlSizeEvents DlSizeEvents;

/* The LUN behind this disk ("sda", the kernel's name) has another size. NULL: that may be so of
 * any, since events were lost. It must not free the DlSizeEvents. */
typedef void (*DlSizeTold)(const char *name, void *userdata);

/* Negative errno. */
int dl_size_events_new(sd_event *event, DlSizeTold told, void *userdata, DlSizeEvents **ret);
void dl_size_events_free(DlSizeEvents *events); /* takes NULL */
