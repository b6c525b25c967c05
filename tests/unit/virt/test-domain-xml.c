/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Domain XML in and out: what is written is compared with files in golden/ (DL_TEST_UPDATE=1 writes
 * them anew), what is read is a domain as libvirt gives it, and what an enemy would write.
 */

#include "virt/domain-xml.h"
#include "virt/volumes.h"

#include <glib/gstdio.h>

#include "util/error.h"

#define UUID  "11111111-2222-4333-8444-555555555555"
#define VDISK "22222222-2222-4333-8444-555555555555"

static char *read_golden(const char *name)
{
        g_autofree char *path = g_build_filename(DL_TEST_DIR, "golden", name, NULL);
        GError *error = NULL;
        char *text = NULL;

        g_file_get_contents(path, &text, NULL, &error);
        g_assert_no_error(error);
        return text;
}

static void check_golden(const char *name, const char *xml)
{
        g_autofree char *path = g_build_filename(DL_TEST_DIR, "golden", name, NULL);
        g_autofree char *line = g_strconcat(xml, "\n", NULL);
        g_autofree char *golden = NULL;

        if (g_getenv("DL_TEST_UPDATE"))
                g_assert_true(g_file_set_contents(path, line, -1, NULL));
        golden = read_golden(name);
        g_assert_cmpstr(line, ==, golden);
}

static char *domain_with(const char *devices, const char *metadata)
{
        return g_strdup_printf("<domain><name>n</name><uuid>" UUID "</uuid><metadata>%s</metadata>"
                               "<devices>%s</devices></domain>",
                               metadata, devices);
}

static DlDomain *parse(const char *xml)
{
        GError *error = NULL;
        DlDomain *domain = dl_domain_parse(xml, &error);

        g_assert_no_error(error);
        g_assert_nonnull(domain);
        return domain;
}

static DlAddress *address_of(const char *first, ...)
{
        DlAddress *address = dl_address_new();
        va_list ap;

        va_start(ap, first);
        for (const char *key = first; key; key = va_arg(ap, const char *))
                g_hash_table_insert(address, g_strdup(key), g_strdup(va_arg(ap, const char *)));
        va_end(ap);
        return address;
}

/* ---- writing */

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

/* ---- metadata */

static void test_metadata_round_trip(void)
{
        g_autoptr(GHashTable) address = address_of("type", "pci", "domain", "0x0000", "bus", "0x01",
                                                   "slot", "0x00", "function", "0x0", NULL);
        DlDomainAttachment full = {
                .id = (char *)"attachment-1",
                .vdisk = (char *)VDISK,
                .guid = (char *)"SQEMU 'disk' <1> & more",
                .iface = (char *)"virtio",
                .device = (char *)"disk",
                .iqn = (char *)"iqn.2026-11.org.example:one",
                .lun = G_MAXUINT64,
                .index = -1,
                .boot_order = 4,
                .propagate_errors = true,
                .shared = true,
                .optional = true,
                .readonly = true,
                .discard = true,
                .reservations = true,
                .data_path = (char *)"qemu",
                .serial = (char *)VDISK,
                .address = address,
        };
        g_autoptr(GHashTable) unknown = address_of("type", "virtio-mmio", NULL);
        DlDomainAttachment least = {
                .id = (char *)"attachment-2",
                .vdisk = (char *)VDISK,
                .guid = (char *)"36001405000000001",
                .iface = (char *)"scsi",
                .device = (char *)"lun",
                .index = 3,
                .data_path = (char *)"auto",
                .address = unknown, /* not kept */
        };
        DlDomainAttachment *attachments[] = {&full, &least};
        g_autofree char *xml = dl_metadata_to_xml(attachments, 2);
        g_autofree char *whole = domain_with("", xml);
        g_autofree char *again = NULL, *copied = NULL;
        g_autoptr(DlDomain) domain = parse(whole);
        g_autoptr(DlDomainAttachment) copy = NULL;

        check_golden("metadata.xml", xml);
        g_assert_false(domain->metadata_broken);
        g_assert_cmpuint(domain->attachments->len, ==, 2);
        again = dl_metadata_to_xml((DlDomainAttachment *const *)domain->attachments->pdata, 2);
        g_assert_cmpstr(again, ==, xml);

        copy = dl_domain_attachment_copy(&full);
        attachments[0] = copy;
        copied = dl_metadata_to_xml(attachments, 2);
        g_assert_cmpstr(copied, ==, xml);
        g_assert_null(dl_metadata_to_xml(NULL, 0));
}

