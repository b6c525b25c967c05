/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Block devices that no lab has, and what no device should say. One thread. */

#include "mock-host.h"

#include <string.h>
#include <sys/sysmacros.h>

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

/* ---- odd vendors ---------------------------------------------------------------------------- */

typedef struct Row {
        const char *name;           /* of the kernel, as in sysfs */
        const char *properties[12]; /* of udev */
        const char *guid;           /* NULL: it is no LUN */
        const char *node;
} Row;

#define SCSI_GUID "3600508b1001c4d41a5b6c7d8e9f00112"
#define BY_ID     "/dev/disk/by-id/"

/* Disks without pages of their own: all there is to go by is what udev says. */
static const Row rows[] = {
        {"sdca", {"ID_BUS", "scsi", "ID_SERIAL", GUID}, GUID, ""}, /* no ID_WWN, no links */
        {"sdcb", {"ID_BUS", "scsi", "ID_SERIAL_SHORT", "6001405aa"}, NULL, NULL},
        {"sdcc", {"ID_BUS", "scsi", "ID_SERIAL", "3600 1405 aa"}, NULL, NULL},
        {"sdcd", {"ID_BUS", "scsi", "ID_WWN", "0x6001405aa"}, NULL, NULL},
        {"sdce",
         {"ID_BUS", "scsi", "ID_SERIAL", "SVENDOR_ARRAY_0042", "DEVLINKS",
          BY_ID "scsi-SVENDOR_ARRAY_0042"},
         "SVENDOR_ARRAY_0042",
         BY_ID "scsi-SVENDOR_ARRAY_0042"},
        {"cciss!c0d0",
         {"ID_BUS", "scsi", "ID_SERIAL", SCSI_GUID, "DEVLINKS",
          BY_ID "cciss-" SCSI_GUID " " BY_ID "wwn-0x600508b1001c4d41a5b6c7d8e9f00112"},
         SCSI_GUID,
         BY_ID "wwn-0x600508b1001c4d41a5b6c7d8e9f00112"},
        {"sdcf", {"ID_BUS", "usb", "ID_SERIAL", "Stick_0815-0:0"}, NULL, NULL},
        {"sdcg", {"ID_BUS", "ata", "ID_SERIAL", "DISK_4711", "ID_WWN", "0x5000c500a1b2c3d4"}, NULL},
        {"vdc", {"ID_SERIAL", "vdisk-serial"}, NULL, NULL},
        {"xvda", {NULL}, NULL, NULL},
        {"dasda", {"ID_BUS", "ccw", "ID_SERIAL", "0X0120", "ID_UID", "IBM.75"}, NULL, NULL},
        {"mmcblk0", {"ID_SERIAL", "0x1234"}, NULL, NULL},
        {"drbd0", {NULL}, NULL, NULL},
        {"rbd0", {NULL}, NULL, NULL},
        {"nbd0", {NULL}, NULL, NULL},
        {"loop7", {NULL}, NULL, NULL},
        {"zram1", {NULL}, NULL, NULL},
        {"md127", {"MD_UUID", "a:b:c:d", "MD_LEVEL", "raid1"}, NULL, NULL},
        {"bcache0", {NULL}, NULL, NULL},
        {"sr1", {"ID_BUS", "scsi", "ID_SERIAL", "sr-serial", "DEVTYPE", "partition"}, NULL, NULL},
};

static void test_vendors(MockHost *host, gconstpointer data)
{
        unsigned n = 0;

        for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++)
                g_free(mock_add_disk(host, NULL, rows[i].name, 100 + i, rows[i].properties));
        mock_start(host);
        for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
                const DlBlockDevice *d;

                if (!rows[i].guid)
                        continue;
                d = mock_path_of(host, rows[i].guid, 0);
                g_assert_cmpuint(major(d->devnum), ==, 8);
                g_assert_cmpuint(minor(d->devnum), ==, 100 + i);
                g_assert_cmpstr(d->node, ==, rows[i].node);
                g_assert_cmpstr(dl_block_transport_name(d->transport), ==, "local");
                n++;
        }
        g_autoptr(GPtrArray) luns = dl_block_devices_list(host->devices);
        g_assert_cmpuint(luns->len, ==, n);
        g_assert_cmpstr(mock_path_of(host, SCSI_GUID, 0)->name, ==, "cciss/c0d0"); /* as in /dev */
}

