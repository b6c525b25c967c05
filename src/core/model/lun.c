/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* LUNs by GUID: merging what portals answer, and judging what may be used. Loop thread only. */

#include "core/model/attachment-index.h"
#include "core/model/contents.h"
#include "core/model/holders.h"
#include "core/model/lun-kernel.h"
#include "core/steps/guest-size.h"
#include "core/steps/path-proof.h"

#include <stdlib.h>
#include <string.h>

#define DEVICE_TYPE_DISK        0x00 /* SPC-6, peripheral device types */
#define DEVICE_TYPE_SIMPLE_DISK 0x0e
#define DEVICE_TYPE_ZONED       0x14

const char *dl_lun_status_name(DlLunStatus status)
{
        static const char *const names[_DL_LUN_STATUS_MAX] = {
                [DL_LUN_FREE] = "free",
                [DL_LUN_USED] = "used",
                [DL_LUN_UNUSABLE] = "unusable",
                [DL_LUN_UNKNOWN] = "unknown",
        };

        return names[status];
}

const char *dl_path_state(const DlPath *path)
{
        if (path->last_error.code >= 0)
                return "failed";
        return path->seen ? "active" : "unknown";
}

const char *dl_path_user(const DlLun *lun, const char *iqn)
{
        DlTarget *target = DL_LOOKUP_TARGET(lun->object.core, iqn);

        return target && target->user ? target->user : "";
}

DlVDisk *dl_lun_vdisk(const DlLun *lun)
{
        return dl_vdisk_of_guid(lun->object.core, lun->object.id);
}

/* ---- paths --------------------------------------------------------------------------------- */

void dl_path_free(DlPath *path)
{
        g_free(path->iqn);
        g_free(path->address);
        g_free(path->serial);
        g_free(path->fingerprint);
        dl_last_error_clear(&path->last_error);
        g_free(path);
}

static bool is_on_portal(const DlPath *path, const char *iqn, const DlPortal *portal)
{
        return strcmp(path->iqn, iqn) == 0 &&
               (!portal ||
                (path->port == portal->port && strcmp(path->address, portal->address) == 0));
}

DlPath *dl_lun_find_path(const DlLun *lun, const char *iqn, const DlPortal *portal)
{
        for (unsigned i = 0; i < lun->paths->len; i++)
                if (is_on_portal(lun->paths->pdata[i], iqn, portal))
                        return lun->paths->pdata[i];
        return NULL;
}

/* A target is asked for its LUNs often, and has few of all. */
void dl_lun_add_path(DlLun *lun, DlPath *path)
{
        GHashTable *luns_by_target = lun->object.core->luns_by_target;
        GHashTable *luns = g_hash_table_lookup(luns_by_target, path->iqn);

        if (!luns) {
                luns = g_hash_table_new(NULL, NULL);
                g_hash_table_insert(luns_by_target, g_strdup(path->iqn), luns);
        }
        g_hash_table_add(luns, lun);
        g_ptr_array_add(lun->paths, path);
}

static void remove_path(DlLun *lun, unsigned index)
{
        GHashTable *luns_by_target = lun->object.core->luns_by_target;
        DlPath *path = g_ptr_array_steal_index(lun->paths, index);
        GHashTable *luns = g_hash_table_lookup(luns_by_target, path->iqn);

        if (!dl_lun_find_path(lun, path->iqn, NULL) && g_hash_table_remove(luns, lun) &&
            g_hash_table_size(luns) == 0)
                g_hash_table_remove(luns_by_target, path->iqn);
        dl_path_free(path);
}

GPtrArray *dl_target_luns(const DlTarget *target)
{
        GHashTable *luns = g_hash_table_lookup(target->object.core->luns_by_target,
                                               target->object.id);
        GPtrArray *list = g_ptr_array_new();
        GHashTableIter iter;
        gpointer lun;

        if (luns)
                g_hash_table_iter_init(&iter, luns);
        while (luns && g_hash_table_iter_next(&iter, &lun, NULL))
                g_ptr_array_add(list, lun);
        dl_core_sort(list);
        return list;
}

