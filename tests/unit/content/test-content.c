/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is recognised on a device, from its head and tail alone. One thread. */

#include "lvm-image.h"

#include "content/content.h"

#include <string.h>

#define MIB ((uint64_t)1024 * 1024)

static DlContent *probe(const void *head, size_t head_size, uint64_t size)
{
        g_autoptr(GBytes) bytes = g_bytes_new(head, head_size);
        DlContentPiece piece = {0, bytes};
        g_autoptr(GError) error = NULL;
        DlContent *content = dl_content_probe(&piece, 1, size, 512, &error);

        g_assert_no_error(error);
        return content;
}

static void expect(const DlContent *content, const char *holder, const char *text)
{
        g_autofree char *own_holder = dl_content_holder(content);
        g_autofree char *own_text = dl_content_to_text(content);

        g_assert_cmpstr(own_holder, ==, holder);
        g_assert_cmpstr(own_text, ==, text);
        g_assert_true(dl_content_is_used(content) == (holder != NULL));
}

static void test_nothing(void)
{
        static const uint8_t zeros[4096];
        g_autoptr(DlContent) blank = probe(zeros, sizeof zeros, 16 * MIB);
        g_autoptr(DlContent) huge = probe(zeros, sizeof zeros, UINT64_C(1) << 52);
        g_autoptr(DlContent) tiny = probe(zeros, 512, 512);
        g_autoptr(DlContent) nowhere = dl_content_probe(NULL, 0, 16 * MIB, 4096, NULL);

        expect(blank, NULL, "");
        expect(huge, NULL, "");
        expect(tiny, NULL, "");
        expect(nowhere, NULL, "");
}

/* The holder of the first bytes, and of the same at the very end of a device. */
static void test_swap(void)
{
        g_autofree uint8_t *head = g_malloc0(8192);

        memcpy(head + 4096 - 10, "SWAPSPACE2", 10);
        head[1024] = 1;    /* version */
        head[1028] = 0xff; /* last page */
        memset(head + 1036, 0x5a, 16);
        memcpy(head + 1052, "over\nthe line", 13);
        g_autoptr(DlContent) content = probe(head, 8192, 16 * MIB);
        expect(content, "swap", "swap space");
        const DlSignature *signature = content->signatures->pdata[0];
        g_assert_cmpstr(signature->label, ==, "over?the line");
        g_assert_cmpstr(signature->uuid, ==, "5a5a5a5a-5a5a-5a5a-5a5a-5a5a5a5a5a5a");
}

static void test_partition_table(void)
{
        uint8_t head[512] = {[446] = 0x80, [450] = 0x83, [454] = 0, [455] = 8, [459] = 8};

        head[510] = 0x55;
        head[511] = 0xaa;
        g_autoptr(DlContent) content = probe(head, sizeof head, 16 * MIB);
        expect(content, "partition-table:dos", "a partition table (dos)");
}

static void test_luks(void)
{
        static const uint8_t magic[] = {'L', 'U', 'K', 'S', 0xba, 0xbe, 0, 1};
        g_autofree uint8_t *head = g_malloc0(4096);

        memcpy(head, magic, sizeof magic);
        memcpy(head + 168, "5a5a5a5a-5a5a-4a5a-8a5a-5a5a5a5a5a5a", 36);
        g_autoptr(DlContent) content = probe(head, 4096, 16 * MIB);
        expect(content, "crypto:crypto_LUKS", "an encrypted volume (crypto_LUKS)");
}

static void put(uint8_t *at, unsigned n, uint64_t value)
{
        for (unsigned i = 0; i < n; i++)
                at[i] = (uint8_t)(value >> 8 * i);
}

/* The superblock of Linux' MD, version 1; 256 bytes. */
static void put_md(uint8_t *at, uint64_t offset)
{
        uint64_t sum = 0;

        put(at, 4, 0xa92b4efc);
        put(at + 4, 4, 1);
        memset(at + 16, 0x5a, 16);
        memcpy(at + 32, "host:0", 6);
        put(at + 72, 4, 1);
        put(at + 80, 8, 16384);
        put(at + 92, 4, 2);
        put(at + 128, 8, 2048);
        put(at + 136, 8, 16384);
        put(at + 144, 8, offset / 512);
        for (unsigned i = 0; i < 256; i += 4)
                sum += at[i] | (uint64_t)at[i + 1] << 8 | (uint64_t)at[i + 2] << 16 |
                       (uint64_t)at[i + 3] << 24;
        put(at + 216, 4, (sum & 0xffffffff) + (sum >> 32));
}

