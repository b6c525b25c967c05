/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Ends sessions of the kernel that nobody needs any more. Loop thread only. */

#include "core/steps/kernel-leave.h"

#include "core/steps/kernel-connect.h"
#include "core/steps/kernel-plan.h"

#define RETRY_USEC (10 * G_USEC_PER_SEC)

struct DlKernelLeaving {
        DlTarget *target;
        void (*done)(const GError *error, void *userdata);
        void *userdata;
        sd_event_source *now; /* there is nothing to wait for */
        GError *error;        /* it cannot even begin */
};

static void leaving_free(DlKernelLeaving *leaving)
{
        g_ptr_array_remove(leaving->target->leavings, leaving);
        sd_event_source_disable_unref(leaving->now);
        g_clear_error(&leaving->error);
        g_free(leaving);
}

static void tell(DlKernelLeaving *leaving, const GError *error)
{
        void (*done)(const GError *, void *) = leaving->done;
        void *userdata = leaving->userdata;

        leaving_free(leaving);
        done(error, userdata);
}

/* Who waits holds the target: it is still there after the last of them, or nobody was there. */
static void tell_all(DlTarget *target, const GError *error)
{
        g_autoptr(GPtrArray) told = g_ptr_array_copy(target->leavings, NULL, NULL);

        for (unsigned i = 0; i < told->len; i++)
                if (!((DlKernelLeaving *)told->pdata[i])->now)
                        tell(told->pdata[i], error);
}

static void on_left(const GError *error, void *userdata)
{
        DlTarget *target = userdata;

        target->leave = NULL;
        dl_kernel_look(target);
        if (error) {
                target->leave_again_usec = dl_now() + RETRY_USEC;
                if (dl_last_error_set(&target->last_error, error)) {
                        dl_object_changed(&target->object, "LastError");
                        dl_notice("The kernel's sessions with %s stay for now: %s",
                                  target->object.id, error->message);
                }
        }
        dl_target_update(target);
        tell_all(target, error);
}

static DlHelperRequest logout_of(const DlKernelSession *session)
{
        DlHelperRequest request = {
                .verb = DL_HELPER_LOGOUT, .sid = session->sid, .port = session->port};

        (void)DL_HELPER_PUT(&request, iqn, session->iqn);
        (void)DL_HELPER_PUT(&request, address, session->address);
        return request;
}

static bool make_plan(DlTarget *target, DlKernelPlan *plan, GError **error)
{
        const char *sysfs = target->object.core->sysfs;
        g_autoptr(GPtrArray) sessions = dl_kernel_sessions(sysfs, target->object.id);
        g_autoptr(GPtrArray) all = g_ptr_array_new_with_free_func(dl_kernel_disk_free);

        for (unsigned i = 0; i < sessions->len; i++)
                if (((const DlKernelSession *)sessions->pdata[i])->ours)
                        g_ptr_array_extend_and_steal(
                                all, dl_kernel_session_disks(sysfs, sessions->pdata[i]));
        if (!dl_kernel_plan_remove(plan, all, error))
                return false;
        for (unsigned i = 0; i < sessions->len; i++) {
                DlHelperRequest request = logout_of(sessions->pdata[i]);

                if (((const DlKernelSession *)sessions->pdata[i])->ours)
                        dl_kernel_plan_add(plan, &request);
        }
        return true;
}

/* Whether it is on its way. */
static bool begin(DlTarget *target, GError **error)
{
        g_autoptr(DlKernelPlan) plan = NULL;

        if (target->leave)
                return true;
        plan = dl_kernel_plan_new(target->object.core);
        if (!make_plan(target, plan, error)) {
                target->leave_again_usec = dl_now() + RETRY_USEC;
                return false;
        }
        target->leave = plan;
        dl_kernel_plan_run(g_steal_pointer(&plan), on_left, target);
        return true;
}

void dl_kernel_leave(DlTarget *target)
{
        DlCore *core = target->object.core;
        g_autoptr(GError) error = NULL;

        if (core->original || !target->has_sessions || !core->vms_known ||
            dl_now() < target->leave_again_usec)
                return;
        if (!begin(target, &error))
                dl_debug("The kernel's sessions with %s stay for now: %s", target->object.id,
                         error->message);
}

static int on_now(sd_event_source *source, void *userdata)
{
        DlKernelLeaving *leaving = userdata;
        g_autoptr(GError) error = g_steal_pointer(&leaving->error);

        tell(leaving, error);
        return 0;
}

DlKernelLeaving *dl_kernel_leave_then(DlTarget *target, void (*done)(const GError *, void *),
                                      void *userdata)
{
        DlKernelLeaving *leaving = g_new0(DlKernelLeaving, 1);

        leaving->target = target;
        leaving->done = done;
        leaving->userdata = userdata;
        g_ptr_array_add(target->leavings, leaving);
        if (!target->has_sessions || !begin(target, &leaving->error))
                (void)sd_event_add_defer(target->object.core->event, &leaving->now, on_now,
                                         leaving);
        return leaving;
}

void dl_kernel_leave_cancel(DlKernelLeaving *leaving)
{
        if (leaving)
                leaving_free(leaving);
}

void dl_kernel_leave_drop(DlTarget *target)
{
        while (target->leavings->len > 0)
                leaving_free(target->leavings->pdata[0]);
        g_ptr_array_unref(target->leavings);
        dl_kernel_plan_free(g_steal_pointer(&target->leave));
}
