/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What survives: rows in the real store, files of secrets, the journal; and what becomes of rows
 * that cannot be understood. One thread.
 */

#include "core-fixture.h"
#include "core/records/journal.h"
#include "fakes.h"
#include "util/uuid.h"

#include <glib/gstdio.h>
#include <string.h>

#define IQN  "iqn.2026-11.org.example:t"
#define GUID "3600000000000000000000000000000aa"
#define UUID "6695eb01-f6a4-8304-79aa-97f2502e193f"

static const FakeLun luns[] = {
        {.number = 300, .guid = GUID, .serial = "s", .fingerprint = "f", .capacity = 1ULL << 44}};

static void begin(CoreFixture *f, gconstpointer data)
{
        core_fixture_open(f);
        core_fixture_start(f);
}

static void end(CoreFixture *f, gconstpointer data)
{
        core_fixture_close(f);
        fake_iscsi_forget();
        fake_virt_forget();
}

static void again(CoreFixture *f)
{
        CORE_WAIT(f, f->core->n_writes == 0);
        core_fixture_stop(f);
        core_fixture_start(f);
}

/* ---- there and back ------------------------------------------------------------------------ */

static void test_target(CoreFixture *f, gconstpointer data)
{
        DlTarget *target = dl_target_ensure(f->core, IQN, NULL);

        dl_target_add_portal(target, "192.0.2.1", 3260, 7);
        dl_target_add_portal(target, "2001:db8::1", 860, 0);
        target->pinned = true;
        dl_persist_target(target);
        again(f);

        target = DL_LOOKUP_TARGET(f->core, IQN);
        g_assert_cmpuint(target->portals->len, ==, 2);
        DlPortal *portal = target->portals->pdata[0];
        g_assert_cmpstr(portal->address, ==, "192.0.2.1");
        g_assert_cmpuint(portal->tpgt, ==, 7);
        portal = target->portals->pdata[1];
        g_assert_cmpstr(portal->address, ==, "2001:db8::1");
        g_assert_cmpuint(portal->port, ==, 860);
        g_assert_true(target->pinned);
        g_assert_true(dl_target_is_managed(target));
        g_assert_false(dl_target_has_credentials(target));

        dl_target_remove(target);
        again(f);
        g_assert_null(DL_LOOKUP_TARGET(f->core, IQN));
}

static void test_lun(CoreFixture *f, gconstpointer data)
{
        DlTarget *target = dl_target_ensure(f->core, IQN, NULL);
        CoreResult result;
        DlRequest request = core_request(f, &result);

        fake_portal_shows("192.0.2.1", luns, 1);
        dl_target_add_portal(target, "192.0.2.1", 3260, 1);
        dl_flow_rescan(target, &request, NULL);
        core_expect(&result, -1);
        g_autofree char *before = NULL;
        CORE_WAIT(f, f->core->n_writes == 0);
        before = core_fixture_row(f, "lun/" GUID);
        again(f);

        DlLun *lun = DL_LOOKUP_LUN(f->core, GUID);
        g_assert_cmpint(lun->status, ==, DL_LUN_UNKNOWN); /* until it is seen */
        g_assert_cmpuint(lun->capacity, ==, 1ULL << 44);
        g_assert_cmpstr(lun->vendor, ==, "VENDOR");
        g_assert_cmpuint(lun->physical_block_size, ==, 4096);
        g_assert_cmpuint(lun->paths->len, ==, 1);
        DlPath *path = lun->paths->pdata[0];
        g_assert_cmpstr(path->iqn, ==, IQN);
        g_assert_cmpuint(path->lun, ==, 300);
        g_assert_cmpuint(path->tpgt, ==, 1);
        g_assert_cmpstr(path->serial, ==, "s");
        g_assert_cmpstr(path->fingerprint, ==, "f");
        g_assert_cmpstr(dl_path_state(path), ==, "unknown");

        /* the first look finds it as it was, and writes nothing */
        request = core_request(f, &result);
        dl_flow_rescan(DL_LOOKUP_TARGET(f->core, IQN), &request, NULL);
        CORE_WAIT(f, result.n_done);
        core_expect(&result, -1);
        g_assert_cmpint(lun->status, ==, DL_LUN_FREE);
        g_assert_cmpstr(lun->stored, ==, before);
        g_assert_cmpuint(f->core->n_writes, ==, 0);

        dl_target_remove(DL_LOOKUP_TARGET(f->core, IQN));
        again(f);
        g_assert_null(DL_LOOKUP_LUN(f->core, GUID));
}

