/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The table of errors. */

#include "util/error.h"

static void test_names(void)
{
        g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);

        for (int code = 0; code < _DL_ERROR_MAX; code++) {
                const char *name = dl_error_name(code);

                g_assert_nonnull(name);
                g_assert_true(g_ascii_isupper(*name));
                for (const char *p = name; *p; p++)
                        g_assert_true(g_ascii_isalnum(*p)); /* they become parts of D-Bus names */
                g_assert_true(g_hash_table_add(seen, (char *)name));
                g_assert_cmpint(dl_error_from_name(name), ==, code);
        }
        g_assert_cmpstr(dl_error_name(DL_ERROR_GUID_NOT_UNIQUE), ==, "GuidNotUnique");
        g_assert_cmpstr(dl_error_name(DL_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED), ==,
                        "InteractiveAuthorizationRequired");
}

static void test_unknown(void)
{
        g_assert_cmpstr(dl_error_name(-1), ==, "Failed");
        g_assert_cmpstr(dl_error_name(_DL_ERROR_MAX), ==, "Failed");
        g_assert_cmpint(dl_error_from_name("failed"), ==, DL_ERROR_FAILED);
        g_assert_cmpint(dl_error_from_name("Nonsense"), ==, DL_ERROR_FAILED);
        g_assert_cmpint(dl_error_from_name(NULL), ==, DL_ERROR_FAILED);
}

static void test_code(void)
{
        g_autoptr(GError) ours = g_error_new(DL_ERROR, DL_ERROR_BUSY, "busy");
        g_autoptr(GError) other = g_error_new(G_FILE_ERROR, G_FILE_ERROR_NOENT, "no file");

        g_assert_cmpint(dl_error_code(ours), ==, DL_ERROR_BUSY);
        g_assert_cmpint(dl_error_code(other), ==, DL_ERROR_FAILED);
        g_assert_cmpint(dl_error_code(NULL), ==, DL_ERROR_FAILED);
}

int main(int argc, char *argv[])
{
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/error/names", test_names);
        g_test_add_func("/error/unknown", test_unknown);
        g_test_add_func("/error/code", test_code);
        return g_test_run();
}
