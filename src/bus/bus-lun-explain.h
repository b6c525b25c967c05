/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Lun.Explain. Loop thread only. */

#include <systemd/sd-bus.h>

int dl_bus_lun_explain(sd_bus_message *m, void *lun, sd_bus_error *ret_error);
