/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Runs a flow's steps forward, and back when one fails. Loop thread only. */

#include "core/steps/operation.h"
#include "core/model/scratch.h"
#include "core/steps/kill-point.h"

#include <stdarg.h>

/* ---- end ----------------------------------------------------------------------------------- */

static int on_lingered(sd_event_source *source, uint64_t usec, void *userdata)
{
        DlJob *job = userdata;

        if (job->object.published)
                dl_object_unpublish(&job->object);
        else
                dl_core_take_call(job->object.core, job);
        dl_job_free(job);
        return 0;
}

/* The next one has it. */
static void give_up_vm(DlOperation *op)
{
        DlVm *vm = op->vm;
        bool had_it = g_queue_peek_head(&vm->queue) == op;

        g_queue_remove(&vm->queue, op);
        if (had_it && vm->object.published)
                dl_vm_release_looks(vm);
        DlOperation *next = g_queue_peek_head(&vm->queue);
        if (had_it && next)
                (void)sd_event_source_set_enabled(next->kick, SD_EVENT_ONESHOT);
}

static void leave_vm(DlOperation *op)
{
        DlVm *vm = op->vm;

        if (!vm)
                return;
        if (op->aside)
                vm->n_aside--;
        else
                give_up_vm(op);
        op->vm = NULL;
        if (!dl_vm_is_wanted(vm) && !vm->object.published)
                dl_vm_free(vm);
}

void dl_step_let_others(DlOperation *op)
{
        if (op->vm && !op->aside) {
                op->aside = true;
                op->vm->n_aside++;
                give_up_vm(op);
        }
        dl_op_next(op);
}

/* Comes here again when it is its turn. */
void dl_step_take_vm(DlOperation *op)
{
        if (op->vm && op->aside) {
                op->aside = false;
                op->vm->n_aside--;
                g_queue_push_tail(&op->vm->queue, op);
        }
        if (!op->vm || g_queue_peek_head(&op->vm->queue) == op)
                dl_op_next(op);
}

static void set_state(DlJob *job, DlJobState state)
{
        job->state = state;
        job->cancelable = false;
        job->phase = "";
        dl_object_changed(&job->object, "State");
        dl_object_changed(&job->object, "Phase");
        dl_object_changed(&job->object, "Cancelable");
        if (state == DL_JOB_SUCCEEDED && job->progress_valid)
                dl_op_progress((DlOperation *)job, 1.0);
}

static void drop_data(DlOperation *op)
{
        if (op->free_data)
                op->free_data(op->data);
        op->data = NULL;
        op->free_data = NULL;
}

static void drop_scratch(DlOperation *op)
{
        if (op->core != op->job.object.core)
                dl_scratch_free(op->core);
        op->core = op->job.object.core;
}

static void end(DlOperation *op)
{
        DlJob *job = &op->job;
        DlCore *core = job->object.core;

        g_hash_table_remove(core->operations, op);
        op->deadline = sd_event_source_disable_unref(op->deadline);
        drop_data(op); /* what it kept is let go before the result is told */
        leave_vm(op);

        if (!op->failure) {
                set_state(job, DL_JOB_SUCCEEDED);
        } else if (dl_error_code(op->failure) == DL_ERROR_CANCELLED) {
                if (!op->undone)
                        dl_op_report(op, "Nothing had to be rolled back");
                set_state(job, DL_JOB_CANCELLED);
        } else {
                set_state(job, DL_JOB_FAILED);
        }
        if (dl_last_error_set(&job->error, op->failure))
                dl_object_changed(&job->object, "Error");

        dl_core_flush(core);
        if (job->object.published)
                core->observer.job_completed(job, core->userdata);
        if (op->done)
                op->done(job, op->failure, op->userdata);
        g_ptr_array_set_size(job->result_objects, 0);
        drop_scratch(op);

        if (!job->object.published) /* nobody else keeps it until its callers have returned */
                dl_core_keep_call(core, job, (GDestroyNotify)dl_job_free);
        if (sd_event_add_time_relative(core->event, &op->linger, CLOCK_MONOTONIC,
                                       job->object.published ? core->settings->job_linger_usec : 0,
                                       0, on_lingered, op) < 0)
                on_lingered(NULL, 0, op);
}

