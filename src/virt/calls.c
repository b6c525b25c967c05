/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The life of a call. A DlVirtCall is somebody who waits, on the loop thread, with a deadline of
 * his own; a DlVirtJob is the work, which cannot be stopped once a worker has begun it. A call ends
 * with the job's result, at its deadline, or by a cancel; in the last two cases the job goes on
 * alone (unless it had not begun: then it never runs), and if it might have changed a domain that
 * is said when it ends. Loop thread, but for run_on_worker().
 */

#include "virt-private.h"

#include "util/error.h"
#include "util/secret.h"

/* How late a deadline may be, so that timers can be served together. */
#define DEADLINE_ACCURACY_USEC (10 * 1000)

enum {
        JOB_QUEUED,
        JOB_RUNNING,
        JOB_ABANDONED, /* before it began */
};

struct DlVirtCall {
        DlVirt *virt;
        DlVirtJob *job;          /* NULL: it failed at once */
        sd_event_source *source; /* the deadline, or the end of what failed at once */
        uint64_t timeout_usec;
        GError *error; /* of what failed at once */
        DlVirtAnswer answer;
};

void dl_virt_domain_free(DlVirtDomain *domain)
{
        if (!domain)
                return;
        g_free(domain->uuid);
        g_free(domain->name);
        g_free(domain->live_xml);
        g_free(domain->inactive_xml);
        g_clear_pointer(&domain->volumes, g_hash_table_unref);
        g_free(domain);
}

DlVirtDiskSize *dl_virt_disk_size_new(const char *alias, uint64_t bytes)
{
        DlVirtDiskSize *size = g_new(DlVirtDiskSize, 1);

        *size = (DlVirtDiskSize){.alias = g_strdup(alias), .bytes = bytes};
        return size;
}

static void disk_size_free(void *p)
{
        DlVirtDiskSize *size = p;

        g_free(size->alias);
        g_free(size);
}

DlVirtJob *dl_virt_job_new(DlVirtWork run, const char *uuid, const char *text)
{
        DlVirtJob *job = g_new0(DlVirtJob, 1);

        *job = (DlVirtJob){
                .run = run,
                .uuid = g_strdup(uuid),
                .text = g_strdup(text),
                .domains = g_ptr_array_new_with_free_func((GDestroyNotify)dl_virt_domain_free),
                .sizes = g_ptr_array_new_with_free_func(disk_size_free),
        };
        return job;
}

static void job_free(void *data)
{
        DlVirtJob *job = data;

        dl_virt_conn_unref(job->conn);
        g_free(job->uuid);
        g_free(job->text);
        g_strfreev(job->args);
        dl_secret_unref(job->secret);
        g_ptr_array_unref(job->domains);
        g_ptr_array_unref(job->sizes);
        free(job->reply);
        g_clear_error(&job->error);
        g_free(job);
}

static void run_on_worker(void *data)
{
        DlVirtJob *job = data;
        int queued = JOB_QUEUED;

        if (__atomic_compare_exchange_n(&job->state, &queued, JOB_RUNNING, false, __ATOMIC_ACQ_REL,
                                        __ATOMIC_ACQUIRE))
                job->run(job);
        g_clear_pointer(&job->conn, dl_virt_conn_unref);
}

