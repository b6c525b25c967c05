/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Claims of storage domains on LUNs: rows of the store, each made and removed by a transaction that
 * two who race cannot both win, and kept whatever becomes of the LUN's paths. Loop thread only.
 */

#include "core/core-private.h"

#include <json-glib/json-glib.h>

GHashTable *dl_claims_new(void); /* for core->claims */

/* The domain that has claimed the LUN; NULL if none has. */
const char *dl_claim_of(DlCore *core, const char *guid);

/* Writes a claim where there is none: the callback runs once, always. StorageDomainConflict if
 * another domain was faster; a claim of the same one is as good as ours. */
void dl_claim_write(DlCore *core, const char *guid, const char *domain, DlPersisted done,
                    void *userdata);
/* Removes the claim that is known. The callback runs once, always. Busy if it is another by now. */
void dl_claim_remove(DlCore *core, const char *guid, DlPersisted done, void *userdata);

/* StorageDomainConflict, unless the LUN is free for this domain or claimed by it. */
bool dl_claim_check(DlCore *core, const char *guid, const char *domain, GError **error);

/* The LUN was claimed, so nobody else is to use it: InUse. */
bool dl_claim_check_unclaimed(const DlLun *lun, GError **error);

/* The row, when the store is read; then, when all of it was, LUNs that only claims know. */
void dl_claim_load(DlCore *core, const char *guid, JsonObject *row, int64_t revision);
void dl_claims_complete(DlCore *core);
