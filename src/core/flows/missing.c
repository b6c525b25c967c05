/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Bringing optional disks when they are reachable again. Loop thread only. */

#include "core/flows/missing.h"
#include "core/flows.h"
#include "core/model/attachment-index.h"
#include "core/steps/block-proof.h"
#include "core/steps/proof.h"

#include <string.h>

#define PAUSE_MAX 16 /* check intervals */

static bool misses(const DlAttachment *a, const DlTarget *target)
{
        return a->left_out && g_strcmp0(a->meta->iqn, target->object.id) == 0;
}

bool dl_target_is_missed(const DlTarget *target)
{
        GHashTableIter iter;
        gpointer a;

        g_hash_table_iter_init(&iter, target->object.core->objects[DL_KIND_ATTACHMENT]);
        while (g_hash_table_iter_next(&iter, NULL, &a))
                if (misses(a, target))
                        return true;
        return false;
}

static void say_why(DlAttachment *a, const GError *error)
{
        if (dl_last_error_set(&a->last_error, error))
                dl_object_changed(&a->object, "LastError");
}

/* Each try may have the VM stand still for about a second, for QEMU logs in meanwhile: a disk that
 * fails again and again is tried less and less often. */
static void try_later(DlAttachment *a)
{
        uint64_t interval = a->object.core->settings->check_interval_usec;

        a->retry_pause_usec = MIN(MAX(a->retry_pause_usec * 2, interval / 2), interval * PAUSE_MAX);
        a->retry_usec = dl_now() + a->retry_pause_usec;
}

static void on_plugged(DlJob *job, const GError *error, void *userdata)
{
        g_autofree char *id = userdata;
        DlCore *core = job->object.core;
        DlAttachment *a = DL_LOOKUP_ATTACHMENT(core, id);

        dl_core_take_call(core, id);
        if (!a || !a->left_out)
                return;
        try_later(a);
        if (!error)
                return;
        say_why(a, error);
        dl_notice("An optional disk of VM %s is there again, but cannot be plugged yet: %s",
                  a->vm->name, error->message);
}

static void plug(DlAttachment *a)
{
        DlCore *core = a->object.core;
        char *id = g_strdup(a->object.id);
        DlRequest request = {.done = on_plugged, .userdata = id};
        g_autoptr(GError) error = NULL;

        /* One at a time; its end brings us here again. */
        a->retry_usec = UINT64_MAX;
        dl_core_keep_call(core, id, g_free);
        if (dl_flow_plug_missing(a, &request, &error))
                return;
        dl_core_take_call(core, id);
        g_free(id);
        try_later(a);
        say_why(a, error);
}

static bool is_seen(const DlLun *lun, const DlTarget *target)
{
        for (unsigned i = 0; lun && i < lun->paths->len; i++) {
                const DlPath *path = lun->paths->pdata[i];

                if (path->seen && path->last_error.code < 0 &&
                    strcmp(path->iqn, target->object.id) == 0)
                        return true;
        }
        return false;
}

/* The target has answered. */
static void look_at(DlAttachment *a, const DlTarget *target)
{
        const DlLun *lun = DL_LOOKUP_LUN(a->object.core, a->meta->guid);
        g_autoptr(GError) error = NULL;

        if (a->retry_usec > dl_now())
                return;
        if (is_seen(lun, target)) {
                if (dl_lun_check_usable(lun, &error))
                        plug(a);
                else
                        say_why(a, error);
        } else if (a->last_error.code < 0 || a->last_error.code == DL_ERROR_PORTAL_UNREACHABLE) {
                g_set_error(&error, DL_ERROR, DL_ERROR_LUN_NOT_VISIBLE,
                            "Target %s does not show %s to this initiator; map it on the storage "
                            "array",
                            target->object.id, a->meta->guid);
                say_why(a, error);
        }
}

static void take_error_of_target(DlAttachment *a, const DlTarget *target)
{
        g_autoptr(GError) error = NULL;

        if (target->last_error.code < 0)
                return;
        error = g_error_new_literal(DL_ERROR, target->last_error.code,
                                    dl_last_error_message(&target->last_error));
        say_why(a, error);
}

void dl_missing_look(DlTarget *target)
{
        g_autoptr(GPtrArray) all = dl_core_list(target->object.core, DL_KIND_ATTACHMENT);

        for (unsigned i = 0; i < all->len; i++) {
                DlAttachment *a = all->pdata[i];

                if (!misses(a, target))
                        continue;
                if (target->state == DL_TARGET_FAILED)
                        take_error_of_target(a, target);
                else if (target->state == DL_TARGET_CONNECTED ||
                         target->state == DL_TARGET_DEGRADED)
                        look_at(a, target);
        }
}

void dl_missing_look_block(DlLun *lun)
{
        g_autoptr(GPtrArray)
                all = dl_attachments_of(lun->object.core, DL_BELONGS_TO_LUN, lun->object.id);

        for (unsigned i = 0; dl_lun_kernel(lun) && i < all->len; i++) {
                DlAttachment *a = all->pdata[i];
                g_autoptr(GError) error = NULL;

                if (!a->left_out || a->retry_usec > dl_now() ||
                    dl_data_path(a->meta->data_path) == DL_DATA_PATH_QEMU)
                        continue;
                if (dl_block_check(lun, a->meta->readonly, false, &error))
                        plug(a);
                else
                        say_why(a, error);
        }
}
