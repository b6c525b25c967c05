/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The commands, one table for each group. One thread. */

#include "directlunctl/ctl.h"

typedef struct CtlCommand {
        const char *name;
        const char *arguments; /* as the help shows them */
        const char *summary;
        int min, max; /* arguments; max < 0: any number */
        const GOptionEntry *options;
        bool (*run)(Ctl *ctl, char **args, GError **error);
        bool hidden;
} CtlCommand;

/* Each ends with one without a name. */
extern const CtlCommand ctl_target_commands[];
extern const CtlCommand ctl_lun_commands[];
extern const CtlCommand ctl_disk_commands[];
extern const CtlCommand ctl_image_commands[];
extern const CtlCommand ctl_vm_commands[];
extern const CtlCommand ctl_job_commands[];
extern const CtlCommand ctl_monitor_commands[];
extern const CtlCommand ctl_complete_commands[];

/* For a command line that cannot be: InvalidArgs. */
bool ctl_usage_error(GError **error, const char *format, ...) G_GNUC_PRINTF(2, 3);
