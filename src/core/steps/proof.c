/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Choosing the way to a LUN, and reading the GUID where the disk is to be used. Loop thread only.
 */

#include "core/steps/proof.h"
#include "core/steps/block-proof.h"
#include "core/steps/connect.h"
#include "core/steps/kernel-choice.h"
#include "core/steps/path-proof.h"

#include <string.h>

DlDataPath dl_data_path(const char *name)
{
        if (g_strcmp0(name, "block") == 0)
                return DL_DATA_PATH_BLOCK;
        return g_strcmp0(name, "qemu") == 0 ? DL_DATA_PATH_QEMU : DL_DATA_PATH_AUTO;
}

DlDataPath dl_data_path_of(const DlDomainDisk *disk)
{
        return g_strcmp0(disk->type, "block") == 0 ? DL_DATA_PATH_BLOCK : DL_DATA_PATH_QEMU;
}

DlProofWish dl_proof_wish(const DlDomainAttachment *meta)
{
        return (DlProofWish){
                .guid = meta->guid,
                .iqn = meta->iqn,
                .lun = meta->lun,
                .readonly = meta->readonly,
                .data_path = dl_data_path(meta->data_path),
        };
}

char *dl_proof_to_text(const DlProof *proof)
{
        if (proof->node)
                return g_strdup(proof->node);
        return g_strdup_printf("LUN %" G_GUINT64_FORMAT " of %s at %s:%u", proof->lun, proof->iqn,
                               proof->address, proof->port);
}

bool dl_proof_is_of(const DlProof *proof, const DlDomainDisk *disk)
{
        if (proof->node)
                return dl_data_path_of(disk) == DL_DATA_PATH_BLOCK &&
                       g_strcmp0(disk->source, proof->node) == 0;

        g_autofree char *source = g_strdup_printf("%s/%u", proof->iqn,
                                                  dl_iscsi_lun_for_qemu(proof->lun));
        return dl_data_path_of(disk) == DL_DATA_PATH_QEMU && g_strcmp0(disk->source, source) == 0 &&
               g_strcmp0(disk->host_name, proof->address) == 0 && disk->host_port == proof->port;
}

/* ---- by QEMU's initiator ------------------------------------------------------------------- */

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
        if (!proof->force && !dl_lun_check_host_use(lun, &error))
                return error;
        proof->lun = path->lun;
        dl_set_string(&proof->iqn, path->iqn);
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

static void take_block(DlProof *proof, const DlBlockLun *block);

static GError *has_no_device(const char *guid)
{
        return g_error_new(DL_ERROR, DL_ERROR_LUN_NOT_VISIBLE,
                           "This host's kernel has no device of %s; log in to its target, or go by "
                           "data path qemu",
                           guid);
}

/* The kernel is logged in, and nobody needs it so far but who is about to. */
static void go_by_kernel(DlProof *proof, const DlBlockLun *block)
{
        proof->held = g_steal_pointer(&proof->target);
        if (!dl_target_is_managed(proof->held))
                dl_target_hold(proof->held);
        take_block(proof, block);
        proof->why = "this host's kernel was logged in to its target";
}

static bool is_other_way_open(const DlProof *proof, const GError *error)
{
        int code = (int)dl_error_code(error);

        return proof->data_path == DL_DATA_PATH_AUTO &&
               (code == DL_ERROR_LUN_NOT_VISIBLE || code == DL_ERROR_PATHS_INCONSISTENT ||
                code == DL_ERROR_GUID_MISMATCH);
}

/* What became of the kernel's way; error is taken. */
static void on_tried(DlProof *proof, GError *error, const DlBlockLun *block)
{
        g_autoptr(GError) own = error;

        if (!own && block)
                go_by_kernel(proof, block);
        else if (!own && proof->data_path == DL_DATA_PATH_BLOCK)
                own = g_error_new(DL_ERROR, DL_ERROR_LUN_NOT_VISIBLE,
                                  "This host's kernel was logged in to %s, and has no device of %s",
                                  proof->iqn, proof->guid);
        else if (!own || is_other_way_open(proof, own)) {
                proof->why = "this host's kernel could not have the LUN so that it can be used";
                g_clear_error(&own);
        }
        proof->done(own, proof->userdata);
}

