/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* jobs, cancel. One thread. */

#include "directlunctl/agent.h"
#include "directlunctl/command.h"
#include "directlunctl/view.h"

#include <string.h>

static bool run_jobs(Ctl *ctl, char **args, GError **error)
{
        g_autoptr(CtlObjects) objects = ctl_objects_load(ctl, error);
        g_autoptr(GPtrArray) list = NULL;

        if (!objects)
                return false;
        list = ctl_objects_of_kind(objects, "job");
        ctl_view_list(ctl, objects, "job", list);
        return true;
}

static bool run_cancel(Ctl *ctl, char **args, GError **error)
{
        g_autoptr(CtlObjects) before = ctl_objects_load(ctl, error), after = NULL;
        g_autoptr(sd_bus_message) reply = NULL;
        JsonObject *job = before ? ctl_objects_find(before, "job", args[0], error) : NULL;
        JsonObject *ended;
        bool running;

        if (!job)
                return false;
        if (ctl->dry_run)
                return ctl_usage_error(error, "there is no dry run of 'cancel'");
        running = strcmp(ctl_json_string(job, "State"), "running") == 0;
        ctl_agent_open(ctl);
        reply = ctl_ask(ctl, ctl_json_string(job, "path"), "Job", "Cancel", error, "a{sv}", 0);
        after = reply ? ctl_objects_load(ctl, error) : NULL;
        if (!after)
                return false;
        if (!running)
                ctl_note(ctl, "It had ended already: %s.", ctl_json_string(job, "State"));
        ended = ctl_objects_get(after, ctl_json_string(job, "path"));
        ctl_view_result(ctl, after, ended ? ended : job, running); /* it may be gone already */
        return true;
}

static const GOptionEntry no_options[] = {{}};

const CtlCommand ctl_job_commands[] = {
        {"jobs", "", "List what is, and was lately, under way", 0, 0, no_options, run_jobs},
        {"cancel", "JOB", "Cancel a job and roll back what it did", 1, 1, no_options, run_cancel},
        {},
};
