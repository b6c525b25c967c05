/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The input is what a target sends, after two bytes: what the guard is told to expect, and how many
 * bytes come at a time.
 */

#include "fuzz.h"

#include "iscsi/guard.h"

#include <string.h>

enum {
        CHAP = 1,
        MUTUAL = 2,
        TEXT = 4,
        COMMANDS = 8, /* of tags 1 and 2 */
        HEADER_SIZE = 48,
        READ_SIZE = 512,
};

static DlGuard *guard_of(uint8_t flags)
{
        DlGuard *guard = dl_guard_new(flags & CHAP, flags & CHAP && flags & MUTUAL);

        if (flags & TEXT)
                dl_guard_expect_text(guard);
        for (uint32_t tag = 1; flags & COMMANDS && tag <= 2; tag++)
                dl_guard_expect_command(guard, tag, READ_SIZE);
        return guard;
}

/* Feeds so many bytes at a time; whether all were taken. */
static bool feed(DlGuard *guard, const uint8_t *data, size_t size, size_t at_once, GByteArray *out)
{
        while (size > 0) {
                g_autoptr(GError) error = NULL;
                size_t n = MIN(size, at_once);
                bool ok = dl_guard_feed(guard, data, n, out, &error);

                g_assert_true(ok == !error);
                if (!ok)
                        return false;
                data += n;
                size -= n;
        }
        return true;
}

/* The number of PDUs; they are whole, and without additional headers, which nobody offered. */
static size_t count(const GByteArray *out)
{
        size_t at = 0, n = 0;

        while (at < out->len) {
                const uint8_t *header = out->data + at;

                g_assert_cmpuint(out->len - at, >=, HEADER_SIZE);
                size_t data = (size_t)header[5] << 16 | (size_t)header[6] << 8 | header[7];
                size_t size = HEADER_SIZE + ((data + 3) & ~(size_t)3);
                g_assert_cmpuint(header[4], ==, 0);
                g_assert_cmpuint(out->len - at, >=, size);
                at += size;
                n++;
        }
        return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        if (size < 2)
                return 0;

        g_autoptr(DlGuard) whole = guard_of(data[0]), pieces = guard_of(data[0]);
        g_autoptr(GByteArray) out = g_byte_array_new(), again = g_byte_array_new();
        bool taken = feed(whole, data + 2, size - 2, size, out);

        g_assert_true(feed(pieces, data + 2, size - 2, data[1] + (size_t)1, again) == taken);
        g_assert_cmpuint(count(out), <=, (size - 2) / HEADER_SIZE);
        g_assert_cmpmem(again->data, again->len, out->data, out->len);
        if (taken) {
                g_autoptr(GError) end = dl_guard_end_error(whole);

                g_assert_nonnull(end);
                g_assert_cmpstr(dl_guard_redirect(whole), ==, dl_guard_redirect(pieces));
                g_assert_cmpuint(dl_guard_tpgt(whole), ==, dl_guard_tpgt(pieces));
        }
        return 0;
}
