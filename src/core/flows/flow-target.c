/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What clients ask of a target: connect, unmanage, rescan, credentials, forget. Loop thread only.
 */

#include "core/model/attachment-index.h"
#include "core/records/lun-rows.h"
#include "core/steps/kernel-choice.h"
#include "core/steps/kernel-leave.h"
#include "core/steps/disk-xml.h"
#include "core/steps/operation.h"

#include <string.h>

typedef struct TargetWork {
        DlTarget *target;                  /* acquired: it cannot go away */
        GStrv guids;                       /* wanted; NULL: none in particular */
        GStrv interfaces, were_interfaces; /* NULL: none are named */
        bool pin;
        DlDataPath data_path; /* as asked for */
        bool was_by_kernel;
        char *was_why; /* of the data path before */
        unsigned n_paths;
        DlChap chap, before; /* own copies */
} TargetWork;

static void work_free(void *p)
{
        TargetWork *work = p;

        if (work->target)
                dl_target_release(work->target);
        g_strfreev(work->guids);
        g_strfreev(work->interfaces);
        g_strfreev(work->were_interfaces);
        g_free(work->was_why);
        dl_chap_clear(&work->chap);
        dl_chap_clear(&work->before);
        g_free(work);
}

static DlOperation *start(DlTarget *target, const char *operation, const DlRequest *request,
                          const DlStep *steps, unsigned n_steps, TargetWork **ret_work,
                          GError **error)
{
        TargetWork *work = g_new0(TargetWork, 1);
        DlOperation *op;

        op = dl_op_new(target->object.core, operation, request, steps, n_steps, 0, work, work_free,
                       error);
        if (!op)
                return NULL;
        work->target = DL_LOOKUP_TARGET(op->core, target->object.id);
        dl_target_acquire(work->target);
        dl_op_concerns(op, DL_KIND_TARGET, target->object.id);
        *ret_work = work;
        return op;
}

static void on_done(const GError *error, void *userdata)
{
        if (error)
                dl_op_fail(userdata, g_error_copy(error));
        else
                dl_op_next(userdata);
}

static void on_pin_written(const GError *error, void *userdata)
{
        DlOperation *op = userdata;
        TargetWork *work = op->data;

        if (!error) {
                dl_op_next(op);
                return;
        }
        work->target->pinned = !work->target->pinned;
        dl_target_update(work->target);
        dl_op_fail(op, g_error_copy(error));
}

/* A pin is a promise over restarts: it is written before anybody is told. */
static void set_pinned(DlOperation *op, bool pinned)
{
        TargetWork *work = op->data;

        if (work->target->pinned == pinned) {
                dl_op_next(op);
                return;
        }
        work->target->pinned = pinned;
        dl_persist_target_then(work->target, on_pin_written, op);
}

/* ---- connect ------------------------------------------------------------------------------- */

static void ask(DlOperation *op)
{
        TargetWork *work = op->data;

        dl_op_wait(op, dl_connect_start(work->target, NULL, 0, on_done, op),
                   (void (*)(void *))dl_connect_cancel);
}

/* Connected means that what is wanted is there, not only that somebody answered. */
static void check_wanted(DlOperation *op)
{
        TargetWork *work = op->data;
        DlCore *core = op->core;

        for (GStrv guid = work->guids; guid && *guid; guid++) {
                DlLun *lun = DL_LOOKUP_LUN(core, *guid);
                DlPath *path = lun ? dl_lun_find_path(lun, work->target->object.id, NULL) : NULL;
                g_autoptr(GError) error = NULL;

                if (!path || !path->seen) {
                        dl_op_failf(op, DL_ERROR_LUN_NOT_VISIBLE,
                                    "Target %s does not show %s to this initiator",
                                    work->target->object.id, *guid);
                        return;
                }
                if (!dl_lun_check_usable(lun, &error)) {
                        dl_op_fail(op, g_steal_pointer(&error));
                        return;
                }
        }
        dl_op_next(op);
}

