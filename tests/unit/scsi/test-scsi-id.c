/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Our GUID against the real scsi_id of udev, over the table of identity cases and over some
 * hundreds of pages made at random from a fixed seed. scsi_id asks a file through a preloaded
 * module (sg-shim.c, the first argument), so that no kernel device is needed.
 */

#include "identity-cases.h"

#include "scsi/identity.h"

#include <glib/gstdio.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
        RANDOM_CASES = 600,
        SKIPPED = 77
};

static const char scsi_id[] = "/lib/udev/scsi_id";
static const char *shim;
static char *device; /* the file that scsi_id takes for a device */

static void append_record(GByteArray *file, uint8_t evpd, uint8_t page, const uint8_t *data,
                          size_t size)
{
        const uint8_t header[] = {evpd, page, (uint8_t)(size >> 8), (uint8_t)size};

        g_byte_array_append(file, header, sizeof(header));
        g_byte_array_append(file, data, (guint)size);
}

static void write_device(const IdentityPages *pages)
{
        g_autoptr(GByteArray) file = g_byte_array_new();
        uint8_t supported[] = {0, 0, 0, 0, 0, 0, 0};
        g_autoptr(GError) error = NULL;

        append_record(file, 0, 0, pages->inquiry, sizeof(pages->inquiry));
        supported[3] = 1; /* page 0 itself */
        if (pages->page80)
                supported[4 + supported[3]++] = 0x80;
        if (pages->page83)
                supported[4 + supported[3]++] = 0x83;
        append_record(file, 1, 0, supported, 4 + (size_t)supported[3]);
        if (pages->page80)
                append_record(file, 1, 0x80, pages->page80->data, pages->page80->len);
        if (pages->page83)
                append_record(file, 1, 0x83, pages->page83->data, pages->page83->len);
        g_file_set_contents(device, (const char *)file->data, file->len, &error);
        g_assert_no_error(error);
}

/* What scsi_id prints with the options; its exit status says only whether it found something. */
static char *run_scsi_id(const char *option1, const char *option2)
{
        const char *argv[] = {scsi_id,
                              "--whitelisted",
                              "--config=/dev/null",
                              "--device",
                              device,
                              option1,
                              option2,
                              NULL};
        g_auto(GStrv) environ_ = g_environ_setenv(g_get_environ(), "LD_PRELOAD", shim, TRUE);
        g_autoptr(GError) error = NULL;
        char *out = NULL;
        int status;

        g_spawn_sync(NULL, (char **)argv, environ_, G_SPAWN_DEFAULT, NULL, NULL, &out, NULL,
                     &status, &error);
        g_assert_no_error(error);
        g_assert_true(WIFEXITED(status) && WEXITSTATUS(status) <= 1);
        return out;
}

/* ID_SERIAL as udev's rules get it; "" if there is none. */
static char *ask_scsi_id(const IdentityPages *pages)
{
        write_device(pages);
        g_autofree char *out = run_scsi_id("--export", NULL);
        g_auto(GStrv) lines = g_strsplit(out, "\n", -1);

        g_assert_cmpstr(lines[0], ==, "ID_SCSI=1"); /* the shim works */
        for (size_t i = 0; lines[i]; i++)
                if (g_str_has_prefix(lines[i], "ID_SERIAL="))
                        return g_strdup(lines[i] + strlen("ID_SERIAL="));
        return g_strdup("");
}

static void test_table(void)
{
        for (size_t i = 0; i < n_identity_cases; i++) {
                const IdentityCase *c = &identity_cases[i];
                const char *expected = c->scsi_id ? c->scsi_id : c->guid ? c->guid : "";
                IdentityPages pages;

                identity_pages_build(c, &pages);
                g_autofree char *real = ask_scsi_id(&pages);
                if (!g_str_equal(real, expected))
                        g_error("%s: scsi_id says \"%s\", the table \"%s\"", c->name, real,
                                expected);
                identity_pages_clear(&pages);
        }
}

