/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Prints what the table of settings knows, so that no document can differ from it; run by the
 * build: settings-doc example          the example configuration file settings-doc man TEMPLATE a
 * manual page, @SETTINGS@ in it replaced by all settings One thread; frees what it allocates.
 */

#include "util/settings.h"

#include <stdio.h>
#include <string.h>

#define PLACE "@SETTINGS@\n"

typedef struct Page {
        GString *text;
        const char *group; /* of the last setting; the table's string */
} Page;

/* Text as roff takes it: no control line, no escape, no hyphen that is a dash. */
static void append_text(GString *out, const char *text)
{
        if (*text == '.' || *text == '\'')
                g_string_append(out, "\\&");
        for (; *text; text++)
                if (*text == '\\')
                        g_string_append(out, "\\e");
                else if (*text == '-')
                        g_string_append(out, "\\-");
                else
                        g_string_append_c(out, *text);
}

static void append_setting(const char *group, const char *name, const char *default_value,
                           const char *documentation, void *userdata)
{
        Page *page = userdata;

        if (!page->group || !g_str_equal(page->group, group))
                g_string_append_printf(page->text, ".SS \"[%s]\"\n", group);
        page->group = group;
        g_string_append_printf(page->text, ".TP\n.BR %s =\n", name);
        append_text(page->text, documentation);
        g_string_append(page->text, "\nDefault: ");
        if (*default_value) {
                g_string_append(page->text, "\\fB");
                append_text(page->text, default_value);
                g_string_append(page->text, "\\fR.\n");
        } else
                g_string_append(page->text, "empty.\n");
}

static int print_man(const char *path)
{
        g_autofree char *template = NULL;
        g_autoptr(GError) error = NULL;
        Page page = {0};
        char *place;

        if (!g_file_get_contents(path, &template, NULL, &error)) {
                fprintf(stderr, "%s\n", error->message);
                return 1;
        }
        place = strstr(template, PLACE);
        if (!place) {
                fprintf(stderr, "%s has no line %s", path, PLACE);
                return 1;
        }
        page.text = g_string_new_len(template, place - template);
        dl_settings_foreach(append_setting, &page);
        g_string_append(page.text, place + strlen(PLACE));
        fputs(page.text->str, stdout);
        g_string_free(page.text, TRUE);
        return 0;
}

int main(int argc, char **argv)
{
        if (argc == 2 && g_str_equal(argv[1], "example")) {
                g_autofree char *text = dl_settings_example();

                fputs(text, stdout);
                return 0;
        }
        if (argc == 3 && g_str_equal(argv[1], "man"))
                return print_man(argv[2]);
        fprintf(stderr, "usage: %s example | man TEMPLATE\n", argv[0]);
        return 2;
}
