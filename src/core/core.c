/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The life of the core: what it owns, in which order it starts and ends. Start: workers, store,
 * initiator; then the stored rows; then libvirt; then, after the first look at the VMs, recovery,
 * and ready. Loop thread only.
 */

#include "core/core-private.h"
#include "core/model/contents.h"
#include "core/model/host-private.h"
#include "core/model/lun-kernel.h"
#include "core/model/storage-domain.h"
#include "core/records/journal.h"
#include "core/records/lun-rows.h"
#include "core/steps/kernel-connect.h"
#include "core/steps/operation.h"
#include "host/helper.h"

#include <errno.h>

/* Clients that wait for the first answer are not kept longer than this by a libvirt that is slow.
 */
#define READY_USEC (5 * G_USEC_PER_SEC)

#define RESOLVER_THREADS 4

/* How long libvirt is waited for at the end. */
#define LEAVE_USEC (2 * G_USEC_PER_SEC)

const char *dl_core_engine(DlCore *core)
{
        return dl_store_engine(core->store);
}

const char *dl_core_initiator_name(DlCore *core)
{
        return core->initiator_name;
}

const char *const *dl_core_features(DlCore *core)
{
        static const char *const features[] = {"qemu-data-path",  "block-data-path",
                                               "kernel-sessions", "chap",
                                               "mutual-chap",     NULL};

        return features;
}

bool dl_core_has_libvirt(const DlCore *core)
{
        return core->virt && dl_virt_is_connected(core->virt);
}

static void become_ready(DlCore *core)
{
        void (*ready)(void *userdata) = core->ready;

        core->ready = NULL;
        core->ready_deadline = sd_event_source_disable_unref(core->ready_deadline);
        if (ready)
                ready(core->userdata);
}

void dl_core_check_ready(DlCore *core)
{
        if (core->is_virt_looked_at && (core->are_devices_known || !core->block_devices))
                become_ready(core);
}

void dl_core_is_ready(DlCore *core)
{
        core->is_virt_looked_at = true;
        dl_core_check_ready(core);
}

static int on_ready_deadline(sd_event_source *source, uint64_t usec, void *userdata)
{
        dl_notice("libvirt has not answered yet; serving without it");
        become_ready(userdata);
        return 0;
}

static void on_loaded(DlCore *core, const GError *error)
{
        int r;

        if (error) {
                dl_err("The store cannot be read: %s", error->message);
                (void)sd_event_exit(core->event, -EIO);
                return;
        }
        r = dl_luns_follow_kernel(core);
        if (r < 0)
                dl_warning("Block devices of this host cannot be followed: %s", g_strerror(-r));
        r = dl_virt_new(core->event, core->virt_workers, core->settings->libvirt_uri, &dl_vm_events,
                        core, &core->virt);
        if (r < 0) {
                dl_err("libvirt cannot be used: %s", g_strerror(-r));
                (void)sd_event_exit(core->event, r);
                return;
        }
        dl_kernel_look_at_all(core);
        dl_kernel_await_late_logins(core);
        dl_targets_update(core); /* some may be pinned */
}

static bool open_store(DlCore *core, GError **error)
{
        g_autofree char *path = g_build_filename(core->settings->state_directory, "directlun.db",
                                                 NULL);

        core->store = dl_store_open_sqlite(core->event, core->store_worker, path, error);
        return core->store != NULL;
}

static int start_initiator(DlCore *core)
{
        const DlSettings *s = core->settings;
        DlIscsiLimits limits = {
                .sessions_max = s->sessions_max,
                .commands_max = s->commands_per_session_max,
                .luns_max = s->luns_per_target_max,
                .targets_max = s->targets_per_discovery_max,
                .resolve_usec = s->resolve_timeout_usec,
                .connect_usec = s->connect_timeout_usec,
                .login_usec = s->login_timeout_usec,
                .command_usec = s->command_timeout_usec,
        };

        core->initiator_name = dl_host_initiator_name(s);
        int r = dl_iscsi_new(core->event, core->resolver_workers, core->initiator_name, &limits,
                             &core->iscsi);

        if (r >= 0)
                dl_iscsi_watch_sizes(core->iscsi, dl_targets_on_resized, core);
        return r;
}

static int start_workers(DlCore *core)
{
        int r = dl_workers_new(core->event, core->settings->worker_threads, &core->virt_workers);

        if (r >= 0)
                r = dl_workers_new(core->event, 1, &core->store_worker);
        if (r >= 0)
                r = dl_workers_new(core->event, 1, &core->content_workers);
        return r < 0 ? r : dl_workers_new(core->event, RESOLVER_THREADS, &core->resolver_workers);
}

static bool start(DlCore *core, GError **error)
{
        int r = start_workers(core);

        if (r >= 0 && !open_store(core, error))
                return false;
        if (r >= 0)
                r = start_initiator(core);
        if (r >= 0)
                r = sd_event_add_time_relative(core->event, &core->ready_deadline, CLOCK_MONOTONIC,
                                               READY_USEC, 0, on_ready_deadline, core);
        if (r < 0) {
                g_set_error(error, DL_ERROR, DL_ERROR_FAILED, "Starting failed: %s",
                            g_strerror(-r));
                return false;
        }
        dl_host_add_local(core);
        dl_persist_load(core, on_loaded);
        return true;
}

