/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Targets by sessions of the kernel: the service dies, at any turn of its loop, and the next one
 * makes it all or nothing. One thread.
 */

#include "host/kernel-sessions.h"
#include "kernel-world.h"

#define FOREIGN_IQN "iqn.2026-11.org.example:of-others"

/* The next one, of the same host. */
static void die_and_start(KernelWorld *w)
{
        core_fixture_stop(&w->core);
        core_fixture_start_early(&w->core);
        fake_kernel_start(&w->core);
        CORE_WAIT(&w->core, w->core.ready);
        w->target = DL_LOOKUP_TARGET(w->core.core, IQN);
        w->result = (CoreResult){};
}

/* multipath and udev do their part as soon as they can. */
static void turn(KernelWorld *w)
{
        if (fake_kernel_n_disks() == 2 && !w->mapped) {
                w->mapped = true;
                fake_kernel_map();
                kernel_world_show(w, true, "dm-0");
        }
        g_assert_cmpint(sd_event_run(w->core.event, 20000), >=, 0);
}

/* Whether it was over before its so-many-th turn. */
static bool die_after(KernelWorld *w, unsigned n_turns)
{
        bool over = false;

        for (unsigned i = 0; i < n_turns && !over; i++) {
                turn(w);
                over = w->result.n_done > 0;
        }
        if (over)
                core_result_clear(&w->result);
        die_and_start(w);
        return over;
}

static bool is_as_before(KernelWorld *w)
{
        return fake_kernel_n_sessions() == 1 && fake_kernel_n_disks() == 0 &&
               !fake_kernel_has_map() &&
               (!w->target || (w->target->state == DL_TARGET_DISCONNECTED && !w->target->pinned));
}

static bool is_pinned(KernelWorld *w)
{
        return fake_kernel_n_sessions() == 3 && w->target && w->target->pinned &&
               w->target->by_kernel && w->target->state == DL_TARGET_CONNECTED;
}

static void assert_settled(KernelWorld *w, bool pinned)
{
        CORE_WAIT(&w->core, pinned ? is_pinned(w) : is_as_before(w));
        core_fixture_settle(&w->core);
        g_assert_cmpuint(g_hash_table_size(w->core.core->intents), ==, 0);
        g_assert_null(DL_LOOKUP_TARGET(w->core.core, FOREIGN_IQN));
}

typedef void (*Begin)(KernelWorld *w);

/* Every turn of the loop. A promise that was kept in the store holds: what is pinned comes back. */
static void walk(Begin operation, bool pin, bool was_connected)
{
        bool over = false;
        unsigned n_turns, n_kept = 0;

        for (n_turns = 0; !over; n_turns++) {
                KernelWorld w = {};

                kernel_world_begin(&w, GINT_TO_POINTER(2));
                fake_kernel_add_session("default", FOREIGN_IQN, "192.0.2.9");
                w.spec.pin = pin;
                if (was_connected) {
                        kernel_world_connect(&w);
                        kernel_world_come(&w);
                }
                operation(&w);
                over = die_after(&w, n_turns);
                n_kept += w.target && w.target->pinned;
                assert_settled(&w, w.target && w.target->pinned);
                kernel_world_end(&w, NULL);
        }
        g_test_message("%u turns, after %u of them it was pinned", n_turns, n_kept);
        g_assert_cmpuint(n_turns, >, 5);
        g_assert_cmpuint(n_kept > 0, ==, pin);
        g_assert_cmpuint(n_kept, <, n_turns);
}

static void begin_unmanage(KernelWorld *w)
{
        DlRequest request = core_request(&w->core, &w->result);

        g_assert_nonnull(dl_flow_unmanage(w->target, &request, NULL));
}

static void ask_in_vain(KernelWorld *w)
{
        w->spec.n_paths = 3; /* when all that can be is there */
        kernel_world_connect(w);
}

static void test_killed_connect(void)
{
        walk(kernel_world_connect, false, false);
}

static void test_killed_connect_pinned(void)
{
        walk(kernel_world_connect, true, false);
}

static void test_killed_undo(void)
{
        walk(ask_in_vain, false, false);
}

static void test_killed_unmanage(void)
{
        walk(begin_unmanage, true, true);
}

/* What open-iscsi's daemon was asked for comes although nobody waits for it any more. */
static void expect_late_login_to_end(KernelWorld *w, bool cancelled)
{
        fake_helper_does(DL_HELPER_LOGIN, FAKE_ANSWER_IS_SILENT, 0);
        kernel_world_connect(w);
        CORE_WAIT(&w->core, fake_helper_n_asked(DL_HELPER_LOGIN) == 1);
        if (cancelled) {
                g_autoptr(GPtrArray) jobs = dl_core_list(w->core.core, DL_KIND_JOB);

                g_assert_true(dl_job_cancel(jobs->pdata[0], NULL));
                core_expect(&w->result, DL_ERROR_CANCELLED);
        } else {
                die_and_start(w);
        }
        fake_kernel_add_session(DL_KERNEL_IFACE, IQN, "192.0.2.1");
        CORE_WAIT(&w->core, fake_kernel_n_sessions() == 0);
}

static void test_late_login_of_cancelled(KernelWorld *w, gconstpointer data)
{
        expect_late_login_to_end(w, true);
}

static void test_late_login_of_killed(KernelWorld *w, gconstpointer data)
{
        expect_late_login_to_end(w, false);
}

int main(int argc, char **argv)
{
        g_test_init(&argc, &argv, NULL);
#define ADD(name, n_portals, test)                                                                 \
        g_test_add("/kernel-killed/" name, KernelWorld, GINT_TO_POINTER(n_portals),                \
                   kernel_world_begin, test, kernel_world_end)
        ADD("late-login-of-cancelled", 1, test_late_login_of_cancelled);
        ADD("late-login-of-killed", 1, test_late_login_of_killed);
        g_test_add_func("/kernel-killed/killed", test_killed_connect);
        g_test_add_func("/kernel-killed/killed-pinned", test_killed_connect_pinned);
        g_test_add_func("/kernel-killed/killed-undo", test_killed_undo);
        g_test_add_func("/kernel-killed/killed-unmanage", test_killed_unmanage);
        return g_test_run();
}
