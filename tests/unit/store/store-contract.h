/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The contract of store.h as tests that each engine must pass unchanged, and what such tests need:
 * a loop, workers, and calls that wait for their callback with a deadline.
 */

#include "store/store.h"

typedef struct StoreEngine {
        const char *name;    /* what dl_store_engine() says */
        void *(*make)(void); /* a new empty database */
        void (*destroy)(void *database);
        /* Opens it, once more if it is open already: then they are two users of it. */
        DlStore *(*open)(void *database, sd_event *event, DlWorkers *workers);
} StoreEngine;

/* Adds all tests of the contract, under "/store/NAME/". engine must stay. */
void store_contract_add(const StoreEngine *engine);

typedef struct StoreLab {
        const StoreEngine *engine;
        sd_event *event;
        DlWorkers *workers;
        void *database;
        DlStore *store;
} StoreLab;

void store_lab_setup(StoreLab *lab, const StoreEngine *engine);
void store_lab_teardown(StoreLab *lab);

/* Runs the loop until *done; fails the test after 20 s. */
void store_lab_wait(sd_event *event, const bool *done);

typedef struct StoreOutcome {
        bool done;
        bool succeeded;
        int code; /* of the error; -1: none */
        int64_t revision;
        char *text;                            /* "key=value\n"... of a range */
        int64_t create_revision, mod_revision; /* of the first entry */
} StoreOutcome;

void store_outcome_clear(StoreOutcome *outcome);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(StoreOutcome, store_outcome_clear)

/* Callbacks that fill a StoreOutcome. */
void store_on_ranged(const DlStoreEntry *entries, size_t n_entries, int64_t revision,
                     const GError *error, void *userdata);
void store_on_committed(bool succeeded, int64_t revision, const GError *error, void *userdata);

/* These wait. */
StoreOutcome store_txn(StoreLab *lab, DlStore *store, const DlStoreCompare *compares,
                       size_t n_compares, const DlStoreOp *ops, size_t n_ops);
StoreOutcome store_range(StoreLab *lab, DlStore *store, const char *prefix);
StoreOutcome store_get(StoreLab *lab, DlStore *store, const char *key);

/* Must succeed; the new revision. value NULL deletes. */
int64_t store_put(StoreLab *lab, DlStore *store, const char *key, const char *value);

/* What a range of prefix gives must be this text. */
void store_assert_range(StoreLab *lab, DlStore *store, const char *prefix, const char *text);
