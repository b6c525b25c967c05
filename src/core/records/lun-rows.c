/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Batches of rows of LUNs, and who waits for them. Loop thread only. */

#include "core/records/lun-rows.h"
#include "core/steps/kill-point.h"

#include <string.h>

#define OPS_MAX        128 /* in one of the store's transactions */
#define LUN_DELAY_USEC (50 * 1000)

typedef struct Waiter {
        void (*done)(void *userdata);
        void *userdata;
} Waiter;

struct DlLunRows {
        DlCore *core;
        GHashTable *waiting;    /* key → value, NULL: to be deleted */
        unsigned n_batches;     /* in flight */
        GArray *current, *next; /* Waiter: for what is in flight, and for what is waiting */
        sd_event_source *timer; /* a moment after the first that waits */
        sd_event_source *over;  /* pending while somebody is to be told */
};

typedef struct Batch {
        DlLunRows *rows;
        size_t n;
        DlStoreOp ops[OPS_MAX]; /* own copies */
} Batch;

static void batch_free(void *p)
{
        Batch *batch = p;

        for (size_t i = 0; i < batch->n; i++) {
                g_free((char *)batch->ops[i].key);
                g_free((char *)batch->ops[i].value);
        }
        g_free(batch);
}

static void on_batch_written(bool succeeded, int64_t revision, const GError *error, void *userdata);

static void submit(Batch *batch)
{
        DlCore *core = batch->rows->core;

        batch->rows->n_batches++;
        dl_core_keep_call(core, batch, batch_free);
        dl_store_txn(core->store, NULL, 0, batch->ops, batch->n, on_batch_written, batch);
        dl_kill_point("lun", 0, "submitted");
}

/* A row that the store does not take must not take the others with it. */
static void submit_one_by_one(Batch *batch)
{
        for (size_t i = 0; i < batch->n; i++) {
                Batch *one = g_new0(Batch, 1);

                *one = (Batch){.rows = batch->rows, .n = 1};
                one->ops[0] = batch->ops[i];
                submit(one);
        }
        batch->n = 0;
}

static void on_batch_failed(const Batch *batch, const GError *error)
{
        for (size_t i = 0; i < batch->n; i++) {
                DlLun *lun = DL_LOOKUP_LUN(batch->rows->core, batch->ops[i].key + strlen("lun/"));

                if (lun) /* so that it is written after the next look */
                        g_clear_pointer(&lun->stored, g_free);
        }
        dl_warning("What is known of LUNs could not be stored: %s", error->message);
}

static void submit_all(DlLunRows *rows)
{
        while (g_hash_table_size(rows->waiting) > 0) {
                Batch *batch = g_new0(Batch, 1);
                GHashTableIter iter;
                gpointer key, value;

                batch->rows = rows;
                g_hash_table_iter_init(&iter, rows->waiting);
                while (batch->n < OPS_MAX && g_hash_table_iter_next(&iter, &key, &value)) {
                        batch->ops[batch->n++] = (DlStoreOp){.key = key, .value = value};
                        g_hash_table_iter_steal(&iter);
                }
                submit(batch);
        }
}

/* All that waits is in flight now; if that is nothing, it is over at once. */
static void go(DlLunRows *rows)
{
        GArray *current = rows->current;

        rows->timer = sd_event_source_disable_unref(rows->timer);
        rows->current = rows->next;
        rows->next = current; /* empty: those were told */
        submit_all(rows);
        if (rows->n_batches == 0 && rows->current->len > 0)
                (void)sd_event_source_set_enabled(rows->over, SD_EVENT_ONESHOT);
}

static bool is_wanted(const DlLunRows *rows)
{
        return rows->next->len > 0 || g_hash_table_size(rows->waiting) > 0;
}

static int on_over(sd_event_source *source, void *userdata)
{
        DlLunRows *rows = userdata;
        g_autoptr(GArray) told = rows->current;

        rows->current = g_array_new(FALSE, FALSE, sizeof(Waiter));
        if (is_wanted(rows))
                go(rows);
        for (unsigned i = 0; i < told->len; i++) {
                const Waiter *waiter = &g_array_index(told, Waiter, i);

                waiter->done(waiter->userdata);
        }
        return 0;
}

static void on_batch_written(bool succeeded, int64_t revision, const GError *error, void *userdata)
{
        Batch *batch = userdata;
        DlLunRows *rows = batch->rows;

        rows->n_batches--;
        dl_core_take_call(rows->core, batch);
        dl_kill_point("lun", 0, "committed");
        if (error && batch->n > 1 && dl_error_code(error) != DL_ERROR_ENGINE_UNAVAILABLE)
                submit_one_by_one(batch);
        else if (error)
                on_batch_failed(batch, error);
        rows->core->n_writes -= (unsigned)batch->n;
        batch_free(batch);
        if (rows->n_batches == 0)
                (void)sd_event_source_set_enabled(rows->over, SD_EVENT_ONESHOT);
}

static bool is_in_flight(const DlLunRows *rows)
{
        int state = SD_EVENT_OFF;

        (void)sd_event_source_get_enabled(rows->over, &state);
        return rows->n_batches > 0 || state != SD_EVENT_OFF;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
        if (!is_in_flight(userdata))
                go(userdata);
        return 0;
}

void dl_lun_rows_write(DlLunRows *rows, const char *guid, const char *value)
{
        char *key = dl_persist_lun_key(guid);

        if (!g_hash_table_contains(rows->waiting, key))
                rows->core->n_writes++;
        g_hash_table_replace(rows->waiting, key, g_strdup(value));
        if (!rows->timer &&
            sd_event_add_time_relative(rows->core->event, &rows->timer, CLOCK_MONOTONIC,
                                       LUN_DELAY_USEC, 0, on_timer, rows) < 0)
                submit_all(rows);
}

void dl_lun_rows_then(DlLunRows *rows, void (*done)(void *userdata), void *userdata)
{
        Waiter waiter = {done, userdata};

        g_array_append_val(rows->next, waiter);
        if (!is_in_flight(rows))
                go(rows);
}

void dl_lun_rows_flush(DlLunRows *rows)
{
        submit_all(rows);
}

DlLunRows *dl_lun_rows_new(DlCore *core)
{
        DlLunRows *rows = g_new0(DlLunRows, 1);

        *rows = (DlLunRows){
                .core = core,
                .waiting = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free),
                .current = g_array_new(FALSE, FALSE, sizeof(Waiter)),
                .next = g_array_new(FALSE, FALSE, sizeof(Waiter)),
        };
        if (sd_event_add_defer(core->event, &rows->over, on_over, rows) >= 0)
                (void)sd_event_source_set_enabled(rows->over, SD_EVENT_OFF);
        return rows;
}

void dl_lun_rows_free(DlLunRows *rows)
{
        if (!rows)
                return;
        sd_event_source_disable_unref(rows->timer);
        sd_event_source_disable_unref(rows->over);
        g_array_unref(rows->current);
        g_array_unref(rows->next);
        g_hash_table_unref(rows->waiting);
        g_free(rows);
}
