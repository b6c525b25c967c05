/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sizes of disks in running guests. Loop thread only. */

#include "core/steps/guest-size.h"
#include "core/model/attachment-index.h"
#include "core/records/journal.h"
#include "core/steps/block-proof.h"
#include "core/steps/operation.h"
#include "core/steps/proof.h"

#include <string.h>

#define OPERATION_TIMEOUT_USEC (60 * G_USEC_PER_SEC)

static DlLun *lun_of(const DlAttachment *a)
{
        return DL_LOOKUP_LUN(a->object.core, a->meta->guid);
}

/* ---- judging ------------------------------------------------------------------------------- */

/* QEMU looks for the LUN by the number that it was opened with, or has its device open. */
static bool is_where_qemu_looks(const DlAttachment *a, const DlLun *lun)
{
        g_autofree char *alias = dl_disk_alias(a->meta->vdisk);
        const DlDomainDisk *disk = dl_vm_find_disk(a->vm->live, alias);

        if (a->by_block)
                return disk && dl_block_is_node(lun, disk->source);
        for (unsigned i = 0; disk && i < lun->paths->len; i++) {
                const DlPath *path = lun->paths->pdata[i];
                g_autofree char *source = g_strdup_printf("%s/%u", path->iqn,
                                                          dl_iscsi_lun_for_qemu(path->lun));

                if (path->seen && g_strcmp0(disk->source, source) == 0)
                        return true;
        }
        return false;
}

/* libvirt resizes no read-only disk; an ATA guest never looks at its disk's size again. What was
 * at a moment has the size that it had then. */
static const char *what_is_pending(const DlAttachment *a, const DlLun *lun)
{
        if (!a->plugged || a->guest_capacity == 0 || !lun || lun->capacity <= a->guest_capacity ||
            a->meta->image)
                return "";
        if (strcmp(a->meta->iface, "virtio") != 0 && strcmp(a->meta->iface, "scsi") != 0)
                return "restart";
        if (a->meta->readonly || a->refused_capacity == lun->capacity ||
            !is_where_qemu_looks(a, lun))
                return "replug";
        return "refresh";
}

static void judge_pending(DlAttachment *a, const DlLun *lun)
{
        const char *pending = what_is_pending(a, lun);

        if (strcmp(pending, a->resize_pending) == 0)
                return;
        a->resize_pending = pending;
        dl_object_changed(&a->object, "ResizePending");
}

/* Only what this has said it takes back. */
static void judge_shrunk(DlAttachment *a, const GError *shrunk)
{
        if (!shrunk && a->last_error.code != DL_ERROR_LUN_SHRUNK)
                return;
        if (dl_last_error_set(&a->last_error, shrunk))
                dl_object_changed(&a->object, "LastError");
}

void dl_guest_sizes_judge(DlLun *lun)
{
        if (lun->object.core->original) /* a dry run tells no guest */
                return;

        g_autoptr(GPtrArray) attachments = dl_attachments_of(lun->object.core, DL_BELONGS_TO_LUN,
                                                             lun->object.id);
        g_autoptr(GError) error = NULL;
        bool shrunk = !dl_lun_check_usable(lun, &error) &&
                      dl_error_code(error) == DL_ERROR_LUN_SHRUNK;

        for (unsigned i = 0; i < attachments->len; i++) {
                judge_pending(attachments->pdata[i], lun);
                judge_shrunk(attachments->pdata[i], shrunk ? error : NULL);
        }
}

/* ---- following ----------------------------------------------------------------------------- */

static void on_followed(DlJob *job, const GError *error, void *userdata)
{
        if (error)
                dl_notice("A guest does not see that its LUN has grown: %s", error->message);
}

/* A job that tells its VM waits or runs. */
static bool is_resizing(const DlAttachment *a);

static void follow(DlAttachment *a)
{
        static const DlRequest nobody = {.done = on_followed, .internal = true};
        DlLun *lun = lun_of(a);
        g_autoptr(GError) error = NULL;

        if (!lun || is_resizing(a) || !dl_lun_check_usable(lun, NULL))
                return;
        judge_pending(a, lun);
        if (strcmp(a->resize_pending, "refresh") != 0)
                return;
        if (!dl_flow_resize(a, &nobody, true, &error))
                dl_notice("VM %s: %s", a->vm->name, error->message);
}

