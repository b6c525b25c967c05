/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The engine of the flows, with flows of the test's own. One thread. */

#include "core-fixture.h"
#include "fakes.h"

#include <string.h>

#define HOUR_USEC (3600 * (uint64_t)G_USEC_PER_SEC)

/* What such a flow does: its steps write down that they ran; some wait until they are told. */
typedef struct Play {
        GString *trace; /* borrowed from the test */
        DlOperation *waits;
        bool stopped;
        sd_event_source *later;
} Play;

static GString *trace;
static Play *now_waiting; /* the data of the operation that waits */

static void play_free(void *p)
{
        Play *play = p;

        if (now_waiting == play)
                now_waiting = NULL;
        sd_event_source_disable_unref(play->later);
        g_string_append(trace, "[freed]");
        g_free(play);
}

static void say(const char *what)
{
        g_string_append_printf(trace, "%s ", what);
}

static void a(DlOperation *op)
{
        say("a");
        dl_op_next(op);
}

static void b(DlOperation *op)
{
        say("b");
        dl_op_next(op);
}

static void undo_a(DlOperation *op)
{
        say("-a");
        dl_op_next(op);
}

static void undo_b(DlOperation *op)
{
        say("-b");
        dl_op_next(op);
}

static int on_later(sd_event_source *source, void *userdata)
{
        dl_op_next(userdata);
        return 0;
}

static void later(DlOperation *op)
{
        Play *play = op->data;

        say("later");
        play->later = sd_event_source_disable_unref(play->later);
        g_assert_cmpint(sd_event_add_defer(op->job.object.core->event, &play->later, on_later, op),
                        >=, 0);
}

static void undo_later(DlOperation *op)
{
        say("-later");
        ((Play *)op->data)->later = sd_event_source_disable_unref(((Play *)op->data)->later);
        g_assert_cmpint(sd_event_add_defer(op->job.object.core->event, &((Play *)op->data)->later,
                                           on_later, op),
                        >=, 0);
}

static void undo_badly(DlOperation *op)
{
        say("-bad");
        dl_op_failf(op, DL_ERROR_LIBVIRT_ERROR, "it is stuck");
}

static void fail(DlOperation *op)
{
        say("fail");
        dl_op_failf(op, DL_ERROR_IN_USE, "no");
}

static void finish(DlOperation *op)
{
        say("finish");
        dl_op_finish(op);
}

static void stop(void *p)
{
        Play *play = ((DlOperation *)p)->data;

        say("stopped");
        play->stopped = true;
        now_waiting = NULL;
}

static void wait_for_me(DlOperation *op)
{
        say("wait");
        now_waiting = op->data;
        now_waiting->waits = op;
        dl_op_wait(op, op, stop);
}

static void go_on(void)
{
        DlOperation *op = now_waiting->waits;

        now_waiting = NULL;
        dl_op_next(op);
}

static DlOperation *start_of(CoreFixture *f, const DlStep *steps, unsigned n_steps,
                             CoreResult *result, uint64_t timeout_usec)
{
        DlRequest request = core_request(f, result);
        g_autoptr(GError) error = NULL;
        DlOperation *op = dl_op_new(f->core, "play", &request, steps, n_steps, timeout_usec,
                                    g_new0(Play, 1), play_free, &error);

        g_assert_no_error(error);
        return op;
}
#define START(f, steps, result) start_of(f, steps, G_N_ELEMENTS(steps), result, 0)

static void begin(CoreFixture *f, gconstpointer data)
{
        trace = g_string_new(NULL);
        now_waiting = NULL;
        core_fixture_open(f);
        f->settings->job_linger_usec = HOUR_USEC;
        core_fixture_start(f);
        core_fixture_settle(f);
        core_fixture_forget(f);
}

static void end(CoreFixture *f, gconstpointer data)
{
        core_fixture_close(f);
        fake_iscsi_forget();
        fake_virt_forget();
        g_string_free(trace, TRUE);
}

/* ---- steps --------------------------------------------------------------------------------- */

