/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The contract of a store: see store-contract.h. Nothing here knows an engine. */

#include "store-contract.h"
#include "util/error.h"

#include <string.h>

#define PUT(k, v) (&(DlStoreOp){.key = (k), .value = (v)}), 1

static void test_empty(StoreLab *lab, gconstpointer data)
{
        g_auto(StoreOutcome) all = store_range(lab, lab->store, "");
        g_auto(StoreOutcome) one = store_get(lab, lab->store, "a");

        g_assert_cmpstr(dl_store_engine(lab->store), ==, lab->engine->name);
        g_assert_cmpint(all.code, ==, -1);
        g_assert_cmpstr(all.text, ==, "");
        g_assert_cmpint(one.code, ==, -1);
        g_assert_cmpstr(one.text, ==, "");
}

static void test_revisions(StoreLab *lab, gconstpointer data)
{
        int64_t first = store_put(lab, lab->store, "a", "1");
        int64_t second = store_put(lab, lab->store, "a", "2");
        int64_t same = store_put(lab, lab->store, "a", "2");
        g_auto(StoreOutcome) one = store_get(lab, lab->store, "a");

        g_assert_cmpint(first, >, 0);
        g_assert_cmpint(second, >, first);
        g_assert_cmpint(same, >, second); /* a value that is put again is a change */
        g_assert_cmpstr(one.text, ==, "a=2\n");
        g_assert_cmpint(one.create_revision, ==, first);
        g_assert_cmpint(one.mod_revision, ==, same);
        g_assert_cmpint(one.revision, ==, same);
}

static void test_range_is_a_prefix(StoreLab *lab, gconstpointer data)
{
        static const char *const keys[] = {
                "b",  "a/2", "a/1",   "a", "a/\xc3\xa9", "a/\xf4\x8f\xbf\xbf",
                "a0", "A",   "a/1/x", "%", "a_"};

        for (size_t i = 0; i < G_N_ELEMENTS(keys); i++)
                store_put(lab, lab->store, keys[i], "v");
        store_assert_range(lab, lab->store, "",
                           "%=v\nA=v\na=v\na/1=v\na/1/x=v\na/2=v\na/\xc3\xa9=v\n"
                           "a/\xf4\x8f\xbf\xbf=v\na0=v\na_=v\nb=v\n");
        store_assert_range(lab, lab->store, "a/",
                           "a/1=v\na/1/x=v\na/2=v\na/\xc3\xa9=v\na/\xf4\x8f\xbf\xbf=v\n");
        store_assert_range(lab, lab->store, "a/1", "a/1=v\na/1/x=v\n");
        store_assert_range(lab, lab->store, "a/\xf4\x8f\xbf\xbf", "a/\xf4\x8f\xbf\xbf=v\n");
        store_assert_range(lab, lab->store, "%", "%=v\n");
        store_assert_range(lab, lab->store, "a_", "a_=v\n");
        store_assert_range(lab, lab->store, "c", "");
}

static void test_get_is_exact(StoreLab *lab, gconstpointer data)
{
        g_auto(StoreOutcome) one = {0}, none = {0};

        store_put(lab, lab->store, "key", "");
        store_put(lab, lab->store, "key2", "v");
        one = store_get(lab, lab->store, "key");
        none = store_get(lab, lab->store, "ke");
        g_assert_cmpstr(one.text, ==, "key=\n"); /* an empty value is not a deletion */
        g_assert_cmpstr(none.text, ==, "");
}

static void test_delete(StoreLab *lab, gconstpointer data)
{
        int64_t put = store_put(lab, lab->store, "a", "1");
        int64_t deleted = store_put(lab, lab->store, "a", NULL);
        int64_t nothing = store_put(lab, lab->store, "a", NULL);
        int64_t again;
        g_auto(StoreOutcome) one = {0};

        g_assert_cmpint(deleted, >, put);
        g_assert_cmpint(nothing, ==, deleted);
        store_assert_range(lab, lab->store, "", "");
        again = store_put(lab, lab->store, "a", "2");
        one = store_get(lab, lab->store, "a");
        g_assert_cmpint(again, >, deleted);
        g_assert_cmpint(one.create_revision, ==, again);
}

