/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The life of a target: who needs it, what state it is in, when to look again, when to let go. It
 * is needed while a job uses it, and managed while a client or a running VM does. Loop thread only.
 */

#include "core/flows/missing.h"
#include "core/model/attachment-index.h"
#include "core/model/contents.h"
#include "core/steps/disk-xml.h"
#include "core/steps/kernel-connect.h"
#include "core/steps/kernel-leave.h"

/* ---- who needs it -------------------------------------------------------------------------- */

GPtrArray *dl_target_users(DlTarget *target)
{
        GPtrArray *users = dl_attachments_of(target->object.core, DL_BELONGS_TO_TARGET,
                                             target->object.id);

        for (unsigned i = users->len; i-- > 0;)
                if (!((DlAttachment *)users->pdata[i])->plugged)
                        g_ptr_array_remove_index(users, i);
        return users;
}

bool dl_target_is_managed(const DlTarget *target)
{
        return target->was_managed;
}

void dl_target_hold(DlTarget *target)
{
        target->held_until_usec = dl_now() + target->object.core->settings->hold_timeout_usec;
        target->was_used = false;
        dl_target_update(target);
}

void dl_target_acquire(DlTarget *target)
{
        target->n_jobs++;
        target->leaving = false;
        dl_target_update(target);
}

void dl_target_release(DlTarget *target)
{
        target->n_jobs--;
        dl_target_update(target);
}

/* A hold ends with its first user, or when its time is over. */
static bool update_hold(DlTarget *target, bool used)
{
        if (used)
                target->was_used = true;
        else if (target->was_used || dl_now() >= target->held_until_usec) {
                target->held_until_usec = 0;
                target->was_used = false;
        }
        return target->held_until_usec > 0;
}

static DlTargetState state_of_portals(DlTarget *target)
{
        unsigned count[_DL_TARGET_STATE_MAX] = {0};

        for (unsigned i = 0; i < target->portals->len; i++)
                count[((DlPortal *)target->portals->pdata[i])->state]++;

        if (count[DL_TARGET_CONNECTING] > 0)
                return DL_TARGET_CONNECTING;
        if (count[DL_TARGET_CONNECTED] == 0)
                return count[DL_TARGET_FAILED] > 0 || target->portals->len == 0
                               ? DL_TARGET_FAILED
                               : DL_TARGET_DISCONNECTED;
        return count[DL_TARGET_CONNECTED] == target->portals->len ? DL_TARGET_CONNECTED
                                                                  : DL_TARGET_DEGRADED;
}

bool dl_target_is_needed(const DlTarget *target)
{
        return target->was_managed || target->n_jobs > 0;
}

static void let_go(DlTarget *target)
{
        dl_contents_leave(target->object.core, target->object.id);
        for (unsigned i = 0; i < target->portals->len; i++) {
                DlPortal *portal = target->portals->pdata[i];

                if (portal->state == DL_TARGET_DISCONNECTED)
                        continue;
                portal->state = DL_TARGET_DISCONNECTED;
                dl_object_changed(&target->object, "PortalStates");
        }
        target->next_check_usec = 0;
        g_array_set_size(target->resized, 0);
        if (target->object.core->vms_known) { /* else a VM may be about to need it */
                dl_target_set_data_path(target, false, NULL);
                dl_target_set_interfaces(target, NULL);
        }
        dl_kernel_leave(target);
}

static void on_secret_forgotten(const GError *error, void *userdata)
{
        if (error) /* without libvirt's daemon its secrets are gone, too */
                dl_debug("A CHAP secret is not taken from libvirt: %s", error->message);
}

/* libvirt keeps it as long as a VM may have to be started with it, and no longer. */
static void forget_unused_secret(DlTarget *target)
{
        DlCore *core = target->object.core;

        if (!core->original && target->secret_given && target->n_jobs == 0 && core->vms_known &&
            (!target->secret ||
             !dl_attachments_has_any(core, DL_BELONGS_TO_TARGET, target->object.id)))
                dl_disk_forget_secret(target, on_secret_forgotten, NULL);
}

#define RETRY_MIN_USEC (G_USEC_PER_SEC / 2)

/* A target that says it all the time is asked no more often than this. */
#define RESIZED_USEC (1 * G_USEC_PER_SEC)

/* More of them at once are as good as all. */
#define RESIZED_MAX 64

/* When to look at it (again). A disk that a VM misses is waited for: soon at first, then less and
 * less often. */
static uint64_t next_check(DlTarget *target, bool missed)
{
        uint64_t interval = target->object.core->settings->check_interval_usec;
        DlTargetState state = state_of_portals(target);

        if (state == DL_TARGET_DISCONNECTED)
                return dl_now();
        if (target->resized->len > 0)
                return dl_now() + RESIZED_USEC;
        if (!missed || state == DL_TARGET_CONNECTED) {
                target->retry_usec = 0;
                return dl_now() + interval;
        }
        target->retry_usec = MIN(MAX(target->retry_usec * 2, RETRY_MIN_USEC), interval);
        return dl_now() + target->retry_usec;
}

static void schedule(DlCore *core);

