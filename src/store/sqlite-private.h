/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What opening the database (sqlite-open.c) and using it (sqlite.c) share. Any thread, one at a
 * time for a connection. */

#include <glib.h>
#include <sqlite3.h>
#include <stdbool.h>

/* EngineUnavailable with SQLite's reason. Returns false. */
bool dl_sqlite_fail(sqlite3 *db, const char *what, GError **error);

/* One or more statements without results. */
bool dl_sqlite_exec(sqlite3 *db, const char *sql, const char *what, GError **error);

/* A checked connection of the current schema, ready for use; NULL on error. */
sqlite3 *dl_sqlite_open(const char *path, GError **error);
