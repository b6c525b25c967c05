/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Merging what portals answer into the LUNs that are known. Loop thread only. */

#include "core/model/contents.h"
#include "core/model/lun-private.h"

#include <stdlib.h>
#include <string.h>

/* The id of a LUN without a GUID. */
static char *place_of(const char *iqn, uint64_t number)
{
        return g_strdup_printf("%s/%" G_GUINT64_FORMAT, iqn, number);
}

static DlPath *ensure_path(DlLun *lun, const DlTarget *target, const DlPortal *portal,
                           uint64_t number)
{
        for (unsigned i = 0; i < lun->paths->len; i++) {
                DlPath *path = lun->paths->pdata[i];

                if (path->lun == number && dl_path_is_on_portal(path, target->object.id, portal))
                        return path;
        }

        DlPath *path = g_new0(DlPath, 1);
        *path = (DlPath){
                .iqn = g_strdup(target->object.id),
                .address = g_strdup(portal->address),
                .port = portal->port,
                .lun = number,
                .serial = g_strdup(""),
                .last_error.code = -1,
        };
        dl_lun_add_path(lun, path);
        return path;
}

static bool set_text(DlLun *lun, char **s, const char *value, const char *property)
{
        if (!dl_set_string(s, value))
                return false;
        dl_object_changed(&lun->object, property);
        return true;
}

/* Sets changed if the value is new; property may be NULL. */
#define SET_NUMBER(lun, field, value, property)                                                    \
        do {                                                                                       \
                if ((lun)->field != (value)) {                                                     \
                        (lun)->field = (value);                                                    \
                        changed = true;                                                            \
                        if (property)                                                              \
                                dl_object_changed(&(lun)->object, property);                       \
                }                                                                                  \
        } while (0)

/* What the LUN said of itself; of an incomplete answer only what was learnt. Whether it is new. */
static bool take_over(DlLun *lun, const DlIscsiLun *from)
{
        bool changed = false;

        changed |= set_text(lun, &lun->vendor, from->vendor, "Vendor");
        changed |= set_text(lun, &lun->product, from->product, "Product");
        changed |= set_text(lun, &lun->revision, from->revision, "Revision");
        changed |= set_text(lun, &lun->serial, from->serial, "Serial");
        SET_NUMBER(lun, device_type, from->device_type, NULL);
        if (from->error)
                return changed;
        SET_NUMBER(lun, capacity, from->capacity, "Capacity");
        SET_NUMBER(lun, logical_block_size, from->logical_block_size, "LogicalBlockSize");
        SET_NUMBER(lun, physical_block_size, from->physical_block_size, "PhysicalBlockSize");
        SET_NUMBER(lun, discard_max_bytes, from->discard_max_bytes, "DiscardMaxBytes");
        if (from->told_protection)
                SET_NUMBER(lun, write_protected, from->write_protected, NULL);
        return changed;
}

/* Why the LUN cannot be used on this path; NULL: it can. */
static GError *trouble(const DlPath *path, const DlIscsiLun *from)
{
        if (from->error)
                return g_error_copy(from->error);
        if (from->ready)
                return NULL;
        return g_error_new(DL_ERROR, DL_ERROR_LUN_NOT_VISIBLE,
                           "LUN %" G_GUINT64_FORMAT
                           " of target %s is not ready; bring it online on "
                           "the storage array",
                           from->lun, path->iqn);
}

/* Whether it is new. */
static bool take_over_path(DlPath *path, const DlPortal *portal, const DlIscsiLun *from)
{
        g_autoptr(GError) error = trouble(path, from);
        bool seen = error == NULL;
        bool changed = path->tpgt != portal->tpgt || path->capacity != from->capacity ||
                       path->seen != seen;

        path->tpgt = portal->tpgt;
        path->capacity = from->capacity;
        path->seen = seen;
        if (seen)
                path->seen_usec = dl_now();
        changed |= dl_set_string(&path->serial, from->serial);
        changed |= dl_set_string(&path->fingerprint, from->fingerprint);
        changed |= dl_last_error_set(&path->last_error, error);
        return changed;
}

static int compare_numbers(const void *a, const void *b)
{
        uint64_t x = *(const uint64_t *)a, y = ((const DlIscsiLun *)b)->lun;

        return x < y ? -1 : x > y;
}

static const DlIscsiLun *find_answer(const DlIscsiInspection *inspection, uint64_t number)
{
        return inspection->n_luns == 0 ? NULL
                                       : bsearch(&number, inspection->luns, inspection->n_luns,
                                                 sizeof *inspection->luns, compare_numbers);
}

/* The id of a LUN: its GUID, or, for one that could not tell it, where it is, so that people see it
 * and why it is unusable. */
static char *lun_id(const DlTarget *target, const DlIscsiLun *lun)
{
        return lun->guid ? g_strdup(lun->guid) : place_of(target->object.id, lun->lun);
}