/* Of the device mapper's devices only multipath's maps are LUNs, whatever they are called. */
static void test_maps(MockHost *host, gconstpointer data)
{
        static const struct {
                const char *uuid, *name, *guid;
        } maps[] = {
                {"mpath-" GUID, "mpatha", GUID},
                {"mpath-uuid.0b2e5a4c-6d5f-4f0e-9a6b-3c1d2e4f5a6b", "nvme map",
                 "uuid.0b2e5a4c-6d5f-4f0e-9a6b-3c1d2e4f5a6b"},
                {"part1-mpath-" GUID, "mpatha-part1", NULL},
                {"LVM-mpath-x", "vg-lv", NULL},
                {"CRYPT-LUKS2-0815-mpath-" GUID, "luks", NULL},
                {"DMRAID-isw_0815", "raid", NULL},
                {"MPATH-" OTHER, "shouted", NULL},
                {"mpath-", "empty", NULL},
                {"mpath-../" OTHER, "climbs", NULL},
                {"", "bare", NULL},
        };

        for (unsigned i = 0; i < G_N_ELEMENTS(maps); i++) {
                g_autofree char *name = g_strdup_printf("dm-%u", i);
                g_autofree char *number = g_strdup_printf("253:%u", i);
                g_autofree char *minor_text = g_strdup_printf("%u", i);
                g_autofree char *link = g_strconcat("/dev/mapper/", maps[i].name,
                                                    " " BY_ID "dm-uuid-", maps[i].uuid, NULL);
                const char *attributes[] = {"dev",        number,    "size",       "8", "dm/name",
                                            maps[i].name, "dm/uuid", maps[i].uuid, NULL};
                const char *properties[] = {"DEVNAME",  name,  "DEVTYPE", "disk",
                                            "MAJOR",    "253", "MINOR",   minor_text,
                                            "DEVLINKS", link,  NULL};

                g_free(mock_add(host, "block", name, NULL, attributes, properties));
        }
        mock_start(host);
        g_autoptr(GPtrArray) luns = dl_block_devices_list(host->devices);
        g_assert_cmpuint(luns->len, ==, 2);
        for (unsigned i = 0; i < luns->len; i++) {
                const DlBlockLun *lun = luns->pdata[i];
                g_autofree char *node = g_strconcat(BY_ID "dm-uuid-mpath-", maps[i].guid, NULL);

                g_assert_cmpstr(lun->guid, ==, maps[i].guid);
                g_assert_nonnull(lun->map);
                g_assert_cmpuint(lun->paths->len, ==, 0);
                g_assert_cmpstr(lun->node, ==, node);
        }
}

/* ---- paths that only udev names ------------------------------------------------------------- */

static void test_by_path(MockHost *host, gconstpointer data)
{
        static const struct {
                const char *hctl, *path, *transport, *target, *address;
                uint64_t lun;
        } paths[] = {
                {"9:0:0:0", "pci-0000:05:00.0-fc-0x5006016041e0a5a5-lun-0", "fc",
                 "0x5006016041e0a5a5", "", 0},
                {"9:0:1:255", "pci-0000:05:00.0-fc-0x5006016041e0a5a6-lun-255", "fc",
                 "0x5006016041e0a5a6", "", 255},
                {"9:0:2:16640", "pci-0000:05:00.0-fc-0x5006016041e0a5a7-lun-0x4100000000000000",
                 "fc", "0x5006016041e0a5a7", "", 256},
                {"9:0:3:32767", "pci-0000:05:00.0-fc-0x5006016041e0a5a8-lun-0x7fff000000000000",
                 "fc", "0x5006016041e0a5a8", "", 16383},
                {"9:0:4:0", "ccw-0.0.1700-fc-0x500507630300c562-lun-0", "fc", "0x500507630300c562",
                 "", 0},
                {"9:0:5:1", "pci-0000:03:00.0-sas-0x5000c500a1b2c3d4-lun-1", "sas",
                 "0x5000c500a1b2c3d4", "", 1},
                {"9:0:6:0", "pci-0000:03:00.0-sas-exp0x500304801f2c3d7f-phy6-lun-0", "sas", "", "",
                 0},
                {"9:0:7:3", "ip-[2001:db8::1]:3260-iscsi-iqn.2026-11.org.example:a-lun-3", "iscsi",
                 "iqn.2026-11.org.example:a", "2001:db8::1", 3},
                {"9:0:8:0", "pci-0000:00:1f.2-ata-1", "local", "", "", 0},
                {"9:0:9:0", "pci-0000:05:00.0-fc-lun-0", "local", "", "", 0},
                {"9:0:10:0", "-fc-", "local", "", "", 0},
                {"9:0:11:0", "", "local", "", "", 0},
        };
        g_autofree char *adapter = mock_add(host, "scsi", "host9", NULL, NULL, NULL);

        for (unsigned i = 0; i < G_N_ELEMENTS(paths); i++) {
                g_autofree char *guid = g_strdup_printf("36001405eeeeeeeeeeeeeeee%08x", i);
                g_autofree char *name = g_strdup_printf("sdd%c", 'a' + (int)i);
                const char *properties[] = {"ID_BUS",  "scsi",        "ID_SERIAL", guid,
                                            "ID_PATH", paths[i].path, NULL};
                g_autofree char *scsi = mock_add_scsi(host, adapter, paths[i].hctl);

                g_free(mock_add_disk(host, scsi, name, i, properties));
        }
        mock_start(host);
        for (unsigned i = 0; i < G_N_ELEMENTS(paths); i++) {
                g_autofree char *guid = g_strdup_printf("36001405eeeeeeeeeeeeeeee%08x", i);
                const DlBlockDevice *d = mock_path_of(host, guid, 0);

                g_assert_cmpstr(dl_block_transport_name(d->transport), ==, paths[i].transport);
                g_assert_cmpstr(d->target, ==, paths[i].target);
                g_assert_cmpstr(d->address, ==, paths[i].address);
                g_assert_cmpuint(d->lun, ==, paths[i].lun);
                g_assert_cmpstr(d->hctl, ==, paths[i].hctl);
                g_assert_cmpstr(d->host, ==, "host9");
        }
}