/* More rows than one transaction takes, and some of them changed again before they are written. */
static void test_many_luns(CoreFixture *f, gconstpointer data)
{
        for (unsigned i = 0; i < 1000; i++) {
                g_autofree char *guid = g_strdup_printf("3600%028x", i);
                DlLun *lun = dl_lun_new(f->core, guid);
                DlPath *path = g_new(DlPath, 1);

                *path = (DlPath){.iqn = g_strdup(IQN),
                                 .address = g_strdup("192.0.2.1"),
                                 .serial = g_strdup(""),
                                 .last_error.code = -1};
                dl_lun_add_path(lun, path);
                dl_object_publish(&lun->object);
                lun->capacity = 1;
                dl_persist_lun(lun);
                lun->capacity = i;
                dl_persist_lun(lun);
                if (i % 10 == 0) {
                        dl_persist_remove_lun(lun);
                        dl_object_unpublish(&lun->object);
                        dl_lun_free(lun);
                }
        }
        g_assert_cmpuint(f->core->n_writes, ==, 1000);
        g_assert_false(dl_core_is_idle(f->core));
        core_fixture_stop(f); /* what is to be written is not lost */
        core_fixture_start(f);
        g_autoptr(GPtrArray) all = dl_core_list(f->core, DL_KIND_LUN);
        g_assert_cmpuint(all->len, ==, 900);
        for (unsigned i = 0; i < all->len; i++) {
                const DlLun *lun = all->pdata[i];

                g_assert_cmpuint(lun->capacity, ==, g_ascii_strtoull(lun->object.id + 4, NULL, 16));
        }
}

static void create_vdisk(CoreFixture *f, const char *alias, bool created)
{
        CoreResult result;
        DlRequest request = core_request(f, &result);

        if (!DL_LOOKUP_LUN(f->core, GUID))
                dl_object_publish(&dl_lun_new(f->core, GUID)->object);
        g_assert_nonnull(
                dl_flow_create_vdisk(f->core, &request, GUID, alias, "über \"alles\"\n", NULL));
        CORE_WAIT(f, result.n_done);
        g_assert_cmpint(result.created, ==, created);
        core_expect(&result, -1);
}

