/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One look at a time for a LUN, which owns it. Loop thread only. */

#include "core/steps/path-watch.h"

#include "core/model/attachment-index.h"
#include "core/model/lun-kernel.h"
#include "core/steps/path-proof.h"

static bool has_it(const DlAttachment *a)
{
        return a->plugged && a->by_block;
}

static bool matters(const DlLun *lun)
{
        g_autoptr(GPtrArray) attachments = dl_attachments_of(lun->object.core, DL_BELONGS_TO_LUN,
                                                             lun->object.id);

        for (unsigned i = 0; i < attachments->len; i++)
                if (has_it(attachments->pdata[i]))
                        return true;
        return lun->mismatch.code >= 0;
}

static void tell(DlAttachment *a, const GError *mismatch)
{
        g_autoptr(GError) error = NULL;

        if (mismatch)
                error = g_error_new(
                        DL_ERROR, DL_ERROR_GUID_MISMATCH,
                        "%s. The running VM %s reads and writes it: unplug the disk, or "
                        "stop the VM",
                        mismatch->message, a->vm->name);
        else if (a->last_error.code != DL_ERROR_GUID_MISMATCH)
                return;
        if (!dl_last_error_set(&a->last_error, error))
                return;
        dl_object_changed(&a->object, "LastError");
        if (error)
                dl_err("%s", error->message);
        else
                dl_notice("The paths of this host lead to %s again, as VM %s needs", a->meta->guid,
                          a->vm->name);
}

static void on_looked(const GError *error, void *userdata)
{
        DlLun *lun = userdata;
        bool is_known = !error || dl_error_code(error) == DL_ERROR_GUID_MISMATCH;
        g_autoptr(GPtrArray) attachments = dl_attachments_of(lun->object.core, DL_BELONGS_TO_LUN,
                                                             lun->object.id);

        lun->watch = NULL;
        for (unsigned i = 0; is_known && i < attachments->len; i++)
                if (has_it(attachments->pdata[i]))
                        tell(attachments->pdata[i], error);
        if (lun->is_watch_outdated)
                dl_paths_watch(lun);
}

void dl_paths_watch(DlLun *lun)
{
        const DlBlockLun *block = dl_lun_kernel(lun);

        lun->is_watch_outdated = lun->watch;
        if (block && !lun->watch && matters(lun))
                lun->watch = dl_path_proof_start(lun->object.core, block, on_looked, lun);
}