/* ---- construction -------------------------------------------------------------------------- */

DlLun *dl_lun_new(DlCore *core, const char *guid)
{
        DlLun *lun = g_new0(DlLun, 1);

        dl_object_init(&lun->object, core, DL_KIND_LUN, guid);
        lun->paths = g_ptr_array_new_with_free_func((GDestroyNotify)dl_path_free);
        lun->status = DL_LUN_UNKNOWN;
        lun->reason = g_strdup("");
        lun->holders = g_new0(char *, 1);
        lun->vendor = g_strdup("");
        lun->product = g_strdup("");
        lun->serial = g_strdup("");
        lun->revision = g_strdup("");
        lun->content_error.code = -1;
        lun->mismatch.code = -1;
        return lun;
}

void dl_lun_free(DlLun *lun)
{
        while (lun->paths->len > 0)
                remove_path(lun, lun->paths->len - 1);
        g_ptr_array_unref(lun->paths);
        g_free(lun->reason);
        g_strfreev(lun->holders);
        g_free(lun->vendor);
        g_free(lun->product);
        g_free(lun->serial);
        g_free(lun->revision);
        dl_content_free(lun->content);
        dl_last_error_clear(&lun->content_error);
        dl_last_error_clear(&lun->mismatch);
        dl_path_proof_cancel(lun->watch);
        g_free(lun->stored);
        dl_object_clear(&lun->object);
        g_free(lun);
}

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

                if (path->lun == number && is_on_portal(path, target->object.id, portal))
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

/* Named after where it is: it has no GUID (see lun_id()). */
static bool has_no_guid(const DlLun *lun)
{
        const DlPath *path = lun->paths->len > 0 ? lun->paths->pdata[0] : NULL;
        g_autofree char *id = path ? place_of(path->iqn, path->lun) : NULL;

        return g_strcmp0(id, lun->object.id) == 0;
}

/* ---- status -------------------------------------------------------------------------------- */

static const char *path_error(const DlLun *lun)
{
        for (unsigned i = 0; i < lun->paths->len; i++) {
                const DlPath *path = lun->paths->pdata[i];

                if (path->last_error.code >= 0)
                        return dl_last_error_message(&path->last_error);
        }
        return NULL;
}

/* A target shows a LUN whose size differs from portal to portal under one number. */
static bool is_another_lun(const DlPath *a, const DlPath *b)
{
        return strcmp(a->serial, b->serial) != 0 ||
               g_strcmp0(a->fingerprint, b->fingerprint) != 0 ||
               (a->capacity != b->capacity && a->lun != b->lun && strcmp(a->iqn, b->iqn) == 0);
}

bool dl_lun_check_usable(const DlLun *lun, GError **error)
{
        const DlPath *first = NULL;

        if (lun->device_type != DEVICE_TYPE_DISK && lun->device_type != DEVICE_TYPE_SIMPLE_DISK) {
                g_set_error(error, DL_ERROR, DL_ERROR_LUN_NOT_VISIBLE,
                            "%s is not a disk (peripheral device type %u)", lun->object.id,
                            lun->device_type);
                return false;
        }
        if (has_no_guid(lun)) {
                const char *why = path_error(lun);

                g_set_error(error, DL_ERROR, DL_ERROR_LUN_NOT_VISIBLE, "%s",
                            why ? why
                                : "The LUN says nothing by which it could be known again (VPD "
                                  "pages 0x83 and 0x80); correct that on the storage array");
                return false;
        }
        for (unsigned i = 0; i < lun->paths->len; i++) {
                const DlPath *path = lun->paths->pdata[i];

                if (!path->seen || path->last_error.code >= 0)
                        continue;
                if (!first) {
                        first = path;
                        continue;
                }
                if (is_another_lun(path, first)) {
                        g_set_error(
                                error, DL_ERROR, DL_ERROR_GUID_NOT_UNIQUE,
                                "Two different LUNs say that they are %s: LUN %" G_GUINT64_FORMAT
                                " of %s and LUN %" G_GUINT64_FORMAT
                                " of %s; correct the GUIDs on the storage array",
                                lun->object.id, first->lun, first->iqn, path->lun, path->iqn);
                        return false;
                }
                if (path->capacity != first->capacity) {
                        g_set_error(error, DL_ERROR, DL_ERROR_PATHS_INCONSISTENT,
                                    "The paths of %s show different sizes (%" G_GUINT64_FORMAT
                                    " and %" G_GUINT64_FORMAT " bytes); rescan its targets",
                                    lun->object.id, first->capacity, path->capacity);
                        return false;
                }
        }
        if (!dl_lun_kernel_check(lun, first, error))
                return false;
        uint64_t capacity = first ? first->capacity : lun->capacity;

        if ((first || dl_lun_kernel_sees(lun)) && capacity < lun->promised) {
                g_set_error(error, DL_ERROR, DL_ERROR_LUN_SHRUNK,
                            "%s has shrunk from %" G_GUINT64_FORMAT " to %" G_GUINT64_FORMAT
                            " bytes while VMs have it; give it its size back on the storage array, "
                            "or detach it from all VMs",
                            lun->object.id, lun->promised, capacity);
                return false;
        }
        if ((first || dl_lun_kernel_sees(lun)) && capacity == 0) {
                g_set_error(error, DL_ERROR, DL_ERROR_LUN_NOT_VISIBLE,
                            "%s has no medium, or no size", lun->object.id);
                return false;
        }
        return true;
}

