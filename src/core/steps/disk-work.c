/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Shared steps of the flows on one disk: everything but the proof, which is disk-prove.c. Loop
 * thread only. */

#include "core/steps/disk-work.h"
#include "core/steps/attach-guard.h"
#include "core/steps/disk-place.h"
#include "core/steps/disk-xml.h"
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
        g_free(work);
}

DlAttachment *dl_disk_work_attachment(DlOperation *op)
{
        char id[DL_UUID_SIZE];

        dl_uuid_for_attachment(op->vm->object.id, dl_disk_work(op)->vdisk, id);
        return DL_LOOKUP_ATTACHMENT(op->job.object.core, id);
}

static DlVirt *virt(DlOperation *op)
{
        return op->job.object.core->virt;
}

static void wait_for_call(DlOperation *op, DlVirtCall *call)
{
        dl_op_wait(op, call, (void (*)(void *))dl_virt_cancel);
}

/* "": no VM has the vDisk. */
static const char *vm_id(const DlOperation *op)
{
        return op->vm ? op->vm->object.id : "";
}

static void fail_called(DlOperation *op, const GError *error)
{
        /* No answer: it may have taken effect, or may do so late. And what cannot be undone now
         * must not be forgotten. */
        if (op->undoing || dl_error_code(error) == DL_ERROR_TIMED_OUT ||
            !dl_core_has_libvirt(op->job.object.core))
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
                fail_called(op, error);
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

        if (error) {
                GError *copy = g_error_copy(error);

                g_clear_pointer(&work->proof, dl_proof_free);
                dl_op_fail(op, copy);
                return;
        }
        dl_set_string(&work->meta->iqn, proof->target->object.id);
        work->meta->lun = proof->lun;
        dl_op_concerns(op, DL_KIND_TARGET, proof->target->object.id);
        dl_op_report(op, "Proved %s as LUN %" G_GUINT64_FORMAT " of %s at %s:%u", work->meta->guid,
                     proof->lun, proof->target->object.id, proof->address, proof->port);
        dl_op_next(op);
}

static void stop_proof(void *p)
{
        g_clear_pointer(&dl_disk_work(p)->proof, dl_proof_free);
}

