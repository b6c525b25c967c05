/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What a LUN that QEMU is to have as a block device of this host must be: by what the kernel says
 * of its map and of every path right now. Nothing is asked of the LUN here, so nothing is waited
 * for; path-proof.h does that. Loop thread only.
 */

#include "core/model/lun-kernel.h"

/*
 * Whether VMs may have it by its device, which is dl_lun_kernel(lun)->node then. force: though this
 * host uses it, but never what the host runs from. LunNotVisible, PathsInconsistent, GuidNotUnique,
 * LunShrunk, InvalidArgs (read-only, and readonly was not asked for), InUse.
 */
bool dl_block_check(const DlLun *lun, bool readonly, bool force, GError **error);

/* A path that I/O can go by, an iSCSI one if there is one; NULL: none. */
const DlBlockDevice *dl_block_active_path(const DlBlockLun *block);

/* The name leads to this LUN, whether or not it can be used now. lun may be NULL. */
bool dl_block_is_node(const DlLun *lun, const char *name);