DlCore *dl_core_new(sd_event *event, const DlSettings *settings, const DlCoreObserver *observer,
                    void (*ready)(void *userdata), void *userdata, GError **error)
{
        DlCore *core = g_new0(DlCore, 1);

        core->event = sd_event_ref(event);
        core->settings = settings;
        core->observer = *observer;
        core->ready = ready;
        core->userdata = userdata;
        core->helper = dl_helper_new(event, settings->helper_socket);
        core->sysfs = "/sys";
        core->udev = "/run/udev";
        core->unix_sockets = "/proc/self/net/unix";
        core->multipathd = "/run/multipathd.pid";
        core->operations = g_hash_table_new(NULL, NULL);
        core->calls = g_hash_table_new(NULL, NULL);
        core->lun_rows = dl_lun_rows_new(core);
        core->unsaved = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
        core->intents = g_hash_table_new_full(g_str_hash, g_str_equal, NULL,
                                              (GDestroyNotify)dl_intent_free);
        dl_core_objects_init(core);
        core->contents = dl_contents_new(core);
        core->claims = dl_claims_new();
        if (start(core, error))
                return core;
        dl_core_free(core);
        return NULL;
}

void dl_core_keep_call(DlCore *core, void *call, GDestroyNotify free_call)
{
        g_hash_table_insert(core->calls, call, (gpointer)(uintptr_t)free_call);
}

void dl_core_take_call(DlCore *core, void *call)
{
        g_hash_table_remove(core->calls, call);
}

static void drop_calls(DlCore *core)
{
        GHashTableIter iter;
        gpointer call, free_call;

        g_hash_table_iter_init(&iter, core->calls);
        while (g_hash_table_iter_next(&iter, &call, &free_call))
                ((GDestroyNotify)(uintptr_t)free_call)(call);
        g_hash_table_unref(core->calls);
}

static void drop_operations(DlCore *core)
{
        GHashTableIter iter;
        gpointer op;

        g_hash_table_iter_init(&iter, core->operations);
        while (g_hash_table_iter_next(&iter, &op, NULL)) {
                dl_op_drop(op);
                if (!((DlOperation *)op)->job.object.published)
                        dl_job_free(op);
        }
        g_hash_table_remove_all(core->operations);
}

/* Empties the table first: what one object's end looks at must not be another's remains. */
static void free_all(DlCore *core, DlKind kind, GDestroyNotify free_one)
{
        g_autoptr(GPtrArray) list = dl_core_list(core, kind);

        g_hash_table_remove_all(core->objects[kind]);
        for (unsigned i = 0; i < list->len; i++)
                free_one(list->pdata[i]);
}

/* A call that hangs (a VM that stands still, a libvirtd that is stopped) must not keep the service
 * from ending. */
static void leave_libvirt(DlCore *core)
{
        if (!core->virt_workers || dl_workers_drain(core->virt_workers, LEAVE_USEC))
                dl_workers_free(core->virt_workers);
        else
                dl_notice("libvirt has not answered; leaving all the same");
        (void)dl_virt_drain(LEAVE_USEC);
}

void dl_core_free(DlCore *core)
{
        if (!core)
                return;
        drop_operations(core);
        dl_contents_free(g_steal_pointer(&core->contents));
        core->ready_deadline = sd_event_source_disable_unref(core->ready_deadline);
        core->housekeeping = sd_event_source_disable_unref(core->housekeeping);
        core->second_look = sd_event_source_disable_unref(core->second_look);

        dl_size_events_free(g_steal_pointer(&core->size_events));
        dl_block_devices_free(g_steal_pointer(&core->block_devices));
        free_all(core, DL_KIND_TARGET, (GDestroyNotify)dl_target_free);
        free_all(core, DL_KIND_JOB, (GDestroyNotify)dl_job_free);
        free_all(core, DL_KIND_ATTACHMENT, (GDestroyNotify)dl_attachment_free);
        free_all(core, DL_KIND_VM, (GDestroyNotify)dl_vm_free);
        free_all(core, DL_KIND_VDISK, (GDestroyNotify)dl_vdisk_free);
        free_all(core, DL_KIND_LUN, (GDestroyNotify)dl_lun_free);
        free_all(core, DL_KIND_HOST, (GDestroyNotify)dl_host_free);
        core->late_logins = sd_event_source_disable_unref(core->late_logins);

        dl_helper_free(core->helper);
        dl_iscsi_free(core->iscsi);
        dl_virt_free(core->virt);
        if (core->store)
                dl_lun_rows_flush(core->lun_rows);
        dl_store_free(core->store);
        dl_workers_free(core->store_worker);
        dl_workers_free(core->resolver_workers);
        dl_workers_free(core->content_workers);
        leave_libvirt(core);
        g_hash_table_unref(core->operations);
        drop_calls(core);
        g_hash_table_unref(core->intents);
        dl_lun_rows_free(core->lun_rows);
        g_hash_table_unref(core->claims);
        g_hash_table_unref(core->unsaved);
        g_clear_error(&core->unsaved_error);
        g_free(core->initiator_name);
        dl_core_objects_clear(core);
        sd_event_unref(core->event);
        g_free(core);
}

static bool has_managed_target(DlCore *core)
{
        GHashTableIter iter;
        gpointer target;

        g_hash_table_iter_init(&iter, core->objects[DL_KIND_TARGET]);
        while (g_hash_table_iter_next(&iter, NULL, &target))
                if (dl_target_is_managed(target) || ((DlTarget *)target)->n_jobs > 0 ||
                    ((DlTarget *)target)->has_sessions)
                        return true;
        return false;
}

bool dl_core_is_idle(DlCore *core)
{
        return !core->ready && g_hash_table_size(core->objects[DL_KIND_JOB]) == 0 &&
               g_hash_table_size(core->operations) == 0 && g_hash_table_size(core->intents) == 0 &&
               core->n_writes == 0 && !has_managed_target(core);
}
