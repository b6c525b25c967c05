/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Names of block devices. Strings of sysfs are not trusted to be anything. Any thread. */

#include "host/block-name.h"

#include "scsi/identity.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum {
        DEPTH_MAX = 4,     /* of devices over devices */
        SLAVES_MAX = 1024, /* of one */
        CLAIMS_MAX = 1024, /* of one name */
};

static void add_guid(GPtrArray *guids, const char *guid, gsize size)
{
        g_autofree char *own = g_strndup(guid, size);

        if (*own && !g_ptr_array_find_with_equal_func(guids, own, g_str_equal, NULL))
                g_ptr_array_add(guids, g_steal_pointer(&own));
}

/* ---- names that tell ----------------------------------------------------------------------- */

/* Without the "-part3" of a partition. */
static gsize whole_size(const char *name)
{
        const char *part = g_strrstr(name, "-part");

        if (part && part[5] && strspn(part + 5, "0123456789") == strlen(part + 5))
                return (gsize)(part - name);
        return strlen(name);
}

/* "mpath-GUID", "part1-mpath-GUID": what multipath and kpartx call their maps. */
static bool add_of_dm_uuid(const char *uuid, GPtrArray *guids)
{
        const char *mpath = strstr(uuid, "mpath-");

        if (!mpath || (mpath != uuid && !g_str_has_prefix(uuid, "part")))
                return false;
        add_guid(guids, mpath + 6, whole_size(mpath + 6));
        return true;
}

/* The kernel's name of a namespace, which is the LUN's GUID as it stands; udev has names of model
 * and serial beside it, which do not tell. */
static void add_of_wwid(const char *wwid, GPtrArray *guids)
{
        static const char *const kinds[] = {"uuid.", "eui.", "nvme."};
        gsize size = whole_size(wwid);

        for (size_t i = 0; i < G_N_ELEMENTS(kinds); i++)
                if (g_str_has_prefix(wwid, kinds[i]) && size > strlen(kinds[i]))
                        add_guid(guids, wwid, size);
}

/* Of /dev/disk/by-id. */
static void add_of_id(const char *name, GPtrArray *guids)
{
        g_autofree char *guid = NULL;

        if (g_str_has_prefix(name, "scsi-"))
                add_guid(guids, name + 5, whole_size(name + 5));
        else if (g_str_has_prefix(name, "dm-uuid-"))
                (void)add_of_dm_uuid(name + 8, guids);
        else if (g_str_has_prefix(name, "dm-name-"))
                add_guid(guids, name + 8, whole_size(name + 8));
        else if (g_str_has_prefix(name, "wwn-0x")) {
                guid = g_strconcat("3", name + 6, NULL); /* SPC: a name of type NAA */
                add_guid(guids, guid, whole_size(guid));
        } else if (g_str_has_prefix(name, "nvme-")) {
                add_of_wwid(name + 5, guids);
        }
}

/* ---- sysfs --------------------------------------------------------------------------------- */

static char *read_text(const char *directory, const char *name)
{
        g_autofree char *path = g_build_filename(directory, name, NULL);
        char *text = NULL;

        if (!g_file_get_contents(path, &text, NULL, NULL))
                return NULL;
        return g_strstrip(text);
}

static bool read_bytes(const char *directory, const char *name, uint8_t **ret, gsize *ret_size)
{
        g_autofree char *path = g_build_filename(directory, name, NULL);

        return g_file_get_contents(path, (char **)ret, ret_size, NULL);
}

/* What the kernel has read of the disk. */
static void add_of_scsi(const char *directory, GPtrArray *guids)
{
        g_autofree uint8_t *inquiry_data = NULL, *page83 = NULL, *page80 = NULL;
        gsize inquiry_size, size83 = 0, size80 = 0;
        DlScsiInquiry inquiry;

        if (!read_bytes(directory, "device/inquiry", &inquiry_data, &inquiry_size) ||
            dl_scsi_inquiry_parse(inquiry_data, inquiry_size, &inquiry) < 0)
                return;
        (void)read_bytes(directory, "device/vpd_pg83", &page83, &size83);
        (void)read_bytes(directory, "device/vpd_pg80", &page80, &size80);
        g_autoptr(GPtrArray) names = dl_scsi_names(&inquiry, page83, size83, page80, size80);
        for (unsigned i = 0; i < names->len; i++)
                add_guid(guids, names->pdata[i], strlen(names->pdata[i]));
}

static void add_of_device(const char *directory, unsigned depth, GPtrArray *guids);

static void add_of_slaves(const char *directory, unsigned depth, GPtrArray *guids)
{
        g_autofree char *path = g_build_filename(directory, "slaves", NULL);
        g_autoptr(GDir) slaves = depth < DEPTH_MAX ? g_dir_open(path, 0, NULL) : NULL;
        const char *name;

        for (unsigned n = 0; slaves && n < SLAVES_MAX && (name = g_dir_read_name(slaves)); n++) {
                g_autofree char *slave = g_build_filename(path, name, NULL);

                add_of_device(slave, depth + 1, guids);
        }
}

