/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A target by sessions of the host's kernel, for the data path "block". Its portals were proven
 * just before (connect.h), which also tells what the numbers of the LUNs are.
 *
 * Side by side a session is made at every portal that answered, unless there is one, whoever made
 * it; then each wanted LUN is made to appear on each session, and is waited for: until it can be
 * used by its map of multipath, over so many paths.
 *
 * The callback runs once, from the loop, not after a cancel, and never after the target is gone
 * (dl_target_acquire). Loop thread only.
 */

#include "core/steps/connect.h"
#include "host/kernel-sessions.h"

typedef struct DlKernelConnect DlKernelConnect;

/* What is to be made. Borrowed; all zero: the sessions, as they were. */
typedef struct DlKernelWish {
        const char *const *guids; /* NULL-terminated, may be NULL */
        unsigned n_paths;         /* so many of each LUN are enough; 0: one for each session */
        /* Of open-iscsi: through each of them there is to be a session with every portal.
         * NULL-terminated; NULL: those of the target. */
        const char *const *interfaces;
} DlKernelWish;

/*
 * Errors: those of a login; LunNotVisible, PathsInconsistent (paths differ in size, or a
 * number shows another LUN), TimedOut (it is there, and cannot be used).
 */
DlKernelConnect *dl_kernel_connect_start(DlTarget *target, const DlKernelWish *wish,
                                         DlConnectDone done, void *userdata);

/* Stops waiting; a session that is there then stays. Takes NULL. */
void dl_kernel_connect_cancel(DlKernelConnect *connect);

/* The host's block devices have changed: LUNs that are waited for are looked at again, soon. */
void dl_kernel_connects_look(DlCore *core);

/* Reads what sessions there are, and takes it over: Foreign, and, of a target that is connected by
 * the kernel, the states of its portals. */
void dl_kernel_look(DlTarget *target);
/* Whether there is a session that is up with every portal, through each of its interfaces. */
bool dl_kernel_is_complete(const DlTarget *target);
/* Of all targets: at the start. */
void dl_kernel_look_at_all(DlCore *core);

/* Logins that nobody waits for any more, or that a former run has asked for, may still become
 * sessions: those that nobody needs are ended, for as long as some can come. */
void dl_kernel_await_late_logins(DlCore *core);

/* The numeric address of a portal, as its last proof went to; NULL if it is not known. */
char *dl_kernel_portal_address(const DlPortal *portal, uint16_t *ret_port);

/* The portal that a session of the target is with; NULL: it has no such portal. */
const DlPortal *dl_kernel_portal_of(const DlTarget *target, const DlKernelSession *session);
