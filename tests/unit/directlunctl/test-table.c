/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Tables: columns that stand below each other, shrink where they may, and never cut a GUID. */

#include "directlunctl/table.h"

#include <string.h>

#define GUID "360014051234567890abcdef012345678"

static const CtlColumn columns[] = {
        {"GUID", .cut = CTL_CUT_NEVER},
        {"SIZE", .cut = CTL_CUT_NEVER, .right = true},
        {"NAME", .min = 4},
        {"TARGET", .min = 8, .cut = CTL_CUT_START},
        {"ERROR", .optional = true},
        {},
};

static void add_row(CtlTable *table, const char *guid, const char *size, const char *name,
                    const char *target, const char *error)
{
        ctl_table_add(table, guid);
        ctl_table_take(table, g_strdup(size));
        ctl_table_add(table, name);
        ctl_table_add(table, target);
        ctl_table_add(table, error);
}

static void assert_table(const CtlTable *table, unsigned width, bool legend, const char *expected)
{
        g_autofree char *text = ctl_table_format(table, width, legend);

        g_assert_cmpstr(text, ==, expected);
}

static void test_full_width(void)
{
        g_autoptr(CtlTable) table = ctl_table_new(columns);

        add_row(table, "3600", "16M", "data", "iqn.a", NULL);
        add_row(table, "36", "1.5G", "größe 磁盘", "", NULL);
        g_assert_cmpuint(ctl_table_rows(table), ==, 2);
        assert_table(table, 0, true,
                     "GUID  SIZE  NAME        TARGET\n"
                     "3600   16M  data        iqn.a\n"
                     "36    1.5G  größe 磁盘\n");
        assert_table(table, 0, false,
                     "3600   16M  data        iqn.a\n"
                     "36    1.5G  größe 磁盘\n");
}

static void test_empty(void)
{
        g_autoptr(CtlTable) table = ctl_table_new(columns);

        g_assert_cmpuint(ctl_table_rows(table), ==, 0);
        assert_table(table, 0, true, "GUID  SIZE  NAME  TARGET\n");
        assert_table(table, 80, false, "");
}

static void test_optional_column(void)
{
        g_autoptr(CtlTable) table = ctl_table_new(columns);

        add_row(table, "1", "1B", "a", "b", NULL);
        add_row(table, "2", "2B", "c", "d", "gone");
        assert_table(table, 0, true,
                     "GUID  SIZE  NAME  TARGET  ERROR\n"
                     "1       1B  a     b\n"
                     "2       2B  c     d       gone\n");
}

/* The widest gives first; what may not be cut is whole at any width. */
static void test_shrinks(void)
{
        g_autoptr(CtlTable) table = ctl_table_new(columns);

        add_row(table, GUID, "16M", "a name that is quite long indeed",
                "iqn.2026-11.org.example:storage-array-17", NULL);
        for (unsigned width = 1; width < 140; width++) {
                g_autofree char *text = ctl_table_format(table, width, true);
                g_auto(GStrv) lines = g_strsplit(text, "\n", -1);

                g_assert_nonnull(strstr(text, GUID));
                g_assert_nonnull(strstr(text, "16M"));
                for (char **line = lines; *line; line++)
                        g_assert_cmpuint(ctl_text_width(*line), <=, MAX(width, 57));
        }
        assert_table(table, 80, false, GUID "  16M  a name that is qui…  …e:storage-array-17\n");
}

static void test_hostile_cells(void)
{
        g_autoptr(CtlTable) table = ctl_table_new(columns);

        add_row(table, "3\n6", "\033[1m", "a\tb", "\377", NULL);
        assert_table(table, 0, false, "3 6  ?[1m  a b  \357\277\275\n");
}

int main(int argc, char *argv[])
{
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/table/full-width", test_full_width);
        g_test_add_func("/table/empty", test_empty);
        g_test_add_func("/table/optional-column", test_optional_column);
        g_test_add_func("/table/shrinks", test_shrinks);
        g_test_add_func("/table/hostile-cells", test_hostile_cells);
        return g_test_run();
}