static void test_vdisk(CoreFixture *f, gconstpointer data)
{
        CoreResult result;
        DlRequest request;
        DlVDisk *vdisk;

        create_vdisk(f, NULL, true);
        create_vdisk(f, "ignored", false);
        again(f);
        vdisk = dl_vdisk_of_guid(f->core, GUID);
        g_assert_cmpstr(vdisk->guid, ==, GUID);
        g_assert_cmpstr(vdisk->alias, ==, GUID);
        g_assert_cmpstr(vdisk->description, ==, "über \"alles\"\n");
        g_assert_cmpuint(vdisk->images->len, ==, 1);
        g_assert_cmpstr(((DlImage *)vdisk->images->pdata[0])->uid, ==, vdisk->object.id);
        g_assert_cmpuint(((DlImage *)vdisk->images->pdata[0])->time_usec, >, 0);

        for (int i = 0; i < 2; i++) { /* twice: the revision is followed */
                request = core_request(f, &result);
                dl_flow_vdisk_update(vdisk, &request, i ? "two" : "one", NULL, NULL);
                core_expect(&result, -1);
        }
        again(f);
        vdisk = dl_vdisk_of_guid(f->core, GUID);
        g_assert_cmpstr(vdisk->alias, ==, "two");
        g_assert_cmpstr(vdisk->description, ==, "über \"alles\"\n");

        /* somebody else wrote its row: not overwritten */
        g_autofree char *key = dl_persist_vdisk_key(vdisk->object.id);
        core_fixture_put(f, key, "{\"guid\":\"" GUID "\"}");
        request = core_request(f, &result);
        dl_flow_vdisk_update(vdisk, &request, "three", NULL, NULL);
        core_expect(&result, DL_ERROR_BUSY);
        g_assert_cmpstr(vdisk->alias, ==, "two");

        again(f);
        request = core_request(f, &result);
        dl_flow_vdisk_delete(dl_vdisk_of_guid(f->core, GUID), &request, NULL);
        core_expect(&result, -1);
        again(f);
        g_assert_null(dl_vdisk_of_guid(f->core, GUID));
}

/* Two who want the same at once get the same. */
static void test_vdisk_race(CoreFixture *f, gconstpointer data)
{
        CoreResult results[2];
        DlRequest requests[2];

        dl_object_publish(&dl_lun_new(f->core, GUID)->object);
        for (int i = 0; i < 2; i++) {
                requests[i] = core_request(f, &results[i]);
                dl_flow_create_vdisk(f->core, &requests[i], GUID, NULL, NULL, NULL);
        }
        CORE_WAIT(f, results[0].n_done && results[1].n_done);
        g_assert_true(results[0].created);
        g_assert_false(results[1].created);
        g_assert_cmpstr(results[0].id, ==, results[1].id);
        for (int i = 0; i < 2; i++)
                core_expect(&results[i], -1);
        g_assert_cmpuint(core_fixture_saw(f, "added vdisk"), ==, 1);
}

/* ---- secrets ------------------------------------------------------------------------------- */

static unsigned n_secret_files(CoreFixture *f)
{
        g_autofree char *path = g_build_filename(f->directory, "secrets", NULL);
        g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
        const char *name;
        unsigned n = 0;

        while (dir && (name = g_dir_read_name(dir))) {
                g_autofree char *file = g_build_filename(path, name, NULL);
                GStatBuf st;

                g_assert_cmpint(g_stat(file, &st), ==, 0);
                g_assert_cmpuint(st.st_mode & 0777, ==, 0600);
                g_assert_null(strstr(name, "iqn"));
                n++;
        }
        return n;
}

static void set_credentials(CoreFixture *f, const DlChap *chap)
{
        CoreResult result;
        DlRequest request = core_request(f, &result);

        dl_flow_set_credentials(DL_LOOKUP_TARGET(f->core, IQN), &request, chap, NULL);
        core_expect(&result, -1);
}

static void test_secrets(CoreFixture *f, gconstpointer data)
{
        g_autoptr(DlSecret) one = dl_secret_new("initiator pass", 14, NULL);
        g_autoptr(DlSecret) two = dl_secret_new("targets pass!!", 14, NULL);
        DlChap chap = {"user", one, "target-user", two};
        DlTarget *target = dl_target_ensure(f->core, IQN, NULL);

        set_credentials(f, &chap);
        g_assert_cmpuint(n_secret_files(f), ==, 2);
        g_autofree char *row = core_fixture_row(f, "target/" IQN);
        g_assert_nonnull(strstr(row, "target-user"));
        g_assert_null(strstr(row, "pass"));
        g_autofree char *text = dl_core_describe(f->core);
        g_assert_null(strstr(text, "pass"));

        again(f);
        target = DL_LOOKUP_TARGET(f->core, IQN);
        g_assert_true(dl_target_has_credentials(target));
        g_assert_cmpstr(target->user, ==, "user");
        g_assert_cmpstr(dl_secret_peek(target->secret), ==, "initiator pass");
        g_assert_cmpstr(target->target_user, ==, "target-user");
        g_assert_cmpstr(dl_secret_peek(target->target_secret), ==, "targets pass!!");

        chap.target_user = NULL;
        chap.target_secret = NULL;
        set_credentials(f, &chap);
        g_assert_cmpuint(n_secret_files(f), ==, 1);

        set_credentials(f, &(DlChap){.user = ""});
        g_assert_cmpuint(n_secret_files(f), ==, 0);
        again(f);
        g_assert_false(dl_target_has_credentials(DL_LOOKUP_TARGET(f->core, IQN)));
}

