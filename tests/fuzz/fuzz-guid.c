/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The input: vendor and product (24 bytes), the size of page 0x80 (one byte), that page, and the
 * rest is page 0x83.
 */

#include "fuzz.h"

#include "scsi/identity.h"

#include <string.h>

enum {
        NAMES = 24,
        PAGE_MAX = 254
};

typedef struct Device {
        DlScsiInquiry inquiry;
        const uint8_t *page83, *page80;
        size_t size83, size80;
} Device;

static char *guid(const Device *d)
{
        return dl_scsi_guid(&d->inquiry, d->page83, d->size83, d->page80, d->size80);
}

/* Fit for D-Bus, for a device node's name and for an object path after encoding. */
static void check_form(const char *s)
{
        size_t length = strlen(s);

        g_assert_true(length >= 2 && length <= 255);
        g_assert_true(strchr("01238S", s[0]));
        g_assert_true(g_utf8_validate(s, -1, NULL));
        for (const char *p = s; *p; p++)
                g_assert_false((*p > 0 && *p <= ' ') || *p == '/' || *p == 0x7f);
}

/* Page 0x80 counts only where page 0x83 has nothing better than a name. */
static void check_precedence(const Device *d, const char *both)
{
        Device only83 = *d, only80 = *d;

        only83.page80 = NULL;
        only80.page83 = NULL;
        g_autofree char *from83 = guid(&only83);
        g_autofree char *from80 = guid(&only80);
        g_assert_true(!from80 || from80[0] == 'S');
        g_assert_true(!from83 || from83[0] != 'S');
        if (both && both[0] == 'S')
                g_assert_cmpstr(both, ==, from80);
        else
                g_assert_cmpstr(both, ==, from83);
}

/* What page 0x83 alone gives is one of the device's names, and the GUID is the first. */
static void check_names(const Device *d, const char *guid)
{
        g_autofree char *from83 = dl_scsi_guid(&d->inquiry, d->page83, d->size83, NULL, 0);
        g_autoptr(GPtrArray)
                names = dl_scsi_names(&d->inquiry, d->page83, d->size83, d->page80, d->size80);

        g_assert_true(!from83 ||
                      g_ptr_array_find_with_equal_func(names, from83, g_str_equal, NULL));
        g_assert_cmpstr(names->len > 0 ? names->pdata[0] : NULL, ==, guid);
        for (unsigned i = 0; i < names->len; i++)
                check_form(names->pdata[i]);
}

/* A page stands for its first 254 bytes with zeros behind it. */
static void check_window(const Device *d, const char *expected)
{
        uint8_t padded[PAGE_MAX + 2] = {0};
        Device other = *d;

        if (!d->page83)
                return;
        memcpy(padded, d->page83, MIN(d->size83, PAGE_MAX));
        memset(padded + PAGE_MAX, 0xee, 2);
        other.page83 = padded;
        other.size83 = sizeof(padded);
        g_autofree char *again = guid(&other);
        g_assert_cmpstr(again, ==, expected);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        uint8_t answer[DL_SCSI_INQUIRY_SIZE] = {0};
        Device d = {0};

        if (size < NAMES + 1)
                return 0;
        memcpy(answer + 8, data, NAMES);
        g_assert_cmpint(dl_scsi_inquiry_parse(answer, sizeof(answer), &d.inquiry), ==, 0);
        d.size80 = MIN((size_t)data[NAMES], size - NAMES - 1);
        d.page80 = d.size80 > 0 ? data + NAMES + 1 : NULL;
        d.size83 = size - NAMES - 1 - d.size80;
        d.page83 = d.size83 > 0 ? data + NAMES + 1 + d.size80 : NULL;

        g_autofree char *s = guid(&d);
        if (s)
                check_form(s);
        check_precedence(&d, s);
        check_window(&d, s);
        check_names(&d, s);
        return 0;
}
