/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* LUNs that the host's kernel sees. Owns nothing; the core has the DlBlockDevices. Loop thread
 * only. */

#include "core/model/lun-kernel.h"
#include "core/flows/missing.h"
#include "core/steps/guest-size.h"
#include "core/steps/kernel-connect.h"
#include "core/steps/path-watch.h"
#include "core/steps/size-watch.h"

#include "core/model/contents.h"
#include "core/model/foreign-use.h"

#include <string.h>

const DlBlockLun *dl_lun_kernel(const DlLun *lun)
{
        const DlCore *core = lun->object.core;

        return core->block_devices ? dl_block_devices_find(core->block_devices, lun->object.id)
                                   : NULL;
}

static const DlBlockDevice *device_at(const DlBlockLun *kernel, unsigned index)
{
        return kernel->paths->pdata[index];
}

bool dl_lun_kernel_sees(const DlLun *lun)
{
        const DlBlockLun *kernel = dl_lun_kernel(lun);

        for (unsigned i = 0; kernel && i < kernel->paths->len; i++)
                if (dl_block_device_is_active(device_at(kernel, i)))
                        return true;
        return false;
}

/* ---- ways ----------------------------------------------------------------------------------- */

static bool is_same_way(const DlPath *path, const DlBlockDevice *device)
{
        return device->transport == DL_BLOCK_ISCSI && path->lun == device->lun &&
               path->port == device->port && strcmp(path->iqn, device->target) == 0 &&
               strcmp(path->address, device->address) == 0;
}

/* ways: those that libiscsi has, first. */
static DlWay *find_way(GArray *ways, const DlBlockDevice *device)
{
        for (unsigned i = 0; i < ways->len; i++) {
                DlWay *way = &g_array_index(ways, DlWay, i);

                if (way->path && !way->device && is_same_way(way->path, device))
                        return way;
        }
        return NULL;
}

GArray *dl_lun_ways(const DlLun *lun)
{
        const DlBlockLun *kernel = dl_lun_kernel(lun);
        GArray *ways = g_array_new(FALSE, FALSE, sizeof(DlWay));

        for (unsigned i = 0; i < lun->paths->len; i++)
                g_array_append_val(ways, ((DlWay){lun->paths->pdata[i], NULL}));
        for (unsigned i = 0; kernel && i < kernel->paths->len; i++) {
                const DlBlockDevice *device = device_at(kernel, i);
                DlWay *way = find_way(ways, device);

                if (way)
                        way->device = device;
                else
                        g_array_append_val(ways, ((DlWay){NULL, device}));
        }
        return ways;
}

/* The two see it by connections of their own: one can have failed alone. */
const char *dl_way_state(const DlWay *way)
{
        const char *state = way->path ? dl_path_state(way->path) : "unknown";

        if (!way->device || strcmp(state, "failed") == 0)
                return state;
        return dl_block_device_is_active(way->device) ? "active" : "failed";
}

const char *dl_way_type(const DlWay *way)
{
        if (!way->device || way->device->transport == DL_BLOCK_ISCSI)
                return "iSCSI";
        return way->device->transport == DL_BLOCK_FC || way->device->transport == DL_BLOCK_FCOE
                       ? "FCP"
                       : "local";
}

const char *dl_way_transport(const DlWay *way)
{
        return dl_block_transport_name(way->device ? way->device->transport : DL_BLOCK_ISCSI);
}

uint64_t dl_way_capacity(const DlWay *way)
{
        return way->device && (!way->path || !way->path->seen) ? way->device->size
                                                               : way->path->capacity;
}

DlWayPlace dl_way_place(const DlWay *way)
{
        const DlPath *path = way->path;
        const DlBlockDevice *device = way->device;

        if (path)
                return (DlWayPlace){path->iqn, path->address, path->port, path->tpgt, path->lun};
        if (device->transport != DL_BLOCK_ISCSI)
                return (DlWayPlace){"", "", 0, 0, device->lun};
        return (DlWayPlace){device->target, device->address, device->port, device->tpgt,
                            device->lun};
}

const char *dl_lun_type(const DlLun *lun)
{
        g_autoptr(GArray) ways = dl_lun_ways(lun);
        const char *type = NULL;

        for (unsigned i = 0; i < ways->len; i++) {
                const char *other = dl_way_type(&g_array_index(ways, DlWay, i));

                if (type && strcmp(type, other) != 0)
                        return "MIXED";
                type = other;
        }
        return type ? type : "iSCSI";
}

