/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The guard before libiscsi: whole PDUs, cut ones, hostile ones. Pure. */

#include "iscsi/guard.h"
#include "util/error.h"

#include <string.h>

enum {
        HEADER_SIZE = 48
};

static GByteArray *pdu(uint8_t opcode, uint8_t flags, const void *data, size_t size)
{
        static const uint8_t zeros[4];
        GByteArray *bytes = g_byte_array_new();
        uint8_t header[HEADER_SIZE] = {opcode, flags};

        header[5] = (uint8_t)(size >> 16);
        header[6] = (uint8_t)(size >> 8);
        header[7] = (uint8_t)size;
        g_byte_array_append(bytes, header, sizeof header);
        if (size > 0)
                g_byte_array_append(bytes, data, (guint)size);
        g_byte_array_append(bytes, zeros, (guint)(-size & 3));
        return bytes;
}

static GByteArray *login(uint16_t status, uint8_t flags, const char *keys, size_t size)
{
        GByteArray *bytes = pdu(0x23, flags, keys, size);

        bytes->data[36] = (uint8_t)(status >> 8);
        bytes->data[37] = (uint8_t)status;
        return bytes;
}

static GByteArray *tagged(GByteArray *bytes, uint8_t tag)
{
        bytes->data[19] = tag;
        return bytes;
}

/* -1: all is well. Frees bytes. */
static int feed(DlGuard *guard, GByteArray *bytes, GByteArray *out)
{
        g_autoptr(GError) error = NULL;
        bool ok = dl_guard_feed(guard, bytes->data, bytes->len, out, &error);

        g_byte_array_unref(bytes);
        g_assert_true(ok == !error);
        return error ? error->code : -1;
}

static DlGuard *logged_in(void)
{
        DlGuard *guard = dl_guard_new(false, false);
        g_autoptr(GByteArray) out = g_byte_array_new();

        g_assert_cmpint(feed(guard, login(0, 0x87, NULL, 0), out), ==, -1);
        g_assert_cmpuint(out->len, ==, HEADER_SIZE);
        return guard;
}

static void test_byte_by_byte(void)
{
        static const char keys[] = "TargetPortalGroupTag=513\0HeaderDigest=None";
        g_autoptr(DlGuard) guard = dl_guard_new(false, false);
        g_autoptr(GByteArray) bytes = login(0, 0x87, keys, sizeof keys);
        g_autoptr(GByteArray) out = g_byte_array_new();

        for (guint i = 0; i < bytes->len; i++) {
                g_assert_cmpuint(out->len, ==, 0);
                g_assert_true(dl_guard_feed(guard, bytes->data + i, 1, out, NULL));
        }
        g_assert_cmpmem(out->data, out->len, bytes->data, bytes->len);
        g_assert_cmpuint(dl_guard_tpgt(guard), ==, 513);
}

static void test_end(void)
{
        g_autoptr(DlGuard) guard = dl_guard_new(false, false);
        g_autoptr(GByteArray) out = g_byte_array_new();
        GError *error = dl_guard_end_error(guard);

        g_assert_error(error, DL_ERROR, DL_ERROR_PORTAL_UNREACHABLE);
        g_clear_error(&error);
        g_assert_true(dl_guard_feed(guard, (const uint8_t *)"\x23\x87", 2, out, NULL));
        error = dl_guard_end_error(guard);
        g_assert_error(error, DL_ERROR, DL_ERROR_PROTOCOL_ERROR);
        g_clear_error(&error);
}

static void test_login_refused(void)
{
        static const struct {
                uint16_t status;
                DlErrorCode code;
        } all[] = {
                {0x0100, DL_ERROR_PROTOCOL_ERROR},     {0x0201, DL_ERROR_AUTH_FAILED},
                {0x0202, DL_ERROR_AUTH_FAILED},        {0x0203, DL_ERROR_TARGET_NOT_FOUND},
                {0x0204, DL_ERROR_TARGET_NOT_FOUND},   {0x0205, DL_ERROR_PROTOCOL_ERROR},
                {0x0206, DL_ERROR_LIMITS_EXCEEDED},    {0x0300, DL_ERROR_PORTAL_UNREACHABLE},
                {0x0302, DL_ERROR_PORTAL_UNREACHABLE}, {0x0400, DL_ERROR_PROTOCOL_ERROR},
        };

        for (size_t i = 0; i < G_N_ELEMENTS(all); i++) {
                g_autoptr(DlGuard) guard = dl_guard_new(false, false);
                g_autoptr(GByteArray) out = g_byte_array_new();

                g_assert_cmpint(feed(guard, login(all[i].status, 0, NULL, 0), out), ==,
                                all[i].code);
                g_assert_cmpuint(out->len, ==, 0);
        }
}

