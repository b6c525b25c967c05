/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The front of the store: requests and their order. The loop thread owns the store and its list of
 * requests; a worker executes one request at a time through the gate. When the store is freed, the
 * loop thread takes the gate and executes what the worker did not get to. A request is freed by the
 * worker pool, after its callback or instead of it.
 */

#include "store-private.h"
#include "util/error.h"

#include <string.h>

/* A snapshot. */

static void entry_clear(gpointer data)
{
        DlStoreEntry *entry = data;

        g_free((char *)entry->key);
        g_free((char *)entry->value);
}

void dl_store_snapshot_init(DlStoreSnapshot *snapshot)
{
        dl_store_snapshot_clear(snapshot);
        snapshot->entries = g_array_new(FALSE, FALSE, sizeof(DlStoreEntry));
        g_array_set_clear_func(snapshot->entries, entry_clear);
}

void dl_store_snapshot_add(DlStoreSnapshot *snapshot, const char *key, const char *value,
                           int64_t create_revision, int64_t mod_revision)
{
        DlStoreEntry entry = {
                .key = g_strdup(key),
                .value = g_strdup(value),
                .create_revision = create_revision,
                .mod_revision = mod_revision,
        };

        g_array_append_val(snapshot->entries, entry);
}

void dl_store_snapshot_clear(DlStoreSnapshot *snapshot)
{
        if (snapshot->entries)
                g_array_unref(snapshot->entries);
        *snapshot = (DlStoreSnapshot){0};
}

/* The gate. */

static DlStoreGate *gate_new(DlStoreBackend *backend)
{
        DlStoreGate *gate = g_new0(DlStoreGate, 1);

        gate->n_ref = 1;
        gate->backend = backend;
        g_mutex_init(&gate->lock);
        return gate;
}

static DlStoreGate *gate_ref(DlStoreGate *gate)
{
        g_atomic_int_inc(&gate->n_ref);
        return gate;
}

static void gate_unref(DlStoreGate *gate)
{
        if (!g_atomic_int_dec_and_test(&gate->n_ref))
                return;
        g_mutex_clear(&gate->lock);
        g_free(gate);
}

/* With the gate's lock. */
static void execute(DlStoreRequest *r)
{
        DlStoreBackend *backend = r->gate->backend;

        if (r->executed || r->error || !backend)
                return;
        r->executed = true;
        switch (r->type) {
        case DL_STORE_RANGE:
                (void)backend->vtable->range(backend, r->prefix, r->exact, &r->snapshot, &r->error);
                break;
        case DL_STORE_TXN:
                (void)backend->vtable->txn(backend, r->compares, r->n_compares, r->ops, r->n_ops,
                                           &r->succeeded, &r->revision, &r->error);
                break;
        case DL_STORE_CHANGES:
                (void)backend->vtable->changes(backend, r->after, &r->snapshot, &r->error);
                break;
        }
}

static void execute_on_worker(void *data)
{
        DlStoreRequest *r = data;

        g_mutex_lock(&r->gate->lock);
        execute(r);
        g_mutex_unlock(&r->gate->lock);
}

/* Requests. */

static void request_free(void *data)
{
        DlStoreRequest *r = data;

        if (r->store)
                g_queue_unlink(&r->store->requests, &r->link);
        for (size_t i = 0; i < r->n_compares; i++)
                g_free((char *)r->compares[i].key);
        for (size_t i = 0; i < r->n_ops; i++) {
                g_free((char *)r->ops[i].key);
                g_free((char *)r->ops[i].value);
        }
        g_free(r->compares);
        g_free(r->ops);
        g_free(r->prefix);
        dl_store_snapshot_clear(&r->snapshot);
        g_clear_error(&r->error);
        gate_unref(r->gate);
        g_free(r);
}

static void call_ranged(DlStoreRequest *r)
{
        static const DlStoreEntry none; /* an empty array has no data, but only errors give NULL */
        GArray *entries = r->snapshot.entries;

        if (r->error)
                r->ranged(NULL, 0, 0, r->error, r->userdata);
        else
                r->ranged(entries->len > 0 ? (const DlStoreEntry *)(void *)entries->data : &none,
                          entries->len, r->snapshot.revision, NULL, r->userdata);
}

