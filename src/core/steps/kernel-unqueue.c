/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Frees a VM that ends from what its dead LUNs keep. An unqueue belongs to who started it until it
 * is done or cancelled. Loop thread only. */

#include "core/steps/kernel-unqueue.h"

#include "core/model/attachment-index.h"
#include "core/model/lun-kernel.h"
#include "host/helper.h"

#define ASK_MSEC 20000

struct DlKernelUnqueue {
        GPtrArray *asked; /* Asked */
        unsigned n_open;
        GError *error; /* the first */
        void (*done)(const GError *error, void *userdata);
        void *userdata;
};

typedef struct Asked {
        DlKernelUnqueue *unqueue;
        DlHelperCall *call; /* NULL: over */
} Asked;

static void asked_free(void *p)
{
        Asked *asked = p;

        dl_helper_cancel(asked->call);
        g_free(asked);
}

void dl_kernel_unqueue_cancel(DlKernelUnqueue *unqueue)
{
        if (!unqueue)
                return;
        g_ptr_array_unref(unqueue->asked);
        g_clear_error(&unqueue->error);
        g_free(unqueue);
}

/* ---- which --------------------------------------------------------------------------------- */

static bool is_only_user(const DlAttachment *a)
{
        g_autoptr(GPtrArray)
                others = dl_attachments_of(a->object.core, DL_BELONGS_TO_LUN, a->meta->guid);

        for (unsigned i = 0; i < others->len; i++) {
                const DlAttachment *other = others->pdata[i];

                if (other != a && other->plugged && other->by_block)
                        return false;
        }
        return true;
}

static bool is_queueing(const DlAttachment *a)
{
        const DlLun *lun = DL_LOOKUP_LUN(a->object.core, a->meta->guid);
        const DlBlockLun *kernel = lun ? dl_lun_kernel(lun) : NULL;

        return a->plugged && a->by_block && kernel && kernel->map && !dl_lun_kernel_sees(lun) &&
               is_only_user(a);
}

GPtrArray *dl_kernel_queueing(DlVm *vm)
{
        g_autoptr(GPtrArray) attachments = dl_vm_attachments(vm);
        GPtrArray *guids = g_ptr_array_new();

        for (unsigned i = 0; i < attachments->len; i++)
                if (is_queueing(attachments->pdata[i]))
                        g_ptr_array_add(guids, ((DlAttachment *)attachments->pdata[i])->meta->guid);
        return guids;
}

/* ---- asking -------------------------------------------------------------------------------- */

static void on_answer(const DlHelperResult *result, const GError *error, void *userdata)
{
        Asked *asked = userdata;
        DlKernelUnqueue *unqueue = asked->unqueue;
        void (*done)(const GError *, void *) = unqueue->done;
        void *done_userdata = unqueue->userdata;
        g_autoptr(GError) first = NULL;

        asked->call = NULL;
        if (error && !unqueue->error)
                unqueue->error = g_error_copy(error);
        if (--unqueue->n_open > 0)
                return;
        first = g_steal_pointer(&unqueue->error);
        dl_kernel_unqueue_cancel(unqueue);
        done(first, done_userdata);
}

DlKernelUnqueue *dl_kernel_unqueue_start(DlVm *vm,
                                         void (*done)(const GError *error, void *userdata),
                                         void *userdata)
{
        g_autoptr(GPtrArray) guids = dl_kernel_queueing(vm);
        DlKernelUnqueue *unqueue;

        if (guids->len == 0)
                return NULL;
        unqueue = g_new0(DlKernelUnqueue, 1);
        unqueue->asked = g_ptr_array_new_with_free_func(asked_free);
        unqueue->n_open = guids->len;
        unqueue->done = done;
        unqueue->userdata = userdata;
        for (unsigned i = 0; i < guids->len; i++) {
                DlHelperRequest request = {.verb = DL_HELPER_FAIL_QUEUED, .timeout_ms = ASK_MSEC};
                Asked *asked = g_new0(Asked, 1);

                asked->unqueue = unqueue;
                g_ptr_array_add(unqueue->asked, asked);
                (void)DL_HELPER_PUT(&request, guid, guids->pdata[i]);
                asked->call = dl_helper_call(vm->object.core->helper, &request, NULL, NULL,
                                             on_answer, asked);
        }
        return unqueue;
}