static void test_forward(CoreFixture *f, gconstpointer data)
{
        static const DlStep steps[] = {
                {"first", a, undo_a}, {"second", later}, {"third", b}, {"last", later}};
        CoreResult result;
        DlOperation *op = START(f, steps, &result);

        g_assert_cmpstr(trace->str, ==, ""); /* nothing happens within the call */
        g_assert_cmpuint(core_fixture_saw(f, "added job 1"), ==, 1);
        g_assert_cmpstr(op->job.phase, ==, "");
        g_assert_true(op->job.cancelable);
        core_expect(&result, -1);
        g_assert_cmpstr(trace->str, ==, "a later b later [freed]");
        g_assert_cmpint(op->job.state, ==, DL_JOB_SUCCEEDED);
        g_assert_cmpuint(result.n_done, ==, 1);
}

static void expect_report(const DlOperation *op, const char *expected)
{
        g_autoptr(GString) report = g_string_new(NULL);

        for (unsigned i = 0; i < op->job.report->len; i++)
                g_string_append_printf(report, "%s\n", (char *)op->job.report->pdata[i]);
        g_assert_cmpstr(report->str, ==, expected);
}

static void test_undo(CoreFixture *f, gconstpointer data)
{
        static const DlStep steps[] = {{"1", a, undo_a},         {"2", b},
                                       {"3", later, undo_later}, {"4", a, undo_badly},
                                       {"5", b, undo_b},         {"6", fail, undo_a},
                                       {"7", b, undo_b}};
        CoreResult result;
        DlOperation *op = START(f, steps, &result);

        core_expect(&result, DL_ERROR_IN_USE);
        /* backwards, not the failed one, and on after one that cannot be undone */
        g_assert_cmpstr(trace->str, ==, "a b later a b fail -b -bad -later -a [freed]");
        expect_report(op, "Rolling back: 5\nRolling back: 4\nRolling back failed: it is stuck\n"
                          "Rolling back: 3\nRolling back: 1\n");
        g_assert_cmpstr(dl_last_error_name(&op->job.error), ==, "InUse");
        g_assert_cmpint(op->job.state, ==, DL_JOB_FAILED);
}

static void test_finish(CoreFixture *f, gconstpointer data)
{
        static const DlStep steps[] = {{"1", a, undo_a}, {"2", finish}, {"3", b}};
        CoreResult result;

        START(f, steps, &result);
        core_expect(&result, -1);
        g_assert_cmpstr(trace->str, ==, "a finish [freed]");
}

static void test_many_sync_steps(CoreFixture *f, gconstpointer data)
{
        g_autofree DlStep *steps = g_new0(DlStep, 100000);
        CoreResult result;

        /* no recursion: the stack would not do */
        for (unsigned i = 0; i < 100000; i++)
                steps[i] = (DlStep){"one of many", a, undo_a};
        steps[99999].run = fail;
        start_of(f, steps, 100000, &result, 0);
        core_expect(&result, DL_ERROR_IN_USE);
        g_assert_true(g_str_has_suffix(trace->str, " -a -a [freed]"));
}

/* ---- dry run ------------------------------------------------------------------------------- */

static void tell(DlOperation *op)
{
        say("tell");
        dl_op_would(op, "do %d things", 2);
        dl_op_would_give(op, DL_KIND_VDISK, "x");
        dl_op_next(op);
}

static DlOperation *start_dry(CoreFixture *f, const DlStep *steps, unsigned n_steps,
                              CoreResult *result)
{
        DlRequest request = core_request(f, result);
        g_autoptr(GError) error = NULL;

        request.dry_run = true;
        DlOperation *op = dl_op_new(f->core, "play", &request, steps, n_steps, 0, g_new0(Play, 1),
                                    play_free, &error);
        g_assert_no_error(error);
        g_assert_true(op->job.dry_run);
        return op;
}

