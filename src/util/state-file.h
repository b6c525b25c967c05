/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Secrets that must survive: one file a secret, readable by nobody else, replaced atomically and
 * durably. All functions block (fsync): call them from a worker, one at a time for a name, or at
 * the start. Errors are EngineUnavailable, or InvalidArgs for a name that cannot be a file's.
 */

#include "secret.h"

#include <stdbool.h>

/* name: 1 to 200 of [A-Za-z0-9._-], not starting with '.'. dir is made (0700) if it is not there;
 * its parent must be. */
bool dl_state_file_write(const char *dir, const char *name, const DlSecret *secret, GError **error);

/* *ret is NULL if there is no such file, which is no error. */
bool dl_state_file_read(const char *dir, const char *name, DlSecret **ret, GError **error);

/* That there is no such file is no error. */
bool dl_state_file_delete(const char *dir, const char *name, GError **error);