#define OURS(inside) "<d:attachments xmlns:d='" DL_METADATA_URI "'>" inside "</d:attachments>"
#define GOOD         "id='1' vdisk='" VDISK "' guid='g' iface='scsi' device='disk' data-path='qemu'"

static void test_metadata_tolerant(void)
{
        g_autofree char *whole = domain_with(
                "", "<other xmlns='urn:other'><attachment/></other>"
                    "text<!-- comment -->" OURS(
                            "<d:attachment " GOOD " later='x' d:id='2'><d:later/><address "
                            "type='nonsense'/><d:address type='drive' unit='1' later='x'/>"
                            "</d:attachment><d:later/><attachment/>text"));
        g_autoptr(DlDomain) domain = parse(whole);
        const DlDomainAttachment *attachment;

        g_assert_false(domain->metadata_broken);
        g_assert_cmpuint(domain->attachments->len, ==, 1);
        attachment = g_ptr_array_index(domain->attachments, 0);
        g_assert_cmpstr(attachment->id, ==, "1");
        g_assert_cmpint(attachment->index, ==, -1);
        g_assert_cmpuint(g_hash_table_size(attachment->address), ==, 2);
}

static void test_metadata_broken(void)
{
        static const char *const broken[] = {
                OURS("<d:attachment/>"),
                OURS("<d:attachment " GOOD " lun='x'/>"),
                OURS("<d:attachment " GOOD " lun='-1'/>"),
                OURS("<d:attachment " GOOD " lun='18446744073709551616'/>"),
                OURS("<d:attachment " GOOD " index='1.5'/>"),
                OURS("<d:attachment " GOOD " index='-2'/>"),
                OURS("<d:attachment " GOOD " boot-order='65536'/>"),
                OURS("<d:attachment " GOOD " shared='true'/>"),
                OURS("<d:attachment " GOOD " readonly=''/>"),
                OURS("<d:attachment " GOOD " serial=''/>"),
                OURS("<d:attachment " GOOD "><d:address/></d:attachment>"),
                OURS("<d:attachment " GOOD "><d:address type='pci' slot='0x20'/></d:attachment>"),
                OURS("<d:attachment id='1' vdisk='x' guid='g' iface='scsi' device='disk' "
                     "data-path='qemu'/>"),
                OURS("<d:attachment id='1' vdisk='" VDISK "' guid='' iface='scsi' device='disk' "
                     "data-path='qemu'/>"),
                OURS("<d:attachment id='1' vdisk='" VDISK "' guid='g' iface='SCSI' device='disk' "
                     "data-path='qemu'/>"),
                OURS("<d:attachment id='1' vdisk='" VDISK "' guid='g' iface='scsi' device='disk' "
                     "data-path='kernel'/>"),
                OURS("<d:attachment " GOOD "/><d:attachment " GOOD "/>"), /* one id twice */
                OURS("") OURS(""),
                "<d:later xmlns:d='" DL_METADATA_URI "'/>",
        };

        for (size_t i = 0; i < G_N_ELEMENTS(broken); i++) {
                g_autofree char *whole = domain_with("", broken[i]);
                g_autoptr(DlDomain) domain = parse(whole);

                g_test_message("%s", broken[i]);
                g_assert_true(domain->metadata_broken);
                g_assert_cmpuint(domain->attachments->len, <=, 1);
        }
}

/* ---- reading */

