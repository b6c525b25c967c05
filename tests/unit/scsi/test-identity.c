/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The GUID, against the table of devices with known identities. */

#include "identity-cases.h"

#include "scsi/identity.h"

#include <string.h>

static void test_case(gconstpointer data)
{
        const IdentityCase *c = data;
        IdentityPages pages;

        identity_pages_build(c, &pages);
        g_autofree char *guid = identity_pages_guid(&pages);
        g_assert_cmpstr(guid, ==, c->guid);
        identity_pages_clear(&pages);
}

/* Whatever is cut off, nothing beyond what came is read (the sanitizers watch), and what is said is
 * fit for D-Bus and for a device node's name. */
static void test_every_truncation(void)
{
        for (size_t i = 0; i < n_identity_cases; i++) {
                IdentityPages pages;

                identity_pages_build(&identity_cases[i], &pages);
                while (pages.page83 && pages.page83->len > 0) {
                        g_byte_array_set_size(pages.page83, pages.page83->len - 1);
                        g_autofree char *guid = identity_pages_guid(&pages);
                        g_assert_true(!guid || g_utf8_validate(guid, -1, NULL));
                        g_assert_true(!guid || !strpbrk(guid, " \t\r\n\v\f/"));
                }
                while (pages.page80 && pages.page80->len > 0) {
                        g_byte_array_set_size(pages.page80, pages.page80->len - 1);
                        g_autofree char *guid = identity_pages_guid(&pages);
                        g_assert_true(!guid || g_utf8_validate(guid, -1, NULL));
                }
                identity_pages_clear(&pages);
        }
}

/* A designator that goes on beyond what scsi_id reads of a page: it answers from its stack there.
 */
static void test_beyond_the_limit(void)
{
        char text[200];
        const CaseDesignator designators[] = {
                {DL_SCSI_CODE_ASCII, 0, DL_SCSI_DESIGNATOR_VENDOR, text, sizeof(text)},
                {DL_SCSI_CODE_ASCII, 0, DL_SCSI_DESIGNATOR_T10, text, 43},
                {DL_SCSI_CODE_BINARY, 0, DL_SCSI_DESIGNATOR_NAA, "\x50\1\2\3\4\5\6\7", 8},
        };
        IdentityPages pages = {.page83 = identity_page_new(0x83)};

        memset(text, 'x', sizeof(text));
        identity_inquiry(pages.inquiry, "VENDOR", "PRODUCT", ' ');
        for (size_t i = 0; i < G_N_ELEMENTS(designators); i++)
                identity_append_designator(pages.page83, &designators[i]);
        identity_page_set_length(pages.page83, (int)pages.page83->len - 4);

        /* 4 + 204 + 47 = 255 bytes: the T10 designator ends one byte too late, the NAA is beyond */
        g_autofree char *vendor_specific = identity_pages_guid(&pages);
        g_assert_true(g_str_has_prefix(vendor_specific, "0VENDOR_PRODUCT_xxx"));

        /* one byte less in the first, and the T10 designator is whole */
        g_byte_array_remove_index(pages.page83, 8);
        pages.page83->data[7]--;
        g_autofree char *t10 = identity_pages_guid(&pages);
        g_assert_true(g_str_has_prefix(t10, "1xxx"));
        identity_pages_clear(&pages);
}

/* The length of a page is 16 bits: 64 KiB that are not there are not looked for. */
static void test_hostile_length(void)
{
        static const uint8_t page[] = {0, 0x83, 0xff, 0xff, 1, 3, 0, 0xff, 0x60};
        IdentityPages pages = {
                .page83 = g_byte_array_append(g_byte_array_new(), page, sizeof(page))};

        identity_inquiry(pages.inquiry, "VENDOR", "PRODUCT", ' ');
        g_autofree char *guid = identity_pages_guid(&pages);
        g_assert_null(guid);
        identity_pages_clear(&pages);
}

/* A host may prefer another of its names than scsi_id does. */
static void test_every_name(void)
{
        static const CaseDesignator designators[] = {
                {DL_SCSI_CODE_ASCII, 0, DL_SCSI_DESIGNATOR_T10, "Linux   disk  6000", 18},
                {DL_SCSI_CODE_BINARY, 0, DL_SCSI_DESIGNATOR_NAA, "\x33\1\2\3\4\5\6\7", 8},
                {DL_SCSI_CODE_BINARY, 1, DL_SCSI_DESIGNATOR_NAA, "\x53\7\6\5\4\3\2\1", 8},
                {DL_SCSI_CODE_BINARY, 0, DL_SCSI_DESIGNATOR_EUI64, "\1\2\3\4\5\6\7\1", 8},
                {DL_SCSI_CODE_ASCII, 0, DL_SCSI_DESIGNATOR_VENDOR, "own", 3},
        };
        static const char *const expected[] = {"33301020304050607", "20102030405060701",
                                               "1Linux_disk_6000"};
        IdentityPages pages = {.page83 = identity_page_new(0x83),
                               .page80 = identity_page_new(0x80)};
        DlScsiInquiry inquiry;

        identity_inquiry(pages.inquiry, "VENDOR", "PRODUCT", ' ');
        for (size_t i = 0; i < G_N_ELEMENTS(designators); i++)
                identity_append_designator(pages.page83, &designators[i]);
        identity_page_set_length(pages.page83, (int)pages.page83->len - 4);
        g_byte_array_append(pages.page80, (const uint8_t *)"77", 2);
        identity_page_set_length(pages.page80, 2);

        g_assert_cmpint(dl_scsi_inquiry_parse(pages.inquiry, sizeof pages.inquiry, &inquiry), >=,
                        0);
        g_autoptr(GPtrArray) names = dl_scsi_names(&inquiry, pages.page83->data, pages.page83->len,
                                                   pages.page80->data, pages.page80->len);
        g_assert_cmpuint(names->len, ==, G_N_ELEMENTS(expected)); /* not the port's, no weak one */
        for (size_t i = 0; i < G_N_ELEMENTS(expected); i++)
                g_assert_cmpstr(names->pdata[i], ==, expected[i]);
        identity_pages_clear(&pages);
}

int main(int argc, char **argv)
{
        g_test_init(&argc, &argv, NULL);
        for (size_t i = 0; i < n_identity_cases; i++) {
                g_autofree char *path = g_strdup_printf("/scsi/identity/%s",
                                                        identity_cases[i].name);
                g_test_add_data_func(path, &identity_cases[i], test_case);
        }
        g_test_add_func("/scsi/identity/every-truncation", test_every_truncation);
        g_test_add_func("/scsi/identity/beyond-the-limit", test_beyond_the_limit);
        g_test_add_func("/scsi/identity/every-name", test_every_name);
        g_test_add_func("/scsi/identity/hostile-length", test_hostile_length);
        return g_test_run();
}
