/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The initiator against real tgtd targets and against portals that misbehave in every way we know.
 * Run by run-portals.py, which makes them in namespaces of its own.
 */

#include "harness.h"

#include <string.h>

enum {
        SLACK_USEC = 700000, /* what a loaded machine may add to a deadline */
};

static DlIscsiCredentials chap(const char *user, const char *secret, const char *target_user,
                               const char *target_secret)
{
        DlIscsiCredentials c = {.user = user, .target_user = target_user};

        c.secret = dl_secret_new(secret, strlen(secret), NULL);
        if (target_secret)
                c.target_secret = dl_secret_new(target_secret, strlen(target_secret), NULL);
        return c;
}

static void chap_clear(DlIscsiCredentials *c)
{
        dl_secret_unref(c->secret);
        dl_secret_unref(c->target_secret);
}

/* ---- what is to go well ------------------------------------------------------------------- */

static bool has_target(const Outcome *outcome, const char *line)
{
        return g_strv_contains((const char *const *)outcome->targets, line);
}

static void test_discover(void)
{
        World world;
        Outcome o[4] = {0};

        world_init(&world, &limits_long);
        discover(&world, "TGTD", NULL, &o[0]);
        discover(&world, "TGTD6", NULL, &o[1]);
        discover(&world, "TGTD6_BRACKETS", NULL, &o[2]);
        discover(&world, "TGTD_NAME", NULL, &o[3]);
        wait_for(&world, o, 4);
        for (size_t i = 0; i < 4; i++) {
                assert_good(&o[i]);
                g_assert_cmpuint(g_strv_length(o[i].targets), ==, (guint)ask("targets"));
        }
        g_assert_true(has_target(&o[0], TARGET("disks") " 127.0.0.1:3260,1"));
        g_assert_true(has_target(&o[1], TARGET("disks") " ::1:3260,1"));
        g_assert_true(has_target(&o[2], TARGET("disks") " ::1:3260,1"));
        g_assert_true(has_target(&o[3], TARGET("disks") " 127.0.0.1:3260,1"));
        assert_no_sessions(&world);
        for (size_t i = 0; i < 4; i++)
                outcome_clear(&o[i]);
        world_clear(&world);
}

/* A SendTargets answer with all that may be wrong in one, and lists that are too long. */
static void test_discover_odd(void)
{
        World world;
        Outcome o[3] = {0};
        char address[256];
        DlIscsiPortal portal = portal_of("ODD_TARGETS", address);
        g_autofree char *own = g_strdup_printf(TARGET("a") " %s:%u,0", address, portal.port);

        world_init(&world, &limits_long);
        discover(&world, "ODD_TARGETS", NULL, &o[0]);
        discover(&world, "MANY_TARGETS", NULL, &o[1]);
        discover(&world, "FLOOD_TEXT", NULL, &o[2]);
        wait_for(&world, o, 3);
        assert_good(&o[0]);
        g_assert_cmpuint(g_strv_length(o[0].targets), ==, 2);
        g_assert_cmpstr(o[0].targets[0], ==,
                        TARGET("b") " 2001:db8::1:3261,2 192.0.2.7:3260,1 "
                                    "storage.example.org:3260,3");
        g_assert_cmpstr(o[0].targets[1], ==, own);
        assert_error(&o[1], DL_ERROR_LIMITS_EXCEEDED);
        assert_error(&o[2], DL_ERROR_LIMITS_EXCEEDED);
        for (size_t i = 0; i < 3; i++)
                outcome_clear(&o[i]);
        world_clear(&world);
}