void dl_op_drop(DlOperation *op)
{
        if (op->stop_waiting)
                op->stop_waiting(op->waiting);
        drop_data(op);
        drop_scratch(op);
}

/* ---- steps --------------------------------------------------------------------------------- */

static void enter_phase(DlOperation *op, const DlStep *step)
{
        const char *phase = op->undoing ? "rolling back" : step->phase;

        if (op->undoing && g_strcmp0(op->undone, step->phase) != 0) {
                op->undone = step->phase;
                dl_op_report(op, "Rolling back: %s", step->phase);
        }

        if (g_strcmp0(op->job.phase, phase) != 0) {
                op->job.phase = phase;
                dl_object_changed(&op->job.object, "Phase");
        }
        bool firm = op->undoing || (step->firm && !op->job.dry_run);
        bool cancelable = !firm && (op->job.cancelable || step->open);
        if (op->job.cancelable != cancelable) {
                op->job.cancelable = cancelable;
                dl_object_changed(&op->job.object, "Cancelable");
                dl_core_flush(op->job.object.core); /* nobody may try what is refused */
        }
}

static bool has_undo(const DlOperation *op, const DlStep *step)
{
        return step->undo && (!op->job.dry_run || step->dry == step->run);
}

static DlStepFunc way_of(const DlOperation *op, const DlStep *step)
{
        if (op->undoing)
                return step->undo;
        return op->job.dry_run ? step->dry : step->run;
}

/* The next step that has something to do: forward, or back over what was completed. */
static const DlStep *current_step(DlOperation *op)
{
        if (!op->undoing)
                return op->step < op->n_steps ? &op->steps[op->step] : NULL;
        while (op->step > 0 && !has_undo(op, &op->steps[op->step - 1]))
                op->step--;
        return op->step > 0 ? &op->steps[op->step - 1] : NULL;
}

static void pass_kill_point(DlOperation *op, const char *when, const char *when_undoing)
{
        dl_kill_point(op->job.operation, op->undoing ? op->step - 1 : op->step,
                      op->undoing ? when_undoing : when);
}

static const char *what_it_does(const DlJob *job)
{
        return job->phase[0] ? job->phase : "waiting for another one";
}

static void fail_late(DlOperation *op)
{
        op->late = false;
        dl_op_failf(op, DL_ERROR_TIMED_OUT, "The operation did not end in time, while it was %s",
                    what_it_does(&op->job));
}

/* A step may end within its call: then this loop goes on, rather than recursing. */
static void drive(DlOperation *op)
{
        if (op->driving)
                return;
        op->driving = true;
        while (op->advance) {
                const DlStep *step = current_step(op);

                op->advance = false;
                if (!step) {
                        op->driving = false;
                        end(op);
                        return;
                }
                enter_phase(op, step);
                if (op->late && op->job.cancelable) {
                        fail_late(op);
                        continue;
                }
                pass_kill_point(op, "before", "undo-before");
                way_of(op, step)(op);
                if (!op->advance)
                        pass_kill_point(op, "waiting", "undo-waiting");
        }
        op->driving = false;
}

static void step_is_over(DlOperation *op)
{
        op->waiting = NULL;
        op->stop_waiting = NULL;
        op->advance = true;
}

void dl_op_next(DlOperation *op)
{
        pass_kill_point(op, "after", "undo-after");
        step_is_over(op);
        if (op->undoing)
                op->step--;
        else
                op->step++;
        drive(op);
}

void dl_op_finish(DlOperation *op)
{
        op->step = op->n_steps - 1;
        dl_op_next(op);
}

void dl_op_fail(DlOperation *op, GError *error)
{
        if (op->undoing) { /* what cannot be undone is said, and the rest is undone all the same */
                dl_op_report(op, "Rolling back failed: %s", error->message);
                g_error_free(error);
                dl_op_next(op);
                return;
        }
        op->failure = error;
        op->undoing = true; /* from the step before this one */
        step_is_over(op);
        drive(op);
}

void dl_op_failf(DlOperation *op, int code, const char *format, ...)
{
        va_list ap;

        va_start(ap, format);
        GError *error = g_error_new_valist(DL_ERROR, code, format, ap);
        va_end(ap);
        dl_op_fail(op, error);
}

