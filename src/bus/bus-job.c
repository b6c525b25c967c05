/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* org.ovirt.DirectLun.Job. Loop thread only. */

#include "bus/bus-call.h"
#include "bus/bus-object.h"
#include "bus/bus-reply.h"

static bool parse_cancel(DlBusCall *call, void *args, GError **error)
{
        return dl_bus_options_read(call->message, NULL, NULL, NULL, error);
}

static DlBusAction cancel_actions(const DlBusCall *call, const void *args, const void *object)
{
        const DlJob *job = object;

        return job->uid == call->uid ? DL_BUS_CANCEL_JOB : DL_BUS_CANCEL_JOB_OTHER_USER;
}

static bool act_cancel(DlBusCall *call, void *args, void *object, GError **error)
{
        return dl_job_cancel(object, error);
}

static int method_cancel(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
        static const DlBusMethod method = {
                .verb = "cancel",
                .parse = parse_cancel,
                .more_actions = cancel_actions,
                .act = act_cancel,
        };

        return dl_bus_call_begin(m, userdata, &method);
}

/* ---- properties ---------------------------------------------------------------------------- */

DL_BUS_GETTER(get_operation, DlJob, job, reply)
{
        return sd_bus_message_append(reply, "s", job->operation);
}

DL_BUS_GETTER(get_phase, DlJob, job, reply)
{
        return sd_bus_message_append(reply, "s", job->phase);
}

DL_BUS_GETTER(get_progress, DlJob, job, reply)
{
        return sd_bus_message_append(reply, "d", job->progress);
}

DL_BUS_GETTER(get_progress_valid, DlJob, job, reply)
{
        return sd_bus_message_append(reply, "b", job->progress_valid);
}

DL_BUS_GETTER(get_state, DlJob, job, reply)
{
        return sd_bus_message_append(reply, "s", dl_job_state_name(job->state));
}

DL_BUS_GETTER(get_start_time, DlJob, job, reply)
{
        return sd_bus_message_append(reply, "t", job->start_usec);
}

DL_BUS_GETTER(get_deadline, DlJob, job, reply)
{
        return sd_bus_message_append(reply, "t", job->deadline_usec);
}

DL_BUS_GETTER(get_objects, DlJob, job, reply)
{
        int r = sd_bus_message_open_container(reply, 'a', "o");

        for (unsigned i = 0; r >= 0 && i < job->objects->len; i++) {
                const DlObjectRef *ref = job->objects->pdata[i];
                g_autofree char *path = dl_bus_path(ref->kind, ref->id);

                r = sd_bus_message_append(reply, "o", path);
        }
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

DL_BUS_GETTER(get_started_by_uid, DlJob, job, reply)
{
        return sd_bus_message_append(reply, "u", job->uid);
}

DL_BUS_GETTER(get_cancelable, DlJob, job, reply)
{
        return sd_bus_message_append(reply, "b", job->cancelable);
}

DL_BUS_GETTER(get_dry_run, DlJob, job, reply)
{
        return sd_bus_message_append(reply, "b", job->dry_run);
}

DL_BUS_GETTER(get_token, DlJob, job, reply)
{
        return dl_bus_append_text(reply, job->token);
}

DL_BUS_GETTER(get_error, DlJob, job, reply)
{
        return dl_bus_append_last_error(reply, &job->error);
}

DL_BUS_GETTER(get_report, DlJob, job, reply)
{
        int r = sd_bus_message_open_container(reply, 'a', "s");

        for (unsigned i = 0; r >= 0 && i < job->report->len; i++)
                r = dl_bus_append_text(reply, job->report->pdata[i]);
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

const sd_bus_vtable dl_bus_job_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD_WITH_ARGS("Cancel", SD_BUS_ARGS("a{sv}", options), SD_BUS_NO_RESULT,
                                method_cancel, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_SIGNAL_WITH_ARGS("Completed", SD_BUS_ARGS("b", success, "s", error, "s", message),
                                0),
        DL_BUS_CONST("Operation", "s", get_operation),
        DL_BUS_CHANGES("Phase", "s", get_phase),
        DL_BUS_CHANGES("Progress", "d", get_progress),
        DL_BUS_CHANGES("ProgressValid", "b", get_progress_valid),
        DL_BUS_CHANGES("State", "s", get_state),
        DL_BUS_CONST("StartTime", "t", get_start_time),
        DL_BUS_CONST("Deadline", "t", get_deadline),
        DL_BUS_CHANGES("Objects", "ao", get_objects),
        DL_BUS_CONST("StartedByUid", "u", get_started_by_uid),
        DL_BUS_CHANGES("Cancelable", "b", get_cancelable),
        DL_BUS_CONST("DryRun", "b", get_dry_run),
        DL_BUS_CONST("Token", "s", get_token),
        DL_BUS_CHANGES("Error", "(ss)", get_error),
        DL_BUS_CHANGES("Report", "as", get_report),
        SD_BUS_VTABLE_END,
};
