/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Objects as people and programs see them on stdout. Nothing is owned. One thread. */

#include "directlunctl/objects.h"

/* Objects of one kind: an array of them in JSON, a table in text. */
void ctl_view_list(const Ctl *ctl, const CtlObjects *objects, const char *kind, GPtrArray *list);

/* One object: with all its properties. */
void ctl_view_object(const Ctl *ctl, const CtlObjects *objects, JsonObject *object);

/* What Explain tells: an array of dictionaries. */
void ctl_view_facts(const Ctl *ctl, JsonNode *facts);

/*
 * What a command that changes something left behind: in JSON the object, with "changed" if that is
 * worth telling (nothing was to be done); in text a table, unless quiet.
 */
void ctl_view_result(const Ctl *ctl, const CtlObjects *objects, JsonObject *object, bool changed);