static void check_devices(const DlDomain *domain)
{
        const DlDomainController *controller;
        const DlDomainDevice *device;

        g_assert_cmpuint(domain->controllers->len, ==, 5);
        controller = g_ptr_array_index(domain->controllers, 3);
        g_assert_cmpstr(controller->type, ==, "scsi");
        g_assert_cmpstr(controller->model, ==, "virtio-scsi");
        g_assert_cmpuint(controller->index, ==, 0);
        g_assert_cmpuint(domain->devices->len, ==, 3);
        device = g_ptr_array_index(domain->devices, 0);
        g_assert_cmpstr(device->name, ==, "disk vda");
        g_assert_cmpstr(device->alias, ==, "ua-1");
        g_assert_cmpuint(device->boot_order, ==, 2);
        g_assert_true(dl_address_is(device->address, "pci"));
        device = g_ptr_array_index(domain->devices, 1);
        g_assert_cmpstr(device->bus, ==, "scsi");
        g_assert_cmpuint(device->boot_order, ==, 0);
        device = g_ptr_array_index(domain->devices, 2);
        g_assert_cmpstr(device->name, ==, "interface");
        g_assert_cmpuint(device->boot_order, ==, 7);
        g_assert_null(device->address);
}

static void test_domain(void)
{
        g_autofree char *xml = read_golden("domain.xml");
        g_autoptr(DlDomain) domain = parse(xml);
        const DlDomainDisk *disk;

        g_assert_cmpstr(domain->uuid, ==, UUID);
        g_assert_cmpstr(domain->name, ==, "guest & co");
        g_assert_cmpstr(domain->machine, ==, "pc-q35-7.2");
        g_assert_cmpstr(domain->os_boot, ==, "hd");
        check_devices(domain);
        g_assert_false(domain->metadata_broken);
        g_assert_cmpuint(domain->attachments->len, ==, 0);
        g_assert_cmpuint(domain->disks->len, ==, 4);

        disk = g_ptr_array_index(domain->disks, 0);
        g_assert_cmpstr(disk->type, ==, "network");
        g_assert_cmpstr(disk->protocol, ==, "iscsi");
        g_assert_cmpstr(disk->source, ==, "iqn.2026-11.org.example:one/1");
        g_assert_cmpstr(disk->host_name, ==, "192.0.2.1");
        g_assert_cmpuint(disk->host_port, ==, 3260);
        g_assert_cmpstr(disk->alias, ==, "ua-1");
        g_assert_cmpstr(disk->serial, ==, "S1");
        g_assert_true(disk->shareable && disk->readonly);
        g_assert_cmpuint(disk->boot_order, ==, 2);
        g_assert_cmpstr(g_hash_table_lookup(disk->address, "type"), ==, "pci");
        g_assert_cmpstr(g_hash_table_lookup(disk->address, "bus"), ==, "0x01");

        disk = g_ptr_array_index(domain->disks, 1);
        g_assert_cmpstr(disk->type, ==, "block");
        g_assert_cmpstr(disk->device, ==, "lun");
        g_assert_cmpstr(disk->source, ==, "/dev/mapper/36001405000000001");
        g_assert_null(disk->protocol);
        disk = g_ptr_array_index(domain->disks, 2);
        g_assert_cmpstr(disk->device, ==, "cdrom");
        g_assert_null(disk->source);
        g_assert_null(disk->alias);
        disk = g_ptr_array_index(domain->disks, 3); /* says nothing but what must be there */
        g_assert_cmpstr(disk->type, ==, "file");
        g_assert_cmpstr(disk->device, ==, "disk");
        g_assert_cmpuint(disk->host_port, ==, 0);
        g_assert_null(disk->target_dev);
        g_assert_null(disk->address);
}

static void check_refused(const char *xml, const char *why)
{
        g_autoptr(GError) error = NULL;

        g_assert_null(dl_domain_parse(xml, &error));
        g_assert_error(error, DL_ERROR, DL_ERROR_LIBVIRT_ERROR);
        g_assert_nonnull(strstr(error->message, why));
        g_assert_null(strchr(error->message, '\n'));
}

