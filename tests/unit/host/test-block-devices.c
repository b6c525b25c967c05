/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The kernel's block devices, in a sysfs and with a udev that umockdev makes: what no lab has, and
 * what no device should say. One thread.
 */

#include "host/block-devices.h"

#include <glib/gstdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/sysmacros.h>
#include <umockdev.h>

#define GUID  "36001405aaaaaaaaaaaaaaaaaaaaaaaaa"
#define OTHER "36001405bbbbbbbbbbbbbbbbbbbbbbbbb"
#define IQN   "iqn.2026-11.org.example:disks"

typedef struct Host {
        UMockdevTestbed *bed;
        sd_event *event;
        char *directory; /* for tables of mounts and swap */
        DlBlockDevices *devices;
        GHashTable *told; /* GUID → how often */
        bool is_late;
} Host;

/* ---- what there is -------------------------------------------------------------------------- */

static void on_changed(const char *const *guids, size_t n, void *userdata)
{
        Host *host = userdata;

        for (size_t i = 0; i < n; i++) {
                guint times = GPOINTER_TO_UINT(g_hash_table_lookup(host->told, guids[i]));

                g_hash_table_replace(host->told, g_strdup(guids[i]), GUINT_TO_POINTER(times + 1));
        }
}

static void put(const Host *host, const char *name, const char *text)
{
        g_autofree char *path = g_build_filename(host->directory, name, NULL);

        g_assert_true(g_file_set_contents(path, text, -1, NULL));
}

static void begin(Host *host, gconstpointer data)
{
        host->bed = umockdev_testbed_new();
        g_assert_cmpint(sd_event_new(&host->event), >=, 0);
        host->directory = g_dir_make_tmp("directlun-block-XXXXXX", NULL);
        host->told = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
        put(host, "mountinfo", "");
        put(host, "swaps", "Filename Type Size Used Priority\n");
}

static void end(Host *host, gconstpointer data)
{
        g_autofree char *mounts = g_build_filename(host->directory, "mountinfo", NULL);
        g_autofree char *swaps = g_build_filename(host->directory, "swaps", NULL);

        dl_block_devices_free(host->devices);
        sd_event_unref(host->event);
        g_object_unref(host->bed);
        g_unlink(mounts);
        g_unlink(swaps);
        g_assert_cmpint(g_rmdir(host->directory), ==, 0);
        g_free(host->directory);
        g_hash_table_unref(host->told);
}

static int on_late(sd_event_source *source, uint64_t usec, void *userdata)
{
        ((Host *)userdata)->is_late = true;
        return 0;
}

typedef bool (*Condition)(const Host *host, const void *what);

static void wait_until(Host *host, Condition holds, const void *what)
{
        g_autoptr(GTimer) timer = g_timer_new();
        sd_event_source *late = NULL;

        host->is_late = false;
        g_assert_cmpint(sd_event_add_time_relative(host->event, &late, CLOCK_MONOTONIC,
                                                   20 * G_USEC_PER_SEC, 0, on_late, host),
                        >=, 0);
        while (!holds(host, what)) {
                g_assert_cmpint(sd_event_run(host->event, UINT64_MAX), >=, 0);
                g_assert_false(host->is_late);
        }
        sd_event_source_disable_unref(late);
}

static bool is_known(const Host *host, const void *what)
{
        return dl_block_devices_are_known(host->devices);
}

static bool is_there(const Host *host, const void *guid)
{
        return dl_block_devices_find(host->devices, guid) != NULL;
}

static bool is_gone(const Host *host, const void *guid)
{
        return !dl_block_devices_find(host->devices, guid);
}

static bool is_told(const Host *host, const void *guid)
{
        return g_hash_table_contains(host->told, guid);
}

/* By a map. */
static bool is_held(const Host *host, const void *name)
{
        const DlBlockDevice *device = dl_block_devices_find_name(host->devices, name);

        return device && *device->map;
}

