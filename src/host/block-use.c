/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The tables of mounts and swap, and the tree of devices over devices. A DlBlockUses owns its
 * table; nothing else is kept. One thread at a time. */

#include "host/block-use.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

enum {
        TEXT_MAX = 255, /* of a value that is shown */
        FILE_MAX = 1 << 22,
        DEPTH_MAX = 6,     /* of devices over devices */
        HOLDERS_MAX = 256, /* of one disk */
        ENTRIES_MAX = 1024 /* of one directory */
};

struct DlBlockUses {
        GHashTable *of; /* dev_t → GPtrArray of "mount:/srv" */
};

/* ---- small files ---------------------------------------------------------------------------- */

char *dl_block_text(const char *text)
{
        g_autofree char *valid = g_utf8_make_valid(text ? text : "", -1);

        if (strlen(valid) > TEXT_MAX)
                *g_utf8_find_prev_char(valid, valid + TEXT_MAX + 1) = '\0';
        for (char *p = g_strstrip(valid); *p; p++)
                if (g_ascii_iscntrl(*p))
                        *p = '?';
        return g_steal_pointer(&valid);
}

char *dl_block_attribute(const char *directory, const char *name)
{
        g_autofree char *path = g_build_filename(directory, name, NULL);
        g_autofree char *text = NULL;

        if (!g_file_get_contents(path, &text, NULL, NULL))
                return g_strdup("");
        return dl_block_text(g_strchomp(text));
}

static bool has_file(const char *directory, const char *name)
{
        g_autofree char *path = g_build_filename(directory, name, NULL);

        return g_file_test(path, G_FILE_TEST_EXISTS);
}

static bool parse_devnum(const char *text, dev_t *ret)
{
        unsigned major, minor;

        if (sscanf(text, "%u:%u", &major, &minor) != 2)
                return false;
        *ret = makedev(major, minor);
        return true;
}

static GDir *open_directory(const char *directory, const char *name)
{
        g_autofree char *path = g_build_filename(directory, name, NULL);

        return g_dir_open(path, 0, NULL);
}

/* ---- mounts and swap ------------------------------------------------------------------------ */

static void add_use(DlBlockUses *uses, dev_t devnum, char *use)
{
        GPtrArray *of = g_hash_table_lookup(uses->of, &devnum);

        if (!of) {
                of = g_ptr_array_new_with_free_func(g_free);
                g_hash_table_insert(uses->of, g_memdup2(&devnum, sizeof devnum), of);
        }
        if (of->len < HOLDERS_MAX && !g_ptr_array_find_with_equal_func(of, use, g_str_equal, NULL))
                g_ptr_array_add(of, use);
        else
                g_free(use);
}

/* The device that a table calls "/dev/sda2" or "/dev/mapper/NAME": there need not be such a node
 * for us. */
static bool find_device(const char *node, dev_t *ret)
{
        const char *map = g_str_has_prefix(node, "/dev/mapper/") ? node + 12 : NULL;
        g_autoptr(GDir) devices = map ? g_dir_open("/sys/class/block", 0, NULL) : NULL;
        const char *entry;

        if (!map && g_str_has_prefix(node, "/dev/") && !strchr(node + 5, '/')) {
                g_autofree char *directory = g_build_filename("/sys/class/block", node + 5, NULL);
                g_autofree char *dev = dl_block_attribute(directory, "dev");

                return parse_devnum(dev, ret);
        }
        while (devices && (entry = g_dir_read_name(devices))) {
                g_autofree char *directory = g_build_filename("/sys/class/block", entry, NULL);
                g_autofree char *name = g_str_has_prefix(entry, "dm-")
                                                ? dl_block_attribute(directory, "dm/name")
                                                : NULL;
                g_autofree char *dev = NULL;

                if (g_strcmp0(name, map) != 0)
                        continue;
                dev = dl_block_attribute(directory, "dev");
                return parse_devnum(dev, ret);
        }
        return false;
}

/* "36 35 98:0 /root /srv rw … - ext4 /dev/sda1 rw": proc(5) */
static void add_mount(DlBlockUses *uses, const char *line)
{
        g_auto(GStrv) words = g_strsplit(line, " ", -1);
        unsigned n = g_strv_length(words), dash = 0;
        dev_t devnum;

        for (unsigned i = 6; i < n && !dash; i++)
                if (strcmp(words[i], "-") == 0)
                        dash = i;
        if (!dash || n < dash + 3 || !parse_devnum(words[2], &devnum))
                return;
        g_autofree char *source = g_strcompress(words[dash + 2]);
        if (major(devnum) == 0 && !find_device(source, &devnum)) /* btrfs makes up a number */
                return;
        g_autofree char *where = g_strcompress(words[4]); /* octal escapes */
        g_autofree char *text = dl_block_text(where);
        add_use(uses, devnum, g_strconcat("mount:", text, NULL));
}

