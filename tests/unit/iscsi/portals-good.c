/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is to go well: discovery, inspection, CHAP, redirects; with targets that are merely odd. */

#include "harness.h"

#include <string.h>

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
        static const uint64_t wanted[] = {300, 7, 1, 3, 7};
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
        g_assert_false(lun->told_protection);
        lun = lun_of(&o[0], 2);
        g_assert_cmpuint(lun->capacity, ==, 8 << 20);
        g_assert_cmpuint(lun->logical_block_size, ==, 4096);
        g_assert_cmpuint(lun->physical_block_size, >=, 4096);
        g_assert_cmpstr(lun_of(&o[0], 300)->guid, ==, "36001405000000010000000000000012c");

        assert_good(&o[1]);
        g_assert_cmpuint(o[1].n_luns, ==, 4);
        g_assert_true(lun_of(&o[1], 1)->told_protection && lun_of(&o[1], 1)->ready);
        g_assert_false(lun_of(&o[1], 1)->write_protected);
        g_assert_true(lun_of(&o[1], 3)->write_protected);
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

typedef struct Resized {
        unsigned n;
        char *iqn;
        uint64_t lun;
} Resized;

static void on_resized(const char *iqn, uint64_t lun, void *userdata)
{
        Resized *resized = userdata;

        resized->n++;
        g_free(resized->iqn);
        resized->iqn = g_strdup(iqn);
        resized->lun = lun;
}

/* CAPACITY DATA HAS CHANGED, to whichever command, is told, and the command is sent again; other
 * unit attentions are no news of a size. */
static void test_resized(void)
{
        const DlIscsiExtent extent = {.lun = 0, .block_size = 512, .size = 512};
        g_autofree Resized *resized = g_new0(Resized, 1);
        World world;
        Outcome o[2] = {0}, other = {0};

        world_init(&world, &limits_short);
        inspect(&world, "RESIZED", TARGET("fake"), NULL, NULL, 0, &o[0]); /* nobody wants to know */
        wait_for(&world, &o[0], 1);
        assert_good(&o[0]);
        outcome_clear(&o[0]);

        dl_iscsi_watch_sizes(world.iscsi, on_resized, resized);
        inspect(&world, "UNIT_ATTENTIONS", TARGET("fake"), NULL, NULL, 0, &other);
        wait_for(&world, &other, 1);
        g_assert_cmpuint(resized->n, ==, 0);
        inspect(&world, "RESIZED_TOO", TARGET("fake"), NULL, NULL, 0, &o[0]);
        wait_for(&world, &o[0], 1);
        assert_good(&o[0]);
        g_assert_cmpuint(o[0].luns[0].capacity, ==, 1 << 20);
        g_assert_cmpuint(resized->n, >=, 2); /* TEST UNIT READY, READ CAPACITY */
        g_assert_cmpstr(resized->iqn, ==, TARGET("fake"));
        g_assert_cmpuint(resized->lun, ==, o[0].luns[0].lun);

        unsigned n = resized->n;
        read_luns(&world, "RESIZED_TOO", TARGET("fake"), &extent, 1, &o[1]);
        wait_for(&world, &o[1], 1);
        g_assert_cmpuint(resized->n, ==, n + 1);
        outcome_clear(&o[0]);
        outcome_clear(&o[1]);
        outcome_clear(&other);
        world_clear(&world);
        g_free(resized->iqn);
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

/* Pieces of several LUNs in one session; one that cannot be read harms none. */
static void test_read(void)
{
        static const DlIscsiExtent extents[] = {
                {1, 512, 0, 256 * 1024}, {2, 4096, (8 << 20) - 128 * 1024, 128 * 1024},
                {300, 512, 0, 512},      {300, 512, 1 << 20, 512}, /* beyond its end */
                {7, 512, 0, 512},                                  /* there is none */
                {1, 512, 100, 512},                                /* no whole blocks */
                {1, 0, 0, 512},          {1, 512, 0, DL_ISCSI_EXTENT_MAX + 512},
                {0x4000, 512, 0, 512},   {1, 512, 0, 0},
        };
        static const int codes[] = {-1,
                                    -1,
                                    -1,
                                    DL_ERROR_PROTOCOL_ERROR,
                                    DL_ERROR_PROTOCOL_ERROR,
                                    DL_ERROR_INVALID_ARGS,
                                    DL_ERROR_INVALID_ARGS,
                                    DL_ERROR_INVALID_ARGS,
                                    DL_ERROR_LIMITS_EXCEEDED,
                                    -1};
        World world;
        Outcome o[3] = {0};

        world_init(&world, &limits_short);
        read_luns(&world, "TGTD", TARGET("disks"), extents, G_N_ELEMENTS(extents), &o[0]);
        read_luns(&world, "TGTD", TARGET("disks"), NULL, 0, &o[1]);
        read_luns(&world, "SILENT", TARGET("disks"), extents, 1, &o[2]);
        wait_for(&world, o, 3);
        assert_good(&o[0]);
        g_assert_cmpuint(o[0].n_pieces, ==, G_N_ELEMENTS(extents));
        for (size_t i = 0; i < G_N_ELEMENTS(extents); i++)
                g_assert_cmpint(o[0].piece_codes[i], ==, codes[i]);

        const char *data = g_bytes_get_data(o[0].pieces[0], NULL);
        g_assert_cmpuint(g_bytes_get_size(o[0].pieces[0]), ==, 256 * 1024);
        g_assert_cmpmem(data + 64 * 1024 - 3, 6, "across", 6);
        data = g_bytes_get_data(o[0].pieces[1], NULL);
        g_assert_cmpmem(data + 128 * 1024 - 4, 4, "tail", 4);
        g_assert_cmpmem(g_bytes_get_data(o[0].pieces[2], NULL), 4, "flat", 4);
        assert_good(&o[1]);
        assert_error(&o[2], DL_ERROR_TIMED_OUT);
        assert_no_sessions(&world);
        for (size_t i = 0; i < 3; i++)
                outcome_clear(&o[i]);
        world_clear(&world);
}

void add_good_tests(void)
{
        g_test_add_func("/iscsi/discover", test_discover);
        g_test_add_func("/iscsi/discover/odd", test_discover_odd);
        g_test_add_func("/iscsi/inspect", test_inspect);
        g_test_add_func("/iscsi/inspect/many", test_inspect_many);
        g_test_add_func("/iscsi/inspect/odd", test_inspect_odd);
        g_test_add_func("/iscsi/resized", test_resized);
        g_test_add_func("/iscsi/read", test_read);
        g_test_add_func("/iscsi/chap", test_chap);
        g_test_add_func("/iscsi/chap/thief", test_chap_thief);
        g_test_add_func("/iscsi/redirect", test_redirect);
}
