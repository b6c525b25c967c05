/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Disk elements that are written: compared with files in golden/ and read again. */

#include "xml-fixture.h"

static void test_disk_full(void)
{
        g_autoptr(GHashTable)
                address = address_of("unit", "17", "type", "drive", "target", "0", "controller",
                                     "0", "bus", "0", "evil", "x", NULL);
        DlDiskSpec spec = {
                .alias = "ua-1",
                .device = "disk",
                .bus = "scsi",
                .target_dev = "sdb",
                .serial = "22222222-2222-4333-8444-555555555555",
                .iqn = "iqn.2026-11.org.example:one",
                .lun = 300,
                .host_name = "2001:db8::1",
                .host_port = 3260,
                .initiator_name = "iqn.2026-11.org.example:host",
                .chap_user = "alice",
                .secret_uuid = "33333333-2222-4333-8444-555555555555",
                .boot_order = 2,
                .propagate_errors = true,
                .shareable = true,
                .readonly = true,
                .discard = true,
                .logical_block_size = 4096,
                .physical_block_size = 512,
                .address = address,
        };
        g_autofree char *xml = dl_disk_spec_to_xml(&spec);

        check_golden("disk-full.xml", xml);
}

static void test_disk_least(void)
{
        DlDiskSpec spec = {
                .alias = "ua-1",
                .device = "lun",
                .bus = "scsi",
                .target_dev = "sda",
                .iqn = "iqn.2026-11.org.example:one",
                .lun = 1,
                .host_name = "192.0.2.1",
                .host_port = 860,
                .logical_block_size = 4096, /* a LUN that is passed through says it itself */
        };
        g_autofree char *xml = dl_disk_spec_to_xml(&spec);

        check_golden("disk-least.xml", xml);
}

#define NODE "/dev/disk/by-id/dm-uuid-mpath-36001405aaaaaaaaaaaaaaaaaaaaaaaaa"

/* As a block device: by its name that lasts, with the helper for the guest's reservations. */
static void test_disk_block(void)
{
        DlDiskSpec spec = {
                .alias = "ua-1",
                .device = "lun",
                .bus = "scsi",
                .target_dev = "sda",
                .node = NODE,
                .propagate_errors = true,
                .shareable = true,
                .reservations = true,
        };
        g_autofree char *passed = dl_disk_spec_to_xml(&spec);
        g_autofree char *whole = domain_with(passed, "");
        g_autoptr(DlDomain) domain = parse(whole);
        const DlDomainDisk *disk = domain->disks->pdata[0];

        check_golden("disk-block-lun.xml", passed);
        g_assert_cmpstr(disk->type, ==, "block");
        g_assert_cmpstr(disk->source, ==, NODE);
        g_assert_null(disk->host_name);

        const char *images[] = {"/images/1.qcow2", NULL};
        spec = (DlDiskSpec){
                .alias = "ua-1",
                .device = "disk",
                .bus = "virtio",
                .target_dev = "vda",
                .serial = "22222222222242338444",
                .node = NODE,
                .discard = true,
        };
        g_autofree char *plain = dl_disk_spec_to_xml(&spec);
        check_golden("disk-block.xml", plain);

        spec.images = images;
        g_autofree char *overlaid = dl_disk_spec_to_xml(&spec);
        g_autofree char *other = domain_with(overlaid, "");
        g_autoptr(DlDomain) with_image = parse(other);
        disk = with_image->disks->pdata[0];
        g_assert_cmpstr(disk->type, ==, "block");
        g_assert_cmpstr(disk->source, ==, NODE);
        g_assert_cmpuint(disk->images->len, ==, 1);
}

/* What it is told goes in and out again unchanged, whatever it is. */
static void test_disk_escaping(void)
{
        static const char nasty[] = "a'b\"c<d>e&f\tg\nh\xc3\xa9]]>&#38;";
        DlDiskSpec spec = {
                .alias = nasty,
                .device = "disk",
                .bus = "virtio",
                .target_dev = "vda",
                .serial = nasty,
                .iqn = nasty,
                .host_name = nasty,
                .host_port = 1,
                .initiator_name = nasty,
                .chap_user = nasty,
                .secret_uuid = nasty,
        };
        g_autofree char *xml = dl_disk_spec_to_xml(&spec);
        g_autofree char *whole = domain_with(xml, "");
        g_autofree char *source = g_strconcat(nasty, "/0", NULL);
        g_autoptr(DlDomain) domain = parse(whole);
        const DlDomainDisk *disk = g_ptr_array_index(domain->disks, 0);

        g_assert_cmpuint(domain->disks->len, ==, 1);
        g_assert_cmpstr(disk->alias, ==, nasty);
        g_assert_cmpstr(disk->serial, ==, nasty);
        g_assert_cmpstr(disk->source, ==, source);
        g_assert_cmpstr(disk->host_name, ==, nasty);
}

/* What XML cannot say at all is replaced, and the document stays well formed. */
static void test_disk_unspeakable(void)
{
        DlDiskSpec spec = {
                .alias = "a\x01\x1f z",
                .device = "disk",
                .bus = "virtio",
                .target_dev = "vda",
                .serial = "\xff\xfe broken \xc3",
                .iqn = "\xef\xbf\xbf", /* U+FFFF */
                .host_name = "h",
        };
        g_autofree char *xml = dl_disk_spec_to_xml(&spec);
        g_autofree char *whole = domain_with(xml, "");
        g_autoptr(DlDomain) domain = parse(whole);
        const DlDomainDisk *disk = g_ptr_array_index(domain->disks, 0);

        g_assert_cmpstr(disk->alias, ==, "a\xef\xbf\xbd\xef\xbf\xbd z");
        g_assert_true(g_utf8_validate(disk->serial, -1, NULL));
        g_assert_cmpstr(disk->source, ==, "\xef\xbf\xbd/0");
}

static void test_disk_lun(void)
{
        static const struct {
                uint64_t lun;
                const char *name;
        } cases[] = {{0, "'i/0'"},        {255, "'i/255'"},     {256, "'i/16640'"},
                     {300, "'i/16684'"},  {16383, "'i/32767'"}, {16384, "'i/16384'"},
                     {16684, "'i/16684'"}};

        for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
                DlDiskSpec spec = {.iqn = "i", .lun = cases[i].lun, .host_name = "h"};
                g_autofree char *xml = dl_disk_spec_to_xml(&spec);

                g_assert_nonnull(strstr(xml, cases[i].name));
        }
}

int main(int argc, char **argv)
{
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/domain-write/full", test_disk_full);
        g_test_add_func("/domain-write/least", test_disk_least);
        g_test_add_func("/domain-write/block", test_disk_block);
        g_test_add_func("/domain-write/escaping", test_disk_escaping);
        g_test_add_func("/domain-write/unspeakable", test_disk_unspeakable);
        g_test_add_func("/domain-write/lun", test_disk_lun);
        return g_test_run();
}