/* NPIV: a virtual port's adapter is below the physical one's, and is the path's. */
static void test_npiv(MockHost *host, gconstpointer data)
{
        const char *port[] = {"port_name", "0x5006016041e0a5a5", NULL};
        const char *physical_name[] = {"symbolic_name", "fcoe v0.1 over eth0", NULL};
        const char *virtual_name[] = {"symbolic_name", "QLE2692 FW:v9.08", NULL};
        const char *properties[] = {"ID_BUS", "scsi", "ID_SERIAL", GUID, NULL};
        g_autofree char *physical = mock_add(host, "scsi", "host7", NULL, NULL, NULL);
        g_autofree char *vport = mock_add(host, "scsi", "vport-7:0-1", physical, NULL, NULL);
        g_autofree char *adapter = mock_add(host, "scsi", "host12", vport, NULL, NULL);
        g_autofree char *rport = mock_add(host, "scsi", "rport-12:0-3", adapter, NULL, NULL);
        g_autofree char *target = mock_add(host, "scsi", "target12:0:1", rport, NULL, NULL);
        g_autofree char *scsi = mock_add_scsi(host, target, "12:0:1:5");

        g_free(mock_add(host, "fc_host", "host7", physical, physical_name, NULL));
        g_free(mock_add(host, "fc_host", "host12", adapter, virtual_name, NULL));
        g_free(mock_add(host, "fc_remote_ports", "rport-12:0-3", rport, port, NULL));
        g_free(mock_add_disk(host, scsi, "sdea", 64, properties));
        mock_start(host);
        const DlBlockDevice *d = mock_path_of(host, GUID, 0);
        g_assert_cmpstr(d->host, ==, "host12");
        g_assert_cmpstr(dl_block_transport_name(d->transport), ==, "fc");
        g_assert_cmpstr(d->target, ==, "0x5006016041e0a5a5");
        g_assert_cmpstr(d->hctl, ==, "12:0:1:5");
        g_assert_cmpuint(d->lun, ==, 5);
}

/* ---- namespaces of NVMe --------------------------------------------------------------------- */