static void test_secret_file_lost(CoreFixture *f, gconstpointer data)
{
        core_fixture_put(f, "target/" IQN, "{\"user\":\"u\",\"target-user\":\"t\"}");
        again(f);
        DlTarget *target = DL_LOOKUP_TARGET(f->core, IQN);
        g_assert_nonnull(target);
        g_assert_false(dl_target_has_credentials(target)); /* and that is said */
}

static void test_forget_takes_secrets(CoreFixture *f, gconstpointer data)
{
        g_autoptr(DlSecret) one = dl_secret_new("initiator pass", 14, NULL);
        CoreResult result;
        DlRequest request = core_request(f, &result);

        dl_target_ensure(f->core, IQN, NULL);
        set_credentials(f, &(DlChap){.user = "user", .secret = one});
        g_assert_cmpuint(n_secret_files(f), ==, 1);
        dl_flow_forget(DL_LOOKUP_TARGET(f->core, IQN), &request, NULL);
        core_expect(&result, -1);
        g_assert_cmpuint(n_secret_files(f), ==, 0);
        g_assert_null(DL_LOOKUP_TARGET(f->core, IQN));
        again(f);
        g_assert_null(DL_LOOKUP_TARGET(f->core, IQN));
}

/* The service ended between the row and the files. */
static void test_forget_is_completed(CoreFixture *f, gconstpointer data)
{
        g_autoptr(DlSecret) one = dl_secret_new("initiator pass", 14, NULL);

        dl_target_ensure(f->core, IQN, NULL);
        set_credentials(f, &(DlChap){.user = "user", .secret = one});
        core_fixture_put(f, "target/" IQN, NULL);
        core_fixture_put(f, "forgotten/" IQN, "{}");
        again(f);
        g_assert_null(DL_LOOKUP_TARGET(f->core, IQN));
        again(f);
        g_assert_cmpuint(n_secret_files(f), ==, 0);
        g_assert_null(core_fixture_row(f, "forgotten/" IQN));
}

/* It goes when its row is gone: until then it may be wanted again. */
static void test_forget_wanted_meanwhile(CoreFixture *f, gconstpointer data)
{
        g_autoptr(DlSecret) one = dl_secret_new("initiator pass", 14, NULL);
        CoreResult result;
        DlRequest request;
        DlTarget *target = dl_target_ensure(f->core, IQN, NULL);

        set_credentials(f, &(DlChap){.user = "user", .secret = one});
        for (int i = 0; i < 2; i++) {
                request = core_request(f, &result);
                dl_flow_forget(target, &request, NULL);
                CORE_WAIT(f, target->leaving);
                g_assert_true(target->object.published);
                if (i == 0) {
                        dl_target_acquire(target);
                        dl_target_release(target);
                } else
                        dl_target_add_portal(target, "192.0.2.1", 3260, 1);
                core_expect(&result, DL_ERROR_BUSY);
        }
        again(f);
        target = DL_LOOKUP_TARGET(f->core, IQN);
        g_assert_nonnull(target);
        g_assert_cmpuint(target->portals->len, ==, 1);
        g_assert_true(dl_target_has_credentials(target));
        g_assert_cmpuint(n_secret_files(f), ==, 1);
}

