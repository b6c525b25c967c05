/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The proof that comes before a LUN is given to a VM: its GUID is read on every portal of a target
 * that is known to have it, then of the next. A number that shows something else now makes us look
 * at all numbers once: a LUN may move, its GUID does not. What is used is the number that was
 * looked at last, for itself: only there it is asked whether it is write-protected.
 *
 * The target is kept as long as the proof is: free it when the VM has the disk, or never will.
 * Loop thread only.
 */

#include "core/core-private.h"

typedef struct DlProof {
        /* where the LUN is: valid once done() said so without an error */
        DlTarget *target;
        uint64_t lun;
        char *address;
        uint16_t port;
        char **way; /* the numeric portals that it went to (see iscsi.h); NULL: not known */

        /* private */
        DlCore *core;
        char *guid;
        bool readonly;
        enum {
                DL_PROOF_KNOWN, /* the number that it had is looked at */
                DL_PROOF_ALL,   /* it is not there: all numbers */
                DL_PROOF_FOUND, /* the number that it has now */
        } stage;
        uint64_t since_usec; /* what was seen before proves nothing */
        struct DlConnect *connect;
        GPtrArray *tried;         /* char *: IQNs of the targets that were asked */
        sd_event_source *refusal; /* tells an error that was known at once */
        GError *error;
        void (*done)(const GError *error, void *userdata);
        void *userdata;
} DlProof;

/*
 * iqn, lun: where it was last; iqn may be NULL. done: once, from the loop, not after a free; error:
 * LunNotFound, LunNotVisible, GuidMismatch, GuidNotUnique, PathsInconsistent, InvalidArgs (the LUN
 * is write-protected and readonly was not asked for), or what the portals answer.
 */
DlProof *dl_proof_start(DlCore *core, const char *guid, const char *iqn, uint64_t lun,
                        bool readonly, void (*done)(const GError *error, void *userdata),
                        void *userdata);
/* Whether this portal, too, has just shown the LUN at proof->lun. */
bool dl_proof_is_at(const DlProof *proof, const char *address, uint16_t port);
void dl_proof_free(DlProof *proof); /* takes NULL */
