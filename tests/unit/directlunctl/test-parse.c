/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Addresses, numbers, timeouts and key=value lists, good and bad. */

#include "directlunctl/parse.h"

#include "util/error.h"

static void test_portals(void)
{
        static const struct {
                const char *text, *address; /* no address: refused */
                uint16_t port;
        } cases[] = {
                {"san.example.com", "san.example.com", 3260},
                {"san.example.com:3261", "san.example.com", 3261},
                {"192.0.2.1", "192.0.2.1", 3260},
                {"192.0.2.1:1", "192.0.2.1", 1},
                {"192.0.2.1:65535", "192.0.2.1", 65535},
                {"2001:db8::1", "2001:db8::1", 3260},
                {"::1", "::1", 3260},
                {"fe80::1%eth0", "fe80::1%eth0", 3260},
                {"[2001:db8::1]", "2001:db8::1", 3260},
                {"[2001:db8::1]:860", "2001:db8::1", 860},
                {"[fe80::1%eth0]:860", "fe80::1%eth0", 860},
                {"", NULL},
                {":3260", NULL},
                {"[]:3260", NULL},
                {"san:", NULL},
                {"san:0", NULL},
                {"san:65536", NULL},
                {"san:-1", NULL},
                {"san:3260x", NULL},
                {"san: 3260", NULL},
                {"san:99999999999999999999", NULL},
                {"[2001:db8::1", NULL},
                {"[2001:db8::1]3260", NULL},
                {"[2001:db8::1]:", NULL},
        };

        for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
                g_autoptr(GError) error = NULL;
                g_autofree char *address = NULL;
                uint16_t port = 0;
                bool ok = ctl_parse_portal(cases[i].text, &address, &port, &error);

                g_test_message("'%s'", cases[i].text);
                g_assert_cmpstr(address, ==, cases[i].address);
                g_assert_cmpuint(port, ==, cases[i].port);
                g_assert_cmpint(ok, ==, cases[i].address != NULL);
                if (!ok)
                        g_assert_error(error, DL_ERROR, DL_ERROR_INVALID_ARGS);
        }
}

static void test_integers(void)
{
        g_autoptr(GError) error = NULL;
        int64_t value = 77;

        g_assert_true(ctl_parse_integer("--index", "0", 0, 1023, &value, &error));
        g_assert_cmpint(value, ==, 0);
        g_assert_true(ctl_parse_integer("--index", "1023", 0, 1023, &value, &error));
        g_assert_cmpint(value, ==, 1023);
        for (const char *const *bad =
                     (const char *const[]){"", "-1", "1024", "x", "1x", " 1", "0x1", "1.0", NULL};
             *bad; bad++) {
                g_assert_false(ctl_parse_integer("--index", *bad, 0, 1023, &value, &error));
                g_assert_error(error, DL_ERROR, DL_ERROR_INVALID_ARGS);
                g_assert_nonnull(g_strstr_len(error->message, -1, "--index"));
                g_clear_error(&error);
        }
        g_assert_cmpint(value, ==, 1023); /* untouched */
}

static void test_timeouts(void)
{
        uint32_t msec = 77;

        g_assert_true(ctl_parse_timeout("5", &msec, NULL));
        g_assert_cmpuint(msec, ==, 5000);
        g_assert_true(ctl_parse_timeout("0.25", &msec, NULL));
        g_assert_cmpuint(msec, ==, 250);
        g_assert_true(ctl_parse_timeout("0.0001", &msec, NULL));
        g_assert_cmpuint(msec, ==, 1); /* 0 would mean: the service's own */
        g_assert_true(ctl_parse_timeout("86400", &msec, NULL));
        g_assert_cmpuint(msec, ==, 86400000);
        for (const char *const *bad = (const char *const[]){"", "0", "-1", "86401", "1s", "x",
                                                            "nan", "inf", "1,5", "1e9", NULL};
             *bad; bad++) {
                g_autoptr(GError) error = NULL;

                g_test_message("'%s'", *bad);
                g_assert_false(ctl_parse_timeout(*bad, &msec, &error));
                g_assert_error(error, DL_ERROR, DL_ERROR_INVALID_ARGS);
        }
        g_assert_cmpuint(msec, ==, 86400000);
}

static const char *const allowed[] = {"address", "port", "target", "id", NULL};

static void test_pairs(void)
{
        g_auto(GStrv) pairs = NULL;
        const char *const *p;

        g_assert_true(ctl_parse_pairs("--lun",
                                      "address=2001:db8::1,target=iqn.2026-11.org.example:a=b,"
                                      "id=3600",
                                      allowed, &pairs, NULL));
        p = (const char *const *)pairs;
        g_assert_cmpuint(g_strv_length(pairs), ==, 6);
        g_assert_cmpstr(ctl_pair(p, "address"), ==, "2001:db8::1");
        g_assert_cmpstr(ctl_pair(p, "target"), ==, "iqn.2026-11.org.example:a=b");
        g_assert_cmpstr(ctl_pair(p, "id"), ==, "3600");
        g_assert_null(ctl_pair(p, "port"));
        g_assert_null(ctl_pair(p, "3600")); /* a value is no key */
        g_assert_null(ctl_pair(NULL, "port"));
}

static void test_bad_pairs(void)
{
        for (const char *const *bad =
                     (const char *const[]){"", ",", "address", "address=", "=x", "port=1,",
                                           ",port=1", "port=1,port=2", "secret=x", "Address=x",
                                           " port=1", "port=1,,id=2", NULL};
             *bad; bad++) {
                g_autoptr(GError) error = NULL;
                g_auto(GStrv) pairs = NULL;

                g_test_message("'%s'", *bad);
                g_assert_false(ctl_parse_pairs("--lun", *bad, allowed, &pairs, &error));
                g_assert_error(error, DL_ERROR, DL_ERROR_INVALID_ARGS);
                g_assert_null(pairs);
        }
}

/* A secret that somebody wrote where it does not belong is not repeated in the error. */
static void test_values_are_not_told(void)
{
        g_autoptr(GError) error = NULL;
        g_auto(GStrv) pairs = NULL;

        g_assert_false(ctl_parse_pairs("--lun", "id=1,secret=hunter2", allowed, &pairs, &error));
        g_assert_null(g_strstr_len(error->message, -1, "hunter2"));
}

int main(int argc, char *argv[])
{
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/parse/portals", test_portals);
        g_test_add_func("/parse/integers", test_integers);
        g_test_add_func("/parse/timeouts", test_timeouts);
        g_test_add_func("/parse/pairs", test_pairs);
        g_test_add_func("/parse/bad-pairs", test_bad_pairs);
        g_test_add_func("/parse/values-are-not-told", test_values_are_not_told);
        return g_test_run();
}
