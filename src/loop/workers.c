/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Worker pool. The loop thread owns every DlWork and all queues; a worker sees only the item that
 * was handed to it through the GThreadPool and gives it back through the finished queue and an
 * eventfd. So the only data shared between threads are two GAsyncQueues and two atomic flags:
 * whether an item has begun, and whether the pool is being freed.
 */

#include "workers.h"

#include "handover.h"

#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct DlWork {
        DlWorkers *workers;
        char *key;
        DlWorkFunc work;
        DlDoneFunc done;
        void *data;
        GDestroyNotify free_data;
        gboolean cancelled; /* of the loop thread */
        gint state; /* atomic: who is first, the worker that begins or the loop that cancels */
};

enum {
        WAITING,
        BEGUN,
        DROPPED,
};

struct DlWorkers {
        GThreadPool *pool;
        GAsyncQueue *finished;
        int wakeup_fd;
        sd_event_source *wakeup;
        /* key → GQueue of DlWork that wait for the running item of that key. A key is in the table
         * as long as an item of it runs. */
        GHashTable *busy;
        unsigned pending;
        gint closing; /* atomic: nothing begins any more */
};

static void work_free(DlWork *work)
{
        if (work->free_data)
                work->free_data(work->data);
        work->workers->pending--;
        g_free(work->key);
        g_free(work);
}

static void run_on_worker(gpointer item, gpointer userdata)
{
        DlWork *work = item;
        DlWorkers *workers = userdata;
        uint64_t one = 1;

        dl_take_over(work);
        if (!g_atomic_int_get(&workers->closing) &&
            g_atomic_int_compare_and_exchange(&work->state, WAITING, BEGUN))
                work->work(work->data);
        dl_hand_over(work);
        g_async_queue_push(workers->finished, work);
        /* Fails only if the counter is full, and then the loop is already woken. */
        while (write(workers->wakeup_fd, &one, sizeof one) < 0 && errno == EINTR)
                ;
        dl_hand_over(workers); /* for dl_workers_free() */
}

static void give_to_worker(DlWork *work)
{
        dl_hand_over(work);
        g_thread_pool_push(work->workers->pool, work, NULL);
}

/* NULL: none has finished. */
static DlWork *take_finished(DlWorkers *workers)
{
        DlWork *work = g_async_queue_try_pop(workers->finished);

        if (work)
                dl_take_over(work);
        return work;
}

static void start_next_of_key(DlWorkers *workers, const char *key)
{
        GQueue *waiting = g_hash_table_lookup(workers->busy, key);
        DlWork *next = g_queue_pop_head(waiting);

        if (next)
                give_to_worker(next);
        else
                g_hash_table_remove(workers->busy, key);
}

static void finish(DlWork *work)
{
        if (work->key)
                start_next_of_key(work->workers, work->key);
        if (!work->cancelled && work->done)
                work->done(work->data);
        work_free(work);
}

static int on_wakeup(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
        DlWorkers *workers = userdata;
        uint64_t count;
        DlWork *work;

        (void)source;
        (void)revents;
        if (read(fd, &count, sizeof count) < 0 && errno != EAGAIN && errno != EINTR)
                return -errno;
        while ((work = take_finished(workers)))
                finish(work);
        return 0;
}

int dl_workers_new(sd_event *event, unsigned n_threads, DlWorkers **ret)
{
        DlWorkers *workers;
        int fd, r;

        g_return_val_if_fail(n_threads >= 1 && n_threads <= 64, -EINVAL);

        fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (fd < 0)
                return -errno;

        workers = g_new0(DlWorkers, 1);
        workers->wakeup_fd = fd;
        r = sd_event_add_io(event, &workers->wakeup, fd, EPOLLIN, on_wakeup, workers);
        if (r < 0) {
                close(fd);
                g_free(workers);
                return r;
        }
        (void)sd_event_source_set_description(workers->wakeup, "workers");
        workers->finished = g_async_queue_new();
        workers->busy = g_hash_table_new_full(g_str_hash, g_str_equal, g_free,
                                              (GDestroyNotify)g_queue_free);
        workers->pool = g_thread_pool_new(run_on_worker, workers, (int)n_threads, FALSE, NULL);
        *ret = workers;
        return 0;
}

static void drop_waiting(DlWorkers *workers)
{
        GHashTableIter iter;
        gpointer waiting;

        g_hash_table_iter_init(&iter, workers->busy);
        while (g_hash_table_iter_next(&iter, NULL, &waiting)) {
                DlWork *work;

                while ((work = g_queue_pop_head(waiting)))
                        work_free(work);
        }
}

bool dl_workers_drain(DlWorkers *workers, uint64_t timeout_usec)
{
        gint64 deadline = g_get_monotonic_time() + (gint64)timeout_usec;

        g_atomic_int_set(&workers->closing, 1);
        drop_waiting(workers);
        while (workers->pending > 0) {
                struct pollfd p = {.fd = workers->wakeup_fd, .events = POLLIN};
                gint64 left = deadline - g_get_monotonic_time();
                uint64_t count;
                DlWork *work;

                if (left <= 0)
                        return false;
                if (poll(&p, 1, (int)MIN(left / 1000 + 1, G_MAXINT)) > 0)
                        (void)!read(workers->wakeup_fd, &count, sizeof count);
                while ((work = take_finished(workers)))
                        work_free(work);
        }
        return true;
}

void dl_workers_free(DlWorkers *workers)
{
        DlWork *work;

        if (!workers)
                return;
        g_atomic_int_set(&workers->closing, 1);
        drop_waiting(workers);
        g_thread_pool_free(workers->pool, FALSE, TRUE);
        dl_take_over(workers);
        while ((work = take_finished(workers)))
                work_free(work);

        sd_event_source_disable_unref(workers->wakeup);
        close(workers->wakeup_fd);
        g_async_queue_unref(workers->finished);
        g_hash_table_unref(workers->busy);
        g_free(workers);
}

DlWork *dl_workers_submit(DlWorkers *workers, const char *key, DlWorkFunc work, DlDoneFunc done,
                          void *data, GDestroyNotify free_data)
{
        DlWork *w = g_new0(DlWork, 1);
        GQueue *waiting = key ? g_hash_table_lookup(workers->busy, key) : NULL;

        *w = (DlWork){
                .workers = workers,
                .key = g_strdup(key),
                .work = work,
                .done = done,
                .data = data,
                .free_data = free_data,
        };
        workers->pending++;

        if (waiting) {
                g_queue_push_tail(waiting, w);
                return w;
        }
        if (key)
                g_hash_table_insert(workers->busy, g_strdup(key), g_queue_new());
        give_to_worker(w);
        return w;
}

void dl_work_cancel(DlWork *work)
{
        GQueue *waiting;

        if (!work)
                return;
        work->cancelled = TRUE;
        (void)g_atomic_int_compare_and_exchange(&work->state, WAITING, DROPPED);

        /* Waiting behind another item of its key: it can go at once. Else it runs, or is about to.
         */
        waiting = work->key ? g_hash_table_lookup(work->workers->busy, work->key) : NULL;
        if (waiting && g_queue_remove(waiting, work))
                work_free(work);
}

unsigned dl_workers_pending(const DlWorkers *workers)
{
        return workers->pending;
}
