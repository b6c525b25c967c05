/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What flows on one disk have in common: their data, the proof, the journal, the metadata. What is
 * done to the disk itself is disk-plug.c. Loop thread only. */

#include "core/steps/disk-work.h"
#include "core/flows/recover.h"
#include "util/uuid.h"

#include <string.h>

DlDiskWork *dl_disk_work_new(DlIntentKind kind, const char *vdisk, const DlDomainAttachment *meta)
{
        DlDiskWork *work = g_new0(DlDiskWork, 1);

        work->kind = kind;
        work->vdisk = g_strdup(vdisk);
        work->disk_alias = vdisk ? dl_disk_alias(vdisk) : NULL;
        work->meta = meta ? dl_domain_attachment_copy(meta) : NULL;
        return work;
}

void dl_disk_work_free(void *p)
{
        DlDiskWork *work = p;

        dl_proof_free(work->proof);
        g_clear_error(&work->proof_error);
        if (work->intent)
                dl_intent_abandon(work->intent);
        if (work->free_extra)
                work->free_extra(work->extra);
        sd_event_source_disable_unref(work->timer);
        dl_domain_attachment_free(work->meta);
        g_free(work->vdisk);
        g_free(work->disk_alias);
        g_free(work->image);
        g_free(work->file);
        g_strfreev(work->drop);
        g_free(work);
}

DlAttachment *dl_disk_work_attachment(DlOperation *op)
{
        char id[DL_UUID_SIZE];

        dl_uuid_for_attachment(op->vm->object.id, dl_disk_work(op)->vdisk, id);
        return DL_LOOKUP_ATTACHMENT(op->core, id);
}

static DlVirt *virt(DlOperation *op)
{
        return op->core->virt;
}

void dl_disk_wait_for_call(DlOperation *op, DlVirtCall *call)
{
        dl_op_wait(op, call, (void (*)(void *))dl_virt_cancel);
}

/* "": no VM has the vDisk. */
static const char *vm_id(const DlOperation *op)
{
        return op->vm ? op->vm->object.id : "";
}

void dl_disk_fail_called(DlOperation *op, const GError *error)
{
        /* No answer: it may have taken effect, or may do so late. And what cannot be undone now
         * must not be forgotten. */
        if (op->undoing || dl_error_code(error) == DL_ERROR_TIMED_OUT ||
            !dl_core_has_libvirt(op->core))
                dl_disk_work(op)->leave_to_recovery = true;
        dl_op_fail(op, g_error_copy(error));
}

bool dl_disk_is_left_to_recovery(const DlOperation *op)
{
        const DlDiskWork *work = op->data;

        return work->leave_to_recovery || (op->vm && !op->vm->object.published);
}

void dl_disk_called(const GError *error, void *userdata)
{
        DlOperation *op = userdata;

        if (!error)
                dl_op_next(op);
        else
                dl_disk_fail_called(op, error);
}

/* ---- the attachment ------------------------------------------------------------------------ */

/* Where libvirt says that the disk is, is where it comes back to. */
bool dl_disk_work_keep_address(DlOperation *op)
{
        DlDomainAttachment *meta = dl_disk_work(op)->meta;
        const DlAttachment *a = dl_disk_work_attachment(op);

        if (!a || !a->address || dl_address_equal(a->address, meta->address) ||
            !dl_address_check(a->address, NULL))
                return false;
        g_clear_pointer(&meta->address, g_hash_table_unref);
        meta->address = g_hash_table_ref(a->address);
        return true;
}

DlDiskVm dl_disk_work_vm(DlOperation *op, GPtrArray **ret_others)
{
        const DlDiskWork *work = dl_disk_work(op);
        g_autoptr(GPtrArray) attachments = dl_vm_attachments(op->vm);
        GPtrArray *others = g_ptr_array_new();

        for (unsigned i = 0; i < attachments->len; i++) {
                DlDomainAttachment *meta = ((DlAttachment *)attachments->pdata[i])->meta;

                if (g_strcmp0(meta->vdisk, work->vdisk) != 0)
                        g_ptr_array_add(others, meta);
        }
        *ret_others = others;
        return (DlDiskVm){
                .name = op->vm->name,
                .live = op->vm->live,
                .inactive = op->vm->inactive,
                .others = others,
                .own_alias = work->disk_alias,
                .plug = work->plug,
        };
}