static void done(void *data)
{
        DlStoreRequest *r = data;
        DlStore *store = r->store;

        if (!store)
                return;
        dl_store_ref(store);
        if (r->type == DL_STORE_TXN && r->succeeded && r->n_ops > 0)
                dl_store_watch_look(store);
        if (r->finished)
                r->finished(r, r->userdata);
        else if (r->ranged)
                call_ranged(r);
        else if (r->committed)
                r->committed(r->succeeded, r->revision, r->error, r->userdata);
        dl_store_unref(store);
}

DlStoreRequest *dl_store_request_new(DlStore *store, DlStoreRequestType type, void *userdata)
{
        DlStoreRequest *r = g_new0(DlStoreRequest, 1);

        r->store = store;
        r->link.data = r;
        r->gate = gate_ref(store->gate);
        r->type = type;
        r->userdata = userdata;
        g_queue_push_tail_link(&store->requests, &r->link);
        return r;
}

DlStoreRequest *dl_store_request_submit(DlStoreRequest *r)
{
        dl_workers_submit(r->store->workers, r->store->worker_key, execute_on_worker, done, r,
                          request_free);
        return r;
}

void dl_store_cancel(DlStoreRequest *request)
{
        if (!request)
                return;
        request->ranged = NULL;
        request->committed = NULL;
        request->finished = NULL;
}

/* Arguments. */

static bool check_text(const char *what, const char *text, size_t size_min, size_t size_max,
                       GError **error)
{
        size_t size = strnlen(text, size_max + 1);

        if (size > size_max) {
                g_set_error(error, DL_ERROR, DL_ERROR_LIMITS_EXCEEDED,
                            "A %s of the store has at most %zu bytes", what, size_max);
                return false;
        }
        if (size < size_min || !g_utf8_validate(text, (gssize)size, NULL)) {
                g_set_error(error, DL_ERROR, DL_ERROR_INVALID_ARGS, "A %s of the store must be %s",
                            what, size < size_min ? "more than nothing" : "UTF-8 text");
                return false;
        }
        return true;
}

static bool check_compares(const DlStoreCompare *compares, size_t n, GError **error)
{
        for (size_t i = 0; i < n; i++) {
                if (!check_text("key", compares[i].key, 1, DL_STORE_KEY_MAX, error))
                        return false;
                if (compares[i].mod_revision < 0) {
                        g_set_error(error, DL_ERROR, DL_ERROR_INVALID_ARGS,
                                    "A revision cannot be negative");
                        return false;
                }
        }
        return true;
}

static bool check_ops(const DlStoreOp *ops, size_t n, GError **error)
{
        g_autoptr(GHashTable) keys = g_hash_table_new(g_str_hash, g_str_equal);

        for (size_t i = 0; i < n; i++) {
                if (!check_text("key", ops[i].key, 1, DL_STORE_KEY_MAX, error))
                        return false;
                if (ops[i].value &&
                    !check_text("value", ops[i].value, 0, DL_STORE_VALUE_MAX, error))
                        return false;
                if (!g_hash_table_add(keys, (char *)ops[i].key)) {
                        g_set_error(error, DL_ERROR, DL_ERROR_INVALID_ARGS,
                                    "A transaction can change a key only once");
                        return false;
                }
        }
        return true;
}

static bool check_txn(const DlStoreCompare *compares, size_t n_compares, const DlStoreOp *ops,
                      size_t n_ops, GError **error)
{
        if (n_compares > DL_STORE_TXN_MAX || n_ops > DL_STORE_TXN_MAX) {
                g_set_error(error, DL_ERROR, DL_ERROR_LIMITS_EXCEEDED,
                            "A transaction has at most %d comparisons and %d operations",
                            DL_STORE_TXN_MAX, DL_STORE_TXN_MAX);
                return false;
        }
        return check_compares(compares, n_compares, error) && check_ops(ops, n_ops, error);
}

