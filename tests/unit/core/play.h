/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A flow of the test's own, for the tests of the engine of the flows: its steps write down that
 * they ran ("a ", undone "-a "), and some wait until they are told. It is global, and the test's;
 * its thread only.
 */

#include "core-fixture.h"
#include "fakes.h"

#define PLAY_VM   "6695eb01-f6a4-8304-79aa-97f2502e193f"
#define HOUR_USEC (3600 * (uint64_t)G_USEC_PER_SEC)

typedef struct Play {
        DlOperation *waits;
        sd_event_source *later;
} Play;

extern GString *play_trace;
extern Play *play_waiting; /* the data of the operation that waits */

void play_begin(CoreFixture *f, gconstpointer data);
void play_end(CoreFixture *f, gconstpointer data);

/* Steps. "later" ends at the next turn of the loop, "wait" when it is told to go on. */
void play_say(const char *what);
void play_a(DlOperation *op);
void play_b(DlOperation *op);
void play_undo_a(DlOperation *op);
void play_undo_b(DlOperation *op);
void play_later(DlOperation *op);
void play_undo_later(DlOperation *op);
void play_fail(DlOperation *op);
void play_wait(DlOperation *op);
void play_go_on(void);
extern const DlStep play_waiting_steps[3]; /* one of them waits */

/* The data of such an operation is a Play of its own. */
void play_free(void *p);
DlOperation *play_start(CoreFixture *f, const DlStep *steps, unsigned n_steps, CoreResult *result,
                        uint64_t timeout_usec);
#define PLAY_START(f, steps, result) play_start(f, steps, G_N_ELEMENTS(steps), result, 0)
void play_start_quiet(CoreFixture *f, const DlStep *steps, CoreResult *result);
void play_cancel(DlOperation *op);

/* PLAY_VM, as libvirt would tell of it. */
DlVm *play_make_vm(CoreFixture *f);
