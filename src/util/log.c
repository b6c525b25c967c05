/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Logging. Any thread. */

#include "log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <systemd/sd-journal.h>

static int max_level = LOG_INFO;
static gboolean to_journal;

void dl_log_open(void)
{
        to_journal = getenv("JOURNAL_STREAM") != NULL;
}

void dl_log_set_max_level(int level)
{
        max_level = level;
}

void dl_log(int level, const char *format, ...)
{
        va_list ap;

        if (level > max_level)
                return;
        va_start(ap, format);
        if (to_journal)
                (void)sd_journal_printv(level, format, ap);
        else {
                g_autofree char *line = g_strdup_vprintf(format, ap);

                fprintf(stderr, "<%d>%s\n", level, line);
        }
        va_end(ap);
}
