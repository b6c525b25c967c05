/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Error codes and their D-Bus names: our own namespace, and the common names for what every service
 * calls alike. Nothing is owned but interned strings. Any thread.
 */

#include "bus/bus-error.h"

#include "bus/bus.h"

const char *dl_bus_error_name(int code)
{
        g_autofree char *name = NULL;

        switch (code) {
        case DL_ERROR_INVALID_ARGS:
                return SD_BUS_ERROR_INVALID_ARGS;
        case DL_ERROR_ACCESS_DENIED:
                return SD_BUS_ERROR_ACCESS_DENIED;
        case DL_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED:
                return SD_BUS_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED;
        default:
                name = g_strconcat(DL_BUS_NAME ".Error.", dl_error_name(code), NULL);
                return g_intern_string(name);
        }
}

int dl_bus_reply_error(sd_bus_message *call, const GError *error)
{
        /* A message may quote what a target sent, and D-Bus disconnects who sends bad UTF-8. */
        g_autofree char *message = g_utf8_make_valid(error->message, -1);

        return sd_bus_reply_method_errorf(call, dl_bus_error_name(dl_error_code(error)), "%s",
                                          message);
}
