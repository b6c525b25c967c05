/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What the helper can do. Each verb runs in a process of its own, which is killed at the deadline
 * with what it has started, so it may wait. The request was checked for its form; whether it names
 * what it says is checked here, against sysfs. False with an error of DL_ERROR.
 */

#include "host/helper-protocol.h"

#define DL_HELPER_SYSFS "/sys"

/* reply comes zeroed; ret_fd, if set, is passed on and closed. */
typedef bool DlHelperRun(DlHelperRequest *request, DlHelperReply *reply, int *ret_fd,
                         GError **error);

DlHelperRun dl_helper_login, dl_helper_logout, dl_helper_scan;
DlHelperRun dl_helper_rescan_path, dl_helper_delete_path, dl_helper_read, dl_helper_identify;
DlHelperRun dl_helper_flush_map, dl_helper_fail_queued, dl_helper_resize_map;

/* What a login that was killed has left on the disk: of this one; of any, when none can run. */
void dl_helper_forget_login(const DlHelperRequest *request);
void dl_helper_forget_secrets(void);

/* ---- what verbs share ---------------------------------------------------------------------- */

/* "sda", if there is such a block device. */
char *dl_helper_device_name(const DlHelperRequest *request, GError **error);

/* To be read; flags: of open(2). Negative errno. */
int dl_helper_open_device(const DlHelperRequest *request, const char *name, int flags);

/* A file of sysfs; negative errno. */
int dl_helper_write_sysfs(const char *path, const char *text);

/* Whether a device of sysfs (…/block/sda) is used by another one: a map, a RAID … */
bool dl_helper_has_holders(const char *directory);

/* Takes a path out of the map of multipath that is over it, if that has other paths as well. False
 * if there is such a map, and the path cannot be taken out. */
bool dl_helper_leave_map(const char *path, GError **error);

/* Until gone(data), looking often, up to so many seconds. */
bool dl_helper_wait(bool (*gone)(const void *data), const void *data, unsigned seconds);
