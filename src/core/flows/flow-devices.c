/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The device list, and looking at LUNs again. Loop thread only. */

#include "core/model/attachment-index.h"
#include "core/model/contents.h"
#include "core/model/lun-kernel.h"
#include "core/steps/connect.h"
#include "core/steps/guest-size.h"
#include "core/steps/kernel-rescan.h"
#include "core/steps/operation.h"

#include <string.h>

typedef struct ListWork {
        GStrv guids;        /* NULL: all */
        char *storage_type; /* NULL: any */
        bool refresh, look; /* at the targets; at what is on the LUNs */
        GPtrArray *asking;  /* Ask: targets that have not answered yet */
        GPtrArray *rescans; /* Rescan: LUNs that the kernel looks at */
        GPtrArray *telling; /* Tell: guests that have not been told the size yet */
} ListWork;

typedef struct Ask {
        DlOperation *op;
        DlTarget *target; /* acquired */
        DlConnect *connect;
} Ask;

static void ask_free(gpointer p)
{
        Ask *ask = p;

        dl_connect_cancel(ask->connect);
        dl_target_release(ask->target);
        g_free(ask);
}

typedef struct Rescan {
        DlOperation *op;
        DlKernelRescan *rescan;
} Rescan;

static void rescan_free(gpointer p)
{
        Rescan *rescan = p;

        dl_kernel_rescan_cancel(rescan->rescan);
        g_free(rescan);
}

/* A guest that is told the size of a LUN. Its job goes on if nobody waits for it any more. */
typedef struct Tell {
        DlOperation *op; /* NULL: it does not wait */
} Tell;

static void stop_telling(gpointer p)
{
        ((Tell *)p)->op = NULL;
}

static void work_free(void *p)
{
        ListWork *work = p;

        g_strfreev(work->guids);
        g_free(work->storage_type);
        g_ptr_array_unref(work->asking);
        g_ptr_array_unref(work->rescans);
        g_ptr_array_unref(work->telling);
        g_free(work);
}

/* ---- refresh ------------------------------------------------------------------------------- */

static void stop_asking(void *p)
{
        DlOperation *op = p;

        g_ptr_array_set_size(((ListWork *)op->data)->asking, 0);
}

/* A target that does not answer is seen in its LUNs' status, and fails nothing else. */
static void on_asked(const GError *error, void *userdata)
{
        Ask *ask = userdata;
        DlOperation *op = ask->op;
        ListWork *work = op->data;

        ask->connect = NULL;
        if (error)
                dl_op_report(op, "%s", error->message);
        g_ptr_array_remove(work->asking, ask);
        if (work->asking->len == 0)
                dl_op_next(op);
}

/* The target has one of the wanted LUNs, or all are wanted. */
static bool concerns(const ListWork *work, DlTarget *target)
{
        for (GStrv guid = work->guids; guid && *guid; guid++) {
                DlLun *lun = DL_LOOKUP_LUN(target->object.core, *guid);

                if (lun && dl_lun_find_path(lun, target->object.id, NULL))
                        return true;
        }
        return !work->guids;
}

static void refresh(DlOperation *op)
{
        ListWork *work = op->data;
        g_autoptr(GPtrArray) targets = dl_core_list(op->core, DL_KIND_TARGET);

        for (unsigned i = 0; work->refresh && i < targets->len; i++) {
                Ask *ask;

                if (!concerns(work, targets->pdata[i]))
                        continue;
                ask = g_new0(Ask, 1);
                *ask = (Ask){.op = op, .target = targets->pdata[i]};
                g_ptr_array_add(work->asking, ask);
                dl_target_acquire(ask->target);
                ask->connect = dl_connect_start(ask->target, NULL, 0, on_asked, ask);
        }
        if (work->refresh && op->core->block_devices)
                dl_block_devices_look(op->core->block_devices);
        if (work->asking->len == 0)
                dl_op_next(op);
        else
                dl_op_wait(op, op, stop_asking);
}

/* ---- which LUNs ---------------------------------------------------------------------------- */

static bool is_of_type(const ListWork *work, const DlLun *lun)
{
        return !work->storage_type || dl_lun_is_of_type(lun, work->storage_type);
}

/* Those of the type, of all or of the given GUIDs. ret_unknown: the first GUID that is not known,
 * NULL if there is none; borrowed. */