static void start(Host *host)
{
        g_autofree char *mounts = g_build_filename(host->directory, "mountinfo", NULL);
        g_autofree char *swaps = g_build_filename(host->directory, "swaps", NULL);
        DlBlockSources sources = {mounts, swaps};

        g_assert_cmpint(
                dl_block_devices_new(host->event, &sources, on_changed, host, &host->devices), ==,
                0);
        wait_until(host, is_known, NULL);
        g_hash_table_remove_all(host->told);
}

/* The device's directory, below /sys. */
static char *add(const Host *host, const char *subsystem, const char *name, const char *parent,
                 const char *const *attributes, const char *const *properties)
{
        const char *none[] = {NULL};
        char *path = umockdev_testbed_add_devicev(host->bed, subsystem, name, parent,
                                                  (char **)(attributes ? attributes : none),
                                                  (char **)(properties ? properties : none));

        g_assert_nonnull(path);
        return path;
}

/* A disk at a place in the tree, with the link to its SCSI device that the kernel makes. */
static char *add_disk(const Host *host, const char *scsi, const char *name, unsigned minor,
                      const char *const *properties)
{
        g_autofree char *dev = g_strdup_printf("8:%u", minor);
        g_autofree char *node = g_strconcat("/dev/", name, NULL);
        g_autofree char *number = g_strdup_printf("%u", minor);
        g_autoptr(GPtrArray) all = g_ptr_array_new();
        const char *attributes[] = {"dev", dev, "size", "65536", "ro", "0", NULL};
        const char *own[] = {"DEVNAME", node, "DEVTYPE", "disk", "MAJOR", "8", "MINOR", number};

        for (size_t i = 0; i < G_N_ELEMENTS(own); i++)
                g_ptr_array_add(all, (gpointer)own[i]);
        for (; properties && *properties; properties++)
                g_ptr_array_add(all, (gpointer)*properties);
        g_ptr_array_add(all, NULL);

        char *path = add(host, "block", name, scsi, attributes, (const char *const *)all->pdata);
        umockdev_testbed_set_attribute(host->bed, path, "queue/logical_block_size", "512");
        umockdev_testbed_set_attribute(host->bed, path, "queue/physical_block_size", "4096");
        umockdev_testbed_set_attribute_link(host->bed, path, "device", "..");
        return path;
}

static void set_page83(const Host *host, const char *scsi, uint8_t last)
{
        uint8_t page[] = {0, 0x83, 0, 20,   1, 3, 0, 16, 0x60, 0x01, 0x40, 0x5a,
                          0, 0,    0, 0x10, 0, 0, 0, 0,  0,    0,    0,    last};
        uint8_t inquiry[36] = {0, 0, 6, 2, 31, 0, 0, 2};

        memcpy(inquiry + 8, "LIO-ORG one             4.0 ", 28);
        umockdev_testbed_set_attribute_binary(host->bed, scsi, "vpd_pg83", page, sizeof page);
        umockdev_testbed_set_attribute_binary(host->bed, scsi, "inquiry", inquiry, sizeof inquiry);
}

static char *add_scsi(const Host *host, const char *parent, const char *hctl)
{
        const char *attributes[] = {"state",  "running",  "type",  "0",
                                    "vendor", "LIO-ORG ", "model", "one             ",
                                    "rev",    "4.0 ",     NULL};

        return add(host, "scsi", hctl, parent, attributes, NULL);
}