static bool is_seen_by_libiscsi(const DlLun *lun)
{
        for (unsigned i = 0; i < lun->paths->len; i++) {
                const DlPath *path = lun->paths->pdata[i];

                if (path->seen && path->last_error.code < 0)
                        return true;
        }
        return false;
}

static bool is_seen(const DlLun *lun)
{
        return is_seen_by_libiscsi(lun) || dl_lun_kernel_sees(lun);
}

static DlLunStatus judge(const DlLun *lun, const char *const *holders, char **ret_reason)
{
        g_autoptr(GError) error = NULL;

        if (!dl_lun_check_usable(lun, &error)) {
                *ret_reason = g_strdup(error->message);
                return DL_LUN_UNUSABLE;
        }
        if (lun->mismatch.code >= 0 && !is_seen_by_libiscsi(lun)) {
                *ret_reason = g_strdup(dl_last_error_message(&lun->mismatch));
                return DL_LUN_UNUSABLE;
        }
        g_autofree char *content = lun->content && dl_content_is_used(lun->content)
                                           ? dl_content_to_text(lun->content)
                                           : NULL;
        if (holders[0]) {
                g_autofree char *list = g_strjoinv(", ", (char **)holders);

                *ret_reason = g_strdup_printf("Used by %s%s%s", list, content ? "; it has " : "",
                                              content ? content : "");
                return DL_LUN_USED;
        }
        if (is_seen(lun)) {
                *ret_reason = content ? g_strdup_printf("It has %s, the data of its vDisk", content)
                                      : g_strdup("");
                return DL_LUN_FREE;
        }
        const char *why = path_error(lun);
        if (!why && dl_lun_kernel(lun))
                why = "All paths of this host to it have failed";
        *ret_reason = g_strdup(why ? why : "Not seen since the service started");
        return why ? DL_LUN_UNUSABLE : DL_LUN_UNKNOWN;
}

/*
 * What its attachments count on: the most that the LUN has had while it had any, and what guests
 * see. Who has attachments is not known before libvirt was listed.
 */
static void update_promise(DlLun *lun)
{
        g_autoptr(GPtrArray) attachments = dl_attachments_of(lun->object.core, DL_BELONGS_TO_LUN,
                                                             lun->object.id);
        uint64_t promised = lun->promised;

        if (attachments->len == 0 && !lun->object.core->vms_known)
                return;
        if (attachments->len == 0)
                promised = 0;
        for (unsigned i = 0; i < attachments->len; i++)
                promised = MAX(promised, ((DlAttachment *)attachments->pdata[i])->guest_capacity);
        if (attachments->len > 0 && is_seen(lun) && dl_lun_check_usable(lun, NULL))
                promised = MAX(promised, lun->capacity);
        if (promised == lun->promised)
                return;
        lun->promised = promised;
        dl_persist_lun(lun);
}

