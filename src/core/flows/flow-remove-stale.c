/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Removes what the host's kernel still has of a LUN that is gone: disks that show nothing any more,
 * or another LUN, and the map of multipath if nothing else is left in it. A disk whose way is only
 * down stays, and is not even asked: the kernel would wait for it. The others are asked by the
 * helper, with a deadline. Loop thread only.
 */

#include "core/steps/kernel-plan.h"
#include "core/steps/operation.h"
#include "host/block-name.h"

#include <string.h>
#include <sys/sysmacros.h>

#define ASK_MSEC 15000
#define ASK_SIZE 4096 /* bytes */

typedef struct StaleWork {
        char *guid;
        GPtrArray *disks; /* Asked */
        unsigned n_open;
        GPtrArray *stale; /* DlKernelDisk, borrowed */
        bool map_is_empty;
        DlKernelPlan *plan;
} StaleWork;

typedef struct Asked {
        DlOperation *op;
        DlHelperCall *call; /* NULL: over */
        DlKernelDisk disk;
        bool can_tell; /* its way is up: if it cannot be read, that is the LUN's fault */
} Asked;

static void asked_free(void *p)
{
        Asked *asked = p;

        dl_helper_cancel(asked->call);
        g_free(asked->disk.name);
        g_free(asked);
}

static void work_free(void *p)
{
        StaleWork *work = p;

        dl_kernel_plan_free(work->plan);
        g_ptr_array_unref(work->stale);
        g_ptr_array_unref(work->disks);
        g_free(work->guid);
        g_free(work);
}

/* ---- which disks --------------------------------------------------------------------------- */

static bool session_is_up(const char *sysfs, unsigned sid)
{
        g_autoptr(GPtrArray) sessions = dl_kernel_sessions(sysfs, NULL);

        for (unsigned i = 0; i < sessions->len; i++) {
                const DlKernelSession *session = sessions->pdata[i];

                if (session->sid == sid)
                        return session->up;
        }
        return false;
}

static void add_disk(DlOperation *op, const DlBlockDevice *device)
{
        StaleWork *work = op->data;
        Asked *asked;

        if (!device || device->kind != DL_BLOCK_PATH)
                return;
        for (unsigned i = 0; i < work->disks->len; i++)
                if (g_str_equal(((Asked *)work->disks->pdata[i])->disk.name, device->name))
                        return;
        asked = g_new0(Asked, 1);
        asked->op = op;
        asked->disk.name = g_strdup(device->name);
        asked->disk.major = major(device->devnum);
        asked->disk.minor = minor(device->devnum);
        asked->disk.lun = device->lun;
        asked->can_tell = g_str_equal(device->state, "running") &&
                          (device->session == 0 || session_is_up(op->core->sysfs, device->session));
        g_ptr_array_add(work->disks, asked);
}

/* Those that were this LUN, and those in its map: one of them may show another LUN by now. */
static void find(DlOperation *op)
{
        StaleWork *work = op->data;
        DlBlockDevices *devices = op->core->block_devices;
        const DlBlockLun *lun = devices ? dl_block_devices_find(devices, work->guid) : NULL;
        g_autoptr(GPtrArray) mapped = NULL;

        if (devices && !op->core->are_devices_known) { /* a host that was slow to start */
                dl_op_failf(op, DL_ERROR_BUSY,
                            "The block devices of this host are still being looked at; try again "
                            "in a moment");
                return;
        }
        for (unsigned i = 0; lun && i < lun->paths->len; i++)
                add_disk(op, lun->paths->pdata[i]);
        if (lun && lun->map) {
                mapped = dl_kernel_map_paths(op->core->sysfs, lun->map->name);
                work->map_is_empty = mapped->len == 0;
        }
        for (unsigned i = 0; mapped && i < mapped->len; i++)
                add_disk(op, dl_block_devices_find_name(devices, mapped->pdata[i]));
        dl_op_next(op);
}

/* ---- asking them --------------------------------------------------------------------------- */

static void told(Asked *asked, bool is_stale)
{
        DlOperation *op = asked->op;
        StaleWork *work = op->data;

        if (is_stale)
                g_ptr_array_add(work->stale, &asked->disk);
        if (--work->n_open == 0)
                dl_op_next(op);
}

static void on_read(const DlHelperResult *result, const GError *error, void *userdata)
{
        Asked *asked = userdata;
        bool is_gone = error && dl_error_code(error) == DL_ERROR_LUN_NOT_VISIBLE;

        asked->call = NULL;
        if (error && !is_gone)
                dl_op_report(asked->op, "%s stays: whether its LUN is gone cannot be told now (%s)",
                             asked->disk.name, error->message);
        told(asked, is_gone);
}