/* A path of a session; its disk has GUID. */
static char *add_iscsi_disk(const Host *host, unsigned session, const char *name, unsigned minor,
                            const char *guid)
{
        g_autofree char *hostname = g_strdup_printf("host%u", session);
        g_autofree char *session_name = g_strdup_printf("session%u", session);
        g_autofree char *connection_name = g_strdup_printf("connection%u:0", session);
        g_autofree char *address = g_strdup_printf("192.0.2.%u", session);
        g_autofree char *target_name = g_strdup_printf("target%u:0:0", session);
        g_autofree char *hctl = g_strdup_printf("%u:0:0:16684", session);
        const char *session_attributes[] = {"targetname", IQN, "tpgt", "2", NULL};
        const char *connection_attributes[] = {"persistent_address", address, "persistent_port",
                                               "3260", NULL};
        const char *properties[] = {"ID_BUS", "scsi", "ID_SERIAL", guid, NULL};
        g_autofree char *adapter = add(host, "scsi", hostname, NULL, NULL, NULL);
        g_autofree char *device = add(host, "scsi", session_name, adapter, NULL, NULL);
        g_autofree char *class_session = add(host, "iscsi_session", session_name, device,
                                             session_attributes, NULL);
        g_autofree char *connection = add(host, "iscsi_connection", connection_name, device,
                                          connection_attributes, NULL);
        g_autofree char *target = add(host, "scsi", target_name, device, NULL, NULL);
        g_autofree char *scsi = add_scsi(host, target, hctl);

        return add_disk(host, scsi, name, minor, properties);
}

static void link_device(const Host *host, const char *from, const char *folder, const char *to)
{
        g_autofree char *name = g_path_get_basename(to);
        g_autofree char *link = g_build_filename(folder, name, NULL);
        g_autoptr(GString) target = g_string_new("..");

        for (const char *p = from + strlen("/sys"); (p = strchr(p, '/')); p++)
                g_string_append(target, "/..");
        g_string_append(target, to + strlen("/sys"));
        umockdev_testbed_set_attribute_link(host->bed, from, link, target->str);
}

static void stack(const Host *host, const char *over, const char *under)
{
        link_device(host, over, "slaves", under);
        link_device(host, under, "holders", over);
}

static void remove_link(const Host *host, const char *from, const char *link)
{
        g_autofree char *root = umockdev_testbed_get_root_dir(host->bed);
        g_autofree char *path = g_build_filename(root, from, link, NULL);

        g_assert_cmpint(g_unlink(path), ==, 0);
}

static void unplug(const Host *host, const char *device)
{
        umockdev_testbed_uevent(host->bed, device, "remove");
        umockdev_testbed_remove_device(host->bed, device);
}

static void add_map(const Host *host, const char *guid, const char *const *paths)
{
        g_autofree char *uuid = g_strconcat("mpath-", guid, NULL);
        g_autofree char *link = g_strconcat("/dev/mapper/mpatha /dev/disk/by-id/dm-name-mpatha "
                                            "/dev/disk/by-id/dm-uuid-mpath-",
                                            guid, NULL);
        const char *attributes[] = {"dev",    "253:0",   "size", "65536", "dm/name",
                                    "mpatha", "dm/uuid", uuid,   NULL};
        const char *properties[] = {"DEVNAME",  "/dev/dm-0", "DEVTYPE", "disk",    "MAJOR",
                                    "253",      "MINOR",     "0",       "DM_UUID", uuid,
                                    "DEVLINKS", link,        NULL};
        g_autofree char *map = add(host, "block", "dm-0", NULL, attributes, properties);

        for (; *paths; paths++) {
                stack(host, map, *paths);
                umockdev_testbed_uevent(host->bed, *paths, "change");
        }
}

static const DlBlockDevice *path_of(const Host *host, const char *guid, unsigned index)
{
        const DlBlockLun *lun = dl_block_devices_find(host->devices, guid);

        g_assert_nonnull(lun);
        g_assert_cmpuint(lun->paths->len, >, index);
        return lun->paths->pdata[index];
}

/* ---- transports ----------------------------------------------------------------------------- */

