/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Proof of the GUID on every path that I/O can go by. It owns its calls. Loop thread only. */

#include "core/steps/path-proof.h"

#include "core/model/lun-kernel.h"
#include "host/helper.h"

#include <sys/sysmacros.h>

#define ASK_MSEC 15000 /* the helper may have to be started */

typedef struct Asked {
        DlPathProof *proof;
        DlHelperCall *call; /* NULL: it has answered */
} Asked;

struct DlPathProof {
        DlCore *core;
        char *guid;
        GPtrArray *asked; /* Asked */
        unsigned n_open, n_proven;
        GError *mismatch, *error; /* the first of each */
        DlPathsProven done;
        void *userdata;
};

static void asked_free(void *p)
{
        Asked *asked = p;

        dl_helper_cancel(asked->call);
        g_free(asked);
}

void dl_path_proof_cancel(DlPathProof *proof)
{
        if (!proof)
                return;
        g_ptr_array_unref(proof->asked);
        g_clear_error(&proof->mismatch);
        g_clear_error(&proof->error);
        g_free(proof->guid);
        g_free(proof);
}

/* Everybody may know. */
static void note_mismatch(const DlPathProof *proof)
{
        DlLun *lun = DL_LOOKUP_LUN(proof->core, proof->guid);

        if (lun && (proof->mismatch || proof->n_proven > 0) &&
            dl_last_error_set(&lun->mismatch, proof->mismatch))
                dl_lun_update(lun);
}

static void finish(DlPathProof *proof)
{
        DlPathsProven done = proof->done;
        void *userdata = proof->userdata;
        g_autoptr(GError) error = NULL;

        note_mismatch(proof);
        error = g_steal_pointer(&proof->mismatch);
        if (!error && proof->n_proven == 0)
                error = g_steal_pointer(&proof->error);
        dl_path_proof_cancel(proof);
        done(error, userdata);
}

static void on_identified(const DlHelperResult *result, const GError *error, void *userdata)
{
        Asked *asked = userdata;
        DlPathProof *proof = asked->proof;
        GError **first = dl_error_code(error) == DL_ERROR_GUID_MISMATCH ? &proof->mismatch
                                                                        : &proof->error;

        asked->call = NULL;
        if (!error)
                proof->n_proven++;
        else if (!*first)
                *first = g_error_copy(error);
        if (--proof->n_open == 0)
                finish(proof);
}

static void ask(DlPathProof *proof, DlCore *core, const DlBlockDevice *path)
{
        Asked *asked = g_new0(Asked, 1);
        DlHelperRequest request = {.verb = DL_HELPER_IDENTIFY,
                                   .timeout_ms = ASK_MSEC,
                                   .major = major(path->devnum),
                                   .minor = minor(path->devnum)};

        (void)DL_HELPER_PUT(&request, guid, path->guid);
        asked->proof = proof;
        g_ptr_array_add(proof->asked, asked);
        proof->n_open++;
        asked->call = dl_helper_call(core->helper, &request, NULL, NULL, on_identified, asked);
}

DlPathProof *dl_path_proof_start(DlCore *core, const DlBlockLun *block, DlPathsProven done,
                                 void *userdata)
{
        DlPathProof *proof = g_new0(DlPathProof, 1);

        proof->core = core;
        proof->guid = g_strdup(block->guid);
        proof->asked = g_ptr_array_new_with_free_func(asked_free);
        proof->done = done;
        proof->userdata = userdata;
        for (unsigned i = 0; i < block->paths->len; i++) {
                const DlBlockDevice *path = block->paths->pdata[i];

                if (path->kind == DL_BLOCK_PATH && dl_block_device_is_active(path))
                        ask(proof, core, path);
        }
        if (proof->n_open > 0)
                return proof;
        dl_path_proof_cancel(proof);
        return NULL;
}
