/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sizes of LUNs in the kernel. A rescan belongs to who started it until it is done or cancelled.
 * Loop thread only. */

#include "core/steps/kernel-rescan.h"

#include "host/helper.h"

#include <sys/sysmacros.h>

#define PATH_MSEC 15000
#define MAP_MSEC  30000

struct DlKernelRescan {
        DlCore *core;
        char *guid;
        GPtrArray *asked; /* Asked */
        unsigned n_open;
        GError *error;        /* the first */
        sd_event_source *now; /* there is nothing to ask */
        void (*done)(const GError *error, void *userdata);
        void *userdata;
};

typedef struct Asked {
        DlKernelRescan *rescan;
        DlHelperCall *call; /* NULL: over */
} Asked;

static void asked_free(void *p)
{
        Asked *asked = p;

        dl_helper_cancel(asked->call);
        g_free(asked);
}

static void rescan_free(DlKernelRescan *rescan)
{
        g_ptr_array_unref(rescan->asked);
        sd_event_source_disable_unref(rescan->now);
        g_clear_error(&rescan->error);
        g_free(rescan->guid);
        g_free(rescan);
}

void dl_kernel_rescan_cancel(DlKernelRescan *rescan)
{
        if (rescan)
                rescan_free(rescan);
}

static const DlBlockLun *lun_of(DlCore *core, const char *guid)
{
        return core->block_devices ? dl_block_devices_find(core->block_devices, guid) : NULL;
}

/* A disk whose way is down would be waited for; one of NVMe tells its size by itself. */
static bool can_be_asked(const DlBlockDevice *path)
{
        return path->kind == DL_BLOCK_PATH && dl_block_device_is_active(path);
}

static void finish(DlKernelRescan *rescan)
{
        void (*done)(const GError *, void *) = rescan->done;
        void *userdata = rescan->userdata;
        g_autoptr(GError) error = g_steal_pointer(&rescan->error);

        if (rescan->core->block_devices)
                dl_block_devices_look_at(rescan->core->block_devices, rescan->guid);
        rescan_free(rescan);
        done(error, userdata);
}

/* ---- asking -------------------------------------------------------------------------------- */

static void ask(DlKernelRescan *rescan, DlHelperRequest *request, DlHelperDone answered)
{
        Asked *asked = g_new0(Asked, 1);

        asked->rescan = rescan;
        g_ptr_array_add(rescan->asked, asked);
        rescan->n_open++;
        (void)DL_HELPER_PUT(request, guid, rescan->guid);
        asked->call = dl_helper_call(rescan->core->helper, request, NULL, NULL, answered, asked);
}

static void take(Asked *asked, const GError *error)
{
        asked->call = NULL;
        asked->rescan->n_open--;
        if (error && !asked->rescan->error)
                asked->rescan->error = g_error_copy(error);
}

static void on_map_resized(const DlHelperResult *result, const GError *error, void *userdata)
{
        take(userdata, error);
        finish(((Asked *)userdata)->rescan);
}

/* That the paths agree is for the helper to see, which reads it once more where it cannot change
 * under a request on its way. */
static void resize_map(DlKernelRescan *rescan)
{
        DlHelperRequest request = {.verb = DL_HELPER_RESIZE_MAP, .timeout_ms = MAP_MSEC};
        const DlBlockLun *lun;
        uint64_t size = 0;

        dl_block_devices_look_at(rescan->core->block_devices, rescan->guid);
        lun = lun_of(rescan->core, rescan->guid);
        for (unsigned i = 0; lun && lun->map && i < lun->paths->len; i++) {
                const DlBlockDevice *path = lun->paths->pdata[i];

                if (can_be_asked(path) && path->size != lun->map->size)
                        size = path->size;
        }
        if (size > 0)
                ask(rescan, &request, on_map_resized);
        else
                finish(rescan);
}

static void on_path_rescanned(const DlHelperResult *result, const GError *error, void *userdata)
{
        DlKernelRescan *rescan = ((Asked *)userdata)->rescan;

        take(userdata, error);
        if (rescan->n_open == 0)
                resize_map(rescan);
}

static int on_now(sd_event_source *source, void *userdata)
{
        finish(userdata);
        return 0;
}

DlKernelRescan *dl_kernel_rescan_start(DlCore *core, const char *guid,
                                       void (*done)(const GError *error, void *userdata),
                                       void *userdata)
{
        DlKernelRescan *rescan = g_new0(DlKernelRescan, 1);
        const DlBlockLun *lun = lun_of(core, guid);

        rescan->core = core;
        rescan->guid = g_strdup(guid);
        rescan->asked = g_ptr_array_new_with_free_func(asked_free);
        rescan->done = done;
        rescan->userdata = userdata;
        for (unsigned i = 0; lun && i < lun->paths->len; i++) {
                const DlBlockDevice *path = lun->paths->pdata[i];
                DlHelperRequest request = {.verb = DL_HELPER_RESCAN_PATH,
                                           .timeout_ms = PATH_MSEC,
                                           .major = major(path->devnum),
                                           .minor = minor(path->devnum)};

                if (can_be_asked(path))
                        ask(rescan, &request, on_path_rescanned);
        }
        if (rescan->n_open == 0)
                (void)sd_event_add_defer(core->event, &rescan->now, on_now, rescan);
        return rescan;
}

GPtrArray *dl_kernel_rescan_describe(DlCore *core, const char *guid)
{
        GPtrArray *lines = g_ptr_array_new_with_free_func(g_free);
        const DlBlockLun *lun = lun_of(core, guid);

        for (unsigned i = 0; lun && i < lun->paths->len; i++) {
                const DlBlockDevice *path = lun->paths->pdata[i];

                if (can_be_asked(path))
                        g_ptr_array_add(lines, g_strdup_printf("rescan %s, a path of %s",
                                                               path->name, guid));
        }
        if (lines->len > 0 && lun->map)
                g_ptr_array_add(lines, g_strdup_printf("resize %s, the map of %s, if they have "
                                                       "another size",
                                                       lun->map->name, guid));
        return lines;
}
