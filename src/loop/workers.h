/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A small pool of threads for library calls that block (libvirt RPC, getaddrinfo, SQLite).
 *
 * An item has a key: items of one key run one after the other in the order in which they were
 * submitted; items of different keys, and items without one, run side by side. work() runs on a
 * worker and may touch only what its data owns; done() runs on the loop thread. There is no way to
 * abort work() once it runs: who no longer wants the result cancels, which suppresses done().
 *
 * All functions: loop thread only.
 */

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

typedef struct DlWorkers DlWorkers;
typedef struct DlWork DlWork;

typedef void (*DlWorkFunc)(void *data); /* on a worker */
typedef void (*DlDoneFunc)(void *data); /* on the loop thread */

/* Negative errno. n_threads: 1 to 64; threads are started when first needed. */
int dl_workers_new(sd_event *event, unsigned n_threads, DlWorkers **ret);

/*
 * Drops what has not begun and waits for what runs, at most so long. false: something still runs,
 * in a library that cannot be interrupted; then dl_workers_free() would wait for it, so a process
 * that ends leaves the pool to the kernel instead. Nothing may be submitted afterwards.
 */
bool dl_workers_drain(DlWorkers *workers, uint64_t timeout_usec);

/* Waits for what runs to end; what has not begun is dropped (its data freed, done() not called). */
void dl_workers_free(DlWorkers *workers);

/*
 * free_data (may be NULL) runs on the loop thread after done(), or instead of it after a cancel.
 * key may be NULL. The returned item lives until done() returns or it is cancelled.
 */
DlWork *dl_workers_submit(DlWorkers *workers, const char *key, DlWorkFunc work, DlDoneFunc done,
                          void *data, GDestroyNotify free_data);

/*
 * done() will not be called. An item that has not begun never runs; one that runs goes on and its
 * data is freed afterwards. Takes NULL.
 */
void dl_work_cancel(DlWork *work);

/* Items submitted and not yet finished, cancelled ones that still run included. */
unsigned dl_workers_pending(const DlWorkers *workers);
