/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The life and the death of operations: cancelling, limits, the initiator going away. */

#include "harness.h"

static unsigned cancel_after(const char *portal, const char *iqn, unsigned turns)
{
        World world;
        Outcome o = {0};
        unsigned turned = 0;

        world_init(&world, &limits_short);
        if (iqn)
                inspect(&world, portal, iqn, NULL, NULL, 0, &o);
        else
                discover(&world, portal, NULL, &o);
        while (turned < turns && !o.done) {
                g_assert_cmpint(sd_event_run(world.event, 2000000), >=, 0);
                turned++;
        }
        if (!o.done) {
                dl_iscsi_cancel(g_steal_pointer(&o.operation));
                o.done = true; /* a callback now fails the test */
                turn_for(&world, 2000);
        }
        outcome_clear(&o);
        world_clear(&world);
        return turned;
}

static void test_cancel(void)
{
        unsigned k = 0;

        while (cancel_after("TGTD", TARGET("disks"), k) == k)
                k++;
        g_test_message("an inspection has %u turns", k);
        g_assert_cmpuint(k, >, 8);
        for (k = 0; cancel_after("TGTD", NULL, k) == k; k++)
                ;
        g_assert_cmpuint(k, >, 4);
        for (k = 0; k < 4; k++) {
                (void)cancel_after("TGTD_NAME", NULL, k);
                (void)cancel_after("DEAD_DNS", NULL, k);
                (void)cancel_after("BLACK_HOLE", NULL, k);
                (void)cancel_after("REDIRECT_PERMANENT", TARGET("disks"), k * 4);
        }
}

/* Cancelled while logged in: the session is gone from the target all the same. */
static void test_cancel_logs_out(void)
{
        World world;
        Outcome o = {0};

        world_init(&world, &limits_long);
        inspect(&world, "SLOW", TARGET("many"), NULL, NULL, 0, &o);
        while (ask("sessions") == 0)
                g_assert_cmpint(sd_event_run(world.event, 2000000), >=, 0);
        dl_iscsi_cancel(g_steal_pointer(&o.operation));
        o.done = true;
        assert_no_sessions(&world);
        outcome_clear(&o);
        world_clear(&world);
}

/* As many sessions of one initiator with one target as may be: none ends another. */
static void test_own_isids(void)
{
        enum {
                N = 24
        };
        World world;
        Outcome o[N] = {0};
        long most = 0;

        world_init(&world, &limits_long);
        for (size_t i = 0; i < N; i++)
                inspect(&world, "SLOW", TARGET("disks"), NULL, NULL, 0, &o[i]);
        for (bool all = false; !all;) {
                g_assert_cmpint(sd_event_run(world.event, 1000000), >=, 0);
                most = MAX(most, ask("sessions"));
                all = true;
                for (size_t i = 0; i < N; i++)
                        all &= o[i].done;
        }
        for (size_t i = 0; i < N; i++) {
                assert_good(&o[i]);
                outcome_clear(&o[i]);
        }
        g_assert_cmpint(most, >, 1);
        assert_no_sessions(&world);
        world_clear(&world);
}

static void test_sessions_max(void)
{
        enum {
                N = 12
        };
        World world;
        Outcome o[N] = {0};
        DlIscsiLimits limits = limits_short;

        limits.sessions_max = 3;
        world_init(&world, &limits);
        for (size_t i = 0; i < N; i++)
                inspect(&world, i < 6 ? "SILENT_COUNTED" : "COUNTED", TARGET("disks"), NULL, NULL,
                        0, &o[i]);
        while (ask("total SILENT_COUNTED") < 3)
                turn_for(&world, 5000);
        turn_for(&world, 100000); /* the silent ones have their slots for longer than that */
        g_assert_cmpint(ask("total SILENT_COUNTED"), ==, 3);
        g_assert_cmpint(ask("total COUNTED"), ==, 0);
        wait_for(&world, o, N);
        for (size_t i = 0; i < N; i++) {
                if (i < 6)
                        assert_error(&o[i], DL_ERROR_TIMED_OUT);
                else
                        assert_good(&o[i]); /* they waited longer than any deadline */
                outcome_clear(&o[i]);
        }
        g_assert_cmpint(ask("total SILENT_COUNTED"), ==, 6);
        g_assert_cmpint(ask("total COUNTED"), ==, 6);
        world_clear(&world);
}

static void test_free_with_operations(void)
{
        World world;
        Outcome o[3] = {0};
        DlIscsiLimits limits = limits_long;

        limits.sessions_max = 2;
        world_init(&world, &limits);
        inspect(&world, "SILENT", TARGET("disks"), NULL, NULL, 0, &o[0]);
        inspect(&world, "TGTD", TARGET("many"), NULL, NULL, 0, &o[1]);
        discover(&world, "TGTD", NULL, &o[2]);
        turn_for(&world, 5000);
        world_clear(&world);
        for (size_t i = 0; i < 3; i++) {
                if (i == 0)
                        assert_error(&o[i], DL_ERROR_CANCELLED);
                g_assert_true(o[i].done);
                outcome_clear(&o[i]);
        }
}

static void on_free_world(const DlIscsiFoundTarget *targets, size_t n_targets, const GError *error,
                          void *userdata)
{
        World *world = userdata;

        g_assert_no_error(error);
        dl_iscsi_free(g_steal_pointer(&world->iscsi));
        g_assert_cmpuint(n_targets, >, 0);
        g_assert_true(dl_iscsi_name_is_valid(targets[0].iqn));
}

static void test_free_in_callback(void)
{
        World world;
        char address[256];
        DlIscsiPortal portal = portal_of("TGTD", address);

        world_init(&world, &limits_long);
        (void)dl_iscsi_discover(world.iscsi, &portal, NULL, on_free_world, &world);
        while (world.iscsi)
                g_assert_cmpint(sd_event_run(world.event, 2000000), >=, 0);
        world_clear(&world);
}

static void test_invalid(void)
{
        World world;
        Outcome o[4] = {0};
        DlIscsiCredentials same = chap("user", "one-secret", "target-user", "one-secret"),
                           none = {.user = "user"};

        world_init(&world, &limits_long);
        g_assert_cmpint(dl_iscsi_new(world.event, world.workers, "me", &limits_long, &world.iscsi),
                        <, 0);
        inspect(&world, "TGTD", "no name", NULL, NULL, 0, &o[0]);
        discover(&world, "INVALID", NULL, &o[1]);
        inspect(&world, "TGTD", TARGET("mutual"), &same, NULL, 0, &o[2]);
        inspect(&world, "TGTD", TARGET("chap"), &none, NULL, 0, &o[3]);
        wait_for(&world, o, 4);
        for (size_t i = 0; i < 4; i++) {
                assert_error(&o[i], DL_ERROR_INVALID_ARGS);
                outcome_clear(&o[i]);
        }
        world_clear(&world);
        chap_clear(&same);
}

void add_life_tests(void)
{
        g_test_add_func("/iscsi/cancel", test_cancel);
        g_test_add_func("/iscsi/cancel/logs-out", test_cancel_logs_out);
        g_test_add_func("/iscsi/own-isids", test_own_isids);
        g_test_add_func("/iscsi/sessions-max", test_sessions_max);
        g_test_add_func("/iscsi/free/with-operations", test_free_with_operations);
        g_test_add_func("/iscsi/free/in-callback", test_free_in_callback);
        g_test_add_func("/iscsi/invalid", test_invalid);
}
