/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Running a VM where its LUNs are reachable, and stopping it. A VM starts only when every disk that
 * is not optional was proven; all targets are asked side by side. Optional ones that are not proven
 * are left out: missing.c brings them when they are there. Loop thread only.
 */

#include "core/steps/connect.h"
#include "core/steps/image-rules.h"
#include "core/steps/kernel-unqueue.h"
#include "core/steps/operation.h"
#include "core/steps/run-proof.h"

#include <string.h>

#define START_TIMEOUT_USEC (60 * G_USEC_PER_SEC)
#define STOP_TIMEOUT_USEC  (120 * G_USEC_PER_SEC)

typedef struct RunWork {
        char *image;              /* the moment that a disk is to read; NULL: as it is */
        DlDomainAttachment *read; /* of that disk, as it is to be */
        DlRunProof *proof;
        bool graceful;
        DlVirtCall *call; /* the guest is being asked to shut down, or powered off */
        DlKernelUnqueue *unqueue;
        GError *error; /* of the power off */
        sd_event_source *timer;
} RunWork;

static void work_free(void *p)
{
        RunWork *work = p;

        dl_run_proof_free(work->proof);
        dl_domain_attachment_free(work->read);
        g_free(work->image);
        sd_event_source_disable_unref(work->timer);
        dl_kernel_unqueue_cancel(work->unqueue);
        g_clear_error(&work->error);
        g_free(work);
}

static void wait_for_call(DlOperation *op, DlVirtCall *call)
{
        dl_op_wait(op, call, (void (*)(void *))dl_virt_cancel);
}

static void on_done(const GError *error, void *userdata)
{
        if (error)
                dl_op_fail(userdata, g_error_copy(error));
        else
                dl_op_next(userdata);
}

/* ---- run ----------------------------------------------------------------------------------- */

static void check_run(DlOperation *op)
{
        if (dl_vm_is_active(op->vm))
                dl_op_failf(op, DL_ERROR_VM_RUNNING, "VM %s runs already on host %s", op->vm->name,
                            dl_vm_host(op->vm));
        else
                dl_op_next(op);
}

/* Of the vDisk that has this image. */
static const DlDomainAttachment *find_attachment(const DlOperation *op, const char *image)
{
        g_autoptr(GPtrArray) attachments = dl_vm_attachments(op->vm);

        for (unsigned i = 0; i < attachments->len; i++) {
                const DlAttachment *a = attachments->pdata[i];
                const DlVDisk *vdisk = dl_attachment_vdisk(a);

                if (vdisk && dl_vdisk_find_image(vdisk, image, NULL))
                        return a->meta;
        }
        return NULL;
}

/* One that reads is given the moment; one that writes has the current image, or nothing. */
static void choose_image(DlOperation *op)
{
        RunWork *work = op->data;
        const DlDomainAttachment *meta = work->image ? find_attachment(op, work->image) : NULL;
        DlVDisk *vdisk = meta ? DL_LOOKUP_VDISK(op->core, meta->vdisk) : NULL;
        g_autoptr(DlDomainAttachment) read = NULL;
        g_autoptr(GError) error = NULL;

        if (!work->image) {
                dl_op_next(op);
                return;
        }
        if (op->vm->inactive && op->vm->inactive->metadata_broken) { /* not to be written back */
                dl_op_failf(op, DL_ERROR_LIBVIRT_ERROR,
                            "The metadata of VM %s has attachments that cannot be understood",
                            op->vm->name);
                return;
        }
        if (!meta) {
                dl_op_failf(op, DL_ERROR_INVALID_ARGS,
                            "VM %s has no disk of a vDisk with image %s; attach it first",
                            op->vm->name, work->image);
                return;
        }
        read = dl_domain_attachment_copy(meta);
        dl_set_string(&read->image, work->image);
        dl_image_normalize(vdisk, read);
        if (!dl_image_check_attach(vdisk, read, &error)) {
                dl_op_fail(op, g_steal_pointer(&error));
                return;
        }
        if (g_strcmp0(read->image, meta->image) != 0)
                work->read = g_steal_pointer(&read);
        dl_op_next(op);
}

