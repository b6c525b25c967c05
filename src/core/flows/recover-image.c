/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Settling what was done to images and left half done. What the VM has decides, the running one
 * before its definition: an overlay that is there is an image, one that is not there is none. A
 * merge that still runs is given up, since nobody waits for it. Running this twice changes nothing.
 * Loop thread only.
 */

#include "core/flows/recover.h"
#include "core/steps/image-work.h"

static void look(DlOperation *op)
{
        dl_step_image_look(op);
}

static void wait_for_former_run(DlOperation *op)
{
        if (op->vm)
                dl_step_wait_for_former_run(op);
        else
                dl_op_next(op);
}

/* The VM went away meanwhile; its vDisk and the image did not. */
static void go_on_without_vm(DlOperation *op)
{
        DlDiskWork *work = dl_disk_work(op);

        if (op->vm && !op->vm->object.published && work->intent) {
                dl_intent_abandon(g_steal_pointer(&work->intent));
                dl_recover_forget(op->core);
        }
        dl_op_next(op);
}

static void end_merge(DlOperation *op)
{
        const DlDiskWork *work = dl_disk_work(op);

        if (work->kind != DL_INTENT_MERGE || !dl_image_work_live(op))
                dl_op_next(op);
        else
                dl_op_wait(op,
                           dl_virt_end_block_job(op->core->virt, op->vm->object.id,
                                                 work->disk_alias, false, dl_disk_called, op),
                           (void (*)(void *))dl_virt_cancel);
}

static GPtrArray *without(const GPtrArray *images, const char *uid)
{
        GPtrArray *copy = dl_images_copy(images);

        for (unsigned i = copy->len; i-- > 0;)
                if (g_strcmp0(((DlImage *)copy->pdata[i])->uid, uid) == 0)
                        g_ptr_array_remove_index(copy, i);
        return copy;
}

static void keep_image(DlOperation *op, const DlVDisk *vdisk)
{
        const DlDiskWork *work = dl_disk_work(op);
        DlImageWork *iw = dl_image_work(op);

        iw->images = dl_images_copy(vdisk->images);
        if (!dl_vdisk_find_image(vdisk, work->image, NULL))
                g_ptr_array_add(iw->images,
                                dl_image_new(work->intent->time_usec, work->image, work->file));
}

static void drop_image(DlOperation *op, const DlVDisk *vdisk)
{
        const DlDiskWork *work = dl_disk_work(op);
        DlImageWork *iw = dl_image_work(op);

        iw->images = without(vdisk->images, work->image);
        g_ptr_array_add(iw->drop, g_strdup(work->file));
}

static bool is_reverted(DlOperation *op, const GPtrArray *wanted, const GPtrArray *stored)
{
        g_autofree const char **files = dl_images_files(wanted, wanted->len);
        g_autofree const char **before = dl_images_files(stored, stored->len);
        const DlDomainDisk *live = dl_image_work_live(op), *config = dl_image_work_config(op);
        const DlDomainDisk *disk = live ? live : config; /* somebody may have started it */

        return disk ? dl_image_chain_is(disk, files)
                    : g_strv_equal((const char *const *)files, (const char *const *)before);
}

static void add_drops(DlImageWork *iw, char **files)
{
        for (; files && *files; files++)
                g_ptr_array_add(iw->drop, g_strdup(*files));
}

/* The definition of the VM is told first, then the store. */
static void decide_revert(DlOperation *op)
{
        const DlVDisk *vdisk = dl_image_work_vdisk(op);
        const DlDiskWork *work = dl_disk_work(op);
        DlImageWork *iw = dl_image_work(op);
        unsigned index = 0;

        if (!vdisk || !dl_vdisk_find_image(vdisk, work->image, &index)) {
                dl_op_next(op);
                return;
        }
        g_autoptr(GPtrArray) wanted = dl_images_reverted(vdisk->images, index, work->file);
        bool done = is_reverted(op, wanted, vdisk->images);
        dl_op_report(op, "The vDisk is %s", done ? "reverted" : "as it was");
        iw->images = done ? g_ptr_array_ref(wanted) : dl_images_copy(vdisk->images);
        if (done)
                add_drops(iw, work->drop);
        else if (work->file)
                g_ptr_array_add(iw->drop, g_strdup(work->file));
        dl_op_next(op);
}

