/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Names, addresses and LUN numbers: pure. */

#include "iscsi/iscsi.h"
#include "iscsi/name.h"

#include <string.h>

static void test_name(void)
{
        static const char *const good[] = {
                "iqn.2026-11.org.example",
                "iqn.2026-11.org.example:storage.disk-1:a_b",
                "iqn.2001-04.com.example:ünïcode",
                "eui.02004567A425678D",
                "naa.52004567BA64678D",
                "naa.62004567BA64678D0123456789ABCDEF",
                "iqn.1987-05.com.CISCO:Upper",
        };
        static const char *const bad[] = {
                "",
                "iqn",
                "iqn.",
                "iqn.2026-11",
                "iqn.2026-11.",
                "iqn.2026-13.org.example",
                "iqn.2026-00.org.example",
                "iqn.26-11.org.example",
                "iqn.2026-11.:x",
                "iqn.2026-11.org.example/1",
                "iqn.2026-11.org.example: x",
                "iqn.2026-11.org.example:\n",
                "iqn.2026-11.org.example:\xff",
                "eui.0200",
                "eui.02004567A425678G",
                "naa.52004567BA64678D0",
                "disk",
                "IQN.2026-11.org.example",
                "iqn.2026-11.org.example:<x>",
                "iqn.2026-11.org.example:a,b",
        };
        char s[225] = "iqn.2026-11.org.example:";

        for (size_t i = 0; i < G_N_ELEMENTS(good); i++)
                g_assert_true(dl_iscsi_name_is_valid(good[i]));
        for (size_t i = 0; i < G_N_ELEMENTS(bad); i++)
                g_assert_false(dl_iscsi_name_is_valid(bad[i]));
        g_assert_false(dl_iscsi_name_is_valid(NULL));
        memset(s + strlen(s), 'x', 223 - strlen(s));
        g_assert_cmpuint(strlen(s), ==, 223);
        g_assert_true(dl_iscsi_name_is_valid(s));
        s[223] = 'x';
        g_assert_false(dl_iscsi_name_is_valid(s));
}

static void test_qemu_lun(void)
{
        static const unsigned numbers[][2] = {{0, 0},       {1, 1},       {255, 255},
                                              {256, 16640}, {300, 16684}, {16383, 32767}};

        for (size_t i = 0; i < G_N_ELEMENTS(numbers); i++) {
                g_assert_cmpuint(dl_iscsi_lun_for_qemu(numbers[i][0]), ==, numbers[i][1]);
                g_assert_cmpuint(dl_iscsi_lun_from_qemu(numbers[i][1]), ==, numbers[i][0]);
        }
        g_assert_cmpuint(dl_iscsi_lun_from_qemu(0x4005), ==, 5);
}

static void test_address(void)
{
        static const struct {
                const char *s, *host;
                uint16_t port, tpgt;
        } good[] = {
                {"192.0.2.1:3261,2", "192.0.2.1", 3261, 2},
                {"192.0.2.1", "192.0.2.1", 3260, 0},
                {"192.0.2.1,65535", "192.0.2.1", 3260, 65535},
                {"[2001:db8::1]:860,1", "2001:db8::1", 860, 1},
                {"[2001:db8::1]", "2001:db8::1", 3260, 0},
                {"[fe80::1%eth0]:3260,1", "fe80::1%eth0", 3260, 1},
                {"2001:db8::1,1", "2001:db8::1", 3260, 1},
                {"storage.example.org:3260,3", "storage.example.org", 3260, 3},
        };
        static const char *const bad[] = {
                "",           ":3260",      ",1",           "host:",       "host:0",
                "host:65536", "host:x",     "host:1x",      "host:+1",     "host,",
                "host,x",     "host,65536", "[::1",         "[::1]x:3260", "[]:3260",
                "a b:3260",   "host/x",     "[[::1]]:3260", "host\n:3260",
        };

        for (size_t i = 0; i < G_N_ELEMENTS(good); i++) {
                g_autofree char *host = NULL;
                uint16_t port, tpgt;

                g_assert_true(dl_iscsi_address_parse(good[i].s, &host, &port, &tpgt));
                g_assert_cmpstr(host, ==, good[i].host);
                g_assert_cmpuint(port, ==, good[i].port);
                g_assert_cmpuint(tpgt, ==, good[i].tpgt);
        }
        for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
                char *host = NULL;
                uint16_t port = 7, tpgt = 7;

                g_assert_false(dl_iscsi_address_parse(bad[i], &host, &port, &tpgt));
                g_assert_null(host);
                g_assert_cmpuint(port, ==, 7);
                g_assert_cmpuint(tpgt, ==, 7);
        }
}

static void test_host(void)
{
        static const char *const hosts[][2] = {
                {"::1", "::1"}, {"[::1]", "::1"}, {"a.example", "a.example"},
                {"", NULL},     {"[]", NULL},     {"[::1", NULL},
                {"a b", NULL},  {"a\n", NULL}};

        for (size_t i = 0; i < G_N_ELEMENTS(hosts); i++) {
                g_autofree char *host = dl_iscsi_host_normalize(hosts[i][0]);

                g_assert_cmpstr(host, ==, hosts[i][1]);
        }
        g_assert_null(dl_iscsi_host_normalize(NULL));
}

int main(int argc, char *argv[])
{
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/iscsi/name", test_name);
        g_test_add_func("/iscsi/qemu-lun", test_qemu_lun);
        g_test_add_func("/iscsi/address", test_address);
        g_test_add_func("/iscsi/host", test_host);
        return g_test_run();
}
