/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Shared steps of the flows on images. Loop thread only. */

#include "core/steps/image-work.h"
#include "core/steps/vdisk-create.h"

#include <string.h>

static void image_work_free(void *p)
{
        DlImageWork *iw = p;

        sd_event_source_disable_unref(iw->timer);
        dl_virt_cancel(iw->call);
        g_clear_pointer(&iw->images, g_ptr_array_unref);
        g_ptr_array_unref(iw->drop);
        g_free(iw);
}

DlDiskWork *dl_image_work_new(DlIntentKind kind, const char *vdisk, const char *guid)
{
        DlDomainAttachment meta = {.guid = (char *)guid}; /* all that there is without a VM */
        DlDiskWork *work = dl_disk_work_new(kind, vdisk, &meta);
        DlImageWork *iw = g_new0(DlImageWork, 1);

        iw->drop = g_ptr_array_new_with_free_func(g_free);
        work->extra = iw;
        work->free_extra = image_work_free;
        return work;
}

DlImageWork *dl_image_work(DlOperation *op)
{
        return dl_disk_work(op)->extra;
}

DlVDisk *dl_image_work_vdisk(DlOperation *op)
{
        return DL_LOOKUP_VDISK(op->core, dl_disk_work(op)->vdisk);
}

const DlDomainDisk *dl_image_work_live(DlOperation *op)
{
        return op->vm ? dl_vm_find_disk(op->vm->live, dl_disk_work(op)->disk_alias) : NULL;
}

const DlDomainDisk *dl_image_work_config(DlOperation *op)
{
        return op->vm ? dl_vm_find_disk(op->vm->inactive, dl_disk_work(op)->disk_alias) : NULL;
}

char *dl_image_new_file(const DlCore *core, const char *uid)
{
        g_autofree char *name = g_strdup_printf("%s.%08x.qcow2", uid, g_random_int());

        return g_build_filename(core->settings->image_directory, name, NULL);
}

/* ---- looking ------------------------------------------------------------------------------- */

void dl_step_image_look(DlOperation *op)
{
        if (op->vm)
                dl_step_look(op);
        else
                dl_op_next(op);
}

void dl_undo_image_look(DlOperation *op)
{
        if (op->vm)
                dl_undo_look(op);
        else
                dl_op_next(op);
}

void dl_step_image_find(DlOperation *op)
{
        DlVDisk *vdisk = dl_image_work_vdisk(op);
        g_autoptr(GError) error = NULL;
        DlAttachment *writer = NULL;

        if (!vdisk)
                dl_op_failf(op, DL_ERROR_LUN_NOT_FOUND, "The vDisk %s was deleted",
                            dl_disk_work(op)->vdisk);
        else if (!dl_image_writer(vdisk, &writer, &error))
                dl_op_fail(op, g_steal_pointer(&error));
        else if ((writer ? writer->vm : NULL) != op->vm)
                dl_op_failf(op, DL_ERROR_BUSY,
                            "vDisk %s was attached or detached meanwhile; try again", vdisk->alias);
        else if (writer &&
                 (!dl_image_check_known(op->vm, writer->meta, dl_image_work_live(op), &error) ||
                  !dl_image_check_known(op->vm, writer->meta, dl_image_work_config(op), &error)))
                dl_op_fail(op, g_steal_pointer(&error));
        else if (writer)
                dl_step_find(op);
        else
                dl_op_next(op);
}

/* ---- the file ------------------------------------------------------------------------------ */

static uint64_t free_min(const DlCore *core, const DlLun *lun)
{
        return MIN(lun->capacity, (uint64_t)core->settings->image_free_mib << 20);
}

