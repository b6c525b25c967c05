/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Where tests kill the service. Only builds with -Dtest-hooks=true have any code here. There,
 * DIRECTLUND_KILL_AT=WHAT:INDEX:WHEN[:N] makes the process end by SIGKILL when it passes this point
 * for the Nth time (default: the first), and DIRECTLUND_KILL_AT=list logs each point that it
 * passes. Loop thread only.
 */

#include "config.h"

#if DL_TEST_HOOKS
/*
 * what: the operation, what is written, or what is asked of the helper. index: of the step. when:
 * before, waiting (it has begun and goes on later), after; the same with "undo-"; or of a write:
 * submitted, committed; of the helper: asked, answered.
 */
void dl_kill_point(const char *what, unsigned index, const char *when);
#else
static inline void dl_kill_point(const char *what, unsigned index, const char *when) {}
#endif
