/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What a former run of the service, or a libvirt call that ended after its deadline, left half
 * done: for every intent that no running operation owns, the domain is looked at and made either
 * what it was before or what was intended. Loop thread only.
 */

#include "core/core-private.h"

void dl_recover(DlCore *core);        /* after a look at all VMs */
void dl_recover_forget(DlCore *core); /* after a VM is gone */
void dl_recover_vm(DlVm *vm);         /* after a look at this one */
