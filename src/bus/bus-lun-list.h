/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Entries of GetDeviceList. Loop thread only. */

#include "core/model/lun.h"

#include <systemd/sd-bus.h>

/* aa{sv}: one entry for each DlLun. Negative errno. */
int dl_bus_append_luns(sd_bus_message *m, const GPtrArray *luns);