/* A VM that was just started sees less than the LUN has if there are images over it. */
static void follow_all(DlVm *vm)
{
        g_autoptr(GPtrArray) attachments = dl_vm_attachments(vm);

        for (unsigned i = 0; i < attachments->len; i++)
                follow(attachments->pdata[i]);
}

void dl_guest_sizes_follow(DlTarget *target)
{
        if (target->object.core->original)
                return;

        g_autoptr(GPtrArray) users = dl_target_users(target);

        for (unsigned i = 0; i < users->len; i++)
                follow(users->pdata[i]);
}

void dl_guest_sizes_follow_lun(DlLun *lun)
{
        if (lun->object.core->original)
                return;

        g_autoptr(GPtrArray) attachments = dl_attachments_of(lun->object.core, DL_BELONGS_TO_LUN,
                                                             lun->object.id);

        for (unsigned i = 0; i < attachments->len; i++)
                follow(attachments->pdata[i]);
}

/* ---- asking -------------------------------------------------------------------------------- */

static uint64_t find_size(DlVirtDiskSize *const *sizes, size_t n_sizes, const char *alias)
{
        for (size_t i = 0; i < n_sizes; i++)
                if (strcmp(sizes[i]->alias, alias) == 0)
                        return sizes[i]->bytes;
        return 0;
}

static void take_sizes(DlVm *vm, DlVirtDiskSize *const *sizes, size_t n_sizes)
{
        g_autoptr(GPtrArray) attachments = dl_vm_attachments(vm);

        for (unsigned i = 0; i < attachments->len; i++) {
                DlAttachment *a = attachments->pdata[i];
                g_autofree char *alias = dl_disk_alias(a->meta->vdisk);
                uint64_t size = a->plugged ? find_size(sizes, n_sizes, alias) : 0;
                DlLun *lun = lun_of(a);

                if (size == a->guest_capacity)
                        continue;
                a->guest_capacity = size;
                dl_object_changed(&a->object, "GuestCapacity");
                if (lun)
                        dl_lun_update(lun);
        }
}

static void on_looked(DlVirtDiskSize *const *sizes, size_t n_sizes, const GError *error,
                      void *userdata)
{
        DlVm *vm = userdata;

        vm->size_look = NULL;
        if (error)
                dl_debug("The disks of VM %s: %s", vm->name, error->message);
        else {
                take_sizes(vm, sizes, n_sizes);
                follow_all(vm);
        }
}

void dl_guest_sizes_look(DlVm *vm)
{
        g_autoptr(GPtrArray) attachments = dl_vm_attachments(vm);

        for (unsigned i = 0; !vm->size_look && i < attachments->len; i++) {
                const DlAttachment *a = attachments->pdata[i];

                if (a->plugged && a->guest_capacity == 0)
                        vm->size_look = dl_virt_get_disk_sizes(vm->object.core->virt, vm->object.id,
                                                               on_looked, vm);
        }
}

void dl_guest_size_forget(DlAttachment *a)
{
        a->refused_capacity = 0;
        if (a->guest_capacity > 0) {
                a->guest_capacity = 0;
                dl_object_changed(&a->object, "GuestCapacity");
        }
        judge_pending(a, NULL);
}

/* ---- the job ------------------------------------------------------------------------------- */

typedef struct ResizeWork {
        char *attachment; /* id */
        uint64_t capacity;
        DlProof *proof;
} ResizeWork;

static void work_free(void *p)
{
        ResizeWork *work = p;

        dl_proof_free(work->proof);
        g_free(work->attachment);
        g_free(work);
}

/* NULL: it is gone, or not plugged any more. */
static DlAttachment *find(DlOperation *op)
{
        const ResizeWork *work = op->data;
        DlAttachment *a = DL_LOOKUP_ATTACHMENT(op->core, work->attachment);

        return a && a->plugged ? a : NULL;
}

static void on_sizes(DlVirtDiskSize *const *sizes, size_t n_sizes, const GError *error,
                     void *userdata)
{
        DlOperation *op = userdata;

        if (error) {
                dl_op_fail(op, g_error_copy(error));
                return;
        }
        take_sizes(op->vm, sizes, n_sizes);
        dl_op_next(op);
}

static void ask(DlOperation *op)
{
        if (find(op))
                dl_op_wait(op,
                           dl_virt_get_disk_sizes(op->core->virt, op->vm->object.id, on_sizes, op),
                           (void (*)(void *))dl_virt_cancel);
        else
                dl_op_finish(op);
}

