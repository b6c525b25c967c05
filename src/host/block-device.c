/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One block device, as udev and sysfs have it. The caller owns the result. One thread at a time. */

#include "host/block-device.h"

#include "host/block-transport.h"
#include "scsi/identity.h"

#include <string.h>

enum {
        GUID_MIN = 2, /* the prefix alone is no identity */
        GUID_MAX = 255,
        SECTOR = 512,    /* what sysfs counts in */
        LINKS_MAX = 256, /* in /dev, to one device */
};

#define BY_ID "/dev/disk/by-id/"

const char *dl_block_transport_name(DlBlockTransport transport)
{
        static const char *const names[_DL_BLOCK_TRANSPORT_MAX] = {
                [DL_BLOCK_LOCAL] = "local",
                [DL_BLOCK_ISCSI] = "iscsi",
                [DL_BLOCK_FC] = "fc",
                [DL_BLOCK_FCOE] = "fcoe",
                [DL_BLOCK_SAS] = "sas",
                [DL_BLOCK_NVME_PCIE] = "nvme",
                [DL_BLOCK_NVME_FABRICS] = "nvme-of",
        };

        return names[transport];
}

/* The kernel has these words for a device that takes commands; a map has none. */
bool dl_block_device_is_active(const DlBlockDevice *device)
{
        return !device->is_failed &&
               (*device->state == '\0' || strcmp(device->state, "live") == 0 ||
                strcmp(device->state, "running") == 0);
}

/* ---- identity ------------------------------------------------------------------------------- */

/* A name of a path of D-Bus, a row of the store, a link in /dev: nothing that others would read as
 * something else. */
static bool is_guid(const char *text)
{
        size_t n = text ? strlen(text) : 0;

        if (n < GUID_MIN || n > GUID_MAX || text[0] == '.')
                return false;
        for (const char *p = text; *p; p++)
                if (!g_ascii_isgraph(*p) || strchr("/\\\"'%$*?", *p))
                        return false;
        return true;
}

static uint8_t *read_page(const char *directory, const char *name, gsize *ret_size)
{
        g_autofree char *path = g_build_filename(directory, "device", name, NULL);
        char *bytes = NULL;

        *ret_size = 0;
        return g_file_get_contents(path, &bytes, ret_size, NULL) ? (uint8_t *)bytes : NULL;
}

static uint8_t *read_inquiry(const char *directory, DlScsiInquiry *ret)
{
        gsize size;
        g_autofree uint8_t *data = read_page(directory, "inquiry", &size);

        if (!data || dl_scsi_inquiry_parse(data, size, ret) < 0)
                return NULL;
        return g_steal_pointer(&data);
}

static char *guid_of_pages(const char *directory)
{
        DlScsiInquiry inquiry;
        gsize size83, size80;
        g_autofree uint8_t *data = read_inquiry(directory, &inquiry);
        g_autofree uint8_t *page83 = read_page(directory, "vpd_pg83", &size83);
        g_autofree uint8_t *page80 = read_page(directory, "vpd_pg80", &size80);

        return data ? dl_scsi_guid(&inquiry, page83, size83, page80, size80) : NULL;
}

static const char *property(struct udev_device *device, const char *name)
{
        const char *value = udev_device_get_property_value(device, name);

        return value ? value : "";
}

/* udev's ID_SERIAL is scsi_id's answer on a SCSI disk, and something else on others (ata_id, USB),
 * which counts only where multipath goes by it. */
static char *guid_of_scsi(struct udev_device *device, const char *directory)
{
        const char *serial = property(device, "ID_SERIAL");

        if (is_guid(serial) && (strcmp(property(device, "ID_BUS"), "scsi") == 0 ||
                                strcmp(property(device, "DM_MULTIPATH_DEVICE_PATH"), "1") == 0))
                return g_strdup(serial);
        return guid_of_pages(directory);
}

static char *find_guid(struct udev_device *device, const char *directory, DlBlockKind *ret_kind)
{
        const char *name = udev_device_get_sysname(device);
        g_autofree char *uuid = g_str_has_prefix(name, "dm-")
                                        ? dl_block_attribute(directory, "dm/uuid")
                                        : NULL;

        if (uuid && *uuid) {
                *ret_kind = DL_BLOCK_MAP;
                return g_str_has_prefix(uuid, "mpath-") ? g_strdup(uuid + 6) : NULL;
        }
        if (g_str_has_prefix(name, "nvme")) { /* multipath takes ID_WWN, which is this */
                g_autofree char *wwid = dl_block_attribute(directory, "wwid");

                *ret_kind = DL_BLOCK_NVME;
                return g_strdup(*wwid ? wwid : property(device, "ID_WWN"));
        }
        *ret_kind = DL_BLOCK_PATH;
        return guid_of_scsi(device, directory);
}

