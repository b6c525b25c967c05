/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the commands about the disks of VMs share. One thread. */

#include "directlunctl/view.h"

/* The attachment of a disk, by GUID, vDisk, device name ("vda") or attachment, to the VM at a path.
 * NotAttached if there is none. */
JsonObject *ctl_find_disk(const CtlObjects *objects, const char *vm, const char *word,
                          GError **error);

extern const GOptionEntry ctl_attach_options[];
bool ctl_attach(Ctl *ctl, char **args, GError **error);
