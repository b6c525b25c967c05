/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Names of block devices, in a sysfs made of plain files. One thread. */

#include "host/block-name.h"

#include <glib/gstdio.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#define GUID "36001405000000010000000000000000a"

typedef struct Sysfs {
        char *path;
} Sysfs;

static void put(const Sysfs *s, const char *file, const void *data, gssize size)
{
        g_autofree char *path = g_build_filename(s->path, file, NULL);
        g_autofree char *directory = g_path_get_dirname(path);
        g_autoptr(GError) error = NULL;

        g_assert_cmpint(g_mkdir_with_parents(directory, 0700), ==, 0);
        g_assert_true(g_file_set_contents(path, data, size, &error));
}

static void link_to(const Sysfs *s, const char *from, const char *to)
{
        g_autofree char *path = g_build_filename(s->path, from, NULL);
        g_autofree char *directory = g_path_get_dirname(path);

        g_assert_cmpint(g_mkdir_with_parents(directory, 0700), ==, 0);
        g_assert_cmpint(symlink(to, path), ==, 0);
}

/* sda of the GUID with a partition; mpatha over it; an LVM volume over both; as the kernel has it:
 * everything in class/block is a link. */
static void begin(Sysfs *s, gconstpointer data)
{
        static const uint8_t inquiry[96] = {0, 0, 6, 2, 91};
        static const uint8_t page83[] = {0, 0x83, 0, 20,   1, 3, 0, 16, 0x60, 0x01, 0x40, 0x50,
                                         0, 0,    0, 0x10, 0, 0, 0, 0,  0,    0,    0,    0x0a};

        s->path = g_dir_make_tmp("directlun-sysfs-XXXXXX", NULL);
        put(s, "devices/sda/device/inquiry", inquiry, sizeof inquiry);
        put(s, "devices/sda/device/vpd_pg83", page83, sizeof page83);
        put(s, "devices/sda/sda1/partition", "1\n", -1);
        put(s, "devices/dm-0/dm/name", "mpatha\n", -1);
        put(s, "devices/dm-0/dm/uuid", "mpath-" GUID "\n", -1);
        put(s, "devices/dm-1/dm/name", "vg0-lv0\n", -1);
        put(s, "devices/dm-1/dm/uuid", "LVM-abcdef\n", -1);
        put(s, "devices/dm-2/dm/name", "mpathap2\n", -1);
        put(s, "devices/dm-2/dm/uuid", "part2-mpath-3other\n", -1);
        put(s, "devices/vda/size", "8\n", -1);
        put(s, "devices/nvme0n1/nvme0n1p1/partition", "1\n", -1);
        link_to(s, "devices/dm-1/slaves/dm-2", "../../dm-2");
        link_to(s, "devices/dm-1/slaves/sda1", "../../sda/sda1");
        link_to(s, "devices/loop/slaves/loop", "../../loop"); /* nobody does, and it ends */
        link_to(s, "class/block/sda", "../../devices/sda");
        link_to(s, "class/block/sda1", "../../devices/sda/sda1");
        link_to(s, "class/block/dm-0", "../../devices/dm-0");
        link_to(s, "class/block/dm-1", "../../devices/dm-1");
        link_to(s, "class/block/dm-2", "../../devices/dm-2");
        link_to(s, "class/block/vda", "../../devices/vda");
        link_to(s, "class/block/nvme0n1", "../../devices/nvme0n1");
        link_to(s, "class/block/nvme0n1p1", "../../devices/nvme0n1/nvme0n1p1");
        link_to(s, "class/block/loop", "../../devices/loop");
}

static void remove_tree(const char *path)
{
        g_autoptr(GDir) dir = g_file_test(path, G_FILE_TEST_IS_SYMLINK) ? NULL
                                                                        : g_dir_open(path, 0, NULL);
        const char *name;

        while (dir && (name = g_dir_read_name(dir))) {
                g_autofree char *child = g_build_filename(path, name, NULL);

                remove_tree(child);
        }
        g_assert_cmpint(g_remove(path), ==, 0);
}

static void end(Sysfs *s, gconstpointer data)
{
        remove_tree(s->path);
        g_free(s->path);
}

static int compare(gconstpointer a, gconstpointer b)
{
        return strcmp(*(char *const *)a, *(char *const *)b);
}

