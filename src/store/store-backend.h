/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What an engine of the store implements. The front (store.c) checks arguments, keeps the order of
 * submission and dispatches to callbacks; an engine only reads and writes. Its functions may block;
 * they run on a worker, or in dl_store_free(), never two at once for one store.
 *
 * Each returns false with an error of DL_ERROR; the engine must stay usable for the next call.
 */

#include "store.h"

#define DL_STORE_KEY_MAX   512
#define DL_STORE_VALUE_MAX ((size_t)1024 * 1024)
#define DL_STORE_TXN_MAX   128

/* A consistent view. The entries' strings belong to it. */
typedef struct DlStoreSnapshot {
        GArray *entries; /* of DlStoreEntry; NULL if there was an error */
        int64_t revision;
        bool complete; /* see changes() */
} DlStoreSnapshot;

typedef struct DlStoreBackend DlStoreBackend;

typedef struct DlStoreBackendVtable {
        const char *engine;

        /* Sorted by key. exact: only the key that equals prefix. */
        bool (*range)(DlStoreBackend *backend, const char *prefix, bool exact, DlStoreSnapshot *ret,
                      GError **error);

        bool (*txn)(DlStoreBackend *backend, const DlStoreCompare *compares, size_t n_compares,
                    const DlStoreOp *ops, size_t n_ops, bool *ret_succeeded, int64_t *ret_revision,
                    GError **error);

        /*
         * What changed after that revision, sorted by revision, deleted keys (value NULL) included;
         * cheap if nothing did. If the engine no longer knows all the deletions since then, all
         * keys instead, with ret->complete set.
         */
        bool (*changes)(DlStoreBackend *backend, int64_t after, DlStoreSnapshot *ret,
                        GError **error);

        void (*free)(DlStoreBackend *backend);
} DlStoreBackendVtable;

/* The first member of an engine's own struct. */
struct DlStoreBackend {
        const DlStoreBackendVtable *vtable;
};

/* Takes the backend. */
DlStore *dl_store_new(sd_event *event, DlWorkers *workers, DlStoreBackend *backend);

/* Sorted by nothing: in the order of the calls. value NULL is a deletion. */
void dl_store_snapshot_init(DlStoreSnapshot *snapshot);
void dl_store_snapshot_add(DlStoreSnapshot *snapshot, const char *key, const char *value,
                           int64_t create_revision, int64_t mod_revision);
void dl_store_snapshot_clear(DlStoreSnapshot *snapshot); /* of zeroes, too */
