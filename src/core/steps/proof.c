/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reading the GUID where the disk is to be used. Loop thread only. */

#include "core/steps/proof.h"
#include "core/steps/connect.h"

#include <string.h>

/* A portal that has not answered this time may still be called connected, from the last time. */
static bool is_proven_on(const DlProof *proof, const DlPath *path, const DlPortal *portal)
{
        return portal->state == DL_TARGET_CONNECTED && path->seen && path->last_error.code < 0 &&
               path->seen_usec >= proof->since_usec && path->port == portal->port &&
               strcmp(path->address, portal->address) == 0 &&
               strcmp(path->iqn, proof->target->object.id) == 0;
}

/* The first portal, in the target's order, on which the LUN was just seen. */
static const DlPath *proven_path(const DlProof *proof, const DlLun *lun)
{
        const DlTarget *target = proof->target;

        for (unsigned i = 0; i < target->portals->len; i++)
                for (unsigned k = 0; k < lun->paths->len; k++)
                        if (is_proven_on(proof, lun->paths->pdata[k], target->portals->pdata[i]))
                                return lun->paths->pdata[k];
        return NULL;
}

/* Another LUN has taken the number that this one had. */
static bool number_is_reused(const DlProof *proof)
{
        g_autoptr(GPtrArray) luns = dl_target_luns(proof->target);

        for (unsigned i = 0; i < luns->len; i++) {
                const DlLun *lun = luns->pdata[i];
                const DlPath *path = dl_lun_find_path(lun, proof->target->object.id, NULL);

                if (path->lun == proof->lun && strcmp(lun->object.id, proof->guid) != 0)
                        return true;
        }
        return false;
}

static GError *why_unseen(const DlProof *proof, const DlLun *lun)
{
        const char *iqn = proof->target->object.id;
        const DlPath *path = lun ? dl_lun_find_path(lun, iqn, NULL) : NULL;

        if (path && path->last_error.code >= 0)
                return g_error_new(DL_ERROR, DL_ERROR_LUN_NOT_VISIBLE,
                                   "%s on target %s cannot be used: %s", proof->guid, iqn,
                                   dl_last_error_message(&path->last_error));
        if (number_is_reused(proof))
                return g_error_new(DL_ERROR, DL_ERROR_GUID_MISMATCH,
                                   "LUN %" G_GUINT64_FORMAT " of target %s is not %s any more but "
                                   "another LUN; check the mapping on the storage array",
                                   proof->lun, iqn, proof->guid);
        return g_error_new(
                DL_ERROR, DL_ERROR_LUN_NOT_VISIBLE,
                "Target %s does not show %s to this initiator; map it on the storage array, "
                "then rescan the target",
                iqn, proof->guid);
}

static GError *judge(DlProof *proof, const DlLun *lun, const DlPath *path)
{
        GError *error = NULL;

        if (!dl_lun_check_usable(lun, &error))
                return error;
        if (lun->write_protected && !proof->readonly)
                return g_error_new(DL_ERROR, DL_ERROR_INVALID_ARGS,
                                   "%s is write-protected; it can only be attached with readonly",
                                   proof->guid);
        proof->lun = path->lun;
        dl_set_string(&proof->address, path->address);
        proof->port = path->port;
        g_strfreev(proof->way);
        proof->way = g_strdupv(
                dl_target_find_portal(proof->target, path->address, path->port)->way);
        return NULL;
}

static void ask(DlProof *proof, int stage);

static bool is_tried(const DlProof *proof, const char *iqn)
{
        return g_ptr_array_find_with_equal_func(proof->tried, iqn, g_str_equal, NULL);
}

/* A target that has shown the LUN and was not asked yet. */
static const DlPath *path_elsewhere(const DlProof *proof)
{
        const DlLun *lun = DL_LOOKUP_LUN(proof->core, proof->guid);

        for (unsigned i = 0; lun && i < lun->paths->len; i++) {
                const DlPath *path = lun->paths->pdata[i];

                if (!is_tried(proof, path->iqn) && DL_LOOKUP_TARGET(proof->core, path->iqn))
                        return path;
        }
        return NULL;
}

static void go_to(DlProof *proof, DlTarget *target, uint64_t lun)
{
        if (proof->target)
                dl_target_release(proof->target);
        proof->target = target;
        proof->lun = lun;
        dl_target_acquire(target);
        g_ptr_array_add(proof->tried, g_strdup(target->object.id));
        ask(proof, DL_PROOF_KNOWN);
}

/* It is not where it was: it may have moved to another target. What was wrong at the first is told
 * if it is nowhere. */