static void expect(const Sysfs *s, const char *path, const char *expected)
{
        g_autoptr(GPtrArray) guids = g_ptr_array_new_with_free_func(g_free);

        g_autofree char *udev = g_build_filename(s->path, "udev", NULL);

        dl_block_name_guids(s->path, udev, path, guids);
        g_ptr_array_sort(guids, compare);
        g_ptr_array_add(guids, NULL);
        g_autofree char *list = g_strjoinv(" ", (char **)guids->pdata);
        if (strcmp(list, expected) != 0)
                g_error("%s: '%s', not '%s'", path, list, expected);
}

static void test_names(Sysfs *s, gconstpointer data)
{
        static const char *const names[] = {
                "/dev/disk/by-id/scsi-" GUID,
                "/dev/disk/by-id/scsi-" GUID "-part12",
                "/dev/disk/by-id/wwn-0x6001405000000010000000000000000a",
                "/dev/disk/by-id/wwn-0x6001405000000010000000000000000a-part1",
                "/dev/disk/by-id/dm-uuid-mpath-" GUID,
                "/dev/disk/by-id/dm-uuid-part1-mpath-" GUID,
                "/dev/disk/by-id/dm-name-" GUID,
                "/dev/mapper/" GUID,
                "/dev/mapper/" GUID "-part3",
        };

        for (size_t i = 0; i < G_N_ELEMENTS(names); i++)
                expect(s, names[i], GUID);
        expect(s, "/dev/disk/by-id/ata-DISK_1", "");
        expect(s, "/dev/disk/by-id/dm-uuid-LVM-mpath-x", "");
        expect(s, "/dev/disk/by-id/scsi-", "");
        expect(s, "/var/lib/disk.img", "");
        expect(s, "/dev/", "");
        expect(s, "/dev/..", "");
        expect(s, "", "");
}

/* All that the kernel's wwid can be: of the UUID, the NGUID, the EUI-64, or made up of the rest. */
static void test_nvme(Sysfs *s, gconstpointer data)
{
        static const char *const wwids[] = {
                "uuid.0b2e5a4c-6d5f-4f0e-9a6b-3c1d2e4f5a6b",
                "eui.0025385b71b0a0b10025385b71b0a0b1",
                "eui.0025385b71b0a0b1",
                "nvme.8086-30383135-4c696e7578-00000004",
        };

        for (size_t i = 0; i < G_N_ELEMENTS(wwids); i++) {
                g_autofree char *link = g_strconcat("/dev/disk/by-id/nvme-", wwids[i], NULL);
                g_autofree char *part = g_strconcat(link, "-part2", NULL);
                g_autofree char *map = g_strconcat("/dev/disk/by-id/dm-uuid-mpath-", wwids[i],
                                                   NULL);
                g_autofree char *line = g_strconcat(wwids[i], "\n", NULL);

                expect(s, link, wwids[i]);
                expect(s, part, wwids[i]);
                expect(s, map, wwids[i]);
                put(s, "devices/nvme0n1/wwid", line, -1);
                expect(s, "/dev/nvme0n1", wwids[i]);
                expect(s, "/dev/nvme0n1p1", wwids[i]);
        }
        expect(s, "/dev/disk/by-id/nvme-Linux_0815", ""); /* udev's older name: model and serial */
        expect(s, "/dev/disk/by-id/nvme-Linux_eui.0815", "");
        expect(s, "/dev/disk/by-id/nvme-eui.", "");
}

static void test_devices(Sysfs *s, gconstpointer data)
{
        expect(s, "/dev/sda", GUID);
        expect(s, "/dev/sda1", GUID);
        expect(s, "/dev/dm-0", GUID);
        expect(s, "/dev/dm-1", GUID " 3other");
        expect(s, "/dev/mapper/mpatha", GUID " mpatha");
        expect(s, "/dev/mapper/vg0-lv0", GUID " 3other vg0-lv0");
        expect(s, "/dev/vda", "");
        expect(s, "/dev/loop", "");
        expect(s, "/dev/sdz", "");
}

/* The folders of udev, called by the name of the link. */
static void claim(const Sysfs *s, const char *link, const char *number)
{
        g_autofree char *entry = g_build_filename("udev/links", link, number, NULL);

        put(s, entry, "", 0);
}

