/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Owns the devices, and the LUNs that point to them. One thread at a time. */

#include "host/block-luns.h"

#include <string.h>

struct DlBlockTable {
        GHashTable *devices;   /* directory in sysfs → DlBlockDevice */
        GHashTable *by_devnum; /* dev_t → DlBlockDevice */
        GHashTable *by_name;   /* kernel name → DlBlockDevice */
        GHashTable *luns;      /* GUID → DlBlockLun */
        GHashTable *changed;   /* set of GUIDs */
};

static void lun_free(gpointer p)
{
        DlBlockLun *lun = p;

        g_free(lun->guid);
        g_ptr_array_unref(lun->paths);
        g_strfreev(lun->holders);
        g_free(lun);
}

DlBlockTable *dl_block_table_new(void)
{
        DlBlockTable *table = g_new(DlBlockTable, 1);

        *table = (DlBlockTable){
                .devices = g_hash_table_new_full(g_str_hash, g_str_equal, NULL,
                                                 (GDestroyNotify)dl_block_device_free),
                .by_devnum = g_hash_table_new(g_int64_hash, g_int64_equal),
                .by_name = g_hash_table_new(g_str_hash, g_str_equal),
                .luns = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, lun_free),
                .changed = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL),
        };
        return table;
}

void dl_block_table_free(DlBlockTable *table)
{
        if (!table)
                return;
        g_hash_table_unref(table->luns);
        g_hash_table_unref(table->by_devnum);
        g_hash_table_unref(table->by_name);
        g_hash_table_unref(table->devices);
        g_hash_table_unref(table->changed);
        g_free(table);
}

/* ---- one GUID ------------------------------------------------------------------------------- */

/* "sdb" before "sdaa", as the kernel counts. */
static int compare_names(gconstpointer a, gconstpointer b)
{
        const char *x = (*(const DlBlockDevice *const *)a)->name;
        const char *y = (*(const DlBlockDevice *const *)b)->name;
        size_t m = strlen(x), n = strlen(y);

        return m != n ? (m < n ? -1 : 1) : strcmp(x, y);
}

static void enter(DlBlockTable *table, const DlBlockDevice *device)
{
        DlBlockLun *lun = g_hash_table_lookup(table->luns, device->guid);

        if (!lun) {
                lun = g_new0(DlBlockLun, 1);
                *lun = (DlBlockLun){
                        .guid = g_strdup(device->guid),
                        .paths = g_ptr_array_new(),
                        .holders = g_new0(char *, 1),
                        .node = "",
                };
                g_hash_table_insert(table->luns, lun->guid, lun);
        }
        if (device->kind == DL_BLOCK_MAP) {
                lun->map = device;
                return;
        }
        g_ptr_array_add(lun->paths, (gpointer)device);
        g_ptr_array_sort(lun->paths, compare_names);
}

static void leave(DlBlockTable *table, const DlBlockDevice *device)
{
        DlBlockLun *lun = g_hash_table_lookup(table->luns, device->guid);

        if (lun->map == device)
                lun->map = NULL;
        g_ptr_array_remove(lun->paths, (gpointer)device);
        if (!lun->map && lun->paths->len == 0)
                g_hash_table_remove(table->luns, lun->guid);
}

static void add_holders(GPtrArray *all, const DlBlockDevice *device)
{
        for (char **holder = device->holders; *holder; holder++)
                if (!g_ptr_array_find_with_equal_func(all, *holder, g_str_equal, NULL))
                        g_ptr_array_add(all, g_strdup(*holder));
}

static void update_lun(DlBlockLun *lun)
{
        GPtrArray *holders = g_ptr_array_new();
        const DlBlockDevice *only = lun->paths->len == 1 ? lun->paths->pdata[0] : NULL;

        lun->is_system = lun->map && lun->map->is_system;
        if (lun->map)
                add_holders(holders, lun->map);
        for (unsigned i = 0; i < lun->paths->len; i++) {
                const DlBlockDevice *path = lun->paths->pdata[i];

                lun->is_system |= path->is_system;
                add_holders(holders, path);
        }
        g_ptr_array_add(holders, NULL);
        g_strfreev(lun->holders);
        lun->holders = (GStrv)g_ptr_array_free(holders, FALSE);
        lun->node = lun->map ? lun->map->node : only ? only->node : "";
}

/* ---- the table ------------------------------------------------------------------------------ */

void dl_block_table_touch(DlBlockTable *table, const DlBlockDevice *device)
{
        g_hash_table_add(table->changed, g_strdup(device->guid));
}

static void take_out(DlBlockTable *table, DlBlockDevice *device)
{
        dl_block_table_touch(table, device);
        leave(table, device);
        if (g_hash_table_lookup(table->by_devnum, &device->devnum) == device)
                g_hash_table_remove(table->by_devnum, &device->devnum);
        if (g_hash_table_lookup(table->by_name, device->name) == device)
                g_hash_table_remove(table->by_name, device->name);
        g_hash_table_remove(table->devices, device->sysfs);
}

bool dl_block_table_set(DlBlockTable *table, const char *sysfs, DlBlockDevice *device)
{
        DlBlockDevice *old = g_hash_table_lookup(table->devices, sysfs);

        if (!old && !device)
                return false;
        if (old && device && dl_block_device_equal(old, device)) {
                dl_block_device_free(device);
                return false;
        }
        if (old)
                take_out(table, old);
        if (device) {
                dl_block_table_touch(table, device);
                g_hash_table_replace(table->devices, device->sysfs, device);
                g_hash_table_replace(table->by_devnum, &device->devnum, device);
                g_hash_table_replace(table->by_name, device->name, device);
                enter(table, device);
        }
        return true;
}

DlBlockDevice *dl_block_table_get(const DlBlockTable *table, const char *sysfs)
{
        return g_hash_table_lookup(table->devices, sysfs);
}

DlBlockDevice *dl_block_table_get_devnum(const DlBlockTable *table, dev_t devnum)
{
        return g_hash_table_lookup(table->by_devnum, &devnum);
}

DlBlockDevice *dl_block_table_get_name(const DlBlockTable *table, const char *name)
{
        return g_hash_table_lookup(table->by_name, name);
}

const DlBlockLun *dl_block_table_lun(const DlBlockTable *table, const char *guid)
{
        return g_hash_table_lookup(table->luns, guid);
}

GHashTable *dl_block_table_devices(const DlBlockTable *table)
{
        return table->devices;
}

GHashTable *dl_block_table_luns(const DlBlockTable *table)
{
        return table->luns;
}

GPtrArray *dl_block_table_take_changed(DlBlockTable *table)
{
        GPtrArray *guids;
        GHashTableIter iter;
        gpointer guid;

        if (g_hash_table_size(table->changed) == 0)
                return NULL;
        guids = g_ptr_array_new_with_free_func(g_free);
        g_hash_table_iter_init(&iter, table->changed);
        while (g_hash_table_iter_next(&iter, &guid, NULL)) {
                DlBlockLun *lun = g_hash_table_lookup(table->luns, guid);

                if (lun)
                        update_lun(lun);
                g_hash_table_iter_steal(&iter);
                g_ptr_array_add(guids, guid);
        }
        return guids;
}