static void test_not_a_domain(void)
{
        check_refused("", "cannot be read");
        check_refused("<", "cannot be read");
        check_refused("plain text", "cannot be read");
        check_refused("<domain/>", "not of a domain");
        check_refused("<disk/>", "not of a domain");
        check_refused("<domain><name>n</name><uuid>nonsense</uuid></domain>", "not of a domain");
        check_refused("<domain><name/><uuid>" UUID "</uuid></domain>", "not of a domain");
        check_refused("<d:domain xmlns:d='urn:d'><name>n</name><uuid>" UUID "</uuid></d:domain>",
                      "not of a domain");
        check_refused("<domain><name>n</name><uuid>" UUID "</uuid>", "cannot be read");
        check_refused("<d:domain><name>n</name></d:domain>", "cannot be read");
        check_refused("<domain><name>&nbsp;</name></domain>", "cannot be read");
        check_refused("<domain><name>\xff\xfe</name></domain>", "cannot be read");
        check_refused("<domain a='1' a='2'/>", "cannot be read");
        check_refused("<?xml version='1.0' encoding='UTF-7'?>+ADw-domain+AD4-", "cannot be read");
        check_refused("<?xml version='1.0' encoding='ISO-8859-1'?><domain>\xe9</domain>", "UTF-8");
        check_refused("\x4c\x6f\xa7\x94\x93", "UTF-8"); /* EBCDIC */
}

static void test_dtd(void)
{
        check_refused("<!DOCTYPE domain [<!ENTITY a 'aaaaaaaaaa'>"
                      "<!ENTITY b '&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;'>"
                      "<!ENTITY c '&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;'>"
                      "<!ENTITY d '&c;&c;&c;&c;&c;&c;&c;&c;&c;&c;'>]>"
                      "<domain><name>&d;</name><uuid>" UUID "</uuid></domain>",
                      "document type");
        check_refused("<!DOCTYPE domain [<!ENTITY x SYSTEM 'file:///etc/passwd'>]>"
                      "<domain><name>&x;</name><uuid>" UUID "</uuid></domain>",
                      "document type");
        check_refused("<!DOCTYPE domain SYSTEM 'http://192.0.2.1/x.dtd'><domain/>",
                      "document type");
        check_refused("<!DOCTYPE domain [<!ATTLIST domain x CDATA 'y'>]><domain/>",
                      "document type");
}

static char *repeat(const char *before, const char *what, size_t n, const char *after)
{
        g_autoptr(GString) text = g_string_new(before);

        for (size_t i = 0; i < n; i++)
                g_string_append(text, what);
        g_string_append(text, after);
        return g_string_free(g_steal_pointer(&text), FALSE);
}

static void test_expensive(void)
{
        g_autofree char *deep = repeat("<domain>", "<a>", 100000, "");
        g_autofree char *wide = repeat("<domain>", "<a/>", 200000, "</domain>");
        g_autofree char *crowded = repeat("<domain ", "a='>' ", 2000000, "/>");
        g_autofree char *huge = repeat("<domain a='", "0123456789", 1100000, "'/>");
        g_autofree char *large = repeat("<domain>", "0123456789abcdef", 1 << 20, "</domain>");
        gint64 begin = g_get_monotonic_time();

        check_refused(deep, "cannot be read");
        check_refused(wide, "too many elements");
        check_refused(crowded, "too many attributes");
        check_refused(huge, "cannot be read"); /* libxml2's own limit, 10 MB a value */
        check_refused(large, "larger than 16 MiB");
        g_assert_cmpint(g_get_monotonic_time() - begin, <, 20 * G_USEC_PER_SEC);
}

/* The count of attributes is not led astray by what only looks like a tag. */
static void test_crowded_look_alikes(void)
{
        g_autofree char *comment = repeat("<!-- <a ", "'' ", 200, "-->");
        g_autofree char *cdata = repeat("<description><![CDATA[<a ", "'' ", 200,
                                        "]]></description>");
        g_autofree char *text = repeat("<title>", "it's ", 200, "</title>");
        g_autofree char *whole = g_strdup_printf(
                "<?xml version='1.0'?>%s<domain><name>n</name><uuid>" UUID "</uuid>%s%s</domain>",
                comment, cdata, text);
        g_autoptr(DlDomain) domain = parse(whole);

        g_assert_cmpstr(domain->name, ==, "n");
        check_refused("<domain><!-- no end", "cannot be read");
        check_refused("<domain a='no end", "cannot be read");
}

