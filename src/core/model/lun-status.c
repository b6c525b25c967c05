/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Judging LUNs: what may be used, what is, and what its attachments count on. Loop thread only. */

#include "core/model/attachment-index.h"
#include "core/model/holders.h"
#include "core/model/lun-kernel.h"
#include "core/model/lun-private.h"
#include "core/steps/guest-size.h"

#include <string.h>

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

        if (lun->device_type != DL_DEVICE_TYPE_DISK &&
            lun->device_type != DL_DEVICE_TYPE_SIMPLE_DISK) {
                g_set_error(error, DL_ERROR, DL_ERROR_LUN_NOT_VISIBLE,
                            "%s is not a disk (peripheral device type %u)", lun->object.id,
                            lun->device_type);
                return false;
        }
        if (dl_lun_is_nameless(lun->object.id)) {
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