/* "scsi_id -g -u", and page 0x83 alone, which is how other tools call it. */
static void test_other_calls(void)
{
        for (size_t i = 0; i < n_identity_cases; i++) {
                const IdentityCase *c = &identity_cases[i];
                IdentityPages pages;

                if (c->scsi_id) /* a difference that is meant */
                        continue;
                identity_pages_build(c, &pages);
                write_device(&pages);
                g_autofree char *all = run_scsi_id("-u", NULL);
                g_assert_cmpstr(g_strchomp(all), ==, c->guid ? c->guid : "");

                g_autofree char *page83 = run_scsi_id("-u", "--page=0x83");
                g_clear_pointer(&pages.page80, g_byte_array_unref);
                g_autofree char *ours = identity_pages_guid(&pages);
                g_strchomp(page83);
                if (!ours || !g_str_has_prefix(c->name, "name-"))
                        g_assert_cmpstr(page83, ==, ours ? ours : "");
                identity_pages_clear(&pages);
        }
}

/* ---- random pages --------------------------------------------------------------------------- */

static uint8_t random_text_byte(GRand *rand)
{
        static const char odd[] = "  \t\v/\\x\"_\x01\x7f\xc3\xa9\xe2\x82\xac\xff";

        switch (g_rand_int_range(rand, 0, 12)) {
        case 0 ... 2:
                return (uint8_t)odd[g_rand_int_range(rand, 0, sizeof(odd))]; /* the NUL too */
        case 3:
                return (uint8_t)g_rand_int_range(rand, 0, 256);
        default:
                return (uint8_t)g_rand_int_range(rand, '0', 'z' + 1);
        }
}

static void append_random_designator(GRand *rand, GByteArray *page)
{
        static const uint8_t types[] = {0, 0, 0, 1, 1, 1, 2, 2, 3, 3, 4, 5, 6, 7, 8, 15};
        static const uint8_t sets[] = {1, 1, 1, 1, 2, 2, 2, 2, 3, 0, 9};
        static const uint8_t associations[] = {0, 0, 0, 0, 0, 1, 2, 3};
        static const uint8_t naas[] = {0x20, 0x30, 0x50, 0x60, 0x60, 0xf0};
        char data[64];
        CaseDesignator d = {
                .code_set = sets[g_rand_int_range(rand, 0, sizeof(sets))],
                .association = associations[g_rand_int_range(rand, 0, sizeof(associations))],
                .type = types[g_rand_int_range(rand, 0, sizeof(types))],
                .data = data,
                .size = (size_t)g_rand_int_range(rand, 0, g_rand_int_range(rand, 1, 40)),
        };

        for (size_t i = 0; i < sizeof(data); i++)
                data[i] = (char)random_text_byte(rand);
        if (d.type == DL_SCSI_DESIGNATOR_NAA)
                data[0] = (char)(naas[g_rand_int_range(rand, 0, sizeof(naas))] | (data[0] & 0x0f));
        identity_append_designator(page, &d);
}

static GByteArray *random_page83(GRand *rand)
{
        GByteArray *page = identity_page_new(0x83);
        int n = g_rand_int_range(rand, 0, 6);

        for (int i = 0; i < n; i++)
                append_random_designator(rand, page);
        int length = (int)page->len - 4;
        if (g_rand_int_range(rand, 0, 5) == 0) /* a length that lies */
                length = CLAMP(length + g_rand_int_range(rand, -20, 20), 0, 249);
        identity_page_set_length(page, length);
        if (page->len > 8 && g_rand_int_range(rand, 0, 12) == 0) /* a byte that broke */
                page->data[g_rand_int_range(rand, 4, (int)page->len)] ^= (uint8_t)g_rand_int_range(
                        rand, 1, 256);
        return page;
}

/* Whether scsi_id stays in its own buffer: beyond it there is nothing to compare with. */
static bool is_defined(const GByteArray *page)
{
        uint8_t window[254] = {0};
        size_t pos = 4;

        memcpy(window, page->data, MIN(page->len, sizeof(window)));
        for (size_t end = 4 + ((size_t)window[2] << 8 | window[3]); pos < end;) {
                if (pos + 4 > sizeof(window))
                        return false;
                pos += 4 + (size_t)window[pos + 3];
                if (pos > sizeof(window))
                        return false;
        }
        return true;
}