static void test_compare(StoreLab *lab, gconstpointer data)
{
        int64_t r = store_put(lab, lab->store, "a", "1");
        DlStoreCompare is_r = {.key = "a", .mod_revision = r};
        DlStoreCompare absent = {.key = "a", .mod_revision = 0};
        DlStoreCompare other_absent = {.key = "b", .mod_revision = 0};
        DlStoreCompare both[] = {is_r, other_absent}, mixed[] = {other_absent, absent};
        StoreOutcome o;

        o = store_txn(lab, lab->store, &absent, 1, PUT("a", "no"));
        g_assert_cmpint(o.code, ==, -1);
        g_assert_false(o.succeeded);
        g_assert_cmpint(o.revision, ==, r);

        o = store_txn(lab, lab->store, mixed, 2, PUT("b", "no"));
        g_assert_false(o.succeeded);
        store_assert_range(lab, lab->store, "", "a=1\n");

        o = store_txn(lab, lab->store, both, 2, PUT("b", "yes"));
        g_assert_true(o.succeeded);
        g_assert_cmpint(o.revision, >, r);

        o = store_txn(lab, lab->store, &is_r, 1, PUT("a", "2"));
        g_assert_true(o.succeeded);
        o = store_txn(lab, lab->store, &is_r, 1, PUT("a", "3"));
        g_assert_false(o.succeeded);
        o = store_txn(lab, lab->store, &is_r, 1, NULL, 0); /* only a question */
        g_assert_false(o.succeeded);
        o = store_txn(lab, lab->store, NULL, 0, NULL, 0);
        g_assert_true(o.succeeded);
        store_assert_range(lab, lab->store, "", "a=2\nb=yes\n");
}

static void test_txn_is_one_revision(StoreLab *lab, gconstpointer data)
{
        DlStoreOp ops[] = {{"a", "1"}, {"b", "2"}, {"c", NULL}};
        StoreOutcome o;
        g_auto(StoreOutcome) a = {0}, b = {0};

        store_put(lab, lab->store, "c", "3");
        o = store_txn(lab, lab->store, NULL, 0, ops, 3);
        a = store_get(lab, lab->store, "a");
        b = store_get(lab, lab->store, "b");
        g_assert_true(o.succeeded);
        g_assert_cmpint(a.mod_revision, ==, o.revision);
        g_assert_cmpint(b.mod_revision, ==, o.revision);
        store_assert_range(lab, lab->store, "", "a=1\nb=2\n");
}

static void expect_code(StoreLab *lab, const DlStoreCompare *compares, size_t n_compares,
                        const DlStoreOp *ops, size_t n_ops, int code)
{
        StoreOutcome o = store_txn(lab, lab->store, compares, n_compares, ops, n_ops);

        g_assert_false(o.succeeded);
        g_assert_cmpint(o.code, ==, code);
}

static void test_bad_arguments(StoreLab *lab, gconstpointer data)
{
        DlStoreOp twice[] = {{"a", "1"}, {"a", NULL}}, half[] = {{"good", "1"}, {"", "2"}};
        DlStoreCompare negative = {.key = "a", .mod_revision = -1};
        g_auto(StoreOutcome) get = store_get(lab, lab->store, "");
        g_auto(StoreOutcome) range = store_range(lab, lab->store, "\xff");

        expect_code(lab, NULL, 0, PUT("", "1"), DL_ERROR_INVALID_ARGS);
        expect_code(lab, NULL, 0, PUT("a\xff", "1"), DL_ERROR_INVALID_ARGS);
        expect_code(lab, NULL, 0, PUT("a", "\xc3"), DL_ERROR_INVALID_ARGS);
        expect_code(lab, NULL, 0, twice, 2, DL_ERROR_INVALID_ARGS);
        expect_code(lab, NULL, 0, half, 2, DL_ERROR_INVALID_ARGS);
        expect_code(lab, &negative, 1, PUT("a", "1"), DL_ERROR_INVALID_ARGS);
        g_assert_cmpint(get.code, ==, DL_ERROR_INVALID_ARGS);
        g_assert_cmpint(range.code, ==, DL_ERROR_INVALID_ARGS);
        store_assert_range(lab, lab->store, "", "");
}

