/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A host whose block devices are made by umockdev. One thread. */

#include "mock-host.h"

#include <dlfcn.h>
#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/socket.h>

/* ---- a socket that overflows ---------------------------------------------------------------- */

bool mock_loses_events;

/* In place of the C library's, for libudev. The mocked socket blocks its sender instead. */
__attribute__((visibility("default"))) ssize_t recvmsg(int fd, struct msghdr *message, int flags)
{
        ssize_t (*receive)(int, struct msghdr *, int) = dlsym(RTLD_NEXT, "recvmsg");
        ssize_t size = receive(fd, message, flags);

        if (!mock_loses_events || size < 0)
                return size;
        errno = ENOBUFS;
        return -1;
}

/* ---- what there is -------------------------------------------------------------------------- */

static void on_changed(const char *const *guids, size_t n, void *userdata)
{
        MockHost *host = userdata;

        for (size_t i = 0; i < n; i++) {
                guint times = GPOINTER_TO_UINT(g_hash_table_lookup(host->told, guids[i]));

                g_hash_table_replace(host->told, g_strdup(guids[i]), GUINT_TO_POINTER(times + 1));
        }
}

void mock_put(const MockHost *host, const char *name, const char *text)
{
        g_autofree char *path = g_build_filename(host->directory, name, NULL);

        g_assert_true(g_file_set_contents(path, text, -1, NULL));
}

void mock_begin(MockHost *host, gconstpointer data)
{
        host->bed = umockdev_testbed_new();
        g_assert_cmpint(sd_event_new(&host->event), >=, 0);
        host->directory = g_dir_make_tmp("directlun-block-XXXXXX", NULL);
        host->told = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
        mock_put(host, "mountinfo", "");
        mock_put(host, "swaps", "Filename Type Size Used Priority\n");
}

void mock_end(MockHost *host, gconstpointer data)
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
        ((MockHost *)userdata)->is_late = true;
        return 0;
}

void mock_wait_until(MockHost *host, MockCondition holds, const void *what)
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

static bool is_known(const MockHost *host, const void *what)
{
        return dl_block_devices_are_known(host->devices);
}

bool mock_is_there(const MockHost *host, const void *guid)
{
        return dl_block_devices_find(host->devices, guid) != NULL;
}

bool mock_is_gone(const MockHost *host, const void *guid)
{
        return !dl_block_devices_find(host->devices, guid);
}

bool mock_is_told(const MockHost *host, const void *guid)
{
        return g_hash_table_contains(host->told, guid);
}

/* By a map. */
bool mock_is_held(const MockHost *host, const void *name)
{
        const DlBlockDevice *device = dl_block_devices_find_name(host->devices, name);

        return device && *device->map;
}

void mock_start(MockHost *host)
{
        g_autofree char *mounts = g_build_filename(host->directory, "mountinfo", NULL);
        g_autofree char *swaps = g_build_filename(host->directory, "swaps", NULL);
        DlBlockSources sources = {mounts, swaps};

        g_assert_cmpint(
                dl_block_devices_new(host->event, &sources, on_changed, host, &host->devices), ==,
                0);
        mock_wait_until(host, is_known, NULL);
        g_hash_table_remove_all(host->told);
}

/* The device's directory, below /sys. */
char *mock_add(const MockHost *host, const char *subsystem, const char *name, const char *parent,
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
char *mock_add_disk(const MockHost *host, const char *scsi, const char *name, unsigned minor,
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

        char *path = mock_add(host, "block", name, scsi, attributes,
                              (const char *const *)all->pdata);
        umockdev_testbed_set_attribute(host->bed, path, "queue/logical_block_size", "512");
        umockdev_testbed_set_attribute(host->bed, path, "queue/physical_block_size", "4096");
        umockdev_testbed_set_attribute_link(host->bed, path, "device", "..");
        return path;
}

void mock_set_page83(const MockHost *host, const char *scsi, uint8_t last)
{
        uint8_t page[] = {0, 0x83, 0, 20,   1, 3, 0, 16, 0x60, 0x01, 0x40, 0x5a,
                          0, 0,    0, 0x10, 0, 0, 0, 0,  0,    0,    0,    last};
        uint8_t inquiry[36] = {0, 0, 6, 2, 31, 0, 0, 2};

        memcpy(inquiry + 8, "LIO-ORG one             4.0 ", 28);
        umockdev_testbed_set_attribute_binary(host->bed, scsi, "vpd_pg83", page, sizeof page);
        umockdev_testbed_set_attribute_binary(host->bed, scsi, "inquiry", inquiry, sizeof inquiry);
}

char *mock_add_scsi(const MockHost *host, const char *parent, const char *hctl)
{
        const char *attributes[] = {"state",  "running",  "type",  "0",
                                    "vendor", "LIO-ORG ", "model", "one             ",
                                    "rev",    "4.0 ",     NULL};

        return mock_add(host, "scsi", hctl, parent, attributes, NULL);
}

/* A path of a session; its disk has GUID. */
char *mock_add_iscsi_disk(const MockHost *host, unsigned session, const char *name, unsigned minor,
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
        g_autofree char *adapter = mock_add(host, "scsi", hostname, NULL, NULL, NULL);
        g_autofree char *device = mock_add(host, "scsi", session_name, adapter, NULL, NULL);
        g_autofree char *class_session = mock_add(host, "iscsi_session", session_name, device,
                                                  session_attributes, NULL);
        g_autofree char *connection = mock_add(host, "iscsi_connection", connection_name, device,
                                               connection_attributes, NULL);
        g_autofree char *target = mock_add(host, "scsi", target_name, device, NULL, NULL);
        g_autofree char *scsi = mock_add_scsi(host, target, hctl);

        return mock_add_disk(host, scsi, name, minor, properties);
}

static void link_device(const MockHost *host, const char *from, const char *folder, const char *to)
{
        g_autofree char *name = g_path_get_basename(to);
        g_autofree char *link = g_build_filename(folder, name, NULL);
        g_autoptr(GString) target = g_string_new("..");

        for (const char *p = from + strlen("/sys"); (p = strchr(p, '/')); p++)
                g_string_append(target, "/..");
        g_string_append(target, to + strlen("/sys"));
        umockdev_testbed_set_attribute_link(host->bed, from, link, target->str);
}

void mock_stack(const MockHost *host, const char *over, const char *under)
{
        link_device(host, over, "slaves", under);
        link_device(host, under, "holders", over);
}

void mock_remove_link(const MockHost *host, const char *from, const char *link)
{
        g_autofree char *root = umockdev_testbed_get_root_dir(host->bed);
        g_autofree char *path = g_build_filename(root, from, link, NULL);

        g_assert_cmpint(g_unlink(path), ==, 0);
}

void mock_unplug(const MockHost *host, const char *device)
{
        umockdev_testbed_uevent(host->bed, device, "remove");
        umockdev_testbed_remove_device(host->bed, device);
}

void mock_add_map(const MockHost *host, const char *guid, const char *const *paths)
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
        g_autofree char *map = mock_add(host, "block", "dm-0", NULL, attributes, properties);

        for (; *paths; paths++) {
                mock_stack(host, map, *paths);
                umockdev_testbed_uevent(host->bed, *paths, "change");
        }
}

const DlBlockDevice *mock_path_of(const MockHost *host, const char *guid, unsigned index)
{
        const DlBlockLun *lun = dl_block_devices_find(host->devices, guid);

        g_assert_nonnull(lun);
        g_assert_cmpuint(lun->paths->len, >, index);
        return lun->paths->pdata[index];
}
