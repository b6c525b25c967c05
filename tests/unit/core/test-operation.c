/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The engine of the flows: its steps, a dry run of them, and what clients see. One thread. */

#include "play.h"

#include <string.h>

/* ---- steps --------------------------------------------------------------------------------- */

static void test_forward(CoreFixture *f, gconstpointer data)
{
        static const DlStep steps[] = {{"first", play_a, play_undo_a},
                                       {"second", play_later},
                                       {"third", play_b},
                                       {"last", play_later}};
        CoreResult result;
        DlOperation *op = PLAY_START(f, steps, &result);

        g_assert_cmpstr(play_trace->str, ==, ""); /* nothing happens within the call */
        g_assert_cmpuint(core_fixture_saw(f, "added job 1"), ==, 1);
        g_assert_cmpstr(op->job.phase, ==, "");
        g_assert_true(op->job.cancelable);
        core_expect(&result, -1);
        g_assert_cmpstr(play_trace->str, ==, "a later b later [freed]");
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

static void undo_badly(DlOperation *op)
{
        play_say("-bad");
        dl_op_failf(op, DL_ERROR_LIBVIRT_ERROR, "it is stuck");
}

static void test_undo(CoreFixture *f, gconstpointer data)
{
        static const DlStep steps[] = {
                {"1", play_a, play_undo_a},         {"2", play_b},
                {"3", play_later, play_undo_later}, {"4", play_a, undo_badly},
                {"5", play_b, play_undo_b},         {"6", play_fail, play_undo_a},
                {"7", play_b, play_undo_b}};
        CoreResult result;
        DlOperation *op = PLAY_START(f, steps, &result);

        core_expect(&result, DL_ERROR_IN_USE);
        /* backwards, not the failed one, and on after one that cannot be undone */
        g_assert_cmpstr(play_trace->str, ==, "a b later a b fail -b -bad -later -a [freed]");
        expect_report(op, "Rolling back: 5\nRolling back: 4\nRolling back failed: it is stuck\n"
                          "Rolling back: 3\nRolling back: 1\n");
        g_assert_cmpstr(dl_last_error_name(&op->job.error), ==, "InUse");
        g_assert_cmpint(op->job.state, ==, DL_JOB_FAILED);
}

static void finish(DlOperation *op)
{
        play_say("finish");
        dl_op_finish(op);
}

static void test_finish(CoreFixture *f, gconstpointer data)
{
        static const DlStep steps[] = {{"1", play_a, play_undo_a}, {"2", finish}, {"3", play_b}};
        CoreResult result;

        PLAY_START(f, steps, &result);
        core_expect(&result, -1);
        g_assert_cmpstr(play_trace->str, ==, "a finish [freed]");
}

static void test_many_sync_steps(CoreFixture *f, gconstpointer data)
{
        g_autofree DlStep *steps = g_new0(DlStep, 100000);
        CoreResult result;

        /* no recursion: the stack would not do */
        for (unsigned i = 0; i < 100000; i++)
                steps[i] = (DlStep){"one of many", play_a, play_undo_a};
        steps[99999].run = play_fail;
        play_start(f, steps, 100000, &result, 0);
        core_expect(&result, DL_ERROR_IN_USE);
        g_assert_true(g_str_has_suffix(play_trace->str, " -a -a [freed]"));
}

/* ---- dry run ------------------------------------------------------------------------------- */

static void tell(DlOperation *op)
{
        play_say("tell");
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
                {"looking", play_later, .dry = play_later},
                {"doing", play_b, play_undo_b, .firm = true, .dry = tell},
                {"journal", play_b, play_undo_b, .dry = dl_op_next},
                {"looking", play_a, .dry = play_a},
        };
        CoreResult result;
        DlOperation *op = start_dry(f, steps, G_N_ELEMENTS(steps), &result);

        CORE_WAIT(f, g_str_has_suffix(play_trace->str, "later "));
        core_expect(&result, -1);
        g_assert_cmpstr(play_trace->str, ==, "later tell a [freed]");
        expect_report(op, "Would do 2 things\n");
        g_assert_cmpuint(op->job.would_give->len, ==, 1);
}

/* The same errors; and only what was done is undone. */
static void test_dry_run_fails(CoreFixture *f, gconstpointer data)
{
        static const DlStep steps[] = {
                {"looking", play_a, play_undo_a, .dry = play_a},
                {"doing", play_b, play_undo_b, .firm = true, .dry = tell},
                {"checking", play_fail, .dry = play_fail},
        };
        CoreResult result;

        start_dry(f, steps, G_N_ELEMENTS(steps), &result);
        core_expect(&result, DL_ERROR_IN_USE);
        g_assert_cmpstr(play_trace->str, ==, "a tell fail -a [freed]");
}

static void test_dry_run_cancelled(CoreFixture *f, gconstpointer data)
{
        static const DlStep steps[] = {
                {"doing", play_b, play_undo_b, .firm = true, .dry = tell},
                {"looking", play_wait, .dry = play_wait},
        };
        CoreResult result;
        DlOperation *op = start_dry(f, steps, G_N_ELEMENTS(steps), &result);

        CORE_WAIT(f, play_waiting);
        g_assert_true(op->job.cancelable); /* there is nothing that could be left half done */
        g_assert_true(dl_job_cancel(&op->job, NULL));
        core_expect(&result, DL_ERROR_CANCELLED);
        g_assert_cmpstr(play_trace->str, ==, "tell wait stopped [freed]");
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
        DlOperation *op = PLAY_START(f, steps, &result);

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
        static const DlStep steps[] = {{"1", play_a}};
        CoreResult result;

        f->settings->job_linger_usec = 1000;
        PLAY_START(f, steps, &result);
        core_expect(&result, -1);
        g_assert_nonnull(DL_LOOKUP_JOB(f->core, "1"));
        g_assert_false(dl_core_is_idle(f->core));
        CORE_WAIT(f, core_fixture_saw(f, "removed job 1"));
        g_assert_null(DL_LOOKUP_JOB(f->core, "1"));
        CORE_WAIT(f, dl_core_is_idle(f->core));
        PLAY_START(f, steps, &result);
        core_expect(&result, -1);
        g_assert_null(DL_LOOKUP_JOB(f->core, "1")); /* never used twice */
        g_assert_cmpuint(core_fixture_saw(f, "added job 2"), ==, 1);
}

static void test_quiet(CoreFixture *f, gconstpointer data)
{
        CoreResult result;

        play_start_quiet(f, (const DlStep[]){{"1", play_a}}, &result);
        core_expect(&result, -1);
        core_fixture_settle(f);
        g_assert_cmpuint(f->log->len, ==, 0); /* no object, no signal */
        g_assert_true(dl_core_is_idle(f->core));
}

int main(int argc, char *argv[])
{
        g_test_init(&argc, &argv, NULL);
#define TEST(name, function)                                                                       \
        g_test_add("/core/operation/" name, CoreFixture, NULL, play_begin, function, play_end)
        TEST("forward", test_forward);
        TEST("undo", test_undo);
        TEST("finish", test_finish);
        TEST("many-sync-steps", test_many_sync_steps);
        TEST("dry-run", test_dry_run);
        TEST("dry-run-fails", test_dry_run_fails);
        TEST("dry-run-cancelled", test_dry_run_cancelled);
        TEST("signals-before-done", test_signals_before_done);
        TEST("linger", test_linger);
        TEST("quiet", test_quiet);
        return g_test_run();
}