/* The kernel's devices, if they can be used now; else NULL, and maybe why. */
static const DlBlockLun *usable_block(const DlProof *proof, GError **error)
{
        const DlLun *lun = DL_LOOKUP_LUN(proof->core, proof->guid);
        const DlBlockLun *block = lun ? dl_lun_kernel(lun) : NULL;

        return block && dl_block_check(lun, proof->readonly, proof->force, error) ? block : NULL;
}

static void on_new_paths_proven(const GError *error, void *userdata)
{
        DlProof *proof = userdata;
        GError *own = error ? g_error_copy(error) : NULL;
        const DlBlockLun *block = own ? NULL : usable_block(proof, &own);

        proof->paths = NULL;
        on_tried(proof, own, block);
}

static void on_chosen(const GError *error, bool by_kernel, void *userdata)
{
        DlProof *proof = userdata;
        GError *own = error ? g_error_copy(error) : NULL;
        const DlBlockLun *block = own || !by_kernel ? NULL : usable_block(proof, &own);

        proof->choice = NULL;
        if (block)
                proof->paths = dl_path_proof_start(proof->core, block, on_new_paths_proven, proof);
        if (!proof->paths)
                on_tried(proof, own, block);
}

/* Who connects a target for a disk chooses as Connect does. A dry run logs nobody in. */
static bool may_go_by_kernel(DlProof *proof)
{
        g_autofree char *why = NULL;

        if (proof->data_path == DL_DATA_PATH_QEMU || proof->not_block || proof->core->original)
                return false;
        if (proof->data_path == DL_DATA_PATH_AUTO)
                return dl_kernel_is_auto(proof->target);
        return dl_kernel_choose(proof->target, DL_DATA_PATH_AUTO, &why) != DL_DATA_PATH_QEMU;
}

