/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Proving all disks of a VM. Nobody waits long for optional ones once the others are proven. Loop
 * thread only.
 */

#include "core/steps/run-proof.h"
#include "core/steps/disk-xml.h"
#include "core/steps/image-rules.h"
#include "core/steps/proof.h"
#include "util/uuid.h"

#include <string.h>

/* How long those that are proven wait for optional ones. */
#define GRACE_USEC (5 * G_USEC_PER_SEC)

typedef struct Disk {
        DlRunProof *run;
        DlDomainAttachment *meta;
        DlProof *proof;
        char *alias;
        GError *error; /* optional, and not proven */
        bool over;
} Disk;

struct DlRunProof {
        DlCore *core;
        DlVm *vm;
        GPtrArray *disks;            /* Disk */
        unsigned n_open, n_required; /* that are not over; of them, not optional */
        sd_event_source *none;       /* there is nothing to prove */
        sd_event_source *grace;
        DlVirtCall *call;
        unsigned writing; /* index of the disk being written */
        DlRunProven done;
        void *userdata;
};

static void disk_free(gpointer p)
{
        Disk *disk = p;

        dl_proof_free(disk->proof);
        dl_domain_attachment_free(disk->meta);
        g_clear_error(&disk->error);
        g_free(disk->alias);
        g_free(disk);
}

void dl_run_proof_free(DlRunProof *run)
{
        if (!run)
                return;
        dl_virt_cancel(run->call);
        sd_event_source_disable_unref(run->none);
        sd_event_source_disable_unref(run->grace);
        g_ptr_array_unref(run->disks);
        g_free(run);
}

/* ---- proving ------------------------------------------------------------------------------- */

/* Last in its callers: done() may free us. */
static void tell(DlRunProof *run, const GError *error)
{
        DlRunProven done = run->done;

        run->done = NULL;
        if (done)
                done(error, run->userdata);
}

static int on_grace_over(sd_event_source *source, uint64_t usec, void *userdata)
{
        DlRunProof *run = userdata;

        for (unsigned i = 0; i < run->disks->len; i++) {
                Disk *disk = run->disks->pdata[i];

                if (disk->over)
                        continue;
                disk->over = true;
                disk->error = g_error_new(DL_ERROR, DL_ERROR_TIMED_OUT,
                                          "Its portals have not answered in time");
                g_clear_pointer(&disk->proof, dl_proof_free);
        }
        run->n_open = 0;
        tell(run, NULL);
        return 0;
}

/* Nothing more of what has to be there is waited for. */
static void start_grace(DlRunProof *run)
{
        if (!run->grace)
                (void)sd_event_add_time_relative(run->vm->object.core->event, &run->grace,
                                                 CLOCK_MONOTONIC, GRACE_USEC, 0, on_grace_over,
                                                 run);
}

static void on_proven(const GError *error, void *userdata)
{
        Disk *disk = userdata;
        DlRunProof *run = disk->run;

        disk->over = true;
        run->n_open--;
        if (!disk->meta->optional)
                run->n_required--;
        else if (error)
                disk->error = g_error_copy(error);
        if ((error && !disk->meta->optional) || run->n_open == 0)
                tell(run, error && !disk->meta->optional ? error : NULL);
        else if (run->n_required == 0)
                start_grace(run);
}

static int on_none(sd_event_source *source, void *userdata)
{
        tell(userdata, NULL);
        return 0;
}

static void start_disk(DlRunProof *run, const DlAttachment *a)
{
        Disk *disk = g_new0(Disk, 1);

        *disk = (Disk){
                .run = run,
                .meta = dl_domain_attachment_copy(a->meta),
                .alias = dl_disk_alias(a->meta->vdisk),
        };
        g_ptr_array_add(run->disks, disk);
        run->n_open++;
        run->n_required += !disk->meta->optional;
        DlProofWish wish = dl_proof_wish(disk->meta);
        disk->proof = dl_proof_start(run->core, &wish, on_proven, disk);
}

DlRunProof *dl_run_proof_start(DlCore *core, DlVm *vm, DlRunProven done, void *userdata)
{
        DlRunProof *run = g_new0(DlRunProof, 1);
        g_autoptr(GPtrArray) attachments = dl_vm_attachments(vm);

        *run = (DlRunProof){
                .core = core,
                .vm = vm,
                .disks = g_ptr_array_new_with_free_func(disk_free),
                .done = done,
                .userdata = userdata,
        };
        for (unsigned i = 0; i < attachments->len; i++)
                if (((DlAttachment *)attachments->pdata[i])->in_config)
                        start_disk(run, attachments->pdata[i]);
        if (run->n_open == 0)
                (void)sd_event_add_defer(vm->object.core->event, &run->none, on_none, run);
        else if (run->n_required == 0)
                start_grace(run);
        return run;
}