static void ask(Asked *asked, DlHelperVerb verb, DlHelperDone done)
{
        const StaleWork *work = asked->op->data;
        g_autofree char *guid = dl_kernel_guid(asked->op->core->sysfs, asked->disk.name);
        DlHelperRequest request = {.verb = verb,
                                   .timeout_ms = ASK_MSEC,
                                   .major = asked->disk.major,
                                   .minor = asked->disk.minor,
                                   .size = verb == DL_HELPER_READ ? ASK_SIZE : 0};

        (void)DL_HELPER_PUT(&request, guid, guid ? guid : work->guid);
        asked->call = dl_helper_call(asked->op->core->helper, &request, NULL, NULL, done, asked);
}

/* The kernel has asked it anew who it is. */
static void on_rescanned(const DlHelperResult *result, const GError *error, void *userdata)
{
        Asked *asked = userdata;
        const StaleWork *work = asked->op->data;
        g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);

        asked->call = NULL;
        dl_block_device_guids(asked->op->core->sysfs, asked->disk.name, names);
        if (names->len > 0 &&
            !g_ptr_array_find_with_equal_func(names, work->guid, g_str_equal, NULL))
                told(asked, true); /* another LUN has its number now */
        else
                ask(asked, DL_HELPER_READ, on_read);
}

static void stop_asking(void *p)
{
        StaleWork *work = ((DlOperation *)p)->data;

        for (unsigned i = 0; i < work->disks->len; i++) {
                Asked *asked = work->disks->pdata[i];

                dl_helper_cancel(g_steal_pointer(&asked->call));
        }
}

static void ask_all(DlOperation *op)
{
        StaleWork *work = op->data;

        for (unsigned i = 0; i < work->disks->len; i++) {
                Asked *asked = work->disks->pdata[i];

                if (!asked->can_tell) {
                        dl_op_report(op,
                                     "%s stays: its way is down, so whether its LUN is gone "
                                     "cannot be told now",
                                     asked->disk.name);
                        continue;
                }
                work->n_open++;
                ask(asked, DL_HELPER_RESCAN_PATH, on_rescanned);
        }
        if (work->n_open > 0)
                dl_op_wait(op, op, stop_asking);
        else
                dl_op_next(op);
}

/* ---- removing them ------------------------------------------------------------------------- */

static void plan(DlOperation *op)
{
        StaleWork *work = op->data;
        g_autoptr(GError) error = NULL;

        work->plan = dl_kernel_plan_new(op->core);
        if (work->stale->len == 0 && !work->map_is_empty) {
                dl_op_report(op, "Nothing of %s is stale", work->guid);
                dl_op_finish(op);
        } else if ((!work->map_is_empty ||
                    dl_kernel_plan_remove_map(work->plan, work->guid, &error)) &&
                   dl_kernel_plan_remove(work->plan, work->stale, &error)) {
                dl_op_next(op);
        } else {
                dl_op_fail(op, g_steal_pointer(&error));
        }
}

static void on_removed(const GError *error, void *userdata)
{
        DlOperation *op = userdata;
        StaleWork *work = op->data;

        work->plan = NULL;
        if (op->core->block_devices)
                dl_block_devices_look(op->core->block_devices);
        if (error) {
                dl_op_fail(op, g_error_copy(error));
                return;
        }
        if (work->map_is_empty)
                dl_op_report(op, "Removed the map of %s, which had no path", work->guid);
        for (unsigned i = 0; i < work->stale->len; i++)
                dl_op_report(op, "Removed %s", ((DlKernelDisk *)work->stale->pdata[i])->name);
        dl_op_next(op);
}

static void remove_stale(DlOperation *op)
{
        StaleWork *work = op->data;

        dl_kernel_plan_run(work->plan, on_removed, op);
}

static void tell_remove(DlOperation *op)
{
        const StaleWork *work = op->data;
        g_autoptr(GPtrArray) lines = dl_kernel_plan_describe(work->plan);

        for (unsigned i = 0; i < lines->len; i++)
                dl_op_would(op, "%s", (char *)lines->pdata[i]);
        dl_op_next(op);
}

/* What is removed is not there any more: there is nothing to take back, and a crash in between
 * leaves less that is stale. */
static const DlStep steps[] = {
        {"looking at the kernel's devices", find, .dry = find},
        {"asking them", ask_all, .dry = ask_all},
        {"asking them", plan, .dry = plan},
        {"removing what is stale", remove_stale, .firm = true, .dry = tell_remove},
};

DlJob *dl_flow_remove_stale(DlLun *lun, const DlRequest *request, GError **error)
{
        StaleWork *work = g_new0(StaleWork, 1);
        DlOperation *op;

        work->guid = g_strdup(lun->object.id);
        work->disks = g_ptr_array_new_with_free_func(asked_free);
        work->stale = g_ptr_array_new();
        op = DL_OP_NEW(lun->object.core, "remove-stale", request, steps, 0, work, work_free, error);
        if (!op)
                return NULL;
        dl_op_concerns(op, DL_KIND_LUN, lun->object.id);
        return &op->job;
}
