/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The flow of the tests of the engine. It owns what is written down. One thread: the test's. */

#include "play.h"

GString *play_trace;
Play *play_waiting;

void play_free(void *p)
{
        Play *play = p;

        if (play_waiting == play)
                play_waiting = NULL;
        sd_event_source_disable_unref(play->later);
        g_string_append(play_trace, "[freed]");
        g_free(play);
}

void play_say(const char *what)
{
        g_string_append_printf(play_trace, "%s ", what);
}

void play_a(DlOperation *op)
{
        play_say("a");
        dl_op_next(op);
}

void play_b(DlOperation *op)
{
        play_say("b");
        dl_op_next(op);
}

void play_undo_a(DlOperation *op)
{
        play_say("-a");
        dl_op_next(op);
}

void play_undo_b(DlOperation *op)
{
        play_say("-b");
        dl_op_next(op);
}

static int on_later(sd_event_source *source, void *userdata)
{
        dl_op_next(userdata);
        return 0;
}

void play_later(DlOperation *op)
{
        Play *play = op->data;

        play_say("later");
        play->later = sd_event_source_disable_unref(play->later);
        g_assert_cmpint(sd_event_add_defer(op->job.object.core->event, &play->later, on_later, op),
                        >=, 0);
}

void play_undo_later(DlOperation *op)
{
        play_say("-later");
        ((Play *)op->data)->later = sd_event_source_disable_unref(((Play *)op->data)->later);
        g_assert_cmpint(sd_event_add_defer(op->job.object.core->event, &((Play *)op->data)->later,
                                           on_later, op),
                        >=, 0);
}

void play_fail(DlOperation *op)
{
        play_say("fail");
        dl_op_failf(op, DL_ERROR_IN_USE, "no");
}

static void stop(void *p)
{
        play_say("stopped");
        play_waiting = NULL;
}

void play_wait(DlOperation *op)
{
        play_say("wait");
        play_waiting = op->data;
        play_waiting->waits = op;
        dl_op_wait(op, op, stop);
}

const DlStep play_waiting_steps[3] = {
        {"1", play_a, play_undo_a}, {"waiting", play_wait}, {"3", play_b, play_undo_b}};

void play_go_on(void)
{
        DlOperation *op = play_waiting->waits;

        play_waiting = NULL;
        dl_op_next(op);
}

DlOperation *play_start(CoreFixture *f, const DlStep *steps, unsigned n_steps, CoreResult *result,
                        uint64_t timeout_usec)
{
        DlRequest request = core_request(f, result);
        g_autoptr(GError) error = NULL;
        DlOperation *op = dl_op_new(f->core, "play", &request, steps, n_steps, timeout_usec,
                                    g_new0(Play, 1), play_free, &error);

        g_assert_no_error(error);
        return op;
}

void play_start_quiet(CoreFixture *f, const DlStep *steps, CoreResult *result)
{
        DlRequest request = core_request(f, result);

        g_assert_nonnull(dl_op_new_quiet(f->core, "play", &request, steps, 1, 0, g_new0(Play, 1),
                                         play_free, NULL));
}

void play_cancel(DlOperation *op)
{
        g_autoptr(GError) error = NULL;

        g_assert_true(dl_job_cancel(&op->job, &error));
        g_assert_no_error(error);
}

void play_begin(CoreFixture *f, gconstpointer data)
{
        play_trace = g_string_new(NULL);
        play_waiting = NULL;
        core_fixture_open(f);
        f->settings->job_linger_usec = HOUR_USEC;
        core_fixture_start(f);
        core_fixture_settle(f);
        core_fixture_forget(f);
}

void play_end(CoreFixture *f, gconstpointer data)
{
        core_fixture_close(f);
        fake_iscsi_forget();
        fake_virt_forget();
        g_string_free(play_trace, TRUE);
}

DlVm *play_make_vm(CoreFixture *f)
{
        DlVirtDomain domain = {.uuid = (char *)PLAY_VM, .name = (char *)"vm", .persistent = true};

        return dl_vm_merge(f->core, &domain);
}
