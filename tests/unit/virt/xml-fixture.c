/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the tests of domain XML share; see the header. */

#include "xml-fixture.h"

char *read_golden(const char *name)
{
        g_autofree char *path = g_build_filename(DL_TEST_DIR, "golden", name, NULL);
        GError *error = NULL;
        char *text = NULL;

        g_file_get_contents(path, &text, NULL, &error);
        g_assert_no_error(error);
        return text;
}

void check_golden(const char *name, const char *xml)
{
        g_autofree char *path = g_build_filename(DL_TEST_DIR, "golden", name, NULL);
        g_autofree char *line = g_strconcat(xml, "\n", NULL);
        g_autofree char *golden = NULL;

        if (g_getenv("DL_TEST_UPDATE"))
                g_assert_true(g_file_set_contents(path, line, -1, NULL));
        golden = read_golden(name);
        g_assert_cmpstr(line, ==, golden);
}

char *domain_with(const char *devices, const char *metadata)
{
        return g_strdup_printf("<domain><name>n</name><uuid>" UUID "</uuid><metadata>%s</metadata>"
                               "<devices>%s</devices></domain>",
                               metadata, devices);
}

DlDomain *parse(const char *xml)
{
        GError *error = NULL;
        DlDomain *domain = dl_domain_parse(xml, &error);

        g_assert_no_error(error);
        g_assert_nonnull(domain);
        return domain;
}

DlAddress *address_of(const char *first, ...)
{
        DlAddress *address = dl_address_new();
        va_list ap;

        va_start(ap, first);
        for (const char *key = first; key; key = va_arg(ap, const char *))
                g_hash_table_insert(address, g_strdup(key), g_strdup(va_arg(ap, const char *)));
        va_end(ap);
        return address;
}