static void test_redirect(void)
{
        static const char keys[] = "TargetAddress=192.0.2.1:3260,1";
        g_autoptr(DlGuard) guard = dl_guard_new(false, false);
        g_autoptr(GByteArray) out = g_byte_array_new();

        g_assert_cmpint(feed(guard, login(0x0102, 0, keys, sizeof keys), out), ==, -1);
        g_assert_cmpstr(dl_guard_redirect(guard), ==, "192.0.2.1:3260,1");
        g_assert_cmpuint(out->len, ==, 0);
}

static void test_login_keys(void)
{
#define KEYS(x) x, sizeof x
        static const struct {
                const char *keys;
                size_t size;
                int code;
        } all[] = {
                {KEYS("AuthMethod=CHAP"), -1},
                {KEYS("CHAP_C=0x00ff"), -1},
                {KEYS("Unknown=thing\0X-y=z"), -1},
                {KEYS("HeaderDigest=CRC32C"), DL_ERROR_PROTOCOL_ERROR},
                {KEYS("no value"), DL_ERROR_PROTOCOL_ERROR},
                {"no=end", 6, DL_ERROR_PROTOCOL_ERROR},
                {KEYS("CHAP_C=0x0"), DL_ERROR_PROTOCOL_ERROR},
                {KEYS("CHAP_C=0x0g"), DL_ERROR_PROTOCOL_ERROR},
                {KEYS("CHAP_C=0x"), DL_ERROR_PROTOCOL_ERROR},
                {KEYS("CHAP_C=0bAAAA"), DL_ERROR_PROTOCOL_ERROR},
                {KEYS("CHAP_R=0x00"), DL_ERROR_AUTH_FAILED},
                {KEYS("InitiatorRecvDataSegmentLength=-1"), DL_ERROR_PROTOCOL_ERROR},
        };
#undef KEYS

        for (size_t i = 0; i < G_N_ELEMENTS(all); i++) {
                g_autoptr(DlGuard) guard = dl_guard_new(true, false);
                g_autoptr(GByteArray) out = g_byte_array_new();

                g_assert_cmpint(feed(guard, login(0, 0, all[i].keys, all[i].size), out), ==,
                                all[i].code);
        }
}

static void test_mutual(void)
{
        static const char question[] = "CHAP_A=5\0CHAP_I=1\0CHAP_C=0x1234",
                          proof[] = "CHAP_N=target\0CHAP_R=0x1234";
        g_autoptr(DlGuard) guard = dl_guard_new(true, true);
        g_autoptr(DlGuard) unproven = dl_guard_new(true, true);
        g_autoptr(GByteArray) out = g_byte_array_new();

        g_assert_cmpint(feed(guard, login(0, 0, question, sizeof question), out), ==, -1);
        g_assert_true(dl_guard_in_authentication(guard));
        g_assert_cmpint(feed(guard, login(0, 0x81, proof, sizeof proof), out), ==, -1);
        g_assert_cmpint(feed(guard, login(0, 0x87, NULL, 0), out), ==, -1);
        g_assert_false(dl_guard_in_authentication(guard));

        g_assert_cmpint(feed(unproven, login(0, 0, question, sizeof question), out), ==, -1);
        g_assert_cmpint(feed(unproven, login(0, 0x87, NULL, 0), out), ==, DL_ERROR_AUTH_FAILED);
}

/* libiscsi reads sense data far beyond what a target sends: it gets zeros there. */
static void test_sense_is_padded(void)
{
        static const uint8_t sense[] = {0, 3, 0x72, 0x06, 0x29};
        g_autoptr(DlGuard) guard = logged_in();
        g_autoptr(GByteArray) out = g_byte_array_new();

        dl_guard_expect_command(guard, 9, 100);
        g_assert_cmpint(feed(guard, tagged(pdu(0x21, 0x80, sense, sizeof sense), 9), out), ==, -1);
        g_assert_cmpuint(out->len, ==, HEADER_SIZE + 512);
        g_assert_cmpuint((guint)out->data[6] << 8 | out->data[7], ==, 512);
        g_assert_cmpmem(out->data + HEADER_SIZE, sizeof sense, sense, sizeof sense);
        for (guint i = HEADER_SIZE + sizeof sense; i < out->len; i++)
                g_assert_cmpuint(out->data[i], ==, 0);
}

static void test_refused(void)
{
        static const uint8_t opcodes[] = {0x00, 0x01, 0x22, 0x31, 0x3e, 0x40, 0x63, 0xa1, 'H'};
        g_autoptr(GByteArray) out = g_byte_array_new();

        for (size_t i = 0; i < G_N_ELEMENTS(opcodes); i++) {
                g_autoptr(DlGuard) guard = logged_in();

                g_assert_cmpint(feed(guard, pdu(opcodes[i], 0x80, NULL, 0), out), ==,
                                DL_ERROR_PROTOCOL_ERROR);
        }
        for (uint8_t opcode = 0x20; opcode <= 0x26; opcode++)
                if (opcode != 0x23) { /* nothing but the login before the login */
                        g_autoptr(DlGuard) guard = dl_guard_new(false, false);

                        g_assert_cmpint(feed(guard, pdu(opcode, 0x80, NULL, 0), out), ==,
                                        DL_ERROR_PROTOCOL_ERROR);
                }
        g_autoptr(DlGuard) text = logged_in(), twice = logged_in(), reject = logged_in();

        g_assert_cmpint(feed(text, pdu(0x24, 0x80, NULL, 0), out), ==, DL_ERROR_PROTOCOL_ERROR);
        g_assert_cmpint(feed(twice, login(0, 0x87, NULL, 0), out), ==, DL_ERROR_PROTOCOL_ERROR);
        g_assert_cmpint(feed(reject, pdu(0x3f, 0x80, "x", 1), out), ==, DL_ERROR_PROTOCOL_ERROR);
        g_assert_cmpuint(out->len, ==, 0);
}

