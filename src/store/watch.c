/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Watches. One look at the store's changes serves all of them: after a transaction of our own, and
 * each second for those of others, as long as there is a watch. Loop thread only; a watch belongs
 * to the store once it is dead, to its user before.
 */

#include "store-private.h"
#include "util/log.h"

#include <string.h>

#define LOOK_USEC     UINT64_C(1000000)
#define ACCURACY_USEC UINT64_C(250000)

struct DlStoreWatch {
        DlStore *store;
        char *prefix;
        DlStoreChanged changed; /* NULL: dead */
        void *userdata;
        DlStoreRequest *begin; /* finds out where the watch begins */
        bool active;
        int64_t start; /* reports what is after this revision */
        /* The keys that are there, so that a deletion is noticed even when the engine no longer
         * knows of it. */
        GHashTable *keys;
};

static void watch_free(DlStoreWatch *watch)
{
        dl_store_cancel(watch->begin);
        g_hash_table_unref(watch->keys);
        g_free(watch->prefix);
        g_free(watch);
}

static bool any_active(DlStore *store)
{
        for (guint i = 0; i < store->watches->len; i++) {
                DlStoreWatch *watch = store->watches->pdata[i];

                if (watch->active && watch->changed)
                        return true;
        }
        return false;
}

static void submit_begin(DlStoreWatch *watch);

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
        DlStore *store = userdata;

        for (guint i = 0; i < store->watches->len; i++) {
                DlStoreWatch *watch = store->watches->pdata[i];

                if (!watch->active && !watch->begin)
                        submit_begin(watch);
        }
        dl_store_watch_look(store);
        return 0;
}

/* The next look without a cause of our own; none if nobody watches. */
static void arm_timer(DlStore *store)
{
        int r;

        sd_event_source_disable_unref(g_steal_pointer(&store->timer));
        if (store->watches->len == 0)
                return;
        r = sd_event_add_time_relative(store->event, &store->timer, CLOCK_MONOTONIC, LOOK_USEC,
                                       ACCURACY_USEC, on_timer, store);
        if (r < 0)
                dl_warning("store: no timer to watch the changes of others: %s", g_strerror(-r));
}

static void report(DlStoreWatch *watch, const DlStoreEntry *entry)
{
        if (!watch->changed || !watch->active || entry->mod_revision <= watch->start ||
            !g_str_has_prefix(entry->key, watch->prefix))
                return;
        if (entry->value)
                g_hash_table_add(watch->keys, g_strdup(entry->key));
        else
                g_hash_table_remove(watch->keys, entry->key);
        watch->changed(entry, watch->userdata);
}

/* Deletions that the engine forgot: the keys that were there and are not in all that there is. */
static void report_missing(DlStoreWatch *watch, const DlStoreSnapshot *all)
{
        g_autoptr(GHashTable) present = g_hash_table_new(g_str_hash, g_str_equal);
        g_autoptr(GPtrArray) missing = g_ptr_array_new_with_free_func(g_free);
        GHashTableIter iter;
        gpointer key;

        for (guint i = 0; i < all->entries->len; i++)
                g_hash_table_add(present, (char *)g_array_index(all->entries, DlStoreEntry, i).key);
        g_hash_table_iter_init(&iter, watch->keys);
        while (g_hash_table_iter_next(&iter, &key, NULL))
                if (!g_hash_table_contains(present, key))
                        g_ptr_array_add(missing, g_strdup(key));
        for (guint i = 0; i < missing->len; i++) {
                DlStoreEntry entry = {.key = missing->pdata[i], .mod_revision = all->revision};

                report(watch, &entry);
        }
}

static void sweep(DlStore *store)
{
        for (guint i = store->watches->len; i-- > 0;) {
                DlStoreWatch *watch = store->watches->pdata[i];

                if (!watch->changed) {
                        g_ptr_array_remove_index(store->watches, i);
                        watch_free(watch);
                }
        }
}

