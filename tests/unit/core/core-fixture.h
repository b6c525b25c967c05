/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A core in a temporary directory, with an observer that writes down what it is told. The test owns
 * the fixture; its strings and the core are the fixture's. The test's thread only.
 */

#include "core/core-private.h"
#include "core/flows.h"
#include "core/steps/operation.h"

#define DEADLINE_SEC 10 /* for anything that a test waits for */

typedef struct CoreFixture {
        char *directory; /* removed at the end */
        DlSettings *settings;
        sd_event *event;
        DlCore *core; /* NULL while stopped */
        bool ready;
        GPtrArray *log; /* char *: what the observer was told, in order */
} CoreFixture;

/* How a job ended. */
typedef struct CoreResult {
        CoreFixture *fixture;
        unsigned n_done;
        unsigned n_before; /* what the observer had been told by then */
        unsigned n_objects;
        bool created;
        char *id;     /* of the first result object */
        char *string; /* of the result */
        int code;     /* -1: well */
        char *message;
} CoreResult;

void core_fixture_open(CoreFixture *f); /* starts nothing */
void core_fixture_close(CoreFixture *f);
void core_fixture_start(CoreFixture *f);       /* and waits for ready */
void core_fixture_start_early(CoreFixture *f); /* does not wait */
void core_fixture_stop(CoreFixture *f);

/* One event of the loop; fails the test if there is none in time. */
void core_fixture_turn(CoreFixture *f);
#define CORE_WAIT(f, condition)                                                                    \
        do {                                                                                       \
                while (!(condition))                                                               \
                        core_fixture_turn(f);                                                      \
        } while (0)
/* All that can be done without waiting. */
void core_fixture_settle(CoreFixture *f);

/* How many lines of the log begin so. */
unsigned core_fixture_saw(const CoreFixture *f, const char *line);
/* The index of the first such line; fails without one. */
unsigned core_fixture_when(const CoreFixture *f, const char *line);
void core_fixture_forget(CoreFixture *f);

DlRequest core_request(CoreFixture *f, CoreResult *result);
/* Waits for it; checks that it is told once. code -1: well. */
void core_expect(CoreResult *result, int code);
void core_result_clear(CoreResult *result);

/* The row of the store, newly allocated; NULL if there is none. */
char *core_fixture_row(CoreFixture *f, const char *key);
/* Puts (value NULL: deletes) a row, and waits until it is durable. */
void core_fixture_put(CoreFixture *f, const char *key, const char *value);