/* "/dev/sda2 partition 1000 0 -2". A file is on something that is mounted. */
static void add_swap(DlBlockUses *uses, const char *line)
{
        g_auto(GStrv) words = g_strsplit_set(line, " \t", 2);
        dev_t devnum;

        if (!words[0] || !words[1] || !g_str_has_prefix(g_strchug(words[1]), "partition"))
                return;
        g_autofree char *node = g_strcompress(words[0]);
        if (!find_device(node, &devnum))
                return;
        g_autofree char *text = dl_block_text(strrchr(node, '/') + 1);
        add_use(uses, devnum, g_strconcat("swap:", text, NULL));
}

static void read_table(DlBlockUses *uses, const char *path,
                       void (*add)(DlBlockUses *uses, const char *line))
{
        g_autofree char *text = NULL;
        gsize size;

        if (!g_file_get_contents(path, &text, &size, NULL) || size > FILE_MAX)
                return;
        g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
        for (char **line = lines; *line; line++)
                add(uses, *line);
}

DlBlockUses *dl_block_uses_read(const char *mountinfo, const char *swaps)
{
        DlBlockUses *uses = g_new(DlBlockUses, 1);

        uses->of = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free,
                                         (GDestroyNotify)g_ptr_array_unref);
        read_table(uses, mountinfo, add_mount);
        read_table(uses, swaps, add_swap);
        return uses;
}

void dl_block_uses_free(DlBlockUses *uses)
{
        if (!uses)
                return;
        g_hash_table_unref(uses->of);
        g_free(uses);
}

static bool is_same(const GPtrArray *a, const GPtrArray *b)
{
        if (!a || !b || a->len != b->len)
                return false;
        for (unsigned i = 0; i < a->len; i++)
                if (strcmp(a->pdata[i], b->pdata[i]) != 0)
                        return false;
        return true;
}

GPtrArray *dl_block_uses_compare(const DlBlockUses *a, const DlBlockUses *b)
{
        GPtrArray *devnums = g_ptr_array_new();
        GHashTableIter iter;
        gpointer devnum, of;

        g_hash_table_iter_init(&iter, a->of);
        while (g_hash_table_iter_next(&iter, &devnum, &of))
                if (!is_same(of, g_hash_table_lookup(b->of, devnum)))
                        g_ptr_array_add(devnums, devnum);
        g_hash_table_iter_init(&iter, b->of);
        while (g_hash_table_iter_next(&iter, &devnum, &of))
                if (!g_hash_table_contains(a->of, devnum))
                        g_ptr_array_add(devnums, devnum);
        return devnums;
}

/* ---- what stands on a device ---------------------------------------------------------------- */

typedef struct Look {
        const DlBlockUses *uses;
        GPtrArray *holders;
        bool is_system;
} Look;

static bool is_system_use(const char *use)
{
        static const char *const places[] = {"/",    "/boot", "/boot/efi", "/boot/firmware", "/efi",
                                             "/usr", "/var",  "/etc",      "/usr/lib"};

        if (g_str_has_prefix(use, "swap:"))
                return true;
        for (size_t i = 0; i < G_N_ELEMENTS(places); i++)
                if (strcmp(use + strlen("mount:"), places[i]) == 0)
                        return true;
        return false;
}

static void add_holder(Look *look, char *holder)
{
        if (look->holders->len < HOLDERS_MAX &&
            !g_ptr_array_find_with_equal_func(look->holders, holder, g_str_equal, NULL))
                g_ptr_array_add(look->holders, holder);
        else
                g_free(holder);
}

/* "vg-lv": a hyphen in a name is written twice. */
static char *lvm_holder(const char *name)
{
        GString *s = g_string_new("lvm:");

        for (const char *p = name; *p; p++) {
                if (p[0] == '-' && p[1] == '-')
                        p++;
                else if (*p == '-') {
                        g_string_append_c(s, '/');
                        continue;
                }
                g_string_append_c(s, *p);
        }
        return g_string_free(s, FALSE);
}