/* Nobody waits for it any more. The job may be gone after this. */
static void job_let_go(DlVirtJob *job)
{
        int queued = JOB_QUEUED;

        job->call = NULL;
        if (!__atomic_compare_exchange_n(&job->state, &queued, JOB_ABANDONED, false,
                                         __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
                return; /* it runs: job_done() says what became of it */
        g_hash_table_remove(job->virt->jobs, job);
        dl_work_cancel(job->work);
}

static void call_free(DlVirtCall *call)
{
        g_hash_table_remove(call->virt->calls, call);
        if (call->job)
                call->job->call = NULL;
        sd_event_source_disable_unref(call->source);
        g_clear_error(&call->error);
        g_free(call);
}

/* job NULL: there is no result. */
static void tell(const DlVirtAnswer *answer, const GError *error, const DlVirtJob *job)
{
        const GPtrArray *domains = error || !job ? NULL : job->domains;
        const GPtrArray *sizes = error || !job ? NULL : job->sizes;
        size_t n = domains ? domains->len : 0;

        if (answer->done)
                answer->done(error, answer->userdata);
        else if (answer->got_domain)
                answer->got_domain(n ? domains->pdata[0] : NULL, error, answer->userdata);
        else if (answer->listed)
                answer->listed(n ? (DlVirtDomain *const *)domains->pdata : NULL, n, error,
                               answer->userdata);
        else if (answer->got_block_job)
                answer->got_block_job(error ? NULL : &job->block_job, error, answer->userdata);
        else if (answer->got_sizes)
                answer->got_sizes(sizes ? (DlVirtDiskSize *const *)sizes->pdata : NULL,
                                  sizes ? sizes->len : 0, error, answer->userdata);
        else if (answer->answered)
                answer->answered(error ? NULL : job->reply, error, answer->userdata);
}

/* Ends the call; whatever else the callback does, nothing of the call is touched after it. */
static void call_end(DlVirtCall *call, const GError *error, const DlVirtJob *job)
{
        DlVirtAnswer answer = call->answer;

        call_free(call);
        tell(&answer, error, job);
}

static void job_done(void *data)
{
        DlVirtJob *job = data;
        DlVirt *virt = job->virt;

        g_hash_table_remove(virt->jobs, job);
        for (unsigned i = 0; i < job->domains->len; i++)
                ((DlVirtDomain *)job->domains->pdata[i])->asked = job->asked;
        if (job->call)
                call_end(job->call, job->error, job);
        else if (job->changes_domain && virt->events.domain_changed)
                virt->events.domain_changed(job->uuid, virt->userdata);
}

static int on_deadline(sd_event_source *source, uint64_t usec, void *userdata)
{
        DlVirtCall *call = userdata;
        g_autoptr(GError) error = g_error_new(
                DL_ERROR, DL_ERROR_TIMED_OUT,
                "libvirt did not answer within %.1f s; what was asked of it may still happen",
                (double)call->timeout_usec / G_USEC_PER_SEC);

        job_let_go(g_steal_pointer(&call->job));
        call_end(call, error, NULL);
        return 0;
}

static int on_failed_at_once(sd_event_source *source, void *userdata)
{
        DlVirtCall *call = userdata;
        g_autoptr(GError) error = g_steal_pointer(&call->error);

        call_end(call, error, NULL);
        return 0;
}

static void fail_at_once(DlVirtCall *call)
{
        DlVirt *virt = call->virt;
        int r;

        g_set_error(&call->error, DL_ERROR, DL_ERROR_LIBVIRT_ERROR,
                    "libvirt: there is no connection to %s: %s", virt->uri, virt->last_error);
        r = sd_event_add_defer(virt->event, &call->source, on_failed_at_once, call);
        if (r < 0)
                g_error("no event source for a libvirt call: %s", g_strerror(-r));
}

DlVirtCall *dl_virt_submit(DlVirt *virt, DlVirtJob *job, const char *key, uint64_t timeout_usec,
                           DlVirtAnswer answer)
{
        DlVirtCall *call = g_new0(DlVirtCall, 1);
        int r;

        *call = (DlVirtCall){.virt = virt, .timeout_usec = timeout_usec, .answer = answer};
        g_hash_table_add(virt->calls, call);
        if (!virt->conn) {
                job_free(job);
                fail_at_once(call);
                return call;
        }

        r = sd_event_add_time_relative(virt->event, &call->source, CLOCK_MONOTONIC, timeout_usec,
                                       DEADLINE_ACCURACY_USEC, on_deadline, call);
        if (r < 0)
                g_error("no event source for a libvirt call: %s", g_strerror(-r));
        call->job = job;
        job->virt = virt;
        job->call = call;
        job->asked = ++virt->last_asked;
        job->conn = dl_virt_conn_ref(virt->conn);
        g_hash_table_add(virt->jobs, job);
        __atomic_store_n(&job->state, JOB_QUEUED, __ATOMIC_RELEASE);
        job->work = dl_workers_submit(virt->workers, key, run_on_worker, job_done, job, job_free);
        return call;
}

void dl_virt_cancel(DlVirtCall *call)
{
        if (!call)
                return;
        if (call->job)
                job_let_go(g_steal_pointer(&call->job));
        call_free(call);
}

bool dl_virt_has_late_call(const DlVirt *virt, const char *uuid)
{
        GHashTableIter iter;
        gpointer item;

        g_hash_table_iter_init(&iter, virt->jobs);
        while (g_hash_table_iter_next(&iter, &item, NULL)) {
                const DlVirtJob *job = item;

                if (!job->call && job->changes_domain && g_str_equal(job->uuid, uuid))
                        return true;
        }
        return false;
}

void dl_virt_drop_calls(DlVirt *virt)
{
        GHashTableIter iter;
        gpointer item;

        while (g_hash_table_iter_init(&iter, virt->calls),
               g_hash_table_iter_next(&iter, &item, NULL))
                dl_virt_cancel(item);
        while (g_hash_table_iter_init(&iter, virt->jobs),
               g_hash_table_iter_next(&iter, &item, NULL)) {
                DlVirtJob *job = item;

                g_hash_table_iter_remove(&iter);
                dl_work_cancel(job->work);
        }
}