static void test_limits(StoreLab *lab, gconstpointer data)
{
        g_autofree char *key = g_strnfill(513, 'k'), *value = g_strnfill(1024 * 1024 + 1, 'v');
        DlStoreOp ops[129];
        DlStoreCompare compares[129];
        g_auto(StoreOutcome) one = {0};
        StoreOutcome o;

        expect_code(lab, NULL, 0, PUT(key, "1"), DL_ERROR_LIMITS_EXCEEDED);
        expect_code(lab, NULL, 0, PUT("a", value), DL_ERROR_LIMITS_EXCEEDED);
        key[512] = value[1024 * 1024] = 0;
        store_put(lab, lab->store, key, value);
        one = store_get(lab, lab->store, key);
        g_assert_cmpuint(strlen(one.text), ==, 512 + 1 + 1024 * 1024 + 1);

        for (unsigned i = 0; i < 129; i++) {
                char *name = g_strdup_printf("many/%03u", i);

                ops[i] = (DlStoreOp){.key = name, .value = "v"};
                compares[i] = (DlStoreCompare){.key = name};
        }
        expect_code(lab, NULL, 0, ops, 129, DL_ERROR_LIMITS_EXCEEDED);
        expect_code(lab, compares, 129, ops, 1, DL_ERROR_LIMITS_EXCEEDED);
        o = store_txn(lab, lab->store, compares, 128, ops, 128);
        g_assert_true(o.succeeded);
        for (unsigned i = 0; i < 129; i++)
                g_free((char *)ops[i].key);
}

/* Order. */

typedef struct Order {
        GString *text;
        unsigned left;
        bool done;
} Order;

typedef struct Step {
        Order *order;
        char name;
} Step;

static void step_done(Step *step)
{
        g_string_append_c(step->order->text, step->name);
        step->order->done = --step->order->left == 0;
        g_free(step);
}

static void on_step_ranged(const DlStoreEntry *entries, size_t n, int64_t revision,
                           const GError *error, void *userdata)
{
        Step *step = userdata;

        /* Each range sees the transactions before it and none after it. */
        g_assert_no_error(error);
        g_assert_cmpuint(n, ==, (guint)(step->name - 'a') / 3 + 1);
        step_done(step);
}

static void on_step_committed(bool succeeded, int64_t revision, const GError *error, void *userdata)
{
        step_done(userdata);
}

static Step *step_new(Order *order, unsigned i)
{
        Step *step = g_new(Step, 1);

        *step = (Step){.order = order, .name = (char)('a' + i)};
        order->left++;
        return step;
}

/* A transaction, a range, and a request with an error, three times: a to i. */
static void test_order(StoreLab *lab, gconstpointer data)
{
        Order order = {.text = g_string_new(NULL)};

        for (unsigned i = 0; i < 9; i += 3) {
                g_autofree char *key = g_strdup_printf("k%u", i);

                dl_store_txn(lab->store, NULL, 0, PUT(key, "v"), on_step_committed,
                             step_new(&order, i));
                dl_store_range(lab->store, "", on_step_ranged, step_new(&order, i + 1));
                dl_store_txn(lab->store, NULL, 0, PUT("", "v"), on_step_committed,
                             step_new(&order, i + 2));
        }
        g_assert_cmpuint(order.text->len, ==, 0); /* never from within the call */
        store_lab_wait(lab->event, &order.done);
        g_assert_cmpstr(order.text->str, ==, "abcdefghi");
        g_string_free(order.text, TRUE);
}