/* What fails here is let go of when the job does not need the target any more. */
static void on_chosen(const GError *error, bool by_kernel, void *userdata)
{
        DlOperation *op = userdata;
        const DlTarget *target = ((TargetWork *)op->data)->target;

        if (!error)
                dl_op_report(op, "Connected by data path %s: %s", dl_target_data_path(target),
                             target->data_path_why);
        on_done(error, op);
}

static void choose(DlOperation *op)
{
        TargetWork *work = op->data;

        work->was_by_kernel = work->target->by_kernel;
        work->was_why = g_strdup(work->target->data_path_why);
        work->were_interfaces = g_strdupv(work->target->interfaces);
        dl_op_wait(
                op,
                dl_kernel_choice_start(work->target, work->data_path,
                                       &(DlKernelWish){
                                               .guids = (const char *const *)work->guids,
                                               .n_paths = work->n_paths,
                                               .interfaces = (const char *const *)work->interfaces,
                                       },
                                       on_chosen, op),
                (void (*)(void *))dl_kernel_choice_cancel);
}

static void undo_choose(DlOperation *op)
{
        TargetWork *work = op->data;

        dl_target_set_interfaces(work->target, (const char *const *)work->were_interfaces);
        dl_target_set_data_path(work->target, work->was_by_kernel, work->was_why);
        dl_op_next(op);
}

static void tell_choice(DlOperation *op)
{
        const TargetWork *work = op->data;
        g_autofree char *why = NULL;
        DlDataPath choice = dl_kernel_choose(work->target, work->data_path, &why);

        if (choice == DL_DATA_PATH_QEMU) {
                dl_op_report(op, "Data path qemu: %s", why);
                dl_op_next(op);
                return;
        }
        dl_op_would(op, "log the kernel in to target %s where it is not (data path block: %s)",
                    work->target->object.id, why);
        for (GStrv interface = work->interfaces; interface && *interface; interface++)
                dl_op_would(op, "log in through open-iscsi's interface %s", *interface);
        for (GStrv guid = work->guids; guid && *guid; guid++)
                dl_op_would(op, "make %s appear in the kernel", *guid);
        dl_op_next(op);
}

static void pin(DlOperation *op)
{
        TargetWork *work = op->data;

        if (work->pin)
                set_pinned(op, true);
        else
                dl_op_next(op);
}

static void tell_pin(DlOperation *op)
{
        const TargetWork *work = op->data;

        if (work->pin && !work->target->pinned)
                dl_op_would(op, "pin target %s", work->target->object.id);
        dl_op_next(op);
}

static void tell_keep(DlOperation *op)
{
        const TargetWork *work = op->data;

        if (!dl_target_is_managed(work->target))
                dl_op_would(op, "keep target %s connected", work->target->object.id);
        dl_op_next(op);
}

static void keep(DlOperation *op)
{
        TargetWork *work = op->data;

        dl_target_hold(work->target);
        dl_op_result(op, work->target);
        dl_op_next(op);
}

/* What the client is told to be there is there also for a service that is started again. */
static void keep_luns(DlOperation *op)
{
        dl_lun_rows_then(op->core->lun_rows, (void (*)(void *))dl_op_next, op);
}

static const DlStep connect_steps[] = {
        {"connecting", ask, .dry = ask},
        {"connecting", check_wanted, .dry = check_wanted},
        {"connecting the kernel", choose, undo_choose, .dry = tell_choice},
        {"connecting", keep_luns, .firm = true, .dry = dl_op_next},
        {"connecting", pin, .firm = true, .dry = tell_pin},
        {"connecting", keep, .dry = tell_keep},
};

DlJob *dl_flow_connect(DlTarget *target, const DlRequest *request, const DlConnectSpec *spec,
                       GError **error)
{
        TargetWork *work;
        DlOperation *op = start(target, "connect", request, connect_steps,
                                G_N_ELEMENTS(connect_steps), &work, error);

        if (!op)
                return NULL;
        work->guids = g_strdupv((char **)spec->guids);
        work->pin = spec->pin;
        work->data_path = dl_data_path(spec->data_path);
        work->n_paths = spec->n_paths;
        work->interfaces = g_strdupv((char **)spec->interfaces);
        if (work->interfaces && *work->interfaces) /* which QEMU knows nothing of */
                work->data_path = DL_DATA_PATH_BLOCK;
        return &op->job;
}

