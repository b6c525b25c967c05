/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Names of disks: by what rule, and which is free. */

#include "xml-fixture.h"

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

int main(int argc, char **argv)
{
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/domain-names/target-dev", test_target_dev);
        g_test_add_func("/domain-names/target-dev-free", test_target_dev_free);
        return g_test_run();
}
