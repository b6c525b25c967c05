/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a VM is started with when a disk of it is not reachable. */

#include "xml-fixture.h"

#include "util/error.h"

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
        g_test_add_func("/domain-leave-out/leave-out", test_leave_out);
        return g_test_run();
}
