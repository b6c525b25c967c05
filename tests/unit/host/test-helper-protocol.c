/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the helper takes for a request, and the service for an answer. One thread. */

#include "host/helper-protocol.h"
#include "util/error.h"

#include <string.h>

static const DlHelperRequest good[] = {
        {.verb = DL_HELPER_LOGIN,
         .iqn = "iqn.2026-01.org.example:a",
         .address = "192.0.2.1",
         .port = 3260,
         .tpgt = 1,
         .iface = "eth0.7",
         .user = "me",
         .secret = "a secret",
         .target_user = "it",
         .target_secret = "another"},
        {.verb = DL_HELPER_LOGIN,
         .iqn = "eui.02004567a425678d",
         .address = "2001:db8::1",
         .port = 1},
        {.verb = DL_HELPER_LOGOUT, .sid = 1, .iqn = "iqn.a:b", .address = "192.0.2.1", .port = 1},
        {.verb = DL_HELPER_SCAN, .sid = 7, .iqn = "iqn.a:b", .lun = 0},
        {.verb = DL_HELPER_RESCAN_PATH, .major = 8, .guid = "3600"},
        {.verb = DL_HELPER_DELETE_PATH, .major = 8, .minor = 16, .guid = "1LIO-ORG_a"},
        {.verb = DL_HELPER_FLUSH_MAP, .guid = "3600"},
        {.verb = DL_HELPER_FAIL_QUEUED, .guid = "3600"},
        {.verb = DL_HELPER_RESIZE_MAP, .guid = "3600"},
        {.verb = DL_HELPER_READ, .major = 8, .guid = "3600", .offset = 12345, .size = 1048576},
        {.verb = DL_HELPER_IDENTIFY, .major = 8, .guid = "3600"},
};

static bool parses(DlHelperRequest request)
{
        DlHelperRequest taken;

        request.magic = DL_HELPER_MAGIC;
        if (request.timeout_ms == 0)
                request.timeout_ms = 1000;
        if (!dl_helper_request_parse(&request, sizeof request, &taken))
                return false;
        g_assert_cmpint(memcmp(&request, &taken, sizeof taken), ==, 0);
        return true;
}

static void test_good(void)
{
        for (unsigned i = 0; i < G_N_ELEMENTS(good); i++)
                g_assert_true(parses(good[i]));
}

/* A verb gets what it takes, and nothing else, not even behind the end of a string. */
static void test_nothing_more(void)
{
        for (unsigned i = 0; i < G_N_ELEMENTS(good); i++) {
                DlHelperRequest r = good[i];

                r.magic = DL_HELPER_MAGIC;
                r.timeout_ms = 1;
                g_assert_true(dl_helper_request_check(&r));
                for (size_t at = sizeof r - sizeof r.target_secret; at < sizeof r; at++) {
                        char *byte = (char *)&r + at, was = *byte;

                        if (was)
                                continue;
                        *byte = 'x';
                        if (at > sizeof r - sizeof r.target_secret &&
                            byte[-1] != '\0') /* one more character of the secret */
                                g_assert_true(dl_helper_request_check(&r));
                        else
                                g_assert_false(dl_helper_request_check(&r));
                        *byte = was;
                }
        }
}

