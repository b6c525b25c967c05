/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Snapshots: from one moment on a vDisk is written to a file of its own, over what was there
 * before. Of a running VM, of one that is off, or of none. Loop thread only.
 */

#include "core/steps/image-work.h"

#include <string.h>

#define OPERATION_TIMEOUT_USEC (120 * G_USEC_PER_SEC)

/* ---- what can be refused ------------------------------------------------------------------- */

static bool check_attachment(DlOperation *op, GError **error)
{
        const DlDomainAttachment *meta = dl_disk_work(op)->meta;
        int code = DL_ERROR_UNSUPPORTED_INTERFACE;
        const char *problem = NULL;

        if (op->vm && strcmp(meta->device, "lun") == 0)
                problem = "passes SCSI commands through to the LUN, past any image; attach it as "
                          "device disk";
        else if (op->vm && meta->readonly) {
                problem = "is read-only there; nothing can change it";
                code = DL_ERROR_INVALID_ARGS;
        }
        if (problem)
                g_set_error(error, DL_ERROR, code, "The disk of VM %s %s", op->vm->name, problem);
        return !problem;
}

static bool check_quiesce(DlOperation *op, GError **error)
{
        if (!dl_image_work(op)->quiesce || !dl_image_work_live(op))
                return true; /* what does not run is quiet */
        if (op->vm->live->guest_agent)
                return true;
        g_set_error(error, DL_ERROR, DL_ERROR_INVALID_ARGS,
                    "No guest agent answers in VM %s, so its file systems cannot be frozen; "
                    "start it there, or ask without quiesce",
                    op->vm->name);
        return false;
}

static bool check_depth(DlOperation *op, GError **error)
{
        const DlVDisk *vdisk = dl_image_work_vdisk(op);
        unsigned max = op->core->settings->images_max;

        if (vdisk->images->len <= max)
                return true;
        g_set_error(error, DL_ERROR, DL_ERROR_LIMITS_EXCEEDED,
                    "vDisk %s has %u snapshots already; merge one first", vdisk->alias, max);
        return false;
}

static void check(DlOperation *op)
{
        g_autoptr(GError) error = NULL;

        if (check_attachment(op, &error) && check_quiesce(op, &error) && check_depth(op, &error))
                dl_op_next(op);
        else
                dl_op_fail(op, g_steal_pointer(&error));
}

/* A guest goes on with the size that it sees; of a LUN that has grown it is told for itself. */
static void on_sizes(DlVirtDiskSize *const *sizes, size_t n_sizes, const GError *error,
                     void *userdata)
{
        const char *alias = dl_disk_work(userdata)->disk_alias;

        for (size_t i = 0; i < n_sizes; i++)
                if (strcmp(sizes[i]->alias, alias) == 0)
                        dl_image_work(userdata)->bytes = sizes[i]->bytes;
        if (error)
                dl_op_fail(userdata, g_error_copy(error));
        else
                dl_op_next(userdata);
}

static void ask_size(DlOperation *op)
{
        if (dl_image_work_live(op))
                dl_op_wait(op,
                           dl_virt_get_disk_sizes(op->core->virt, op->vm->object.id, on_sizes, op),
                           (void (*)(void *))dl_virt_cancel);
        else
                dl_op_next(op);
}

/* ---- side effects -------------------------------------------------------------------------- */

static void decide(DlOperation *op)
{
        const DlVDisk *vdisk = dl_image_work_vdisk(op);
        DlDiskWork *work = dl_disk_work(op);
        DlImageWork *iw = dl_image_work(op);
        DlImage *image = dl_image_new(dl_wallclock(), work->image, work->file);

        image->quiesced = iw->quiesce && dl_image_work_live(op);
        iw->images = dl_images_copy(vdisk->images);
        g_ptr_array_add(iw->images, image);
        dl_op_next(op);
}

/* QEMU flushes the LUN within the command, over the connection that it has: no end of which would
 * help, since it waits for the flush on the next. */
