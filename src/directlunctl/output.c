/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What goes to stdout and stderr. Nothing is owned. One thread. */

#include "directlunctl/ctl.h"

#include "util/json-text.h"

#include <stdarg.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

unsigned ctl_width(void)
{
        struct winsize size = {};
        const char *columns = g_getenv("COLUMNS");
        guint64 width;

        if (!isatty(STDOUT_FILENO))
                return 0;
        if (columns && g_ascii_string_to_unsigned(columns, 10, 1, 10000, &width, NULL))
                return (unsigned)width;
        if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_col == 0)
                return 80;
        return size.ws_col;
}

void ctl_print_json(const Ctl *ctl, JsonNode *node)
{
        g_autofree char *text = dl_json_text(node, ctl->format == CTL_JSON_PRETTY);

        puts(text);
}

void ctl_print_table(const Ctl *ctl, const CtlTable *table)
{
        g_autofree char *text = ctl_table_format(table, ctl_width(), ctl->legend);

        if (ctl_table_rows(table) > 0)
                fputs(text, stdout);
}

void ctl_note(const Ctl *ctl, const char *format, ...)
{
        g_autofree char *text = NULL, *clean = NULL;
        va_list ap;

        if (ctl->quiet)
                return;
        va_start(ap, format);
        text = g_strdup_vprintf(format, ap);
        va_end(ap);
        clean = ctl_text_clean(text);
        fprintf(stderr, "%s\n", clean);
}

void ctl_print_error(const GError *error)
{
        g_autofree char *clean = ctl_text_clean(error->message);
        const char *name = ctl_error_name(error);

        if (name)
                fprintf(stderr, "directlunctl: %s (%s)\n", clean, name);
        else
                fprintf(stderr, "directlunctl: %s\n", clean);
}
