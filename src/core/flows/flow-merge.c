/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Merging an image into what is below it, under a running VM. QEMU copies; when it has caught up,
 * the VM goes on without the image. The copying takes as long as it takes, and others may have the
 * VM meanwhile. Loop thread only.
 */

#include "core/steps/guest-size.h"
#include "core/steps/image-work.h"
#include "core/steps/vdisk-create.h"

#include <string.h>

#define PAUSE_MIN_USEC (50 * 1000)
#define PAUSE_MAX_USEC (500 * 1000)

/* ---- checks -------------------------------------------------------------------------------- */

static bool check_image(DlVDisk *vdisk, const char *uid, unsigned *ret_index, GError **error)
{
        if (!dl_vdisk_find_image(vdisk, uid, ret_index)) {
                g_set_error(error, DL_ERROR, DL_ERROR_INVALID_ARGS,
                            "vDisk %s has no image %s; see its Images", vdisk->alias, uid);
                return false;
        }
        if (*ret_index > 0)
                return dl_image_check_readers(vdisk, *ret_index - 1, error);
        g_set_error(error, DL_ERROR, DL_ERROR_INVALID_ARGS,
                    "Image %s is the LUN itself; there is nothing below it", uid);
        return false;
}

static const char *how_to_run(const DlOperation *op)
{
        if (!op->vm)
                return "attach it to a VM, run that";
        return dl_vm_is_active(op->vm) ? "plug the disk" : "run its VM";
}

static void check(DlOperation *op)
{
        DlVDisk *vdisk = dl_image_work_vdisk(op);
        DlDiskWork *work = dl_disk_work(op);
        g_autoptr(GError) error = NULL;
        unsigned index = 0;

        if (!check_image(vdisk, work->image, &index, &error))
                dl_op_fail(op, g_steal_pointer(&error));
        else if (!dl_image_work_live(op))
                dl_op_failf(op, DL_ERROR_VM_NOT_RUNNING,
                            "Images are merged by a VM that runs with them, and none runs with "
                            "vDisk %s now: %s, then merge. To drop what the images hold instead, "
                            "revert the vDisk",
                            vdisk->alias, how_to_run(op));
        else {
                dl_set_string(&work->file, ((DlImage *)vdisk->images->pdata[index])->file);
                dl_image_work(op)->is_top = index + 1 == vdisk->images->len;
                dl_op_next(op);
        }
}

/* The LUN has room for what it is the image of; a file grows. */
static void check_room(DlOperation *op)
{
        const DlVDisk *vdisk = dl_image_work_vdisk(op);
        const DlDiskWork *work = dl_disk_work(op);
        unsigned index = 0;

        if (!vdisk || !dl_vdisk_find_image(vdisk, work->image, &index) || index < 2)
                dl_op_next(op);
        else
                dl_op_wait(op, dl_virt_check_room(op->core->virt, work->file, dl_disk_called, op),
                           (void (*)(void *))dl_virt_cancel);
}

/* ---- the journal's side -------------------------------------------------------------------- */

static void on_marked(const GError *error, void *userdata)
{
        if (error)
                dl_op_fail(userdata, g_error_copy(error));
        else
                dl_op_next(userdata);
}

static void decide(DlOperation *op)
{
        const DlVDisk *vdisk = dl_image_work_vdisk(op);
        const DlDiskWork *work = dl_disk_work(op);
        DlImageWork *iw = dl_image_work(op);
        unsigned index = 0;

        (void)dl_vdisk_find_image(vdisk, work->image, &index);
        iw->images = dl_images_copy(vdisk->images);
        g_ptr_array_remove_index(iw->images, index);
        g_ptr_array_add(iw->drop, g_strdup(work->file));
        dl_op_next(op);
}

/* What is below will be what it was at that moment no longer, whatever becomes of the merge. */
static void mark_spoiled(DlOperation *op)
{
        DlVDisk *vdisk = dl_image_work_vdisk(op);
        g_autoptr(GPtrArray) images = dl_images_copy(vdisk->images);
        unsigned index = 0;

        (void)dl_vdisk_find_image(vdisk, dl_disk_work(op)->image, &index);
        ((DlImage *)images->pdata[index])->spoiled = true;
        dl_vdisk_write_images(vdisk, images, on_marked, op);
}

/* ---- the size ------------------------------------------------------------------------------ */

