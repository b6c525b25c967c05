/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A copy of what is known of targets and LUNs, for a dry run to look at the storage with: what the
 * portals answer is merged into it by the same code as ever, but nothing of it is announced,
 * stored, or kept up, and the core knows nothing of it afterwards. All else (VMs, attachments,
 * vDisks, hosts, settings, the initiator) is the core's own. Belongs to the operation. Loop thread
 * only.
 */

#include "core/core-private.h"

DlCore *dl_scratch_new(DlCore *core);
/* All that uses its targets and LUNs must have ended. Takes NULL. */
void dl_scratch_free(DlCore *scratch);
