/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Block devices that no lab has, and what no device should say. One thread. */

#include "mock-host.h"

#include <string.h>

static void test_properties(MockHost *host, gconstpointer data)
{
        g_autofree char *long_guid = g_strnfill(300, '3');
        const char *const bad[] = {"",       "3",         "3 6001", "36001/../x", "..",
                                   "36\001", "3\xff\xfe", "36%n",   long_guid};
        const char *ata[] = {"ID_BUS", "ata", "ID_SERIAL", "Disk_4711", NULL};
        const char *taken[] = {
                "ID_BUS", "ata", "ID_SERIAL", "Disk_4712", "DM_MULTIPATH_DEVICE_PATH", "1", NULL};
        g_autofree char *adapter = mock_add(host, "scsi", "host7", NULL, NULL, NULL);

        for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
                const char *properties[] = {
                        "ID_BUS", "scsi",     "ID_SERIAL",
                        bad[i],   "DEVLINKS", "/dev/disk/by-id/../../sda /dev/disk/by-id/",
                        NULL};
                g_autofree char *hctl = g_strdup_printf("7:0:%u:0", i);
                g_autofree char *name = g_strdup_printf("sdx%c", 'a' + (int)i);
                g_autofree char *scsi = mock_add_scsi(host, adapter, hctl);
                g_autofree char *disk = mock_add_disk(host, scsi, name, 100 + i, properties);

                mock_set_page83(host, scsi, (uint8_t)(0x10 + i));
        }
        g_autofree char *scsi_ata = mock_add_scsi(host, adapter, "7:1:0:0");
        g_autofree char *disk_ata = mock_add_disk(host, scsi_ata, "sdya", 200, ata);
        g_autofree char *scsi_taken = mock_add_scsi(host, adapter, "7:2:0:0");
        g_autofree char *disk_taken = mock_add_disk(host, scsi_taken, "sdyb", 201, taken);

        mock_start(host);
        g_autoptr(GPtrArray) luns = dl_block_devices_list(host->devices);
        g_assert_cmpuint(luns->len, ==, G_N_ELEMENTS(bad) + 1);
        for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
                g_autofree char *guid = g_strdup_printf("36001405a0000001000000000000000%02x",
                                                        0x10 + i);

                g_assert_cmpstr(mock_path_of(host, guid, 0)->node, ==, "");
        }
        g_assert_null(dl_block_devices_find(host->devices, "Disk_4711"));
        g_assert_nonnull(dl_block_devices_find(host->devices, "Disk_4712")); /* its map's, too */
}

static void test_attributes(MockHost *host, gconstpointer data)
{
        g_autofree char *disk = mock_add_iscsi_disk(host, 1, "sdb", 16, GUID);
        g_autofree char *scsi = g_path_get_dirname(disk);
        g_autofree char *noise = g_strnfill(5000, 'x');
        uint8_t cut[] = {0, 0x83, 0xff, 0xff, 1, 3, 0, 200, 0x60};

        umockdev_testbed_set_attribute(host->bed, disk, "size", "99999999999999999999999");
        umockdev_testbed_set_attribute(host->bed, disk, "queue/logical_block_size", "-5");
        umockdev_testbed_set_attribute(host->bed, scsi, "vendor", "a\033[31mb\xff");
        umockdev_testbed_set_attribute(host->bed, scsi, "model", noise);
        umockdev_testbed_set_attribute_binary(host->bed, scsi, "vpd_pg83", cut, sizeof cut);
        umockdev_testbed_set_attribute_binary(host->bed, scsi, "vpd_pg80", cut, 3);
        umockdev_testbed_set_attribute_binary(host->bed, scsi, "inquiry", cut, sizeof cut);
        mock_start(host);
        const DlBlockDevice *d = mock_path_of(host, GUID, 0);
        g_assert_cmpuint(d->size, ==, 0);
        g_assert_cmpuint(d->logical_block_size, ==, 0);
        g_assert_true(g_utf8_validate(d->vendor, -1, NULL));
        g_assert_null(strchr(d->vendor, '\033'));
        g_assert_cmpuint(strlen(d->product), ==, 255);

        umockdev_testbed_set_attribute(host->bed, scsi, "type", "5"); /* a CD-ROM, then */
        umockdev_testbed_uevent(host->bed, disk, "change");
        mock_wait_until(host, mock_is_gone, GUID);
}

int main(int argc, char **argv)
{
        g_test_init(&argc, &argv, NULL);
#define ADD(name, test) g_test_add("/block-odd/" name, MockHost, NULL, mock_begin, test, mock_end)
        ADD("properties", test_properties);
        ADD("attributes", test_attributes);
#undef ADD
        return g_test_run();
}
