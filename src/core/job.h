/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What a client asked for and how far it is. A job that ended lingers, then goes. Loop thread only.
 */

#include "core/model/object.h"

typedef enum DlJobState {
        DL_JOB_RUNNING,
        DL_JOB_SUCCEEDED,
        DL_JOB_FAILED,
        DL_JOB_CANCELLED,
        _DL_JOB_STATE_MAX,
} DlJobState;

/* "running", "succeeded", "failed", "cancelled" */
const char *dl_job_state_name(DlJobState state);

struct DlJob {
        DlObject object;       /* id: decimal, never used twice while the service runs */
        const char *operation; /* "discover", "connect", "attach" … */
        const char *phase;     /* what it does now: "connecting", "plugging" … */
        double progress;       /* 0 … 1 */
        bool progress_valid;
        DlJobState state;
        uint64_t start_usec, deadline_usec; /* CLOCK_REALTIME; deadline 0: none */
        GPtrArray *objects;                 /* DlObjectRef */
        uint32_t uid;                       /* of who asked */
        bool cancelable;
        bool dry_run; /* does nothing, and tells what it would do */
        char *token;  /* never NULL */
        DlLastError error;
        GPtrArray *report; /* char *: what was done or rolled back, in order */

        /* The result, valid in the done callback. */
        GPtrArray *result_objects; /* DlObject, borrowed */
        GPtrArray *would_give;     /* of a dry run: DlObjectRef, what would be made */
        bool result_created;
        char *result_string;
};

/* An object that a job works on, by name: it may be gone by the time somebody looks. */
typedef struct DlObjectRef {
        DlKind kind;
        char *id;
} DlObjectRef;

/* Cancelled is told to the job's caller; what was done is rolled back first. Fails with Busy if the
 * job is past the point where it could be (cancelable is false then), succeeds if it has ended. */
bool dl_job_cancel(DlJob *job, GError **error);
