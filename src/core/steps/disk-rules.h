/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What QEMU and libvirt can do with a disk, and what not: every combination that is refused, in one
 * place, so that it is refused before anything has happened, naming the limit. Pure: looks at what
 * it is given, changes nothing. Any thread.
 */

#include "core/core-private.h"
#include "core/flows.h"

/* What can be said without a look at anything: InvalidArgs, UnsupportedFormat,
 * UnsupportedInterface. */
bool dl_disk_rules_check_spec(const DlDeviceSpec *spec, GError **error);

/*
 * Whether the guest is told of I/O errors, rather than paused: as asked for, and always with
 * reservations. QEMU before 9.1 takes RESERVATION CONFLICT for an error like any other and would
 * pause the guest, whose cluster software expects that answer.
 */
bool dl_disk_rules_propagates_errors(const DlDeviceSpec *spec);

/* What depends on the LUN, once it is proven. */
bool dl_disk_rules_check_lun(const DlDomainAttachment *meta, const DlLun *lun, GError **error);

/* The disk and the VM that it is for. */
typedef struct DlDiskVm {
        const char *name;         /* of the VM, for people */
        const DlDomain *live;     /* NULL: does not run */
        const DlDomain *inactive; /* NULL: transient */
        GPtrArray *others;     /* DlDomainAttachment: the VM's other attachments, plugged or not */
        const char *own_alias; /* of the disk element, which is not in its own way */
        bool plug;             /* it goes into the running domain, too */
} DlDiskVm;

/* What depends on the VM, but for addresses (see disk-place.h). */
bool dl_disk_rules_check_vm(const DlDomainAttachment *meta, const DlDiskVm *vm, GError **error);

/* The running domain has <os><boot>, and cannot take a boot order: it counts from the next start
 * on, when the persistent domain has it. */
bool dl_disk_rules_boot_waits(const DlDiskVm *vm);

/*
 * The serial that the guest sees: the vDisk's id, within what the bus has room for, so that nobody
 * else cuts it. NULL for device lun, which shows the LUN's own. Newly allocated.
 */
char *dl_disk_rules_serial(const DlDomainAttachment *meta);