/* Data comes only for a command, only as much as it takes, and only until its status. */
static void test_data(void)
{
        static const uint8_t data[100];
        g_autoptr(GByteArray) out = g_byte_array_new();
        static const struct {
                uint8_t opcode, flags, tag, size;
                int code;
        } all[][3] = {
                {{0x25, 0, 9, 60, -1}, {0x25, 0x81, 9, 40, -1}, {0x25, 0x81, 9, 1, 0}},
                {{0x25, 0x80, 9, 60, -1}, {0x21, 0x80, 9, 0, -1}, {0x21, 0x80, 9, 0, 0}},
                {{0x25, 0, 9, 60, -1}, {0x25, 0x81, 9, 41, 0}},
                {{0x25, 0, 8, 60, 0}},
                {{0x25, 0, 9, 0, 0}},
                {{0x25, 0x81, 9, 0, -1}, {0x25, 0x81, 9, 0, 0}},
                {{0x21, 0x80, 8, 0, 0}},
        };

        for (size_t i = 0; i < G_N_ELEMENTS(all); i++) {
                g_autoptr(DlGuard) guard = logged_in();

                dl_guard_expect_command(guard, 9, sizeof data);
                for (size_t j = 0; j < 3 && all[i][j].opcode != 0; j++) {
                        GByteArray *bytes = pdu(all[i][j].opcode, all[i][j].flags, data,
                                                all[i][j].size);

                        g_assert_cmpint(feed(guard, tagged(bytes, all[i][j].tag), out), ==,
                                        all[i][j].code < 0 ? -1 : DL_ERROR_PROTOCOL_ERROR);
                }
        }
}

/* A status with no data comes to libiscsi as an answer: it would not take it as data. */
static void test_data_without_data(void)
{
        g_autoptr(DlGuard) guard = logged_in();
        g_autoptr(GByteArray) out = g_byte_array_new();

        dl_guard_expect_command(guard, 9, 100);
        g_assert_cmpint(feed(guard, tagged(pdu(0x25, 0x83, NULL, 0), 9), out), ==, -1);
        g_assert_cmpuint(out->data[0], ==, 0x21);
        g_assert_cmpuint(out->data[1], ==, 0x82);
}

static void test_unasked(void)
{
        g_autoptr(DlGuard) guard = logged_in();
        g_autoptr(GByteArray) out = g_byte_array_new();
        int code = -1;
        unsigned n = 0;

        for (; code < 0 && n < 10000; n++)
                code = feed(guard, pdu(0x20, 0x80, NULL, 0), out);
        g_assert_cmpint(code, ==, DL_ERROR_PROTOCOL_ERROR);
        g_assert_cmpuint(n, >, 1000);
        g_assert_cmpuint(out->len, <, 100000);
}

static void test_text(void)
{
        static const char list[] = "TargetName=iqn.2026-11.org.example";
        g_autoptr(DlGuard) guard = logged_in(), long_one = logged_in();
        g_autoptr(GByteArray) out = g_byte_array_new();

        dl_guard_expect_text(guard);
        g_assert_cmpint(feed(guard, pdu(0x24, 0x80, list, sizeof list), out), ==, -1);
        dl_guard_expect_text(long_one);
        g_assert_cmpint(feed(long_one, pdu(0x24, 0x40, list, sizeof list), out), ==,
                        DL_ERROR_LIMITS_EXCEEDED);
}

int main(int argc, char *argv[])
{
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/guard/byte-by-byte", test_byte_by_byte);
        g_test_add_func("/guard/end", test_end);
        g_test_add_func("/guard/login/refused", test_login_refused);
        g_test_add_func("/guard/login/redirect", test_redirect);
        g_test_add_func("/guard/login/keys", test_login_keys);
        g_test_add_func("/guard/login/mutual", test_mutual);
        g_test_add_func("/guard/sense", test_sense_is_padded);
        g_test_add_func("/guard/refused", test_refused);
        g_test_add_func("/guard/data", test_data);
        g_test_add_func("/guard/data/none", test_data_without_data);
        g_test_add_func("/guard/unasked", test_unasked);
        g_test_add_func("/guard/text", test_text);
        return g_test_run();
}
