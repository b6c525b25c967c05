/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Has the kernel look at the size of a LUN again, from below: first every path that works, then,
 * where all of them agree, multipath's map over them. Paths that do not agree leave the map as it
 * is, and the LUN unusable. Each is asked by the helper, with a deadline. Loop thread only.
 */

#include "core/core-private.h"

typedef struct DlKernelRescan DlKernelRescan;

/* done runs once, from the loop, and not after a cancel; then the core's block devices are as the
 * kernel has them now. Its error is the first of a path, or of the map. */
DlKernelRescan *dl_kernel_rescan_start(DlCore *core, const char *guid,
                                       void (*done)(const GError *error, void *userdata),
                                       void *userdata);

/* Takes NULL. */
void dl_kernel_rescan_cancel(DlKernelRescan *rescan);

/* What a rescan would ask of the kernel, for people, each a line; free it. */
GPtrArray *dl_kernel_rescan_describe(DlCore *core, const char *guid);