/* ---- unmanage ------------------------------------------------------------------------------ */

static void check_unused(DlOperation *op)
{
        TargetWork *work = op->data;
        DlTarget *target = work->target;
        g_autoptr(GPtrArray) users = dl_target_users(target);

        if (users->len > 0 && !op->force) {
                DlAttachment *first = users->pdata[0];

                dl_op_failf(
                        op, DL_ERROR_IN_USE,
                        "Target %s is used by VM %s, which runs; unplug its disks, or stop it, first",
                        target->object.id, first->vm->name);
                return;
        }
        dl_op_next(op);
}

static void unpin(DlOperation *op)
{
        set_pinned(op, false);
}

static void let_go(DlOperation *op)
{
        TargetWork *work = op->data;

        work->target->held_until_usec = 0;
        dl_target_update(work->target);
        dl_op_next(op);
}

static void tell_let_go(DlOperation *op)
{
        const TargetWork *work = op->data;

        if (dl_target_is_managed(work->target))
                dl_op_would(op, "let go of target %s", work->target->object.id);
        dl_op_next(op);
}

/* Others may need it. */
static bool may_leave(const DlTarget *target)
{
        return target->has_sessions && !dl_target_is_managed(target) && target->n_jobs == 1;
}

static void leave(DlOperation *op)
{
        TargetWork *work = op->data;

        if (may_leave(work->target))
                dl_op_wait(op, dl_kernel_leave_then(work->target, on_done, op),
                           (void (*)(void *))dl_kernel_leave_cancel);
        else
                dl_op_next(op);
}

static void tell_leave(DlOperation *op)
{
        const TargetWork *work = op->data;

        if (work->target->has_sessions)
                dl_op_would(op,
                            "end the kernel's sessions with target %s that this service has made",
                            work->target->object.id);
        dl_op_next(op);
}

static const DlStep unmanage_steps[] = {
        {"letting go", check_unused, .dry = check_unused},
        {"letting go", unpin, .firm = true, .dry = dl_op_next},
        {"letting go", let_go, .dry = tell_let_go},
        {"ending sessions", leave, .dry = tell_leave},
};

DlJob *dl_flow_unmanage(DlTarget *target, const DlRequest *request, GError **error)
{
        TargetWork *work;

        return (DlJob *)start(target, "unmanage", request, unmanage_steps,
                              G_N_ELEMENTS(unmanage_steps), &work, error);
}

/* ---- rescan -------------------------------------------------------------------------------- */

static void give_luns(DlOperation *op)
{
        TargetWork *work = op->data;
        g_autoptr(GPtrArray) luns = dl_target_luns(work->target);

        for (unsigned i = 0; i < luns->len; i++)
                dl_op_result(op, luns->pdata[i]);
        dl_op_next(op);
}

static const DlStep rescan_steps[] = {
        {"asking the target", ask, .dry = ask},
        {"asking the target", keep_luns, .firm = true, .dry = dl_op_next},
        {"asking the target", give_luns, .dry = give_luns},
};

DlJob *dl_flow_rescan(DlTarget *target, const DlRequest *request, GError **error)
{
        TargetWork *work;

        return (DlJob *)start(target, "rescan", request, rescan_steps, G_N_ELEMENTS(rescan_steps),
                              &work, error);
}

/* ---- credentials --------------------------------------------------------------------------- */

/* What could not be kept must not be what the next login uses. */
static void on_credentials_written(const GError *error, void *userdata)
{
        DlOperation *op = userdata;
        TargetWork *work = op->data;
        const DlChap *before = &work->before;

        if (error)
                dl_target_set_credentials(work->target, before->user, before->secret,
                                          before->target_user, before->target_secret);
        on_done(error, op);
}

