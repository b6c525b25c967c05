/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* LVM's label, header and text: well formed, damaged, and made up to mislead. One thread. */

#include "lvm-image.h"

#include "content/lvm.h"

#include <errno.h>
#include <string.h>

#define TAGS "\"plain\", \"with \\\"quotes\\\"\", \"MDT_SDUUID=5d1f\""

static uint8_t *image_of(const char *text, size_t text_at, size_t area_size)
{
        return lvm_image_new(&(LvmImage){
                .device_size = 1 << 30, .text = text, .text_at = text_at, .area_size = area_size});
}

/* ---- the physical volume ------------------------------------------------------------------- */

static void test_pv(void)
{
        g_autofree char *text = lvm_image_text("vg0", "");
        g_autofree uint8_t *image = image_of(text, 0, 0);
        DlLvmPv pv;

        g_assert_cmpint(dl_lvm_pv_parse(image, LVM_IMAGE_SIZE, &pv), ==, 0);
        g_assert_cmpstr(pv.uuid, ==, LVM_IMAGE_PV);
        g_assert_cmpuint(pv.size, ==, 1 << 30);
        g_assert_cmpuint(pv.text[0].offset, ==, 4096 + 512);
        g_assert_cmpuint(pv.text[0].size, ==, strlen(text) + 1);
        g_assert_cmpuint(pv.text[1].size, ==, 0);
        g_assert_cmpstr((char *)image + pv.text[0].offset, ==, text);

        /* of the head only so much that the area's header is not there */
        g_assert_cmpint(dl_lvm_pv_parse(image, 4096, &pv), ==, 0);
        g_assert_cmpuint(pv.text[0].size, ==, 0);
}

/* The area is a ring: the text goes on behind the header. */
static void test_text_wraps(void)
{
        g_autofree char *text = lvm_image_text("vg0", "");
        size_t area = 8192, at = area - 100;
        g_autofree uint8_t *image = image_of(text, at, area);
        DlLvmPv pv;

        g_assert_cmpint(dl_lvm_pv_parse(image, LVM_IMAGE_SIZE, &pv), ==, 0);
        g_assert_cmpuint(pv.text[0].offset, ==, 4096 + at);
        g_assert_cmpuint(pv.text[0].size, ==, 100);
        g_assert_cmpuint(pv.text[1].offset, ==, 4096 + 512);
        g_assert_cmpuint(pv.text[1].size, ==, strlen(text) + 1 - 100);
        g_assert_cmpmem(image + pv.text[0].offset, 100, text, 100);
        g_assert_cmpstr((char *)image + pv.text[1].offset, ==, text + 100);
}

static void test_no_text(void)
{
        g_autofree uint8_t *bare = lvm_image_new(&(LvmImage){.device_size = 1 << 30});
        g_autofree char *text = lvm_image_text("vg0", "");
        g_autofree uint8_t *ignored = lvm_image_new(
                &(LvmImage){.device_size = 1 << 30, .text = text, .ignored = true});
        DlLvmPv pv;

        g_assert_cmpint(dl_lvm_pv_parse(bare, LVM_IMAGE_SIZE, &pv), ==, 0);
        g_assert_cmpuint(pv.text[0].size, ==, 0);
        g_assert_cmpint(dl_lvm_pv_parse(ignored, LVM_IMAGE_SIZE, &pv), ==, 0);
        g_assert_cmpuint(pv.text[0].size, ==, 0);
}

/* No byte of what a checksum covers can be changed without being noticed. */
static void test_damaged(void)
{
        g_autofree char *text = lvm_image_text("vg0", "");
        g_autofree uint8_t *image = image_of(text, 0, 0);
        DlLvmPv pv;

        for (size_t i = 512; i < 1024; i++) {
                image[i] ^= 0x40;
                g_assert_cmpint(dl_lvm_pv_parse(image, LVM_IMAGE_SIZE, &pv), <, 0);
                image[i] ^= 0x40;
        }
        for (size_t i = 4096; i < 4096 + 512; i++) {
                image[i] ^= 0x40;
                g_assert_cmpint(dl_lvm_pv_parse(image, LVM_IMAGE_SIZE, &pv), ==, 0);
                g_assert_cmpuint(pv.text[0].size, ==, 0);
                image[i] ^= 0x40;
        }
        memset(image, 0, LVM_IMAGE_SIZE);
        g_assert_cmpint(dl_lvm_pv_parse(image, LVM_IMAGE_SIZE, &pv), ==, -ENODATA);
        g_assert_cmpint(dl_lvm_pv_parse(image, 100, &pv), ==, -ENODATA);
        g_assert_cmpint(dl_lvm_pv_parse(NULL, 0, &pv), ==, -ENODATA);
}

/* ---- the volume group ---------------------------------------------------------------------- */