/* A wrong declaration of the encoding changes nothing. */
static void test_encoding(void)
{
        g_autoptr(DlDomain) domain = parse(
                "<?xml version='1.0' encoding='UTF-16'?><domain><name>h\xc3\xa9</name><uuid>" UUID
                "</uuid></domain>");

        g_assert_cmpstr(domain->name, ==, "h\xc3\xa9");
}

static void test_odd_values(void)
{
        g_autofree char *whole = domain_with(
                "<disk type='network'><source protocol='iscsi' name='x'><host name='h' "
                "port='65536'/><host name='second' port='1'/></source><boot order='-1'/></disk>"
                "<disk type=''><boot order='99999999999999999999'/><target/></disk>"
                "<disk><source/><source file='second'/><address/></disk>"
                "<disk><address type='pci' unknown='x' onclick='y'/></disk>"
                "<d:disk xmlns:d='urn:d'/><controller/><controller type='pci'/>"
                "<interface><boot order='x'/></interface>",
                "");
        g_autoptr(DlDomain) domain = parse(whole);
        const DlDomainDisk *disk;

        g_assert_cmpuint(domain->disks->len, ==, 4);
        g_assert_cmpuint(domain->devices->len, ==, 1); /* with an address: the fourth disk */
        disk = g_ptr_array_index(domain->disks, 0);
        g_assert_cmpstr(disk->host_name, ==, "h");
        g_assert_cmpuint(disk->host_port, ==, 0);
        disk = g_ptr_array_index(domain->disks, 2);
        g_assert_null(disk->source);
        g_assert_null(disk->address);
        disk = g_ptr_array_index(domain->disks, 3);
        g_assert_cmpuint(g_hash_table_size(disk->address), ==, 1);
}

/* ---- from <os><boot> to orders of devices */

#define NEW_DISK                                                                                   \
        "<disk type='network'><target dev='sdx' bus='scsi'/><boot order='%u'/><alias "             \
        "name='ua-new'/></disk>"

static void check_boot_disk(const char *os, const char *devices, unsigned order,
                            unsigned order_of_first, int code)
{
        g_autofree char *xml = g_strdup_printf("<domain><name>n</name><uuid>" UUID
                                               "</uuid><os>%s</os><devices>%s</devices></domain>",
                                               os, devices);
        g_autofree char *disk = g_strdup_printf(NEW_DISK, order);
        g_autoptr(GError) error = NULL;
        g_autofree char *changed = dl_domain_with_boot_disk(xml, disk, &error);

        if (code >= 0) {
                g_assert_error(error, DL_ERROR, code);
                g_assert_null(changed);
                return;
        }
        g_assert_no_error(error);

        g_autoptr(DlDomain) domain = parse(changed);
        const DlDomainDisk *last = domain->disks->pdata[domain->disks->len - 1];
        g_assert_null(domain->os_boot);
        g_assert_cmpstr(last->alias, ==, "ua-new");
        g_assert_cmpuint(last->boot_order, ==, order);
        for (unsigned i = 0; i + 1 < domain->disks->len; i++) {
                const DlDomainDisk *other = domain->disks->pdata[i];

                g_assert_cmpuint(other->boot_order, ==,
                                 g_strcmp0(other->target_dev, "vda") == 0 ? order_of_first : 0);
        }
}