/* The calls. */

static DlStoreRequest *range(DlStore *store, const char *prefix, bool exact, DlStoreRanged ranged,
                             void *userdata)
{
        DlStoreRequest *r = dl_store_request_new(store, DL_STORE_RANGE, userdata);

        if (check_text("key", prefix, exact ? 1 : 0, DL_STORE_KEY_MAX, &r->error))
                r->prefix = g_strdup(prefix);
        r->exact = exact;
        r->ranged = ranged;
        return dl_store_request_submit(r);
}

DlStoreRequest *dl_store_range(DlStore *store, const char *prefix, DlStoreRanged ranged,
                               void *userdata)
{
        return range(store, prefix, false, ranged, userdata);
}

DlStoreRequest *dl_store_get(DlStore *store, const char *key, DlStoreRanged ranged, void *userdata)
{
        return range(store, key, true, ranged, userdata);
}

static void copy_txn(DlStoreRequest *r, const DlStoreCompare *compares, size_t n_compares,
                     const DlStoreOp *ops, size_t n_ops)
{
        r->compares = g_new(DlStoreCompare, n_compares);
        r->n_compares = n_compares;
        for (size_t i = 0; i < n_compares; i++)
                r->compares[i] = (DlStoreCompare){
                        .key = g_strdup(compares[i].key),
                        .mod_revision = compares[i].mod_revision,
                };
        r->ops = g_new(DlStoreOp, n_ops);
        r->n_ops = n_ops;
        for (size_t i = 0; i < n_ops; i++)
                r->ops[i] = (DlStoreOp){
                        .key = g_strdup(ops[i].key),
                        .value = g_strdup(ops[i].value),
                };
}

DlStoreRequest *dl_store_txn(DlStore *store, const DlStoreCompare *compares, size_t n_compares,
                             const DlStoreOp *ops, size_t n_ops, DlStoreCommitted committed,
                             void *userdata)
{
        DlStoreRequest *r = dl_store_request_new(store, DL_STORE_TXN, userdata);

        if (check_txn(compares, n_compares, ops, n_ops, &r->error))
                copy_txn(r, compares, n_compares, ops, n_ops);
        r->committed = committed;
        return dl_store_request_submit(r);
}

const char *dl_store_engine(const DlStore *store)
{
        return store->engine;
}

/* The store. */

DlStore *dl_store_new(sd_event *event, DlWorkers *workers, DlStoreBackend *backend)
{
        DlStore *store = g_new0(DlStore, 1);

        store->n_ref = 1;
        store->event = sd_event_ref(event);
        store->workers = workers;
        store->worker_key = g_strdup_printf("store:%p", (void *)store);
        store->gate = gate_new(backend);
        store->engine = backend->vtable->engine;
        store->watches = g_ptr_array_new();
        g_queue_init(&store->requests);
        return store;
}

DlStore *dl_store_ref(DlStore *store)
{
        store->n_ref++;
        return store;
}

void dl_store_unref(DlStore *store)
{
        if (--store->n_ref > 0)
                return;
        g_ptr_array_unref(store->watches);
        gate_unref(store->gate);
        sd_event_unref(store->event);
        g_free(store->worker_key);
        g_free(store);
}

/* The items stay with the worker pool, which finds nothing left to do for them. */
static void complete_requests(DlStore *store)
{
        DlStoreGate *gate = store->gate;
        GList *link;

        g_mutex_lock(&gate->lock);
        while ((link = g_queue_pop_head_link(&store->requests))) {
                DlStoreRequest *r = link->data;

                if (r->type == DL_STORE_TXN)
                        execute(r);
                r->store = NULL;
        }
        gate->backend->vtable->free(gate->backend);
        gate->backend = NULL;
        g_mutex_unlock(&gate->lock);
}

void dl_store_free(DlStore *store)
{
        if (!store)
                return;
        store->closed = true;
        dl_store_watch_close(store);
        complete_requests(store);
        dl_store_unref(store);
}
