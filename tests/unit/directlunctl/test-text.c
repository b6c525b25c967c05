/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Text for terminals: harmless, measured, cut; sizes. */

#include "directlunctl/text.h"

#include <stdbool.h>
#include <string.h>

static void assert_clean(const char *text, const char *expected)
{
        g_autofree char *clean = ctl_text_clean(text);

        g_assert_cmpstr(clean, ==, expected);
        g_assert_true(g_utf8_validate(clean, -1, NULL));
}

static void test_clean(void)
{
        assert_clean("", "");
        assert_clean("größe 磁盘", "größe 磁盘");
        assert_clean("two\nlines\tand", "two lines and");
        assert_clean("\033[2J\033]0;title\007\r", "?[2J?]0;title??");
        assert_clean("\302\233"
                     "31m",
                     "?31m");                     /* CSI of 8 bits */
        assert_clean("a\342\200\256b", "a?b");    /* right-to-left override */
        assert_clean("a\342\200\250b", "a?b");    /* line separator */
        assert_clean("a\377b", "a\357\277\275b"); /* no UTF-8 */
        assert_clean("\355\240\200", "\357\277\275\357\277\275\357\277\275"); /* a surrogate */
}

static void test_width(void)
{
        g_assert_cmpuint(ctl_text_width(""), ==, 0);
        g_assert_cmpuint(ctl_text_width("abc"), ==, 3);
        g_assert_cmpuint(ctl_text_width("größe"), ==, 5);
        g_assert_cmpuint(ctl_text_width("磁盘"), ==, 4);
        g_assert_cmpuint(ctl_text_width("e\314\201"), ==, 1); /* e and an accent */
}

static void assert_cut(const char *text, unsigned width, CtlCut cut, const char *expected)
{
        g_autofree char *short_text = ctl_text_cut(text, width, cut);

        g_assert_cmpstr(short_text, ==, expected);
        if (cut != CTL_CUT_NEVER)
                g_assert_cmpuint(ctl_text_width(short_text), <=, width);
}

static void test_cut(void)
{
        assert_cut("abcdef", 6, CTL_CUT_END, "abcdef");
        assert_cut("abcdef", 5, CTL_CUT_END, "abcd…");
        assert_cut("abcdef", 1, CTL_CUT_END, "…");
        assert_cut("abcdef", 0, CTL_CUT_END, "");
        assert_cut("abcdef", 5, CTL_CUT_START, "…cdef");
        assert_cut("abcdef", 1, CTL_CUT_START, "…");
        assert_cut("abcdef", 0, CTL_CUT_START, "");
        assert_cut("abcdef", 2, CTL_CUT_NEVER, "abcdef");
        assert_cut("磁盘磁盘", 5, CTL_CUT_END, "磁盘…");
        assert_cut("磁盘磁盘", 4, CTL_CUT_END, "磁…"); /* half a character does not fit */
        assert_cut("磁盘磁盘", 4, CTL_CUT_START, "…盘");
        assert_cut("e\314\201e\314\201e\314\201", 2, CTL_CUT_END, "e\314\201…");
        assert_cut("e\314\201e\314\201e\314\201", 2, CTL_CUT_START, "…e\314\201");
}

static void assert_size(uint64_t bytes, const char *expected)
{
        g_autofree char *text = ctl_text_size(bytes);

        g_assert_cmpstr(text, ==, expected);
}

static void test_size(void)
{
        assert_size(0, "0B");
        assert_size(512, "512B");
        assert_size(1023, "1023B");
        assert_size(1024, "1K");
        assert_size(1536, "1.5K");
        assert_size(16 << 20, "16M");
        assert_size((16 << 20) - 512, "15.9M"); /* rounded down */
        assert_size(UINT64_C(10) << 30, "10G");
        assert_size(UINT64_C(2) << 40, "2T");
        assert_size((UINT64_C(2) << 40) + (UINT64_C(768) << 30), "2.7T");
        assert_size(UINT64_C(1) << 60, "1E");
        assert_size(UINT64_MAX, "15.9E");
}

static void test_time(void)
{
        g_autofree char *none = ctl_text_time(0);
        g_autofree char *some = ctl_text_time(UINT64_C(1800000000000000));
        g_autofree char *never = ctl_text_time(UINT64_MAX);

        g_assert_cmpstr(none, ==, "-");
        g_assert_cmpstr(some, ==, "2027-01-15 08:00:00");
        g_assert_cmpuint(strlen(never), >, 0);
}

int main(int argc, char *argv[])
{
        g_setenv("TZ", "UTC", true);
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/text/clean", test_clean);
        g_test_add_func("/text/width", test_width);
        g_test_add_func("/text/cut", test_cut);
        g_test_add_func("/text/size", test_size);
        g_test_add_func("/text/time", test_time);
        return g_test_run();
}