/* The disk element follows, with what was proven. */
static void write_image(DlOperation *op)
{
        const RunWork *work = op->data;
        g_autoptr(GPtrArray) attachments = dl_vm_attachments(op->vm);
        g_autoptr(GPtrArray) metas = g_ptr_array_new();

        if (!work->read) {
                dl_op_next(op);
                return;
        }
        for (unsigned i = 0; i < attachments->len; i++) {
                DlDomainAttachment *meta = ((DlAttachment *)attachments->pdata[i])->meta;

                g_ptr_array_add(metas, strcmp(meta->id, work->read->id) == 0 ? work->read : meta);
        }
        g_autofree char *xml = dl_metadata_to_xml((DlDomainAttachment *const *)metas->pdata,
                                                  metas->len);
        wait_for_call(op, dl_virt_set_metadata(op->core->virt, op->vm->object.id, xml,
                                               DL_VIRT_CONFIG, on_done, op));
}

static void tell_image(DlOperation *op)
{
        const RunWork *work = op->data;

        if (work->read)
                dl_op_would(op, "give VM %s image %s to read", op->vm->name, work->image);
        dl_op_next(op);
}

static void stop_proof(void *p)
{
        RunWork *work = ((DlOperation *)p)->data;

        dl_run_proof_free(work->proof);
        work->proof = NULL;
}

/* What is wrong with the LUN itself: no other host could do better. */
static bool is_the_same_everywhere(const GError *error)
{
        switch (dl_error_code(error)) {
        case DL_ERROR_GUID_MISMATCH:
        case DL_ERROR_GUID_NOT_UNIQUE:
        case DL_ERROR_LUN_SHRUNK:
                return true;
        default:
                return false;
        }
}

/* With several hosts the next would be tried now; the error is the same however many there are. */
static void on_proven(const GError *error, void *userdata)
{
        DlOperation *op = userdata;

        if (error && is_the_same_everywhere(error))
                dl_op_fail(op, g_error_copy(error));
        else if (error)
                dl_op_failf(op, DL_ERROR_NO_HOST_AVAILABLE,
                            "No host can run VM %s; host %s: %s: %s", op->vm->name,
                            dl_core_local_host(op->core)->object.id,
                            dl_error_name((int)dl_error_code(error)), error->message);
        else
                dl_op_next(op);
}

static void prove(DlOperation *op)
{
        RunWork *work = op->data;

        work->proof = dl_run_proof_start(op->core, op->vm, on_proven, op);
        dl_op_wait(op, op, stop_proof);
}

/* An earlier start without it, told by another change of the metadata to the persistent domain. */
static bool says_left_out(const DlDomain *domain)
{
        for (unsigned i = 0; domain && i < domain->attachments->len; i++)
                if (((DlDomainAttachment *)domain->attachments->pdata[i])->left_out)
                        return true;
        return false;
}

static void on_started(const GError *error, void *userdata)
{
        ((DlOperation *)userdata)->vm->starting = false;
        on_done(error, userdata);
}

static void start_vm(DlOperation *op)
{
        RunWork *work = op->data;
        DlVirt *virt = op->core->virt;
        const char *vm = op->vm->object.id;
        g_auto(GStrv) left_out = dl_run_proof_left_out(work->proof);

        op->vm->starting = true;
        if (left_out[0] || says_left_out(op->vm->inactive))
                wait_for_call(op, dl_virt_start_without(virt, vm, (const char *const *)left_out,
                                                        START_TIMEOUT_USEC, on_started, op));
        else
                wait_for_call(op, dl_virt_start(virt, vm, START_TIMEOUT_USEC, on_started, op));
}

static void say_what_is_left_out(DlOperation *op)
{
        RunWork *work = op->data;
        g_autoptr(GPtrArray) attachments = dl_vm_attachments(op->vm);

        for (unsigned i = 0; i < attachments->len; i++) {
                DlAttachment *a = attachments->pdata[i];
                const GError *why = dl_run_proof_why_left_out(work->proof, a->object.id);

                if (!why || !a->left_out)
                        continue;
                dl_op_report(op, "Left out %s: %s", a->meta->guid, why->message);
                if (dl_last_error_set(&a->last_error, why))
                        dl_object_changed(&a->object, "LastError");
        }
        dl_op_next(op);
}

static void give_host(DlOperation *op)
{
        op->job.result_string = g_strdup(dl_core_local_host(op->core)->object.id);
        dl_op_next(op);
}

static void update_config(DlOperation *op)
{
        RunWork *work = op->data;

        dl_run_proof_write(work->proof, on_done, op);
}

static void tell_config(DlOperation *op)
{
        g_autoptr(GPtrArray) changes = dl_run_proof_changes(((RunWork *)op->data)->proof);

        for (unsigned i = 0; i < changes->len; i++)
                dl_op_would(op, "%s", (const char *)changes->pdata[i]);
        dl_op_next(op);
}

static void tell_start(DlOperation *op)
{
        dl_op_would(op, "start VM %s on host %s", op->vm->name,
                    dl_core_local_host(op->core)->object.id);
        dl_op_next(op);
}

