/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What this host's kernel sees of a LUN, and how that and what libiscsi sees are one. Nothing of it
 * is kept: it is looked up. Loop thread only.
 */

#include "core/core-private.h"
#include "host/block-devices.h"

/* From now on LUNs that the kernel sees come, change and go. Negative errno. */
int dl_luns_follow_kernel(DlCore *core);

/* NULL: the kernel does not see it. */
const DlBlockLun *dl_lun_kernel(const DlLun *lun);

/* The kernel has a way to it that works, or a map. */
bool dl_lun_kernel_sees(const DlLun *lun);

/* Not the same on all ways (GuidNotUnique, PathsInconsistent), or what this host runs from (InUse).
 * path: one by libiscsi that is compared; may be NULL. */
bool dl_lun_kernel_check(const DlLun *lun, const DlPath *path, GError **error);

/* Nothing of this host holds it, or InUse, naming what does. */
bool dl_lun_check_host_use(const DlLun *lun, GError **error);

/* Its type is that, or MIXED and some way is of it; in any case of letters. */
bool dl_lun_is_of_type(const DlLun *lun, const char *type);

/* One way to a LUN: by libiscsi, by the kernel, or by both over the same portal. */
typedef struct DlWay {
        const DlPath *path;          /* NULL: libiscsi has not seen it */
        const DlBlockDevice *device; /* NULL: the kernel has not */
} DlWay;

/* DlWay; valid until the loop runs the next time. For g_array_unref(). */
GArray *dl_lun_ways(const DlLun *lun);

const char *dl_way_state(const DlWay *way); /* "active", "failed", "unknown" */
const char *dl_way_type(const DlWay *way);  /* as dl_lun_type() */
const char *dl_way_transport(const DlWay *way);
uint64_t dl_way_capacity(const DlWay *way); /* bytes */

/* Of iSCSI; else all but the LUN's number is "" or 0. Borrowed. */
typedef struct DlWayPlace {
        const char *iqn, *address;
        uint16_t port, tpgt;
        uint64_t lun;
} DlWayPlace;

DlWayPlace dl_way_place(const DlWay *way);
