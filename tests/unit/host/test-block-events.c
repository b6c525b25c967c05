/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Block devices that come, go and change, many at a time, and events that get lost. One thread. */

#include "mock-host.h"

#include <sys/resource.h>

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

/* The mocked socket holds less than the kernel's. */
static void drain(const MockHost *host)
{
        while (sd_event_run(host->event, 0) > 0)
                ;
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
        ADD("flood", test_flood);
#undef ADD
        return g_test_run();
}