static const DlStep run_steps[] = {
        {"looking at the VM", dl_step_look, .dry = dl_step_look},
        {"looking at the VM", check_run, .dry = check_run},
        {"looking at the VM", choose_image, .dry = choose_image},
        {"choosing the image", write_image, .dry = tell_image},
        {"looking at the VM", dl_step_look, .dry = dl_step_look},
        {"connecting", prove, .dry = prove},
        {"starting", update_config, .firm = true, .dry = tell_config},
        {"starting", start_vm, .dry = tell_start},
        {"looking at the VM", dl_step_look, .dry = dl_op_next},
        {"finishing", say_what_is_left_out, .dry = dl_op_next},
        {"finishing", give_host, .dry = give_host},
};

/* So far there is one host: among the preferred ones, or nobody prefers any. */
static bool check_hosts(DlCore *core, const char *const *hosts, GError **error)
{
        const char *local = dl_core_local_host(core)->object.id;

        if (!hosts[0] || g_strv_contains(hosts, local))
                return true;
        g_set_error(error, DL_ERROR, DL_ERROR_HOST_NOT_FOUND,
                    "No host %s is known here; the local one is %s", hosts[0], local);
        return false;
}

static DlOperation *start(DlVm *vm, const char *operation, const DlRequest *request,
                          const DlStep *steps, unsigned n_steps, uint64_t timeout_usec,
                          RunWork **ret_work, GError **error)
{
        RunWork *work = g_new0(RunWork, 1);
        DlOperation *op = dl_op_new(vm->object.core, operation, request, steps, n_steps,
                                    timeout_usec, work, work_free, error);

        if (!op)
                return NULL;
        dl_op_on_vm(op, vm);
        *ret_work = work;
        return op;
}

DlJob *dl_flow_run(DlVm *vm, const DlRequest *request, const char *const *hosts, GError **error)
{
        RunWork *work;

        if (!check_hosts(vm->object.core, hosts, error))
                return NULL;
        return (DlJob *)start(vm, "run", request, run_steps, G_N_ELEMENTS(run_steps),
                              START_TIMEOUT_USEC * 2, &work, error);
}

DlJob *dl_flow_run_image(DlVm *vm, const DlRequest *request, const char *const *hosts,
                         const char *image, GError **error)
{
        RunWork *work;
        DlOperation *op;

        if (!check_hosts(vm->object.core, hosts, error))
                return NULL;
        op = start(vm, "run", request, run_steps, G_N_ELEMENTS(run_steps), START_TIMEOUT_USEC * 2,
                   &work, error);
        if (op)
                work->image = g_strdup(image);
        return (DlJob *)op;
}

/* On one host there is nobody to fence: a VM that does not run here runs nowhere. */
DlJob *dl_flow_restart(DlVm *vm, const DlRequest *request, const char *const *hosts, GError **error)
{
        RunWork *work;

        if (!check_hosts(vm->object.core, hosts, error))
                return NULL;
        return (DlJob *)start(vm, "restart", request, run_steps, G_N_ELEMENTS(run_steps),
                              START_TIMEOUT_USEC * 2, &work, error);
}

DlJob *dl_flow_migrate(DlVm *vm, const DlRequest *request, const char *destination, GError **error)
{
        const char *local = dl_core_local_host(vm->object.core)->object.id;

        if (strcmp(destination, local) == 0)
                g_set_error(error, DL_ERROR, DL_ERROR_INVALID_ARGS, "VM %s is on host %s already",
                            vm->name, local);
        else
                g_set_error(error, DL_ERROR, DL_ERROR_HOST_NOT_FOUND,
                            "No host %s is known here; the local one is %s", destination, local);
        return NULL;
}

/* ---- stop ---------------------------------------------------------------------------------- */

static void check_stop(DlOperation *op)
{
        if (dl_vm_is_active(op->vm))
                dl_op_next(op);
        else
                dl_op_finish(op);
}

static void stop_waiting(void *p)
{
        DlOperation *op = p;
        RunWork *work = op->data;

        dl_vm_wait_for_stop(op->vm, NULL, NULL);
        work->timer = sd_event_source_disable_unref(work->timer);
}

static void on_stopped(void *userdata)
{
        stop_waiting(userdata);
        dl_op_next(userdata);
}

static void on_shutdown_requested(const GError *error, void *userdata)
{
        DlOperation *op = userdata;

        ((RunWork *)op->data)->call = NULL;
        if (error) {
                dl_op_fail(op, g_error_copy(error));
                return;
        }
        if (!dl_vm_is_active(op->vm)) {
                dl_op_next(op);
                return;
        }
        dl_vm_wait_for_stop(op->vm, on_stopped, op);
}