static void test_dry_run(CoreFixture *f, gconstpointer data)
{
        static const DlStep steps[] = {
                {"looking", later, .dry = later},
                {"doing", b, undo_b, .firm = true, .dry = tell},
                {"journal", b, undo_b, .dry = dl_op_next},
                {"looking", a, .dry = a},
        };
        CoreResult result;
        DlOperation *op = start_dry(f, steps, G_N_ELEMENTS(steps), &result);

        CORE_WAIT(f, g_str_has_suffix(trace->str, "later "));
        core_expect(&result, -1);
        g_assert_cmpstr(trace->str, ==, "later tell a [freed]");
        expect_report(op, "Would do 2 things\n");
        g_assert_cmpuint(op->job.would_give->len, ==, 1);
}

/* The same errors; and only what was done is undone. */
static void test_dry_run_fails(CoreFixture *f, gconstpointer data)
{
        static const DlStep steps[] = {
                {"looking", a, undo_a, .dry = a},
                {"doing", b, undo_b, .firm = true, .dry = tell},
                {"checking", fail, .dry = fail},
        };
        CoreResult result;

        start_dry(f, steps, G_N_ELEMENTS(steps), &result);
        core_expect(&result, DL_ERROR_IN_USE);
        g_assert_cmpstr(trace->str, ==, "a tell fail -a [freed]");
}

static void test_dry_run_cancelled(CoreFixture *f, gconstpointer data)
{
        static const DlStep steps[] = {
                {"doing", b, undo_b, .firm = true, .dry = tell},
                {"looking", wait_for_me, .dry = wait_for_me},
        };
        CoreResult result;
        DlOperation *op = start_dry(f, steps, G_N_ELEMENTS(steps), &result);

        CORE_WAIT(f, now_waiting);
        g_assert_true(op->job.cancelable); /* there is nothing that could be left half done */
        g_assert_true(dl_job_cancel(&op->job, NULL));
        core_expect(&result, DL_ERROR_CANCELLED);
        g_assert_cmpstr(trace->str, ==, "tell wait stopped [freed]");
}

/* ---- cancel and deadline ------------------------------------------------------------------- */

static const DlStep waiting_steps[] = {
        {"1", a, undo_a}, {"waiting", wait_for_me}, {"3", b, undo_b}};
static const DlStep firm_steps[] = {
        {"1", a, undo_a}, {"firm", wait_for_me, .firm = true}, {"3", wait_for_me}, {"4", b}};

static void cancel(DlOperation *op)
{
        g_autoptr(GError) error = NULL;

        g_assert_true(dl_job_cancel(&op->job, &error));
        g_assert_no_error(error);
}

static void test_cancel_before_start(CoreFixture *f, gconstpointer data)
{
        CoreResult result;
        DlOperation *op = START(f, waiting_steps, &result);

        cancel(op);
        core_expect(&result, DL_ERROR_CANCELLED);
        core_fixture_settle(f);
        g_assert_cmpstr(trace->str, ==, "[freed]");
        g_assert_cmpint(op->job.state, ==, DL_JOB_CANCELLED);
        cancel(op); /* it has ended: no error */
        g_assert_cmpuint(result.n_done, ==, 1);
}

static void test_cancel_in_step(CoreFixture *f, gconstpointer data)
{
        CoreResult result;
        DlOperation *op = START(f, waiting_steps, &result);

        CORE_WAIT(f, now_waiting);
        g_assert_cmpstr(op->job.phase, ==, "waiting");
        cancel(op);
        core_expect(&result, DL_ERROR_CANCELLED);
        g_assert_cmpstr(trace->str, ==, "a wait stopped -a [freed]");
}

static void test_cancel_while_undoing(CoreFixture *f, gconstpointer data)
{
        static const DlStep steps[] = {{"1", later, undo_later}, {"2", fail}};
        CoreResult result;
        DlOperation *op = START(f, steps, &result);
        g_autoptr(GError) error = NULL;

        CORE_WAIT(f, strstr(trace->str, "-later"));
        g_assert_cmpstr(op->job.phase, ==, "rolling back");
        g_assert_false(dl_job_cancel(&op->job, &error));
        g_assert_error(error, DL_ERROR, DL_ERROR_BUSY);
        core_expect(&result, DL_ERROR_IN_USE);
}