/* Names that only udev's records tell of. */
static void test_links(Sysfs *s, gconstpointer data)
{
        link_to(s, "dev/block/8:0", "../../devices/sda");
        link_to(s, "dev/block/8:1", "../../devices/sda/sda1");
        link_to(s, "dev/block/253:0", "../../devices/dm-0");
        link_to(s, "dev/block/253:1", "../../devices/dm-1");
        claim(s, "disk\\x2fby-path\\x2fpci-0000:03:00.0-fc-0x2100000000000001-lun-3", "b8:0");
        claim(s, "disk\\x2fby-uuid\\x2f0b2e5a4c", "b8:1");
        claim(s, "disk\\x2fby-uuid\\x2f0b2e5a4c", "b253:0"); /* which of them has it changes */
        claim(s, "vg0\\x2flv0", "b253:1");
        claim(s, "disk\\x2fby-label\\x2fodd", "b8:9"); /* gone */
        claim(s, "disk\\x2fby-label\\x2fodd", "c8:0"); /* no block device */
        claim(s, "disk\\x2fby-label\\x2fodd", "b8:0.tmp");
        claim(s, "disk\\x2fby-label\\x2fodd", "b8:");
        claim(s, "disk\\x2fby-label\\x2fodd", "b:0");
        expect(s, "/dev/disk/by-path/pci-0000:03:00.0-fc-0x2100000000000001-lun-3", GUID);
        expect(s, "/dev/disk/by-uuid/0b2e5a4c", GUID);
        expect(s, "/dev/vg0/lv0", GUID " 3other");
        claim(s, "disk\\x2fby-label\\x2fthe\\x5cx20shop", "b8:0"); /* "the shop" */
        expect(s, "/dev/disk/by-label/the\\x20shop", GUID);
        expect(s, "/dev/disk/by-label/odd", "");
        expect(s, "/dev/disk/by-label/none", "");
        expect(s, "/dev/disk/../disk/by-uuid/0b2e5a4c", "");
        expect(s, "/dev/disk/", "");
}

/* What a disk, a map, a namespace is, by any of its names; nothing that is on one. */
static void test_is(Sysfs *s, gconstpointer data)
{
        static const uint8_t inquiry[96] = {0, 0, 6, 2, 91};
        static const uint8_t page83[] = {0,   0x83, 0, 22, 2, 1,    0, 6, 'L', 'a', 'b', ' ', '4',
                                         '2', 1,    3, 0,  8, 0x33, 0, 0, 0,   0,   0,   0,   0x0b};
        static const struct {
                const char *name, *guid;
                bool is;
        } rows[] = {
                {"sda", GUID, true},       {"sda", "36001405000000010000000000000000b", false},
                {"sda", "", false},        {"sdb", "3330000000000000b", true},
                {"sdb", "1Lab_42", true}, /* as some udev rules prefer */
                {"sdb", "1Lab_43", false}, {"dm-0", GUID, true},
                {"dm-1", GUID, false}, /* a volume on it */
                {"dm-2", "3other", false}, {"sdz", GUID, false},
        };

        put(s, "devices/sdb/device/inquiry", inquiry, sizeof inquiry);
        put(s, "devices/sdb/device/vpd_pg83", page83, sizeof page83);
        link_to(s, "class/block/sdb", "../../devices/sdb");
        for (size_t i = 0; i < G_N_ELEMENTS(rows); i++)
                if (dl_block_device_is(s->path, rows[i].name, rows[i].guid) != rows[i].is)
                        g_error("%s and %s", rows[i].name, rows[i].guid);
}

int main(int argc, char **argv)
{
        g_test_init(&argc, &argv, NULL);
        g_test_add("/block-name/names", Sysfs, NULL, begin, test_names, end);
        g_test_add("/block-name/nvme", Sysfs, NULL, begin, test_nvme, end);
        g_test_add("/block-name/devices", Sysfs, NULL, begin, test_devices, end);
        g_test_add("/block-name/links", Sysfs, NULL, begin, test_links, end);
        g_test_add("/block-name/is", Sysfs, NULL, begin, test_is, end);
        return g_test_run();
}