void dl_step_make_file(DlOperation *op)
{
        DlCore *core = op->core;
        DlDiskWork *work = dl_disk_work(op);
        const DlImageWork *iw = dl_image_work(op);
        const DlLun *lun = DL_LOOKUP_LUN(core, work->meta->guid);

        if (!work->file) {
                dl_op_next(op);
                return;
        }
        if (!lun || lun->capacity == 0) {
                dl_op_failf(op, DL_ERROR_LUN_NOT_FOUND, "The LUN %s is not known any more",
                            work->meta->guid);
                return;
        }
        dl_op_wait(op,
                   dl_virt_create_image(core->virt, work->file,
                                        iw->bytes > 0 ? iw->bytes : lun->capacity,
                                        free_min(core, lun), iw->keep_file, dl_disk_called, op),
                   (void (*)(void *))dl_virt_cancel);
}

void dl_dry_make_file(DlOperation *op)
{
        if (dl_disk_work(op)->file)
                dl_op_would(op, "make an image in %s", op->core->settings->image_directory);
        dl_op_next(op);
}

void dl_undo_make_file(DlOperation *op)
{
        if (dl_disk_is_left_to_recovery(op) || !dl_disk_work(op)->file)
                dl_op_next(op);
        else
                dl_op_wait(op,
                           dl_virt_delete_image(op->core->virt, dl_disk_work(op)->file,
                                                dl_disk_called, op),
                           (void (*)(void *))dl_virt_cancel);
}

static void drop_next(DlOperation *op);

static void on_dropped(const GError *error, void *userdata)
{
        DlImageWork *iw = dl_image_work(userdata);

        if (error)
                dl_op_report(userdata, "%s stays, and is not needed any more: %s",
                             (char *)iw->drop->pdata[iw->dropping], error->message);
        iw->dropping++;
        drop_next(userdata);
}

static void drop_next(DlOperation *op)
{
        DlImageWork *iw = dl_image_work(op);

        if (iw->dropping == iw->drop->len)
                dl_op_next(op);
        else
                dl_op_wait(op,
                           dl_virt_delete_image(op->core->virt, iw->drop->pdata[iw->dropping],
                                                on_dropped, op),
                           (void (*)(void *))dl_virt_cancel);
}

void dl_step_drop_files(DlOperation *op)
{
        drop_next(op);
}

/* ---- the persistent domain ----------------------------------------------------------------- */

static void set_chain(DlOperation *op, const GPtrArray *images)
{
        g_autofree const char **files = dl_images_files(images, images->len);
        const DlDomainDisk *disk = dl_image_work_config(op);

        if (!disk) {
                dl_op_next(op);
                return;
        }
        dl_op_wait(op,
                   dl_virt_set_images(op->core->virt, op->vm->object.id,
                                      dl_disk_work(op)->disk_alias, files, dl_disk_called, op),
                   (void (*)(void *))dl_virt_cancel);
}

void dl_step_write_chain(DlOperation *op)
{
        const GPtrArray *images = dl_image_work(op)->images;
        g_autofree const char **files = dl_images_files(images, images->len);
        const DlDomainDisk *disk = dl_image_work_config(op);

        if (disk && dl_image_chain_is(disk, files))
                dl_op_next(op);
        else
                set_chain(op, images);
}

void dl_dry_write_chain(DlOperation *op)
{
        if (dl_image_work_config(op))
                dl_op_would(op, "change the disk in the definition of VM %s", op->vm->name);
        dl_op_next(op);
}

void dl_undo_write_chain(DlOperation *op)
{
        const DlVDisk *vdisk = dl_image_work_vdisk(op);

        if (dl_disk_is_left_to_recovery(op) || !vdisk)
                dl_op_next(op);
        else
                set_chain(op, vdisk->images);
}

/* ---- the store ----------------------------------------------------------------------------- */

static void on_stack_written(const GError *error, void *userdata)
{
        if (error)
                dl_op_fail(userdata, g_error_copy(error));
        else
                dl_op_next(userdata);
}

void dl_step_write_stack(DlOperation *op)
{
        DlVDisk *vdisk = dl_image_work_vdisk(op);

        if (vdisk)
                dl_vdisk_write_images(vdisk, dl_image_work(op)->images, on_stack_written, op);
        else
                dl_op_failf(op, DL_ERROR_LUN_NOT_FOUND, "The vDisk %s was deleted",
                            dl_disk_work(op)->vdisk);
}
