/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * How a target is connected: by sessions of the host's kernel (data path block), or by QEMU's own
 * initiator (qemu). "auto" is what the setting DataPath says; and if that is auto, too, it is the
 * kernel where this host has the means, and QEMU where it lacks them, also if that turns out only
 * when it is tried. What fails because of the target is an error either way: another initiator of
 * the same host would meet the same. Loop thread only.
 */

#include "core/steps/kernel-connect.h"
#include "core/steps/proof.h"

bool dl_kernel_has_multipath(const DlCore *core);

/* AUTO: by the kernel, and by QEMU if this host cannot. ret_why: for people; newly allocated. The
 * target's portals were proven just before. */
DlDataPath dl_kernel_choose(const DlTarget *target, DlDataPath wish, char **ret_why);

/* Whether a disk with auto would have the kernel logged in. Who finds the target connected for
 * QEMU's initiator leaves it so. */
bool dl_kernel_is_auto(const DlTarget *target);

typedef struct DlKernelChoice DlKernelChoice;
/* by_kernel: what the target is connected by now, unless there is an error. */
typedef void (*DlKernelChosen)(const GError *error, bool by_kernel, void *userdata);

/*
 * Chooses, and makes the sessions if it is the kernel (see kernel-connect.h). The target, which was
 * proven just before, keeps what was chosen, and why, as DataPath and DataPathReason, until nobody
 * needs it. done: once, from the loop, not after a cancel.
 */
DlKernelChoice *dl_kernel_choice_start(DlTarget *target, DlDataPath data_path,
                                       const DlKernelWish *wish, DlKernelChosen done,
                                       void *userdata);
void dl_kernel_choice_cancel(DlKernelChoice *choice); /* takes NULL */