static void update(DlTarget *target)
{
        DlCore *core = target->object.core;
        uint64_t users = dl_attachments_mark(core, DL_BELONGS_TO_TARGET, target->object.id);
        bool held = update_hold(target, users > 0);
        bool missed = dl_target_is_missed(target);
        bool managed = target->pinned || held || users > 0 || missed;
        bool needed = managed || target->n_jobs > 0;
        DlTargetState state;

        if (!needed)
                let_go(target);
        else if (managed && target->next_check_usec == 0)
                target->next_check_usec = next_check(target, missed);
        state = needed ? state_of_portals(target) : DL_TARGET_DISCONNECTED;

        if (state != target->state) {
                target->state = state;
                dl_object_changed(&target->object, "State");
                dl_host_targets_changed(core);
        }
        if (managed != target->was_managed) {
                target->was_managed = managed;
                dl_object_changed(&target->object, "Managed");
        }
        if (users != target->users_mark) {
                target->users_mark = users;
                dl_object_changed(&target->object, "Users");
        }
        forget_unused_secret(target);
        if (missed)
                dl_missing_look(target);
}

void dl_target_update(DlTarget *target)
{
        update(target);
        schedule(target->object.core);
}

/* The timer looks at all of them: once is enough. */
void dl_targets_update(DlCore *core)
{
        g_autoptr(GPtrArray) targets = dl_core_list(core, DL_KIND_TARGET);

        for (unsigned i = 0; i < targets->len; i++)
                update(targets->pdata[i]);
        schedule(core);
}

/* ---- housekeeping: holds that expire, checks that are due ---------------------------------- */

static void on_checked(const GError *error, void *userdata)
{
        DlTarget *target = userdata;

        target->checking = false;
        target->next_check_usec = 0;
        dl_target_release(target);
}

static void on_proven_again(const GError *error, void *userdata)
{
        if (error)
                on_checked(error, userdata);
        else
                (void)dl_kernel_connect_start(userdata, &(DlKernelWish){}, on_checked, userdata);
}

/* Sessions are looked at; those that others have ended, or a boot, are made again. */
static void check_sessions(DlTarget *target)
{
        dl_kernel_look(target);
        if (state_of_portals(target) == DL_TARGET_CONNECTED && dl_kernel_is_complete(target)) {
                target->next_check_usec = next_check(target, false);
                return;
        }
        target->checking = true;
        target->n_jobs++;
        dl_connect_start(target, NULL, 0, on_proven_again, target);
}

/* Asks only for what is in use, or has another size: the check must be light. All, while nothing is
 * in use yet, or what a VM misses may be anywhere. */
static void check(DlTarget *target)
{
        g_autoptr(GPtrArray) users = dl_target_users(target);
        g_autoptr(GArray) luns = g_steal_pointer(&target->resized);
        bool all = users->len == 0 || luns->len >= RESIZED_MAX || dl_target_is_missed(target);

        target->resized = g_array_new(FALSE, FALSE, sizeof(uint64_t));
        for (unsigned i = 0; i < users->len; i++)
                g_array_append_val(luns, ((DlAttachment *)users->pdata[i])->meta->lun);
        target->checking = true;
        target->n_jobs++;
        dl_connect_start(target, all ? NULL : (uint64_t *)(void *)luns->data, all ? 0 : luns->len,
                         on_checked, target);
}

static bool is_known_resized(const DlTarget *target, uint64_t lun)
{
        for (unsigned i = 0; i < target->resized->len; i++)
                if (g_array_index(target->resized, uint64_t, i) == lun)
                        return true;
        return target->resized->len >= RESIZED_MAX;
}

void dl_targets_on_resized(const char *iqn, uint64_t lun, void *userdata)
{
        DlTarget *target = DL_LOOKUP_TARGET((DlCore *)userdata, iqn);

        if (!target || is_known_resized(target, lun))
                return;
        g_array_append_val(target->resized, lun);
        if (target->next_check_usec > 0 && !target->checking) {
                target->next_check_usec = MIN(target->next_check_usec, next_check(target, false));
                schedule(target->object.core);
        }
}

static int on_housekeeping(sd_event_source *source, uint64_t usec, void *userdata)
{
        DlCore *core = userdata;
        g_autoptr(GPtrArray) targets = dl_core_list(core, DL_KIND_TARGET);

        for (unsigned i = 0; i < targets->len; i++) {
                DlTarget *target = targets->pdata[i];

                update(target);
                if (!target->checking && target->next_check_usec > 0 &&
                    target->next_check_usec <= dl_now()) {
                        if (target->by_kernel)
                                check_sessions(target);
                        else
                                check(target);
                }
        }
        schedule(core);
        return 0;
}

static uint64_t next_event(const DlTarget *target)
{
        uint64_t next = UINT64_MAX;

        if (target->next_check_usec > 0 && !target->checking)
                next = target->next_check_usec;
        if (target->has_sessions && !target->leave && !dl_target_is_needed(target))
                next = MIN(next, MAX(target->leave_again_usec, 1));
        if (target->held_until_usec > 0 && !target->was_used)
                next = MIN(next, target->held_until_usec);
        return next;
}

/* One timer for all targets, off when there is nothing to wait for. */
static void schedule(DlCore *core)
{
        GHashTableIter iter;
        gpointer target;
        uint64_t next = UINT64_MAX;

        if (core->original)
                return;
        g_hash_table_iter_init(&iter, core->objects[DL_KIND_TARGET]);
        while (g_hash_table_iter_next(&iter, NULL, &target))
                next = MIN(next, next_event(target));

        if (next == UINT64_MAX) {
                (void)sd_event_source_set_enabled(core->housekeeping, SD_EVENT_OFF);
                return;
        }
        if (!core->housekeeping) {
                (void)sd_event_add_time(core->event, &core->housekeeping, CLOCK_MONOTONIC, next, 0,
                                        on_housekeeping, core);
                return;
        }
        (void)sd_event_source_set_time(core->housekeeping, next);
        (void)sd_event_source_set_enabled(core->housekeeping, SD_EVENT_ONESHOT);
}
