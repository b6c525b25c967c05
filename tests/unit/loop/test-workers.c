/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The worker pool: order within a key, side by side across keys, cancelling, freeing. */

#include "loop/workers.h"

#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>

typedef struct Lab {
        sd_event *event;
        DlWorkers *workers;
        GThread *loop_thread;
        GString *log;         /* of done() and free_data() */
        pthread_mutex_t lock; /* of what follows; not GLib's, which ThreadSanitizer cannot see */
        pthread_cond_t changed;
        GString *worked;
        bool open; /* the gate that gated items wait at */
        unsigned inside;
} Lab;

typedef struct Item {
        Lab *lab;
        char name;
        bool gated;
        unsigned rendezvous; /* wait until that many are inside */
        DlWork *cancel;      /* by done() */
} Item;

static void setup(Lab *lab, gconstpointer n_threads)
{
        *lab = (Lab){
                .loop_thread = g_thread_self(),
                .log = g_string_new(NULL),
                .worked = g_string_new(NULL),
        };
        pthread_mutex_init(&lab->lock, NULL);
        pthread_cond_init(&lab->changed, NULL);
        g_assert_cmpint(sd_event_new(&lab->event), >=, 0);
        g_assert_cmpint(dl_workers_new(lab->event, GPOINTER_TO_UINT(n_threads), &lab->workers), ==,
                        0);
}

static void teardown(Lab *lab, gconstpointer data)
{
        dl_workers_free(lab->workers);
        sd_event_unref(lab->event);
        g_string_free(lab->log, TRUE);
        g_string_free(lab->worked, TRUE);
        pthread_mutex_destroy(&lab->lock);
        pthread_cond_destroy(&lab->changed);
}

static void wait_changed(Lab *lab)
{
        struct timespec deadline;

        clock_gettime(CLOCK_REALTIME, &deadline);
        deadline.tv_sec += 20;
        g_assert_cmpint(pthread_cond_timedwait(&lab->changed, &lab->lock, &deadline), ==, 0);
}

static void work(void *data)
{
        Item *item = data;
        Lab *lab = item->lab;

        g_assert_true(g_thread_self() != lab->loop_thread);
        pthread_mutex_lock(&lab->lock);
        g_string_append_c(lab->worked, item->name);
        lab->inside++;
        pthread_cond_broadcast(&lab->changed);
        while (item->gated && !lab->open)
                wait_changed(lab);
        while (lab->inside < item->rendezvous)
                wait_changed(lab);
        pthread_mutex_unlock(&lab->lock);
}

static void done(void *data)
{
        Item *item = data;

        g_assert_true(g_thread_self() == item->lab->loop_thread);
        g_string_append_c(item->lab->log, item->name);
        dl_work_cancel(item->cancel);
}

static void free_item(void *data)
{
        Item *item = data;

        g_assert_true(g_thread_self() == item->lab->loop_thread);
        g_string_append_c(item->lab->log, '.');
        g_free(item);
}

static Item *item_new(Lab *lab, char name)
{
        Item *item = g_new0(Item, 1);

        item->lab = lab;
        item->name = name;
        return item;
}

static DlWork *submit(Item *item, const char *key)
{
        return dl_workers_submit(item->lab->workers, key, work, done, item, free_item);
}

static DlWork *submit_gated(Lab *lab, char name, const char *key)
{
        Item *item = item_new(lab, name);

        item->gated = true;
        return submit(item, key);
}

static void open_gate(Lab *lab)
{
        pthread_mutex_lock(&lab->lock);
        lab->open = true;
        pthread_cond_broadcast(&lab->changed);
        pthread_mutex_unlock(&lab->lock);
}

/* Until that many items began to work. */
static void wait_inside(Lab *lab, unsigned n)
{
        pthread_mutex_lock(&lab->lock);
        while (lab->inside < n)
                wait_changed(lab);
        pthread_mutex_unlock(&lab->lock);
}

