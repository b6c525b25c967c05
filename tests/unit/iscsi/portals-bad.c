/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Portals that misbehave in every way we know: each ends in its error, in its time, alone. */

#include "harness.h"

enum {
        SLACK_USEC = 700000, /* what a loaded machine may add to a deadline */
};

typedef struct Bad {
        const char *portal;
        DlErrorCode discover, inspect; /* what each ends with; -1: it goes well */
        unsigned msec;                 /* the deadlines of limits_short that it may use up */
} Bad;

static const Bad bad[] = {
        {"REFUSED", DL_ERROR_PORTAL_UNREACHABLE, DL_ERROR_PORTAL_UNREACHABLE, 0},
        {"RESET", DL_ERROR_PORTAL_UNREACHABLE, DL_ERROR_PORTAL_UNREACHABLE, 0},
        {"RESET_AFTER_LOGIN", DL_ERROR_PORTAL_UNREACHABLE, DL_ERROR_PORTAL_UNREACHABLE, 0},
        {"CLOSE", DL_ERROR_PORTAL_UNREACHABLE, DL_ERROR_PORTAL_UNREACHABLE, 0},
        {"NO_ROUTE", DL_ERROR_PORTAL_UNREACHABLE, DL_ERROR_PORTAL_UNREACHABLE, 0},
        {"BLACK_HOLE", DL_ERROR_PORTAL_UNREACHABLE, DL_ERROR_PORTAL_UNREACHABLE, 500},
        {"FULL_BACKLOG", DL_ERROR_PORTAL_UNREACHABLE, DL_ERROR_PORTAL_UNREACHABLE, 500},
        {"SILENT", DL_ERROR_TIMED_OUT, DL_ERROR_TIMED_OUT, 600},
        {"NEVER_ACCEPT", DL_ERROR_TIMED_OUT, DL_ERROR_TIMED_OUT, 600},
        {"SILENT_AFTER_LOGIN", DL_ERROR_TIMED_OUT, DL_ERROR_TIMED_OUT, 600},
        {"TRUNCATED_SILENT", DL_ERROR_TIMED_OUT, DL_ERROR_TIMED_OUT, 600},
        {"TRUNCATED_CLOSED", DL_ERROR_PROTOCOL_ERROR, DL_ERROR_PROTOCOL_ERROR, 0},
        {"GARBAGE", DL_ERROR_PROTOCOL_ERROR, DL_ERROR_PROTOCOL_ERROR, 0},
        {"HTTP", DL_ERROR_PROTOCOL_ERROR, DL_ERROR_PROTOCOL_ERROR, 0},
        {"SSH", DL_ERROR_PROTOCOL_ERROR, DL_ERROR_PROTOCOL_ERROR, 0},
        {"OVERSIZED", DL_ERROR_PROTOCOL_ERROR, DL_ERROR_PROTOCOL_ERROR, 0},
        {"ENDLESS_LOGIN", DL_ERROR_PROTOCOL_ERROR, DL_ERROR_PROTOCOL_ERROR, 600},
        {"FLOOD_NOP", DL_ERROR_PROTOCOL_ERROR, DL_ERROR_PROTOCOL_ERROR, 600},
        {"FLOOD_UNKNOWN", DL_ERROR_PROTOCOL_ERROR, DL_ERROR_PROTOCOL_ERROR, 600},
        {"FLOOD_PING", DL_ERROR_PROTOCOL_ERROR, DL_ERROR_PROTOCOL_ERROR, 600},
        {"FLOOD_DATA", DL_ERROR_PROTOCOL_ERROR, DL_ERROR_PROTOCOL_ERROR, 600},
        {"R2T", (DlErrorCode)-1, DL_ERROR_PROTOCOL_ERROR, 0},
        {"EMPTY_SENSE", (DlErrorCode)-1, DL_ERROR_PROTOCOL_ERROR, 0},
        {"REJECT", (DlErrorCode)-1, DL_ERROR_PROTOCOL_ERROR, 0},
        {"LOGOUT_REQUEST", (DlErrorCode)-1, DL_ERROR_PORTAL_UNREACHABLE, 0},
        {"STATUS_0201", DL_ERROR_AUTH_FAILED, DL_ERROR_AUTH_FAILED, 0},
        {"STATUS_0202", DL_ERROR_AUTH_FAILED, DL_ERROR_AUTH_FAILED, 0},
        {"STATUS_0203", DL_ERROR_TARGET_NOT_FOUND, DL_ERROR_TARGET_NOT_FOUND, 0},
        {"STATUS_0204", DL_ERROR_TARGET_NOT_FOUND, DL_ERROR_TARGET_NOT_FOUND, 0},
        {"STATUS_0206", DL_ERROR_LIMITS_EXCEEDED, DL_ERROR_LIMITS_EXCEEDED, 0},
        {"STATUS_0207", DL_ERROR_PROTOCOL_ERROR, DL_ERROR_PROTOCOL_ERROR, 0},
        {"STATUS_0301", DL_ERROR_PORTAL_UNREACHABLE, DL_ERROR_PORTAL_UNREACHABLE, 0},
        {"DEAD_DNS", DL_ERROR_NAME_RESOLUTION, DL_ERROR_NAME_RESOLUTION, 400},
        {"NO_SUCH_NAME", DL_ERROR_NAME_RESOLUTION, DL_ERROR_NAME_RESOLUTION, 400},
};

static void assert_bad(const Bad *b, const Outcome *outcome, DlErrorCode code)
{
        g_test_message("%s after %" G_GUINT64_FORMAT " ms", b->portal, outcome->usec / 1000);
        if (code == (DlErrorCode)-1)
                assert_good(outcome);
        else
                assert_error(outcome, code);
        g_assert_cmpuint(outcome->usec, <=, b->msec * 1000 + SLACK_USEC);
}

