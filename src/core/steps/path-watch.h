/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Looks whether the kernel's paths of a LUN that a VM has as a block device still lead to it. A
 * path that failed, because the LUN was taken from its number, comes back when the number is
 * another LUN's, and neither the kernel nor multipath look who it is. Loop thread only.
 */

#include "core/core-private.h"

/* The paths have changed, or somebody says that a number is another LUN's: asks them, if that
 * matters to anybody. What they say is in lun->mismatch, and LastError of who has it. */
void dl_paths_watch(DlLun *lun);