static void drain(Lab *lab)
{
        gint64 deadline = g_get_monotonic_time() + 20 * G_USEC_PER_SEC;

        while (dl_workers_pending(lab->workers) > 0) {
                g_assert_cmpint(g_get_monotonic_time(), <, deadline);
                g_assert_cmpint(sd_event_run(lab->event, 100000), >=, 0);
        }
}

static void test_order_of_key(Lab *lab, gconstpointer data)
{
        for (char name = 'a'; name <= 'z'; name++)
                submit(item_new(lab, name), "key");
        g_assert_cmpuint(dl_workers_pending(lab->workers), ==, 26);
        g_assert_cmpstr(lab->log->str, ==, ""); /* never from within submit */
        drain(lab);
        g_assert_cmpstr(lab->worked->str, ==, "abcdefghijklmnopqrstuvwxyz");
        g_assert_cmpstr(lab->log->str, ==, "a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q.r.s.t.u.v.w.x.y.z.");
}

/* Each waits for all the others to run: they end only if they run side by side. */
static void test_side_by_side(Lab *lab, gconstpointer data)
{
        static const char *const keys[] = {"a", "b", NULL, NULL};

        for (unsigned i = 0; i < 4; i++) {
                Item *item = item_new(lab, (char)('a' + i));

                item->rendezvous = 4;
                submit(item, keys[i]);
        }
        drain(lab);
        g_assert_cmpuint(lab->log->len, ==, 8);
}

static void test_key_does_not_block_others(Lab *lab, gconstpointer data)
{
        submit_gated(lab, 'a', "slow");
        submit(item_new(lab, 'b'), "slow");
        submit(item_new(lab, 'c'), "slow");
        submit(item_new(lab, 'd'), "quick");
        while (lab->log->len < 2)
                g_assert_cmpint(sd_event_run(lab->event, 20 * G_USEC_PER_SEC), >, 0);
        g_assert_cmpstr(lab->log->str, ==, "d.");
        open_gate(lab);
        drain(lab);
        g_assert_cmpstr(lab->log->str, ==, "d.a.b.c.");
}

static void test_cancel_waiting(Lab *lab, gconstpointer data)
{
        DlWork *b;

        dl_work_cancel(NULL);
        submit_gated(lab, 'a', "key");
        b = submit(item_new(lab, 'b'), "key");
        submit(item_new(lab, 'c'), "key");
        dl_work_cancel(b);
        g_assert_cmpstr(lab->log->str, ==, "."); /* its data went at once */
        g_assert_cmpuint(dl_workers_pending(lab->workers), ==, 2);
        open_gate(lab);
        drain(lab);
        g_assert_cmpstr(lab->worked->str, ==, "ac");
        g_assert_cmpstr(lab->log->str, ==, ".a.c.");
}

static void test_cancel_running(Lab *lab, gconstpointer data)
{
        DlWork *a = submit_gated(lab, 'a', "key");

        submit(item_new(lab, 'b'), "key");
        wait_inside(lab, 1);
        dl_work_cancel(a);
        g_assert_cmpstr(lab->log->str, ==, ""); /* the worker still uses the data */
        g_assert_cmpuint(dl_workers_pending(lab->workers), ==, 2);
        open_gate(lab);
        drain(lab);
        g_assert_cmpstr(lab->worked->str, ==, "ab");
        g_assert_cmpstr(lab->log->str, ==, ".b.");
}

/* With one thread: the second was given to the pool, but cannot have begun. */
static void test_cancel_not_begun(Lab *lab, gconstpointer data)
{
        DlWork *b;

        submit_gated(lab, 'a', NULL);
        wait_inside(lab, 1);
        b = submit(item_new(lab, 'b'), NULL);
        dl_work_cancel(b);
        open_gate(lab);
        drain(lab);
        g_assert_cmpstr(lab->worked->str, ==, "a");
        g_assert_null(strchr(lab->log->str, 'b'));
        g_assert_cmpuint(lab->log->len, ==, 3);
}

