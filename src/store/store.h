/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What must survive: a revisioned key-value store in the shape of etcd's, so that one host (SQLite)
 * and a cluster (etcd) look alike. Keys are UTF-8, '/'-separated, at most 512 bytes; values are
 * UTF-8 text (JSON by convention), at most 1 MiB.
 *
 * Every transaction that changes something gets the next revision, a number that only grows. Reads
 * and transactions are asynchronous: callbacks run on the loop thread, never from within the call,
 * and in the order of submission for one store. Results are borrowed for the callback's duration.
 * All functions: loop thread only.
 */

#include "loop/workers.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct DlStore DlStore;
typedef struct DlStoreRequest DlStoreRequest;
typedef struct DlStoreWatch DlStoreWatch;

typedef struct DlStoreEntry {
        const char *key;
        const char *value;
        int64_t create_revision;
        int64_t mod_revision;
} DlStoreEntry;

/* A condition on one key: its mod_revision equals this; 0 means that it does not exist. */
typedef struct DlStoreCompare {
        const char *key;
        int64_t mod_revision;
} DlStoreCompare;

/* value NULL deletes the key (no error if it does not exist). */
typedef struct DlStoreOp {
        const char *key;
        const char *value;
} DlStoreOp;

/*
 * Opens, or makes, the database file; migrates an older one. A damaged database, or one made by a
 * newer version, is refused (EngineUnavailable) and left exactly as it is. Blocks: for the start of
 * the service, before the loop runs.
 */
DlStore *dl_store_open_sqlite(sd_event *event, DlWorkers *workers, const char *path,
                              GError **error);

/*
 * Completes what was submitted (callbacks are dropped, writes are not), for which it blocks. Before
 * dl_workers_free(). Requests and watches are gone after it. Takes NULL.
 */
void dl_store_free(DlStore *store);

/*
 * entries is NULL if error is set: EngineUnavailable (try again later), or InvalidArgs or
 * LimitsExceeded for what cannot be a key. Sorted by key. revision: the store's, at the time of the
 * read.
 */
typedef void (*DlStoreRanged)(const DlStoreEntry *entries, size_t n_entries, int64_t revision,
                              const GError *error, void *userdata);

/* All keys that start with prefix ("" is all). */
DlStoreRequest *dl_store_range(DlStore *store, const char *prefix, DlStoreRanged done,
                               void *userdata);

/* The one key, as a range of 0 or 1 entries. */
DlStoreRequest *dl_store_get(DlStore *store, const char *key, DlStoreRanged done, void *userdata);

/* succeeded false, error NULL: a comparison failed, nothing was written. */
typedef void (*DlStoreCommitted)(bool succeeded, int64_t revision, const GError *error,
                                 void *userdata);

/*
 * All or nothing, and durable when the callback says succeeded. At most 128 comparisons and 128
 * operations, one operation a key. done may be NULL. Everything is copied. With an error nothing
 * was written that anybody sees (EngineUnavailable: the disk is full or fails, try again later).
 * Deleting only what does not exist changes nothing: the revision stays.
 */
DlStoreRequest *dl_store_txn(DlStore *store, const DlStoreCompare *compares, size_t n_compares,
                             const DlStoreOp *ops, size_t n_ops, DlStoreCommitted done,
                             void *userdata);

/*
 * The callback will not run; a transaction is carried out all the same. Takes NULL, and not a
 * request whose callback already ran.
 */
void dl_store_cancel(DlStoreRequest *request);

/*
 * One change of a watched key; entry.value is NULL (and create_revision 0) if it was deleted. May
 * call everything here, dl_store_unwatch() and dl_store_free() too.
 */
typedef void (*DlStoreChanged)(const DlStoreEntry *entry, void *userdata);

/*
 * Reports every change under prefix by any user of the database, in the order of revisions, from
 * the loop (never from within a call). It begins at its place in the order of submission: a range
 * submitted just after it misses nothing that the watch does not report. Changes made through this
 * store are reported at once; those made by other processes within about a second (a timer looks
 * for them, which runs only while there are watches). Several changes of one key between two looks
 * may be reported as the last one.
 */
DlStoreWatch *dl_store_watch(DlStore *store, const char *prefix, DlStoreChanged changed,
                             void *userdata);
void dl_store_unwatch(DlStoreWatch *watch); /* takes NULL */

/* "sqlite", "etcd" */
const char *dl_store_engine(const DlStore *store);
