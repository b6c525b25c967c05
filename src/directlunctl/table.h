/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Tables for people. Pure; a table owns copies of its cells. */

#include "directlunctl/text.h"

#include <stdbool.h>

typedef struct CtlColumn {
        const char *title;
        unsigned min; /* columns that it keeps when space is short; 0: the title's width */
        CtlCut cut;
        bool right;    /* numbers */
        bool optional; /* left out when all its cells are empty */
} CtlColumn;

typedef struct CtlTable CtlTable;

/* columns is not copied, and ends with one without a title. */
CtlTable *ctl_table_new(const CtlColumn *columns);
void ctl_table_free(CtlTable *table);

/* The next cell, in the order of the columns; NULL is an empty one. */
void ctl_table_add(CtlTable *table, const char *text);
void ctl_table_take(CtlTable *table, char *text);

unsigned ctl_table_rows(const CtlTable *table);

/* In lines of at most so many columns, if that can be; width 0: as wide as it is. */
char *ctl_table_format(const CtlTable *table, unsigned width, bool legend);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(CtlTable, ctl_table_free)