static void give_up_shutdown(void *p)
{
        DlOperation *op = p;
        RunWork *work = op->data;

        stop_waiting(op);
        g_clear_pointer(&work->call, dl_virt_cancel);
        dl_op_report(op, "The guest of VM %s was asked to shut down, and may do so yet",
                     op->vm->name);
}

static void ask_guest(DlOperation *op)
{
        RunWork *work = op->data;

        if (!work->graceful) {
                dl_op_next(op);
                return;
        }
        work->call = dl_virt_shutdown(op->core->virt, op->vm->object.id, on_shutdown_requested, op);
        dl_op_wait(op, op, give_up_shutdown);
}

static void tell_ask_guest(DlOperation *op)
{
        if (((RunWork *)op->data)->graceful)
                dl_op_would(op, "ask the guest of VM %s to shut down, and wait for it",
                            op->vm->name);
        dl_op_next(op);
}

static void on_part_done(DlOperation *op)
{
        RunWork *work = op->data;

        if (work->call || work->unqueue)
                return;
        if (work->error)
                dl_op_fail(op, g_steal_pointer(&work->error));
        else
                dl_op_next(op);
}

static void on_destroyed(const GError *error, void *userdata)
{
        DlOperation *op = userdata;
        RunWork *work = op->data;

        work->call = NULL;
        work->error = error ? g_error_copy(error) : NULL;
        on_part_done(op);
}

static void on_unqueued(const GError *error, void *userdata)
{
        DlOperation *op = userdata;

        ((RunWork *)op->data)->unqueue = NULL;
        if (error)
                dl_op_report(op, "%s", error->message);
        on_part_done(op);
}

static void stop_power_off(void *p)
{
        RunWork *work = ((DlOperation *)p)->data;

        g_clear_pointer(&work->call, dl_virt_cancel);
        g_clear_pointer(&work->unqueue, dl_kernel_unqueue_cancel);
}

/* Side by side: what waits must fail while QEMU is being ended, which else cannot. */
static void power_off(DlOperation *op)
{
        RunWork *work = op->data;

        if (work->graceful) {
                dl_op_next(op);
                return;
        }
        work->unqueue = dl_kernel_unqueue_start(op->vm, on_unqueued, op);
        work->call = dl_virt_destroy(op->core->virt, op->vm->object.id, on_destroyed, op);
        dl_op_wait(op, op, stop_power_off);
}

static void tell_power_off(DlOperation *op)
{
        g_autoptr(GPtrArray) guids = NULL;

        if (((RunWork *)op->data)->graceful) {
                dl_op_next(op);
                return;
        }
        guids = dl_kernel_queueing(op->vm);
        for (unsigned i = 0; i < guids->len; i++)
                dl_op_would(op, "let fail what waits for a path to %s", (char *)guids->pdata[i]);
        dl_op_would(op, "power off VM %s", op->vm->name);
        dl_op_next(op);
}

static void on_looked_after_stop(const DlVirtDomain *domain, const GError *error, void *userdata)
{
        DlOperation *op = userdata;

        if (domain)
                dl_vm_merge(op->job.object.core, domain);
        else if (dl_error_code(error) != DL_ERROR_VM_NOT_FOUND) {
                dl_op_fail(op, g_error_copy(error));
                return;
        } else if (op->vm->object.published) /* a transient domain goes with its end */
                dl_vm_gone(op->vm);
        dl_op_next(op);
}

static void look_after_stop(DlOperation *op)
{
        wait_for_call(op, dl_virt_get_domain(op->core->virt, op->vm->object.id,
                                             on_looked_after_stop, op));
}

static const DlStep stop_steps[] = {
        {"looking at the VM", dl_step_look, .dry = dl_step_look},
        {"looking at the VM", check_stop, .dry = check_stop},
        {"stopping", ask_guest, .dry = tell_ask_guest},
        {"stopping", power_off, .firm = true, .dry = tell_power_off},
        {"looking at the VM", look_after_stop, .dry = dl_op_next},
};

DlJob *dl_flow_stop(DlVm *vm, const DlRequest *request, bool graceful, GError **error)
{
        RunWork *work;
        DlOperation *op = start(vm, "stop", request, stop_steps, G_N_ELEMENTS(stop_steps),
                                STOP_TIMEOUT_USEC, &work, error);

        if (op)
                work->graceful = graceful;
        return (DlJob *)op;
}