void dl_op_wait(DlOperation *op, void *what, void (*stop)(void *what))
{
        op->waiting = what;
        op->stop_waiting = stop;
}

/* ---- from outside -------------------------------------------------------------------------- */

static void stop(DlOperation *op)
{
        if (op->stop_waiting)
                op->stop_waiting(op->waiting);
        (void)sd_event_source_set_enabled(op->kick, SD_EVENT_OFF);
}

static int on_deadline(sd_event_source *source, uint64_t usec, void *userdata)
{
        DlOperation *op = userdata;

        op->late = !op->undoing && !op->job.cancelable;
        if (op->undoing || op->late)
                return 0;
        stop(op);
        fail_late(op);
        return 0;
}

bool dl_job_cancel(DlJob *job, GError **error)
{
        if (job->state != DL_JOB_RUNNING)
                return true;
        if (!job->cancelable) {
                g_set_error(error, DL_ERROR, DL_ERROR_BUSY,
                            "The job is past the point where it can be cancelled");
                return false;
        }
        stop((DlOperation *)job);
        dl_op_report((DlOperation *)job, "Cancelled while %s", what_it_does(job));
        dl_op_failf((DlOperation *)job, DL_ERROR_CANCELLED, "The job was cancelled");
        return true;
}

static int on_kick(sd_event_source *source, void *userdata)
{
        DlOperation *op = userdata;

        op->advance = true;
        drive(op);
        return 0;
}

/* ---- construction -------------------------------------------------------------------------- */

/* What the service does by itself is no client's, and is as much as there is to do. */
static bool within_limits(DlCore *core, const DlRequest *request, GError **error)
{
        unsigned total = 0, own = 0;
        GHashTableIter iter;
        gpointer op;

        if (request->internal)
                return true;
        g_hash_table_iter_init(&iter, core->operations);
        while (g_hash_table_iter_next(&iter, &op, NULL)) {
                if (((DlOperation *)op)->internal)
                        continue;
                total++;
                own += ((DlOperation *)op)->job.uid == request->uid;
        }
        if (total < core->settings->jobs_max && own < core->settings->jobs_per_client_max)
                return true;
        g_set_error(error, DL_ERROR, DL_ERROR_LIMITS_EXCEEDED,
                    "Too many jobs are running; wait for one to end");
        return false;
}

static bool start_timers(DlOperation *op, uint64_t timeout_usec)
{
        sd_event *event = op->job.object.core->event;

        if (sd_event_add_defer(event, &op->kick, on_kick, op) < 0)
                return false;
        if (timeout_usec == 0)
                return true;
        op->job.deadline_usec = op->job.start_usec + timeout_usec;
        return sd_event_add_time_relative(event, &op->deadline, CLOCK_MONOTONIC, timeout_usec, 0,
                                          on_deadline, op) >= 0;
}

static void object_ref_free(gpointer p)
{
        DlObjectRef *ref = p;

        g_free(ref->id);
        g_free(ref);
}

DlOperation *dl_op_new_quiet(DlCore *core, const char *operation, const DlRequest *request,
                             const DlStep *steps, unsigned n_steps, uint64_t timeout_usec,
                             void *data, GDestroyNotify free_data, GError **error)
{
        char id[16];

        if (!within_limits(core, request, error)) {
                if (free_data)
                        free_data(data);
                return NULL;
        }

        DlOperation *op = g_new0(DlOperation, 1);
        DlJob *job = &op->job;

        g_snprintf(id, sizeof id, "%u", ++core->last_job);
        dl_object_init(&job->object, core, DL_KIND_JOB, id);
        job->operation = operation;
        job->phase = "";
        job->start_usec = dl_wallclock();
        job->objects = g_ptr_array_new_with_free_func(object_ref_free);
        job->uid = request->uid;
        job->cancelable = true;
        job->dry_run = request->dry_run;
        job->token = g_strdup(request->job_token ? request->job_token : "");
        job->error.code = -1;
        job->report = g_ptr_array_new_with_free_func(g_free);
        job->would_give = g_ptr_array_new_with_free_func(object_ref_free);
        job->result_objects = g_ptr_array_new();

        op->core = request->dry_run ? dl_scratch_new(core) : core;
        op->steps = steps;
        op->n_steps = n_steps;
        op->data = data;
        op->free_data = free_data;
        op->force = request->force;
        op->internal = request->internal;
        op->done = request->done;
        op->userdata = request->userdata;

        if (!start_timers(op, request->timeout_usec ? request->timeout_usec : timeout_usec)) {
                g_set_error(error, DL_ERROR, DL_ERROR_FAILED, "No memory for a job");
                dl_op_drop(op);
                dl_job_free(job);
                return NULL;
        }
        g_hash_table_add(core->operations, op);
        return op;
}