/* Its versions 1.2 and 1.0: in the head, and in the tail. */
static void test_raid(void)
{
        static const uint64_t offsets[] = {4096, 16 * MIB - 8192};

        for (size_t i = 0; i < G_N_ELEMENTS(offsets); i++) {
                uint64_t from = i == 0 ? 0 : 16 * MIB - DL_CONTENT_TAIL;
                g_autofree uint8_t *bytes = g_malloc0(DL_CONTENT_TAIL);
                g_autoptr(GBytes) data = NULL;

                put_md(bytes + (offsets[i] - from), offsets[i]);
                data = g_bytes_new(bytes, DL_CONTENT_TAIL);
                DlContentPiece piece = {from, data};
                g_autoptr(DlContent) content = dl_content_probe(&piece, 1, 16 * MIB, 512, NULL);
                expect(content, "raid:linux_raid_member",
                       "a member of a RAID or of a volume manager (linux_raid_member)");
        }
}

static DlContent *probe_lvm(const char *text, size_t text_at, size_t area_size)
{
        g_autofree uint8_t *image = lvm_image_new(&(LvmImage){
                .device_size = 64 * MIB,
                .text = text,
                .text_at = text_at,
                .area_size = area_size,
        });
        DlContentPiece pieces[3];
        DlLvmPv pv;
        size_t n = 1;

        g_assert_cmpint(dl_lvm_pv_parse(image, LVM_IMAGE_SIZE, &pv), ==, 0);
        pieces[0] = (DlContentPiece){0, g_bytes_new(image, LVM_IMAGE_SIZE)};
        for (size_t i = 0; i < G_N_ELEMENTS(pv.text); i++)
                if (pv.text[i].size > 0)
                        pieces[n++] = (DlContentPiece){
                                pv.text[i].offset,
                                g_bytes_new(image + pv.text[i].offset, pv.text[i].size)};
        DlContent *content = dl_content_probe(pieces, n, 64 * MIB, 512, NULL);
        g_assert_nonnull(content);
        for (size_t i = 0; i < n; i++)
                g_bytes_unref(pieces[i].data);
        return content;
}

static void test_lvm(void)
{
        g_autofree char *text = lvm_image_text("vg0", "\"mine\"");
        g_autoptr(DlContent) content = probe_lvm(text, 0, 0);
        g_autoptr(DlContent) wrapped = probe_lvm(text, 8192 - 9, 8192);
        g_autoptr(DlContent) bare = probe_lvm(NULL, 0, 0);

        expect(content, "lvm:vg0", "an LVM physical volume of volume group vg0");
        g_assert_cmpstr(content->pv_uuid, ==, LVM_IMAGE_PV);
        g_assert_cmpuint(content->pv_size, ==, 64 * MIB);
        g_assert_cmpstr(content->vg_uuid, ==, LVM_IMAGE_VG);
        g_assert_null(content->storage_domain);
        g_assert_cmpuint(content->signatures->len, ==, 1); /* libblkid agrees on the checksum */
        g_assert_true(dl_content_equal(content, wrapped));
        expect(bare, "lvm:" LVM_IMAGE_PV, "an LVM physical volume");
        g_assert_false(dl_content_equal(content, bare));
        g_assert_false(dl_content_equal(content, NULL));
}

static void test_storage_domain(void)
{
        g_autofree char *text = lvm_image_text("b5f1", "\"RHAT_storage_domain\","
                                                       "\"MDT_SDUUID=b5f1\"");
        g_autoptr(DlContent) content = probe_lvm(text, 0, 0);

        g_assert_cmpstr(content->storage_domain, ==, "b5f1");
        expect(content, "storage-domain:b5f1", "the oVirt storage domain b5f1");
}

/* Whatever the bytes are, it ends, and what it tells is text. */
static void test_garbage(void)
{
        g_autoptr(GRand) rand = g_rand_new_with_seed(4);
        g_autofree char *text = lvm_image_text("vg0", "");

        for (unsigned round = 0; round < 300; round++) {
                g_autofree uint8_t *image = lvm_image_new(
                        &(LvmImage){.device_size = 64 * MIB, .text = text});

                for (unsigned i = 0; i < 40; i++)
                        image[g_rand_int_range(rand, 0, i % 2 ? 8192 : (gint32)LVM_IMAGE_SIZE)] =
                                (uint8_t)g_rand_int(rand);
                g_autoptr(DlContent) content = probe(image, LVM_IMAGE_SIZE, 64 * MIB);
                g_autofree char *words = dl_content_to_text(content);
                g_assert_true(g_utf8_validate(words, -1, NULL));
        }
}

int main(int argc, char **argv)
{
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/content/nothing", test_nothing);
        g_test_add_func("/content/swap", test_swap);
        g_test_add_func("/content/partition-table", test_partition_table);
        g_test_add_func("/content/luks", test_luks);
        g_test_add_func("/content/raid", test_raid);
        g_test_add_func("/content/lvm", test_lvm);
        g_test_add_func("/content/storage-domain", test_storage_domain);
        g_test_add_func("/content/garbage", test_garbage);
        return g_test_run();
}