/* ---- its name for QEMU ---------------------------------------------------------------------- */

static unsigned rank_of_link(const DlBlockDevice *device, const char *name)
{
        g_autofree char *own = g_strconcat(device->kind == DL_BLOCK_MAP    ? "dm-uuid-mpath-"
                                           : device->kind == DL_BLOCK_NVME ? "nvme-"
                                                                           : "scsi-",
                                           device->guid, NULL);

        if (strcmp(name, own) == 0)
                return 0;
        if (device->kind == DL_BLOCK_MAP) /* by its name: that can be another map's tomorrow */
                return G_MAXUINT;
        return g_str_has_prefix(name, "wwn-") ? 1 : g_str_has_prefix(name, "scsi-") ? 2 : 3;
}

static char *find_node(struct udev_device *device, const DlBlockDevice *of)
{
        g_auto(GStrv) links = g_strsplit(property(device, "DEVLINKS"), " ", LINKS_MAX);
        const char *best = NULL;
        unsigned best_rank = G_MAXUINT;

        for (char **link = links; *link; link++) {
                const char *name = g_str_has_prefix(*link, BY_ID) ? *link + strlen(BY_ID) : NULL;

                if (!is_guid(name))
                        continue;
                unsigned rank = rank_of_link(of, name);
                if (rank < best_rank || (best && rank == best_rank && strcmp(*link, best) < 0)) {
                        best = *link;
                        best_rank = rank;
                }
        }
        return g_strdup(best ? best : "");
}

/* ---- what it is ----------------------------------------------------------------------------- */

static uint64_t read_number(const char *directory, const char *name, uint64_t max)
{
        g_autofree char *text = dl_block_attribute(directory, name);
        guint64 value;

        return g_ascii_string_to_unsigned(text, 10, 0, max, &value, NULL) ? value : 0;
}

static void read_sizes(DlBlockDevice *d)
{
        d->size = read_number(d->sysfs, "size", INT64_MAX / SECTOR) * SECTOR;
        d->logical_block_size = (uint32_t)read_number(d->sysfs, "queue/logical_block_size",
                                                      UINT32_MAX);
        d->physical_block_size = (uint32_t)read_number(d->sysfs, "queue/physical_block_size",
                                                       UINT32_MAX);
        d->discard_max_bytes = read_number(d->sysfs, "queue/discard_max_bytes", INT64_MAX);
        d->read_only = read_number(d->sysfs, "ro", 1) == 1;
}

static void read_scsi(DlBlockDevice *d)
{
        DlScsiInquiry inquiry;
        gsize size;
        g_autofree uint8_t *data = read_inquiry(d->sysfs, &inquiry);
        g_autofree uint8_t *page83 = read_page(d->sysfs, "vpd_pg83", &size);
        g_autofree char *fingerprint = dl_scsi_fingerprint(page83, size);
        g_autofree uint8_t *page80 = read_page(d->sysfs, "vpd_pg80", &size);
        g_autofree char *serial = page80 ? dl_scsi_vpd_serial(page80, size) : NULL;

        d->vendor = data ? g_strdup(inquiry.vendor) : dl_block_attribute(d->sysfs, "device/vendor");
        d->product = data ? g_strdup(inquiry.product)
                          : dl_block_attribute(d->sysfs, "device/model");
        d->revision = data ? g_strdup(inquiry.revision)
                           : dl_block_attribute(d->sysfs, "device/rev");
        d->device_type = data ? inquiry.device_type
                              : (uint8_t)read_number(d->sysfs, "device/type", 31);
        d->serial = dl_block_text(serial);
        d->fingerprint = fingerprint ? g_steal_pointer(&fingerprint) : g_strdup("");
}

/* With native multipath the namespace's device is the subsystem, which has the same files. */
static void read_nvme(DlBlockDevice *d)
{
        d->vendor = g_strdup("NVMe");
        d->product = dl_block_attribute(d->sysfs, "device/model");
        d->revision = dl_block_attribute(d->sysfs, "device/firmware_rev");
        d->serial = dl_block_attribute(d->sysfs, "device/serial");
}

/* Of multipath, over this device. */
static char *find_map(const char *directory)
{
        g_autofree char *path = g_build_filename(directory, "holders", NULL);
        g_autoptr(GDir) holders = g_dir_open(path, 0, NULL);
        const char *name;

        while (holders && (name = g_dir_read_name(holders))) {
                g_autofree char *holder = g_build_filename(path, name, NULL);
                g_autofree char *uuid = dl_block_attribute(holder, "dm/uuid");

                if (g_str_has_prefix(uuid, "mpath-"))
                        return dl_block_text(name);
        }
        return g_strdup("");
}

