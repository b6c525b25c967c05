/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* From <os><boot> to orders of devices. */

#include "xml-fixture.h"

#include "util/error.h"

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

int main(int argc, char **argv)
{
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/domain-boot/boot-disk", test_boot_disk);
        return g_test_run();
}
