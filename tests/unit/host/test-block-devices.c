/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The kernel's block devices by each transport, their maps and states, in a sysfs and with a udev
 * that umockdev makes. One thread. */

#include "mock-host.h"

#include <string.h>
#include <sys/sysmacros.h>

/* ---- transports ----------------------------------------------------------------------------- */

static void test_iscsi(MockHost *host, gconstpointer data)
{
        g_autofree char *disk = mock_add_iscsi_disk(host, 3, "sdb", 16, GUID);

        mock_start(host);
        const DlBlockDevice *d = mock_path_of(host, GUID, 0);
        g_assert_cmpstr(d->name, ==, "sdb");
        g_assert_cmpstr(d->sysfs, ==, disk);
        g_assert_cmpuint(d->kind, ==, DL_BLOCK_PATH);
        g_assert_cmpstr(dl_block_transport_name(d->transport), ==, "iscsi");
        g_assert_cmpstr(d->target, ==, IQN);
        g_assert_cmpstr(d->address, ==, "192.0.2.3");
        g_assert_cmpuint(d->port, ==, 3260);
        g_assert_cmpuint(d->tpgt, ==, 2);
        g_assert_cmpuint(d->session, ==, 3);
        g_assert_cmpstr(d->host, ==, "host3");
        g_assert_cmpstr(d->hctl, ==, "3:0:0:16684");
        g_assert_cmpuint(d->lun, ==, 300); /* flat addressing on the wire */
        g_assert_cmpuint(d->size, ==, 32 << 20);
        g_assert_cmpuint(d->logical_block_size, ==, 512);
        g_assert_cmpuint(d->physical_block_size, ==, 4096);
        g_assert_cmpstr(d->vendor, ==, "LIO-ORG");
        g_assert_cmpstr(d->product, ==, "one");
        g_assert_true(dl_block_device_is_active(d));
        g_assert_true(d == dl_block_devices_find_devnum(host->devices, makedev(8, 16)));
        g_assert_true(d == dl_block_devices_find_name(host->devices, "sdb"));
}

static void test_fibre_channel(MockHost *host, gconstpointer data)
{
        const char *port[] = {"port_name", "0x5006016041e0a5a5", NULL};
        const char *name[] = {"symbolic_name", "fcoe v0.1 over eth0", NULL};
        const char *properties[] = {"ID_BUS", "scsi", "ID_SERIAL", GUID, NULL};
        const char *by_path[] = {"ID_BUS",    "scsi",
                                 "ID_SERIAL", OTHER,
                                 "ID_PATH",   "pci-0000:05:00.0-fc-0x5006016841e0a5a5-lun-7",
                                 NULL};
        g_autofree char *adapter = mock_add(host, "scsi", "host4", NULL, NULL, NULL);
        g_autofree char *rport = mock_add(host, "scsi", "rport-4:0-1", adapter, NULL, NULL);
        g_autofree char *class_port = mock_add(host, "fc_remote_ports", "rport-4:0-1", rport, port,
                                               NULL);
        g_autofree char *scsi = mock_add_scsi(host, rport, "4:0:0:0");
        g_autofree char *disk = mock_add_disk(host, scsi, "sdc", 32, properties);
        g_autofree char *other = mock_add(host, "scsi", "host5", NULL, NULL, NULL);
        g_autofree char *bare = mock_add_scsi(host, other, "5:0:0:7");
        g_autofree char *by_path_disk = mock_add_disk(host, bare, "sdd", 48, by_path);

        mock_start(host);
        const DlBlockDevice *d = mock_path_of(host, GUID, 0);
        g_assert_cmpuint(d->transport, ==, DL_BLOCK_FC);
        g_assert_cmpstr(d->target, ==, "0x5006016041e0a5a5");
        g_assert_cmpstr(d->host, ==, "host4");
        d = mock_path_of(host, OTHER, 0);
        g_assert_cmpuint(d->transport, ==, DL_BLOCK_FC);
        g_assert_cmpstr(d->target, ==, "0x5006016841e0a5a5");
        g_assert_cmpuint(d->lun, ==, 7);

        g_autofree char *class_host = mock_add(host, "fc_host", "host4", adapter, name, NULL);
        umockdev_testbed_uevent(host->bed, disk, "change");
        mock_wait_until(host, mock_is_told, GUID);
        g_assert_cmpuint(mock_path_of(host, GUID, 0)->transport, ==, DL_BLOCK_FCOE);
}

