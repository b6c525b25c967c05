/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Things to ask of the helper one after the other: what removes LUNs from the kernel, in the order
 * that is safe. It ends with the first that fails. Loop thread only.
 */

#include "core/core-private.h"
#include "host/helper.h"
#include "host/kernel-lun.h"

typedef struct DlKernelPlan DlKernelPlan;
typedef void (*DlKernelPlanDone)(const GError *error, void *userdata);

DlKernelPlan *dl_kernel_plan_new(DlCore *core);

/* Copies the request; deadlines are the plan's. */
void dl_kernel_plan_add(DlKernelPlan *plan, const DlHelperRequest *request);

/*
 * Disks, DlKernelDisk, that are to go: first the maps that are over nothing else, then each disk,
 * which is taken out of a map that goes on. False if an attachment, of a VM that runs, has one of
 * them: InUse.
 */
bool dl_kernel_plan_remove(DlKernelPlan *plan, GPtrArray *disks, GError **error);

/* A map of multipath that no disk is in. InUse likewise. */
bool dl_kernel_plan_remove_map(DlKernelPlan *plan, const char *guid, GError **error);

/* What it would do, for people, each a line; free it. */
GPtrArray *dl_kernel_plan_describe(const DlKernelPlan *plan);

/* Takes the plan. done runs once, from the loop, and not after a cancel. */
void dl_kernel_plan_run(DlKernelPlan *plan, DlKernelPlanDone done, void *userdata);

/* What was asked for is given up. Takes NULL. */
void dl_kernel_plan_free(DlKernelPlan *plan);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(DlKernelPlan, dl_kernel_plan_free)
