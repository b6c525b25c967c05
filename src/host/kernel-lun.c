/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One LUN, as the kernel has it. Strings of sysfs are not trusted to be anything. Any thread. */

#include "host/kernel-lun.h"

#include "host/block-name.h"

#include <string.h>

enum {
        NAMES_MAX = 1024, /* holders, or paths */
        LINES_MAX = 4096, /* of a record of udev */
};

#define SECTOR 512 /* bytes: the kernel's unit of sizes, whatever the disk's is */

static char *read_text(const char *sysfs, const char *name, const char *file)
{
        g_autofree char *path = g_build_filename(sysfs, "class/block", name, file, NULL);
        char *text = NULL;

        return g_file_get_contents(path, &text, NULL, NULL) ? g_strstrip(text) : NULL;
}

static uint64_t read_size(const char *sysfs, const char *name)
{
        g_autofree char *text = read_text(sysfs, name, "size");
        guint64 sectors = 0;

        if (!text || !g_ascii_string_to_unsigned(text, 10, 0, G_MAXUINT64 / SECTOR, &sectors, NULL))
                return 0;
        return sectors * SECTOR;
}

static GPtrArray *read_names(const char *sysfs, const char *name, const char *folder)
{
        g_autofree char *path = g_build_filename(sysfs, "class/block", name, folder, NULL);
        g_autoptr(GDir) directory = g_dir_open(path, 0, NULL);
        GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
        const char *found;

        while (directory && names->len < NAMES_MAX && (found = g_dir_read_name(directory)))
                g_ptr_array_add(names, g_strdup(found));
        return names;
}

/* udev's record of a device, which is there when it has looked at it; NULL: it has not. */
static char *read_record(const char *sysfs, const char *udev, const char *name)
{
        g_autofree char *number = read_text(sysfs, name, "dev");
        g_autofree char *path = number ? g_strdup_printf("%s/data/b%s", udev, number) : NULL;
        char *record = NULL;

        if (path && !strchr(number, '/'))
                (void)g_file_get_contents(path, &record, NULL, NULL);
        return record;
}

/* "1": it is multipath's; "2": that is not known before another path comes, or some seconds go by
 * (find_multipaths "smart"). */
static bool is_claimed(const char *record)
{
        return strstr(record, "\nE:DM_MULTIPATH_DEVICE_PATH=1") ||
               strstr(record, "\nE:DM_MULTIPATH_DEVICE_PATH=2");
}

static bool is_map_ready(const char *sysfs, const char *udev, const char *map)
{
        g_autofree char *record = read_record(sysfs, udev, map);
        g_autofree char *suspended = read_text(sysfs, map, "dm/suspended");

        return record && g_strcmp0(suspended, "1") != 0;
}

bool dl_kernel_has_link(const char *sysfs, const char *udev, const char *name, const char *link)
{
        g_autofree char *record = read_record(sysfs, udev, name);
        g_auto(GStrv) lines = record ? g_strsplit(record, "\n", LINES_MAX) : NULL;

        for (char **line = lines; line && *line && g_str_has_prefix(link, "/dev/"); line++)
                if (g_str_has_prefix(*line, "S:") &&
                    g_str_equal(*line + strlen("S:"), link + strlen("/dev/")))
                        return true;
        return false;
}

char *dl_kernel_guid(const char *sysfs, const char *name)
{
        g_autoptr(GPtrArray) guids = g_ptr_array_new_with_free_func(g_free);

        dl_block_device_guids(sysfs, name, guids);
        return guids->len > 0 ? g_strdup(guids->pdata[0]) : NULL;
}

char *dl_kernel_map_over(const char *sysfs, const char *name)
{
        g_autoptr(GPtrArray) holders = read_names(sysfs, name, "holders");

        for (unsigned i = 0; i < holders->len; i++) {
                g_autofree char *uuid = read_text(sysfs, holders->pdata[i], "dm/uuid");

                if (uuid && g_str_has_prefix(uuid, "mpath-"))
                        return g_strdup(holders->pdata[i]);
        }
        return NULL;
}

GPtrArray *dl_kernel_map_paths(const char *sysfs, const char *map)
{
        return read_names(sysfs, map, "slaves");
}

static void look_at_map(const char *sysfs, const char *guid, const char *name, DlKernelLun *lun)
{
        g_autofree char *map = dl_kernel_map_over(sysfs, name);

        if (!map || !dl_block_device_is(sysfs, map, guid))
                return;
        lun->n_mapped++;
        if (!lun->map)
                lun->map = g_steal_pointer(&map);
}

static void look_at_disk(const char *sysfs, const char *udev, const char *guid, const char *name,
                         DlKernelLun *lun)
{
        g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
        g_autofree char *record = NULL;
        uint64_t size = read_size(sysfs, name);

        dl_block_device_guids(sysfs, name, names);
        if (names->len == 0) /* the kernel is still asking it */
                return;
        if (!g_ptr_array_find_with_equal_func(names, guid, g_str_equal, NULL)) {
                g_free(lun->wrong);
                lun->wrong = g_strdup(name);
                return;
        }
        record = read_record(sysfs, udev, name);
        if (size == 0 || !record)
                return;
        if (lun->n_paths++ == 0)
                lun->name = g_strdup(name);
        lun->is_claimed |= is_claimed(record);
        lun->sizes_differ |= lun->size > 0 && lun->size != size;
        lun->size = size;
        look_at_map(sysfs, guid, name, lun);
}

void dl_kernel_lun_look(const char *sysfs, const char *udev, const char *guid, GPtrArray *disks,
                        DlKernelLun *ret)
{
        *ret = (DlKernelLun){};
        for (unsigned i = 0; i < disks->len; i++)
                look_at_disk(sysfs, udev, guid, ((const DlKernelDisk *)disks->pdata[i])->name, ret);
        if (ret->map) {
                ret->map_ready = is_map_ready(sysfs, udev, ret->map);
                ret->map_resizes = read_size(sysfs, ret->map) != ret->size;
        }
}

void dl_kernel_lun_clear(DlKernelLun *lun)
{
        g_clear_pointer(&lun->map, g_free);
        g_clear_pointer(&lun->name, g_free);
        g_clear_pointer(&lun->wrong, g_free);
}
