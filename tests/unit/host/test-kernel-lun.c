/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the kernel has of one LUN, in a sysfs made of plain files. One thread. */

#include "host/kernel-lun.h"

#include <glib/gstdio.h>
#include <unistd.h>

#define GUID "36001405000000010000000000000000a"

typedef struct Sysfs {
        char *path, *udev;
        GPtrArray *disks;
} Sysfs;

static void put(const char *top, const void *data, gssize size, const char *format, ...)
        G_GNUC_PRINTF(4, 5);

static void put(const char *top, const void *data, gssize size, const char *format, ...)
{
        va_list arguments;
        g_autofree char *file = NULL, *path = NULL, *directory = NULL;

        va_start(arguments, format);
        file = g_strdup_vprintf(format, arguments);
        va_end(arguments);
        path = g_build_filename(top, file, NULL);
        directory = g_path_get_dirname(path);
        g_assert_cmpint(g_mkdir_with_parents(directory, 0700), ==, 0);
        g_assert_true(g_file_set_contents(path, data, size, NULL));
}

/* A disk of the GUID whose last byte is this one; udev has finished with it. */
static void add_disk(Sysfs *s, const char *name, uint8_t last, const char *sectors)
{
        static const uint8_t inquiry[96] = {0, 0, 6, 2, 91};
        const uint8_t page83[] = {0, 0x83, 0, 20,   1, 3, 0, 16, 0x60, 0x01, 0x40, 0x50,
                                  0, 0,    0, 0x10, 0, 0, 0, 0,  0,    0,    0,    last};
        DlKernelDisk *disk = g_new0(DlKernelDisk, 1);
        g_autofree char *number = g_strdup_printf("8:%u\n", s->disks->len);

        put(s->path, inquiry, sizeof inquiry, "class/block/%s/device/inquiry", name);
        put(s->path, page83, sizeof page83, "class/block/%s/device/vpd_pg83", name);
        put(s->path, sectors, -1, "class/block/%s/size", name);
        put(s->path, number, -1, "class/block/%s/dev", name);
        put(s->udev, "", 0, "data/b8:%u", s->disks->len);
        disk->name = g_strdup(name);
        g_ptr_array_add(s->disks, disk);
}

static void add_map(Sysfs *s, const char *sectors)
{
        put(s->path, "mpath-" GUID "\n", -1, "class/block/dm-0/dm/uuid");
        put(s->path, sectors, -1, "class/block/dm-0/size");
        put(s->path, "254:0\n", -1, "class/block/dm-0/dev");
}

static void map_path(Sysfs *s, const char *name)
{
        put(s->path, "", 0, "class/block/%s/holders/dm-0", name);
        put(s->path, "", 0, "class/block/dm-0/slaves/%s", name);
}

static DlKernelLun look(Sysfs *s)
{
        DlKernelLun lun;

        dl_kernel_lun_look(s->path, s->udev, GUID, s->disks, &lun);
        return lun;
}

static void begin(Sysfs *s, gconstpointer data)
{
        s->path = g_dir_make_tmp("directlun-sysfs-XXXXXX", NULL);
        s->udev = g_build_filename(s->path, "udev", NULL);
        s->disks = g_ptr_array_new_with_free_func(dl_kernel_disk_free);
}

static void finish(Sysfs *s, gconstpointer data)
{
        const char *argv[] = {"rm", "-rf", s->path, NULL};

        g_assert_true(g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL,
                                   NULL, NULL, NULL));
        g_ptr_array_unref(s->disks);
        g_free(s->path);
        g_free(s->udev);
}