static void test_bad(const void *data)
{
        const Bad *b = data;
        World world;
        Outcome o[2] = {0};

        world_init(&world, &limits_short);
        discover(&world, b->portal, NULL, &o[0]);
        inspect(&world, b->portal, TARGET("fake"), NULL, NULL, 0, &o[1]);
        wait_for(&world, o, 2);
        assert_bad(b, &o[0], b->discover);
        assert_bad(b, &o[1], b->inspect);
        outcome_clear(&o[0]);
        outcome_clear(&o[1]);
        world_clear(&world);
}

/* Everything at once: a good portal ends before any deadline of a bad one has come. */
static void test_good_beside_bad(void)
{
        enum {
                N = G_N_ELEMENTS(bad)
        };
        World world;
        Outcome o[N + 1] = {0};

        world_init(&world, &limits_short);
        for (size_t i = 0; i < N; i++)
                inspect(&world, bad[i].portal, TARGET("fake"), NULL, NULL, 0, &o[i]);
        inspect(&world, "TGTD", TARGET("disks"), NULL, NULL, 0, &o[N]);
        wait_for(&world, o, N + 1);
        assert_good(&o[N]);
        for (size_t i = 0; i < N; i++) {
                assert_bad(&bad[i], &o[i], bad[i].inspect);
                if (o[i].code == DL_ERROR_TIMED_OUT || bad[i].msec == 500)
                        g_assert_cmpuint(o[N].order, <, o[i].order);
                outcome_clear(&o[i]);
        }
        outcome_clear(&o[N]);
        assert_no_sessions(&world);
        world_clear(&world);
}

/* Real answers with a few bytes changed: whatever comes of it comes in time, and nothing falls. */
static void test_mutated(void)
{
        enum {
                ROUNDS = 12,
                N = 32
        };
        unsigned good = 0, bad_ones = 0;

        for (unsigned round = 0; round < ROUNDS; round++) {
                World world;
                Outcome o[N] = {0};
                DlIscsiLimits limits = limits_short;

                limits.login_usec = limits.command_usec = 150000;
                world_init(&world, &limits);
                for (size_t i = 0; i < N; i++)
                        if (i % 4 == 0)
                                discover(&world, "MUTATE", NULL, &o[i]);
                        else
                                inspect(&world, "MUTATE", TARGET("disks"), NULL, NULL, 0, &o[i]);
                wait_for(&world, o, N);
                for (size_t i = 0; i < N; i++) {
                        *(o[i].code < 0 ? &good : &bad_ones) += 1;
                        outcome_clear(&o[i]);
                }
                world_clear(&world);
        }
        g_test_message("%u came through, %u did not", good, bad_ones);
        g_assert_cmpuint(bad_ones, >, ROUNDS * N / 4);
}

static void test_no_such_target(void)
{
        World world;
        Outcome o[2] = {0};

        world_init(&world, &limits_long);
        inspect(&world, "TGTD", TARGET("nobody"), NULL, NULL, 0, &o[0]);
        inspect(&world, "TGTD", TARGET("hidden"), NULL, NULL, 0, &o[1]);
        wait_for(&world, o, 2);
        assert_error(&o[0], DL_ERROR_TARGET_NOT_FOUND);
        assert_error(&o[1], DL_ERROR_TARGET_NOT_FOUND);
        outcome_clear(&o[0]);
        outcome_clear(&o[1]);
        world_clear(&world);
}

/* The first address of the name refuses, or swallows everything; the next one is good. */
static void test_several_addresses(void)
{
        static const char *const names[] = {"NAME_REFUSED_FIRST", "NAME_BLACK_HOLE_FIRST"};
        World world;

        for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
                Outcome o = {0};

                world_init(&world, &limits_short);
                inspect(&world, names[i], TARGET("disks"), NULL, NULL, 0, &o);
                wait_for(&world, &o, 1);
                assert_good(&o);
                g_assert_cmpuint(o.usec, <=, 500000 + SLACK_USEC);
                outcome_clear(&o);
                world_clear(&world);
        }
}

/* The target dies, or freezes, when the 20th command of the inspection comes. */
static void test_killed_in_the_middle(void)
{
        World world;
        Outcome o = {0};

        world_init(&world, &limits_short);
        inspect(&world, "FREEZES", TARGET("many"), NULL, NULL, 0, &o);
        wait_for(&world, &o, 1);
        assert_error(&o, DL_ERROR_TIMED_OUT);
        g_assert_cmpuint(o.usec, >=, 600000);
        g_assert_cmpuint(o.usec, <=, 600000 + SLACK_USEC);
        ask("resume");
        inspect(&world, "DIES", TARGET("many"), NULL, NULL, 0, &o);
        wait_for(&world, &o, 1);
        assert_error(&o, DL_ERROR_PORTAL_UNREACHABLE);
        g_assert_cmpuint(o.usec, <=, 600000 + SLACK_USEC);
        outcome_clear(&o);
        world_clear(&world);
}

void add_bad_tests(void)
{
        for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
                g_autofree char *path = g_strconcat("/iscsi/bad/", bad[i].portal, NULL);

                g_test_add_data_func(path, &bad[i], test_bad);
        }
        g_test_add_func("/iscsi/good-beside-bad", test_good_beside_bad);
        g_test_add_func("/iscsi/mutated", test_mutated);
        g_test_add_func("/iscsi/no-such-target", test_no_such_target);
        g_test_add_func("/iscsi/several-addresses", test_several_addresses);
        /* the last one that needs the second tgtd: it kills it */
        g_test_add_func("/iscsi/killed-in-the-middle", test_killed_in_the_middle);
}
