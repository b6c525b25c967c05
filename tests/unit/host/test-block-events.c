/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Block devices that come, go and change, many at a time, and events that get lost. One thread. */

#include "mock-host.h"

#include <string.h>
#include <sys/resource.h>
#include <sys/sysmacros.h>

/* ---- one at a time -------------------------------------------------------------------------- */

static void test_come_go_change(MockHost *host, gconstpointer data)
{
        mock_start(host);
        g_autofree char *disk = mock_add_iscsi_disk(host, 1, "sdb", 16, GUID);
        mock_wait_until(host, mock_is_there, GUID);
        g_hash_table_remove_all(host->told);
        umockdev_testbed_set_property(host->bed, disk, "ID_SERIAL", OTHER); /* the number again */
        umockdev_testbed_uevent(host->bed, disk, "change");
        mock_wait_until(host, mock_is_there, OTHER);
        g_assert_true(mock_is_gone(host, GUID));
        g_assert_cmpuint(g_hash_table_size(host->told), ==, 2);

        g_hash_table_remove_all(host->told);
        umockdev_testbed_set_attribute(host->bed, disk, "size", "131072");
        umockdev_testbed_uevent(host->bed, disk, "change");
        mock_wait_until(host, mock_is_told, OTHER);
        g_assert_cmpuint(mock_path_of(host, OTHER, 0)->size, ==, 64 << 20);
        mock_unplug(host, disk);
        mock_wait_until(host, mock_is_gone, OTHER);
        g_assert_null(dl_block_devices_find_name(host->devices, "sdb"));
}

/* Who has just had the kernel change something does not wait for udev to tell it. */
static void test_look_at(MockHost *host, gconstpointer data)
{
        g_autofree char *disk = mock_add_iscsi_disk(host, 1, "sdb", 16, GUID);

        mock_start(host);
        g_hash_table_remove_all(host->told);
        umockdev_testbed_set_attribute(host->bed, disk, "size", "131072");
        dl_block_devices_look_at(host->devices, GUID);
        g_assert_true(mock_is_told(host, GUID));
        g_assert_cmpuint(mock_path_of(host, GUID, 0)->size, ==, 64 << 20);
        dl_block_devices_look_at(host->devices, OTHER); /* there is none */
        g_assert_cmpuint(g_hash_table_size(host->told), ==, 1);
}

/* It is gone before anybody has looked. */
static void test_vanished(MockHost *host, gconstpointer data)
{
        mock_start(host);
        g_autofree char *disk = mock_add_iscsi_disk(host, 1, "sdb", 16, GUID);
        umockdev_testbed_remove_device(host->bed, disk);
        g_autofree char *other = mock_add_iscsi_disk(host, 2, "sdc", 32, OTHER);
        mock_wait_until(host, mock_is_there, OTHER);
        g_assert_true(mock_is_gone(host, GUID));
        g_assert_false(mock_is_told(host, GUID));

        umockdev_testbed_uevent(host->bed, other, "change"); /* the last that is heard of it */
        umockdev_testbed_remove_device(host->bed, other);
        mock_wait_until(host, mock_is_gone, OTHER);
}

/* The kernel gives its name and number to another disk in the same moment. */
static void test_name_again(MockHost *host, gconstpointer data)
{
        g_autofree char *disk = mock_add_iscsi_disk(host, 1, "sdb", 16, GUID);

        mock_start(host);
        mock_unplug(host, disk);
        mock_remove_link(host, "/sys/block", "sdb"); /* which umockdev leaves behind */
        g_autofree char *other = mock_add_iscsi_disk(host, 2, "sdb", 16, OTHER);
        mock_wait_until(host, mock_is_there, OTHER);
        mock_wait_until(host, mock_is_gone, GUID);
        const DlBlockDevice *d = mock_path_of(host, OTHER, 0);
        g_assert_true(dl_block_devices_find_name(host->devices, "sdb") == d);
        g_assert_true(dl_block_devices_find_devnum(host->devices, makedev(8, 16)) == d);
        g_assert_cmpuint(g_hash_table_size(host->told), ==, 2);
}

/* ---- many ----------------------------------------------------------------------------------- */

/* The mocked socket holds less than the kernel's. */
static void drain(const MockHost *host)
{
        while (sd_event_run(host->event, 0) > 0)
                ;
}

enum {
        LOSS_DISKS = 20,
        LOSS_GONE = 5,  /* the first of them go */
        LOSS_GROWN = 5, /* the next grow */
        LOSS_NEW = 5,   /* and some come */
};

static char *add_numbered(const MockHost *host, const char *adapter, unsigned i)
{
        g_autofree char *guid = g_strdup_printf("36001405dddddddddddddddd%08x", i);
        g_autofree char *hctl = g_strdup_printf("9:0:0:%u", i);
        g_autofree char *name = g_strdup_printf("sdy%u", i);
        const char *properties[] = {"ID_BUS", "scsi", "ID_SERIAL", guid, NULL};
        g_autofree char *scsi = mock_add_scsi(host, adapter, hctl);

        return mock_add_disk(host, scsi, name, i, properties);
}

/* Just what sysfs has now. */
static bool is_as_sysfs(const MockHost *host, const void *what)
{
        g_autoptr(GPtrArray) luns = dl_block_devices_list(host->devices);

        if (luns->len != LOSS_DISKS - LOSS_GONE + LOSS_NEW)
                return false;
        for (unsigned i = 0; i < luns->len; i++) {
                const DlBlockLun *lun = luns->pdata[i];
                const DlBlockDevice *d = lun->paths->pdata[0];
                unsigned number = i + LOSS_GONE;
                uint64_t sectors = number < LOSS_GONE + LOSS_GROWN ? 131072 : 65536;
                g_autofree char *guid = g_strdup_printf("36001405dddddddddddddddd%08x", number);

                if (strcmp(lun->guid, guid) != 0 || lun->paths->len != 1 ||
                    d->size != sectors * 512)
                        return false;
        }
        return true;
}

