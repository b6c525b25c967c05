/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A host that runs VMs; so far the one that this service runs on. Loop thread only. */

#include "core/model/object.h"

struct DlHost {
        DlObject object; /* id: the host name */
        bool local;
        char *boot_id; /* of the running kernel, 32 hex digits */
};

DlHost *dl_core_local_host(DlCore *core);
/* It shows the states of all targets. */
void dl_host_targets_changed(DlCore *core);
const char *dl_host_state(const DlHost *host); /* "up"; "degraded" without libvirt's VMs */