static void test_inspect(void)
{
        static const uint64_t wanted[] = {300, 7, 1, 7};
        World world;
        Outcome o[2] = {0};
        const DlIscsiLun *lun;

        world_init(&world, &limits_long);
        inspect(&world, "TGTD", TARGET("disks"), NULL, NULL, 0, &o[0]);
        inspect(&world, "TGTD6", TARGET("disks"), NULL, wanted, G_N_ELEMENTS(wanted), &o[1]);
        wait_for(&world, o, 2);
        assert_good(&o[0]);
        g_assert_cmpuint(o[0].tpgt, ==, 1);
        g_assert_cmpuint(o[0].n_luns, ==, 5); /* with tgtd's controller, LUN 0 */
        g_assert_cmpuint(lun_of(&o[0], 0)->device_type, ==, 0x0c);
        g_assert_null(lun_of(&o[0], 0)->error);
        for (size_t i = 1; i < 5; i++) {
                g_assert_no_error(o[0].luns[i].error);
                g_assert_true(o[0].luns[i].ready);
                g_assert_cmpuint(o[0].luns[i].device_type, ==, 0);
                g_assert_cmpuint(strlen(o[0].luns[i].fingerprint), ==, 64);
        }
        lun = lun_of(&o[0], 1);
        g_assert_cmpstr(lun->guid, ==, "360014050000000100000000000000001");
        g_assert_cmpstr(lun->vendor, ==, "ACME");
        g_assert_cmpstr(lun->product, ==, "Disk");
        g_assert_cmpstr(lun->revision, ==, "1.0");
        g_assert_cmpstr(lun->serial, ==, "SN-1");
        g_assert_cmpuint(lun->capacity, ==, 4 << 20);
        g_assert_cmpuint(lun->logical_block_size, ==, 512);
        g_assert_false(lun->write_protected);
        lun = lun_of(&o[0], 2);
        g_assert_cmpuint(lun->capacity, ==, 8 << 20);
        g_assert_cmpuint(lun->logical_block_size, ==, 4096);
        g_assert_cmpuint(lun->physical_block_size, >=, 4096);
        g_assert_true(lun_of(&o[0], 3)->write_protected);
        g_assert_cmpstr(lun_of(&o[0], 300)->guid, ==, "36001405000000010000000000000012c");

        assert_good(&o[1]);
        g_assert_cmpuint(o[1].n_luns, ==, 3);
        g_assert_error(lun_of(&o[1], 7)->error, DL_ERROR, DL_ERROR_LUN_NOT_VISIBLE);
        g_assert_cmpstr(lun_of(&o[1], 1)->guid, ==, lun_of(&o[0], 1)->guid);
        g_assert_cmpstr(lun_of(&o[1], 1)->fingerprint, ==, lun_of(&o[0], 1)->fingerprint);
        g_assert_cmpstr(lun_of(&o[1], 300)->guid, ==, lun_of(&o[0], 300)->guid);
        assert_no_sessions(&world);
        outcome_clear(&o[0]);
        outcome_clear(&o[1]);
        world_clear(&world);
}

static void test_inspect_many(void)
{
        World world;
        Outcome o = {0};
        DlIscsiLimits limits = limits_long;

        world_init(&world, &limits);
        inspect(&world, "TGTD", TARGET("many"), NULL, NULL, 0, &o);
        wait_for(&world, &o, 1);
        assert_good(&o);
        g_assert_cmpuint(o.n_luns, ==, 301);
        for (size_t i = 1; i <= 300; i++) {
                g_autofree char *guid = g_strdup_printf("360014050000000200000000000000%03zx", i);

                g_assert_no_error(lun_of(&o, i)->error);
                g_assert_cmpstr(lun_of(&o, i)->guid, ==, guid);
        }
        outcome_clear(&o);
        world_clear(&world);

        limits.luns_max = 300;
        world_init(&world, &limits);
        inspect(&world, "TGTD", TARGET("many"), NULL, NULL, 0, &o);
        wait_for(&world, &o, 1);
        assert_error(&o, DL_ERROR_LIMITS_EXCEEDED);
        outcome_clear(&o);
        world_clear(&world);
}

/* Number 2 of 4 does not answer; the others are none the worse for it. */
static void assert_deaf(const Outcome *o)
{
        g_assert_cmpuint(o->n_luns, ==, 4);
        for (size_t i = 0; i < 4; i++)
                if (i == 2) {
                        g_assert_error(o->luns[i].error, DL_ERROR, DL_ERROR_TIMED_OUT);
                } else {
                        g_assert_no_error(o->luns[i].error);
                        g_assert_true(o->luns[i].ready);
                        g_assert_cmpuint(o->luns[i].capacity, ==, 1 << 20);
                }
}

