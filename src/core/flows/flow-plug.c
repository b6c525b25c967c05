/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Hot plug, hot unplug, detach. Loop thread only. */

#include "core/steps/disk-place.h"
#include "core/steps/disk-work.h"
#include "core/steps/image-rules.h"

#define OPERATION_TIMEOUT_USEC (120 * G_USEC_PER_SEC)

/* ---- plug ---------------------------------------------------------------------------------- */

/* The disk comes back to where the guest has seen it, unless somebody else is there by now. */
static bool find_place(DlOperation *op, GError **error)
{
        DlDomainAttachment *meta = dl_disk_work(op)->meta;
        g_autoptr(GPtrArray) others = NULL;
        DlDiskVm vm = dl_disk_work_vm(op, &others);
        g_autoptr(GError) taken = NULL;

        if (!dl_disk_rules_check_vm(meta, &vm, error))
                return false;
        if (meta->address && dl_disk_place_check(meta, &vm, false, &taken))
                return true;
        if (taken)
                dl_op_report(op, "%s; another is used from now on", taken->message);
        return dl_disk_place_choose(meta, &vm, error);
}

static void check_plug(DlOperation *op)
{
        DlDiskWork *work = dl_disk_work(op);
        g_autoptr(GError) error = NULL;

        if (work->if_missed && !dl_disk_work_attachment(op)->left_out)
                dl_op_finish(op);
        else if (!dl_vm_is_active(op->vm))
                dl_op_failf(op, DL_ERROR_VM_NOT_RUNNING, "VM %s does not run", op->vm->name);
        else if (dl_vm_find_disk(op->vm->live, work->disk_alias))
                dl_op_finish(op);
        else if (find_place(op, &error))
                dl_op_next(op);
        else
                dl_op_fail(op, g_steal_pointer(&error));
}

/* Now it is not left out any more. Not before: a plug that fails must not be the last one. */
static void forget_left_out(DlOperation *op)
{
        DlDiskWork *work = dl_disk_work(op);

        if (work->meta->left_out) {
                work->meta->left_out = false;
                dl_step_write_metadata(op);
        } else
                dl_op_next(op);
}

/* What it is to have: another moment to read, or (who writes has no choice) the current image. */
static void choose_image(DlOperation *op)
{
        DlDiskWork *work = dl_disk_work(op);
        DlVDisk *vdisk = DL_LOOKUP_VDISK(op->core, work->vdisk);
        g_autofree char *before = g_strdup(work->meta->image);
        g_autoptr(GError) error = NULL;

        if (!work->image) {
                dl_op_next(op);
                return;
        }
        dl_set_string(&work->meta->image, work->image);
        dl_image_normalize(vdisk, work->meta);
        if (g_strcmp0(work->meta->image, before) == 0)
                dl_op_next(op);
        else if (!dl_image_check_attach(vdisk, work->meta, &error))
                dl_op_fail(op, g_steal_pointer(&error));
        else if (work->in_config || dl_vm_find_disk(op->vm->live, work->disk_alias))
                dl_op_failf(op, DL_ERROR_INVALID_ARGS,
                            "VM %s is using the disk with what it has now; unplug it first, then "
                            "plug it with image %s",
                            op->vm->name, work->image);
        else
                dl_op_next(op);
}

static const DlStep plug_steps[] = {
        {"looking at the VM", dl_step_prove_ahead, dl_undo_prove, .dry = dl_op_next},
        {"looking at the VM", dl_step_look, .dry = dl_step_look},
        {"looking at the VM", dl_step_find, .dry = dl_step_find},
        {"looking at the VM", choose_image, .dry = choose_image},
        {"looking at the VM", check_plug, .dry = check_plug},
        {"proving the LUN", dl_step_prove, dl_undo_prove, .dry = dl_step_prove},
        {"plugging", dl_op_next, dl_undo_look, .dry = dl_op_next},
        {"plugging", dl_step_begin, dl_undo_begin, .firm = true, .dry = dl_dry_begin},
        {"plugging", dl_step_give_secret, .dry = dl_dry_give_secret},
        {"plugging", dl_step_write_metadata, .dry = dl_dry_write_metadata},
        {"plugging", dl_step_add_controller, .dry = dl_dry_add_controller},
        {"plugging", dl_step_attach_config, dl_undo_attach_config, .dry = dl_dry_attach_config},
        {"plugging", dl_step_plug_controller, .dry = dl_op_next},
        {"plugging", dl_step_attach_live, .dry = dl_dry_attach_live},
        {"plugging", forget_left_out, .dry = dl_op_next},
        {"looking at the VM", dl_step_look_at_plugged, .dry = dl_op_next},
        {"finishing", dl_step_settle, .dry = dl_op_next},
};

