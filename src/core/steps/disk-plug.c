/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is done to the disk of an operation: into the configuration and the running domain, and out
 * of them again. Loop thread only. */

#include "core/steps/attach-guard.h"
#include "core/steps/disk-place.h"
#include "core/steps/disk-work.h"
#include "core/steps/disk-xml.h"
#include "core/steps/leftover.h"

#include <string.h>

static DlVirt *virt(DlOperation *op)
{
        return op->core->virt;
}

/* ---- disk ---------------------------------------------------------------------------------- */

void dl_step_give_secret(DlOperation *op)
{
        DlTarget *target = dl_disk_work(op)->proof ? dl_disk_work(op)->proof->target : NULL;

        if (target && target->secret)
                dl_disk_wait_for_call(op, dl_disk_give_secret(target, dl_disk_called, op));
        else
                dl_op_next(op);
}

void dl_dry_give_secret(DlOperation *op)
{
        const DlTarget *target = dl_disk_work(op)->proof->target;

        if (target && target->secret)
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
        dl_disk_wait_for_call(op, dl_virt_attach_device(virt(op), op->vm->object.id, xml, affect,
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

static bool is_plugged(DlOperation *op)
{
        return dl_vm_find_disk(op->vm->live, dl_disk_work(op)->disk_alias) != NULL;
}

/* The configuration has <os><boot>, which gives way to the disk's order. */
static bool takes_place_of_os_boot(DlOperation *op)
{
        return dl_disk_work(op)->meta->boot_order > 0 && op->vm->inactive->os_boot;
}

/* The same element into both domains: then libvirt does both, or nothing, in one call. */
static bool goes_into_both(DlOperation *op)
{
        const DlDiskWork *work = dl_disk_work(op);

        if (!work->plug || is_plugged(op) || !op->vm->persistent || is_in_config(op) ||
            work->attached_config || takes_place_of_os_boot(op))
                return false;
        g_autofree char *config = disk_xml(op, false), *live = disk_xml(op, true);
        return strcmp(config, live) == 0;
}

void dl_step_attach_config(DlOperation *op)
{
        DlDiskWork *work = dl_disk_work(op);

        if (!op->vm->persistent || is_in_config(op) || goes_into_both(op)) {
                dl_op_next(op);
                return;
        }
        g_autofree char *xml = disk_xml(op, false);
        dl_vm_hold_looks(op->vm);
        work->attached_config = true;
        if (takes_place_of_os_boot(op))
                dl_disk_wait_for_call(op, dl_virt_attach_boot_disk(virt(op), op->vm->object.id, xml,
                                                                   dl_disk_called, op));
        else
                dl_disk_wait_for_call(
                        op, dl_virt_attach_device(virt(op), op->vm->object.id, xml, DL_VIRT_CONFIG,
                                                  DL_VIRT_TIMEOUT_USEC, dl_disk_called, op));
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
        dl_disk_wait_for_call(op,
                              dl_virt_detach_device(virt(op), op->vm->object.id,
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

        if (dl_disk_is_left_to_recovery(op) || !work->attached_config)
                dl_op_next(op);
        else
                detach_config(op);
}

/* A daemon that dies again and again may have left several. */
#define LEFTOVERS_MAX 3

static void on_leftover_removed(const GError *error, void *userdata)
{
        if (error)
                dl_disk_fail_called(userdata, error);
        else
                dl_step_attach_live(userdata);
}

/* Whether something that libvirt does not know of stood in the way, and is removed first. */
static bool remove_leftover(DlOperation *op, const GError *error)
{
        DlDiskWork *work = dl_disk_work(op);

        if (!error || !dl_leftover_is_told(error) || work->n_leftovers == LEFTOVERS_MAX)
                return false;
        work->n_leftovers++;
        dl_op_report(op, "Removing what a plug that was cut off has left in QEMU (%s)",
                     error->message);
        dl_op_wait(op, dl_leftover_remove(op->vm, work->vdisk, on_leftover_removed, op),
                   (void (*)(void *))dl_leftover_cancel);
        return true;
}

static void on_plugged(const DlVirtDomain *domain, const GError *error, void *userdata)
{
        DlOperation *op = userdata;

        if (domain) {
                dl_vm_release_looks(op->vm);
                dl_vm_merge(op->core, domain);
                dl_disk_work(op)->seen_plugged = op->vm->object.published && is_plugged(op);
        }
        DlAttachment *a = dl_disk_work_attachment(userdata);

        if (remove_leftover(userdata, error))
                return;
        if (!error) /* there is no way back but the guest's */
                dl_disk_work(userdata)->leave_to_recovery = true;
        if (!error && a && dl_last_error_set(&a->last_error, NULL))
                dl_object_changed(&a->object, "LastError");
        dl_disk_called(error, userdata);
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
        DlVirtAffect affect = DL_VIRT_LIVE | (goes_into_both(op) ? DL_VIRT_CONFIG : 0);

        dl_vm_hold_looks(op->vm);
        dl_op_wait(op,
                   dl_attach_guarded(op->core, op->vm->object.id, xml, affect,
                                     (const char *const *)work->proof->way, on_plugged, op),
                   (void (*)(void *))dl_attach_guard_cancel);
}

void dl_step_look_at_plugged(DlOperation *op)
{
        if (dl_disk_work(op)->seen_plugged)
                dl_op_next(op);
        else
                dl_step_look(op);
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

/* The request cannot be taken back: the guest may release the disk as long as it runs. Then what
 * nobody wants any more is made good. */
static void give_up_release(void *p)
{
        DlOperation *op = p;

        stop_waiting_for_guest(op);
        dl_vm_keep_plugged(op->vm, dl_disk_work(op)->disk_alias);
        dl_op_report(op,
                     "The guest of VM %s was asked to release %s; if it does so yet, the disk is "
                     "plugged in again",
                     op->vm->name, dl_disk_work(op)->meta->guid);
}

static void did_not_release(DlOperation *op, const char *why)
{
        DlAttachment *a = dl_disk_work_attachment(op);
        g_autoptr(GError) error = NULL;

        if (dl_disk_work(op)->request) /* nobody knows what becomes of it */
                dl_disk_work(op)->leave_to_recovery = true;
        stop_waiting_for_guest(op);
        error = g_error_new(
                DL_ERROR, DL_ERROR_GUEST_DID_NOT_RELEASE,
                "The guest of VM %s did not release the disk (%s); it is still plugged. Stop using "
                "it in the guest, then unplug it again",
                op->vm->name, why);
        if (a && dl_last_error_set(&a->last_error, error))
                dl_object_changed(&a->object, "LastError");
        dl_op_fail(op, g_steal_pointer(&error));
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
                dl_disk_fail_called(op, error);
                return;
        }
        check_released(op);
}

void dl_step_detach_live(DlOperation *op)
{
        DlDiskWork *work = dl_disk_work(op);
        uint64_t usec = op->core->settings->release_timeout_usec;
        int r;

        if (!is_plugged(op)) {
                dl_op_next(op);
                return;
        }
        r = sd_event_add_time_relative(op->core->event, &work->timer, CLOCK_MONOTONIC, usec, 0,
                                       on_release_deadline, op);
        if (r < 0) {
                dl_op_failf(op, DL_ERROR_FAILED, "No timer: %s", g_strerror(-r));
                return;
        }
        dl_vm_wait_for_release(op->vm, work->disk_alias, on_released, op);
        work->request = dl_virt_detach_device(virt(op), op->vm->object.id, work->disk_alias,
                                              DL_VIRT_LIVE, usec, on_requested, op);
        dl_op_wait(op, op, give_up_release);
}

void dl_dry_detach_live(DlOperation *op)
{
        if (is_plugged(op))
                dl_op_would(op, "ask the guest of VM %s to release %s, and wait for it",
                            op->vm->name, dl_disk_work(op)->meta->guid);
        dl_op_next(op);
}
