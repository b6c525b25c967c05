/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Making a vDisk what it was at the moment of one of its images, while nothing runs with it. Loop
 * thread only.
 */

#include "core/steps/image-work.h"
#include "core/steps/vdisk-create.h"

#include <string.h>

#define OPERATION_TIMEOUT_USEC (120 * G_USEC_PER_SEC)

/* ---- checks -------------------------------------------------------------------------------- */

static bool check_image(DlVDisk *vdisk, const char *uid, unsigned *ret_index, GError **error)
{
        const char *problem = NULL;

        if (!dl_vdisk_find_image(vdisk, uid, ret_index))
                problem = "is none of this vDisk; see its Images";
        else if (dl_image_is_lost(vdisk, *ret_index))
                problem = "is lost: a merge into what was there then has been begun. Complete the "
                          "merge, or revert to an earlier one";
        if (problem)
                g_set_error(error, DL_ERROR, DL_ERROR_INVALID_ARGS, "Image %s of vDisk %s %s", uid,
                            vdisk->alias, problem);
        return !problem && dl_image_check_readers(vdisk, *ret_index, error);
}

static void check_not_running(DlOperation *op)
{
        if (dl_image_work_live(op))
                dl_op_failf(op, DL_ERROR_VM_RUNNING,
                            "VM %s runs with the disk, whose data cannot change under it; stop it, "
                            "or unplug the disk, first",
                            op->vm->name);
        else
                dl_op_next(op);
}

static void check(DlOperation *op)
{
        g_autoptr(GError) error = NULL;
        unsigned index = 0;

        if (check_image(dl_image_work_vdisk(op), dl_disk_work(op)->image, &index, &error))
                check_not_running(op);
        else
                dl_op_fail(op, g_steal_pointer(&error));
}

/* ---- what it is to be ---------------------------------------------------------------------- */

static void decide(DlOperation *op)
{
        const DlVDisk *vdisk = dl_image_work_vdisk(op);
        DlDiskWork *work = dl_disk_work(op);
        DlImageWork *iw = dl_image_work(op);
        g_autoptr(GPtrArray) drop = g_ptr_array_new();
        unsigned index = 0;

        (void)dl_vdisk_find_image(vdisk, work->image, &index);
        for (unsigned i = MAX(index, 1); i < vdisk->images->len; i++) {
                const char *file = ((DlImage *)vdisk->images->pdata[i])->file;

                g_ptr_array_add(iw->drop, g_strdup(file));
                g_ptr_array_add(drop, g_strdup(file));
        }
        g_ptr_array_add(drop, NULL);
        work->drop = (char **)g_ptr_array_free(g_steal_pointer(&drop), FALSE);
        work->file = index > 0 ? dl_image_new_file(op->core, work->image) : NULL;
        iw->images = dl_images_reverted(vdisk->images, index, work->file);
        dl_op_next(op);
}

static void tell_stack(DlOperation *op)
{
        dl_op_would(op, "drop %u images of vDisk %s, and what has been written since",
                    dl_image_work(op)->drop->len, dl_disk_work(op)->vdisk);
        dl_op_next(op);
}

static const DlStep revert_steps[] = {
        {"looking at the VM", dl_step_image_look, .dry = dl_step_image_look},
        {"looking at the VM", dl_step_image_find, .dry = dl_step_image_find},
        {"checking", check, .dry = check},
        {"checking", decide, .dry = decide},
        {"reverting", dl_op_next, dl_undo_image_look, .dry = dl_op_next},
        {"reverting", dl_step_begin, dl_undo_begin, .firm = true, .dry = dl_dry_begin},
        {"reverting", dl_step_make_file, dl_undo_make_file, .dry = dl_dry_make_file},
        {"reverting", dl_step_write_chain, dl_undo_write_chain, .dry = dl_dry_write_chain},
        /* Somebody else may have started it with the old images. */
        {"looking at the VM", dl_step_image_look, .dry = dl_op_next},
        {"looking at the VM", check_not_running, .dry = dl_op_next},
        {"finishing", dl_step_write_stack, .dry = tell_stack},
        {"finishing", dl_step_drop_files, .dry = dl_op_next},
        {"looking at the VM", dl_step_image_look, .dry = dl_op_next},
        {"finishing", dl_step_settle, .dry = dl_op_next},
};