static void test_firm(CoreFixture *f, gconstpointer data)
{
        CoreResult result;
        DlOperation *op = start_of(f, firm_steps, G_N_ELEMENTS(firm_steps), &result, 1);
        g_autoptr(GError) error = NULL;

        g_assert_cmpuint(op->job.deadline_usec, >, 0);
        op->deadline = sd_event_source_disable_unref(op->deadline); /* this is about cancel */
        for (int i = 0; i < 2; i++) {
                CORE_WAIT(f, now_waiting);
                g_assert_false(op->job.cancelable);
                g_assert_false(dl_job_cancel(&op->job, &error));
                g_assert_error(error, DL_ERROR, DL_ERROR_BUSY);
                g_clear_error(&error);
                go_on();
        }
        core_expect(&result, -1);
        g_assert_cmpstr(trace->str, ==, "a wait wait b [freed]");
        core_fixture_settle(f);
        /* that it cannot be cancelled is told at once, not with what comes later */
        g_assert_nonnull(
                strstr(f->log->pdata[core_fixture_when(f, "changed job 1")], "Cancelable"));
        g_assert_cmpuint(core_fixture_saw(f, "changed job 1"), ==, 2);
}

static void test_deadline(CoreFixture *f, gconstpointer data)
{
        CoreResult result;
        DlOperation *op = start_of(f, waiting_steps, G_N_ELEMENTS(waiting_steps), &result, 1000);

        core_expect(&result, DL_ERROR_TIMED_OUT);
        g_assert_cmpstr(trace->str, ==, "a wait stopped -a [freed]");
        g_assert_cmpint(op->job.state, ==, DL_JOB_FAILED);
        g_assert_nonnull(strstr(dl_last_error_message(&op->job.error), "waiting"));
}

static void test_deadline_when_firm(CoreFixture *f, gconstpointer data)
{
        CoreResult result;
        DlOperation *op = start_of(f, firm_steps, G_N_ELEMENTS(firm_steps), &result, 1000);
        int enabled = SD_EVENT_ON;

        /* passes, and changes nothing */
        CORE_WAIT(f, sd_event_source_get_enabled(op->deadline, &enabled) >= 0 &&
                             enabled == SD_EVENT_OFF && now_waiting);
        g_assert_cmpint(op->job.state, ==, DL_JOB_RUNNING);
        go_on();
        CORE_WAIT(f, now_waiting);
        go_on();
        core_expect(&result, -1);
}

static void test_request_sets_deadline(CoreFixture *f, gconstpointer data)
{
        CoreResult result;
        DlRequest request = core_request(f, &result);
        DlOperation *op;

        request.timeout_usec = 1000;
        request.job_token = "mine";
        op = DL_OP_NEW(f->core, "play", &request, waiting_steps, HOUR_USEC, g_new0(Play, 1),
                       play_free, NULL);
        g_assert_cmpuint(op->job.deadline_usec, ==, op->job.start_usec + 1000);
        g_assert_cmpstr(op->job.token, ==, "mine");
        g_assert_cmpuint(op->job.uid, ==, 1000);
        core_expect(&result, DL_ERROR_TIMED_OUT);
}

/* ---- one VM, one operation ----------------------------------------------------------------- */

#define UUID "6695eb01-f6a4-8304-79aa-97f2502e193f"

static DlVm *make_vm(CoreFixture *f)
{
        DlVirtDomain domain = {.uuid = (char *)UUID, .name = (char *)"vm", .persistent = true};

        return dl_vm_merge(f->core, &domain);
}

static const DlStep on_vm_steps[] = {{"waiting", wait_for_me}};

