/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Tells ThreadSanitizer what it cannot see: that an object is handed from one thread to another
 * through GLib, whose futexes are not instrumented. Nothing in other builds.
 */

#ifdef __SANITIZE_THREAD__
#include <sanitizer/tsan_interface.h>

static inline void dl_hand_over(void *object) /* by the one who gives, before */
{
        __tsan_release(object);
}

static inline void dl_take_over(void *object) /* by the one who takes, first */
{
        __tsan_acquire(object);
}
#else
static inline void dl_hand_over(void *object) {}

static inline void dl_take_over(void *object) {}
#endif
