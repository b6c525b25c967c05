/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Resize: what a running guest sees of its LUNs, and making it see what they have grown to. QEMU
 * learns a LUN's size when it opens the disk and when it is told to look again; libvirt is asked
 * for what it knows, and no copy of it is kept over a restart. So there is nothing to journal:
 * whoever finds a guest that sees less than its LUN has, tells QEMU (again). Loop thread only.
 */

#include "core/core-private.h"
#include "core/flows.h"

/* Asks how large QEMU believes the disks of a VM to be, if that is not known of a plugged one. */
void dl_guest_sizes_look(DlVm *vm);

/* It is not plugged: what a guest saw of it is past. */
void dl_guest_size_forget(DlAttachment *attachment);

/* The target was looked at: the running guests whose LUNs have grown are told, each by a job
 * "resize" that nobody waits for. A size that QEMU did not take is not tried again. */
void dl_guest_sizes_follow(DlTarget *target);
/* The same for the guests that have this LUN. */
void dl_guest_sizes_follow_lun(DlLun *lun);

/* Computes ResizePending, and LastError of a LUN that shrank, for the LUN's attachments. */
void dl_guest_sizes_judge(DlLun *lun);

/*
 * A job that makes the guest see the LUN's size, if QEMU can; else it says what will, and succeeds
 * all the same: ResizePending tells. When an attachment is not plugged there is nothing to do.
 * visible: clients see the job.
 */
DlJob *dl_flow_resize(DlAttachment *attachment, const DlRequest *request, bool visible,
                      GError **error);