static void test_namespaces(MockHost *host, gconstpointer data)
{
        static const char *const wwids[] = {
                "uuid.0b2e5a4c-6d5f-4f0e-9a6b-3c1d2e4f5a6b",
                "eui.0025385b71b0a0b10025385b71b0a0b1",
                "eui.0025385b71b0a0b1",
                "nvme.8086-30383135-4c696e7578-00000004",
                "eui.\xff\xfe", /* that is none */
                "eui.0 1",
                "",
        };
        const unsigned n_good = 4;

        for (unsigned i = 0; i < G_N_ELEMENTS(wwids); i++) {
                g_autofree char *name = g_strdup_printf("nvme%un1", i);
                g_autofree char *number = g_strdup_printf("259:%u", i);
                g_autofree char *minor_text = g_strdup_printf("%u", i);
                g_autofree char *links = g_strconcat(BY_ID "nvme-Disk_0815 " BY_ID "nvme-",
                                                     wwids[i], NULL);
                const char *attributes[] = {"dev", number, "size", "8", "wwid", wwids[i], NULL};
                const char *properties[] = {"DEVNAME",  name,  "DEVTYPE", "disk",
                                            "MAJOR",    "259", "MINOR",   minor_text,
                                            "DEVLINKS", links, NULL};

                g_free(mock_add(host, "block", name, NULL, attributes, properties));
        }
        mock_start(host);
        g_autoptr(GPtrArray) luns = dl_block_devices_list(host->devices);
        g_assert_cmpuint(luns->len, ==, n_good);
        for (unsigned i = 0; i < n_good; i++) {
                const DlBlockDevice *d = mock_path_of(host, wwids[i], 0);
                g_autofree char *node = g_strconcat(BY_ID "nvme-", wwids[i], NULL);

                g_assert_cmpuint(d->kind, ==, DL_BLOCK_NVME);
                g_assert_cmpstr(d->node, ==, node);
        }
}

/* ---- files that are not as they should be --------------------------------------------------- */

static bool has_size(const MockHost *host, const void *bytes)
{
        return mock_path_of(host, GUID, 0)->size == g_ascii_strtoull(bytes, NULL, 10);
}

static bool has_vendor(const MockHost *host, const void *vendor)
{
        return strcmp(mock_path_of(host, GUID, 0)->vendor, vendor) == 0;
}

static void test_files(MockHost *host, gconstpointer data)
{
        static const struct {
                const char *text;
                uint64_t sectors;
        } sizes[] = {
                {"", 0},          {"2048", 2048}, {"2048\n", 2048},           {"\n", 0},
                {"-1\n", 0},      {"0x800\n", 0}, {"12 monkeys\n", 0},        {"\xff\xfe\n", 0},
                {"2048\n9\n", 0}, {"+2048\n", 0}, {"18014398509481984\n", 0},
        };
        g_autofree char *disk = mock_add_iscsi_disk(host, 1, "sdb", 16, GUID);
        g_autofree char *scsi = g_path_get_dirname(disk);
        g_autofree char *noise = g_strnfill(1 << 20, '7');

        mock_start(host);
        for (unsigned i = 0; i < G_N_ELEMENTS(sizes); i++) {
                umockdev_testbed_set_attribute(host->bed, disk, "size", "4096"); /* a known one */
                dl_block_devices_look(host->devices);
                mock_wait_until(host, has_size, "2097152");
                umockdev_testbed_set_attribute(host->bed, disk, "size", sizes[i].text);
                g_hash_table_remove_all(host->told);
                dl_block_devices_look(host->devices);
                mock_wait_until(host, mock_is_told, GUID);
                if (mock_path_of(host, GUID, 0)->size != sizes[i].sectors * 512)
                        g_error("size '%s': %" G_GUINT64_FORMAT, sizes[i].text,
                                mock_path_of(host, GUID, 0)->size);
        }
        umockdev_testbed_set_attribute(host->bed, disk, "size", noise);
        umockdev_testbed_set_attribute(host->bed, scsi, "state", noise);
        umockdev_testbed_set_attribute(host->bed, scsi, "vendor", "");
        umockdev_testbed_set_attribute(host->bed, disk, "ro", "yes");
        dl_block_devices_look(host->devices);
        mock_wait_until(host, has_vendor, ""); /* the state is told before all is read again */
        const DlBlockDevice *d = mock_path_of(host, GUID, 0);
        g_assert_cmpuint(d->size, ==, 0);
        g_assert_cmpuint(strlen(d->state), ==, 255);
        g_assert_false(dl_block_device_is_active(d));
        g_assert_false(d->read_only);
}

int main(int argc, char **argv)
{
        g_test_init(&argc, &argv, NULL);
#define ADD(name, test) g_test_add("/block-odd/" name, MockHost, NULL, mock_begin, test, mock_end)
        ADD("properties", test_properties);
        ADD("attributes", test_attributes);
        ADD("vendors", test_vendors);
        ADD("maps", test_maps);
        ADD("by-path", test_by_path);
        ADD("npiv", test_npiv);
        ADD("namespaces", test_namespaces);
        ADD("files", test_files);
#undef ADD
        return g_test_run();
}
