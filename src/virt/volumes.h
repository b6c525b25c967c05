/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The volumes of storage pools that disks name (<source pool='…' volume='…'/>), and which devices
 * they are. Private to src/virt. */

#include "virt.h"

#include <libvirt/libvirt.h>

/* On a worker: fills domain->volumes. */
void dl_volumes_resolve(virConnectPtr conn, DlVirtDomain *domain);

/* What a pool that is not active says itself: the by-path name of a volume of an iSCSI pool, newly
 * allocated; NULL: it does not say. Pure. */
char *dl_volumes_path_in_pool(const char *pool_xml, const char *volume);
