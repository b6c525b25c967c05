/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Overlays of disks in XML: read, written, and changed in what somebody else has written. */

#include "util/error.h"
#include "virt/domain-xml.h"

#include <string.h>

#define UUID "6695eb01-f6a4-8304-79aa-97f2502e193f"
#define BASE                                                                                       \
        "<source protocol='iscsi' name='iqn.x:t/1'><host name='192.0.2.1' port='3260'/>"           \
        "<auth username='u'><secret type='iscsi' uuid='" UUID "'/></auth></source>"
#define REST                                                                                       \
        "<target dev='vda' bus='virtio'/><alias name='ua-x'/><unknown of='others'>&lt;</unknown>"

static char *domain_of(const char *devices)
{
        return g_strdup_printf("<domain><name>n</name><uuid>" UUID "</uuid><devices>%s</devices>"
                               "</domain>",
                               devices);
}

static DlDomain *parse(const char *devices)
{
        g_autofree char *xml = domain_of(devices);
        g_autoptr(GError) error = NULL;
        DlDomain *domain = dl_domain_parse(xml, &error);

        g_assert_no_error(error);
        return domain;
}

static void expect(const char *devices, const char *const *files)
{
        g_autoptr(DlDomain) domain = parse(devices);
        const DlDomainDisk *disk = domain->disks->pdata[0];

        g_assert_cmpuint(disk->images->len, ==, g_strv_length((char **)files));
        for (unsigned i = 0; files[i]; i++)
                g_assert_cmpstr(((DlDomainImage *)disk->images->pdata[i])->file, ==, files[i]);
        g_assert_cmpstr(disk->type, ==, "network");
        g_assert_cmpstr(disk->source, ==, "iqn.x:t/1");
        g_assert_cmpstr(disk->protocol, ==, "iscsi");
        g_assert_cmpstr(disk->host_name, ==, "192.0.2.1");
        g_assert_cmpstr(disk->target_dev, ==, "vda");
        g_assert_cmpstr(disk->alias, ==, "ua-x");
}

static void test_there_and_back(void)
{
        static const char *const stacks[][3] = {{NULL}, {"/a&'b", NULL}, {"/top", "/below", NULL}};
        g_autofree char *disk = g_strdup("<disk type='network' device='disk' snapshot='no'><driver "
                                         "name='qemu' type='raw' cache='none'/>" BASE REST
                                         "</disk>");

        for (unsigned i = 0; i < 2 * G_N_ELEMENTS(stacks); i++) {
                const char *const *files = stacks[i % G_N_ELEMENTS(stacks)];
                g_autofree char *xml = domain_of(disk);
                g_autoptr(GError) error = NULL;
                char *changed = dl_disk_with_images(xml, "ua-x", files, &error);

                g_assert_no_error(error);
                expect(changed, files);
                g_assert_nonnull(strstr(changed, files[0] ? "type=\"qcow2\"" : "type=\"raw\""));
                g_assert_nonnull(strstr(changed, "<unknown of=\"others\">&lt;</unknown>"));
                g_assert_nonnull(strstr(changed, UUID));
                g_free(disk);
                disk = changed;
        }
}

static void test_errors(void)
{
        g_autofree char *none = domain_of("<disk type='network'>" BASE REST "</disk>");
        g_autofree char *empty = domain_of("<disk type='network'>" REST "</disk>");
        g_autoptr(GError) not_there = NULL, no_source = NULL, no_xml = NULL;

        g_assert_null(dl_disk_with_images(none, "ua-y", NULL, &not_there));
        g_assert_error(not_there, DL_ERROR, DL_ERROR_NOT_ATTACHED);
        g_assert_null(dl_disk_with_images(empty, "ua-x", NULL, &no_source));
        g_assert_error(no_source, DL_ERROR, DL_ERROR_LIBVIRT_ERROR);
        g_assert_null(dl_disk_with_images("<domain", "ua-x", NULL, &no_xml));
        g_assert_error(no_xml, DL_ERROR, DL_ERROR_LIBVIRT_ERROR);
}

/* As libvirt 9.0 shows a running domain. */
static void test_running(void)
{
        g_autoptr(DlDomain) domain = parse(
                "<disk type='file'><source file='/top' index='3'/><backingStore type='file' "
                "index='2'><format type='qcow2'/><source file='/mid'/><backingStore type='network' "
                "index='7'>" BASE "<backingStore/></backingStore></backingStore><mirror "
                "type='file' job='active-commit' ready='yes'><source file='/mid'/></mirror>" REST
                "</disk>"
                "<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0' "
                "state='connected'/></channel>");
        const DlDomainDisk *disk = domain->disks->pdata[0];

        g_assert_cmpuint(((DlDomainImage *)disk->images->pdata[0])->index, ==, 3);
        g_assert_cmpuint(((DlDomainImage *)disk->images->pdata[1])->index, ==, 2);
        g_assert_cmpuint(disk->base_index, ==, 7);
        g_assert_true(disk->mirror_ready);
        g_assert_true(domain->guest_agent);
}

/* A disk over a file is nobody's overlay of a LUN. */
static void test_of_others(void)
{
        g_autoptr(DlDomain) domain = parse(
                "<disk type='file'><source file='/top'/><backingStore type='file'><format "
                "type='raw'/><source file='/base'/></backingStore>" REST "</disk>"
                "<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0' "
                "state='disconnected'/></channel>");
        const DlDomainDisk *disk = domain->disks->pdata[0];

        g_assert_cmpuint(disk->images->len, ==, 0);
        g_assert_cmpstr(disk->type, ==, "file");
        g_assert_cmpstr(disk->source, ==, "/top");
        g_assert_false(domain->guest_agent);
}

static void test_snapshot(void)
{
        g_autoptr(DlDomain)
                domain = parse("<disk type='network'>" BASE REST "</disk>"
                               "<disk type='file' device='cdrom'><target dev='sda'/></disk>");
        g_autofree char *xml = dl_snapshot_to_xml(domain, "vda", "/new<");

        g_assert_cmpstr(xml, ==,
                        "<domainsnapshot><disks><disk name='vda' snapshot='external' type='file'>"
                        "<driver type='qcow2'/><source file='/new&#60;'/></disk>"
                        "<disk name='sda' snapshot='no'/></disks></domainsnapshot>");
}

int main(int argc, char **argv)
{
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/virt/disk-images/there-and-back", test_there_and_back);
        g_test_add_func("/virt/disk-images/errors", test_errors);
        g_test_add_func("/virt/disk-images/running", test_running);
        g_test_add_func("/virt/disk-images/of-others", test_of_others);
        g_test_add_func("/virt/disk-images/snapshot", test_snapshot);
        return g_test_run();
}
