/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * How a flow runs. A flow is a table of steps; an operation takes them one after the other, each
 * ending, at once or later, in dl_op_next() or dl_op_fail(). When a step fails, or the client
 * cancels, or the deadline passes, the undo functions of the steps that were completed run in
 * reverse order, and the operation ends with the error. So each side effect stands beside what
 * takes it back, and what a crash leaves half done (see journal.h) is undone by the same rules.
 *
 * A dry run takes the same steps, in the same order, with the same checks and errors, but calls
 * dry() in place of run(): of a step that only looks or checks it is the same function; of one with
 * a side effect it tells by dl_op_would() what run() would do now, and does nothing; where there is
 * nothing to tell (the journal, a look at what was done) it is dl_op_next. What was not run is not
 * undone. Steps find targets and LUNs in op->core, never in op->job.object.core: a dry run may look
 * at the storage, and what it sees is merged into a scratch copy.
 *
 * Every operation is also the job that clients see. Loop thread only.
 */

#include "core/core-private.h"
#include "core/flows.h"

typedef struct DlOperation DlOperation;
typedef void (*DlStepFunc)(DlOperation *op);

typedef struct DlStep {
        const char *phase; /* what people are told */
        DlStepFunc run;
        DlStepFunc undo; /* NULL: nothing to take back. Ends in dl_op_next(), whatever happens. */
        DlStepFunc dry;  /* in a dry run, in place of run. Ends as run does. */
        bool firm;       /* from here on it cannot be cancelled, and only the step's own
                          * deadlines count */
        bool open;       /* but this one can be cancelled, though it comes after a firm one */
} DlStep;

struct DlOperation {
        DlJob job; /* first: a DlJob that runs is a DlOperation */
        const DlStep *steps;
        unsigned n_steps;
        unsigned step;
        void *data; /* of the flow */
        GDestroyNotify free_data;

        DlCore *core; /* where its steps look: in a dry run a scratch copy (see scratch.h), to which
                       * no VM may be merged */
        DlVm *vm;     /* that it has, or waits for, alone; NULL: none */
        bool force;
        bool internal;

        /* engine */
        DlJobDone done;
        void *userdata;
        bool undoing, driving, advance;
        bool aside; /* it lets others have its VM */
        bool late;  /* the deadline passed in a step that cannot be cancelled */
        GError *failure;
        const char *undone; /* the phase that was last said to be rolled back */
        void *waiting;      /* for what dl_op_wait() said */
        void (*stop_waiting)(void *waiting);
        sd_event_source *kick, *deadline, *linger;
};

/*
 * A new operation, published as a job; its first step runs from the loop. Takes data, also when it
 * is refused. timeout_usec: used if the request has none; 0: no deadline.
 */
DlOperation *dl_op_new(DlCore *core, const char *operation, const DlRequest *request,
                       const DlStep *steps, unsigned n_steps, uint64_t timeout_usec, void *data,
                       GDestroyNotify free_data, GError **error);
/* The same, but no client sees it as a job: for what only reads. */
DlOperation *dl_op_new_quiet(DlCore *core, const char *operation, const DlRequest *request,
                             const DlStep *steps, unsigned n_steps, uint64_t timeout_usec,
                             void *data, GDestroyNotify free_data, GError **error);
#define DL_OP_NEW(core, operation, request, steps, timeout_usec, data, free_data, error)           \
        dl_op_new(core, operation, request, steps, G_N_ELEMENTS(steps), timeout_usec, data,        \
                  free_data, error)

/* Runs alone on a VM: its first step waits until every operation that asked before has ended. */
void dl_op_on_vm(DlOperation *op, DlVm *vm);

/* Step: looks at its VM, so that what follows is decided on the truth. VmNotFound. */
void dl_step_look(DlOperation *op);

/* Step, for what takes long: others may have the VM meanwhile. Taken back by dl_step_take_vm. */
void dl_step_let_others(DlOperation *op);
/* Step: has the VM alone again, after who has asked for it meanwhile. */
void dl_step_take_vm(DlOperation *op);

/* An object that clients see in the job. */
void dl_op_concerns(DlOperation *op, DlKind kind, const char *id);

void dl_op_next(DlOperation *op);
void dl_op_finish(DlOperation *op);              /* the remaining steps are not needed */
void dl_op_fail(DlOperation *op, GError *error); /* takes error */
void dl_op_failf(DlOperation *op, int code, const char *format, ...) G_GNUC_PRINTF(3, 4);

/* What a step started and how to stop it, for cancel and deadline; over with next or fail. */
void dl_op_wait(DlOperation *op, void *what, void (*stop)(void *what));

void dl_op_result(DlOperation *op, void *object);
/* In a dry run: an object that would be the result, were it made. */
void dl_op_would_give(DlOperation *op, DlKind kind, const char *id);
/* In a dry run: a line of the report, "Would …". */
void dl_op_would(DlOperation *op, const char *format, ...) G_GNUC_PRINTF(2, 3);
void dl_op_report(DlOperation *op, const char *format, ...) G_GNUC_PRINTF(2, 3);
void dl_op_progress(DlOperation *op, double progress);

/* ---- arguments that several flows take (flow-discover.c) ---- */

/* InvalidArgs. */
bool dl_check_address(const char *address, uint16_t port, GError **error);
bool dl_check_iqn(const char *iqn, GError **error);
void dl_chap_copy(DlChap *chap, const DlChap *from);
void dl_chap_clear(DlChap *chap);

/* ---- end ---- */

/* The core goes away. */
void dl_op_drop(DlOperation *op);
void dl_job_free(DlJob *job);