static DlOperation *start(DlAttachment *attachment, const char *operation, DlIntentKind kind,
                          const DlRequest *request, const DlStep *steps, unsigned n_steps,
                          GError **error)
{
        DlDiskWork *work = dl_disk_work_new(kind, attachment->meta->vdisk, attachment->meta);
        DlOperation *op;

        work->plug = kind == DL_INTENT_PLUG;
        op = dl_op_new(attachment->object.core, operation, request, steps, n_steps,
                       OPERATION_TIMEOUT_USEC, work, dl_disk_work_free, error);
        if (!op)
                return NULL;
        dl_op_concerns(op, DL_KIND_ATTACHMENT, attachment->object.id);
        dl_op_on_vm(op, attachment->vm);
        return op;
}

DlJob *dl_flow_plug(DlAttachment *attachment, const DlRequest *request, GError **error)
{
        return (DlJob *)start(attachment, "hot-plug", DL_INTENT_PLUG, request, plug_steps,
                              G_N_ELEMENTS(plug_steps), error);
}

DlJob *dl_flow_plug_missing(DlAttachment *attachment, const DlRequest *request, GError **error)
{
        DlOperation *op = start(attachment, "hot-plug", DL_INTENT_PLUG, request, plug_steps,
                                G_N_ELEMENTS(plug_steps), error);

        if (op)
                dl_disk_work(op)->if_missed = true;
        return (DlJob *)op;
}

DlJob *dl_flow_plug_image(DlAttachment *attachment, const DlRequest *request, const char *image,
                          GError **error)
{
        DlOperation *op = start(attachment, "hot-plug", DL_INTENT_PLUG, request, plug_steps,
                                G_N_ELEMENTS(plug_steps), error);

        if (op)
                dl_disk_work(op)->image = g_strdup(image);
        return (DlJob *)op;
}

/* ---- unplug -------------------------------------------------------------------------------- */

/* Not by force. */
static void check_known(DlOperation *op)
{
        const DlDiskWork *work = dl_disk_work(op);
        const DlDomain *domain = op->vm->live ? op->vm->live : op->vm->inactive;
        g_autoptr(GError) error = NULL;

        if (op->force || dl_image_check_known(op->vm, work->meta,
                                              dl_vm_find_disk(domain, work->disk_alias), &error))
                dl_op_next(op);
        else
                dl_op_fail(op, g_steal_pointer(&error));
}

static void check_unplug(DlOperation *op)
{
        DlDiskWork *work = dl_disk_work(op);

        if (!dl_vm_is_active(op->vm))
                dl_op_failf(op, DL_ERROR_VM_NOT_RUNNING, "VM %s does not run", op->vm->name);
        else if (!dl_vm_find_disk(op->vm->live, work->disk_alias) && !work->in_config)
                dl_op_finish(op);
        else
                dl_op_next(op);
}

static const DlStep unplug_steps[] = {
        {"looking at the VM", dl_step_look, .dry = dl_step_look},
        {"looking at the VM", dl_step_find, .dry = dl_step_find},
        {"looking at the VM", check_unplug, .dry = check_unplug},
        {"looking at the VM", check_known, .dry = check_known},
        {"waiting for the guest", dl_step_begin, dl_undo_begin, .firm = true, .dry = dl_dry_begin},
        {"waiting for the guest", dl_step_write_metadata, .dry = dl_dry_write_metadata},
        {"waiting for the guest", dl_step_detach_live, .open = true, .dry = dl_dry_detach_live},
        {"unplugging", dl_step_detach_config, .firm = true, .dry = dl_dry_detach_config},
        {"looking at the VM", dl_step_look, .dry = dl_op_next},
        {"finishing", dl_step_settle, .dry = dl_op_next},
};

DlJob *dl_flow_unplug(DlAttachment *attachment, const DlRequest *request, GError **error)
{
        return (DlJob *)start(attachment, "hot-unplug", DL_INTENT_UNPLUG, request, unplug_steps,
                              G_N_ELEMENTS(unplug_steps), error);
}

/* ---- detach -------------------------------------------------------------------------------- */

static const DlStep detach_steps[] = {
        {"looking at the VM", dl_step_look, .dry = dl_step_look},
        {"looking at the VM", dl_step_find, .dry = dl_step_find},
        {"looking at the VM", check_known, .dry = check_known},
        {"waiting for the guest", dl_step_begin, dl_undo_begin, .firm = true, .dry = dl_dry_begin},
        {"waiting for the guest", dl_step_detach_live, .open = true, .dry = dl_dry_detach_live},
        {"detaching", dl_step_detach_config, .firm = true, .dry = dl_dry_detach_config},
        {"detaching", dl_step_remove_metadata, .dry = dl_dry_remove_metadata},
        {"looking at the VM", dl_step_look, .dry = dl_op_next},
        {"finishing", dl_step_settle, .dry = dl_op_next},
};

DlJob *dl_flow_detach(DlAttachment *attachment, const DlRequest *request, GError **error)
{
        return (DlJob *)start(attachment, "detach", DL_INTENT_DETACH, request, detach_steps,
                              G_N_ELEMENTS(detach_steps), error);
}