static void test_iscsi(Host *host, gconstpointer data)
{
        g_autofree char *disk = add_iscsi_disk(host, 3, "sdb", 16, GUID);

        start(host);
        const DlBlockDevice *d = path_of(host, GUID, 0);
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

static void test_fibre_channel(Host *host, gconstpointer data)
{
        const char *port[] = {"port_name", "0x5006016041e0a5a5", NULL};
        const char *name[] = {"symbolic_name", "fcoe v0.1 over eth0", NULL};
        const char *properties[] = {"ID_BUS", "scsi", "ID_SERIAL", GUID, NULL};
        const char *by_path[] = {"ID_BUS",    "scsi",
                                 "ID_SERIAL", OTHER,
                                 "ID_PATH",   "pci-0000:05:00.0-fc-0x5006016841e0a5a5-lun-7",
                                 NULL};
        g_autofree char *adapter = add(host, "scsi", "host4", NULL, NULL, NULL);
        g_autofree char *rport = add(host, "scsi", "rport-4:0-1", adapter, NULL, NULL);
        g_autofree char *class_port = add(host, "fc_remote_ports", "rport-4:0-1", rport, port,
                                          NULL);
        g_autofree char *scsi = add_scsi(host, rport, "4:0:0:0");
        g_autofree char *disk = add_disk(host, scsi, "sdc", 32, properties);
        g_autofree char *other = add(host, "scsi", "host5", NULL, NULL, NULL);
        g_autofree char *bare = add_scsi(host, other, "5:0:0:7");
        g_autofree char *by_path_disk = add_disk(host, bare, "sdd", 48, by_path);

        start(host);
        const DlBlockDevice *d = path_of(host, GUID, 0);
        g_assert_cmpuint(d->transport, ==, DL_BLOCK_FC);
        g_assert_cmpstr(d->target, ==, "0x5006016041e0a5a5");
        g_assert_cmpstr(d->host, ==, "host4");
        d = path_of(host, OTHER, 0);
        g_assert_cmpuint(d->transport, ==, DL_BLOCK_FC);
        g_assert_cmpstr(d->target, ==, "0x5006016841e0a5a5");
        g_assert_cmpuint(d->lun, ==, 7);

        g_autofree char *class_host = add(host, "fc_host", "host4", adapter, name, NULL);
        umockdev_testbed_uevent(host->bed, disk, "change");
        wait_until(host, is_told, GUID);
        g_assert_cmpuint(path_of(host, GUID, 0)->transport, ==, DL_BLOCK_FCOE);
}

static void test_sas(Host *host, gconstpointer data)
{
        const char *address[] = {"sas_address", "0x5000c500a1b2c3d4", NULL};
        g_autofree char *adapter = add(host, "scsi", "host6", NULL, NULL, NULL);
        g_autofree char *end_device = add(host, "scsi", "end_device-6:0", adapter, NULL, NULL);
        g_autofree char *class_end = add(host, "sas_device", "end_device-6:0", end_device, address,
                                         NULL);
        g_autofree char *scsi = add_scsi(host, end_device, "6:0:0:0");
        g_autofree char *disk = add_disk(host, scsi, "sde", 64, NULL);

        set_page83(host, scsi, 1); /* udev has said nothing */
        start(host);
        const DlBlockDevice *d = path_of(host, "36001405a000000100000000000000001", 0);
        g_assert_cmpstr(dl_block_transport_name(d->transport), ==, "sas");
        g_assert_cmpstr(d->target, ==, "0x5000c500a1b2c3d4");
        g_assert_cmpuint(strlen(d->fingerprint), ==, 64);
}

static void test_nvme(Host *host, gconstpointer data)
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
        g_autofree char *parent = add(host, "nvme", "nvme0", NULL, controller, NULL);
        g_autofree char *disk = add(host, "block", "nvme0n4", parent, namespace, properties);

        umockdev_testbed_set_attribute_link(host->bed, disk, "device", "..");
        start(host);
        const DlBlockDevice *d = path_of(host, "eui.0025385b71b0a0b1", 0);
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

static bool has_failed_path(const Host *host, const void *guid)
{
        return path_of(host, guid, 0)->is_failed;
}

static bool has_good_path(const Host *host, const void *guid)
{
        return dl_block_device_is_active(path_of(host, guid, 0));
}

static bool has_no_map(const Host *host, const void *guid)
{
        return !dl_block_devices_find(host->devices, guid)->map &&
               *path_of(host, guid, 0)->map == '\0';
}

static void test_multipath(Host *host, gconstpointer data)
{
        g_autofree char *one = add_iscsi_disk(host, 1, "sdb", 16, GUID);
        g_autofree char *two = add_iscsi_disk(host, 2, "sdaa", 160, GUID);
        const char *paths[] = {one, two, NULL};

        start(host);
        const DlBlockLun *lun = dl_block_devices_find(host->devices, GUID);
        g_assert_cmpuint(lun->paths->len, ==, 2);
        g_assert_cmpstr(lun->node, ==, ""); /* of two paths neither */
        g_assert_cmpstr(path_of(host, GUID, 1)->name, ==, "sdaa");

        add_map(host, GUID, paths);
        wait_until(host, is_held, "sdaa");
        lun = dl_block_devices_find(host->devices, GUID);
        g_assert_nonnull(lun->map);
        g_assert_cmpuint(lun->paths->len, ==, 2);
        g_assert_cmpstr(lun->node, ==, "/dev/disk/by-id/dm-uuid-mpath-" GUID);
        g_assert_cmpuint(g_strv_length(lun->holders), ==, 0);
        g_assert_cmpstr(path_of(host, GUID, 0)->map, ==, "dm-0");

        umockdev_testbed_set_property(host->bed, "/sys/devices/dm-0", "DM_ACTION", "PATH_FAILED");
        umockdev_testbed_set_property(host->bed, "/sys/devices/dm-0", "DM_PATH", "8:16");
        umockdev_testbed_uevent(host->bed, "/sys/devices/dm-0", "change");
        wait_until(host, has_failed_path, GUID);
        g_assert_true(dl_block_device_is_active(path_of(host, GUID, 1)));
        umockdev_testbed_set_property(host->bed, "/sys/devices/dm-0", "DM_ACTION",
                                      "PATH_REINSTATED");
        umockdev_testbed_uevent(host->bed, "/sys/devices/dm-0", "change");
        wait_until(host, has_good_path, GUID);

        unplug(host, "/sys/devices/dm-0");
        remove_link(host, one, "holders/dm-0");
        remove_link(host, two, "holders/dm-0");
        wait_until(host, has_no_map, GUID);
}

/* The device mapper gives up on a path that has just gone; its number is another disk's next. */
static void test_number_again(Host *host, gconstpointer data)
{
        g_autofree char *one = add_iscsi_disk(host, 1, "sdb", 16, GUID);
        const char *paths[] = {one, NULL};

        start(host);
        add_map(host, GUID, paths);
        wait_until(host, is_held, "sdb");
        remove_link(host, one, "holders/dm-0");
        unplug(host, one);
        umockdev_testbed_set_property(host->bed, "/sys/devices/dm-0", "DM_ACTION", "PATH_FAILED");
        umockdev_testbed_set_property(host->bed, "/sys/devices/dm-0", "DM_PATH", "8:16");
        umockdev_testbed_uevent(host->bed, "/sys/devices/dm-0", "change");
        unplug(host, "/sys/devices/dm-0");
        wait_until(host, is_gone, GUID);
        g_autofree char *other = add_iscsi_disk(host, 2, "sdc", 16, OTHER);
        wait_until(host, is_there, OTHER);
        g_assert_true(has_good_path(host, OTHER));
}

/* No uevent tells this. */
static bool is_offline(const Host *host, const void *guid)
{
        return !dl_block_device_is_active(path_of(host, guid, 0));
}

static void test_state(Host *host, gconstpointer data)
{
        g_autofree char *disk = add_iscsi_disk(host, 1, "sdb", 16, GUID);
        g_autofree char *scsi = g_path_get_dirname(disk);

        start(host);
        umockdev_testbed_set_attribute(host->bed, scsi, "state", "transport-offline");
        wait_until(host, is_offline, GUID);
        g_assert_cmpstr(path_of(host, GUID, 0)->state, ==, "transport-offline");
        umockdev_testbed_set_attribute(host->bed, scsi, "state", "running");
        wait_until(host, has_good_path, GUID);
}

/* ---- who uses it ---------------------------------------------------------------------------- */

static bool is_used(const Host *host, const void *guid)
{
        const DlBlockLun *lun = dl_block_devices_find(host->devices, guid);

        return lun && lun->holders[0];
}

static bool is_unused(const Host *host, const void *guid)
{
        return !is_used(host, guid);
}

static void test_mount_and_swap(Host *host, gconstpointer data)
{
        const char *attributes[] = {"dev", "8:17", "size", "4096", "partition", "1", NULL};
        const char *properties[] = {"DEVNAME", "/dev/sdb1", "DEVTYPE", "partition", "MAJOR",
                                    "8",       "MINOR",     "17",      NULL};
        g_autofree char *disk = add_iscsi_disk(host, 1, "sdb", 16, GUID);
        g_autofree char *partition = add(host, "block", "sdb1", disk, attributes, properties);

        start(host);
        g_assert_true(is_unused(host, GUID));
        put(host, "mountinfo",
            "22 1 8:17 / /srv/two\\040words rw,relatime shared:1 - ext4 /dev/sdb1 rw\n"
            "nonsense\n\n1 2 3\n22 1 8:17 / / rw - \n");
        dl_block_devices_look(host->devices);
        wait_until(host, is_used, GUID);
        const DlBlockLun *lun = dl_block_devices_find(host->devices, GUID);
        g_assert_cmpuint(g_strv_length(lun->holders), ==, 1);
        g_assert_cmpstr(lun->holders[0], ==, "mount:/srv/two words");
        g_assert_false(lun->is_system);

        put(host, "mountinfo", "");
        dl_block_devices_look(host->devices);
        wait_until(host, is_unused, GUID);
        put(host, "swaps",
            "Filename\tType\tSize\n/dev/sdb1   partition\t1000\t0\t-2\n/f file 1 0\n");
        dl_block_devices_look(host->devices);
        wait_until(host, is_used, GUID);
        lun = dl_block_devices_find(host->devices, GUID);
        g_assert_cmpstr(lun->holders[0], ==, "swap:sdb1");
        g_assert_true(lun->is_system);
}

static void test_stacks(Host *host, gconstpointer data)
{
        const char *attributes[] = {"dev",         "253:7",   "size",  "4096", "dm/name",
                                    "my--vg-root", "dm/uuid", "LVM-x", NULL};
        const char *properties[] = {"DEVNAME", "/dev/dm-7", "DEVTYPE", "disk", "MAJOR",
                                    "253",     "MINOR",     "7",       NULL};
        g_autofree char *disk = add_iscsi_disk(host, 1, "sdb", 16, GUID);
        g_autofree char *link = g_strconcat(disk, "/holders/dm-7", NULL);

        start(host);
        put(host, "mountinfo", "22 1 253:7 / / rw shared:1 - ext4 /dev/mapper/my--vg-root rw\n");
        g_autofree char *volume = add(host, "block", "dm-7", NULL, attributes, properties);
        stack(host, volume, disk);
        dl_block_devices_look(host->devices);
        wait_until(host, is_used, GUID);
        const DlBlockLun *lun = dl_block_devices_find(host->devices, GUID);
        g_assert_cmpuint(g_strv_length(lun->holders), ==, 2);
        g_assert_cmpstr(lun->holders[0], ==, "lvm:my-vg/root");
        g_assert_cmpstr(lun->holders[1], ==, "mount:/");
        g_assert_true(lun->is_system);

        put(host, "mountinfo", "");
        remove_link(host, disk, "holders/dm-7");
        unplug(host, volume); /* of the disk there is no event */
        wait_until(host, is_unused, GUID);
}

/* ---- what nobody should say ----------------------------------------------------------------- */

static void test_properties(Host *host, gconstpointer data)
{
        g_autofree char *long_guid = g_strnfill(300, '3');
        const char *const bad[] = {"",       "3",         "3 6001", "36001/../x", "..",
                                   "36\001", "3\xff\xfe", "36%n",   long_guid};
        const char *ata[] = {"ID_BUS", "ata", "ID_SERIAL", "Disk_4711", NULL};
        const char *taken[] = {
                "ID_BUS", "ata", "ID_SERIAL", "Disk_4712", "DM_MULTIPATH_DEVICE_PATH", "1", NULL};
        g_autofree char *adapter = add(host, "scsi", "host7", NULL, NULL, NULL);

        for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
                const char *properties[] = {
                        "ID_BUS", "scsi",     "ID_SERIAL",
                        bad[i],   "DEVLINKS", "/dev/disk/by-id/../../sda /dev/disk/by-id/",
                        NULL};
                g_autofree char *hctl = g_strdup_printf("7:0:%u:0", i);
                g_autofree char *name = g_strdup_printf("sdx%c", 'a' + (int)i);
                g_autofree char *scsi = add_scsi(host, adapter, hctl);
                g_autofree char *disk = add_disk(host, scsi, name, 100 + i, properties);

                set_page83(host, scsi, (uint8_t)(0x10 + i));
        }
        g_autofree char *scsi_ata = add_scsi(host, adapter, "7:1:0:0");
        g_autofree char *disk_ata = add_disk(host, scsi_ata, "sdya", 200, ata);
        g_autofree char *scsi_taken = add_scsi(host, adapter, "7:2:0:0");
        g_autofree char *disk_taken = add_disk(host, scsi_taken, "sdyb", 201, taken);

        start(host);
        g_autoptr(GPtrArray) luns = dl_block_devices_list(host->devices);
        g_assert_cmpuint(luns->len, ==, G_N_ELEMENTS(bad) + 1);
        for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
                g_autofree char *guid = g_strdup_printf("36001405a0000001000000000000000%02x",
                                                        0x10 + i);

                g_assert_cmpstr(path_of(host, guid, 0)->node, ==, "");
        }
        g_assert_null(dl_block_devices_find(host->devices, "Disk_4711"));
        g_assert_nonnull(dl_block_devices_find(host->devices, "Disk_4712")); /* its map's, too */
}

