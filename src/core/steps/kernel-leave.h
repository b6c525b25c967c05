/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Lets go of the kernel's sessions with a target that the service has made, when nobody needs it:
 * its LUNs are removed in the order that is safe, then the sessions are ended, by their numbers.
 * What is in use stays, and is tried again later. Sessions of others are never touched. Nothing of
 * this is journalled: that there are sessions of ours is a fact of the kernel (see
 * kernel-sessions.h), and what a crash leaves is found at the next start. Loop thread only.
 */

#include "core/core-private.h"

/* Begins, unless it is on its way, or there is nothing to do. */
void dl_kernel_leave(DlTarget *target);

typedef struct DlKernelLeaving DlKernelLeaving;

/* The same, for who waits for the end, and wants it now: done runs once, from the loop, and not
 * after a cancel. InUse: something on this host, or a VM, has a LUN. */
DlKernelLeaving *dl_kernel_leave_then(DlTarget *target, void (*done)(const GError *, void *),
                                      void *userdata);
/* Only the waiting. Takes NULL. */
void dl_kernel_leave_cancel(DlKernelLeaving *leaving);

/* The target goes: nothing is told any more. */
void dl_kernel_leave_drop(DlTarget *target);