/*
 * A path of this LUN, on this portal, after the portal answered: stays if the number still shows
 * this GUID; is failed if the number could not be inspected; goes (and this returns true) if it is
 * another LUN's, or nobody's.
 */
static bool drop_path(const DlLun *lun, DlPath *path, const DlIscsiInspection *inspection,
                      bool full, bool *touched)
{
        const DlIscsiLun *answer = find_answer(inspection, path->lun);

        if (!answer)
                return full;
        if (answer->guid)
                return strcmp(answer->guid, lun->object.id) != 0;
        if (dl_error_code(answer->error) == DL_ERROR_LUN_NOT_VISIBLE)
                return true;
        *touched |= path->seen;
        path->seen = false;
        *touched |= dl_last_error_set(&path->last_error, answer->error);
        return false;
}

static void drop_stale_paths(DlTarget *target, const DlPortal *portal,
                             const DlIscsiInspection *inspection, bool full)
{
        g_autoptr(GPtrArray) luns = dl_target_luns(target);

        for (unsigned i = 0; i < luns->len; i++) {
                DlLun *lun = luns->pdata[i];
                bool touched = false;

                for (unsigned k = lun->paths->len; k-- > 0;) {
                        DlPath *path = lun->paths->pdata[k];

                        if (!dl_path_is_on_portal(path, target->object.id, portal))
                                continue;
                        if (drop_path(lun, path, inspection, full, &touched)) {
                                dl_lun_remove_path(lun, k);
                                touched = true;
                        }
                }
                if (touched) {
                        dl_object_changed(&lun->object, "Paths");
                        dl_lun_remove_if_unneeded(lun);
                }
        }
}

/* Controllers, enclosures and tapes answer too, but nobody could use them as a disk. */
static bool is_block_device(const DlIscsiLun *lun)
{
        return lun->device_type == DL_DEVICE_TYPE_DISK ||
               lun->device_type == DL_DEVICE_TYPE_SIMPLE_DISK ||
               lun->device_type == DL_DEVICE_TYPE_ZONED;
}

/* What could not tell its GUID on some portal for a while, and has been told on another. */
static void drop_placeholder(const DlTarget *target, uint64_t number)
{
        g_autofree char *place = place_of(target->object.id, number);
        DlLun *lun = DL_LOOKUP_LUN(target->object.core, place);

        if (!lun)
                return;
        while (lun->paths->len > 0)
                dl_lun_remove_path(lun, lun->paths->len - 1);
        dl_lun_remove_if_unneeded(lun);
}

/* Its failure is told by the path of the LUN that is known to have the number. */
static bool is_known_at(const DlTarget *target, uint64_t number)
{
        g_autoptr(GPtrArray) luns = dl_target_luns(target);

        for (unsigned i = 0; i < luns->len; i++) {
                const DlLun *lun = luns->pdata[i];

                for (unsigned k = 0; k < lun->paths->len; k++) {
                        const DlPath *path = lun->paths->pdata[k];

                        if (path->lun == number &&
                            dl_path_is_on_portal(path, target->object.id, NULL) &&
                            !dl_lun_is_nameless(lun->object.id))
                                return true;
                }
        }
        return false;
}

void dl_luns_merge(DlTarget *target, const DlPortal *portal, const DlIscsiInspection *inspection,
                   bool full)
{
        DlCore *core = target->object.core;
        bool refused = false;

        drop_stale_paths(target, portal, inspection, full);
        for (size_t i = 0; i < inspection->n_luns; i++) {
                const DlIscsiLun *from = &inspection->luns[i];

                if (!is_block_device(from) ||
                    (!from->guid && dl_error_code(from->error) == DL_ERROR_LUN_NOT_VISIBLE))
                        continue;
                if (from->guid)
                        drop_placeholder(target, from->lun);
                else if (from->error && is_known_at(target, from->lun))
                        continue;

                g_autofree char *id = lun_id(target, from);
                DlLun *lun = DL_LOOKUP_LUN(core, id);
                bool is_new = !lun;
                if (is_new && (refused = refused || !dl_core_has_room(core, DL_KIND_LUN, NULL)))
                        continue;
                if (is_new)
                        lun = dl_lun_new(core, id);
                bool is_other = take_over(lun, from);
                bool is_seen_anew = take_over_path(ensure_path(lun, target, portal, from->lun),
                                                   portal, from);
                if (full || is_seen_anew)
                        dl_contents_want(lun);
                if (is_seen_anew)
                        dl_object_changed(&lun->object, "Paths");
                else if (!is_other && !is_new)
                        continue; /* most looks bring nothing new */
                dl_lun_update(lun);
                if (is_new) {
                        DlVDisk *vdisk = dl_lun_vdisk(lun);

                        dl_object_publish(&lun->object);
                        if (vdisk && !core->original)
                                dl_object_changed(&vdisk->object, "Lun");
                }
                dl_persist_lun(lun);
        }
        if (refused)
                dl_warning("Target %s has more LUNs than ObjectsMax allows; the rest is ignored",
                           target->object.id);
        dl_object_changed(&target->object, "Luns");
}
