/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Where a disk goes in its VM: its index, its address on a bus that the VM really has, and its
 * name. An address is kept for as long as the attachment is, so that a guest finds the disk again
 * where it has seen it: disks that are not plugged keep theirs reserved, unless nothing else is
 * left. Pure. Any thread.
 */

#include "core/steps/disk-rules.h"

/* Chooses meta->index if it is negative, else checks it. InvalidArgs. */
bool dl_disk_place_index(DlDomainAttachment *meta, const DlDiskVm *vm, GError **error);

/* Whether the disk can be at meta->address, which is not NULL: there is such a bus and place, in
 * each domain that the disk goes to, and nobody has it, nor (reserved) is to come back to it.
 * InvalidArgs, UnsupportedInterface. */
bool dl_disk_place_check(const DlDomainAttachment *meta, const DlDiskVm *vm, bool reserved,
                         GError **error);

/* The same with all its parts, in libvirt's way; address is of type pci or drive. */
DlAddress *dl_disk_place_whole(const DlAddress *address);

/* Chooses meta->address; leaves NULL to libvirt what it does better: more PCI ports for a VM that
 * does not run. LimitsExceeded: the running VM has no place for another disk of that iface. */
bool dl_disk_place_choose(DlDomainAttachment *meta, const DlDiskVm *vm, GError **error);

/* The disk's address is on a virtio-scsi controller that this domain does not have yet. */
bool dl_disk_place_needs_controller(const DlDomainAttachment *meta, const DlDomain *domain);
char *dl_disk_place_controller_xml(const DlDomainAttachment *meta);

/* The name of the disk in the domains: the one that it has, else that of its index, else (somebody
 * else took it meanwhile) the next free one. The guest does not see it. Newly allocated. */
char *dl_disk_place_dev(const DlDomainAttachment *meta, const DlDomain *live,
                        const DlDomain *inactive, const char *own_alias);
