/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The proof that comes before a LUN is given to a VM, and the choice of the data path. By this
 * host's kernel (block) it is what block-proof.h says, and what every path answers that is asked
 * for its GUID (path-proof.h). By QEMU's own initiator its GUID is read on every portal of a target
 * that is known to have it, then of the next. A number that shows
 * something else now makes us look at all numbers once: a LUN may move, its GUID does not. What is
 * used is the number that was looked at last, for itself: only there it is asked whether it is
 * write-protected.
 *
 * The target is kept as long as the proof is: free it when the VM has the disk, or never will.
 * Loop thread only.
 */

#include "core/core-private.h"

typedef enum DlDataPath {
        DL_DATA_PATH_AUTO, /* block where the kernel has the LUN and it can be used so, else qemu */
        DL_DATA_PATH_QEMU,
        DL_DATA_PATH_BLOCK,
} DlDataPath;

DlDataPath dl_data_path(const char *name); /* NULL, or what nobody knows: auto */
/* That a disk element goes by. */
DlDataPath dl_data_path_of(const DlDomainDisk *disk);

/* What is to be proven. Borrowed. */
typedef struct DlProofWish {
        const char *guid;
        const char *iqn; /* where it was last; NULL: not known */
        uint64_t lun;
        bool readonly;
        bool force; /* though this host uses it */
        DlDataPath data_path;
} DlProofWish;

DlProofWish dl_proof_wish(const DlDomainAttachment *meta);

typedef struct DlProof {
        /* where the LUN is: valid once done() said so without an error */
        char *node;       /* by the kernel: the name of the device; NULL: by QEMU's initiator */
        char *iqn;        /* of the target; NULL: it goes by the kernel, and not over iSCSI */
        const char *why;  /* of the data path, for people */
        DlTarget *target; /* by QEMU's initiator, else NULL */
        uint64_t lun;
        char *address;
        uint16_t port;
        char **way; /* the numeric portals that it went to (see iscsi.h); NULL: not known */

        /* private */
        DlCore *core;
        char *guid;
        bool readonly, force;
        DlDataPath data_path; /* as asked for */
        struct DlKernelChoice *choice;
        struct DlPathProof *paths; /* by the kernel */
        DlTarget *held;            /* acquired, by the kernel */
        GError *not_block;         /* why auto does not go by the kernel that has the LUN */
        enum {
                DL_PROOF_KNOWN, /* the number that it had is looked at */
                DL_PROOF_ALL,   /* it is not there: all numbers */
                DL_PROOF_FOUND, /* the number that it has now */
        } stage;
        uint64_t since_usec; /* what was seen before proves nothing */
        struct DlConnect *connect;
        GPtrArray *tried;        /* char *: IQNs of the targets that were asked */
        sd_event_source *answer; /* tells what was known at once */
        GError *error;
        void (*done)(const GError *error, void *userdata);
        void *userdata;
} DlProof;

/*
 * What auto finds nobody connected to is connected as Connect would do it (kernel-choice.h), and so
 * is block if the kernel has no device yet.
 *
 * done: once, from the loop, not after a free; error: LunNotFound, LunNotVisible, GuidMismatch,
 * GuidNotUnique, PathsInconsistent, InvalidArgs (the LUN is write-protected and readonly was not
 * asked for), InUse (by this host), or what the portals or the helper answer.
 */
DlProof *dl_proof_start(DlCore *core, const DlProofWish *wish,
                        void (*done)(const GError *error, void *userdata), void *userdata);
/* "LUN 1 of iqn… at 192.0.2.1:3260", "/dev/disk/by-id/…"; newly allocated. */
char *dl_proof_to_text(const DlProof *proof);
/* The disk element leads to what was proven. */
bool dl_proof_is_of(const DlProof *proof, const DlDomainDisk *disk);
/* Whether this portal, too, has just shown the LUN at proof->lun. */
bool dl_proof_is_at(const DlProof *proof, const char *address, uint16_t port);
void dl_proof_free(DlProof *proof); /* takes NULL */
