/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A VM that is powered off may have asked something of a LUN that has lost all its paths, and whose
 * map of multipath keeps that until one comes: then its QEMU cannot end. So that is made to fail,
 * and what still comes in the seconds after it; later the map keeps things again. Nothing is done
 * to a LUN that another running VM has as well. Loop thread only.
 */

#include "core/core-private.h"

typedef struct DlKernelUnqueue DlKernelUnqueue;

/* NULL if the VM has no such LUN. done runs once, from the loop, seconds later, and not after a
 * cancel; its error is the first. */
DlKernelUnqueue *dl_kernel_unqueue_start(DlVm *vm,
                                         void (*done)(const GError *error, void *userdata),
                                         void *userdata);

/* Takes NULL. */
void dl_kernel_unqueue_cancel(DlKernelUnqueue *unqueue);

/* The GUIDs of such LUNs, const char *; free it. */
GPtrArray *dl_kernel_queueing(DlVm *vm);
