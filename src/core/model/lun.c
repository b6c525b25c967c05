/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* LUNs by GUID, and the paths by which libiscsi sees them. Loop thread only. */

#include "core/model/holders.h"
#include "core/model/lun-kernel.h"
#include "core/model/lun-private.h"
#include "core/steps/path-proof.h"
#include "core/steps/size-watch.h"

#include <string.h>

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

/* ---- paths ----------------------------------------------------------------------------------- */

void dl_path_free(DlPath *path)
{
        g_free(path->iqn);
        g_free(path->address);
        g_free(path->serial);
        g_free(path->fingerprint);
        dl_last_error_clear(&path->last_error);
        g_free(path);
}

bool dl_path_is_on_portal(const DlPath *path, const char *iqn, const DlPortal *portal)
{
        return strcmp(path->iqn, iqn) == 0 &&
               (!portal ||
                (path->port == portal->port && strcmp(path->address, portal->address) == 0));
}

DlPath *dl_lun_find_path(const DlLun *lun, const char *iqn, const DlPortal *portal)
{
        for (unsigned i = 0; i < lun->paths->len; i++)
                if (dl_path_is_on_portal(lun->paths->pdata[i], iqn, portal))
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

void dl_lun_remove_path(DlLun *lun, unsigned index)
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

void dl_luns_remove_paths(DlTarget *target, const DlPortal *portal)
{
        g_autoptr(GPtrArray) luns = dl_target_luns(target);

        for (unsigned i = 0; i < luns->len; i++) {
                DlLun *lun = luns->pdata[i];

                for (unsigned k = lun->paths->len; k-- > 0;)
                        if (dl_path_is_on_portal(lun->paths->pdata[k], target->object.id, portal))
                                dl_lun_remove_path(lun, k);
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

                        if (!dl_path_is_on_portal(path, target->object.id, portal))
                                continue;
                        path->seen = false;
                        dl_last_error_set(&path->last_error, error);
                        dl_object_changed(&lun->object, "Paths");
                }
                dl_lun_update(lun);
        }
}

/* ---- life ------------------------------------------------------------------------------------ */

/* No GUID has a slash: scsi_id replaces what may not be in a file name. */
bool dl_lun_is_nameless(const char *id)
{
        return strchr(id, '/') != NULL;
}

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
                dl_lun_remove_path(lun, lun->paths->len - 1);
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
        dl_size_watch_free(lun->size_watch);
        g_free(lun->stored);
        dl_object_clear(&lun->object);
        g_free(lun);
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
