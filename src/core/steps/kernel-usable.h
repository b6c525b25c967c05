/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Whether a guest could be given a LUN by the kernel's sessions with its target: what "connected"
 * promises. All its paths are there, and of one size; multipath, if it takes the LUN, has a map
 * over them; and the name that stays, by which a guest is given it, leads there. Loop thread only.
 */

#include "core/core-private.h"

/*
 * n_paths: so many are enough; 0: one for each session that shows it. 1: it can be used. 0: not
 * yet, the error (TimedOut) tells what is missing. -1: it will not be, whatever is waited for:
 * LunNotVisible, PathsInconsistent, PortalUnreachable (there are not so many sessions).
 */
int dl_kernel_usable(const DlTarget *target, const char *guid, unsigned n_paths, GError **error);