static void test_arguments_are_copied(StoreLab *lab, gconstpointer data)
{
        char key[] = "key", value[] = "value";
        DlStoreCompare compare = {.key = key};
        StoreOutcome o = {0};

        dl_store_txn(lab->store, &compare, 1, PUT(key, value), store_on_committed, &o);
        memset(key, 'x', 3);
        memset(value, 'x', 5);
        compare.mod_revision = 77;
        store_lab_wait(lab->event, &o.done);
        g_assert_true(o.succeeded);
        store_assert_range(lab, lab->store, "", "key=value\n");
}

static void test_cancel(StoreLab *lab, gconstpointer data)
{
        StoreOutcome txn = {0}, range = {0};

        dl_store_cancel(NULL);
        dl_store_cancel(dl_store_txn(lab->store, NULL, 0, PUT("a", "1"), store_on_committed, &txn));
        dl_store_cancel(dl_store_range(lab->store, "", store_on_ranged, &range));
        dl_store_txn(lab->store, NULL, 0, PUT("b", "2"), NULL, NULL);
        store_assert_range(lab, lab->store, "", "a=1\nb=2\n");
        g_assert_false(txn.done);
        g_assert_false(range.done);
}

static void reopen(StoreLab *lab)
{
        dl_store_free(lab->store);
        lab->store = lab->engine->open(lab->database, lab->event, lab->workers);
        g_assert_nonnull(lab->store);
}

static void test_survives_reopening(StoreLab *lab, gconstpointer data)
{
        int64_t r = store_put(lab, lab->store, "a", "1");
        g_auto(StoreOutcome) one = {0};

        reopen(lab);
        one = store_get(lab, lab->store, "a");
        g_assert_cmpstr(one.text, ==, "a=1\n");
        g_assert_cmpint(one.revision, ==, r);
        g_assert_cmpint(store_put(lab, lab->store, "b", "2"), >, r);
}

static void never_changed(const DlStoreEntry *entry, void *userdata)
{
        g_assert_not_reached();
}

static void test_free_completes_writes(StoreLab *lab, gconstpointer data)
{
        StoreOutcome unused = {0};

        for (unsigned i = 0; i < 50; i++) {
                g_autofree char *key = g_strdup_printf("k%02u", i);

                dl_store_txn(lab->store, NULL, 0, PUT(key, "v"), store_on_committed, &unused);
                dl_store_range(lab->store, "", store_on_ranged, &unused);
        }
        dl_store_watch(lab->store, "", never_changed, NULL);
        reopen(lab);
        for (unsigned i = 0; i < 50; i++) {
                g_autofree char *key = g_strdup_printf("k%02u", i);
                g_auto(StoreOutcome) one = store_get(lab, lab->store, key);

                g_assert_cmpint(one.mod_revision, >, 0);
        }
        g_assert_false(unused.done);
}

/* Watches. */

typedef struct Seen {
        GString *text;
        const char *last; /* done once this line was seen */
        bool done;
        int64_t revision;
        DlStoreWatch *unwatch; /* by the callback */
        DlStore **free_store;  /* so */
} Seen;

static void on_changed(const DlStoreEntry *entry, void *userdata)
{
        Seen *seen = userdata;
        g_autofree char *line = g_strdup_printf("%s=%s\n", entry->key,
                                                entry->value ? entry->value : "(none)");

        g_assert_cmpint(entry->mod_revision, >=, seen->revision);
        g_assert_true(entry->value ? entry->create_revision > 0 : entry->create_revision == 0);
        seen->revision = entry->mod_revision;
        g_string_append(seen->text, line);
        if (g_strcmp0(line, seen->last) == 0)
                seen->done = true;
        dl_store_unwatch(g_steal_pointer(&seen->unwatch));
        if (seen->free_store)
                dl_store_free(g_steal_pointer(seen->free_store));
}

static Seen seen_new(const char *last)
{
        return (Seen){.text = g_string_new(NULL), .last = last};
}

