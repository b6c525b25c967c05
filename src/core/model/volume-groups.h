/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The volume groups of physical volumes that say nothing of theirs: the text on another one names
 * it. Of a storage domain of oVirt two have the text, and the rest would be anybody's. Nothing is
 * kept but in the LUNs' contents, which own it. Loop thread only.
 */

#include "core/core-private.h"

/* A physical volume has come, gone or changed. */
void dl_volume_groups_update(DlCore *core);