void dl_step_find(DlOperation *op)
{
        DlDiskWork *work = dl_disk_work(op);
        DlAttachment *a = dl_disk_work_attachment(op);

        if (!a) {
                dl_op_failf(op, DL_ERROR_NOT_ATTACHED,
                            "The vDisk is not attached to VM %s any more", op->vm->name);
                return;
        }
        dl_domain_attachment_free(work->meta);
        work->meta = dl_domain_attachment_copy(a->meta);
        work->in_config = a->in_config;
        dl_disk_work_keep_address(op);
        dl_op_next(op);
}

/* ---- proof --------------------------------------------------------------------------------- */

static void on_proven(const GError *error, void *userdata)
{
        DlOperation *op = userdata;
        DlDiskWork *work = dl_disk_work(op);
        const DlProof *proof = work->proof;

        const DlLun *lun = DL_LOOKUP_LUN(op->core, work->meta->guid);
        GError *refusal = error ? g_error_copy(error) : NULL;

        /* What it can do is known for sure only now. A vDisk that no VM has needs nothing of it. */
        if (!refusal && lun && work->meta->device)
                (void)dl_disk_rules_check_lun(work->meta, lun, &refusal);
        if (refusal) {
                g_clear_pointer(&work->proof, dl_proof_free);
                dl_op_fail(op, refusal);
                return;
        }
        dl_set_string(&work->meta->iqn, proof->iqn);
        work->meta->lun = proof->lun;
        if (proof->target)
                dl_op_concerns(op, DL_KIND_TARGET, proof->target->object.id);
        g_autofree char *place = dl_proof_to_text(proof);
        dl_op_report(op, "Proved %s as %s (data path %s: %s)", work->meta->guid, place,
                     proof->node ? "block" : "qemu", proof->why);
        dl_op_next(op);
}

static void stop_proof(void *p)
{
        DlDiskWork *work = dl_disk_work(p);

        g_clear_pointer(&work->proof, dl_proof_free);
        g_clear_error(&work->proof_error);
        work->ahead = DL_AHEAD_NO;
}

static void on_proven_ahead(const GError *error, void *userdata)
{
        DlDiskWork *work = dl_disk_work(userdata);

        if (work->ahead == DL_AHEAD_AWAITED) {
                on_proven(error, userdata);
                return;
        }
        work->ahead = DL_AHEAD_OVER;
        work->proof_error = error ? g_error_copy(error) : NULL;
}

static DlProofWish wish_of(DlOperation *op)
{
        DlProofWish wish = dl_proof_wish(dl_disk_work(op)->meta);

        wish.force = op->force;
        return wish;
}

/* The network is asked while libvirt is. */
void dl_step_prove_ahead(DlOperation *op)
{
        DlDiskWork *work = dl_disk_work(op);
        DlProofWish wish = wish_of(op);

        if (dl_vm_is_active(op->vm) && !dl_vm_find_disk(op->vm->live, work->disk_alias)) {
                work->ahead = DL_AHEAD_RUNS;
                work->proof = dl_proof_start(op->core, &wish, on_proven_ahead, op);
        }
        dl_op_next(op);
}

static void take_proof_ahead(DlOperation *op)
{
        DlDiskWork *work = dl_disk_work(op);
        g_autoptr(GError) error = g_steal_pointer(&work->proof_error);

        if (work->ahead == DL_AHEAD_OVER) {
                on_proven(error, op);
                return;
        }
        work->ahead = DL_AHEAD_AWAITED;
        dl_op_wait(op, op, stop_proof);
}

void dl_step_prove(DlOperation *op)
{
        DlDiskWork *work = dl_disk_work(op);
        DlProofWish wish = wish_of(op);

        if (work->ahead != DL_AHEAD_NO && work->proof->readonly == wish.readonly) {
                take_proof_ahead(op);
                return;
        }
        stop_proof(op);
        work->proof = dl_proof_start(op->core, &wish, on_proven, op);
        dl_op_wait(op, op, stop_proof);
}

void dl_undo_prove(DlOperation *op)
{
        stop_proof(op);
        dl_op_next(op);
}

/* ---- journal ------------------------------------------------------------------------------- */

