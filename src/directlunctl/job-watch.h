/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Follows the one job that carries our token, and shows how far it is. One thread. */

#include "directlunctl/ctl.h"

typedef struct CtlJobWatch CtlJobWatch;

/* found() is called once, from the loop, when the job is there. NULL if the bus cannot be asked. */
CtlJobWatch *ctl_job_watch_new(Ctl *ctl, const char *token, void (*found)(void *userdata),
                               void *userdata, GError **error);
void ctl_job_watch_free(CtlJobWatch *watch); /* takes NULL */

/* NULL as long as it is not there. */
const char *ctl_job_watch_path(const CtlJobWatch *watch);

/* Takes the progress from the terminal, so that something else can be said. */
void ctl_job_watch_clear_line(CtlJobWatch *watch);

/* Tells what was done or rolled back, if anything was. */
void ctl_job_watch_tell_report(CtlJobWatch *watch);

/* Of a dry run that has ended: prints what would be done, or the job in JSON. */
void ctl_job_watch_tell_plan(CtlJobWatch *watch);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(CtlJobWatch, ctl_job_watch_free)