/* A callback may add and remove watches, and free the store. */
static void dispatch(DlStore *store, const DlStoreSnapshot *changes)
{
        guint n_watches = store->watches->len;

        store->dispatching = true;
        for (guint i = 0; i < changes->entries->len; i++)
                for (guint k = 0; k < n_watches; k++)
                        report(store->watches->pdata[k],
                               &g_array_index(changes->entries, DlStoreEntry, i));
        for (guint k = 0; k < n_watches; k++) {
                DlStoreWatch *watch = store->watches->pdata[k];

                if (changes->complete)
                        report_missing(watch, changes);
                watch->start = MAX(watch->start, changes->revision);
        }
        store->dispatching = false;
        sweep(store);
}

static void on_looked(DlStoreRequest *request, void *userdata)
{
        DlStore *store = userdata;
        bool again = store->look_again;

        store->look = NULL;
        store->look_again = false;
        if (request->error) {
                if (!store->look_failed)
                        dl_warning("store: cannot watch for changes, trying again: %s",
                                   request->error->message);
                store->look_failed = true;
        } else {
                store->look_failed = false;
                store->looked = MAX(store->looked, request->snapshot.revision);
                dispatch(store, &request->snapshot);
        }
        if (store->closed)
                return;
        if (again)
                dl_store_watch_look(store);
        arm_timer(store);
}

void dl_store_watch_look(DlStore *store)
{
        if (store->closed || !any_active(store))
                return;
        if (store->look) {
                store->look_again = true;
                return;
        }
        store->look = dl_store_request_new(store, DL_STORE_CHANGES, store);
        store->look->after = store->looked;
        store->look->finished = on_looked;
        dl_store_request_submit(store->look);
}

static void on_begun(DlStoreRequest *request, void *userdata)
{
        DlStoreWatch *watch = userdata;
        DlStore *store = watch->store;

        watch->begin = NULL;
        if (request->error) {
                if (!store->look_failed)
                        dl_warning("store: cannot begin to watch, trying again: %s",
                                   request->error->message);
                store->look_failed = true;
                arm_timer(store);
                return;
        }
        if (!any_active(store))
                store->looked = MAX(store->looked, request->snapshot.revision);
        for (guint i = 0; i < request->snapshot.entries->len; i++)
                g_hash_table_add(
                        watch->keys,
                        g_strdup(g_array_index(request->snapshot.entries, DlStoreEntry, i).key));
        watch->start = request->snapshot.revision;
        watch->active = true;
        /* Transactions of our own may have been carried out since, before anyone watched. */
        dl_store_watch_look(store);
}

static void submit_begin(DlStoreWatch *watch)
{
        watch->begin = dl_store_request_new(watch->store, DL_STORE_RANGE, watch);
        watch->begin->prefix = g_strdup(watch->prefix);
        watch->begin->finished = on_begun;
        dl_store_request_submit(watch->begin);
}

DlStoreWatch *dl_store_watch(DlStore *store, const char *prefix, DlStoreChanged changed,
                             void *userdata)
{
        DlStoreWatch *watch;

        g_return_val_if_fail(changed && !store->closed, NULL);

        watch = g_new0(DlStoreWatch, 1);
        watch->store = store;
        watch->prefix = g_strdup(prefix);
        watch->changed = changed;
        watch->userdata = userdata;
        watch->keys = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
        g_ptr_array_add(store->watches, watch);
        submit_begin(watch);
        return watch;
}

void dl_store_unwatch(DlStoreWatch *watch)
{
        if (!watch)
                return;
        dl_store_cancel(g_steal_pointer(&watch->begin));
        watch->changed = NULL;
        if (watch->store->dispatching)
                return;
        g_ptr_array_remove(watch->store->watches, watch);
        watch_free(watch);
}

void dl_store_watch_close(DlStore *store)
{
        for (guint i = 0; i < store->watches->len; i++) {
                DlStoreWatch *watch = store->watches->pdata[i];

                dl_store_cancel(g_steal_pointer(&watch->begin));
                watch->changed = NULL;
        }
        if (!store->dispatching)
                sweep(store);
        sd_event_source_disable_unref(g_steal_pointer(&store->timer));
}