static void test_vm_queue(CoreFixture *f, gconstpointer data)
{
        DlVm *vm = make_vm(f);
        CoreResult results[4];
        DlOperation *ops[4];

        for (unsigned i = 0; i < 4; i++) {
                ops[i] = START(f, on_vm_steps, &results[i]);
                dl_op_on_vm(ops[i], vm);
        }
        CORE_WAIT(f, now_waiting);
        core_fixture_settle(f);
        g_assert_true(now_waiting->waits == ops[0]);
        g_assert_cmpstr(trace->str, ==, "wait "); /* one of four */

        cancel(ops[2]); /* out of the middle of the queue */
        core_expect(&results[2], DL_ERROR_CANCELLED);
        core_fixture_settle(f);
        g_assert_true(now_waiting->waits == ops[0]);

        cancel(ops[0]);
        core_expect(&results[0], DL_ERROR_CANCELLED);
        CORE_WAIT(f, now_waiting);
        g_assert_true(now_waiting->waits == ops[1]);
        go_on();
        core_expect(&results[1], -1);
        CORE_WAIT(f, now_waiting);
        g_assert_true(now_waiting->waits == ops[3]);
        go_on();
        core_expect(&results[3], -1);
        g_assert_true(g_queue_is_empty(&vm->queue));
        for (unsigned i = 0; i < 4; i++)
                g_assert_cmpstr(((DlObjectRef *)ops[i]->job.objects->pdata[0])->id, ==, UUID);
}

static void test_vm_goes_while_queued(CoreFixture *f, gconstpointer data)
{
        static const DlStep looking_steps[] = {{"waiting", wait_for_me}, {"looking", dl_step_look}};
        DlVm *vm = make_vm(f);
        CoreResult first, second;
        DlOperation *op = START(f, looking_steps, &first), *queued;

        dl_op_on_vm(op, vm);
        queued = start_of(f, looking_steps + 1, 1, &second, 0);
        dl_op_on_vm(queued, vm);
        CORE_WAIT(f, now_waiting);
        dl_vm_gone(vm); /* kept by those who wait for it */
        g_assert_null(DL_LOOKUP_VM(f->core, UUID));
        go_on();
        core_expect(&first, DL_ERROR_VM_NOT_FOUND);
        core_expect(&second, DL_ERROR_VM_NOT_FOUND); /* and then freed: the leak checker sees it */
}

/* Undefined and defined anew: what the operation knows of the VM is not true any more. */
static void test_vm_made_anew(CoreFixture *f, gconstpointer data)
{
        static const DlStep steps[] = {
                {"waiting", wait_for_me}, {"looking", dl_step_look}, {"changing", b}};
        DlVm *vm = make_vm(f), *other;
        CoreResult result;

        fake_domain_add(UUID, "vm", DL_VIRT_SHUTOFF, true);
        dl_op_on_vm(START(f, steps, &result), vm);
        CORE_WAIT(f, now_waiting);
        dl_vm_gone(vm);
        other = make_vm(f);
        go_on();
        core_expect(&result, DL_ERROR_VM_NOT_FOUND);
        g_assert_cmpstr(trace->str, ==, "wait [freed]");
        g_assert_true(DL_LOOKUP_VM(f->core, UUID) == other);
}

/* ---- limits -------------------------------------------------------------------------------- */

/* What the service does by itself takes no place from root. */
static void test_internal_is_not_counted(CoreFixture *f, gconstpointer data)
{
        CoreResult result;
        DlRequest request = core_request(f, &result);
        static const DlRequest own = {.internal = true};
        g_autoptr(GError) error = NULL;

        f->settings->jobs_per_client_max = 1;
        request.uid = 0;
        for (int i = 0; i < 3; i++)
                g_assert_nonnull(DL_OP_NEW(f->core, "recover", &own, waiting_steps, 0,
                                           g_new0(Play, 1), play_free, NULL));
        g_assert_nonnull(DL_OP_NEW(f->core, "one", &request, waiting_steps, 0, g_new0(Play, 1),
                                   play_free, &error));
        g_assert_no_error(error);
        g_assert_null(DL_OP_NEW(f->core, "two", &request, waiting_steps, 0, g_new0(Play, 1),
                                play_free, &error));
        g_assert_error(error, DL_ERROR, DL_ERROR_LIMITS_EXCEEDED);
}