/* ---- rows that cannot be understood -------------------------------------------------------- */

typedef struct OddRow {
        const char *key, *value;
        DlKind kind;
        const char *id; /* NULL: it makes nothing */
} OddRow;

static const OddRow odd_rows[] = {
        {"target/iqn.x:1", "", DL_KIND_TARGET},
        {"target/iqn.x:2", "{", DL_KIND_TARGET},
        {"target/iqn.x:3", "[]", DL_KIND_TARGET},
        {"target/iqn.x:4", "null", DL_KIND_TARGET},
        {"target/iqn.x:5", "{\"portals\":7,\"pinned\":\"yes\",\"user\":[]}", DL_KIND_TARGET,
         "iqn.x:5"},
        {"target/iqn.x:6",
         "{\"portals\":[1,null,{},{\"address\":5},{\"address\":\"a\",\"port\":99999999,"
         "\"tpgt\":-1},{\"address\":\"a\",\"port\":3260}]}",
         DL_KIND_TARGET, "iqn.x:6"},
        {"target/../../etc/passwd", "{}", DL_KIND_TARGET},
        {"target/", "{}", DL_KIND_TARGET},
        {"target", "{}", DL_KIND_TARGET},
        {"lun/3aa",
         "{\"paths\":[{\"iqn\":1},{\"iqn\":\"iqn.x:1\"},7,{\"iqn\":\"iqn.x:1\","
         "\"address\":\"a\",\"lun\":-4,\"port\":0}],\"capacity\":-1,"
         "\"device-type\":999}",
         DL_KIND_LUN, "3aa"},
        {"lun/3bb", "\"3bb\"", DL_KIND_LUN},
        {"lun/", "{}", DL_KIND_LUN},
        {"vdisk/" UUID, "{\"guid\":\"3cc\"}", DL_KIND_VDISK}, /* not its id */
        {"vdisk/x", "{}", DL_KIND_VDISK},
        {"vdisk/y", "{\"guid\":{}}", DL_KIND_VDISK},
        {"of-a-later-version/x", "{\"a\":1}", DL_KIND_VDISK},
};

static void test_odd_rows(CoreFixture *f, gconstpointer data)
{
        for (unsigned i = 0; i < G_N_ELEMENTS(odd_rows); i++)
                core_fixture_put(f, odd_rows[i].key, odd_rows[i].value);
        again(f);
        unsigned n = 0;
        for (unsigned i = 0; i < G_N_ELEMENTS(odd_rows); i++) {
                const OddRow *row = &odd_rows[i];
                g_autofree char *value = core_fixture_row(f, row->key);

                g_assert_cmpstr(value, ==, row->value); /* left as it is */
                if (row->id && !dl_core_lookup(f->core, row->kind, row->id))
                        g_error("%s is not there", row->key);
                n += row->id != NULL;
        }
        unsigned n_objects = 0;
        for (int kind = DL_KIND_TARGET; kind <= DL_KIND_VDISK; kind++)
                n_objects += g_hash_table_size(f->core->objects[kind]);
        g_assert_cmpuint(n_objects, ==, n);

        DlTarget *target = DL_LOOKUP_TARGET(f->core, "iqn.x:6");
        g_assert_cmpuint(target->portals->len, ==, 1);
        g_assert_cmpuint(((DlPortal *)target->portals->pdata[0])->port, ==, 3260);
        DlLun *lun = DL_LOOKUP_LUN(f->core, "3aa");
        g_assert_cmpuint(lun->paths->len, ==, 1);
        g_assert_cmpuint(lun->capacity, ==, 0);
        g_assert_cmpuint(lun->device_type, ==, 0);
        g_assert_cmpuint(((DlPath *)lun->paths->pdata[0])->lun, ==, 0);
        g_assert_cmpuint(((DlPath *)lun->paths->pdata[0])->port, ==, 3260);
}