static void test_boot_disk(void)
{
        static const char hd[] = "<boot dev='hd'/>";
        static const char disks[] = "<disk device='cdrom'><target dev='sdc'/></disk>"
                                    "<disk><target dev='vda'/></disk>"
                                    "<disk device='disk'><target dev='vdb'/></disk><video/>";

        check_boot_disk(hd, disks, 1, 2, -1);
        check_boot_disk(hd, disks, 2, 1, -1);
        check_boot_disk(hd, disks, 7, 1, -1);
        check_boot_disk(hd, "", 3, 0, -1);
        check_boot_disk("<boot dev='network'/>", disks, 1, 0, DL_ERROR_INVALID_ARGS);
        check_boot_disk("<boot dev='hd'/><boot dev='network'/>", disks, 1, 0,
                        DL_ERROR_INVALID_ARGS);
        check_boot_disk("", disks, 1, 0, DL_ERROR_INVALID_ARGS);
        check_boot_disk(hd, disks, 0, 0, DL_ERROR_LIBVIRT_ERROR);
        g_assert_null(dl_domain_with_boot_disk("<domain", "<disk/>", NULL));
        g_assert_null(dl_domain_with_boot_disk("<domain/>", "<disk", NULL));
        g_assert_null(
                dl_domain_with_boot_disk("<domain/>", "<disk><boot order='1'/></disk>", NULL));
}

/* ---- addresses and names */

static void check_equal(bool equal, DlAddress *a, DlAddress *b)
{
        g_assert_true(dl_address_equal(a, b) == equal);
        g_clear_pointer(&a, g_hash_table_unref);
        g_clear_pointer(&b, g_hash_table_unref);
}

static void test_address_equal(void)
{
        check_equal(true, NULL, NULL);
        check_equal(false, NULL, address_of("type", "pci", "bus", "1", NULL));
        check_equal(true, address_of("type", "pci", "bus", "0x0A", NULL),
                    address_of("type", "pci", "bus", "10", "slot", "0x00", NULL));
        check_equal(false, address_of("type", "pci", "bus", "1", NULL),
                    address_of("type", "pci", "bus", "1", "function", "1", NULL));
        check_equal(false, address_of("type", "pci", "bus", "1", NULL),
                    address_of("type", "drive", "bus", "1", NULL));
}

static void check_address(bool good, DlAddress *address)
{
        g_autoptr(GError) error = NULL;

        g_assert_true(dl_address_check(address, &error) == good);
        if (!good)
                g_assert_error(error, DL_ERROR, DL_ERROR_INVALID_ARGS);
        g_hash_table_unref(address);
}

static void test_address(void)
{
        check_address(true, address_of("type", "pci", "domain", "0x0000", "bus", "0x00", "slot",
                                       "0x1f", "function", "0x7", "multifunction", "on", NULL));
        check_address(true, address_of("type", "drive", "controller", "0", "bus", "0", "target",
                                       "0", "unit", "16383", NULL));
        check_address(true, address_of("type", "ccw", "cssid", "0xfe", "ssid", "0x0", "devno",
                                       "0x0001", NULL));
        check_address(false, dl_address_new());
        check_address(false, address_of("slot", "0x1", NULL));
        check_address(false, address_of("type", "pci", NULL));
        check_address(false, address_of("type", "usb", "port", "1", NULL));
        check_address(false, address_of("type", "pci", "unit", "1", NULL));
        check_address(false, address_of("type", "pci", "slot", "0x20", NULL));
        check_address(false, address_of("type", "pci", "slot", "", NULL));
        check_address(false, address_of("type", "pci", "slot", "0x", NULL));
        check_address(false, address_of("type", "pci", "slot", "-1", NULL));
        check_address(false, address_of("type", "pci", "slot", " 1", NULL));
        check_address(false, address_of("type", "pci", "multifunction", "1", NULL));
        check_address(false, address_of("type", "drive", "unit", "99999999999999999999", NULL));
        g_assert_null(dl_address_copy(NULL));
}

static void test_target_dev(void)
{
        static const struct {
                const char *bus;
                unsigned n;
                const char *name;
        } cases[] = {{"virtio", 0, "vda"},    {"virtio", 25, "vdz"},    {"virtio", 26, "vdaa"},
                     {"virtio", 701, "vdzz"}, {"virtio", 702, "vdaaa"}, {"scsi", 1, "sdb"},
                     {"sata", 2, "sdc"},      {"usb", 3, "sdd"},        {"ide", 0, "hda"}};

        for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
                g_autofree char *name = dl_target_dev(cases[i].bus, cases[i].n);

                g_assert_cmpstr(name, ==, cases[i].name);
        }
        g_free(dl_target_dev("virtio", G_MAXUINT));
}

