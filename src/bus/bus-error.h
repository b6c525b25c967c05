/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Errors of the core as D-Bus errors. Any thread. */

#include "util/error.h"

#include <systemd/sd-bus.h>

/* The D-Bus error name of a code; a static string, never NULL. */
const char *dl_bus_error_name(int code);

/* Answers a call with an error. Negative errno. */
int dl_bus_reply_error(sd_bus_message *call, const GError *error);