bool dl_lun_is_of_type(const DlLun *lun, const char *type)
{
        g_autoptr(GArray) ways = dl_lun_ways(lun);

        for (unsigned i = 0; i < ways->len; i++)
                if (g_ascii_strcasecmp(type, dl_way_type(&g_array_index(ways, DlWay, i))) == 0)
                        return true;
        return g_ascii_strcasecmp(type, dl_lun_type(lun)) == 0;
}

/* ---- whether it may be used ----------------------------------------------------------------- */

/* What one side does not know does not tell them apart. */
static bool differ(const char *a, const char *b)
{
        return a && b && *a && *b && strcmp(a, b) != 0;
}

/* A LUN has one number at a target, and one size. */
static bool is_another_lun(const DlBlockDevice *a, const DlBlockDevice *b)
{
        return differ(a->serial, b->serial) || differ(a->fingerprint, b->fingerprint) ||
               (a->size > 0 && b->size > 0 && a->size != b->size && a->lun != b->lun &&
                *a->target && strcmp(a->target, b->target) == 0);
}

static bool check_same(const DlLun *lun, const char *name, const char *other, bool is_other,
                       uint64_t size, uint64_t other_size, GError **error)
{
        if (is_other)
                g_set_error(error, DL_ERROR, DL_ERROR_GUID_NOT_UNIQUE,
                            "Two different LUNs say that they are %s: %s and %s; correct the GUIDs "
                            "on the storage array",
                            lun->object.id, other, name);
        else if (size > 0 && other_size > 0 && size != other_size)
                g_set_error(error, DL_ERROR, DL_ERROR_PATHS_INCONSISTENT,
                            "The paths of %s show different sizes (%s %" G_GUINT64_FORMAT
                            " and %s %" G_GUINT64_FORMAT " bytes); refresh it",
                            lun->object.id, other, other_size, name, size);
        else
                return true;
        return false;
}

static bool check_devices(const DlLun *lun, const DlBlockLun *kernel, const DlPath *path,
                          GError **error)
{
        const DlBlockDevice *first = NULL;

        for (unsigned i = 0; i < kernel->paths->len; i++) {
                const DlBlockDevice *d = device_at(kernel, i);

                if (!dl_block_device_is_active(d))
                        continue;
                if (path && !check_same(lun, d->name, path->iqn,
                                        differ(path->serial, d->serial) ||
                                                differ(path->fingerprint, d->fingerprint),
                                        d->size, path->capacity, error))
                        return false;
                if (first && !check_same(lun, d->name, first->name, is_another_lun(first, d),
                                         d->size, first->size, error))
                        return false;
                first = d;
        }
        return !kernel->map || !first ||
               check_same(lun, kernel->map->name, first->name, false, kernel->map->size,
                          first->size, error);
}

bool dl_lun_kernel_check(const DlLun *lun, const DlPath *path, GError **error)
{
        const DlBlockLun *kernel = dl_lun_kernel(lun);

        if (!kernel)
                return true;
        if (kernel->is_system) {
                g_autofree char *holders = g_strjoinv(", ", kernel->holders);

                g_set_error(error, DL_ERROR, DL_ERROR_IN_USE,
                            "%s is a disk that this host itself runs from (%s); it is never given "
                            "to a VM",
                            lun->object.id, holders);
                return false;
        }
        return check_devices(lun, kernel, path, error);
}

bool dl_lun_check_host_use(const DlLun *lun, GError **error)
{
        const DlBlockLun *kernel = dl_lun_kernel(lun);
        g_autofree char *holders = NULL;

        if (!kernel || !kernel->holders[0])
                return true;
        holders = g_strjoinv(", ", kernel->holders);
        g_set_error(error, DL_ERROR, DL_ERROR_IN_USE,
                    "%s is used by this host (%s); unmount, deactivate or stop that first, or go "
                    "ahead with force",
                    lun->object.id, holders);
        return false;
}

/* ---- following ------------------------------------------------------------------------------ */

static bool is_seen_by_libiscsi(const DlLun *lun)
{
        for (unsigned i = 0; i < lun->paths->len; i++) {
                const DlPath *path = lun->paths->pdata[i];

                if (path->seen && path->last_error.code < 0)
                        return true;
        }
        return false;
}

static void take_text(DlLun *lun, char **text, const char *value, const char *property)
{
        if (dl_set_string(text, value))
                dl_object_changed(&lun->object, property);
}

#define TAKE_NUMBER(lun, field, value, property)                                                   \
        do {                                                                                       \
                if ((lun)->field != (value)) {                                                     \
                        (lun)->field = (value);                                                    \
                        dl_object_changed(&(lun)->object, property);                               \
                }                                                                                  \
        } while (0)