static void test_overflow(MockHost *host, gconstpointer data)
{
        g_autoptr(GPtrArray) disks = g_ptr_array_new_with_free_func(g_free);
        g_autofree char *adapter = mock_add(host, "scsi", "host9", NULL, NULL, NULL);

        for (unsigned i = 0; i < LOSS_DISKS; i++)
                g_ptr_array_add(disks, add_numbered(host, adapter, i));
        mock_start(host);
        mock_loses_events = true;
        for (unsigned i = 0; i < LOSS_GONE + LOSS_GROWN; i++) {
                if (i < LOSS_GONE) {
                        mock_unplug(host, disks->pdata[i]);
                } else {
                        umockdev_testbed_set_attribute(host->bed, disks->pdata[i], "size",
                                                       "131072");
                        umockdev_testbed_uevent(host->bed, disks->pdata[i], "change");
                }
                drain(host);
        }
        for (unsigned i = 0; i < LOSS_NEW; i++) {
                g_ptr_array_add(disks, add_numbered(host, adapter, LOSS_DISKS + i));
                drain(host);
        }
        mock_wait_until(host, is_as_sysfs, NULL);
        mock_loses_events = false;
        g_assert_cmpuint(g_hash_table_size(host->told), ==, LOSS_GONE + LOSS_GROWN + LOSS_NEW);

        mock_unplug(host, disks->pdata[LOSS_DISKS]); /* events are heard again */
        mock_wait_until(host, mock_is_gone, "36001405dddddddddddddddd00000014");
}

static void send_path_event(const MockHost *host, const char *action)
{
        umockdev_testbed_set_property(host->bed, "/sys/devices/dm-0", "DM_ACTION", action);
        umockdev_testbed_set_property(host->bed, "/sys/devices/dm-0", "DM_PATH", "8:16");
        umockdev_testbed_uevent(host->bed, "/sys/devices/dm-0", "change");
}

static bool is_failed(const MockHost *host, const void *guid)
{
        return mock_path_of(host, guid, 0)->is_failed;
}

static bool is_good(const MockHost *host, const void *guid)
{
        return !is_failed(host, guid);
}

/* Only an event tells that a path is good again. */
static void test_lost_reinstatement(MockHost *host, gconstpointer data)
{
        g_autofree char *disk = mock_add_iscsi_disk(host, 1, "sdb", 16, GUID);
        const char *paths[] = {disk, NULL};

        mock_start(host);
        mock_add_map(host, GUID, paths);
        mock_wait_until(host, mock_is_held, "sdb");
        send_path_event(host, "PATH_FAILED");
        mock_wait_until(host, is_failed, GUID);
        g_hash_table_remove_all(host->told);
        mock_loses_events = true;
        send_path_event(host, "PATH_REINSTATED");
        mock_wait_until(host, is_good, GUID);
        mock_loses_events = false;
        mock_wait_until(host, mock_is_told, GUID);
        send_path_event(host, "PATH_FAILED");
        mock_wait_until(host, is_failed, GUID);
}

enum {
        FLOOD_DISKS = 100,
        FLOOD_EVENTS = 10000
};

static bool is_flooded(const MockHost *host, const void *what)
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

static void test_flood(MockHost *host, gconstpointer data)
{
        g_autoptr(GPtrArray) disks = g_ptr_array_new_with_free_func(g_free);
        g_autofree char *adapter = mock_add(host, "scsi", "host8", NULL, NULL, NULL);

        mock_start(host);
        for (unsigned i = 0; i < FLOOD_DISKS; i++) {
                g_autofree char *guid = g_strdup_printf("36001405cccccccccccccccc%08x", i);
                g_autofree char *hctl = g_strdup_printf("8:0:0:%u", i);
                g_autofree char *name = g_strdup_printf("sdz%u", i);
                const char *properties[] = {"ID_BUS", "scsi", "ID_SERIAL", guid, NULL};
                g_autofree char *scsi = mock_add_scsi(host, adapter, hctl);

                g_ptr_array_add(disks, mock_add_disk(host, scsi, name, i, properties));
                umockdev_testbed_set_attribute(host->bed, disks->pdata[i], "size", "4096");
                drain(host);
        }
        g_autoptr(GTimer) timer = g_timer_new();
        double before = cpu();
        for (unsigned i = 0; i < FLOOD_EVENTS; i++) {
                umockdev_testbed_uevent(host->bed, disks->pdata[i % FLOOD_DISKS], "change");
                drain(host);
        }
        mock_wait_until(host, is_flooded, NULL);
        g_test_message("%d events of %d disks: %.2f s, %.2f s of CPU (with the sender's)",
                       FLOOD_EVENTS, FLOOD_DISKS, g_timer_elapsed(timer, NULL), cpu() - before);
}

int main(int argc, char **argv)
{
        g_test_init(&argc, &argv, NULL);
#define ADD(name, test)                                                                            \
        g_test_add("/block-events/" name, MockHost, NULL, mock_begin, test, mock_end)
        ADD("come-go-change", test_come_go_change);
        ADD("look-at", test_look_at);
        ADD("vanished", test_vanished);
        ADD("name-again", test_name_again);
        ADD("overflow", test_overflow);
        ADD("lost-reinstatement", test_lost_reinstatement);
        ADD("flood", test_flood);
#undef ADD
        return g_test_run();
}