static GPtrArray *choose(DlOperation *op, const char **ret_unknown)
{
        const ListWork *work = op->data;
        DlCore *core = op->core;
        g_autoptr(GPtrArray) all = work->guids ? NULL : dl_core_list(core, DL_KIND_LUN);
        GPtrArray *luns = g_ptr_array_new();

        *ret_unknown = NULL;
        for (unsigned i = 0; all && i < all->len; i++)
                if (is_of_type(work, all->pdata[i]))
                        g_ptr_array_add(luns, all->pdata[i]);
        for (GStrv guid = work->guids; guid && *guid; guid++) {
                DlLun *lun = DL_LOOKUP_LUN(core, *guid);

                if (!lun && !*ret_unknown)
                        *ret_unknown = *guid;
                else if (lun && is_of_type(work, lun))
                        g_ptr_array_add(luns, lun);
        }
        return luns;
}

/* ---- the kernel ----------------------------------------------------------------------------- */

/* Those that the kernel is to look at again: that were named, else those that VMs have. */
static GPtrArray *choose_rescans(DlOperation *op)
{
        const ListWork *work = op->data;
        const char *unknown;
        GPtrArray *luns = choose(op, &unknown);

        for (unsigned i = luns->len; i-- > 0;) {
                const DlLun *lun = luns->pdata[i];
                g_autoptr(GPtrArray) attachments = dl_attachments_of(op->core, DL_BELONGS_TO_LUN,
                                                                     lun->object.id);

                if (!work->refresh || !dl_lun_kernel(lun) ||
                    (!work->guids && attachments->len == 0))
                        g_ptr_array_remove_index(luns, i);
        }
        return luns;
}

static void stop_rescans(void *p)
{
        DlOperation *op = p;

        g_ptr_array_set_size(((ListWork *)op->data)->rescans, 0);
}

/* What fails is seen in the LUN's status. */
static void on_rescanned(const GError *error, void *userdata)
{
        Rescan *rescan = userdata;
        DlOperation *op = rescan->op;
        ListWork *work = op->data;

        rescan->rescan = NULL;
        if (error)
                dl_op_report(op, "%s", error->message);
        g_ptr_array_remove(work->rescans, rescan);
        if (work->rescans->len == 0)
                dl_op_next(op);
}

static void rescan_paths(DlOperation *op)
{
        ListWork *work = op->data;
        g_autoptr(GPtrArray) luns = choose_rescans(op);

        for (unsigned i = 0; i < luns->len; i++) {
                Rescan *rescan = g_new0(Rescan, 1);

                rescan->op = op;
                g_ptr_array_add(work->rescans, rescan);
                rescan->rescan = dl_kernel_rescan_start(
                        op->core, ((DlLun *)luns->pdata[i])->object.id, on_rescanned, rescan);
        }
        if (work->rescans->len == 0)
                dl_op_next(op);
        else
                dl_op_wait(op, op, stop_rescans);
}

static void would_rescan_paths(DlOperation *op)
{
        g_autoptr(GPtrArray) luns = choose_rescans(op);

        for (unsigned i = 0; i < luns->len; i++) {
                g_autoptr(GPtrArray) lines = dl_kernel_rescan_describe(
                        op->core, ((DlLun *)luns->pdata[i])->object.id);

                for (unsigned k = 0; k < lines->len; k++)
                        dl_op_would(op, "%s", (char *)lines->pdata[k]);
        }
        dl_op_next(op);
}

/* ---- content ------------------------------------------------------------------------------- */

static void on_looked(void *userdata)
{
        dl_op_next(userdata);
}

/* All of it again after a refresh; else only what is not known, or old. */
static void look(DlOperation *op)
{
        const ListWork *work = op->data;
        const char *unknown;
        g_autoptr(GPtrArray) luns = choose(op, &unknown);

        for (unsigned i = luns->len; i-- > 0;)
                if (!work->refresh && dl_contents_is_fresh(luns->pdata[i]))
                        g_ptr_array_remove_index(luns, i);
        if (work->look && luns->len > 0)
                dl_op_wait(
                        op,
                        dl_contents_wait(op->core, (DlLun **)luns->pdata, luns->len, on_looked, op),
                        (void (*)(void *))dl_contents_cancel);
        else
                dl_op_next(op);
}

/* ---- the list ------------------------------------------------------------------------------ */

static void give(DlOperation *op)
{
        const char *unknown;
        g_autoptr(GPtrArray) luns = choose(op, &unknown);

        if (unknown) {
                dl_op_failf(op, DL_ERROR_LUN_NOT_FOUND, "No LUN with GUID %s is known", unknown);
                return;
        }
        for (unsigned i = 0; i < luns->len; i++)
                dl_op_result(op, luns->pdata[i]);
        dl_op_next(op);
}