static void check_free(const char *expected, const char *bus, int hint, const DlDomain *live,
                       const DlDomain *inactive)
{
        g_autofree char *name = dl_target_dev_free(bus, hint, live, inactive);

        g_assert_cmpstr(name, ==, expected);
}

/* A pool that is not active: nobody can be asked but its definition. */
static void test_volume_in_pool(void)
{
        static const struct {
                const char *pool, *volume, *path;
        } cases[] = {
#define POOL(type, source) "<pool type='" type "'><name>p</name><source>" source "</source></pool>"
#define SOURCE             "<host name='192.0.2.1'/><device path='iqn.2026-11.org.example:t'/>"
#define PATH               "/dev/disk/by-path/ip-192.0.2.1-iscsi-iqn.2026-11.org.example:t-lun-"
                {POOL("iscsi-direct", SOURCE), "unit:0:0:7", PATH "7"},
                {POOL("iscsi", SOURCE), "unit:3:0:300", PATH "300"},
                {POOL("iscsi", SOURCE), "unit:0:0:", NULL},
                {POOL("iscsi", SOURCE), "unit:0:0:99999999999", NULL},
                {POOL("iscsi", SOURCE), "7", NULL},
                {POOL("iscsi", ""), "unit:0:0:7", NULL},
                {POOL("dir", SOURCE), "unit:0:0:7", NULL},
                {"<pool/>", "unit:0:0:7", NULL},
                {"<pool", "unit:0:0:7", NULL},
                {"", "", NULL},
        };

        for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
                g_autofree char *path = dl_volumes_path_in_pool(cases[i].pool, cases[i].volume);

                g_assert_cmpstr(path, ==, cases[i].path);
        }
        g_autoptr(DlDomain) domain = dl_domain_parse(
                "<domain><name>a</name><uuid>" UUID "</uuid><devices>"
                "<disk type='volume'><source pool='p' volume='a/b'/></disk>"
                "<disk type='volume'><source pool='p'/></disk>"
                "<disk type='file'><source file='f' pool='p'/></disk></devices></domain>",
                NULL);
        static const char *const keys[] = {"p/a/b", NULL, NULL};
        for (unsigned i = 0; i < G_N_ELEMENTS(keys); i++) {
                g_autofree char *key = dl_domain_volume_key(domain->disks->pdata[i]);

                g_assert_cmpstr(key, ==, keys[i]);
        }
}

static void test_target_dev_free(void)
{
        g_autofree char *one = domain_with("<disk><target dev='sda' bus='sata'/></disk>"
                                           "<disk><target dev='vdb'/></disk><disk/>",
                                           "");
        g_autofree char *two = domain_with("<disk><target dev='sdb'/></disk>", "");
        g_autoptr(DlDomain) live = parse(one), inactive = parse(two);

        check_free("vda", "virtio", -1, NULL, NULL);
        check_free("vda", "virtio", -1, live, inactive);
        check_free("vdc", "virtio", 1, live, inactive);
        check_free("sdb", "scsi", -1, live, NULL);
        check_free("sdc", "scsi", 0, live, inactive);
        check_free("sda", "scsi", 0, NULL, inactive);
}