void dl_step_prove(DlOperation *op)
{
        DlDiskWork *work = dl_disk_work(op);
        const DlDomainAttachment *meta = work->meta;

        work->proof = dl_proof_start(op->job.object.core, meta->guid, meta->iqn, meta->lun,
                                     meta->readonly, on_proven, op);
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
        dl_intent_remove(op->job.object.core, work->intent, NULL, NULL);
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

        g_hash_table_iter_init(&iter, op->job.object.core->intents);
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
        work->intent = dl_intent_write(
                op->job.object.core,
                &(DlIntent){
                        .kind = work->kind,
                        .vm = (char *)vm_id(op),
                        .vdisk = work->vdisk,
                        .in_config = work->in_config,
                        .new_vdisk = !DL_LOOKUP_VDISK(op->job.object.core, work->vdisk),
                        .image = work->image,
                        .file = work->file,
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

void dl_step_settle(DlOperation *op)
{
        DlDiskWork *work = dl_disk_work(op);

        dl_intent_remove(op->job.object.core, work->intent, on_settled, op);
        work->intent = NULL;
}

void dl_undo_begin(DlOperation *op)
{
        DlVm *vm = DL_LOOKUP_VM(op->job.object.core, vm_id(op)); /* maybe a new one */

        if (!dl_disk_work(op)->intent) { /* settled already */
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
        wait_for_call(op, dl_virt_set_metadata(virt(op), op->vm->object.id, xml, affected(op->vm),
                                               dl_disk_called, op));
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

/* ---- disk ---------------------------------------------------------------------------------- */

void dl_step_give_secret(DlOperation *op)
{
        DlTarget *target = dl_disk_work(op)->proof ? dl_disk_work(op)->proof->target : NULL;

        if (target && target->secret)
                wait_for_call(op, dl_disk_give_secret(target, dl_disk_called, op));
        else
                dl_op_next(op);
}

void dl_dry_give_secret(DlOperation *op)
{
        const DlTarget *target = dl_disk_work(op)->proof->target;

        if (target->secret)
                dl_op_would(op, "give libvirt the CHAP secret of target %s", target->object.id);
        dl_op_next(op);
}

static char *disk_xml(DlOperation *op, bool live)
{
        DlDiskWork *work = dl_disk_work(op);

        return dl_disk_xml(op->vm, work->meta, work->proof, live);
}

/* The persistent domain has the disk; false for a transient one. */
static bool is_in_config(DlOperation *op)
{
        return op->vm->persistent &&
               dl_vm_find_disk(op->vm->inactive, dl_disk_work(op)->disk_alias);
}

/* An empty controller does no harm, and the next disk uses it: it stays, whatever comes. */
static void add_controller(DlOperation *op, DlVirtAffect affect)
{
        g_autofree char *xml = dl_disk_place_controller_xml(dl_disk_work(op)->meta);

        dl_op_report(op, "Adding a virtio-scsi controller to VM %s; it stays", op->vm->name);
        wait_for_call(op, dl_virt_attach_device(virt(op), op->vm->object.id, xml, affect,
                                                DL_VIRT_TIMEOUT_USEC, dl_disk_called, op));
}

static bool needs_controller(DlOperation *op, DlVirtAffect affect)
{
        const DlDiskWork *work = dl_disk_work(op);

        if (affect == DL_VIRT_LIVE)
                return work->plug && dl_disk_place_needs_controller(work->meta, op->vm->live);
        return op->vm->persistent && dl_disk_place_needs_controller(work->meta, op->vm->inactive);
}

void dl_step_add_controller(DlOperation *op)
{
        if (needs_controller(op, DL_VIRT_CONFIG))
                add_controller(op, DL_VIRT_CONFIG);
        else
                dl_op_next(op);
}

void dl_step_plug_controller(DlOperation *op)
{
        if (needs_controller(op, DL_VIRT_LIVE))
                add_controller(op, DL_VIRT_LIVE);
        else
                dl_op_next(op);
}

void dl_dry_add_controller(DlOperation *op)
{
        if (needs_controller(op, DL_VIRT_CONFIG) || needs_controller(op, DL_VIRT_LIVE))
                dl_op_would(op, "add a virtio-scsi controller to VM %s", op->vm->name);
        dl_op_next(op);
}

void dl_step_attach_config(DlOperation *op)
{
        const DlDiskWork *work = dl_disk_work(op);

        if (!op->vm->persistent || is_in_config(op)) {
                dl_op_next(op);
                return;
        }
        g_autofree char *xml = disk_xml(op, false);
        if (work->meta->boot_order > 0 && op->vm->inactive->os_boot)
                wait_for_call(op, dl_virt_attach_boot_disk(virt(op), op->vm->object.id, xml,
                                                           dl_disk_called, op));
        else
                wait_for_call(op, dl_virt_attach_device(virt(op), op->vm->object.id, xml,
                                                        DL_VIRT_CONFIG, DL_VIRT_TIMEOUT_USEC,
                                                        dl_disk_called, op));
}

void dl_dry_attach_config(DlOperation *op)
{
        const DlDomainAttachment *meta = dl_disk_work(op)->meta;
        g_autofree char *dev = dl_disk_place_dev(meta, op->vm->live, op->vm->inactive,
                                                 dl_disk_work(op)->disk_alias);

        if (op->vm->persistent && !is_in_config(op))
                dl_op_would(op, "add %s to the configuration of VM %s as %s (%s)", meta->guid,
                            op->vm->name, dev, meta->iface);
        dl_op_next(op);
}

static void detach_config(DlOperation *op)
{
        wait_for_call(op, dl_virt_detach_device(virt(op), op->vm->object.id,
                                                dl_disk_work(op)->disk_alias, DL_VIRT_CONFIG,
                                                DL_VIRT_TIMEOUT_USEC, dl_disk_called, op));
}

void dl_step_detach_config(DlOperation *op)
{
        if (is_in_config(op))
                detach_config(op);
        else
                dl_op_next(op);
}

void dl_dry_detach_config(DlOperation *op)
{
        if (is_in_config(op))
                dl_op_would(op, "remove %s from the configuration of VM %s",
                            dl_disk_work(op)->meta->guid, op->vm->name);
        dl_op_next(op);
}

void dl_undo_attach_config(DlOperation *op)
{
        DlDiskWork *work = dl_disk_work(op);

        if (dl_disk_is_left_to_recovery(op) || work->in_config || !op->vm->persistent)
                dl_op_next(op);
        else
                detach_config(op);
}

static void on_plugged(const GError *error, void *userdata)
{
        DlAttachment *a = dl_disk_work_attachment(userdata);

        if (!error) /* there is no way back but the guest's */
                dl_disk_work(userdata)->leave_to_recovery = true;
        if (!error && a && dl_last_error_set(&a->last_error, NULL))
                dl_object_changed(&a->object, "LastError");
        dl_disk_called(error, userdata);
}

static bool is_plugged(DlOperation *op)
{
        return dl_vm_find_disk(op->vm->live, dl_disk_work(op)->disk_alias) != NULL;
}

void dl_dry_attach_live(DlOperation *op)
{
        const DlDomainAttachment *meta = dl_disk_work(op)->meta;
        g_autofree char *dev = dl_disk_place_dev(meta, op->vm->live, op->vm->inactive,
                                                 dl_disk_work(op)->disk_alias);

        if (dl_disk_work(op)->plug && !is_plugged(op))
                dl_op_would(op, "plug %s into the running VM %s as %s (%s)", meta->guid,
                            op->vm->name, dev, meta->iface);
        dl_op_next(op);
}

void dl_step_attach_live(DlOperation *op)
{
        DlDiskWork *work = dl_disk_work(op);

        if (!work->plug || is_plugged(op)) {
                dl_op_next(op);
                return;
        }
        g_autofree char *xml = disk_xml(op, true);
        dl_op_wait(op,
                   dl_attach_guarded(op->job.object.core, op->vm->object.id, xml,
                                     (const char *const *)work->proof->way, on_plugged, op),
                   (void (*)(void *))dl_attach_guard_cancel);
}

/* ---- release by the guest ------------------------------------------------------------------ */

static void stop_waiting_for_guest(void *p)
{
        DlOperation *op = p;
        DlDiskWork *work = dl_disk_work(op);

        dl_vm_wait_for_release(op->vm, NULL, NULL, NULL);
        dl_virt_cancel(work->request);
        work->request = NULL;
        work->timer = sd_event_source_disable_unref(work->timer);
}

static void did_not_release(DlOperation *op, const char *why)
{
        if (dl_disk_work(op)->request) /* nobody knows what becomes of it */
                dl_disk_work(op)->leave_to_recovery = true;
        stop_waiting_for_guest(op);
        dl_op_failf(
                op, DL_ERROR_GUEST_DID_NOT_RELEASE,
                "The guest of VM %s did not release the disk (%s); it is still plugged. Stop using "
                "it in the guest, then unplug it again",
                op->vm->name, why);
}

static int on_release_deadline(sd_event_source *source, uint64_t usec, void *userdata)
{
        did_not_release(userdata, "it has not answered in time");
        return 0;
}

/* Both the request's end and the guest's answer are needed, in whichever order they come. */
static void check_released(DlOperation *op)
{
        DlDiskWork *work = dl_disk_work(op);

        if (work->request || !work->released)
                return;
        work->leave_to_recovery = true; /* it cannot be taken back */
        stop_waiting_for_guest(op);
        dl_op_next(op);
}

static void on_released(bool released, void *userdata)
{
        DlOperation *op = userdata;

        if (!released) {
                did_not_release(op, "it refused");
                return;
        }
        dl_disk_work(op)->released = true;
        check_released(op);
}

static void on_requested(const GError *error, void *userdata)
{
        DlOperation *op = userdata;
        DlDiskWork *work = dl_disk_work(op);

        work->request = NULL;
        if (error && !work->released) {
                stop_waiting_for_guest(op);
                fail_called(op, error);
                return;
        }
        check_released(op);
}

void dl_step_detach_live(DlOperation *op)
{
        DlDiskWork *work = dl_disk_work(op);
        uint64_t usec = op->job.object.core->settings->release_timeout_usec;
        int r;

        if (!is_plugged(op)) {
                dl_op_next(op);
                return;
        }
        r = sd_event_add_time_relative(op->job.object.core->event, &work->timer, CLOCK_MONOTONIC,
                                       usec, 0, on_release_deadline, op);
        if (r < 0) {
                dl_op_failf(op, DL_ERROR_FAILED, "No timer: %s", g_strerror(-r));
                return;
        }
        dl_vm_wait_for_release(op->vm, work->disk_alias, on_released, op);
        work->request = dl_virt_detach_device(virt(op), op->vm->object.id, work->disk_alias,
                                              DL_VIRT_LIVE, usec, on_requested, op);
        dl_op_wait(op, op, stop_waiting_for_guest);
}

void dl_dry_detach_live(DlOperation *op)
{
        if (is_plugged(op))
                dl_op_would(op, "ask the guest of VM %s to release %s, and wait for it",
                            op->vm->name, dl_disk_work(op)->meta->guid);
        dl_op_next(op);
}