/* A map has the sizes; what it is, its paths say. */
static void take_over(DlLun *lun, const DlBlockLun *kernel)
{
        const DlBlockDevice *path = kernel->paths->len > 0 ? device_at(kernel, 0) : NULL;
        const DlBlockDevice *whole = kernel->map ? kernel->map : path;

        for (unsigned i = 0; i < kernel->paths->len; i++)
                if (dl_block_device_is_active(device_at(kernel, i))) {
                        path = device_at(kernel, i);
                        whole = kernel->map ? kernel->map : path;
                        break;
                }
        if (path) {
                take_text(lun, &lun->vendor, path->vendor, "Vendor");
                take_text(lun, &lun->product, path->product, "Product");
                take_text(lun, &lun->revision, path->revision, "Revision");
                take_text(lun, &lun->serial, path->serial, "Serial");
                lun->device_type = path->device_type;
                lun->is_nvme = path->kind == DL_BLOCK_NVME;
        }
        TAKE_NUMBER(lun, capacity, whole->size, "Capacity");
        TAKE_NUMBER(lun, logical_block_size, whole->logical_block_size, "LogicalBlockSize");
        TAKE_NUMBER(lun, physical_block_size, whole->physical_block_size, "PhysicalBlockSize");
        TAKE_NUMBER(lun, discard_max_bytes, whole->discard_max_bytes, "DiscardMaxBytes");
        lun->write_protected = whole->read_only;
}

static DlLun *ensure_lun(DlCore *core, const char *guid, bool *ret_is_new)
{
        DlLun *lun = DL_LOOKUP_LUN(core, guid);

        *ret_is_new = !lun;
        if (lun)
                return lun;
        if (!dl_core_has_room(core, DL_KIND_LUN, NULL)) {
                dl_warning("This host has more LUNs than ObjectsMax allows; %s is ignored", guid);
                return NULL;
        }
        return dl_lun_new(core, guid);
}

static void update(DlCore *core, const char *guid, const DlBlockLun *kernel)
{
        bool is_new, outdated;
        DlLun *lun = ensure_lun(core, guid, &is_new);

        if (!lun)
                return;
        outdated = lun->holders[0] && !kernel->holders[0]; /* it was used until now */
        if (outdated)
                dl_contents_outdate(lun);
        if (!is_seen_by_libiscsi(lun))
                take_over(lun, kernel);
        dl_object_changed(&lun->object, "Paths");
        dl_object_changed(&lun->object, "Type");
        if (is_new || outdated)
                dl_contents_want(lun);
        dl_lun_update(lun);
        if (is_new) {
                dl_object_publish(&lun->object);
                if (dl_lun_vdisk(lun))
                        dl_object_changed(&dl_lun_vdisk(lun)->object, "Lun");
        }
        dl_guest_sizes_follow_lun(lun);
        dl_missing_look_block(lun);
        dl_paths_watch(lun);
}

static void on_gone(DlLun *lun)
{
        (void)dl_last_error_set(&lun->mismatch, NULL);
        dl_object_changed(&lun->object, "Paths");
        dl_object_changed(&lun->object, "Type");
        dl_lun_remove_if_unneeded(lun);
}

/* Of a run before this one: nothing leads to them. */
static void forget_strays(DlCore *core)
{
        g_autoptr(GPtrArray) luns = dl_core_list(core, DL_KIND_LUN);

        for (unsigned i = 0; i < luns->len; i++)
                if (((DlLun *)luns->pdata[i])->paths->len == 0 && !dl_lun_kernel(luns->pdata[i]))
                        dl_lun_remove_if_unneeded(luns->pdata[i]);
}

static void on_changed(const char *const *guids, size_t n_guids, void *userdata)
{
        DlCore *core = userdata;

        for (size_t i = 0; i < n_guids; i++) {
                const DlBlockLun *kernel = dl_block_devices_find(core->block_devices, guids[i]);
                DlLun *lun = DL_LOOKUP_LUN(core, guids[i]);

                if (kernel)
                        update(core, guids[i], kernel);
                else if (lun)
                        on_gone(lun);
        }
        dl_foreign_use_resolve_all(core);
        if (!core->are_devices_known)
                forget_strays(core);
        core->are_devices_known = true;
        dl_kernel_connects_look(core);
        dl_core_check_ready(core);
}

int dl_luns_follow_kernel(DlCore *core)
{
        int r = dl_block_devices_new(core->event, NULL, on_changed, core, &core->block_devices);

        if (r < 0)
                return r;
        r = dl_size_events_new(core->event, dl_sizes_on_told, core, &core->size_events);
        if (r < 0)
                dl_warning("What targets tell of the sizes of LUNs cannot be followed, and takes a "
                           "refresh: %s",
                           g_strerror(-r));
        return 0;
}