/* What a VM is started with when a disk of it is not reachable. */
static void test_leave_out(void)
{
        static const char id[] = "5b0f8a2e-0000-5000-8000-000000000001";
        static const char other[] = "5b0f8a2e-0000-5000-8000-000000000002";
        DlDomainAttachment one = {.id = (char *)"a",
                                  .vdisk = (char *)id,
                                  .guid = (char *)"36001",
                                  .iface = (char *)"virtio",
                                  .device = (char *)"disk",
                                  .index = 0,
                                  .optional = true,
                                  .data_path = (char *)"qemu"};
        DlDomainAttachment two = one;
        g_autofree char *gone = g_strconcat("ua-directlun-", id, NULL);
        const char *aliases[] = {gone, NULL}, *none[] = {NULL};

        two.id = (char *)"b";
        two.vdisk = (char *)other;
        two.left_out = true; /* of an earlier start */
        g_autofree char *metadata = dl_metadata_to_xml((DlDomainAttachment *[]){&one, &two}, 2);
        g_autofree char *xml = g_strdup_printf(
                "<domain type='kvm'><name>n</name>"
                "<uuid>6695eb01-f6a4-8304-79aa-97f2502e193f</uuid>"
                "<metadata><x xmlns='urn:x'>&amp; kept</x>%s</metadata><devices>"
                "<disk type='network'><target dev='vda'/><alias name='%s'/></disk>"
                "<disk type='network'><target dev='vdb'/><alias name='ua-directlun-%s'/></disk>"
                "<disk type='file'><target dev='vdc'/></disk>"
                "</devices></domain>",
                metadata, gone, other);
        g_autofree char *less = dl_domain_leave_out(xml, aliases, NULL);
        g_autoptr(DlDomain) domain = dl_domain_parse(less, NULL);

        g_assert_nonnull(strstr(less, "&amp; kept"));
        g_assert_cmpuint(domain->disks->len, ==, 2);
        g_assert_cmpstr(((DlDomainDisk *)domain->disks->pdata[0])->target_dev, ==, "vdb");
        g_assert_cmpuint(domain->attachments->len, ==, 2);
        g_assert_true(((DlDomainAttachment *)domain->attachments->pdata[0])->left_out);
        g_assert_false(((DlDomainAttachment *)domain->attachments->pdata[1])->left_out);
        g_assert_false(domain->metadata_broken);

        g_autofree char *same = dl_domain_leave_out(xml, none, NULL);
        g_autoptr(DlDomain) whole = dl_domain_parse(same, NULL);
        g_assert_cmpuint(whole->disks->len, ==, 3);
        g_assert_null(strstr(same, "left-out"));

        g_autoptr(GError) error = NULL;
        g_assert_null(dl_domain_leave_out("<domain", aliases, &error));
        g_assert_error(error, DL_ERROR, DL_ERROR_LIBVIRT_ERROR);
}

int main(int argc, char **argv)
{
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/domain-xml/disk/full", test_disk_full);
        g_test_add_func("/domain-xml/disk/least", test_disk_least);
        g_test_add_func("/domain-xml/disk/block", test_disk_block);
        g_test_add_func("/domain-xml/disk/escaping", test_disk_escaping);
        g_test_add_func("/domain-xml/disk/unspeakable", test_disk_unspeakable);
        g_test_add_func("/domain-xml/disk/lun", test_disk_lun);
        g_test_add_func("/domain-xml/metadata/round-trip", test_metadata_round_trip);
        g_test_add_func("/domain-xml/metadata/tolerant", test_metadata_tolerant);
        g_test_add_func("/domain-xml/metadata/broken", test_metadata_broken);
        g_test_add_func("/domain-xml/domain", test_domain);
        g_test_add_func("/domain-xml/encoding", test_encoding);
        g_test_add_func("/domain-xml/odd-values", test_odd_values);
        g_test_add_func("/domain-xml/not-a-domain", test_not_a_domain);
        g_test_add_func("/domain-xml/dtd", test_dtd);
        g_test_add_func("/domain-xml/expensive", test_expensive);
        g_test_add_func("/domain-xml/crowded-look-alikes", test_crowded_look_alikes);
        g_test_add_func("/domain-xml/boot-disk", test_boot_disk);
        g_test_add_func("/domain-xml/address", test_address);
        g_test_add_func("/domain-xml/address-equal", test_address_equal);
        g_test_add_func("/domain-xml/leave-out", test_leave_out);
        g_test_add_func("/domain-xml/volume-in-pool", test_volume_in_pool);
        g_test_add_func("/domain-xml/target-dev", test_target_dev);
        g_test_add_func("/domain-xml/target-dev-free", test_target_dev_free);
        return g_test_run();
}