static void test_attributes(Host *host, gconstpointer data)
{
        g_autofree char *disk = add_iscsi_disk(host, 1, "sdb", 16, GUID);
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
        start(host);
        const DlBlockDevice *d = path_of(host, GUID, 0);
        g_assert_cmpuint(d->size, ==, 0);
        g_assert_cmpuint(d->logical_block_size, ==, 0);
        g_assert_true(g_utf8_validate(d->vendor, -1, NULL));
        g_assert_null(strchr(d->vendor, '\033'));
        g_assert_cmpuint(strlen(d->product), ==, 255);

        umockdev_testbed_set_attribute(host->bed, scsi, "type", "5"); /* a CD-ROM, then */
        umockdev_testbed_uevent(host->bed, disk, "change");
        wait_until(host, is_gone, GUID);
}

/* ---- events --------------------------------------------------------------------------------- */

static void test_come_go_change(Host *host, gconstpointer data)
{
        start(host);
        g_autofree char *disk = add_iscsi_disk(host, 1, "sdb", 16, GUID);
        wait_until(host, is_there, GUID);
        g_hash_table_remove_all(host->told);
        umockdev_testbed_set_property(host->bed, disk, "ID_SERIAL", OTHER); /* the number again */
        umockdev_testbed_uevent(host->bed, disk, "change");
        wait_until(host, is_there, OTHER);
        g_assert_true(is_gone(host, GUID));
        g_assert_cmpuint(g_hash_table_size(host->told), ==, 2);

        g_hash_table_remove_all(host->told);
        umockdev_testbed_set_attribute(host->bed, disk, "size", "131072");
        umockdev_testbed_uevent(host->bed, disk, "change");
        wait_until(host, is_told, OTHER);
        g_assert_cmpuint(path_of(host, OTHER, 0)->size, ==, 64 << 20);
        unplug(host, disk);
        wait_until(host, is_gone, OTHER);
        g_assert_null(dl_block_devices_find_name(host->devices, "sdb"));
}