static void seen_expect(StoreLab *lab, Seen *seen, const char *text)
{
        store_lab_wait(lab->event, &seen->done);
        g_assert_cmpstr(seen->text->str, ==, text);
        g_string_free(seen->text, TRUE);
}

static void test_watch_own(StoreLab *lab, gconstpointer data)
{
        Seen seen = seen_new("a/3=(none)\n");
        DlStoreOp both[] = {{"a/1", "2"}, {"x", "2"}};
        DlStoreWatch *watch;

        store_put(lab, lab->store, "a/0", "before");
        watch = dl_store_watch(lab->store, "a/", on_changed, &seen);
        store_put(lab, lab->store, "a/1", "1");
        store_put(lab, lab->store, "b/1", "1");
        store_assert_range(lab, lab->store, "b", "b/1=1\n");
        store_txn(lab, lab->store, NULL, 0, both, 2);
        store_put(lab, lab->store, "a/0", NULL);
        store_put(lab, lab->store, "a/3", "3");
        store_put(lab, lab->store, "a/3", NULL);
        store_lab_wait(lab->event, &seen.done);
        dl_store_unwatch(watch);

        /* Changes that fell into one look are told as the last one, so only these are sure. */
        g_assert_nonnull(strstr(seen.text->str, "a/1=2\n"));
        g_assert_nonnull(strstr(seen.text->str, "a/0=(none)\n"));
        g_assert_null(strstr(seen.text->str, "b/1"));
        g_assert_null(strstr(seen.text->str, "x="));
        g_assert_null(strstr(seen.text->str, "before"));
        g_string_free(seen.text, TRUE);
}

static void test_watch_begins_in_order(StoreLab *lab, gconstpointer data)
{
        Seen seen = seen_new("c=3\n"), later = seen_new("c=3\n");
        StoreOutcome none = {0};

        dl_store_txn(lab->store, NULL, 0, PUT("a", "1"), store_on_committed, &none);
        dl_store_watch(lab->store, "", on_changed, &seen);
        dl_store_txn(lab->store, NULL, 0, PUT("b", "2"), NULL, NULL);
        dl_store_watch(lab->store, "", on_changed, &later);
        dl_store_txn(lab->store, NULL, 0, PUT("c", "3"), NULL, NULL);
        seen_expect(lab, &seen, "b=2\nc=3\n");
        seen_expect(lab, &later, "c=3\n");
}

static void test_watch_other(StoreLab *lab, gconstpointer data)
{
        DlStore *other = lab->engine->open(lab->database, lab->event, lab->workers);
        Seen seen = seen_new("a=(none)\n"), first = seen_new("a=1\n");
        StoreOutcome o;

        dl_store_watch(lab->store, "", on_changed, &seen);
        dl_store_watch(lab->store, "a", on_changed, &first);
        store_assert_range(lab, lab->store, "", ""); /* now the watches have begun */
        store_put(lab, other, "a", "1");
        seen_expect(lab, &first, "a=1\n");
        first = seen_new(NULL);
        o = store_txn(lab, other, NULL, 0, PUT("a", NULL));
        g_assert_true(o.succeeded);
        seen_expect(lab, &seen, "a=1\na=(none)\n");
        g_string_free(first.text, TRUE);
        dl_store_free(g_steal_pointer(&lab->store)); /* the watches write to this stack frame */
        dl_store_free(other);
}

static void test_unwatch(StoreLab *lab, gconstpointer data)
{
        Seen never = seen_new(NULL), victim = seen_new(NULL), killer = seen_new("a=1\n");
        Seen last = seen_new("b=2\n");

        dl_store_unwatch(NULL);
        dl_store_unwatch(dl_store_watch(lab->store, "", on_changed, &never));
        /* The killer is called first: the victim dies before its turn. */
        dl_store_watch(lab->store, "", on_changed, &killer);
        killer.unwatch = dl_store_watch(lab->store, "", on_changed, &victim);
        dl_store_watch(lab->store, "", on_changed, &last);
        store_put(lab, lab->store, "a", "1");
        store_lab_wait(lab->event, &killer.done);
        store_put(lab, lab->store, "b", "2");
        seen_expect(lab, &last, "a=1\nb=2\n");
        g_assert_cmpstr(never.text->str, ==, "");
        g_assert_cmpstr(victim.text->str, ==, "");
        dl_store_free(g_steal_pointer(&lab->store));
        g_string_free(never.text, TRUE);
        g_string_free(victim.text, TRUE);
        g_string_free(killer.text, TRUE);
}