static void test_limits(CoreFixture *f, gconstpointer data)
{
        CoreResult results[6];
        unsigned n = 0;
        g_autoptr(GError) error = NULL;
        DlOperation *last = NULL;

        f->settings->jobs_per_client_max = 2;
        f->settings->jobs_max = 3;
        for (; n < 2; n++)
                last = START(f, waiting_steps, &results[n]);

        DlRequest request = core_request(f, &results[n]);
        g_assert_null(DL_OP_NEW(f->core, "play", &request, waiting_steps, 0, g_new0(Play, 1),
                                play_free, &error));
        g_assert_error(error, DL_ERROR, DL_ERROR_LIMITS_EXCEEDED);
        g_assert_cmpstr(trace->str, ==, "[freed]"); /* data, when refused */
        g_clear_error(&error);

        request.uid = 1001; /* another client still may, up to the total */
        g_assert_nonnull(DL_OP_NEW(f->core, "play", &request, waiting_steps, 0, g_new0(Play, 1),
                                   play_free, &error));
        n++;
        request.uid = 1002;
        g_assert_null(dl_op_new_quiet(f->core, "play", &request, waiting_steps, 1, 0,
                                      g_new0(Play, 1), play_free, &error));
        g_assert_error(error, DL_ERROR, DL_ERROR_LIMITS_EXCEEDED);

        cancel(last); /* makes room at once, though the job lingers */
        request = core_request(f, &results[n]);
        g_assert_nonnull(DL_OP_NEW(f->core, "play", &request, waiting_steps, 0, g_new0(Play, 1),
                                   play_free, NULL));
        core_fixture_stop(f); /* drops three: their callbacks do not come */
        for (unsigned i = 0; i <= n; i++) {
                g_assert_cmpuint(results[i].n_done, ==, i == 1 ? 1 : 0);
                core_result_clear(&results[i]);
        }
}

/* ---- what clients see ---------------------------------------------------------------------- */

static void report(DlOperation *op)
{
        DlTarget *target = dl_target_ensure(op->job.object.core, "iqn.2026-11.org.example:t", NULL);

        dl_op_report(op, "%s", "did it");
        dl_op_progress(op, 0.5);
        dl_op_concerns(op, DL_KIND_TARGET, target->object.id);
        dl_op_result(op, target);
        target->pinned = true;
        dl_target_update(target);
        dl_op_next(op);
}

static void test_signals_before_done(CoreFixture *f, gconstpointer data)
{
        static const DlStep steps[] = {{"reporting", report}};
        CoreResult result;
        DlOperation *op = START(f, steps, &result);

        CORE_WAIT(f, result.n_done > 0);
        g_assert_cmpstr(result.id, ==, "iqn.2026-11.org.example:t");
        g_assert_cmpfloat_with_epsilon(op->job.progress, 1.0, 1e-9); /* at the end */
        g_assert_cmpuint(op->job.result_objects->len, ==, 0);
        g_assert_cmpstr(op->job.report->pdata[0], ==, "did it");

        unsigned added = core_fixture_when(f, "added target"),
                 changed = core_fixture_when(f, "changed target"),
                 job = core_fixture_when(f, "changed job 1"),
                 completed = core_fixture_when(f, "completed job 1 succeeded");
        g_assert_cmpuint(added, <, changed);
        g_assert_cmpuint(changed, <, completed);
        g_assert_cmpuint(job, <, completed);
        g_assert_cmpuint(completed, <, result.n_before);
        g_assert_nonnull(strstr(f->log->pdata[job], "State"));
        g_assert_nonnull(strstr(f->log->pdata[job], "Report"));
        g_assert_nonnull(strstr(f->log->pdata[job], "Objects"));
        g_assert_cmpuint(core_fixture_saw(f, "changed job"), ==, 1); /* all in one */
        core_expect(&result, -1);
}