static DlOperation *start(DlVDisk *vdisk, const char *operation, const DlRequest *request,
                          const DlStep *steps, unsigned n_steps, const char *uid, GError **error)
{
        DlDiskWork *work = dl_image_work_new(DL_INTENT_REVERT, vdisk->object.id, vdisk->guid);
        DlOperation *op;

        work->image = g_strdup(uid);
        op = dl_op_new(vdisk->object.core, operation, request, steps, n_steps,
                       OPERATION_TIMEOUT_USEC, work, dl_disk_work_free, error);
        if (op)
                dl_op_concerns(op, DL_KIND_VDISK, vdisk->object.id);
        return op;
}

DlJob *dl_flow_revert(DlVDisk *vdisk, const DlRequest *request, const char *uid, GError **error)
{
        DlAttachment *writer = NULL;
        unsigned index = 0;
        DlOperation *op;

        if (!check_image(vdisk, uid, &index, error) || !dl_image_writer(vdisk, &writer, error))
                return NULL;
        op = start(vdisk, "revert", request, revert_steps, G_N_ELEMENTS(revert_steps), uid, error);
        if (op && writer)
                dl_op_on_vm(op, writer->vm);
        return (DlJob *)op;
}

/* ---- deleting a vDisk with its images ------------------------------------------------------ */

static void check_unattached(DlOperation *op)
{
        DlVDisk *vdisk = dl_image_work_vdisk(op);
        g_autoptr(GPtrArray) attachments = vdisk ? dl_vdisk_attachments(vdisk) : NULL;

        if (!vdisk)
                dl_op_failf(op, DL_ERROR_LUN_NOT_FOUND, "The vDisk %s was deleted",
                            dl_disk_work(op)->vdisk);
        else if (attachments->len > 0)
                dl_op_failf(op, DL_ERROR_IN_USE, "vDisk %s is attached to VM %s; detach it first",
                            vdisk->alias, ((DlAttachment *)attachments->pdata[0])->vm->name);
        else
                dl_op_next(op);
}

static void on_removed(const GError *error, void *userdata)
{
        if (error)
                dl_op_fail(userdata, g_error_copy(error));
        else
                dl_op_next(userdata);
}

static void remove_vdisk(DlOperation *op)
{
        DlVDisk *vdisk = dl_image_work_vdisk(op);

        if (vdisk)
                dl_vdisk_remove(vdisk, on_removed, op);
        else
                dl_op_next(op);
}

static void tell_remove(DlOperation *op)
{
        dl_op_would(op, "delete the vDisk %s; the data of its LUN stay", dl_disk_work(op)->vdisk);
        dl_op_next(op);
}

/* The LUN is what it was at the first snapshot; what has been written since goes with the images.
 */
static const DlStep delete_steps[] = {
        {"deleting", check_unattached, .dry = check_unattached},
        {"deleting", decide, .dry = decide},
        {"deleting", dl_step_begin, dl_undo_begin, .firm = true, .dry = dl_dry_begin},
        {"deleting", dl_step_write_stack, .dry = tell_stack},
        {"deleting", dl_step_drop_files, .dry = dl_op_next},
        {"deleting", remove_vdisk, .dry = tell_remove},
        {"deleting", dl_step_settle, .dry = dl_op_next},
};

DlJob *dl_flow_delete_with_images(DlVDisk *vdisk, const DlRequest *request, GError **error)
{
        const DlImage *raw = vdisk->images->pdata[0];

        return (DlJob *)start(vdisk, "delete-vdisk", request, delete_steps,
                              G_N_ELEMENTS(delete_steps), raw->uid, error);
}