/* ---- the guests ---------------------------------------------------------------------------- */

static void on_told(DlJob *job, const GError *error, void *userdata)
{
        g_autofree Tell *tell = userdata;
        DlOperation *op = tell->op;

        dl_core_take_call(job->object.core, tell);
        if (!op)
                return;
        for (unsigned i = 0; i < job->report->len; i++)
                dl_op_report(op, "%s", (char *)job->report->pdata[i]);
        if (error)
                dl_op_report(op, "%s", error->message);
        g_ptr_array_remove(((ListWork *)op->data)->telling, tell);
        if (((ListWork *)op->data)->telling->len == 0)
                dl_op_next(op);
}

static void stop_telling_all(void *p)
{
        DlOperation *op = p;

        g_ptr_array_set_size(((ListWork *)op->data)->telling, 0);
}

static void tell_guest(DlOperation *op, DlAttachment *a)
{
        Tell *tell = g_new0(Tell, 1);
        DlRequest request = {.done = on_told, .userdata = tell, .internal = true};
        g_autoptr(GError) error = NULL;

        tell->op = op;
        dl_core_keep_call(a->object.core, tell, g_free);
        g_ptr_array_add(((ListWork *)op->data)->telling, tell);
        a->refused_capacity = 0; /* somebody asks: it is tried again */
        (void)dl_flow_resize(a, &request, false, &error);
}

/* Guests that see less than the LUN has are made to see it. */
static void tell_guests(DlOperation *op)
{
        ListWork *work = op->data;
        g_autoptr(GPtrArray)
                attachments = dl_attachments_of(op->core, DL_BELONGS_TO_LUN, work->guids[0]);

        for (unsigned i = 0; i < attachments->len; i++)
                if (((DlAttachment *)attachments->pdata[i])->plugged)
                        tell_guest(op, attachments->pdata[i]);
        if (work->telling->len == 0)
                dl_op_next(op);
        else
                dl_op_wait(op, op, stop_telling_all);
}

static void would_tell_guests(DlOperation *op)
{
        const ListWork *work = op->data;
        g_autoptr(GPtrArray)
                attachments = dl_attachments_of(op->core, DL_BELONGS_TO_LUN, work->guids[0]);

        for (unsigned i = 0; i < attachments->len; i++) {
                const DlAttachment *a = attachments->pdata[i];

                if (strcmp(a->resize_pending, "refresh") == 0)
                        dl_op_would(op, "tell VM %s the size of %s", a->vm->name, a->meta->guid);
        }
        dl_op_next(op);
}

/* The last is for a refresh of one LUN only. */
static const DlStep list_steps[] = {
        {"asking the targets", refresh, .dry = refresh},
        {"rescanning the paths", rescan_paths, .dry = would_rescan_paths},
        {"looking at the content", look, .dry = look},
        {"listing", give, .dry = give},
        {"telling the guests", tell_guests, .dry = would_tell_guests},
};
#define LIST_STEPS 4

static DlJob *start(DlCore *core, const DlRequest *request, const char *const *guids,
                    const char *storage_type, bool do_refresh, bool check_status, unsigned n_steps,
                    GError **error)
{
        ListWork *work = g_new0(ListWork, 1);

        work->guids = guids && guids[0] ? g_strdupv((char **)guids) : NULL;
        work->storage_type = storage_type && storage_type[0] ? g_strdup(storage_type) : NULL;
        work->refresh = do_refresh;
        work->look = check_status;
        work->asking = g_ptr_array_new_with_free_func(ask_free);
        work->rescans = g_ptr_array_new_with_free_func(rescan_free);
        work->telling = g_ptr_array_new_with_free_func(stop_telling);
        return (DlJob *)(do_refresh ? dl_op_new : dl_op_new_quiet)(
                core, "device-list", request, list_steps, n_steps, 0, work, work_free, error);
}

DlJob *dl_flow_device_list(DlCore *core, const DlRequest *request, const char *const *guids,
                           const char *storage_type, bool do_refresh, bool check_status,
                           GError **error)
{
        return start(core, request, guids, storage_type, do_refresh, check_status, LIST_STEPS,
                     error);
}

DlJob *dl_flow_lun_refresh(DlLun *lun, const DlRequest *request, GError **error)
{
        const char *const guids[] = {lun->object.id, NULL};
        DlJob *job = start(lun->object.core, request, guids, NULL, true, true,
                           G_N_ELEMENTS(list_steps), error);

        if (job)
                dl_op_concerns((DlOperation *)job, DL_KIND_LUN, lun->object.id);
        return job;
}