/* ---- the journal --------------------------------------------------------------------------- */

static void on_journal(const GError *error, void *userdata)
{
        g_assert_no_error(error);
        (*(unsigned *)userdata)++;
}

static void test_journal(CoreFixture *f, gconstpointer data)
{
        unsigned n = 0;
        DlIntent *intent;

        fake_domain_add(UUID, "vm", DL_VIRT_SHUTOFF, true);
        intent = dl_intent_write(f->core,
                                 &(DlIntent){.kind = DL_INTENT_UNPLUG,
                                             .vm = (char *)UUID,
                                             .vdisk = (char *)"v",
                                             .in_config = true},
                                 on_journal, &n);
        g_assert_cmpuint(n, ==, 0);
        CORE_WAIT(f, n == 1);
        g_assert_true(intent->owned);
        g_assert_false(dl_core_is_idle(f->core));
        dl_intent_abandon(intent);
        g_assert_false(intent->owned);
        core_fixture_stop(f);

        core_fixture_start_early(f);
        CORE_WAIT(f, g_hash_table_size(f->core->intents) == 1);
        intent = g_hash_table_lookup(f->core->intents, "intent/" UUID "/v");
        g_assert_cmpint(intent->kind, ==, DL_INTENT_UNPLUG);
        g_assert_cmpstr(intent->vm, ==, UUID);
        g_assert_cmpstr(intent->vdisk, ==, "v");
        g_assert_true(intent->in_config);
        g_assert_false(intent->owned);

        intent = dl_intent_write(
                f->core,
                &(DlIntent){.kind = DL_INTENT_PLUG, .vm = (char *)UUID, .vdisk = (char *)"w"}, NULL,
                NULL);
        dl_intent_remove(f->core, intent, on_journal, &n);
        CORE_WAIT(f, n == 2);
        g_assert_null(core_fixture_row(f, "intent/" UUID "/w"));
        CORE_WAIT(f, g_hash_table_size(f->core->intents) == 0 && f->ready); /* recovered */
}

static void test_odd_intents(CoreFixture *f, gconstpointer data)
{
        static const char *const rows[] = {
                "{}", "{\"kind\":\"attach\"}", "{\"kind\":\"attach\",\"vm\":\"" UUID "\"}",
                "{\"kind\":\"explode\",\"vm\":\"" UUID "\",\"vdisk\":\"v\"}",
                "{\"kind\":7,\"vm\":\"" UUID "\",\"vdisk\":\"v\"}"};

        fake_domain_add(UUID, "vm", DL_VIRT_SHUTOFF, true);
        for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
                g_autofree char *key = g_strdup_printf("intent/" UUID "/%u", i);

                core_fixture_put(f, key, rows[i]);
        }
        again(f);
        core_fixture_settle(f);
        g_assert_cmpuint(g_hash_table_size(f->core->intents), ==, 0);
        g_assert_cmpuint(fake_virt_log()->len, ==, 0);
        g_assert_true(dl_core_is_idle(f->core));
}

int main(int argc, char *argv[])
{
        g_test_init(&argc, &argv, NULL);
#define TEST(name, function)                                                                       \
        g_test_add("/core/persist/" name, CoreFixture, NULL, begin, function, end)
        TEST("target", test_target);
        TEST("lun", test_lun);
        TEST("many-luns", test_many_luns);
        TEST("vdisk", test_vdisk);
        TEST("vdisk-race", test_vdisk_race);
        TEST("secrets", test_secrets);
        TEST("secret-file-lost", test_secret_file_lost);
        TEST("forget-takes-secrets", test_forget_takes_secrets);
        TEST("forget-is-completed", test_forget_is_completed);
        TEST("forget-wanted-meanwhile", test_forget_wanted_meanwhile);
        TEST("odd-rows", test_odd_rows);
        TEST("journal", test_journal);
        TEST("odd-intents", test_odd_intents);
        return g_test_run();
}