static GError *explain(const GError *error)
{
        if (dl_error_code(error) != DL_ERROR_TIMED_OUT)
                return NULL;
        return g_error_new(DL_ERROR, DL_ERROR_TIMED_OUT,
                           "The snapshot has not ended in time: the portal of the LUN has fallen "
                           "silent, or the guest's agent has, and the VM may stand still until it "
                           "answers. What has become of it is found out then; see Images");
}

static void on_snapshot(const GError *error, void *userdata)
{
        g_autoptr(GError) own = explain(error);

        if (!error) /* the guest writes to it */
                dl_disk_work(userdata)->leave_to_recovery = true;
        dl_disk_called(own ? own : error, userdata);
}

static void take(DlOperation *op)
{
        const DlSettings *settings = op->core->settings;
        const DlDiskWork *work = dl_disk_work(op);
        uint64_t agent = dl_image_work(op)->quiesce ? settings->agent_timeout_usec : 0;

        if (!dl_image_work_live(op)) {
                dl_op_next(op);
                return;
        }
        dl_op_wait(op,
                   dl_virt_snapshot(op->core->virt, op->vm->object.id, work->disk_alias, work->file,
                                    (unsigned)(agent / G_USEC_PER_SEC),
                                    settings->attach_timeout_usec + agent, on_snapshot, op),
                   (void (*)(void *))dl_virt_cancel);
}

static void tell_take(DlOperation *op)
{
        if (dl_image_work_live(op))
                dl_op_would(op, "lay an image over the disk of the running VM %s", op->vm->name);
        dl_op_next(op);
}

static void give_uid(DlOperation *op)
{
        op->job.result_string = g_strdup(dl_disk_work(op)->image);
        dl_op_next(op);
}

static void tell_uid(DlOperation *op)
{
        op->job.result_string = g_strdup("");
        dl_op_next(op);
}

static void tell_stack(DlOperation *op)
{
        dl_op_would(op, "add an image to vDisk %s", dl_disk_work(op)->vdisk);
        dl_op_next(op);
}

static const DlStep snapshot_steps[] = {
        {"looking at the VM", dl_step_image_look, .dry = dl_step_image_look},
        {"looking at the VM", dl_step_image_find, .dry = dl_step_image_find},
        {"checking", check, .dry = check},
        {"proving the LUN", dl_step_prove, dl_undo_prove, .dry = dl_step_prove},
        {"looking at the VM", ask_size, .dry = ask_size},
        {"making an image", dl_op_next, dl_undo_image_look, .dry = dl_op_next},
        {"making an image", dl_step_begin, dl_undo_begin, .firm = true, .dry = dl_dry_begin},
        {"making an image", decide, .dry = dl_op_next},
        {"making an image", dl_step_make_file, dl_undo_make_file, .dry = dl_dry_make_file},
        {"making an image", dl_step_write_chain, dl_undo_write_chain, .dry = dl_dry_write_chain},
        {"taking the snapshot", take, .dry = tell_take},
        {"finishing", dl_step_write_stack, .dry = tell_stack},
        {"looking at the VM", dl_step_image_look, .dry = dl_op_next},
        {"finishing", dl_step_settle, .dry = dl_op_next},
        {"finishing", give_uid, .dry = tell_uid},
};

/* ---- the flow ------------------------------------------------------------------------------ */

DlJob *dl_flow_snapshot(DlVDisk *vdisk, const DlRequest *request, bool quiesce, GError **error)
{
        DlCore *core = vdisk->object.core;
        DlAttachment *writer = NULL;
        DlDiskWork *work;
        DlOperation *op;

        if (!dl_image_writer(vdisk, &writer, error))
                return NULL;
        work = dl_image_work_new(DL_INTENT_SNAPSHOT, vdisk->object.id, vdisk->guid);
        work->image = g_uuid_string_random();
        work->file = dl_image_new_file(core, work->image);
        ((DlImageWork *)work->extra)->quiesce = quiesce;
        op = DL_OP_NEW(core, "snapshot", request, snapshot_steps, OPERATION_TIMEOUT_USEC, work,
                       dl_disk_work_free, error);
        if (!op)
                return NULL;
        dl_op_concerns(op, DL_KIND_VDISK, vdisk->object.id);
        if (writer)
                dl_op_on_vm(op, writer->vm);
        return (DlJob *)op;
}