enum {
        FLOOD_DISKS = 100,
        FLOOD_EVENTS = 10000
};

static bool is_flooded(const Host *host, const void *what)
{
        g_autoptr(GPtrArray) luns = dl_block_devices_list(host->devices);

        for (unsigned i = 0; i < luns->len; i++) {
                const DlBlockLun *lun = luns->pdata[i];

                if (((const DlBlockDevice *)lun->paths->pdata[0])->size != 4096 * UINT64_C(512))
                        return false;
        }
        return luns->len == FLOOD_DISKS;
}

static double cpu(void)
{
        struct rusage usage;

        getrusage(RUSAGE_SELF, &usage);
        return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
               (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / G_USEC_PER_SEC;
}

/* The mocked socket holds less than the kernel's. */
static void drain(const Host *host)
{
        while (sd_event_run(host->event, 0) > 0)
                ;
}

static void test_flood(Host *host, gconstpointer data)
{
        g_autoptr(GPtrArray) disks = g_ptr_array_new_with_free_func(g_free);
        g_autofree char *adapter = add(host, "scsi", "host8", NULL, NULL, NULL);

        start(host);
        for (unsigned i = 0; i < FLOOD_DISKS; i++) {
                g_autofree char *guid = g_strdup_printf("36001405cccccccccccccccc%08x", i);
                g_autofree char *hctl = g_strdup_printf("8:0:0:%u", i);
                g_autofree char *name = g_strdup_printf("sdz%u", i);
                const char *properties[] = {"ID_BUS", "scsi", "ID_SERIAL", guid, NULL};
                g_autofree char *scsi = add_scsi(host, adapter, hctl);

                g_ptr_array_add(disks, add_disk(host, scsi, name, i, properties));
                umockdev_testbed_set_attribute(host->bed, disks->pdata[i], "size", "4096");
                drain(host);
        }
        g_autoptr(GTimer) timer = g_timer_new();
        double before = cpu();
        for (unsigned i = 0; i < FLOOD_EVENTS; i++) {
                umockdev_testbed_uevent(host->bed, disks->pdata[i % FLOOD_DISKS], "change");
                drain(host);
        }
        wait_until(host, is_flooded, NULL);
        g_test_message("%d events of %d disks: %.2f s, %.2f s of CPU (with the sender's)",
                       FLOOD_EVENTS, FLOOD_DISKS, g_timer_elapsed(timer, NULL), cpu() - before);
}

int main(int argc, char **argv)
{
        g_test_init(&argc, &argv, NULL);
#define ADD(name, test) g_test_add("/block-devices/" name, Host, NULL, begin, test, end)
        ADD("iscsi", test_iscsi);
        ADD("fibre-channel", test_fibre_channel);
        ADD("sas", test_sas);
        ADD("nvme", test_nvme);
        ADD("multipath", test_multipath);
        ADD("number-again", test_number_again);
        ADD("state", test_state);
        ADD("mount-and-swap", test_mount_and_swap);
        ADD("stacks", test_stacks);
        ADD("properties", test_properties);
        ADD("attributes", test_attributes);
        ADD("come-go-change", test_come_go_change);
        ADD("flood", test_flood);
#undef ADD
        return g_test_run();
}