static void test_sas(MockHost *host, gconstpointer data)
{
        const char *address[] = {"sas_address", "0x5000c500a1b2c3d4", NULL};
        g_autofree char *adapter = mock_add(host, "scsi", "host6", NULL, NULL, NULL);
        g_autofree char *end_device = mock_add(host, "scsi", "end_device-6:0", adapter, NULL, NULL);
        g_autofree char *class_end = mock_add(host, "sas_device", "end_device-6:0", end_device,
                                              address, NULL);
        g_autofree char *scsi = mock_add_scsi(host, end_device, "6:0:0:0");
        g_autofree char *disk = mock_add_disk(host, scsi, "sde", 64, NULL);

        mock_set_page83(host, scsi, 1); /* udev has said nothing */
        mock_start(host);
        const DlBlockDevice *d = mock_path_of(host, "36001405a000000100000000000000001", 0);
        g_assert_cmpstr(dl_block_transport_name(d->transport), ==, "sas");
        g_assert_cmpstr(d->target, ==, "0x5000c500a1b2c3d4");
        g_assert_cmpuint(strlen(d->fingerprint), ==, 64);
}

static void test_nvme(MockHost *host, gconstpointer data)
{
        const char *controller[] = {"transport",
                                    "tcp",
                                    "state",
                                    "live",
                                    "model",
                                    "Linux",
                                    "subsysnqn",
                                    "nqn.2026-11.org.example:n",
                                    "serial",
                                    "0815",
                                    "firmware_rev",
                                    "6.1",
                                    "address",
                                    "traddr=192.0.2.9,trsvcid=4420,src_addr=192.0.2.1",
                                    NULL};
        const char *namespace[] = {
                "dev", "259:0", "size", "65536", "nsid", "4", "wwid", "eui.0025385b71b0a0b1", NULL};
        const char *properties[] = {"DEVNAME",
                                    "/dev/nvme0n4",
                                    "DEVTYPE",
                                    "disk",
                                    "MAJOR",
                                    "259",
                                    "MINOR",
                                    "0",
                                    "DEVLINKS",
                                    "/dev/disk/by-id/nvme-Linux_0815 /dev/disk/by-path/x "
                                    "/dev/disk/by-id/nvme-eui.0025385b71b0a0b1",
                                    NULL};
        g_autofree char *parent = mock_add(host, "nvme", "nvme0", NULL, controller, NULL);
        g_autofree char *disk = mock_add(host, "block", "nvme0n4", parent, namespace, properties);

        umockdev_testbed_set_attribute_link(host->bed, disk, "device", "..");
        mock_start(host);
        const DlBlockDevice *d = mock_path_of(host, "eui.0025385b71b0a0b1", 0);
        g_assert_cmpuint(d->kind, ==, DL_BLOCK_NVME);
        g_assert_cmpstr(dl_block_transport_name(d->transport), ==, "nvme-of");
        g_assert_cmpstr(d->target, ==, "nqn.2026-11.org.example:n");
        g_assert_cmpstr(d->address, ==, "192.0.2.9");
        g_assert_cmpuint(d->port, ==, 4420);
        g_assert_cmpuint(d->lun, ==, 4);
        g_assert_cmpstr(d->host, ==, "nvme0");
        g_assert_cmpstr(d->state, ==, "live");
        g_assert_cmpstr(d->node, ==, "/dev/disk/by-id/nvme-eui.0025385b71b0a0b1");
}

/* ---- multipath ------------------------------------------------------------------------------ */

static bool has_failed_path(const MockHost *host, const void *guid)
{
        return mock_path_of(host, guid, 0)->is_failed;
}

static bool has_good_path(const MockHost *host, const void *guid)
{
        return dl_block_device_is_active(mock_path_of(host, guid, 0));
}

static bool has_no_map(const MockHost *host, const void *guid)
{
        return !dl_block_devices_find(host->devices, guid)->map &&
               *mock_path_of(host, guid, 0)->map == '\0';
}