DlOperation *dl_op_new(DlCore *core, const char *operation, const DlRequest *request,
                       const DlStep *steps, unsigned n_steps, uint64_t timeout_usec, void *data,
                       GDestroyNotify free_data, GError **error)
{
        DlOperation *op = dl_op_new_quiet(core, operation, request, steps, n_steps, timeout_usec,
                                          data, free_data, error);

        if (op)
                dl_object_publish(&op->job.object);
        return op;
}

void dl_op_on_vm(DlOperation *op, DlVm *vm)
{
        op->vm = vm;
        dl_op_concerns(op, DL_KIND_VM, vm->object.id);
        g_queue_push_tail(&vm->queue, op);
        if (g_queue_peek_head(&vm->queue) != op)
                (void)sd_event_source_set_enabled(op->kick, SD_EVENT_OFF);
}

static void add_ref(GPtrArray *refs, DlKind kind, const char *id)
{
        DlObjectRef *ref = g_new(DlObjectRef, 1);

        *ref = (DlObjectRef){.kind = kind, .id = g_strdup(id)};
        g_ptr_array_add(refs, ref);
}

void dl_op_concerns(DlOperation *op, DlKind kind, const char *id)
{
        add_ref(op->job.objects, kind, id);
        dl_object_changed(&op->job.object, "Objects");
}

void dl_op_result(DlOperation *op, void *object)
{
        g_ptr_array_add(op->job.result_objects, object);
}

void dl_op_would_give(DlOperation *op, DlKind kind, const char *id)
{
        add_ref(op->job.would_give, kind, id);
}

void dl_op_would(DlOperation *op, const char *format, ...)
{
        va_list ap;

        va_start(ap, format);
        g_autofree char *what = g_strdup_vprintf(format, ap);
        va_end(ap);
        dl_op_report(op, "Would %s", what);
}

void dl_op_report(DlOperation *op, const char *format, ...)
{
        va_list ap;

        va_start(ap, format);
        g_ptr_array_add(op->job.report, g_strdup_vprintf(format, ap));
        va_end(ap);
        dl_object_changed(&op->job.object, "Report");
}

void dl_op_progress(DlOperation *op, double progress)
{
        op->job.progress = progress;
        op->job.progress_valid = true;
        dl_object_changed(&op->job.object, "Progress");
        dl_object_changed(&op->job.object, "ProgressValid");
}

/* ---- jobs ---------------------------------------------------------------------------------- */

const char *dl_job_state_name(DlJobState state)
{
        static const char *const names[_DL_JOB_STATE_MAX] = {
                [DL_JOB_RUNNING] = "running",
                [DL_JOB_SUCCEEDED] = "succeeded",
                [DL_JOB_FAILED] = "failed",
                [DL_JOB_CANCELLED] = "cancelled",
        };

        return names[state];
}

void dl_job_free(DlJob *job)
{
        DlOperation *op = (DlOperation *)job;

        sd_event_source_disable_unref(op->kick);
        sd_event_source_disable_unref(op->deadline);
        sd_event_source_disable_unref(op->linger);
        g_clear_error(&op->failure);
        g_ptr_array_unref(job->objects);
        g_ptr_array_unref(job->report);
        g_ptr_array_unref(job->would_give);
        g_ptr_array_unref(job->result_objects);
        g_free(job->result_string);
        g_free(job->token);
        dl_last_error_clear(&job->error);
        dl_object_clear(&job->object);
        g_free(op);
}
