/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What the tests of the flows on VMs begin from: two VMs that are shut off, and a target whose two
 * LUNs are known. With an initiator and a libvirt that fail where the test says: what is there
 * afterwards is either all or nothing. It is global, and the test's; its thread only.
 */

#include "core-fixture.h"
#include "fakes.h"

#define VM_A  "6695eb01-f6a4-8304-79aa-97f2502e193f"
#define VM_B  "7795eb01-f6a4-8304-79aa-97f2502e193f"
#define IQN   "iqn.2026-11.org.example:t"
#define GUID  "360000000000000000e00000000010001"
#define OTHER "360000000000000000e00000000010002"

extern const FakeLun flow_luns[2]; /* GUID and OTHER, by the portal "p1" */
extern char *flow_alias;           /* of the disk of GUID */

void flow_begin(CoreFixture *f, gconstpointer data);
/* Whatever happened: nothing of it is left. */
void flow_end(CoreFixture *f, gconstpointer data);

DlVm *flow_vm_a(CoreFixture *f);
void flow_run_vm(CoreFixture *f, const char *uuid);

/* What is asked for, of a LUN; and the flow: to its beginning, or to its end with a code (-1:
 * well). Where none is named, the LUN is GUID, and the VM VM_A. */
DlDeviceSpec flow_spec_of(const char *guid);
DlJob *flow_attach_as(CoreFixture *f, const char *vm, const DlDeviceSpec *spec, CoreResult *result);
void flow_attach(CoreFixture *f, const char *vm, int code);
void flow_change(CoreFixture *f,
                 DlJob *(*flow)(DlAttachment *attachment, const DlRequest *request, GError **error),
                 int code);

DlAttachment *flow_attachment_of(CoreFixture *f, const char *vm);
void flow_expect_nothing(CoreFixture *f, const char *vm);
void flow_expect_attached(CoreFixture *f, const char *vm, bool plugged);