static void test_multipath(MockHost *host, gconstpointer data)
{
        g_autofree char *one = mock_add_iscsi_disk(host, 1, "sdb", 16, GUID);
        g_autofree char *two = mock_add_iscsi_disk(host, 2, "sdaa", 160, GUID);
        const char *paths[] = {one, two, NULL};

        mock_start(host);
        const DlBlockLun *lun = dl_block_devices_find(host->devices, GUID);
        g_assert_cmpuint(lun->paths->len, ==, 2);
        g_assert_cmpstr(lun->node, ==, ""); /* of two paths neither */
        g_assert_cmpstr(mock_path_of(host, GUID, 1)->name, ==, "sdaa");

        mock_add_map(host, GUID, paths);
        mock_wait_until(host, mock_is_held, "sdaa");
        lun = dl_block_devices_find(host->devices, GUID);
        g_assert_nonnull(lun->map);
        g_assert_cmpuint(lun->paths->len, ==, 2);
        g_assert_cmpstr(lun->node, ==, "/dev/disk/by-id/dm-uuid-mpath-" GUID);
        g_assert_cmpuint(g_strv_length(lun->holders), ==, 0);
        g_assert_cmpstr(mock_path_of(host, GUID, 0)->map, ==, "dm-0");

        umockdev_testbed_set_property(host->bed, "/sys/devices/dm-0", "DM_ACTION", "PATH_FAILED");
        umockdev_testbed_set_property(host->bed, "/sys/devices/dm-0", "DM_PATH", "8:16");
        umockdev_testbed_uevent(host->bed, "/sys/devices/dm-0", "change");
        mock_wait_until(host, has_failed_path, GUID);
        g_assert_true(dl_block_device_is_active(mock_path_of(host, GUID, 1)));
        umockdev_testbed_set_property(host->bed, "/sys/devices/dm-0", "DM_ACTION",
                                      "PATH_REINSTATED");
        umockdev_testbed_uevent(host->bed, "/sys/devices/dm-0", "change");
        mock_wait_until(host, has_good_path, GUID);

        mock_unplug(host, "/sys/devices/dm-0");
        mock_remove_link(host, one, "holders/dm-0");
        mock_remove_link(host, two, "holders/dm-0");
        mock_wait_until(host, has_no_map, GUID);
}

/* The device mapper gives up on a path that has just gone; its number is another disk's next. */
static void test_number_again(MockHost *host, gconstpointer data)
{
        g_autofree char *one = mock_add_iscsi_disk(host, 1, "sdb", 16, GUID);
        const char *paths[] = {one, NULL};

        mock_start(host);
        mock_add_map(host, GUID, paths);
        mock_wait_until(host, mock_is_held, "sdb");
        mock_remove_link(host, one, "holders/dm-0");
        mock_unplug(host, one);
        umockdev_testbed_set_property(host->bed, "/sys/devices/dm-0", "DM_ACTION", "PATH_FAILED");
        umockdev_testbed_set_property(host->bed, "/sys/devices/dm-0", "DM_PATH", "8:16");
        umockdev_testbed_uevent(host->bed, "/sys/devices/dm-0", "change");
        mock_unplug(host, "/sys/devices/dm-0");
        mock_wait_until(host, mock_is_gone, GUID);
        g_autofree char *other = mock_add_iscsi_disk(host, 2, "sdc", 16, OTHER);
        mock_wait_until(host, mock_is_there, OTHER);
        g_assert_true(has_good_path(host, OTHER));
}

/* No uevent tells this. */
static bool is_offline(const MockHost *host, const void *guid)
{
        return !dl_block_device_is_active(mock_path_of(host, guid, 0));
}

static void test_state(MockHost *host, gconstpointer data)
{
        g_autofree char *disk = mock_add_iscsi_disk(host, 1, "sdb", 16, GUID);
        g_autofree char *scsi = g_path_get_dirname(disk);

        mock_start(host);
        umockdev_testbed_set_attribute(host->bed, scsi, "state", "transport-offline");
        mock_wait_until(host, is_offline, GUID);
        g_assert_cmpstr(mock_path_of(host, GUID, 0)->state, ==, "transport-offline");
        umockdev_testbed_set_attribute(host->bed, scsi, "state", "running");
        mock_wait_until(host, has_good_path, GUID);
}

int main(int argc, char **argv)
{
        g_test_init(&argc, &argv, NULL);
#define ADD(name, test)                                                                            \
        g_test_add("/block-devices/" name, MockHost, NULL, mock_begin, test, mock_end)
        ADD("iscsi", test_iscsi);
        ADD("fibre-channel", test_fibre_channel);
        ADD("sas", test_sas);
        ADD("nvme", test_nvme);
        ADD("multipath", test_multipath);
        ADD("number-again", test_number_again);
        ADD("state", test_state);
#undef ADD
        return g_test_run();
}
