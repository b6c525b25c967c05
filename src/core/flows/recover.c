/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Settling what was left half done. The disk element in the domain decides: an attach or a plug
 * whose disk is there is completed, else taken back; an unplug or a detach is tried once more if it
 * is not long ago, and when the disk is gone it is completed, else it has not happened. So the
 * state is either as before or as intended, and running this twice changes nothing. Loop thread
 * only.
 */

#include "core/flows/recover.h"
#include "core/steps/disk-work.h"
#include "core/steps/leftover.h"
#include "core/steps/vdisk-create.h"

/* An unplug that began so long ago is not what anybody still waits for. */
#define RECENT_USEC (60 * G_USEC_PER_SEC)
/* What a guest may take that was asked by a former run. */
#define GRACE_USEC (5 * G_USEC_PER_SEC)

static void on_calm(const GError *error, void *userdata)
{
        if (error)
                dl_op_fail(userdata, g_error_copy(error));
        else
                dl_op_next(userdata);
}

/* The service died, but what it had asked of libvirt goes on: what the domain says now may not be
 * final. */
void dl_step_wait_for_former_run(DlOperation *op)
{
        dl_op_wait(op, dl_virt_wait_for_others(op->core->virt, op->vm->object.id, on_calm, op),
                   (void (*)(void *))dl_virt_cancel);
}

static void stop_asking(void *p)
{
        DlOperation *op = p;
        DlDiskWork *work = dl_disk_work(op);

        dl_vm_wait_for_release(op->vm, NULL, NULL, NULL);
        dl_virt_cancel(work->request);
        work->request = NULL;
        work->timer = sd_event_source_disable_unref(work->timer);
}

static void on_asked(const GError *error, void *userdata)
{
        dl_disk_work(userdata)->request = NULL;
        if (error) /* QEMU says so when the former run's request is still under way */
                dl_op_report(userdata, "%s", error->message);
}

static void on_released(bool released, void *userdata)
{
        stop_asking(userdata);
        dl_op_next(userdata);
}

static int on_grace_over(sd_event_source *source, uint64_t usec, void *userdata)
{
        on_released(false, userdata);
        return 0;
}

/* A guest that was asked before the host was booted has not been asked: it runs for the first time.
 */
static bool is_recent(DlCore *core, const DlIntent *intent)
{
        uint64_t now = dl_wallclock();

        return dl_intent_is_of_this_boot(core, intent) && intent->time_usec <= now &&
               now - intent->time_usec < RECENT_USEC;
}

/*
 * The guest may have been asked to release the disk, and may do so any time: then the rest would be
 * undone. Nobody can tell, so it is asked (again). Not if that is long ago: then the disk stays.
 */
static void ask_guest_again(DlOperation *op)
{
        DlDiskWork *work = dl_disk_work(op);
        const DlSettings *settings = op->core->settings;
        bool removing = work->kind == DL_INTENT_UNPLUG || work->kind == DL_INTENT_DETACH;

        if (!removing || !is_recent(op->core, work->intent) ||
            !dl_vm_find_disk(op->vm->live, work->disk_alias) ||
            sd_event_add_time_relative(op->core->event, &work->timer, CLOCK_MONOTONIC,
                                       MIN(GRACE_USEC, settings->release_timeout_usec), 0,
                                       on_grace_over, op) < 0) {
                dl_op_next(op);
                return;
        }
        dl_vm_wait_for_release(op->vm, work->disk_alias, on_released, op);
        work->request = dl_virt_detach_device(op->core->virt, op->vm->object.id, work->disk_alias,
                                              DL_VIRT_LIVE, DL_VIRT_TIMEOUT_USEC, on_asked, op);
        dl_op_wait(op, op, stop_asking);
}

static bool disk_is_there(DlOperation *op)
{
        const DlVm *vm = op->vm;
        const DlDomain *domain = vm->live ? vm->live : vm->inactive;

        return dl_vm_find_disk(domain, dl_disk_work(op)->disk_alias) != NULL;
}

static void on_leftover_removed(const GError *error, void *userdata)
{
        if (error)
                dl_op_report(userdata, "%s", error->message);
        dl_op_next(userdata);
}

/* If it was libvirt's daemon that died, QEMU may have what it does not know of. */
static void remove_leftover(DlOperation *op)
{
        if (!op->vm->live || disk_is_there(op)) {
                dl_op_next(op);
                return;
        }
        dl_op_wait(op, dl_leftover_remove(op->vm, dl_disk_work(op)->vdisk, on_leftover_removed, op),
                   (void (*)(void *))dl_leftover_cancel);
}

static void find_out(DlOperation *op)
{
        DlDiskWork *work = dl_disk_work(op);

        dl_op_report(op, "The disk is %s", disk_is_there(op) ? "there" : "not there");
        work->in_config = work->intent->in_config;
        dl_op_next(op);
}

static bool is_removal(const DlDiskWork *work)
{
        return work->kind == DL_INTENT_UNPLUG || work->kind == DL_INTENT_DETACH;
}

