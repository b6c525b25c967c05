/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What ends an operation before it has done its work: a cancel, its deadline, the end of the
 * service. One thread.
 */

#include "play.h"

#include <string.h>

/* ---- cancel -------------------------------------------------------------------------------- */

static const DlStep firm_steps[] = {{"1", play_a, play_undo_a},
                                    {"firm", play_wait, .firm = true},
                                    {"3", play_wait},
                                    {"4", play_b}};

static void test_cancel_before_start(CoreFixture *f, gconstpointer data)
{
        CoreResult result;
        DlOperation *op = PLAY_START(f, play_waiting_steps, &result);

        play_cancel(op);
        core_expect(&result, DL_ERROR_CANCELLED);
        core_fixture_settle(f);
        g_assert_cmpstr(play_trace->str, ==, "[freed]");
        g_assert_cmpint(op->job.state, ==, DL_JOB_CANCELLED);
        play_cancel(op); /* it has ended: no error */
        g_assert_cmpuint(result.n_done, ==, 1);
}

static void test_cancel_in_step(CoreFixture *f, gconstpointer data)
{
        CoreResult result;
        DlOperation *op = PLAY_START(f, play_waiting_steps, &result);

        CORE_WAIT(f, play_waiting);
        g_assert_cmpstr(op->job.phase, ==, "waiting");
        play_cancel(op);
        core_expect(&result, DL_ERROR_CANCELLED);
        g_assert_cmpstr(play_trace->str, ==, "a wait stopped -a [freed]");
}

static void test_cancel_while_undoing(CoreFixture *f, gconstpointer data)
{
        static const DlStep steps[] = {{"1", play_later, play_undo_later}, {"2", play_fail}};
        CoreResult result;
        DlOperation *op = PLAY_START(f, steps, &result);
        g_autoptr(GError) error = NULL;

        CORE_WAIT(f, strstr(play_trace->str, "-later"));
        g_assert_cmpstr(op->job.phase, ==, "rolling back");
        g_assert_false(dl_job_cancel(&op->job, &error));
        g_assert_error(error, DL_ERROR, DL_ERROR_BUSY);
        core_expect(&result, DL_ERROR_IN_USE);
}

static void test_firm(CoreFixture *f, gconstpointer data)
{
        CoreResult result;
        DlOperation *op = play_start(f, firm_steps, G_N_ELEMENTS(firm_steps), &result, 1);
        g_autoptr(GError) error = NULL;

        g_assert_cmpuint(op->job.deadline_usec, >, 0);
        op->deadline = sd_event_source_disable_unref(op->deadline); /* this is about cancel */
        for (int i = 0; i < 2; i++) {
                CORE_WAIT(f, play_waiting);
                g_assert_false(op->job.cancelable);
                g_assert_false(dl_job_cancel(&op->job, &error));
                g_assert_error(error, DL_ERROR, DL_ERROR_BUSY);
                g_clear_error(&error);
                play_go_on();
        }
        core_expect(&result, -1);
        g_assert_cmpstr(play_trace->str, ==, "a wait wait b [freed]");
        core_fixture_settle(f);
        /* that it cannot be cancelled is told at once, not with what comes later */
        g_assert_nonnull(
                strstr(f->log->pdata[core_fixture_when(f, "changed job 1")], "Cancelable"));
        g_assert_cmpuint(core_fixture_saw(f, "changed job 1"), ==, 2);
}

/* ---- deadline ------------------------------------------------------------------------------ */

static void test_deadline(CoreFixture *f, gconstpointer data)
{
        CoreResult result;
        DlOperation *op = play_start(f, play_waiting_steps, G_N_ELEMENTS(play_waiting_steps),
                                     &result, 1000);

        core_expect(&result, DL_ERROR_TIMED_OUT);
        g_assert_cmpstr(play_trace->str, ==, "a wait stopped -a [freed]");
        g_assert_cmpint(op->job.state, ==, DL_JOB_FAILED);
        g_assert_nonnull(strstr(dl_last_error_message(&op->job.error), "waiting"));
}

static void test_deadline_when_firm(CoreFixture *f, gconstpointer data)
{
        CoreResult result;
        DlOperation *op = play_start(f, firm_steps, G_N_ELEMENTS(firm_steps), &result, 1000);
        int enabled = SD_EVENT_ON;

        /* passes, and changes nothing */
        CORE_WAIT(f, sd_event_source_get_enabled(op->deadline, &enabled) >= 0 &&
                             enabled == SD_EVENT_OFF && play_waiting);
        g_assert_cmpint(op->job.state, ==, DL_JOB_RUNNING);
        play_go_on();
        CORE_WAIT(f, play_waiting);
        play_go_on();
        core_expect(&result, -1);
}

static void test_request_sets_deadline(CoreFixture *f, gconstpointer data)
{
        CoreResult result;
        DlRequest request = core_request(f, &result);
        DlOperation *op;

        request.timeout_usec = 1000;
        request.job_token = "mine";
        op = DL_OP_NEW(f->core, "play", &request, play_waiting_steps, HOUR_USEC, g_new0(Play, 1),
                       play_free, NULL);
        g_assert_cmpuint(op->job.deadline_usec, ==, op->job.start_usec + 1000);
        g_assert_cmpstr(op->job.token, ==, "mine");
        g_assert_cmpuint(op->job.uid, ==, 1000);
        core_expect(&result, DL_ERROR_TIMED_OUT);
}

/* ---- the end of the service ---------------------------------------------------------------- */

/* Whatever the moment, nothing of it outlives the core (the sanitizers see it). */
static void test_free_after_quiet(CoreFixture *f, gconstpointer data)
{
        static const DlStep steps[] = {{"1", play_a}};
        CoreResult result;

        play_start_quiet(f, steps, &result);
        core_expect(&result, -1);
        core_fixture_stop(f);
}

static void test_free_in_flight(CoreFixture *f, gconstpointer data)
{
        static const DlStep undoing_steps[] = {{"1", play_later, play_undo_later},
                                               {"2", play_fail}};
        CoreResult results[5];
        DlVm *vm = play_make_vm(f);

        dl_op_on_vm(PLAY_START(f, play_waiting_steps, &results[0]), vm);
        dl_op_on_vm(PLAY_START(f, play_waiting_steps, &results[1]), vm); /* queued */
        play_start_quiet(f, play_waiting_steps + 1, &results[2]);
        PLAY_START(f, undoing_steps, &results[3]);
        CORE_WAIT(f, strstr(play_trace->str, "-later"));
        PLAY_START(f, play_waiting_steps, &results[4]); /* not begun */
        core_fixture_stop(f);
        for (unsigned i = 0; i < 5; i++)
                g_assert_cmpuint(results[i].n_done, ==, 0);
}

int main(int argc, char *argv[])
{
        g_test_init(&argc, &argv, NULL);
#define TEST(name, function)                                                                       \
        g_test_add("/core/operation-end/" name, CoreFixture, NULL, play_begin, function, play_end)
        TEST("cancel-before-start", test_cancel_before_start);
        TEST("cancel-in-step", test_cancel_in_step);
        TEST("cancel-while-undoing", test_cancel_while_undoing);
        TEST("firm", test_firm);
        TEST("deadline", test_deadline);
        TEST("deadline-when-firm", test_deadline_when_firm);
        TEST("request-sets-deadline", test_request_sets_deadline);
        TEST("free-after-quiet", test_free_after_quiet);
        TEST("free-in-flight", test_free_in_flight);
        return g_test_run();
}