static void on_resized(const GError *error, void *userdata)
{
        if (error)
                dl_op_report(userdata, "The VM is not told that its LUN has grown: %s",
                             error->message);
        dl_op_next(userdata);
}

/* Of a LUN that has grown: QEMU resizes no disk while it copies; and a guest is not told by QEMU
 * that what it goes on with, without the image, is larger than the image was. */
static void resize(DlOperation *op)
{
        const DlDiskWork *work = dl_disk_work(op);
        const DlAttachment *a = dl_disk_work_attachment(op);
        const DlLun *lun = DL_LOOKUP_LUN(op->core, work->meta->guid);

        if (a && lun && strcmp(a->resize_pending, "refresh") == 0)
                dl_op_wait(op,
                           dl_virt_resize_disk(op->core->virt, op->vm->object.id, work->disk_alias,
                                               lun->capacity, on_resized, op),
                           (void (*)(void *))dl_virt_cancel);
        else
                dl_op_next(op);
}

static void follow_size(DlOperation *op)
{
        DlLun *lun = DL_LOOKUP_LUN(op->core, dl_disk_work(op)->meta->guid);

        if (lun)
                dl_guest_sizes_follow_lun(lun);
        dl_op_next(op);
}

/* ---- the copying --------------------------------------------------------------------------- */

static void start_copying(DlOperation *op)
{
        const DlDiskWork *work = dl_disk_work(op);

        dl_op_wait(op,
                   dl_virt_commit_image(op->core->virt, op->vm->object.id, work->disk_alias,
                                        work->file, dl_image_work(op)->bytes_per_sec,
                                        op->core->settings->attach_timeout_usec, dl_disk_called,
                                        op),
                   (void (*)(void *))dl_virt_cancel);
}

static void tell_copying(DlOperation *op)
{
        dl_op_would(op, "merge image %s into what is below it", dl_disk_work(op)->image);
        dl_op_next(op);
}

/* What has ended needs no end: of the VM, for example. */
static void on_ended(const GError *error, void *userdata)
{
        int code = dl_error_code(error);

        if (code == DL_ERROR_VM_NOT_RUNNING || code == DL_ERROR_NOT_ATTACHED)
                error = NULL;
        dl_disk_called(error, userdata);
}

static void stop_copying(DlOperation *op)
{
        if (dl_disk_is_left_to_recovery(op))
                dl_op_next(op);
        else
                dl_op_wait(op,
                           dl_virt_end_block_job(op->core->virt, op->vm->object.id,
                                                 dl_disk_work(op)->disk_alias, false, on_ended, op),
                           (void (*)(void *))dl_virt_cancel);
}

static void stop_watching(void *p)
{
        DlImageWork *iw = dl_image_work(p);

        iw->timer = sd_event_source_disable_unref(iw->timer);
        dl_virt_cancel(iw->call);
        iw->call = NULL;
}

static void look_at_copying(DlOperation *op);

static int on_pause_over(sd_event_source *source, uint64_t usec, void *userdata)
{
        DlImageWork *iw = dl_image_work(userdata);

        iw->timer = sd_event_source_disable_unref(iw->timer);
        look_at_copying(userdata);
        return 0;
}

static void pause_copying(DlOperation *op)
{
        DlImageWork *iw = dl_image_work(op);
        int r;

        iw->pause_usec = CLAMP(iw->pause_usec * 2, PAUSE_MIN_USEC, PAUSE_MAX_USEC);
        r = sd_event_add_time_relative(op->core->event, &iw->timer, CLOCK_MONOTONIC, iw->pause_usec,
                                       0, on_pause_over, op);
        if (r < 0)
                dl_op_failf(op, DL_ERROR_FAILED, "No timer: %s", g_strerror(-r));
}

static void on_copying(const DlVirtBlockJob *job, const GError *error, void *userdata)
{
        DlOperation *op = userdata;
        DlImageWork *iw = dl_image_work(op);

        iw->call = NULL;
        if (error && dl_error_code(error) != DL_ERROR_TIMED_OUT) {
                dl_op_fail(op, g_error_copy(error));
                return;
        }
        if (job && job->total > 0)
                dl_op_progress(op, (double)job->done / (double)job->total);
        iw->ready = job && job->ready;
        if (iw->ready || (job && !job->running))
                dl_op_next(op);
        else
                pause_copying(op);
}

