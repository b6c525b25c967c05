/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Plugging a disk into a running VM without letting a portal freeze it. QEMU connects and logs in
 * to the portal within one monitor command, and the whole VM stands still meanwhile: with a portal
 * that has fallen silent since it was proven, for minutes. So QEMU's connection is watched from
 * outside, and ended by force when it has lasted for [Libvirt] FreezeLimitSec while the call is not
 * over: QEMU then gives up at once, and the guest goes on. What QEMU tries again gets as long.
 *
 * QEMU's connection is one to the portal that was not there before the call and is not ours; the
 * service, which does not see QEMU's descriptors, knows no more. That is why plugs that lead to one
 * portal go one after the other, in the order in which they came, whatever VMs they are for: what
 * is new is then this plug's (or another client's, in the same moment, to a portal that does not
 * answer, and it gets as long).
 *
 * What this cannot end is the wait of a QEMU that has logged in already and misses the answer to
 * one of the few commands that follow: its libiscsi then connects again and again, for ever, with
 * the VM standing still, until one of these connections works. (An end that comes between two of
 * its attempts would make it use memory that is gone.) Loop thread only.
 */

#include "core/core-private.h"

typedef struct DlAttachGuard DlAttachGuard;

/*
 * Does what dl_virt_plug_device() does; affect has DL_VIRT_LIVE. way: the numeric portals that
 * QEMU's connection goes to; NULL: not known, and then nothing is watched. done: once, from the
 * loop, not after a cancel; errors as there, and PortalUnreachable when the connection was ended
 * and the disk is not plugged.
 */
DlAttachGuard *dl_attach_guarded(DlCore *core, const char *vm, const char *xml, DlVirtAffect affect,
                                 const char *const *way, DlVirtGotDomain done, void *userdata);
void dl_attach_guard_cancel(DlAttachGuard *guard); /* takes NULL */
