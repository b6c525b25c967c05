/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The steps that the flows on one disk of one VM share: attach, plug, unplug, detach, and the
 * recovery of them. The flows (flow-attach.c, flow-plug.c, recover.c) put them into their tables.
 * Loop thread only.
 */

#include "core/records/journal.h"
#include "core/steps/disk-rules.h"
#include "core/steps/operation.h"
#include "core/steps/proof.h"

/* The data of such an operation. */
typedef struct DlDiskWork {
        char *vdisk;              /* id */
        char *disk_alias;         /* of the disk element */
        DlDomainAttachment *meta; /* what the attachment is, or is to be */
        DlIntentKind kind;
        DlIntent *intent;
        bool plug;              /* into the running domain */
        bool if_missed;         /* only if it is left out; nobody asked for it otherwise */
        bool in_config;         /* the disk was in the persistent domain when the operation began */
        bool attached_config;   /* by this operation, by itself */
        bool seen_plugged;      /* libvirt told of the disk when it had plugged it */
        bool leave_to_recovery; /* what the domain says decides how a failure from here on ends */

        char *image, *file; /* of the intent; NULL: it is not of images */
        char **drop;        /* the same */

        DlProof *proof; /* keeps the target; NULL: not proven yet */
        enum {
                DL_AHEAD_NO,
                DL_AHEAD_RUNS,
                DL_AHEAD_OVER,
                DL_AHEAD_AWAITED, /* by dl_step_prove() */
        } ahead;
        GError *proof_error; /* of a proof that is over before it is awaited */

        /* the guest is asked to release the disk */
        DlVirtCall *request; /* NULL: it has ended */
        sd_event_source *timer;
        bool released;

        unsigned n_leftovers; /* that stood in the way of the plug, and were removed */

        void *extra; /* of the flow */
        GDestroyNotify free_extra;
} DlDiskWork;

/* meta may be NULL (then dl_step_find comes first). */
DlDiskWork *dl_disk_work_new(DlIntentKind kind, const char *vdisk, const DlDomainAttachment *meta);
void dl_disk_work_free(void *work);
static inline DlDiskWork *dl_disk_work(DlOperation *op)
{
        return op->data;
}
DlAttachment *dl_disk_work_attachment(DlOperation *op); /* NULL if it is not there (any more) */

/* The end of a step that is one call to libvirt; userdata: the operation. Without an answer, what
 * became of it is left to the recovery. */
void dl_disk_called(const GError *error, void *userdata);
void dl_disk_fail_called(DlOperation *op, const GError *error);
void dl_disk_wait_for_call(DlOperation *op, DlVirtCall *call);
/* Nothing is to be undone by the operation: it does not know the domain (any more). */
bool dl_disk_is_left_to_recovery(const DlOperation *op);
/* What the rules and the places need to know. The array of others is to be freed with g_ptr_array_
 * unref(), its elements are borrowed. */
DlDiskVm dl_disk_work_vm(DlOperation *op, GPtrArray **ret_others);
/* Takes the address over that the domain has; whether it is another. */
bool dl_disk_work_keep_address(DlOperation *op);

/* Takes the attachment's data from the domain. NotAttached. */
void dl_step_find(DlOperation *op);
/* Begins what dl_step_prove() waits for, if it is likely to be needed. */
void dl_step_prove_ahead(DlOperation *op);
/* Proves the LUN (see proof.h), and keeps its target. */
void dl_step_prove(DlOperation *op);
void dl_undo_prove(DlOperation *op);
/* The journal: before the first side effect, and after the last. */
void dl_step_begin(DlOperation *op);
void dl_dry_begin(DlOperation *op);
void dl_undo_begin(DlOperation *op);
void dl_step_settle(DlOperation *op);
/* So that what was undone is seen before the failure is told. Stands before dl_step_begin. */
void dl_undo_look(DlOperation *op);
/* CHAP for QEMU, if the target wants it. */
void dl_step_give_secret(DlOperation *op);
void dl_dry_give_secret(DlOperation *op);
/* The metadata element, with this attachment as it is to be, or without it. */
void dl_step_write_metadata(DlOperation *op);
void dl_step_remove_metadata(DlOperation *op);
void dl_dry_write_metadata(DlOperation *op);
void dl_dry_remove_metadata(DlOperation *op);
/* After a look: the address that libvirt has given goes into the metadata. */
void dl_step_keep_address(DlOperation *op);
/* A virtio-scsi controller for the disk, if there is none: of the persistent domain, and of the
 * running one. It stays. */
void dl_step_add_controller(DlOperation *op);
void dl_step_plug_controller(DlOperation *op);
void dl_dry_add_controller(DlOperation *op);
/* The disk element of the persistent domain. Nothing to do for a transient one, or if it is there
 * (is not there) already. */
void dl_step_attach_config(DlOperation *op);
void dl_step_detach_config(DlOperation *op);
void dl_dry_attach_config(DlOperation *op);
void dl_dry_detach_config(DlOperation *op);
void dl_undo_attach_config(DlOperation *op); /* not if it was there before */
/* The disk of the running domain: plugs; asks the guest to release it and waits until it has. */
void dl_step_attach_live(DlOperation *op);
void dl_step_detach_live(DlOperation *op);
void dl_dry_attach_live(DlOperation *op);
void dl_dry_detach_live(DlOperation *op);
/* A look at the VM, unless the disk was seen plugged already. */
void dl_step_look_at_plugged(DlOperation *op);