/* Targets that are merely strange */
static void test_inspect_odd(void)
{
        World world;
        Outcome o[6] = {0};

        world_init(&world, &limits_short);
        inspect(&world, "UNIT_ATTENTIONS", TARGET("fake"), NULL, NULL, 0, &o[0]);
        inspect(&world, "UNIT_ATTENTIONS_WITHOUT_END", TARGET("fake"), NULL, NULL, 0, &o[1]);
        inspect(&world, "DEAF_LUN", TARGET("fake"), NULL, NULL, 0, &o[2]);
        inspect(&world, "NO_CAPACITY16", TARGET("fake"), NULL, NULL, 0, &o[3]);
        inspect(&world, "NOT_READY", TARGET("fake"), NULL, NULL, 0, &o[4]);
        inspect(&world, "DEAF_LATE", TARGET("fake"), NULL, NULL, 0, &o[5]);
        wait_for(&world, o, 6);
        for (size_t i = 0; i < 6; i++)
                assert_good(&o[i]);
        g_assert_cmpuint(o[0].tpgt, ==, 7);
        g_assert_no_error(o[0].luns[0].error);
        g_assert_true(o[0].luns[0].ready);
        g_assert_cmpuint(o[0].luns[0].capacity, ==, 1 << 20);
        g_assert_cmpstr(o[0].luns[0].guid, ==, "3600a0b8000112233445566778899aabb");
        g_assert_cmpstr(o[0].luns[0].serial, ==, "SERIAL01");
        g_assert_false(o[1].luns[0].ready);
        g_assert_cmpuint(o[3].luns[0].capacity, ==, 1 << 20);
        g_assert_false(o[4].luns[0].ready);
        g_assert_no_error(o[4].luns[0].error);
        g_assert_nonnull(o[4].luns[0].guid);
        assert_deaf(&o[2]);
        /* the others were done long before: the target's answer to a ping saves them */
        assert_deaf(&o[5]);
        for (size_t i = 0; i < 6; i++)
                outcome_clear(&o[i]);
        world_clear(&world);
}

/* ---- who is who --------------------------------------------------------------------------- */

static void test_chap(void)
{
        World world;
        Outcome o[7] = {0};
        DlIscsiCredentials good = chap("user", "secret-for-user", NULL, NULL),
                           wrong = chap("user", "not-the-secret", NULL, NULL),
                           mutual = chap("user", "secret-for-user", "target-user", "target-secret"),
                           untrue = chap("user", "secret-for-user", "target-user", "other-secret");

        world_init(&world, &limits_long);
        inspect(&world, "TGTD", TARGET("chap"), &good, NULL, 0, &o[0]);
        inspect(&world, "TGTD", TARGET("chap"), &wrong, NULL, 0, &o[1]);
        inspect(&world, "TGTD", TARGET("chap"), NULL, NULL, 0, &o[2]);
        inspect(&world, "TGTD", TARGET("mutual"), &mutual, NULL, 0, &o[3]);
        inspect(&world, "TGTD", TARGET("mutual"), &untrue, NULL, 0, &o[4]);
        inspect(&world, "TGTD", TARGET("chap"), &mutual, NULL, 0, &o[5]);
        inspect(&world, "TGTD", TARGET("disks"), &good, NULL, 0, &o[6]); /* asks for none */
        wait_for(&world, o, 7);
        assert_good(&o[0]);
        assert_error(&o[1], DL_ERROR_AUTH_FAILED);
        assert_error(&o[2], DL_ERROR_AUTH_FAILED);
        assert_good(&o[3]);
        g_assert_true(lun_of(&o[3], 1)->ready);
        assert_error(&o[4], DL_ERROR_AUTH_FAILED);
        assert_error(&o[5], DL_ERROR_AUTH_FAILED);
        assert_good(&o[6]);
        for (size_t i = 0; i < 7; i++) {
                g_assert_true(!o[i].message || !strstr(o[i].message, "secret"));
                outcome_clear(&o[i]);
        }
        assert_no_sessions(&world);
        world_clear(&world);
        chap_clear(&good);
        chap_clear(&wrong);
        chap_clear(&mutual);
        chap_clear(&untrue);
}