void dl_lun_update(DlLun *lun)
{
        update_promise(lun);

        g_auto(GStrv) holders = dl_lun_holders(lun);
        g_autofree char *reason = NULL;
        DlLunStatus status = judge(lun, (const char *const *)holders, &reason);

        if (status != lun->status) {
                lun->status = status;
                dl_object_changed(&lun->object, "Status");
        }
        if (dl_set_string(&lun->reason, reason))
                dl_object_changed(&lun->object, "Reason");
        if (!g_strv_equal((const char *const *)holders, (const char *const *)lun->holders)) {
                GStrv old = lun->holders;

                lun->holders = g_steal_pointer(&holders);
                holders = old;
                dl_object_changed(&lun->object, "Holders");
        }
        dl_guest_sizes_judge(lun);
}

void dl_luns_update(DlCore *core)
{
        GHashTableIter iter;
        gpointer lun;

        g_hash_table_iter_init(&iter, core->objects[DL_KIND_LUN]);
        while (g_hash_table_iter_next(&iter, NULL, &lun))
                dl_lun_update(lun);
}

/* ---- merging ------------------------------------------------------------------------------- */

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

void dl_lun_remove_if_unneeded(DlLun *lun)
{
        g_autoptr(GPtrArray) users = dl_lun_users(lun);

        if (lun->paths->len > 0 || dl_lun_kernel(lun) || users->len > 0 || dl_lun_vdisk(lun)) {
                dl_lun_update(lun);
                dl_persist_lun(lun);
                return;
        }
        dl_persist_remove_lun(lun);
        dl_object_unpublish(&lun->object);
        dl_lun_free(lun);
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

/* No GUID has a slash: scsi_id replaces what may not be in a file name. */
bool dl_lun_is_nameless(const char *id)
{
        return strchr(id, '/') != NULL;
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

                        if (!is_on_portal(path, target->object.id, portal))
                                continue;
                        if (drop_path(lun, path, inspection, full, &touched)) {
                                remove_path(lun, k);
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
        return lun->device_type == DEVICE_TYPE_DISK ||
               lun->device_type == DEVICE_TYPE_SIMPLE_DISK || lun->device_type == DEVICE_TYPE_ZONED;
}

/* What could not tell its GUID on some portal for a while, and has been told on another. */
static void drop_placeholder(const DlTarget *target, uint64_t number)
{
        g_autofree char *place = place_of(target->object.id, number);
        DlLun *lun = DL_LOOKUP_LUN(target->object.core, place);

        if (!lun)
                return;
        while (lun->paths->len > 0)
                remove_path(lun, lun->paths->len - 1);
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

                        if (path->lun == number && is_on_portal(path, target->object.id, NULL) &&
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

void dl_luns_remove_paths(DlTarget *target, const DlPortal *portal)
{
        g_autoptr(GPtrArray) luns = dl_target_luns(target);

        for (unsigned i = 0; i < luns->len; i++) {
                DlLun *lun = luns->pdata[i];

                for (unsigned k = lun->paths->len; k-- > 0;)
                        if (is_on_portal(lun->paths->pdata[k], target->object.id, portal))
                                remove_path(lun, k);
                dl_object_changed(&lun->object, "Paths");
                dl_lun_remove_if_unneeded(lun);
        }
}

void dl_luns_unsee(DlTarget *target, const DlPortal *portal, const GError *error)
{
        g_autoptr(GPtrArray) luns = dl_target_luns(target);

        for (unsigned i = 0; i < luns->len; i++) {
                DlLun *lun = luns->pdata[i];

                for (unsigned k = 0; k < lun->paths->len; k++) {
                        DlPath *path = lun->paths->pdata[k];

                        if (!is_on_portal(path, target->object.id, portal))
                                continue;
                        path->seen = false;
                        dl_last_error_set(&path->last_error, error);
                        dl_object_changed(&lun->object, "Paths");
                }
                dl_lun_update(lun);
        }
}