static void test_bad(void)
{
        DlHelperRequest r;

#define BAD(index, field, value)                                                                   \
        do {                                                                                       \
                r = good[index];                                                                   \
                r.field = (value);                                                                 \
                g_assert_false(parses(r));                                                         \
        } while (0)
#define BAD_TEXT(index, field, value)                                                              \
        do {                                                                                       \
                r = good[index];                                                                   \
                memset(r.field, 0, sizeof r.field);                                                \
                g_assert_true(DL_HELPER_PUT(&r, field, value));                                    \
                g_assert_false(parses(r));                                                         \
        } while (0)

        BAD(0, verb, 0);
        BAD(0, verb, _DL_HELPER_VERB_MAX);
        BAD(0, timeout_ms, DL_HELPER_TIMEOUT_MAX + 1);
        BAD(0, port, 0);
        BAD(0, sid, 1);
        BAD(2, sid, 0);
        BAD(2, lun, 1);
        BAD(2, tpgt, 1);
        BAD(5, major, 0);
        BAD(6, minor, 1);
        BAD(9, size, 0);
        BAD(9, size, DL_HELPER_READ_MAX + 1);
        BAD(9, offset, (uint64_t)INT64_MAX);
        BAD_TEXT(0, iqn, "");
        BAD_TEXT(0, iqn, "iqn.a/../../etc");
        BAD_TEXT(0, iqn, "iqn.a..b");
        BAD_TEXT(0, iqn, "--login");
        BAD_TEXT(0, address, "");
        BAD_TEXT(0, address, "san.example.com");
        BAD_TEXT(0, address, "192.0.2.1,3260");
        BAD_TEXT(0, address, "192.0.2.1 -m session");
        BAD_TEXT(0, iface, "../default");
        BAD_TEXT(0, iface, "a/b");
        BAD_TEXT(0, user, "");
        BAD_TEXT(0, secret, "");
        BAD_TEXT(0, secret, "two\nlines = 1");
        BAD_TEXT(0, secret, " spaces around ");
        BAD_TEXT(0, target_user, "");
        BAD_TEXT(1, target_user, "it");
        BAD_TEXT(6, guid, "");
        BAD_TEXT(6, guid, "a b");
        BAD_TEXT(6, guid, "a/b");
        BAD_TEXT(6, guid, "\"a");
        BAD_TEXT(3, guid, "3600");
        memset(r.guid, 'a', sizeof r.guid); /* no end */
        g_assert_false(parses(r));
        g_assert_false(dl_helper_put(r.iface, sizeof r.iface,
                                     "a-name-that-is-one-byte-too-long-for-the-field-it"));
}

static void test_sizes(void)
{
        DlHelperRequest r = good[6], taken;
        uint8_t more[sizeof r + 1] = {0};

        r.magic = DL_HELPER_MAGIC;
        r.timeout_ms = 1;
        memcpy(more, &r, sizeof r);
        g_assert_true(dl_helper_request_parse(more, sizeof r, &taken));
        g_assert_false(dl_helper_request_parse(more, sizeof r - 1, &taken));
        g_assert_false(dl_helper_request_parse(more, sizeof r + 1, &taken));
        g_assert_false(dl_helper_request_parse(more, 0, &taken));
}

static void test_replies(void)
{
        DlHelperReply reply = {.magic = DL_HELPER_MAGIC, .code = DL_HELPER_OK};
        g_autoptr(GError) typed = NULL, broken = NULL;

        g_assert_no_error(dl_helper_reply_error(&reply, sizeof reply));
        reply.code = DL_ERROR_AUTH_FAILED;
        g_strlcpy(reply.message, "No", sizeof reply.message);
        typed = dl_helper_reply_error(&reply, sizeof reply);
        g_assert_error(typed, DL_ERROR, DL_ERROR_AUTH_FAILED);
        g_assert_cmpstr(typed->message, ==, "No");

        broken = dl_helper_reply_error(&reply, sizeof reply - 1);
        g_assert_error(broken, DL_ERROR, DL_ERROR_PROTOCOL_ERROR);
        g_clear_error(&broken);
        reply.code = _DL_ERROR_MAX;
        broken = dl_helper_reply_error(&reply, sizeof reply);
        g_assert_error(broken, DL_ERROR, DL_ERROR_PROTOCOL_ERROR);
        g_clear_error(&broken);
        reply.code = DL_ERROR_FAILED;
        memset(reply.message, 'x', sizeof reply.message);
        broken = dl_helper_reply_error(&reply, sizeof reply);
        g_assert_error(broken, DL_ERROR, DL_ERROR_PROTOCOL_ERROR);
}

int main(int argc, char **argv)
{
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/helper-protocol/good", test_good);
        g_test_add_func("/helper-protocol/nothing-more", test_nothing_more);
        g_test_add_func("/helper-protocol/bad", test_bad);
        g_test_add_func("/helper-protocol/sizes", test_sizes);
        g_test_add_func("/helper-protocol/replies", test_replies);
        return g_test_run();
}