static void test_cancel_from_done(Lab *lab, gconstpointer data)
{
        Item *a = item_new(lab, 'a');

        a->gated = true;
        submit(a, "one");
        submit(item_new(lab, 'b'), "one");
        a->cancel = submit(item_new(lab, 'c'), "one");
        open_gate(lab);
        drain(lab);
        g_assert_cmpstr(lab->log->str, ==, "a..b.");
}

static void *open_gate_later(void *data)
{
        open_gate(data);
        return NULL;
}

static void test_free_pending(Lab *lab, gconstpointer data)
{
        GThread *opener;

        submit_gated(lab, 'a', "key");
        submit_gated(lab, 'b', "key");
        submit_gated(lab, 'c', "other");
        wait_inside(lab, 2);
        opener = g_thread_new("opener", open_gate_later, lab);
        dl_workers_free(g_steal_pointer(&lab->workers));
        g_thread_join(opener);
        /* What ran has ended, what waited did not begin, all data is gone, no done() was called. */
        g_assert_cmpuint(lab->worked->len, ==, 2);
        g_assert_null(strchr(lab->worked->str, 'b'));
        g_assert_cmpstr(lab->log->str, ==, "...");
}

static void test_drain(Lab *lab, gconstpointer data)
{
        submit_gated(lab, 'a', "key");
        submit_gated(lab, 'b', "key");
        wait_inside(lab, 1);
        g_assert_false(dl_workers_drain(lab->workers, 1000)); /* 'a' runs */
        g_assert_cmpstr(lab->log->str, ==, ".");              /* 'b' never will */
        open_gate(lab);
        g_assert_true(dl_workers_drain(lab->workers, 20 * G_USEC_PER_SEC));
        g_assert_cmpstr(lab->log->str, ==, "..");
        g_assert_cmpuint(dl_workers_pending(lab->workers), ==, 0);
}

static void test_free_finished(Lab *lab, gconstpointer data)
{
        submit(item_new(lab, 'a'), "a");
        wait_inside(lab, 1);
        dl_workers_free(g_steal_pointer(&lab->workers));
        g_assert_cmpstr(lab->log->str, ==, ".");
        dl_workers_free(NULL);
}

static void submit_next(void *data)
{
        Item *item = data;

        done(item);
        if (item->name < 'j')
                dl_workers_submit(item->lab->workers, "key", work, submit_next,
                                  item_new(item->lab, (char)(item->name + 1)), free_item);
}

static void test_submit_from_done(Lab *lab, gconstpointer data)
{
        dl_workers_submit(lab->workers, "key", work, submit_next, item_new(lab, 'a'), free_item);
        drain(lab);
        g_assert_cmpstr(lab->log->str, ==, "a.b.c.d.e.f.g.h.i.j.");
}

static void test_many(Lab *lab, gconstpointer data)
{
        for (unsigned i = 0; i < 5000; i++) {
                g_autofree char *key = g_strdup_printf("%u", i % 7);
                DlWork *w = submit(item_new(lab, 'x'), i % 5 ? key : NULL);

                if (i % 11 == 0)
                        dl_work_cancel(w);
        }
        drain(lab);
        g_assert_cmpuint(lab->log->len, ==, 5000 + 5000 - 455);
}

#define ADD(name, n, test)                                                                         \
        g_test_add("/workers/" name, Lab, GUINT_TO_POINTER(n), setup, test, teardown)

int main(int argc, char *argv[])
{
        g_test_init(&argc, &argv, NULL);
        ADD("order-of-key", 4, test_order_of_key);
        ADD("side-by-side", 4, test_side_by_side);
        ADD("key-does-not-block-others", 2, test_key_does_not_block_others);
        ADD("cancel-waiting", 2, test_cancel_waiting);
        ADD("cancel-running", 2, test_cancel_running);
        ADD("cancel-not-begun", 1, test_cancel_not_begun);
        ADD("cancel-from-done", 2, test_cancel_from_done);
        ADD("free-pending", 2, test_free_pending);
        ADD("drain", 2, test_drain);
        ADD("free-finished", 2, test_free_finished);
        ADD("submit-from-done", 2, test_submit_from_done);
        ADD("many", 4, test_many);
        return g_test_run();
}
