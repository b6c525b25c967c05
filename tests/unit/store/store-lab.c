/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the tests of the store share: see store-contract.h. */

#include "store-contract.h"

#define DEADLINE_USEC (20 * G_USEC_PER_SEC)

void store_lab_setup(StoreLab *lab, const StoreEngine *engine)
{
        *lab = (StoreLab){.engine = engine};
        g_assert_cmpint(sd_event_new(&lab->event), >=, 0);
        g_assert_cmpint(dl_workers_new(lab->event, 4, &lab->workers), ==, 0);
        lab->database = engine->make();
        lab->store = engine->open(lab->database, lab->event, lab->workers);
        g_assert_nonnull(lab->store);
}

void store_lab_teardown(StoreLab *lab)
{
        dl_store_free(lab->store);
        dl_workers_free(lab->workers);
        sd_event_unref(lab->event);
        lab->engine->destroy(lab->database);
}

void store_lab_wait(sd_event *event, const bool *done)
{
        gint64 deadline = g_get_monotonic_time() + DEADLINE_USEC;

        while (!*done) {
                g_assert_cmpint(g_get_monotonic_time(), <, deadline);
                g_assert_cmpint(sd_event_run(event, 100000), >=, 0);
        }
}

void store_outcome_clear(StoreOutcome *outcome)
{
        g_free(outcome->text);
        *outcome = (StoreOutcome){0};
}

void store_on_ranged(const DlStoreEntry *entries, size_t n_entries, int64_t revision,
                     const GError *error, void *userdata)
{
        StoreOutcome *outcome = userdata;
        GString *text = g_string_new(NULL);

        g_assert_false(outcome->done);
        g_assert_true((entries == NULL) == (error != NULL));
        for (size_t i = 0; i < n_entries; i++) {
                g_string_append_printf(text, "%s=%s\n", entries[i].key, entries[i].value);
                g_assert_cmpint(entries[i].create_revision, >, 0);
                g_assert_cmpint(entries[i].mod_revision, >=, entries[i].create_revision);
                g_assert_cmpint(entries[i].mod_revision, <=, revision);
        }
        outcome->done = true;
        outcome->succeeded = !error;
        outcome->code = error ? error->code : -1;
        outcome->revision = revision;
        outcome->text = g_string_free(text, FALSE);
        outcome->create_revision = n_entries > 0 ? entries[0].create_revision : 0;
        outcome->mod_revision = n_entries > 0 ? entries[0].mod_revision : 0;
}

void store_on_committed(bool succeeded, int64_t revision, const GError *error, void *userdata)
{
        StoreOutcome *outcome = userdata;

        g_assert_false(outcome->done);
        g_assert_false(succeeded && error);
        outcome->done = true;
        outcome->succeeded = succeeded;
        outcome->code = error ? error->code : -1;
        outcome->revision = revision;
}

StoreOutcome store_txn(StoreLab *lab, DlStore *store, const DlStoreCompare *compares,
                       size_t n_compares, const DlStoreOp *ops, size_t n_ops)
{
        StoreOutcome outcome = {0};

        g_assert_nonnull(dl_store_txn(store, compares, n_compares, ops, n_ops, store_on_committed,
                                      &outcome));
        g_assert_false(outcome.done);
        store_lab_wait(lab->event, &outcome.done);
        return outcome;
}

StoreOutcome store_range(StoreLab *lab, DlStore *store, const char *prefix)
{
        StoreOutcome outcome = {0};

        g_assert_nonnull(dl_store_range(store, prefix, store_on_ranged, &outcome));
        g_assert_false(outcome.done);
        store_lab_wait(lab->event, &outcome.done);
        return outcome;
}

StoreOutcome store_get(StoreLab *lab, DlStore *store, const char *key)
{
        StoreOutcome outcome = {0};

        g_assert_nonnull(dl_store_get(store, key, store_on_ranged, &outcome));
        g_assert_false(outcome.done);
        store_lab_wait(lab->event, &outcome.done);
        return outcome;
}

int64_t store_put(StoreLab *lab, DlStore *store, const char *key, const char *value)
{
        DlStoreOp op = {.key = key, .value = value};
        StoreOutcome outcome = store_txn(lab, store, NULL, 0, &op, 1);

        g_assert_cmpint(outcome.code, ==, -1);
        g_assert_true(outcome.succeeded);
        return outcome.revision;
}

void store_assert_range(StoreLab *lab, DlStore *store, const char *prefix, const char *text)
{
        g_auto(StoreOutcome) outcome = store_range(lab, store, prefix);

        g_assert_cmpint(outcome.code, ==, -1);
        g_assert_cmpstr(outcome.text, ==, text);
}