bool dl_block_device_read_uses(DlBlockDevice *device, const DlBlockUses *uses)
{
        bool is_system = false;
        g_auto(GStrv) holders = dl_block_uses_of(uses, device->sysfs, &is_system);

        if (device->holders && is_system == device->is_system &&
            g_strv_equal((const char *const *)holders, (const char *const *)device->holders))
                return false;
        g_strfreev(device->holders);
        device->holders = g_steal_pointer(&holders);
        device->is_system = is_system;
        return true;
}

char *dl_block_device_read_state(const DlBlockDevice *device)
{
        return device->kind == DL_BLOCK_MAP ? g_strdup("")
                                            : dl_block_attribute(device->sysfs, "device/state");
}

/* NULL becomes "". */
static void fill_texts(DlBlockDevice *d)
{
        char **texts[] = {&d->target,      &d->address, &d->host,     &d->hctl,
                          &d->vendor,      &d->product, &d->serial,   &d->state,
                          &d->fingerprint, &d->map,     &d->revision, &d->node};

        for (size_t i = 0; i < G_N_ELEMENTS(texts); i++)
                if (!*texts[i])
                        *texts[i] = g_strdup("");
}

static bool is_whole_disk(struct udev_device *device)
{
        return g_strcmp0(udev_device_get_devtype(device), "partition") != 0 &&
               g_strcmp0(udev_device_get_subsystem(device), "block") == 0 &&
               udev_device_get_sysname(device);
}

static bool is_disk_type(uint8_t type)
{
        return type == DL_SCSI_TYPE_DISK || type == DL_SCSI_TYPE_RBC || type == DL_SCSI_TYPE_ZBC;
}

DlBlockDevice *dl_block_device_read(struct udev_device *device, const DlBlockUses *uses)
{
        const char *directory = udev_device_get_syspath(device);
        g_autoptr(DlBlockDevice) d = g_new0(DlBlockDevice, 1);

        if (!is_whole_disk(device))
                return NULL;
        d->guid = find_guid(device, directory, &d->kind);
        if (!is_guid(d->guid))
                return NULL;
        d->name = dl_block_text(udev_device_get_sysname(device));
        d->sysfs = g_strdup(directory);
        d->devnum = udev_device_get_devnum(device);
        if (d->kind == DL_BLOCK_PATH)
                read_scsi(d);
        else if (d->kind == DL_BLOCK_NVME)
                read_nvme(d);
        if (!is_disk_type(d->device_type))
                return NULL;
        read_sizes(d);
        if (d->kind != DL_BLOCK_MAP)
                dl_block_transport_read(device, d);
        d->state = dl_block_device_read_state(d);
        d->map = find_map(directory);
        d->node = find_node(device, d);
        (void)dl_block_device_read_uses(d, uses);
        fill_texts(d);
        return g_steal_pointer(&d);
}

void dl_block_device_free(DlBlockDevice *d)
{
        if (!d)
                return;

        char *texts[] = {d->name,   d->sysfs,       d->guid,   d->target,  d->address,
                         d->host,   d->hctl,        d->vendor, d->product, d->revision,
                         d->serial, d->fingerprint, d->state,  d->map,     d->node};

        for (size_t i = 0; i < G_N_ELEMENTS(texts); i++)
                g_free(texts[i]);
        g_strfreev(d->holders);
        g_free(d);
}

bool dl_block_device_equal(const DlBlockDevice *a, const DlBlockDevice *b)
{
        const char *const texts[][2] = {
                {a->name, b->name},         {a->guid, b->guid},
                {a->target, b->target},     {a->address, b->address},
                {a->host, b->host},         {a->hctl, b->hctl},
                {a->vendor, b->vendor},     {a->product, b->product},
                {a->revision, b->revision}, {a->serial, b->serial},
                {a->state, b->state},       {a->map, b->map},
                {a->node, b->node},         {a->fingerprint, b->fingerprint},
        };

        for (size_t i = 0; i < G_N_ELEMENTS(texts); i++)
                if (strcmp(texts[i][0], texts[i][1]) != 0)
                        return false;
        return a->devnum == b->devnum && a->kind == b->kind && a->transport == b->transport &&
               a->port == b->port && a->tpgt == b->tpgt && a->session == b->session &&
               a->lun == b->lun && a->size == b->size &&
               a->logical_block_size == b->logical_block_size &&
               a->physical_block_size == b->physical_block_size &&
               a->discard_max_bytes == b->discard_max_bytes && a->read_only == b->read_only &&
               a->device_type == b->device_type && a->is_failed == b->is_failed &&
               a->is_system == b->is_system &&
               g_strv_equal((const char *const *)a->holders, (const char *const *)b->holders);
}