static void test_vg(void)
{
        g_autofree char *text = lvm_image_text("vg-0_a.b+c", TAGS);
        g_autoptr(DlLvmVg) vg = NULL;

        g_assert_cmpint(dl_lvm_vg_parse(text, strlen(text), &vg), ==, 0);
        g_assert_cmpstr(vg->name, ==, "vg-0_a.b+c");
        g_assert_cmpstr(vg->uuid, ==, LVM_IMAGE_VG);
        g_assert_cmpuint(g_strv_length(vg->pvs), ==, 1);
        g_assert_cmpstr(vg->pvs[0], ==, LVM_IMAGE_PV);
        g_assert_cmpuint(g_strv_length(vg->tags), ==, 3);
        g_assert_cmpstr(vg->tags[0], ==, "plain");
        g_assert_cmpstr(vg->tags[1], ==, "with \"quotes\"");
        g_assert_cmpstr(dl_lvm_vg_storage_domain(vg), ==, "5d1f");
}

static void test_storage_domain(void)
{
        static const struct {
                const char *tags, *domain;
        } cases[] = {
                {"", NULL},
                {"\"MDT_ROLE=Regular\"", NULL},
                {"\"MDT_SDUUID=\"", NULL},
                {"\"RHAT_storage_domain\"", "vg0"},
                {"\"RHAT_storage_domain\", \"MDT_SDUUID=id\"", "id"},
                {"\"RHAT_storage_domain_UNREADY\"", "vg0"},
        };

        for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
                g_autofree char *text = lvm_image_text("vg0", cases[i].tags);
                g_autoptr(DlLvmVg) vg = NULL;

                g_assert_cmpint(dl_lvm_vg_parse(text, strlen(text), &vg), ==, 0);
                g_assert_cmpstr(dl_lvm_vg_storage_domain(vg), ==, cases[i].domain);
        }
}

static void test_pvs(void)
{
        g_autofree char *text = lvm_image_text_of_two("vg0", TAGS);
        g_autofree char *bad = lvm_image_text_of_two("vg0", TAGS);
        g_autoptr(DlLvmVg) vg = NULL, damaged = NULL;

        g_assert_cmpint(dl_lvm_vg_parse(text, strlen(text), &vg), ==, 0);
        g_assert_cmpuint(g_strv_length(vg->pvs), ==, 2);
        g_assert_cmpstr(vg->pvs[0], ==, LVM_IMAGE_PV);
        g_assert_cmpstr(vg->pvs[1], ==, LVM_IMAGE_OTHER_PV);

        *strstr(bad, LVM_IMAGE_OTHER_PV) = '"'; /* what comes before is as good as ever */
        g_assert_cmpint(dl_lvm_vg_parse(bad, strlen(bad), &damaged), ==, 0);
        g_assert_cmpuint(g_strv_length(damaged->pvs), ==, 1);
}

/* Cut anywhere, it is what it was so far, or nothing. */
static void test_vg_cut(void)
{
        g_autofree char *text = lvm_image_text("vg0", TAGS);

        for (size_t size = 0; size < strlen(text); size++) {
                g_autofree char *copy = g_memdup2(text, size);
                g_autoptr(DlLvmVg) vg = NULL;

                if (dl_lvm_vg_parse(copy, size, &vg) < 0)
                        continue;
                g_assert_cmpstr(vg->name, ==, "vg0");
                g_assert_cmpstr(vg->uuid, ==, LVM_IMAGE_VG);
        }
}

static void test_vg_malformed(void)
{
        static const char *const texts[] = {
                "",
                "{",
                "vg0",
                "vg0 {",
                "vg0 { }",
                "vg0 { id = 5 }",
                "vg0 { id = \"a\nb\" }",
                "vg0 { id = \"a",
                "vg0 { tags = [\"a\" }",
                "vg0 { tags = [[ ] id = \"x\" }",
                "vg0 { x { id = \"of a section\" } }",
                "# only a comment",
                "v\xc3\xa4 { id = \"x\" }",
                "vg0 { id = \"\x1b[31m\" }",
                "= { id = \"x\" }",
                "vg0 { = \"x\" }",
        };

        for (size_t i = 0; i < G_N_ELEMENTS(texts); i++) {
                DlLvmVg *vg = NULL;

                g_assert_cmpint(dl_lvm_vg_parse(texts[i], strlen(texts[i]), &vg), ==, -EBADMSG);
                g_assert_null(vg);
        }

        /* bytes of NUL are no end */
        DlLvmVg *vg = NULL;
        g_assert_cmpint(dl_lvm_vg_parse("vg0 \0{ id = \"x\" }", 17, &vg), ==, -EBADMSG);
}

int main(int argc, char **argv)
{
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/lvm/pv", test_pv);
        g_test_add_func("/lvm/text-wraps", test_text_wraps);
        g_test_add_func("/lvm/no-text", test_no_text);
        g_test_add_func("/lvm/damaged", test_damaged);
        g_test_add_func("/lvm/vg", test_vg);
        g_test_add_func("/lvm/storage-domain", test_storage_domain);
        g_test_add_func("/lvm/vg-cut", test_vg_cut);
        g_test_add_func("/lvm/pvs", test_pvs);
        g_test_add_func("/lvm/vg-malformed", test_vg_malformed);
        return g_test_run();
}
