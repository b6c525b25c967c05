/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A domain as libvirt gives it, and what an enemy would write. */

#include "xml-fixture.h"

#include "util/error.h"

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

int main(int argc, char **argv)
{
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/domain-parse/domain", test_domain);
        g_test_add_func("/domain-parse/encoding", test_encoding);
        g_test_add_func("/domain-parse/odd-values", test_odd_values);
        g_test_add_func("/domain-parse/not-a-domain", test_not_a_domain);
        g_test_add_func("/domain-parse/dtd", test_dtd);
        g_test_add_func("/domain-parse/expensive", test_expensive);
        g_test_add_func("/domain-parse/crowded-look-alikes", test_crowded_look_alikes);
        return g_test_run();
}