static bool look_elsewhere(DlProof *proof, const GError *error)
{
        const DlPath *path = path_elsewhere(proof);

        if (!proof->error)
                proof->error = g_error_copy(error);
        if (path)
                go_to(proof, DL_LOOKUP_TARGET(proof->core, path->iqn), path->lun);
        return path;
}

static void on_asked(const GError *error, void *userdata)
{
        DlProof *proof = userdata;
        const DlLun *lun = DL_LOOKUP_LUN(proof->core, proof->guid);
        const DlPath *path = lun && !error ? proven_path(proof, lun) : NULL;
        g_autoptr(GError) own = NULL;

        proof->connect = NULL;
        if (!error && !path && proof->stage == DL_PROOF_KNOWN) {
                ask(proof, DL_PROOF_ALL);
                return;
        }
        if (!error && path && proof->stage == DL_PROOF_ALL) {
                proof->lun = path->lun;
                ask(proof, DL_PROOF_FOUND);
                return;
        }
        own = error ? g_error_copy(error) : path ? judge(proof, lun, path) : why_unseen(proof, lun);
        if (!path && look_elsewhere(proof, own))
                return;

        g_autoptr(GError) first = path ? NULL : g_steal_pointer(&proof->error);
        proof->done(first ? first : own, proof->userdata);
}

static void ask(DlProof *proof, int stage)
{
        bool all = stage == DL_PROOF_ALL;

        proof->stage = stage;
        proof->since_usec = dl_now();
        proof->connect = dl_connect_start(proof->target, all ? NULL : &proof->lun, all ? 0 : 1,
                                          on_asked, proof);
}

/* The target that it was proven on last, else any that has shown it. */
static void choose_target(DlProof *proof, const char *iqn)
{
        const DlLun *lun = DL_LOOKUP_LUN(proof->core, proof->guid);
        const DlPath *path = lun && iqn ? dl_lun_find_path(lun, iqn, NULL) : NULL;

        for (unsigned i = 0; lun && !path && i < lun->paths->len; i++)
                if (DL_LOOKUP_TARGET(proof->core, ((DlPath *)lun->paths->pdata[i])->iqn))
                        path = lun->paths->pdata[i];
        if (path) {
                proof->lun = path->lun;
                iqn = path->iqn;
        }
        proof->target = iqn ? DL_LOOKUP_TARGET(proof->core, iqn) : NULL;
}

static int on_refusal(sd_event_source *source, void *userdata)
{
        DlProof *proof = userdata;

        proof->done(proof->error, proof->userdata);
        return 0;
}

DlProof *dl_proof_start(DlCore *core, const char *guid, const char *iqn, uint64_t lun,
                        bool readonly, void (*done)(const GError *error, void *userdata),
                        void *userdata)
{
        DlProof *proof = g_new0(DlProof, 1);

        *proof = (DlProof){
                .core = core,
                .guid = g_strdup(guid),
                .lun = lun,
                .readonly = readonly,
                .tried = g_ptr_array_new_with_free_func(g_free),
                .done = done,
                .userdata = userdata,
        };
        choose_target(proof, iqn);
        if (proof->target) {
                go_to(proof, g_steal_pointer(&proof->target), proof->lun);
                return proof;
        }
        proof->error = g_error_new(
                DL_ERROR, DL_ERROR_LUN_NOT_FOUND,
                "No known target has %s; discover its target and connect to it first", guid);
        (void)sd_event_add_defer(core->event, &proof->refusal, on_refusal, proof);
        return proof;
}

bool dl_proof_is_at(const DlProof *proof, const char *address, uint16_t port)
{
        const DlLun *lun = DL_LOOKUP_LUN(proof->core, proof->guid);
        const DlPortal *portal = address ? dl_target_find_portal(proof->target, address, port)
                                         : NULL;

        for (unsigned i = 0; lun && portal && i < lun->paths->len; i++)
                if (is_proven_on(proof, lun->paths->pdata[i], portal) &&
                    ((DlPath *)lun->paths->pdata[i])->lun == proof->lun)
                        return true;
        return false;
}

void dl_proof_free(DlProof *proof)
{
        if (!proof)
                return;
        dl_connect_cancel(proof->connect);
        if (proof->target)
                dl_target_release(proof->target);
        sd_event_source_disable_unref(proof->refusal);
        g_clear_error(&proof->error);
        g_ptr_array_unref(proof->tried);
        g_free(proof->address);
        g_strfreev(proof->way);
        g_free(proof->guid);
        g_free(proof);
}