static void settle_config(DlOperation *op)
{
        DlDiskWork *work = dl_disk_work(op);
        bool there = disk_is_there(op);

        /* Added: the persistent domain got it before the running one. */
        if (there || (!is_removal(work) && work->in_config))
                dl_op_next(op);
        else
                dl_step_detach_config(op);
}

static void settle_metadata(DlOperation *op)
{
        DlDiskWork *work = dl_disk_work(op);
        bool gone = !disk_is_there(op) &&
                    (work->kind == DL_INTENT_ATTACH || work->kind == DL_INTENT_DETACH);

        if (gone && dl_disk_work_attachment(op))
                dl_step_remove_metadata(op);
        else
                dl_op_next(op);
}

static void on_vdisk_removed(const GError *error, void *userdata)
{
        if (error)
                dl_op_report(userdata, "The vDisk stays: %s", error->message);
        dl_op_next(userdata);
}

/* What an attach that is taken back has made goes, unless somebody uses it by now. */
static void settle_vdisk(DlOperation *op)
{
        const DlDiskWork *work = dl_disk_work(op);
        DlVDisk *vdisk = DL_LOOKUP_VDISK(op->core, work->vdisk);
        g_autoptr(GPtrArray) users = vdisk ? dl_vdisk_attachments(vdisk) : NULL;

        if (work->kind == DL_INTENT_ATTACH && work->intent->new_vdisk && users && users->len == 0)
                dl_vdisk_remove(vdisk, on_vdisk_removed, op);
        else
                dl_op_next(op);
}

/* A guest that refuses has decided it: nothing has happened. After any other failure the intent
 * stays, for another try. */
static void give_up(DlOperation *op)
{
        if (dl_error_code(op->failure) == DL_ERROR_GUEST_DID_NOT_RELEASE &&
            !dl_disk_work(op)->leave_to_recovery)
                dl_step_settle(op);
        else
                dl_op_next(op);
}

static const DlStep recover_steps[] = {
        {"waiting for libvirt", dl_step_wait_for_former_run, give_up, .firm = true},
        {"looking at the VM", dl_step_look},
        {"waiting for the guest", ask_guest_again},
        {"looking at the VM", dl_step_look},
        {"looking into QEMU", remove_leftover},
        {"looking at the VM", find_out},
        {"settling", settle_config},
        {"settling", settle_metadata},
        {"looking at the VM", dl_step_look},
        {"settling", settle_vdisk},
        {"finishing", dl_step_settle},
};

static void recover(DlVm *vm, DlIntent *intent)
{
        static const DlRequest nobody = {.internal = true};
        g_autoptr(GError) error = NULL;

        if (dl_intent_is_of_images(intent->kind)) {
                dl_recover_images(vm->object.core, vm, intent);
                return;
        }
        DlDiskWork *work = dl_disk_work_new(intent->kind, intent->vdisk, NULL);
        DlOperation *op;

        work->intent = intent;
        dl_intent_adopt(intent);
        op = DL_OP_NEW(vm->object.core, "recover", &nobody, recover_steps, 0, work,
                       dl_disk_work_free, &error);
        if (op)
                dl_op_on_vm(op, vm);
        else
                dl_warning("VM %s cannot be recovered now: %s", vm->name, error->message);
}

void dl_recover_vm(DlVm *vm)
{
        g_autoptr(GPtrArray) intents = g_ptr_array_new();
        GHashTableIter iter;
        gpointer intent;

        if (dl_virt_has_late_call(vm->object.core->virt, vm->object.id))
                return; /* not before it is known what it does; its end brings us here again */
        g_hash_table_iter_init(&iter, vm->object.core->intents);
        while (g_hash_table_iter_next(&iter, NULL, &intent))
                if (!((DlIntent *)intent)->owned &&
                    g_str_equal(((DlIntent *)intent)->vm, vm->object.id))
                        g_ptr_array_add(intents, intent);
        for (unsigned i = 0; i < intents->len; i++)
                recover(vm, intents->pdata[i]);
}

/* A VM that was undefined has taken its attachments with it, but not the images of its vDisks. */
void dl_recover_forget(DlCore *core)
{
        g_autoptr(GPtrArray) gone = g_ptr_array_new();
        GHashTableIter iter;
        gpointer intent;

        g_hash_table_iter_init(&iter, core->intents);
        while (g_hash_table_iter_next(&iter, NULL, &intent))
                if (!((DlIntent *)intent)->owned && !DL_LOOKUP_VM(core, ((DlIntent *)intent)->vm))
                        g_ptr_array_add(gone, intent);
        for (unsigned i = 0; i < gone->len; i++)
                if (dl_intent_is_of_images(((DlIntent *)gone->pdata[i])->kind))
                        dl_recover_images(core, NULL, gone->pdata[i]);
                else
                        dl_intent_remove(core, gone->pdata[i], NULL, NULL);
}

void dl_recover(DlCore *core)
{
        g_autoptr(GPtrArray) vms = dl_core_list(core, DL_KIND_VM);

        for (unsigned i = 0; i < vms->len; i++)
                dl_recover_vm(vms->pdata[i]);
        dl_recover_forget(core);
}