static void set_credentials(DlOperation *op)
{
        TargetWork *work = op->data;
        DlTarget *target = work->target;
        const DlChap *chap = &work->chap;

        dl_chap_copy(&work->before, &(DlChap){.user = target->user,
                                              .secret = target->secret,
                                              .target_user = target->target_user,
                                              .target_secret = target->target_secret});
        dl_target_set_credentials(target, chap->user, chap->secret, chap->target_user,
                                  chap->target_secret);
        dl_persist_secrets(target, on_credentials_written, op);
}

static void on_secret_forgotten(const GError *error, void *userdata)
{
        if (error)
                dl_op_report(userdata, "libvirt may still have the secret: %s", error->message);
        dl_op_next(userdata);
}

/* First libvirt's copy: after a crash in between there is still somebody who knows of it. */
static void forget_secret(DlOperation *op)
{
        TargetWork *work = op->data;

        if (work->chap.secret || !work->target->secret_given)
                dl_op_next(op);
        else
                dl_disk_forget_secret(work->target, on_secret_forgotten, op);
}

static void tell_forget_secret(DlOperation *op)
{
        const TargetWork *work = op->data;

        if (!work->chap.secret && work->target->secret_given)
                dl_op_would(op, "take the CHAP secret of target %s from libvirt",
                            work->target->object.id);
        dl_op_next(op);
}

static void tell_credentials(DlOperation *op)
{
        const TargetWork *work = op->data;

        dl_op_would(op,
                    work->chap.secret ? "set the credentials of target %s"
                                      : "remove the credentials of target %s",
                    work->target->object.id);
        dl_op_next(op);
}

static const DlStep credentials_steps[] = {
        {"writing", forget_secret, .firm = true, .dry = tell_forget_secret},
        {"writing", set_credentials, .dry = tell_credentials},
};

DlJob *dl_flow_set_credentials(DlTarget *target, const DlRequest *request, const DlChap *chap,
                               GError **error)
{
        TargetWork *work;
        DlOperation *op = start(target, "set-credentials", request, credentials_steps,
                                G_N_ELEMENTS(credentials_steps), &work, error);

        if (!op)
                return NULL;
        if (chap->user && chap->user[0])
                dl_chap_copy(&work->chap, chap);
        return &op->job;
}

/* ---- forget -------------------------------------------------------------------------------- */

static DlAttachment *find_attachment(DlTarget *target)
{
        g_autoptr(GPtrArray) all = dl_attachments_of(target->object.core, DL_BELONGS_TO_TARGET,
                                                     target->object.id);

        return all->len > 0 ? all->pdata[0] : NULL;
}

static void check_forget(DlOperation *op)
{
        TargetWork *work = op->data;
        DlAttachment *a = find_attachment(work->target);

        if (a)
                dl_op_failf(op, DL_ERROR_IN_USE, "VM %s has a disk on target %s; detach it first",
                            a->vm->name, work->target->object.id);
        else if (work->target->n_jobs > 1)
                dl_op_failf(op, DL_ERROR_BUSY, "Another job works on target %s; wait for it",
                            work->target->object.id);
        else
                dl_op_next(op);
}

static void on_forgotten(const GError *error, void *userdata)
{
        TargetWork *work = ((DlOperation *)userdata)->data;

        if (!error) /* nobody may release it any more */
                work->target = NULL;
        on_done(error, userdata);
}

static void forget(DlOperation *op)
{
        dl_target_forget(((TargetWork *)op->data)->target, on_forgotten, op);
}

static void tell_forget(DlOperation *op)
{
        const TargetWork *work = op->data;

        dl_op_would(op, "forget target %s, with its credentials and what only it showed",
                    work->target->object.id);
        dl_op_next(op);
}

static const DlStep forget_steps[] = {
        {"forgetting", check_forget, .dry = check_forget},
        {"ending sessions", leave, .dry = tell_leave},
        {"forgetting", forget_secret, .firm = true, .dry = tell_forget_secret},
        {"forgetting", check_forget, .dry = check_forget},
        {"forgetting", forget, .dry = tell_forget},
};

DlJob *dl_flow_forget(DlTarget *target, const DlRequest *request, GError **error)
{
        TargetWork *work;

        return (DlJob *)start(target, "forget", request, forget_steps, G_N_ELEMENTS(forget_steps),
                              &work, error);
}
