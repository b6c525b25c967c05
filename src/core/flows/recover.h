/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What a former run of the service, or a libvirt call that ended after its deadline, left half
 * done: for every intent that no running operation owns, the domain is looked at and made either
 * what it was before or what was intended. Loop thread only.
 */

#include "core/records/journal.h"
#include "core/steps/operation.h"

void dl_recover(DlCore *core);        /* after a look at all VMs */
void dl_recover_forget(DlCore *core); /* after a VM is gone */
void dl_recover_vm(DlVm *vm);         /* after a look at this one */

/* Of what was done to images (recover-image.c). vm NULL: no VM has the vDisk. */
void dl_recover_images(DlCore *core, DlVm *vm, DlIntent *intent);

/* Step: waits for what a former run has asked of libvirt. */
void dl_step_wait_for_former_run(DlOperation *op);
