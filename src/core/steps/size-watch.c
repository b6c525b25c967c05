/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is under way for a LUN belongs to it. Loop thread only. */

#include "core/steps/size-watch.h"

#include "core/model/attachment-index.h"
#include "core/model/lun-kernel.h"
#include "core/steps/kernel-rescan.h"

#define PAUSE_USEC (1 * G_USEC_PER_SEC)

struct DlSizeWatch {
        DlLun *lun;
        DlKernelRescan *rescan;
        sd_event_source *pause; /* after it */
        bool is_told_again;     /* since it began */
};

void dl_size_watch_free(DlSizeWatch *watch)
{
        if (!watch)
                return;
        dl_kernel_rescan_cancel(watch->rescan);
        sd_event_source_disable_unref(watch->pause);
        g_free(watch);
}

static void begin(DlSizeWatch *watch);

static int on_pause_over(sd_event_source *source, uint64_t usec, void *userdata)
{
        DlSizeWatch *watch = userdata;

        watch->pause = sd_event_source_disable_unref(watch->pause);
        if (watch->is_told_again)
                begin(watch);
        else
                dl_size_watch_free(g_steal_pointer(&watch->lun->size_watch));
        return 0;
}

/* What did not work is seen in the LUN's status. */
static void on_asked(const GError *error, void *userdata)
{
        DlSizeWatch *watch = userdata;

        watch->rescan = NULL;
        if (error)
                dl_warning("The new size of %s is not known yet: %s", watch->lun->object.id,
                           error->message);
        if (sd_event_add_time_relative(watch->lun->object.core->event, &watch->pause,
                                       CLOCK_MONOTONIC, PAUSE_USEC, 0, on_pause_over, watch) < 0)
                dl_size_watch_free(g_steal_pointer(&watch->lun->size_watch));
}

static void begin(DlSizeWatch *watch)
{
        watch->is_told_again = false;
        watch->rescan = dl_kernel_rescan_start(watch->lun->object.core, watch->lun->object.id,
                                               on_asked, watch);
}

static void ask_again(DlLun *lun)
{
        if (!dl_attachments_has_any(lun->object.core, DL_BELONGS_TO_LUN, lun->object.id))
                return;
        if (lun->size_watch) {
                lun->size_watch->is_told_again = true;
                return;
        }
        dl_notice("The target says that the size of %s has changed", lun->object.id);
        lun->size_watch = g_new0(DlSizeWatch, 1);
        lun->size_watch->lun = lun;
        begin(lun->size_watch);
}

void dl_sizes_on_told(const char *name, void *userdata)
{
        DlCore *core = userdata;
        const DlBlockDevice *device = name ? dl_block_devices_find_name(core->block_devices, name)
                                           : NULL;
        DlLun *lun = device ? DL_LOOKUP_LUN(core, device->guid) : NULL;

        if (lun)
                ask_again(lun);
        if (name)
                return;

        g_autoptr(GPtrArray) luns = dl_core_list(core, DL_KIND_LUN);
        for (unsigned i = 0; i < luns->len; i++)
                if (dl_lun_kernel(luns->pdata[i]))
                        ask_again(luns->pdata[i]);
}