static void add_of_device(const char *directory, unsigned depth, GPtrArray *guids)
{
        g_autofree char *uuid = read_text(directory, "dm/uuid");
        g_autofree char *wwid = read_text(directory, "wwid"); /* a namespace of NVMe has it here */
        g_autofree char *partition = uuid ? NULL : read_text(directory, "partition");
        g_autofree char *disk = NULL;

        if (uuid) {
                if (!add_of_dm_uuid(uuid, guids))
                        add_of_slaves(directory, depth, guids);
        } else if (partition && depth < DEPTH_MAX) {
                disk = g_build_filename(directory, "..", NULL);
                add_of_device(disk, depth + 1, guids);
        } else if (wwid) {
                add_of_wwid(wwid, guids);
        } else {
                add_of_scsi(directory, guids);
                add_of_slaves(directory, depth, guids);
        }
}

/* The map of this name, if the device mapper has one. */
static void add_of_map(const char *sysfs, const char *map, GPtrArray *guids)
{
        g_autofree char *path = g_build_filename(sysfs, "class/block", NULL);
        g_autoptr(GDir) devices = g_dir_open(path, 0, NULL);
        const char *name;

        while (devices && (name = g_dir_read_name(devices))) {
                g_autofree char *device = g_build_filename(path, name, NULL);
                g_autofree char *its = g_str_has_prefix(name, "dm-") ? read_text(device, "dm/name")
                                                                     : NULL;

                if (g_strcmp0(its, map) == 0)
                        add_of_device(device, 0, guids);
        }
}

/* "b253:0" */
static bool is_device_id(const char *text)
{
        gsize major = *text == 'b' ? strspn(text + 1, "0123456789") : 0;
        const char *minor = text + 1 + major;

        return major > 0 && *minor == ':' && minor[1] &&
               strspn(minor + 1, "0123456789") == strlen(minor + 1);
}

/* As udev calls the folder of a link. */
static char *escape_link(const char *link)
{
        GString *escaped = g_string_new(NULL);

        for (const char *p = link; *p; p++)
                if (*p == '/' || *p == '\\')
                        g_string_append_printf(escaped, "\\x%02x", (unsigned)*p);
                else
                        g_string_append_c(escaped, *p);
        return g_string_free(escaped, FALSE);
}

/*
 * The devices that claim a link by udev's rules: a path, a label, a logical volume. udev keeps a
 * folder for each link, with an entry for each claimant, called by its number. Which of them has
 * it now is not asked: it may be another's the moment after.
 */
static void add_of_link(const char *sysfs, const char *udev, const char *path, GPtrArray *guids)
{
        g_autofree char *escaped = escape_link(path + strlen("/dev/"));
        g_autofree char *folder = g_build_filename(udev, "links", escaped, NULL);
        g_autoptr(GDir) claims = g_dir_open(folder, 0, NULL);
        const char *name;

        for (unsigned n = 0; claims && n < CLAIMS_MAX && (name = g_dir_read_name(claims)); n++) {
                g_autofree char *device = NULL;

                if (!is_device_id(name))
                        continue;
                device = g_build_filename(sysfs, "dev/block", name + 1, NULL);
                add_of_device(device, 0, guids);
        }
}

void dl_block_device_guids(const char *sysfs, const char *name, GPtrArray *guids)
{
        g_autofree char *directory = g_build_filename(sysfs, "class/block", name, NULL);

        add_of_device(directory, 0, guids);
}

bool dl_block_device_is(const char *sysfs, const char *name, const char *guid)
{
        g_autofree char *directory = g_build_filename(sysfs, "class/block", name, NULL);
        g_autofree char *uuid = read_text(directory, "dm/uuid");
        g_autoptr(GPtrArray) guids = g_ptr_array_new_with_free_func(g_free);

        if (uuid && !g_str_has_prefix(uuid, "mpath-"))
                return false;
        add_of_device(directory, 0, guids);
        return g_ptr_array_find_with_equal_func(guids, guid, g_str_equal, NULL);
}

void dl_block_name_guids(const char *sysfs, const char *udev, const char *path, GPtrArray *guids)
{
        const char *name = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;

        if (*name == '\0' || strcmp(name, "..") == 0)
                return;
        if (g_str_has_prefix(path, "/dev/disk/by-id/")) {
                add_of_id(name, guids);
        } else if (g_str_has_prefix(path, "/dev/mapper/")) {
                add_guid(guids, name, whole_size(name)); /* multipath's default: the GUID */
                add_of_map(sysfs, name, guids);
        } else if (g_str_has_prefix(path, "/dev/") && !strchr(path + 5, '/')) {
                dl_block_device_guids(sysfs, name, guids);
                return;
        }
        if (g_str_has_prefix(path, "/dev/"))
                add_of_link(sysfs, udev, path, guids);
}