/* An overlay in the definition only, or in none that can be seen any more, may have been written to
 * or not: empty it changes nothing. */
static void decide(DlOperation *op)
{
        const DlVDisk *vdisk = dl_image_work_vdisk(op);
        const DlDiskWork *work = dl_disk_work(op);
        const DlDomainDisk *live = dl_image_work_live(op), *config = dl_image_work_config(op);
        const DlDomainDisk *disk = live ? live : config;
        bool had_vm = work->intent->vm[0];

        if (work->kind == DL_INTENT_REVERT) {
                decide_revert(op);
                return;
        }
        if (!vdisk) {
                g_ptr_array_add(dl_image_work(op)->drop, g_strdup(work->file));
                dl_op_next(op);
                return;
        }
        bool there = disk ? dl_image_chain_has(disk, work->file)
                          : had_vm || dl_vdisk_find_image(vdisk, work->image, NULL);
        dl_op_report(op, "The image is %s", there ? "there" : "not there");
        if (there)
                keep_image(op, vdisk);
        else
                drop_image(op, vdisk);
        dl_image_work(op)->keep_file = there && !disk && work->kind == DL_INTENT_SNAPSHOT;
        dl_op_next(op);
}

static void make_file_if_unsure(DlOperation *op)
{
        if (dl_image_work(op)->keep_file)
                dl_step_make_file(op);
        else
                dl_op_next(op);
}

static void write_chain(DlOperation *op)
{
        if (dl_image_work(op)->images)
                dl_step_write_chain(op);
        else
                dl_op_next(op);
}

static void write_stack(DlOperation *op)
{
        if (dl_image_work(op)->images)
                dl_step_write_stack(op);
        else
                dl_op_next(op);
}

static const DlStep recover_steps[] = {
        {"waiting for libvirt", dl_op_next, go_on_without_vm, .firm = true},
        {"waiting for libvirt", wait_for_former_run},
        {"looking at the VM", look},
        {"ending the merge", end_merge},
        {"looking at the VM", look},
        {"looking at the VM", decide},
        {"settling", make_file_if_unsure},
        {"settling", write_chain},
        {"settling", write_stack},
        {"settling", dl_step_drop_files},
        {"looking at the VM", look},
        {"finishing", dl_step_settle},
};

/* The vDisk may be gone: its id is what is left of it. */
static DlDiskWork *work_of_intent(DlCore *core, DlIntent *intent)
{
        const DlVDisk *vdisk = DL_LOOKUP_VDISK(core, intent->vdisk);
        DlDiskWork *work = dl_image_work_new(intent->kind, intent->vdisk, vdisk ? vdisk->guid : "");

        work->image = g_strdup(intent->image);
        work->file = g_strdup(intent->file);
        work->drop = g_strdupv(intent->drop);
        work->intent = intent;
        work->in_config = intent->in_config;
        return work;
}

void dl_recover_images(DlCore *core, DlVm *vm, DlIntent *intent)
{
        static const DlRequest nobody = {0};
        g_autoptr(GError) error = NULL;
        DlDiskWork *work = work_of_intent(core, intent);
        DlOperation *op;

        dl_intent_adopt(intent);
        op = DL_OP_NEW(core, "recover", &nobody, recover_steps, 0, work, dl_disk_work_free, &error);
        if (!op)
                dl_warning("The images of vDisk %s cannot be recovered now: %s", intent->vdisk,
                           error->message);
        else if (vm)
                dl_op_on_vm(op, vm);
}