/* Targets that do not know the secret and claim that all is well */
static void test_chap_thief(void)
{
        static const char *const thieves[] = {"THIEF_SKIP", "THIEF_ZEROS", "THIEF_WRONG"};
        World world;
        DlIscsiCredentials c = chap("user", "secret-for-user", "target-user", "target-secret");

        world_init(&world, &limits_short);
        for (size_t i = 0; i < G_N_ELEMENTS(thieves); i++) {
                Outcome o = {0};

                inspect(&world, thieves[i], TARGET("fake"), &c, NULL, 0, &o);
                wait_for(&world, &o, 1);
                assert_error(&o, DL_ERROR_AUTH_FAILED);
                outcome_clear(&o);
        }
        world_clear(&world);
        chap_clear(&c);
}

static void test_redirect(void)
{
        World world;
        Outcome o[4] = {0};

        world_init(&world, &limits_long);
        inspect(&world, "TGTD", TARGET("moved"), NULL, NULL, 0, &o[0]);
        inspect(&world, "REDIRECT_PERMANENT", TARGET("disks"), NULL, NULL, 0, &o[1]);
        inspect(&world, "REDIRECT_CIRCLE", TARGET("fake"), NULL, NULL, 0, &o[2]);
        inspect(&world, "REDIRECT_NOWHERE", TARGET("fake"), NULL, NULL, 0, &o[3]);
        wait_for(&world, o, 4);
        assert_good(&o[0]);
        g_assert_cmpuint(lun_of(&o[0], 5)->capacity, ==, 1 << 20);
        assert_good(&o[1]);
        g_assert_cmpuint(o[1].n_luns, ==, 5);
        assert_error(&o[2], DL_ERROR_PROTOCOL_ERROR);
        g_assert_cmpint(ask("total REDIRECT_CIRCLE"), ==, 5);
        assert_error(&o[3], DL_ERROR_PROTOCOL_ERROR);
        for (size_t i = 0; i < 4; i++)
                outcome_clear(&o[i]);
        world_clear(&world);
}

/* ---- portals that misbehave --------------------------------------------------------------- */

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

/* ---- life and death of operations --------------------------------------------------------- */

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

int main(int argc, char *argv[])
{
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/iscsi/discover", test_discover);
        g_test_add_func("/iscsi/discover/odd", test_discover_odd);
        g_test_add_func("/iscsi/inspect", test_inspect);
        g_test_add_func("/iscsi/inspect/many", test_inspect_many);
        g_test_add_func("/iscsi/inspect/odd", test_inspect_odd);
        g_test_add_func("/iscsi/chap", test_chap);
        g_test_add_func("/iscsi/chap/thief", test_chap_thief);
        g_test_add_func("/iscsi/redirect", test_redirect);
        for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
                g_autofree char *path = g_strconcat("/iscsi/bad/", bad[i].portal, NULL);

                g_test_add_data_func(path, &bad[i], test_bad);
        }
        g_test_add_func("/iscsi/good-beside-bad", test_good_beside_bad);
        g_test_add_func("/iscsi/mutated", test_mutated);
        g_test_add_func("/iscsi/no-such-target", test_no_such_target);
        g_test_add_func("/iscsi/several-addresses", test_several_addresses);
        g_test_add_func("/iscsi/cancel", test_cancel);
        g_test_add_func("/iscsi/cancel/logs-out", test_cancel_logs_out);
        g_test_add_func("/iscsi/own-isids", test_own_isids);
        g_test_add_func("/iscsi/sessions-max", test_sessions_max);
        g_test_add_func("/iscsi/free/with-operations", test_free_with_operations);
        g_test_add_func("/iscsi/free/in-callback", test_free_in_callback);
        g_test_add_func("/iscsi/invalid", test_invalid);
        /* after the redirects: it kills the second tgtd */
        g_test_add_func("/iscsi/killed-in-the-middle", test_killed_in_the_middle);
        return g_test_run();
}
