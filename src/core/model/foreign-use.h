/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* LUNs that a VM uses without us: somebody wrote the disk into its domain. Loop thread only. */

#include "core/core-private.h"

typedef struct DlOperation DlOperation;

/* Adds "vm:NAME" for each such VM. */
void dl_foreign_use_list(const DlLun *lun, GPtrArray *holders);

/* InUse, naming the VM. */
bool dl_foreign_use_check(const DlLun *lun, GError **error);

/* Ends the step after a look at whoever may use the LUN: libvirt sends no event when somebody
 * changes only a persistent domain. */
void dl_foreign_use_look(DlOperation *op, const DlLun *lun);

bool dl_foreign_use_has_any(const DlVm *vm);

/* What libvirt says of the volumes that its disks name; what it cannot tell is logged. */
void dl_foreign_use_take_volumes(DlVm *vm, GHashTable *volumes);
/* "POOL/VOLUME" of which it is not known whether it is a LUN; NULL if there is none. Borrowed. */
const char *dl_foreign_use_unknown(const DlVm *vm);

/* The VM's domains are new: finds out which LUNs its block devices are. */
void dl_foreign_use_resolve(DlVm *vm);
/* Block devices of the host came or went: a name in some domain may lead elsewhere. */
void dl_foreign_use_resolve_all(DlCore *core);
