/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A pool that is not active: nobody can be asked but its definition. */

#include "xml-fixture.h"

#include "virt/volumes.h"

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

int main(int argc, char **argv)
{
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/volumes/volume-in-pool", test_volume_in_pool);
        return g_test_run();
}
