/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Asks for the size of a LUN again, through all layers of the kernel, when its target says that it
 * has changed and a VM has the LUN; the guest then follows (guest-size.h). One that says so all the
 * time is asked no more often than once a second. Loop thread only.
 */

#include "core/core-private.h"

typedef struct DlSizeWatch DlSizeWatch;

/* A DlSizeTold (host/size-events.h). */
void dl_sizes_on_told(const char *name, void *core);

void dl_size_watch_free(DlSizeWatch *watch); /* takes NULL */
