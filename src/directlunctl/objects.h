/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The service's objects as it has them now. Each is a JSON object: "path", "kind" (target, lun,
 * vdisk, vm, attachment, host, job), "id", and its D-Bus properties by their names; that is also
 * what --json prints. They belong to the CtlObjects. One thread.
 */

#include "directlunctl/ctl.h"

typedef struct CtlObjects CtlObjects;

CtlObjects *ctl_objects_load(Ctl *ctl, GError **error);
void ctl_objects_free(CtlObjects *objects);

/* An object without any relation to the service, from its path and interfaces, as
 * GetManagedObjects and InterfacesAdded tell them; NULL if it is none of ours. */
JsonObject *ctl_object_new(const char *path, JsonObject *interfaces);

/* Kind and id of a path; false if it is none of an object of ours. */
bool ctl_path_parse(const char *path, const char **ret_kind, char **ret_id);

JsonObject *ctl_objects_get(const CtlObjects *objects, const char *path);

/* In the order of their ids. The array holds no references. */
GPtrArray *ctl_objects_of_kind(const CtlObjects *objects, const char *kind);
GPtrArray *ctl_objects_all(const CtlObjects *objects);

/* Those that a list of paths names and that are there; NULL is an empty list. */
GPtrArray *ctl_objects_listed(const CtlObjects *objects, JsonArray *paths);

/*
 * By path, id or name; kind NULL: of any kind. Ids go before names; a name that several have is an
 * error (InvalidArgs). What is not there is the kind's own error.
 */
JsonObject *ctl_objects_find(const CtlObjects *objects, const char *kind, const char *word,
                             GError **error);

/* Whether a word names an object, by path, id or name. */
bool ctl_object_is(JsonObject *object, const char *word);

/* The path of a VM by name, UUID or path, as the service finds it. */
char *ctl_find_vm(Ctl *ctl, const char *word, GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(CtlObjects, ctl_objects_free)