static void look_at_copying(DlOperation *op)
{
        dl_image_work(op)->call = dl_virt_get_block_job(
                op->core->virt, op->vm->object.id, dl_disk_work(op)->disk_alias, on_copying, op);
}

static void watch(DlOperation *op)
{
        look_at_copying(op);
        dl_op_wait(op, op, stop_watching);
}

/* ---- going on without the image ------------------------------------------------------------ */

static void pivot(DlOperation *op)
{
        const DlImageWork *iw = dl_image_work(op);

        if (!iw->is_top || !iw->ready) /* what has become of it is looked at next */
                dl_op_next(op);
        else
                dl_op_wait(op,
                           dl_virt_end_block_job(op->core->virt, op->vm->object.id,
                                                 dl_disk_work(op)->disk_alias, true, dl_disk_called,
                                                 op),
                           (void (*)(void *))dl_virt_cancel);
}

static void check_merged(DlOperation *op)
{
        const DlDomainDisk *live = dl_image_work_live(op);
        DlDiskWork *work = dl_disk_work(op);

        if (!live)
                dl_op_failf(op, DL_ERROR_VM_NOT_RUNNING,
                            "VM %s does not run with the disk any more; its image stays",
                            op->vm->name);
        else if (dl_image_chain_has(live, work->file))
                dl_op_failf(op, DL_ERROR_LIBVIRT_ERROR,
                            "libvirt: the merge ended without success; its log, and QEMU's, tell "
                            "why. The image stays");
        else {
                work->leave_to_recovery = true; /* there is no way back */
                dl_op_next(op);
        }
}

static const DlStep merge_steps[] = {
        {"looking at the VM", dl_step_image_look, .dry = dl_step_image_look},
        {"looking at the VM", dl_step_image_find, .dry = dl_step_image_find},
        {"checking", check, .dry = check},
        {"checking", check_room, .dry = check_room},
        {"proving the LUN", dl_step_prove, dl_undo_prove, .dry = dl_step_prove},
        {"merging", dl_op_next, dl_undo_image_look, .dry = dl_op_next},
        {"merging", dl_step_begin, dl_undo_begin, .firm = true, .dry = dl_dry_begin},
        {"merging", decide, .dry = dl_op_next},
        {"merging", mark_spoiled, .dry = dl_op_next},
        {"merging", resize, .dry = dl_op_next},
        {"merging", start_copying, stop_copying, .dry = tell_copying},
        {"merging", dl_step_let_others, dl_step_take_vm, .dry = dl_op_next},
        {"merging", watch, .open = true, .dry = dl_op_next},
        {"merging", dl_step_take_vm, .open = true, .dry = dl_op_next},
        {"leaving the image", pivot, .firm = true, .dry = dl_op_next},
        {"leaving the image", dl_step_look, .dry = dl_op_next},
        {"leaving the image", check_merged, .dry = dl_op_next},
        {"finishing", dl_step_write_chain, .dry = dl_op_next},
        {"finishing", dl_step_write_stack, .dry = dl_op_next},
        {"finishing", dl_step_drop_files, .dry = dl_op_next},
        {"looking at the VM", dl_step_look, .dry = dl_op_next},
        {"finishing", dl_step_settle, .dry = dl_op_next},
        {"finishing", follow_size, .dry = dl_op_next},
};

DlJob *dl_flow_merge(DlVDisk *vdisk, const DlRequest *request, const char *uid,
                     uint64_t bytes_per_sec, GError **error)
{
        DlCore *core = vdisk->object.core;
        DlAttachment *writer = NULL;
        unsigned index = 0;
        DlDiskWork *work;
        DlOperation *op;

        if (!check_image(vdisk, uid, &index, error) || !dl_image_writer(vdisk, &writer, error))
                return NULL;
        work = dl_image_work_new(DL_INTENT_MERGE, vdisk->object.id, vdisk->guid);
        work->image = g_strdup(uid);
        work->file = g_strdup(((DlImage *)vdisk->images->pdata[index])->file);
        ((DlImageWork *)work->extra)->bytes_per_sec = bytes_per_sec;
        op = DL_OP_NEW(core, "merge", request, merge_steps, 0, work, dl_disk_work_free, error);
        if (!op)
                return NULL;
        dl_op_concerns(op, DL_KIND_VDISK, vdisk->object.id);
        if (writer)
                dl_op_on_vm(op, writer->vm);
        return (DlJob *)op;
}