/* As it comes into being: a disk, another one, the map over one, over both, its names, its size. */
static void test_usable(Sysfs *s, gconstpointer data)
{
        g_auto(DlKernelLun) none = look(s), one = {}, two = {}, both = {}, ready = {};
        g_autoptr(GPtrArray) paths = NULL;

        g_assert_cmpuint(none.n_paths, ==, 0);
        add_disk(s, "sda", 0x0a, "8\n");
        one = look(s);
        g_assert_cmpuint(one.n_paths, ==, 1);
        g_assert_cmpuint(one.size, ==, 4096);
        g_assert_null(one.map);

        add_disk(s, "sdb", 0x0a, "8\n");
        add_map(s, "0\n");
        map_path(s, "sda");
        two = look(s);
        g_assert_cmpuint(two.n_paths, ==, 2);
        g_assert_cmpuint(two.n_mapped, ==, 1);
        g_assert_cmpstr(two.map, ==, "dm-0");
        g_assert_true(two.map_resizes && !two.map_ready);

        map_path(s, "sdb");
        both = look(s);
        g_assert_cmpuint(both.n_mapped, ==, 2);

        add_map(s, "8\n");
        put(s->udev, "", 0, "data/b254:0");
        ready = look(s);
        g_assert_true(ready.map_ready && !ready.map_resizes && !ready.sizes_differ);
        g_assert_null(ready.wrong);
        paths = dl_kernel_map_paths(s->path, "dm-0");
        g_assert_cmpuint(paths->len, ==, 2);
}

static void test_not_yet(Sysfs *s, gconstpointer data)
{
        g_autofree char *record = NULL;
        g_auto(DlKernelLun) no_size = {}, no_udev = {};

        add_disk(s, "sda", 0x0a, "0\n");
        no_size = look(s);
        g_assert_cmpuint(no_size.n_paths, ==, 0);

        add_disk(s, "sdb", 0x0a, "8\n");
        record = g_build_filename(s->udev, "data/b8:1", NULL);
        g_assert_cmpint(unlink(record), ==, 0);
        no_udev = look(s);
        g_assert_cmpuint(no_udev.n_paths, ==, 0);
        g_assert_null(no_udev.wrong);
}

/* What udev's rules leave to multipath is not taken before it. */
static void test_claimed(Sysfs *s, gconstpointer data)
{
        g_auto(DlKernelLun) left = {}, claimed = {}, suspended = {};

        add_disk(s, "sda", 0x0a, "8\n");
        put(s->udev, "I:1\nE:DM_MULTIPATH_DEVICE_PATH=0\n", -1, "data/b8:0");
        left = look(s);
        g_assert_cmpstr(left.name, ==, "sda");
        g_assert_false(left.is_claimed);
        put(s->udev, "I:1\nE:DM_MULTIPATH_DEVICE_PATH=1\n", -1, "data/b8:0");
        claimed = look(s);
        g_assert_true(claimed.is_claimed);

        add_map(s, "8\n");
        map_path(s, "sda");
        put(s->udev, "", 0, "data/b254:0");
        put(s->path, "1\n", -1, "class/block/dm-0/dm/suspended");
        suspended = look(s);
        g_assert_false(suspended.map_ready);
}

static void test_inconsistent(Sysfs *s, gconstpointer data)
{
        g_auto(DlKernelLun) sizes = {}, wrong = {};

        add_disk(s, "sda", 0x0a, "8\n");
        add_disk(s, "sdb", 0x0a, "16\n");
        sizes = look(s);
        g_assert_true(sizes.sizes_differ);

        add_disk(s, "sdc", 0x0b, "8\n");
        wrong = look(s);
        g_assert_cmpstr(wrong.wrong, ==, "sdc");
}

/* A map of another LUN over the disk: the number was another's before. */
static void test_others_map(Sysfs *s, gconstpointer data)
{
        g_auto(DlKernelLun) lun = {};

        add_disk(s, "sda", 0x0a, "8\n");
        put(s->path, "mpath-3600other\n", -1, "class/block/dm-0/dm/uuid");
        map_path(s, "sda");
        lun = look(s);
        g_assert_cmpuint(lun.n_mapped, ==, 0);
        g_assert_null(lun.map);
        g_autofree char *over = dl_kernel_map_over(s->path, "sda");
        g_assert_cmpstr(over, ==, "dm-0");
}

int main(int argc, char **argv)
{
        g_test_init(&argc, &argv, NULL);
        g_test_add("/kernel-lun/usable", Sysfs, NULL, begin, test_usable, finish);
        g_test_add("/kernel-lun/not-yet", Sysfs, NULL, begin, test_not_yet, finish);
        g_test_add("/kernel-lun/claimed", Sysfs, NULL, begin, test_claimed, finish);
        g_test_add("/kernel-lun/inconsistent", Sysfs, NULL, begin, test_inconsistent, finish);
        g_test_add("/kernel-lun/others-map", Sysfs, NULL, begin, test_others_map, finish);
        return g_test_run();
}
