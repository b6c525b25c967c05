/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Proving the disks of a domain that is about to be started by somebody else: virsh, autostart, a
 * migration. libvirt's hook asks, with the domain's XML, and libvirt has the domain locked until it
 * is answered: so nothing is asked of libvirt about domains here. The XML is that of the start:
 * what it names is what QEMU will open, so that very portal and number have to show the LUN. Loop
 * thread only.
 */

#include "core/steps/block-proof.h"
#include "core/steps/disk-xml.h"
#include "core/steps/operation.h"
#include "core/steps/proof.h"

#include <string.h>

/* libvirt stands still meanwhile: not longer than a person would wait for "virsh list". */
#define OPERATION_TIMEOUT_USEC (20 * G_USEC_PER_SEC)

typedef struct Disk {
        DlOperation *op;
        const DlDomainAttachment *meta; /* of the domain */
        const DlDomainDisk *element;    /* of the domain */
        DlProof *proof;
} Disk;

typedef struct PrepareWork {
        DlDomain *domain;
        GPtrArray *disks; /* Disk */
        unsigned n_open;
        unsigned giving; /* index of the disk whose secret is given */
} PrepareWork;

static void disk_free(gpointer p)
{
        dl_proof_free(((Disk *)p)->proof);
        g_free(p);
}

static void work_free(void *p)
{
        PrepareWork *work = p;

        g_ptr_array_unref(work->disks);
        dl_domain_free(work->domain);
        g_free(work);
}

/* ---- which disks --------------------------------------------------------------------------- */

/* A store that was lost, or a definition that comes from elsewhere. */
static bool ensure_target(DlCore *core, const Disk *disk, GError **error)
{
        const DlDomainDisk *element = disk->element;
        DlTarget *target;

        if (!disk->meta->iqn || !element->host_name || DL_LOOKUP_TARGET(core, disk->meta->iqn))
                return true;
        if (!dl_check_iqn(disk->meta->iqn, error) ||
            !dl_check_address(element->host_name, element->host_port, error))
                return false;
        target = dl_target_ensure(core, disk->meta->iqn, error);
        if (target)
                dl_target_add_portal(target, element->host_name, element->host_port, 0);
        return target;
}

static bool starts_with_us(DlOperation *op)
{
        const DlVm *vm = DL_LOOKUP_VM(op->core, ((PrepareWork *)op->data)->domain->uuid);

        return vm && vm->starting;
}

static void find_disks(DlOperation *op)
{
        PrepareWork *work = op->data;
        g_autoptr(GError) error = NULL;

        if (starts_with_us(op)) { /* Run has just proven all of it */
                dl_op_finish(op);
                return;
        }
        for (unsigned i = 0; i < work->domain->attachments->len; i++) {
                const DlDomainAttachment *meta = work->domain->attachments->pdata[i];
                g_autofree char *alias = dl_disk_alias(meta->vdisk);
                const DlDomainDisk *element = dl_vm_find_disk(work->domain, alias);
                Disk *disk;

                if (!element)
                        continue;
                disk = g_new0(Disk, 1);
                *disk = (Disk){.op = op, .meta = meta, .element = element};
                g_ptr_array_add(work->disks, disk);
                if (!ensure_target(op->core, disk, &error)) {
                        dl_op_fail(op, g_steal_pointer(&error));
                        return;
                }
        }
        dl_op_next(op);
}

/* ---- proof --------------------------------------------------------------------------------- */

static GError *check_place(const Disk *disk)
{
        const DlProof *proof = disk->proof;
        const DlDomainDisk *element = disk->element;

        if (proof->node)
                return dl_block_is_node(DL_LOOKUP_LUN(proof->core, disk->meta->guid),
                                        element->source)
                               ? NULL
                               : g_error_new(DL_ERROR, DL_ERROR_GUID_MISMATCH,
                                             "%s is %s on this host, not %s, which the VM is "
                                             "defined with; start it with \"directlunctl run\", "
                                             "which corrects its definition",
                                             disk->meta->guid, proof->node, element->source);
        g_autofree char *source = g_strdup_printf("%s/%u", proof->target->object.id,
                                                  dl_iscsi_lun_for_qemu(proof->lun));
        if (g_strcmp0(element->source, source) != 0)
                return g_error_new(
                        DL_ERROR, DL_ERROR_GUID_MISMATCH,
                        "%s has moved to LUN %" G_GUINT64_FORMAT " of target %s; start "
                        "the VM with \"directlunctl run\", which corrects its definition",
                        disk->meta->guid, proof->lun, proof->target->object.id);
        if (!dl_proof_is_at(proof, element->host_name, element->host_port))
                return g_error_new(DL_ERROR, DL_ERROR_PORTAL_UNREACHABLE,
                                   "%s is reachable, but not through portal %s:%u, which the VM is "
                                   "defined with; start it with \"directlunctl run\", which "
                                   "corrects its definition",
                                   disk->meta->guid, element->host_name, element->host_port);
        return NULL;
}