static void test_linger(CoreFixture *f, gconstpointer data)
{
        static const DlStep steps[] = {{"1", a}};
        CoreResult result;

        f->settings->job_linger_usec = 1000;
        START(f, steps, &result);
        core_expect(&result, -1);
        g_assert_nonnull(DL_LOOKUP_JOB(f->core, "1"));
        g_assert_false(dl_core_is_idle(f->core));
        CORE_WAIT(f, core_fixture_saw(f, "removed job 1"));
        g_assert_null(DL_LOOKUP_JOB(f->core, "1"));
        CORE_WAIT(f, dl_core_is_idle(f->core));
        START(f, steps, &result);
        core_expect(&result, -1);
        g_assert_null(DL_LOOKUP_JOB(f->core, "1")); /* never used twice */
        g_assert_cmpuint(core_fixture_saw(f, "added job 2"), ==, 1);
}

static void start_quiet(CoreFixture *f, const DlStep *steps, CoreResult *result)
{
        DlRequest request = core_request(f, result);

        g_assert_nonnull(dl_op_new_quiet(f->core, "play", &request, steps, 1, 0, g_new0(Play, 1),
                                         play_free, NULL));
}

static void test_quiet(CoreFixture *f, gconstpointer data)
{
        CoreResult result;

        start_quiet(f, (const DlStep[]){{"1", a}}, &result);
        core_expect(&result, -1);
        core_fixture_settle(f);
        g_assert_cmpuint(f->log->len, ==, 0); /* no object, no signal */
        g_assert_true(dl_core_is_idle(f->core));
}

/* Whatever the moment, nothing of it outlives the core (the sanitizers see it). */
static void test_free_after_quiet(CoreFixture *f, gconstpointer data)
{
        static const DlStep steps[] = {{"1", a}};
        CoreResult result;

        start_quiet(f, steps, &result);
        core_expect(&result, -1);
        core_fixture_stop(f);
}

static void test_free_in_flight(CoreFixture *f, gconstpointer data)
{
        static const DlStep undoing_steps[] = {{"1", later, undo_later}, {"2", fail}};
        CoreResult results[5];
        DlVm *vm = make_vm(f);

        dl_op_on_vm(START(f, waiting_steps, &results[0]), vm);
        dl_op_on_vm(START(f, waiting_steps, &results[1]), vm); /* queued */
        start_quiet(f, waiting_steps + 1, &results[2]);
        START(f, undoing_steps, &results[3]);
        CORE_WAIT(f, strstr(trace->str, "-later"));
        START(f, waiting_steps, &results[4]); /* not begun */
        core_fixture_stop(f);
        for (unsigned i = 0; i < 5; i++)
                g_assert_cmpuint(results[i].n_done, ==, 0);
}

int main(int argc, char *argv[])
{
        g_test_init(&argc, &argv, NULL);
#define TEST(name, function)                                                                       \
        g_test_add("/core/operation/" name, CoreFixture, NULL, begin, function, end)
        TEST("forward", test_forward);
        TEST("undo", test_undo);
        TEST("finish", test_finish);
        TEST("many-sync-steps", test_many_sync_steps);
        TEST("dry-run", test_dry_run);
        TEST("dry-run-fails", test_dry_run_fails);
        TEST("dry-run-cancelled", test_dry_run_cancelled);
        TEST("cancel-before-start", test_cancel_before_start);
        TEST("cancel-in-step", test_cancel_in_step);
        TEST("cancel-while-undoing", test_cancel_while_undoing);
        TEST("firm", test_firm);
        TEST("deadline", test_deadline);
        TEST("deadline-when-firm", test_deadline_when_firm);
        TEST("request-sets-deadline", test_request_sets_deadline);
        TEST("vm-queue", test_vm_queue);
        TEST("vm-goes-while-queued", test_vm_goes_while_queued);
        TEST("vm-made-anew", test_vm_made_anew);
        TEST("limits", test_limits);
        TEST("internal-is-not-counted", test_internal_is_not_counted);
        TEST("signals-before-done", test_signals_before_done);
        TEST("linger", test_linger);
        TEST("quiet", test_quiet);
        TEST("free-after-quiet", test_free_after_quiet);
        TEST("free-in-flight", test_free_in_flight);
        return g_test_run();
}