static void on_begun(const GError *error, void *userdata)
{
        DlOperation *op = userdata;
        DlDiskWork *work = dl_disk_work(op);

        if (!error) {
                dl_op_next(op);
                return;
        }
        dl_intent_remove(op->core, work->intent, NULL, NULL);
        work->intent = NULL;
        dl_op_fail(op, g_error_copy(error));
}

/* What is under way on the same disk, or is not settled yet; or makes the same LUN another VM's; or
 * changes its images. */
static bool is_being_changed(DlOperation *op)
{
        const DlDiskWork *work = dl_disk_work(op);
        GHashTableIter iter;
        gpointer p;

        g_hash_table_iter_init(&iter, op->core->intents);
        while (g_hash_table_iter_next(&iter, NULL, &p)) {
                const DlIntent *other = p;

                if (strcmp(other->vdisk, work->vdisk) == 0 &&
                    (strcmp(other->vm, vm_id(op)) == 0 || dl_intent_is_of_images(other->kind) ||
                     dl_intent_is_of_images(work->kind) ||
                     (other->kind == DL_INTENT_ATTACH && work->kind == DL_INTENT_ATTACH)))
                        return true;
        }
        return false;
}

/* Written back by us it would lose what we could not read. */
static bool has_broken_metadata(const DlVm *vm)
{
        return (vm->live && vm->live->metadata_broken) ||
               (vm->inactive && vm->inactive->metadata_broken);
}

static void refuse_broken_metadata(DlOperation *op)
{
        dl_op_failf(op, DL_ERROR_LIBVIRT_ERROR,
                    "The metadata of VM %s has attachments that cannot be understood; correct or "
                    "remove its element of " DL_METADATA_URI,
                    op->vm->name);
}

/* false: the operation has failed. */
static bool may_begin(DlOperation *op)
{
        if (is_being_changed(op)) {
                dl_op_failf(op, DL_ERROR_BUSY,
                            "The vDisk %s is being changed by another job; try again when it has "
                            "ended",
                            dl_disk_work(op)->vdisk);
                return false;
        }
        if (op->vm && has_broken_metadata(op->vm)) {
                refuse_broken_metadata(op);
                return false;
        }
        return true;
}

void dl_dry_begin(DlOperation *op)
{
        if (may_begin(op))
                dl_op_next(op);
}

void dl_step_begin(DlOperation *op)
{
        DlDiskWork *work = dl_disk_work(op);

        if (!may_begin(op))
                return;
        work->intent = dl_intent_write(op->core,
                                       &(DlIntent){
                                               .kind = work->kind,
                                               .vm = (char *)vm_id(op),
                                               .vdisk = work->vdisk,
                                               .in_config = work->in_config,
                                               .new_vdisk = !DL_LOOKUP_VDISK(op->core, work->vdisk),
                                               .image = work->image,
                                               .file = work->file,
                                               .drop = work->drop,
                                       },
                                       on_begun, op);
}

static void on_settled(const GError *error, void *userdata)
{
        DlOperation *op = userdata;

        if (error) /* it stays in the journal, and the next start finds it settled */
                dl_op_report(op, "The journal could not be written: %s", error->message);
        dl_op_next(op);
}

/* What was added is found by the recovery, too: nobody has to wait for the disk to hear of it. */
static bool may_settle_later(const DlOperation *op)
{
        DlIntentKind kind = ((DlDiskWork *)op->data)->kind;

        return !op->undoing && (kind == DL_INTENT_ATTACH || kind == DL_INTENT_PLUG);
}

void dl_step_settle(DlOperation *op)
{
        DlDiskWork *work = dl_disk_work(op);
        DlIntent *intent = g_steal_pointer(&work->intent);

        if (may_settle_later(op)) {
                dl_intent_remove(op->core, intent, NULL, NULL);
                dl_op_next(op);
        } else
                dl_intent_remove(op->core, intent, on_settled, op);
}

void dl_undo_begin(DlOperation *op)
{
        DlVm *vm = DL_LOOKUP_VM(op->core, vm_id(op)); /* maybe a new one */

        if (!dl_disk_work(op)->intent) { /* settled already */
                dl_op_next(op);
                return;
        }
        if (!vm && dl_disk_is_left_to_recovery(op) &&
            dl_intent_is_of_images(dl_disk_work(op)->kind)) {
                /* The images of a vDisk do not go with the VM. */
                dl_intent_abandon(g_steal_pointer(&dl_disk_work(op)->intent));
                dl_recover_forget(op->core);
                dl_op_next(op);
                return;
        }
        if (!dl_disk_is_left_to_recovery(op) || !vm) {
                dl_step_settle(op);
                return;
        }
        /* The intent stays, and the recovery, which comes after a look, makes one or the other of
         * it. */
        dl_op_report(op, "What libvirt has made of it is found out, and made good");
        dl_vm_look(vm);
        dl_op_next(op);
}

