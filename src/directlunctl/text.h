/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Text for a terminal: what a target, a guest's name or an error may contain is made harmless,
 * measured and cut in columns. Pure; results belong to the caller.
 */

#include <glib.h>
#include <stdint.h>

/* Which end of a text that does not fit is left out. */
typedef enum CtlCut {
        CTL_CUT_END,
        CTL_CUT_START, /* for names that differ at their end */
        CTL_CUT_NEVER,
} CtlCut;

/* Valid UTF-8 in one line, without control characters. */
char *ctl_text_clean(const char *text);

/* Columns of a clean text: 2 for a wide character, 0 for one that combines. */
unsigned ctl_text_width(const char *text);

/* A clean text in at most so many columns, with an ellipsis where something is left out. */
char *ctl_text_cut(const char *text, unsigned width, CtlCut cut);

/* "16M", "1.5G": in powers of 1024, one decimal if it is not whole. */
char *ctl_text_size(uint64_t bytes);

/* Local time of microseconds since 1970; "-" for 0. */
char *ctl_text_time(uint64_t usec);