/* ---- writing: one disk after the other ----------------------------------------------------- */

static void write_next(DlRunProof *run);

static Disk *current(DlRunProof *run)
{
        return run->disks->pdata[run->writing];
}

static void on_written(const GError *error, void *userdata)
{
        DlRunProof *run = userdata;

        run->call = NULL;
        if (error) {
                tell(run, error);
                return;
        }
        run->writing++;
        write_next(run);
}

/* The disk element names another portal, number or device, or goes by another data path, than what
 * was proven. */
static bool moved(const Disk *disk, const DlVm *vm)
{
        const DlDomainDisk *element = dl_vm_find_disk(vm->inactive, disk->alias);

        if (element && disk->meta->image && !dl_image_check_known(vm, disk->meta, element, NULL))
                return true; /* another moment was chosen */
        return element && !dl_proof_is_of(disk->proof, element);
}

/* In one step: a crash must not leave the VM without the disk. */
static void update(DlRunProof *run, const Disk *disk)
{
        DlCore *core = run->vm->object.core;
        g_autofree char *xml = dl_disk_xml(run->vm, disk->meta, disk->proof, false);

        run->call = dl_virt_update_device(core->virt, run->vm->object.id, xml, DL_VIRT_CONFIG,
                                          on_written, run);
}

static void on_secret_given(const GError *error, void *userdata)
{
        DlRunProof *run = userdata;
        Disk *disk = current(run);

        const DlDomainDisk *element = dl_vm_find_disk(run->vm->inactive, disk->alias);
        g_autoptr(GError) unknown = NULL;

        run->call = NULL;
        if (error)
                tell(run, error);
        else if (!disk->meta->image &&
                 !dl_image_check_known(run->vm, disk->meta, element, &unknown))
                tell(run, unknown);
        else if (moved(disk, run->vm))
                update(run, disk);
        else
                on_written(NULL, run);
}

static void write_next(DlRunProof *run)
{
        while (run->writing < run->disks->len && current(run)->error)
                run->writing++;
        if (run->writing >= run->disks->len) {
                tell(run, NULL);
                return;
        }
        DlTarget *target = current(run)->proof->target;
        if (target && target->secret)
                run->call = dl_disk_give_secret(target, on_secret_given, run);
        else
                on_secret_given(NULL, run);
}

static int on_begin_writing(sd_event_source *source, void *userdata)
{
        write_next(userdata);
        return 0;
}

void dl_run_proof_write(DlRunProof *run, DlRunProven done, void *userdata)
{
        run->done = done;
        run->userdata = userdata;
        run->writing = 0;
        run->none = sd_event_source_disable_unref(run->none);
        run->grace = sd_event_source_disable_unref(run->grace);
        (void)sd_event_add_defer(run->vm->object.core->event, &run->none, on_begin_writing, run);
}

GPtrArray *dl_run_proof_changes(const DlRunProof *run)
{
        GPtrArray *changes = g_ptr_array_new_with_free_func(g_free);

        for (unsigned i = 0; i < run->disks->len; i++) {
                const Disk *disk = run->disks->pdata[i];
                const DlProof *proof = disk->proof;

                if (disk->error) {
                        g_ptr_array_add(changes,
                                        g_strdup_printf("leave out %s: %s", disk->meta->guid,
                                                        disk->error->message));
                        continue;
                }
                if (proof->target && proof->target->secret)
                        g_ptr_array_add(changes,
                                        g_strdup_printf("give libvirt the CHAP secret of target "
                                                        "%s",
                                                        proof->iqn));
                g_autofree char *place = dl_proof_to_text(proof);
                if (moved(disk, run->vm))
                        g_ptr_array_add(changes,
                                        g_strdup_printf("change the configuration of VM %s: %s is "
                                                        "%s",
                                                        run->vm->name, disk->meta->guid, place));
        }
        return changes;
}

/* ---- what is left out ---------------------------------------------------------------------- */

GStrv dl_run_proof_left_out(const DlRunProof *run)
{
        g_autoptr(GStrvBuilder) aliases = g_strv_builder_new();

        for (unsigned i = 0; i < run->disks->len; i++)
                if (((Disk *)run->disks->pdata[i])->error)
                        g_strv_builder_add(aliases, ((Disk *)run->disks->pdata[i])->alias);
        return g_strv_builder_end(aliases);
}

const GError *dl_run_proof_why_left_out(const DlRunProof *run, const char *attachment)
{
        for (unsigned i = 0; i < run->disks->len; i++) {
                const Disk *disk = run->disks->pdata[i];

                if (strcmp(disk->meta->id, attachment) == 0)
                        return disk->error;
        }
        return NULL;
}
