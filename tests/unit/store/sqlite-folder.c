/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* See sqlite-folder.h. */

#include "sqlite-folder.h"

#include <glib/gstdio.h>
#include <sqlite3.h>

SqliteFolder *sqlite_folder_new(void)
{
        SqliteFolder *folder = g_new0(SqliteFolder, 1);
        GError *error = NULL;

        folder->path = g_dir_make_tmp("test-store-XXXXXX", &error);
        g_assert_no_error(error);
        folder->database = g_build_filename(folder->path, "state.db", NULL);
        return folder;
}

void sqlite_folder_free(SqliteFolder *folder)
{
        g_autoptr(GDir) dir = g_dir_open(folder->path, 0, NULL);
        const char *name;

        while ((name = g_dir_read_name(dir))) {
                g_autofree char *file = g_build_filename(folder->path, name, NULL);

                g_remove(file);
        }
        g_assert_cmpint(g_rmdir(folder->path), ==, 0);
        g_free(folder->path);
        g_free(folder->database);
        g_free(folder);
}

void sqlite_folder_exec(const SqliteFolder *folder, const char *sql)
{
        sqlite3 *db;
        char *message = NULL;

        g_assert_cmpint(sqlite3_open(folder->database, &db), ==, SQLITE_OK);
        sqlite3_busy_timeout(db, 5000);
        sqlite3_exec(db, sql, NULL, NULL, &message);
        g_assert_cmpstr(message, ==, NULL);
        g_assert_cmpint(sqlite3_close(db), ==, SQLITE_OK);
}

static void *make(void)
{
        return sqlite_folder_new();
}

static void destroy(void *folder)
{
        sqlite_folder_free(folder);
}

static DlStore *open_folder(void *database, sd_event *event, DlWorkers *workers)
{
        SqliteFolder *folder = database;
        GError *error = NULL;
        DlStore *store = dl_store_open_sqlite(event, workers, folder->database, &error);

        g_assert_no_error(error);
        return store;
}

const StoreEngine sqlite_engine = {
        .name = "sqlite",
        .make = make,
        .destroy = destroy,
        .open = open_folder,
};
