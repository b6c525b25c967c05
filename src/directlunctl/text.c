/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Text for a terminal. Nothing is kept. Any thread. */

#include "directlunctl/text.h"

#include <stdbool.h>

#define ELLIPSIS "…"

char *ctl_text_clean(const char *text)
{
        g_autofree char *valid = g_utf8_make_valid(text, -1);
        GString *clean = g_string_new(NULL);

        for (const char *c = valid; *c; c = g_utf8_next_char(c)) {
                gunichar u = g_utf8_get_char(c);

                switch (g_unichar_type(u)) {
                case G_UNICODE_CONTROL:
                case G_UNICODE_LINE_SEPARATOR:
                case G_UNICODE_PARAGRAPH_SEPARATOR:
                        g_string_append_c(clean, u == '\n' || u == '\t' ? ' ' : '?');
                        break;
                case G_UNICODE_FORMAT: /* these can turn the direction of what follows */
                case G_UNICODE_SURROGATE:
                        g_string_append_c(clean, '?');
                        break;
                default:
                        g_string_append_unichar(clean, u);
                }
        }
        return g_string_free(clean, false);
}

static unsigned char_width(gunichar u)
{
        return g_unichar_iszerowidth(u) ? 0 : g_unichar_iswide(u) ? 2 : 1;
}

unsigned ctl_text_width(const char *text)
{
        unsigned width = 0;

        for (; *text; text = g_utf8_next_char(text))
                width += char_width(g_utf8_get_char(text));
        return width;
}

/* How far one can go from the start without using more than these columns. */
static const char *fitting_end(const char *text, unsigned width)
{
        unsigned used = 0;

        for (; *text; text = g_utf8_next_char(text)) {
                used += char_width(g_utf8_get_char(text));
                if (used > width)
                        break;
        }
        return text;
}

static const char *fitting_start(const char *text, unsigned width)
{
        unsigned left = ctl_text_width(text);

        while (*text && left > width) {
                left -= char_width(g_utf8_get_char(text));
                text = g_utf8_next_char(text);
        }
        /* what combined with the character before would now combine with the ellipsis */
        while (*text && char_width(g_utf8_get_char(text)) == 0)
                text = g_utf8_next_char(text);
        return text;
}

char *ctl_text_cut(const char *text, unsigned width, CtlCut cut)
{
        if (cut == CTL_CUT_NEVER || ctl_text_width(text) <= width)
                return g_strdup(text);
        if (width == 0)
                return g_strdup("");
        if (cut == CTL_CUT_START)
                return g_strconcat(ELLIPSIS, fitting_start(text, width - 1), NULL);

        const char *end = fitting_end(text, width - 1);
        return g_strdup_printf("%.*s%s", (int)(end - text), text, ELLIPSIS);
}

char *ctl_text_size(uint64_t bytes)
{
        static const char units[] = "BKMGTPE";
        unsigned n = 0;
        uint64_t unit = 1;

        while (n + 2 < sizeof units && bytes / unit >= 1024) {
                unit *= 1024;
                n++;
        }
        if (bytes % unit == 0)
                return g_strdup_printf("%" G_GUINT64_FORMAT "%c", bytes / unit, units[n]);

        /* rounded down, so that nobody believes in space that is not there */
        return g_strdup_printf("%" G_GUINT64_FORMAT ".%" G_GUINT64_FORMAT "%c", bytes / unit,
                               bytes % unit / (unit / 1024) * 10 / 1024, units[n]);
}

char *ctl_text_time(uint64_t usec)
{
        g_autoptr(GDateTime) time = NULL;

        if (usec > 0)
                time = g_date_time_new_from_unix_local((gint64)(usec / G_USEC_PER_SEC));
        return time ? g_date_time_format(time, "%F %T") : g_strdup("-");
}