/* By libiscsi it is where it should be. */
static void choose(DlProof *proof)
{
        const char *const guids[] = {proof->guid, NULL};

        if (may_go_by_kernel(proof))
                proof->choice = dl_kernel_choice_start(proof->target, proof->data_path,
                                                       &(DlKernelWish){.guids = guids}, on_chosen,
                                                       proof);
        else {
                g_autoptr(GError) error = proof->data_path == DL_DATA_PATH_BLOCK
                                                  ? has_no_device(proof->guid)
                                                  : NULL;

                proof->done(error, proof->userdata);
        }
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

        if (!own) {
                choose(proof);
                return;
        }

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

/* ---- by the kernel ------------------------------------------------------------------------- */

/* Where the kernel has it from: who uses a target over iSCSI is told whichever way it goes. */
static void take_block(DlProof *proof, const DlBlockLun *block)
{
        const DlBlockDevice *path = dl_block_active_path(block);

        proof->node = g_strdup(block->node);
        dl_set_string(&proof->iqn, path->transport == DL_BLOCK_ISCSI ? path->target : NULL);
        proof->lun = path->lun;
}

/* What is wrong with the LUN whichever way QEMU goes to it. */
static bool is_of_any_way(const GError *error)
{
        int code = (int)dl_error_code(error);

        return code == DL_ERROR_IN_USE || code == DL_ERROR_GUID_NOT_UNIQUE ||
               code == DL_ERROR_INVALID_ARGS;
}

/* Whether the kernel may be logged in to its target. */
static bool can_log_in(DlProof *proof, const char *iqn)
{
        g_autofree char *why = NULL;
        bool can;

        choose_target(proof, iqn);
        can = proof->target && !proof->core->original &&
              dl_kernel_choose(proof->target, DL_DATA_PATH_AUTO, &why) != DL_DATA_PATH_QEMU;
        proof->target = NULL;
        return can;
}

/* The kernel's devices will not do; why is taken. Whether there is another way. */
static bool turn_to_qemu(DlProof *proof, GError *why)
{
        if (proof->data_path == DL_DATA_PATH_BLOCK || is_of_any_way(why)) {
                proof->error = why;
                return false;
        }
        proof->why = "this host's kernel has the LUN, but not so that it can be used";
        proof->not_block = why;
        return true;
}

/* By QEMU's initiator; false: error says why not. */
static bool begin_by_qemu(DlProof *proof, const char *iqn)
{
        choose_target(proof, iqn);
        if (proof->target) {
                go_to(proof, g_steal_pointer(&proof->target), proof->lun);
                return true;
        }
        proof->error = g_steal_pointer(&proof->not_block);
        if (!proof->error)
                proof->error = g_error_new(
                        DL_ERROR, DL_ERROR_LUN_NOT_FOUND,
                        "No known target has %s; discover its target and connect "
                        "to it first",
                        proof->guid);
        return false;
}

static void on_paths_proven(const GError *error, void *userdata)
{
        DlProof *proof = userdata;
        GError *own = error ? g_error_copy(error) : NULL;
        const DlBlockLun *block = own ? NULL : usable_block(proof, &own);

        proof->paths = NULL;
        g_clear_pointer(&proof->node, g_free);
        if (block)
                take_block(proof, block);
        else if (turn_to_qemu(proof, own ? own : has_no_device(proof->guid)) &&
                 begin_by_qemu(proof, proof->iqn))
                return;
        proof->done(proof->error, proof->userdata);
}

/* true: it goes by the kernel's devices, if their paths say so, or by none (error). */
static bool try_block(DlProof *proof, const DlProofWish *wish)
{
        const DlLun *lun = DL_LOOKUP_LUN(proof->core, wish->guid);
        const DlBlockLun *block = lun ? dl_lun_kernel(lun) : NULL;
        bool only = wish->data_path == DL_DATA_PATH_BLOCK;
        GError *error = NULL;

        if (!block) {
                proof->why = "this host's kernel does not have the LUN";
                if (!only || can_log_in(proof, wish->iqn))
                        return false;
                proof->error = has_no_device(wish->guid);
                return true;
        }
        if (!dl_block_check(lun, wish->readonly, wish->force, &error))
                return !turn_to_qemu(proof, error);
        take_block(proof, block);
        proof->why = only ? "asked for" : "this host's kernel has the LUN";
        proof->paths = dl_path_proof_start(proof->core, block, on_paths_proven, proof);
        return true;
}

static int on_answer(sd_event_source *source, void *userdata)
{
        DlProof *proof = userdata;

        proof->done(proof->error, proof->userdata);
        return 0;
}

DlProof *dl_proof_start(DlCore *core, const DlProofWish *wish,
                        void (*done)(const GError *error, void *userdata), void *userdata)
{
        DlProof *proof = g_new0(DlProof, 1);

        *proof = (DlProof){
                .core = core,
                .guid = g_strdup(wish->guid),
                .lun = wish->lun,
                .readonly = wish->readonly,
                .force = wish->force,
                .data_path = wish->data_path,
                .why = "asked for",
                .tried = g_ptr_array_new_with_free_func(g_free),
                .done = done,
                .userdata = userdata,
        };
        if ((wish->data_path == DL_DATA_PATH_QEMU || !try_block(proof, wish)) &&
            begin_by_qemu(proof, wish->iqn))
                return proof;
        if (!proof->paths)
                (void)sd_event_add_defer(core->event, &proof->answer, on_answer, proof);
        return proof;
}

bool dl_proof_is_at(const DlProof *proof, const char *address, uint16_t port)
{
        const DlLun *lun = DL_LOOKUP_LUN(proof->core, proof->guid);
        const DlPortal *portal = address && proof->target
                                         ? dl_target_find_portal(proof->target, address, port)
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
        dl_kernel_choice_cancel(proof->choice);
        dl_path_proof_cancel(proof->paths);
        if (proof->held)
                dl_target_release(proof->held);
        if (proof->target)
                dl_target_release(proof->target);
        sd_event_source_disable_unref(proof->answer);
        g_clear_error(&proof->error);
        g_clear_error(&proof->not_block);
        g_ptr_array_unref(proof->tried);
        g_free(proof->node);
        g_free(proof->iqn);
        g_free(proof->address);
        g_strfreev(proof->way);
        g_free(proof->guid);
        g_free(proof);
}
