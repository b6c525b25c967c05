/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Lays out tables. A table owns its cells. One thread. */

#include "directlunctl/table.h"

#include <string.h>

#define GAP 2 /* between columns */

struct CtlTable {
        const CtlColumn *columns;
        unsigned n;
        GPtrArray *cells; /* clean text, row after row */
};

CtlTable *ctl_table_new(const CtlColumn *columns)
{
        CtlTable *table = g_new0(CtlTable, 1);

        table->columns = columns;
        while (columns[table->n].title)
                table->n++;
        table->cells = g_ptr_array_new_with_free_func(g_free);
        return table;
}

void ctl_table_free(CtlTable *table)
{
        if (!table)
                return;
        g_ptr_array_unref(table->cells);
        g_free(table);
}

void ctl_table_add(CtlTable *table, const char *text)
{
        g_ptr_array_add(table->cells, ctl_text_clean(text ? text : ""));
}

void ctl_table_take(CtlTable *table, char *text)
{
        ctl_table_add(table, text);
        g_free(text);
}

unsigned ctl_table_rows(const CtlTable *table)
{
        return table->cells->len / table->n;
}

/* What each column wants; 0: it is left out. */
static void measure(const CtlTable *table, bool legend, unsigned *widths)
{
        unsigned widest;

        for (unsigned c = 0; c < table->n; c++) {
                widest = 0;
                for (unsigned i = c; i < table->cells->len; i += table->n)
                        widest = MAX(widest, ctl_text_width(table->cells->pdata[i]));
                widths[c] = widest;
                if (widest > 0 || !table->columns[c].optional)
                        widths[c] = MAX(widest,
                                        legend ? ctl_text_width(table->columns[c].title) : 1);
        }
}

static unsigned least_width(const CtlColumn *column)
{
        return column->min ? column->min : ctl_text_width(column->title);
}

/* Takes from the widest column that can give, one by one, until it fits or none can. */
static void shrink(const CtlTable *table, unsigned width, unsigned *widths)
{
        unsigned total = 0;

        for (unsigned c = 0; c < table->n; c++)
                total += widths[c] ? widths[c] + GAP : 0;
        while (total > width + GAP) {
                unsigned widest = table->n;

                for (unsigned c = 0; c < table->n; c++)
                        if (table->columns[c].cut != CTL_CUT_NEVER &&
                            widths[c] > least_width(&table->columns[c]) &&
                            (widest == table->n || widths[c] > widths[widest]))
                                widest = c;
                if (widest == table->n)
                        return;
                widths[widest]--;
                total--;
        }
}

static void append_spaces(GString *out, unsigned n)
{
        for (; n > 0; n--)
                g_string_append_c(out, ' ');
}

static void append_cell(GString *out, const CtlColumn *column, const char *text, unsigned width)
{
        g_autofree char *cut = ctl_text_cut(text, width, column->cut);
        unsigned used = ctl_text_width(cut);
        unsigned pad = width > used ? width - used : 0;

        append_spaces(out, column->right ? pad : 0);
        g_string_append(out, cut);
        append_spaces(out, (column->right ? 0 : pad) + GAP);
}

static void append_row(GString *out, const CtlTable *table, const unsigned *widths,
                       const char *const *cells)
{
        for (unsigned c = 0; c < table->n; c++)
                if (widths[c] > 0)
                        append_cell(out, &table->columns[c],
                                    cells ? cells[c] : table->columns[c].title, widths[c]);
        while (out->len > 0 && out->str[out->len - 1] == ' ')
                g_string_truncate(out, out->len - 1);
        g_string_append_c(out, '\n');
}

char *ctl_table_format(const CtlTable *table, unsigned width, bool legend)
{
        g_autofree unsigned *widths = g_new0(unsigned, table->n);
        GString *out = g_string_new(NULL);

        measure(table, legend, widths);
        if (width > 0)
                shrink(table, width, widths);
        if (legend)
                append_row(out, table, widths, NULL);
        for (unsigned i = 0; i < table->cells->len; i += table->n)
                append_row(out, table, widths, (const char *const *)&table->cells->pdata[i]);
        return g_string_free(out, false);
}