void dl_undo_look(DlOperation *op)
{
        if (dl_disk_is_left_to_recovery(
                    op)) /* which looks for itself, once this operation has ended */
                dl_op_next(op);
        else
                dl_step_look(op);
}

/* ---- metadata ------------------------------------------------------------------------------ */

static DlVirtAffect affected(const DlVm *vm)
{
        return (dl_vm_is_active(vm) ? DL_VIRT_LIVE : 0) | (vm->persistent ? DL_VIRT_CONFIG : 0);
}

/* own NULL: without this attachment. */
static void write_metadata(DlOperation *op, DlDomainAttachment *own)
{
        g_autoptr(GPtrArray) attachments = dl_vm_attachments(op->vm);
        g_autoptr(GPtrArray) metas = g_ptr_array_new();
        DlAttachment *before = dl_disk_work_attachment(op);

        if (has_broken_metadata(op->vm)) {
                refuse_broken_metadata(op);
                return;
        }
        for (unsigned i = 0; i < attachments->len; i++)
                if (attachments->pdata[i] != before)
                        g_ptr_array_add(metas, ((DlAttachment *)attachments->pdata[i])->meta);
        if (own)
                g_ptr_array_add(metas, own);

        g_autofree char *xml = dl_metadata_to_xml((DlDomainAttachment *const *)metas->pdata,
                                                  metas->len);
        dl_disk_wait_for_call(op, dl_virt_set_metadata(virt(op), op->vm->object.id, xml,
                                                       affected(op->vm), dl_disk_called, op));
}

static bool has_metadata(const DlDomain *domain, const DlDomainAttachment *own)
{
        g_autofree char *wanted = dl_metadata_to_xml((DlDomainAttachment *[]){(void *)own}, 1);

        for (unsigned i = 0; domain && i < domain->attachments->len; i++) {
                DlDomainAttachment *meta = domain->attachments->pdata[i];
                g_autofree char *xml = strcmp(meta->id, own->id) == 0 ? dl_metadata_to_xml(&meta, 1)
                                                                      : NULL;

                if (g_strcmp0(xml, wanted) == 0)
                        return true;
        }
        return false;
}

/* A disk that is plugged in again is there already, and writing costs as much as plugging. */
static bool metadata_is_written(DlOperation *op)
{
        const DlVm *vm = op->vm;
        const DlDomainAttachment *own = dl_disk_work(op)->meta;
        DlVirtAffect wanted = affected(vm);

        return (!(wanted & DL_VIRT_LIVE) || has_metadata(vm->live, own)) &&
               (!(wanted & DL_VIRT_CONFIG) || has_metadata(vm->inactive, own));
}

void dl_step_write_metadata(DlOperation *op)
{
        if (metadata_is_written(op))
                dl_op_next(op);
        else
                write_metadata(op, dl_disk_work(op)->meta);
}

/* libvirt chose the address: known once the disk is there. */
void dl_step_keep_address(DlOperation *op)
{
        if (dl_disk_work_keep_address(op))
                write_metadata(op, dl_disk_work(op)->meta);
        else
                dl_op_next(op);
}

void dl_dry_write_metadata(DlOperation *op)
{
        if (!metadata_is_written(op))
                dl_op_would(op, "write the attachment %s into the metadata of VM %s",
                            dl_disk_work(op)->meta->id, op->vm->name);
        dl_op_next(op);
}

void dl_dry_remove_metadata(DlOperation *op)
{
        dl_op_would(op, "remove the attachment %s from the metadata of VM %s",
                    dl_disk_work(op)->meta->id, op->vm->name);
        dl_op_next(op);
}

void dl_step_remove_metadata(DlOperation *op)
{
        if (op->undoing && dl_disk_is_left_to_recovery(op))
                dl_op_next(op);
        else
                write_metadata(op, NULL);
}