static void random_pages(GRand *rand, IdentityPages *ret)
{
        *ret = (IdentityPages){0};
        identity_inquiry(ret->inquiry, "VENDOR", "PRODUCT", ' ');
        while (g_rand_int_range(rand, 0, 10) > 0 && !ret->page83) {
                ret->page83 = random_page83(rand);
                if (!is_defined(ret->page83))
                        g_clear_pointer(&ret->page83, g_byte_array_unref);
        }
        if (g_rand_boolean(rand)) {
                int size = g_rand_int_range(rand, 0, 30);

                ret->page80 = identity_page_new(0x80);
                for (int i = 0; i < size; i++) {
                        uint8_t byte = random_text_byte(rand);
                        g_byte_array_append(ret->page80, &byte, 1);
                }
                identity_page_set_length(ret->page80, size);
        }
}

/* The answers of scsi_id that name nobody: it found an identifier and the identifier is blank. */
static bool is_blank(const char *real)
{
        static const char *const blanks[] = {
                "0", "1", "2", "3", "S", "0VENDOR_PRODUCT", "SVENDOR_PRODUCT", NULL};

        return g_strv_contains(blanks, real);
}

static bool has_name(const IdentityPages *pages)
{
        DlScsiDesignators designators;
        DlScsiDesignator d;

        if (!pages->page83 ||
            dl_scsi_designators_init(&designators, pages->page83->data, pages->page83->len) < 0)
                return false;
        while (dl_scsi_designators_next(&designators, &d) > 0)
                if (d.type == DL_SCSI_DESIGNATOR_NAME && d.association == DL_SCSI_ASSOCIATION_LUN)
                        return true;
        return false;
}

static void test_random(void)
{
        g_autoptr(GRand) rand = g_rand_new_with_seed(20260101);
        unsigned same[256] = {0}, blank = 0;

        for (int i = 0; i < RANDOM_CASES; i++) {
                IdentityPages pages;

                random_pages(rand, &pages);
                g_autofree char *real = ask_scsi_id(&pages);
                g_autofree char *guid = identity_pages_guid(&pages);
                if (g_str_equal(real, guid ? guid : "")) {
                        same[(uint8_t)real[0]]++;
                } else if (is_blank(real)) {
                        g_assert_true(!guid || !is_blank(guid));
                        blank++;
                } else if (real[0] != '\0' || !has_name(&pages)) {
                        g_error("case %d: scsi_id says \"%s\", we \"%s\"", i, real, guid);
                }
                identity_pages_clear(&pages);
        }

        /* the pages were such that they could have shown a difference */
        for (const char *prefix = "0123S"; *prefix; prefix++) {
                g_test_message("prefix %c: %u the same", *prefix, same[(uint8_t)*prefix]);
                g_assert_cmpuint(same[(uint8_t)*prefix], >, RANDOM_CASES / 50);
        }
        g_test_message("blank in scsi_id: %u", blank);
        g_assert_cmpuint(blank, <, RANDOM_CASES / 5);
}

int main(int argc, char **argv)
{
        g_autoptr(GError) error = NULL;

        g_test_init(&argc, &argv, NULL);
        if (access(scsi_id, X_OK) < 0) {
                printf("skipped: %s is not there (it is part of udev)\n", scsi_id);
                return SKIPPED;
        }
        g_assert_cmpint(argc, ==, 2);
        shim = argv[1];
        int fd = g_file_open_tmp("dl-scsi-id-XXXXXX", &device, &error);
        g_assert_no_error(error);
        close(fd);

        g_test_add_func("/scsi/scsi-id/table", test_table);
        g_test_add_func("/scsi/scsi-id/other-calls", test_other_calls);
        g_test_add_func("/scsi/scsi-id/random", test_random);
        int r = g_test_run();
        g_unlink(device);
        g_free(device);
        return r;
}