static void check(DlOperation *op)
{
        DlAttachment *a = find(op);
        DlLun *lun = a ? lun_of(a) : NULL;
        g_autoptr(GError) error = NULL;

        if (!lun) {
                dl_op_finish(op);
                return;
        }
        judge_pending(a, lun);
        if (!dl_lun_check_usable(lun, &error)) {
                dl_op_fail(op, g_steal_pointer(&error));
        } else if (dl_intent_is_open(op->core, a->meta->vdisk)) { /* QEMU resizes no disk in it */
                dl_op_report(op,
                             "VM %s sees the new size of %s when what is done to the disk now "
                             "is over",
                             a->vm->name, a->meta->guid);
                dl_op_finish(op);
        } else if (strcmp(a->resize_pending, "refresh") == 0) {
                ((ResizeWork *)op->data)->capacity = lun->capacity;
                dl_op_next(op);
        } else {
                if (a->resize_pending[0])
                        dl_op_report(op, "VM %s sees the new size of %s after a %s", a->vm->name,
                                     a->meta->guid, a->resize_pending);
                dl_op_finish(op);
        }
}

static void on_proven(const GError *error, void *userdata)
{
        DlOperation *op = userdata;

        if (error)
                dl_op_fail(op, g_error_copy(error));
        else
                dl_op_next(op);
}

static void stop_proof(void *p)
{
        ResizeWork *work = ((DlOperation *)p)->data;

        g_clear_pointer(&work->proof, dl_proof_free);
}

/* QEMU asks the LUN for its size while its VM stands still: so the portal must be well just before,
 * however long this has waited for the VM. */
static void prove(DlOperation *op)
{
        ResizeWork *work = op->data;
        const DlAttachment *a = find(op);

        if (!a) {
                dl_op_finish(op);
                return;
        }
        DlProofWish wish = dl_proof_wish(a->meta);
        wish.data_path = a->by_block ? DL_DATA_PATH_BLOCK : DL_DATA_PATH_QEMU;
        wish.force = true; /* the guest has it already */
        work->proof = dl_proof_start(op->core, &wish, on_proven, op);
        dl_op_wait(op, op, stop_proof);
}

static void on_resized(const GError *error, void *userdata)
{
        DlOperation *op = userdata;
        DlAttachment *a = find(op);

        if (error && a && dl_error_code(error) == DL_ERROR_LIBVIRT_ERROR) {
                a->refused_capacity = ((ResizeWork *)op->data)->capacity;
                if (lun_of(a))
                        judge_pending(a, lun_of(a));
        }
        if (error)
                dl_op_fail(op, g_error_copy(error));
        else
                dl_op_next(op);
}

static void resize(DlOperation *op)
{
        const ResizeWork *work = op->data;
        DlAttachment *a = find(op);
        g_autofree char *alias = a ? dl_disk_alias(a->meta->vdisk) : NULL;

        if (a)
                dl_virt_resize_disk(op->core->virt, op->vm->object.id, alias, work->capacity,
                                    on_resized, op);
        else
                dl_op_finish(op);
}

static const DlStep resize_steps[] = {
        {"looking at the VM", ask},         {"looking at the VM", check},
        {"proving the LUN", prove},         {"proving the LUN", check}, /* of what was seen now */
        {"resizing", resize, .firm = true}, {"looking at the VM", ask},
};

DlJob *dl_flow_resize(DlAttachment *a, const DlRequest *request, bool visible, GError **error)
{
        ResizeWork *work = g_new0(ResizeWork, 1);
        DlOperation *op;

        work->attachment = g_strdup(a->object.id);
        op = (visible ? dl_op_new : dl_op_new_quiet)(
                a->object.core, "resize", request, resize_steps, G_N_ELEMENTS(resize_steps),
                OPERATION_TIMEOUT_USEC, work, work_free, error);
        if (!op)
                return NULL;
        dl_op_concerns(op, DL_KIND_ATTACHMENT, a->object.id);
        dl_op_on_vm(op, a->vm);
        return &op->job;
}

static bool is_resizing(const DlAttachment *a)
{
        for (const GList *i = a->vm->queue.head; i; i = i->next) {
                const DlOperation *op = i->data;

                if (op->steps == resize_steps &&
                    strcmp(((ResizeWork *)op->data)->attachment, a->object.id) == 0)
                        return true;
        }
        return false;
}
