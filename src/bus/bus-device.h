/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* oVirt's device dictionary, as AttachDisk takes it. Loop thread only. */

#include "bus/bus-chap.h"
#include "core/flows.h"

#include <systemd/sd-bus.h>

/* Strings are borrowed from the message, the address is owned. */
typedef struct DlBusDevice {
        DlDeviceSpec spec;  /* without the secrets */
        DlBusChap chap;     /* of the inline LUN; its tokens are not redeemed */
        DlAddress *address; /* what spec.address points to */
        char *vdisk;        /* what spec.vdisk points to */
        bool has_lun;
} DlBusDevice;

/* Reads the a{sv} that comes next. ret is to be cleared even if it fails. */
bool dl_bus_device_read(sd_bus_message *m, DlBusDevice *ret, GError **error);
void dl_bus_device_clear(DlBusDevice *device);