static void test_free_from_callback(StoreLab *lab, gconstpointer data)
{
        Seen first = seen_new("a=1\n"), second = seen_new(NULL);

        first.free_store = &lab->store;
        dl_store_watch(lab->store, "", on_changed, &first);
        dl_store_watch(lab->store, "", on_changed, &second);
        dl_store_txn(lab->store, NULL, 0, PUT("a", "1"), NULL, NULL);
        seen_expect(lab, &first, "a=1\n");
        g_assert_null(lab->store);
        g_assert_cmpstr(second.text->str, ==, "");
        g_string_free(second.text, TRUE);
}

/* Two users. */

static void test_two_users(StoreLab *lab, gconstpointer data)
{
        DlStore *other = lab->engine->open(lab->database, lab->event, lab->workers);
        DlStoreCompare absent = {.key = "claim", .mod_revision = 0};
        StoreOutcome mine = {0}, theirs = {0};

        store_put(lab, lab->store, "a", "1");
        store_assert_range(lab, other, "", "a=1\n");
        store_put(lab, other, "a", "2");
        store_assert_range(lab, lab->store, "", "a=2\n");

        /* Of two that want the same at once, one gets it. */
        dl_store_txn(lab->store, &absent, 1, PUT("claim", "mine"), store_on_committed, &mine);
        dl_store_txn(other, &absent, 1, PUT("claim", "theirs"), store_on_committed, &theirs);
        store_lab_wait(lab->event, &mine.done);
        store_lab_wait(lab->event, &theirs.done);
        g_assert_cmpint(mine.code, ==, -1);
        g_assert_cmpint(theirs.code, ==, -1);
        g_assert_true(mine.succeeded != theirs.succeeded);
        store_assert_range(lab, lab->store, "claim",
                           mine.succeeded ? "claim=mine\n" : "claim=theirs\n");
        dl_store_free(other);
}

static void setup(StoreLab *lab, gconstpointer data)
{
        store_lab_setup(lab, data);
}

static void teardown(StoreLab *lab, gconstpointer data)
{
        store_lab_teardown(lab);
}

void store_contract_add(const StoreEngine *engine)
{
        static const struct {
                const char *name;
                void (*test)(StoreLab *lab, gconstpointer data);
        } tests[] = {
                {"empty", test_empty},
                {"revisions", test_revisions},
                {"range-is-a-prefix", test_range_is_a_prefix},
                {"get-is-exact", test_get_is_exact},
                {"delete", test_delete},
                {"compare", test_compare},
                {"txn-is-one-revision", test_txn_is_one_revision},
                {"bad-arguments", test_bad_arguments},
                {"limits", test_limits},
                {"order", test_order},
                {"arguments-are-copied", test_arguments_are_copied},
                {"cancel", test_cancel},
                {"survives-reopening", test_survives_reopening},
                {"free-completes-writes", test_free_completes_writes},
                {"watch-own", test_watch_own},
                {"watch-begins-in-order", test_watch_begins_in_order},
                {"watch-other", test_watch_other},
                {"unwatch", test_unwatch},
                {"free-from-callback", test_free_from_callback},
                {"two-users", test_two_users},
        };

        for (size_t i = 0; i < G_N_ELEMENTS(tests); i++) {
                g_autofree char *path = g_strdup_printf("/store/%s/%s", engine->name,
                                                        tests[i].name);

                g_test_add(path, StoreLab, engine, setup, tests[i].test, teardown);
        }
}
