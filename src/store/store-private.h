/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the two halves of the front share: requests (store.c) and watches (watch.c). */

#include "store-backend.h"

typedef enum DlStoreRequestType {
        DL_STORE_RANGE,
        DL_STORE_TXN,
        DL_STORE_CHANGES,
} DlStoreRequestType;

typedef void (*DlStoreFinished)(DlStoreRequest *request, void *userdata);

/* The backend, and who may call it now. Shared with the worker. */
typedef struct DlStoreGate {
        gint n_ref;
        GMutex lock;
        DlStoreBackend *backend; /* NULL once closed */
} DlStoreGate;

struct DlStoreRequest {
        /* of the loop thread */
        DlStore *store; /* NULL once the store is freed */
        GList link;
        DlStoreRanged ranged;
        DlStoreCommitted committed;
        DlStoreFinished finished; /* of the front itself, instead of the two above */
        void *userdata;

        /* set before the request is submitted */
        DlStoreGate *gate;
        DlStoreRequestType type;
        char *prefix;
        bool exact;
        int64_t after;
        DlStoreCompare *compares;
        size_t n_compares;
        DlStoreOp *ops;
        size_t n_ops;

        /* under the gate's lock until the worker has given it back */
        bool executed;
        DlStoreSnapshot snapshot;
        bool succeeded;
        int64_t revision;
        GError *error;
};

struct DlStore {
        int n_ref; /* the owner, and whoever calls callbacks right now */
        bool closed;
        sd_event *event;
        DlWorkers *workers;
        char *worker_key;
        DlStoreGate *gate;
        const char *engine;
        GQueue requests; /* in the order of submission */

        GPtrArray *watches;
        bool dispatching; /* a watch that goes now is only marked */
        int64_t looked;   /* changes up to this revision were reported */
        DlStoreRequest *look;
        bool look_again;
        bool look_failed;
        sd_event_source *timer;
};

DlStore *dl_store_ref(DlStore *store);
void dl_store_unref(DlStore *store);

DlStoreRequest *dl_store_request_new(DlStore *store, DlStoreRequestType type, void *userdata);
DlStoreRequest *dl_store_request_submit(DlStoreRequest *request);

void dl_store_watch_look(DlStore *store); /* something may have changed */
void dl_store_watch_close(DlStore *store);