static GError *why_not(const Disk *disk, const GError *error)
{
        return g_error_new(DL_ERROR, (int)dl_error_code(error), "Disk %s (%s): %s%s",
                           disk->element->target_dev ? disk->element->target_dev : "",
                           disk->meta->guid, error->message,
                           disk->meta->optional
                                   ? "; it is optional: \"directlunctl run\" starts without it"
                                   : "");
}

static void on_proven(const GError *error, void *userdata)
{
        Disk *disk = userdata;
        DlOperation *op = disk->op;
        PrepareWork *work = op->data;
        g_autoptr(GError) misplaced = error ? NULL : check_place(disk);

        work->n_open--;
        if (error || misplaced)
                dl_op_fail(op, why_not(disk, error ? error : misplaced));
        else if (work->n_open == 0)
                dl_op_next(op);
}

static void stop_proofs(void *p)
{
        PrepareWork *work = ((DlOperation *)p)->data;

        g_ptr_array_set_size(work->disks, 0);
}

static void prove(DlOperation *op)
{
        PrepareWork *work = op->data;

        if (work->disks->len == 0) {
                dl_op_next(op);
                return;
        }
        work->n_open = work->disks->len;
        for (unsigned i = 0; i < work->disks->len; i++) {
                Disk *disk = work->disks->pdata[i];

                DlProofWish wish = dl_proof_wish(disk->meta);
                wish.data_path = dl_data_path_of(disk->element);
                disk->proof = dl_proof_start(op->core, &wish, on_proven, disk);
        }
        dl_op_wait(op, op, stop_proofs);
}

static void undo_prove(DlOperation *op)
{
        stop_proofs(op);
        dl_op_next(op);
}

/* ---- secrets: libvirt's driver of them is not the one that waits --------------------------- */

static DlTarget *next_with_secret(PrepareWork *work)
{
        for (; work->giving < work->disks->len; work->giving++) {
                DlTarget *target = ((Disk *)work->disks->pdata[work->giving])->proof->target;

                if (target && target->secret)
                        return target;
        }
        return NULL;
}

static void on_given(const GError *error, void *userdata)
{
        DlOperation *op = userdata;
        PrepareWork *work = op->data;

        if (error) {
                dl_op_fail(op, g_error_copy(error));
                return;
        }
        work->giving++;
        DlTarget *target = next_with_secret(work);
        if (target)
                dl_op_wait(op, dl_disk_give_secret(target, on_given, op),
                           (void (*)(void *))dl_virt_cancel);
        else
                dl_op_next(op);
}

/* While libvirt's daemon starts it runs what is to be autostarted, and serves nobody: then there is
 * no way to give it a secret. */
static void give_secrets(DlOperation *op)
{
        DlTarget *target = next_with_secret(op->data);

        if (!target)
                dl_op_next(op);
        else if (!dl_core_has_libvirt(op->core))
                dl_op_failf(op, DL_ERROR_LIBVIRT_ERROR,
                            "Target %s wants CHAP, and libvirt cannot be given the secret while it "
                            "starts; \"directlunctl run\" starts the VM later",
                            target->object.id);
        else
                dl_op_wait(op, dl_disk_give_secret(target, on_given, op),
                           (void (*)(void *))dl_virt_cancel);
}

static void tell_secrets(DlOperation *op)
{
        PrepareWork *work = op->data;

        for (DlTarget *target; (target = next_with_secret(work)); work->giving++)
                dl_op_would(op, "give libvirt the CHAP secret of target %s", target->object.id);
        dl_op_next(op);
}

static const DlStep prepare_steps[] = {
        {"looking", find_disks, .dry = find_disks},
        {"proving the LUNs", prove, undo_prove, .dry = prove},
        {"giving secrets", give_secrets, .dry = tell_secrets},
};

DlJob *dl_flow_prepare_start(DlCore *core, const DlRequest *request, const char *xml,
                             GError **error)
{
        g_autoptr(DlDomain) domain = NULL;
        g_autoptr(GError) wrong = NULL;
        PrepareWork *work;

        domain = dl_domain_parse(xml, &wrong);
        if (!domain || domain->metadata_broken) {
                g_set_error(error, DL_ERROR, DL_ERROR_INVALID_ARGS, "domain_xml: %s",
                            wrong ? wrong->message : "the attachments in it cannot be understood");
                return NULL;
        }
        work = g_new0(PrepareWork, 1);
        work->domain = g_steal_pointer(&domain);
        work->disks = g_ptr_array_new_with_free_func(disk_free);
        return (DlJob *)DL_OP_NEW(core, "prepare-start", request, prepare_steps,
                                  OPERATION_TIMEOUT_USEC, work, work_free, error);
}
