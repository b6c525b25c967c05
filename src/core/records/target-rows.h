/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What persist.c and the model need of the rows of targets, beside what core-private.h has. Loop
 * thread only. */

#include "core/records/json.h"
#include "core/core-private.h"

/* Removes the row. done: with an error it is as it was; else the target may go, if it is leaving
 * still, and then its secrets have to. */
void dl_persist_target_gone(DlTarget *target, DlPersisted done, void *userdata);
/* Deletes the secrets of a target that is gone; done (may be NULL) is never told an error: what
 * fails is tried again by the next start. */
void dl_persist_delete_secrets(DlCore *core, const char *iqn, DlPersisted done, void *userdata);

void dl_persist_load_target(DlCore *core, const char *iqn, JsonObject *row);
/* When all targets are loaded. */
void dl_persist_load_forgotten(DlCore *core, const char *iqn);

/* What a portal is, as members of the object that the builder has open: in rows and in reports. */
void dl_portal_add_members(JsonBuilder *builder, const DlPortal *portal);