/* NULL: it only passes on, as the map of a partition. */
static char *name_holder(const char *directory, const char *name)
{
        g_autofree char *uuid = dl_block_attribute(directory, "dm/uuid");
        g_autofree char *map = dl_block_attribute(directory, "dm/name");
        g_autofree char *kernel = dl_block_text(name);

        if (g_str_has_prefix(uuid, "LVM-"))
                return lvm_holder(map);
        if (g_str_has_prefix(uuid, "CRYPT-"))
                return g_strconcat("crypt:", map, NULL);
        if (g_str_has_prefix(uuid, "part"))
                return NULL;
        if (*map)
                return g_strconcat("dm:", map, NULL);
        return g_strconcat(g_str_has_prefix(name, "md") ? "md:" : "device:", kernel, NULL);
}

static void look_at(Look *look, const char *directory, unsigned depth);

/* They are called as the disk is, and a number: of the many other files none need be looked at. */
static void look_at_partitions(Look *look, const char *directory, unsigned depth)
{
        g_autofree char *disk = g_path_get_basename(directory);
        g_autoptr(GDir) entries = g_dir_open(directory, 0, NULL);
        const char *name;

        for (unsigned n = 0; entries && n < ENTRIES_MAX && (name = g_dir_read_name(entries)); n++) {
                g_autofree char *partition = NULL;

                if (!g_str_has_prefix(name, disk))
                        continue;
                partition = g_build_filename(directory, name, NULL);
                if (has_file(partition, "partition"))
                        look_at(look, partition, depth + 1);
        }
}

static void look_at_holders(Look *look, const char *directory, unsigned depth)
{
        g_autoptr(GDir) entries = open_directory(directory, "holders");
        const char *name;

        for (unsigned n = 0; entries && n < ENTRIES_MAX && (name = g_dir_read_name(entries)); n++) {
                g_autofree char *over = g_build_filename(directory, "holders", name, NULL);
                g_autofree char *uuid = dl_block_attribute(over, "dm/uuid");

                if (g_str_has_prefix(uuid, "mpath-"))
                        continue;
                char *holder = name_holder(over, name);
                if (holder)
                        add_holder(look, holder);
                look_at(look, over, depth + 1);
        }
}

static void look_at(Look *look, const char *directory, unsigned depth)
{
        g_autofree char *dev = dl_block_attribute(directory, "dev");
        dev_t devnum;
        const GPtrArray *of = parse_devnum(dev, &devnum)
                                      ? g_hash_table_lookup(look->uses->of, &devnum)
                                      : NULL;

        for (unsigned i = 0; of && i < of->len; i++) {
                look->is_system |= is_system_use(of->pdata[i]);
                add_holder(look, g_strdup(of->pdata[i]));
        }
        if (depth >= DEPTH_MAX)
                return;
        look_at_partitions(look, directory, depth);
        look_at_holders(look, directory, depth);
}

static int compare_texts(gconstpointer a, gconstpointer b)
{
        return strcmp(*(const char *const *)a, *(const char *const *)b);
}

GStrv dl_block_uses_of(const DlBlockUses *uses, const char *directory, bool *ret_is_system)
{
        Look look = {.uses = uses, .holders = g_ptr_array_new()};

        look_at(&look, directory, 0);
        g_ptr_array_sort(look.holders, compare_texts);
        g_ptr_array_add(look.holders, NULL);
        *ret_is_system = look.is_system;
        return (GStrv)g_ptr_array_free(look.holders, FALSE);
}

/* ---- what a device stands on ---------------------------------------------------------------- */

static void look_below(const char *directory, unsigned depth,
                       void (*found)(const char *directory, void *userdata), void *userdata)
{
        g_autoptr(GDir) entries = depth < DEPTH_MAX ? open_directory(directory, "slaves") : NULL;
        bool is_partition = has_file(directory, "partition");
        const char *name;
        unsigned n = 0;

        if (is_partition && depth < DEPTH_MAX) {
                g_autofree char *disk = g_path_get_dirname(directory);

                look_below(disk, depth + 1, found, userdata);
                return;
        }
        for (; entries && n < ENTRIES_MAX && (name = g_dir_read_name(entries)); n++) {
                g_autofree char *link = g_build_filename(directory, "slaves", name, NULL);
                g_autofree char *slave = realpath(link, NULL);

                if (slave)
                        look_below(slave, depth + 1, found, userdata);
        }
        g_autofree char *uuid = dl_block_attribute(directory, "dm/uuid");
        if (n == 0 || g_str_has_prefix(uuid, "mpath-"))
                found(directory, userdata);
}

void dl_block_below(const char *directory, void (*found)(const char *directory, void *userdata),
                    void *userdata)
{
        look_below(directory, 0, found, userdata);
}
