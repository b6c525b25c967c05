/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Logging: to the journal when the service manager runs us, else to standard error. A function
 * either logs or returns an error, never both. Never log a secret. Any thread.
 */

#include <glib.h>
#include <syslog.h>

void dl_log_open(void);
void dl_log_set_max_level(int level); /* LOG_DEBUG … LOG_ERR; default LOG_INFO */

void dl_log(int level, const char *format, ...) G_GNUC_PRINTF(2, 3);

#define dl_debug(...)   dl_log(LOG_DEBUG, __VA_ARGS__)
#define dl_info(...)    dl_log(LOG_INFO, __VA_ARGS__)
#define dl_notice(...)  dl_log(LOG_NOTICE, __VA_ARGS__)
#define dl_warning(...) dl_log(LOG_WARNING, __VA_ARGS__)
#define dl_err(...)     dl_log(LOG_ERR, __VA_ARGS__)
