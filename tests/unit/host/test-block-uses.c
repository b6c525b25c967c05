/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who uses a block device of this host: mounts, swap, and what stands on it. One thread. */

#include "mock-host.h"

static bool is_used(const MockHost *host, const void *guid)
{
        const DlBlockLun *lun = dl_block_devices_find(host->devices, guid);

        return lun && lun->holders[0];
}

static bool is_unused(const MockHost *host, const void *guid)
{
        return !is_used(host, guid);
}

static void test_mount_and_swap(MockHost *host, gconstpointer data)
{
        const char *attributes[] = {"dev", "8:17", "size", "4096", "partition", "1", NULL};
        const char *properties[] = {"DEVNAME", "/dev/sdb1", "DEVTYPE", "partition", "MAJOR",
                                    "8",       "MINOR",     "17",      NULL};
        g_autofree char *disk = mock_add_iscsi_disk(host, 1, "sdb", 16, GUID);
        g_autofree char *partition = mock_add(host, "block", "sdb1", disk, attributes, properties);

        mock_start(host);
        g_assert_true(is_unused(host, GUID));
        mock_put(host, "mountinfo",
                 "22 1 8:17 / /srv/two\\040words rw,relatime shared:1 - ext4 /dev/sdb1 rw\n"
                 "nonsense\n\n1 2 3\n22 1 8:17 / / rw - \n");
        dl_block_devices_look(host->devices);
        mock_wait_until(host, is_used, GUID);
        const DlBlockLun *lun = dl_block_devices_find(host->devices, GUID);
        g_assert_cmpuint(g_strv_length(lun->holders), ==, 1);
        g_assert_cmpstr(lun->holders[0], ==, "mount:/srv/two words");
        g_assert_false(lun->is_system);

        mock_put(host, "mountinfo", "");
        dl_block_devices_look(host->devices);
        mock_wait_until(host, is_unused, GUID);
        mock_put(host, "swaps",
                 "Filename\tType\tSize\n/dev/sdb1   partition\t1000\t0\t-2\n/f file 1 0\n");
        dl_block_devices_look(host->devices);
        mock_wait_until(host, is_used, GUID);
        lun = dl_block_devices_find(host->devices, GUID);
        g_assert_cmpstr(lun->holders[0], ==, "swap:sdb1");
        g_assert_true(lun->is_system);
}

static void test_stacks(MockHost *host, gconstpointer data)
{
        const char *attributes[] = {"dev",         "253:7",   "size",  "4096", "dm/name",
                                    "my--vg-root", "dm/uuid", "LVM-x", NULL};
        const char *properties[] = {"DEVNAME", "/dev/dm-7", "DEVTYPE", "disk", "MAJOR",
                                    "253",     "MINOR",     "7",       NULL};
        g_autofree char *disk = mock_add_iscsi_disk(host, 1, "sdb", 16, GUID);
        g_autofree char *link = g_strconcat(disk, "/holders/dm-7", NULL);

        mock_start(host);
        mock_put(host, "mountinfo",
                 "22 1 253:7 / / rw shared:1 - ext4 /dev/mapper/my--vg-root rw\n");
        g_autofree char *volume = mock_add(host, "block", "dm-7", NULL, attributes, properties);
        mock_stack(host, volume, disk);
        dl_block_devices_look(host->devices);
        mock_wait_until(host, is_used, GUID);
        const DlBlockLun *lun = dl_block_devices_find(host->devices, GUID);
        g_assert_cmpuint(g_strv_length(lun->holders), ==, 2);
        g_assert_cmpstr(lun->holders[0], ==, "lvm:my-vg/root");
        g_assert_cmpstr(lun->holders[1], ==, "mount:/");
        g_assert_true(lun->is_system);

        mock_put(host, "mountinfo", "");
        mock_remove_link(host, disk, "holders/dm-7");
        mock_unplug(host, volume); /* of the disk there is no event */
        mock_wait_until(host, is_unused, GUID);
}

int main(int argc, char **argv)
{
        g_test_init(&argc, &argv, NULL);
#define ADD(name, test) g_test_add("/block-uses/" name, MockHost, NULL, mock_begin, test, mock_end)
        ADD("mount-and-swap", test_mount_and_swap);
        ADD("stacks", test_stacks);
#undef ADD
        return g_test_run();
}
