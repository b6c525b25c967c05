/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How long an intent takes to be in the journal and out of it again, and what the disk takes for
 * the same without a database: appending as many bytes to a file and fdatasync(), twice.
 *
 *     store-latency DIRECTORY ROUNDS
 *
 * Prints one line of JSON with the milliseconds of each round. Everything lives as long as the
 * process. One thread, and the store's worker.
 */

#include "store/store.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define KEY "intent/6d616c00-1ab0-4000-8000-000000000001/0c1f9fc8-0ef2-5c52-8e8e-1a2d2c3b4a59"
#define VALUE                                                                                      \
        "{\"kind\":\"plug\",\"vm\":\"6d616c00-1ab0-4000-8000-000000000001\","                      \
        "\"vdisk\":\"0c1f9fc8-0ef2-5c52-8e8e-1a2d2c3b4a59\",\"in-config\":true}"

static sd_event *event;
static DlStore *store;
static unsigned n_commits;

static void on_committed(bool succeeded, int64_t revision, const GError *error, void *userdata)
{
        if (!succeeded)
                g_error("store: %s", error->message);
        n_commits++;
}

static void commit(const char *value)
{
        DlStoreOp op = {.key = KEY, .value = value};
        unsigned before = n_commits;

        dl_store_txn(store, NULL, 0, &op, 1, on_committed, NULL);
        while (n_commits == before)
                if (sd_event_run(event, UINT64_MAX) < 0)
                        g_error("event loop");
}

static void append(int fd)
{
        if (write(fd, VALUE, sizeof VALUE - 1) < 0 || fdatasync(fd) < 0)
                g_error("the disk fails");
}

static double elapsed(int64_t since)
{
        return (double)(g_get_monotonic_time() - since) / 1e3;
}

static void print(const char *name, const double *values, unsigned n)
{
        printf("\"%s\": [", name);
        for (unsigned i = 0; i < n; i++)
                printf("%s%.3f", i ? ", " : "", values[i]);
        printf("]");
}

int main(int argc, char **argv)
{
        unsigned n = argc == 3 ? (unsigned)atoi(argv[2]) : 0;
        g_autofree double *journal = g_new0(double, n), *bare = g_new0(double, n);
        g_autofree char *path = g_build_filename(argv[1], "bench.db", NULL),
                        *file = g_build_filename(argv[1], "bench.log", NULL);
        int fd = open(file, O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0600);
        DlWorkers *worker;
        GError *error = NULL;

        if (sd_event_default(&event) < 0 || dl_workers_new(event, 1, &worker) < 0 || fd < 0)
                g_error("cannot start");
        store = dl_store_open_sqlite(event, worker, path, &error);
        if (!store)
                g_error("store: %s", error->message);
        for (unsigned i = 0; i < n; i++) {
                int64_t start = g_get_monotonic_time();

                commit(VALUE);
                commit(NULL);
                journal[i] = elapsed(start);
                start = g_get_monotonic_time();
                append(fd);
                append(fd);
                bare[i] = elapsed(start);
        }
        printf("{");
        print("journal", journal, n);
        printf(", ");
        print("bare", bare, n);
        printf("}\n");
        dl_store_free(store);
        dl_workers_free(worker);
        sd_event_unref(event);
        close(fd);
        return 0;
}
