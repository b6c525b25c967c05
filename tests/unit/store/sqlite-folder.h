/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A folder with a SQLite database for a test, as an engine for store-contract.h too. */

#include "store-contract.h"

typedef struct SqliteFolder {
        char *path;
        char *database;
} SqliteFolder;

SqliteFolder *sqlite_folder_new(void);
void sqlite_folder_free(SqliteFolder *folder); /* with all that is in it */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SqliteFolder, sqlite_folder_free)

extern const StoreEngine sqlite_engine; /* its databases are folders */

/* Runs SQL on the database file, outside the store. */
void sqlite_folder_exec(const SqliteFolder *folder, const char *sql);
