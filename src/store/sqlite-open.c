/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Making, checking and migrating the database file. Blocks; runs before the loop does. The rule is
 * that nothing is written to a file that is not known to be a good database of ours: a new one is
 * made beside its name and moved there when it is complete, and one that is there is checked
 * through a connection that cannot write.
 *
 * Only SQLite may open the file: closing any other descriptor of it would drop the locks that
 * another connection of this process has on it.
 */

#include "sqlite-private.h"
#include "util/error.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define APPLICATION_ID  0x644c756e /* "dLun" */
#define BUSY_TIMEOUT_MS 5000

/* Step i makes schema version i + 1 of version i (0: an empty database). Only ever append. */
static const char *const migrations[] = {
        "CREATE TABLE revision ("
        "  id INTEGER PRIMARY KEY CHECK (id = 1),"
        "  value INTEGER NOT NULL"
        ") STRICT;"
        "INSERT INTO revision (id, value) VALUES (1, 0);"
        "CREATE TABLE entry ("
        "  key TEXT NOT NULL PRIMARY KEY,"
        "  value TEXT NOT NULL,"
        "  create_revision INTEGER NOT NULL,"
        "  mod_revision INTEGER NOT NULL"
        ") STRICT, WITHOUT ROWID;",

        /* what watches need: the changes since a revision, deletions too */
        "CREATE INDEX entry_by_revision ON entry (mod_revision);"
        "CREATE TABLE deleted ("
        "  key TEXT NOT NULL PRIMARY KEY,"
        "  revision INTEGER NOT NULL"
        ") STRICT, WITHOUT ROWID;"
        "CREATE INDEX deleted_by_revision ON deleted (revision);",
};

#define SCHEMA_VERSION ((int)G_N_ELEMENTS(migrations))

G_DEFINE_AUTOPTR_CLEANUP_FUNC(sqlite3, sqlite3_close)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(sqlite3_stmt, sqlite3_finalize)

bool dl_sqlite_fail(sqlite3 *db, const char *what, GError **error)
{
        g_set_error(error, DL_ERROR, DL_ERROR_ENGINE_UNAVAILABLE, "The database cannot %s: %s",
                    what, sqlite3_errmsg(db));
        return false;
}

bool dl_sqlite_exec(sqlite3 *db, const char *sql, const char *what, GError **error)
{
        return sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK ||
               dl_sqlite_fail(db, what, error);
}

/* The first column of the first row of a statement, as text; NULL on error. */
static char *query(sqlite3 *db, const char *sql)
{
        g_autoptr(sqlite3_stmt) s = NULL;

        if (sqlite3_prepare_v2(db, sql, -1, &s, NULL) != SQLITE_OK || sqlite3_step(s) != SQLITE_ROW)
                return NULL;
        return g_strdup((const char *)sqlite3_column_text(s, 0));
}

static bool query_int(sqlite3 *db, const char *sql, int64_t *ret)
{
        g_autofree char *text = query(db, sql);
        gint64 value;

        if (!text || !g_ascii_string_to_signed(text, 10, G_MININT64, G_MAXINT64, &value, NULL))
                return false;
        *ret = value;
        return true;
}

static sqlite3 *open_connection(const char *path, bool writable, bool immutable, GError **error)
{
        g_autofree char *escaped = g_uri_escape_string(path, "/", FALSE);
        g_autofree char *uri = g_strconcat("file:", escaped, immutable ? "?immutable=1" : "", NULL);
        int flags = SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE |
                    (writable ? SQLITE_OPEN_READWRITE : SQLITE_OPEN_READONLY);
        g_autoptr(sqlite3) db = NULL;

        if (sqlite3_open_v2(uri, &db, flags, NULL) != SQLITE_OK) {
                g_set_error(error, DL_ERROR, DL_ERROR_ENGINE_UNAVAILABLE,
                            "Cannot open the database %s: %s", path,
                            db ? sqlite3_errmsg(db) : "no memory");
                return NULL;
        }
        (void)sqlite3_extended_result_codes(db, 1);
        (void)sqlite3_busy_timeout(db, BUSY_TIMEOUT_MS);
        (void)sqlite3_db_config(db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
        (void)sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
        (void)sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, !writable, NULL);
        if (!dl_sqlite_exec(db, "PRAGMA cell_size_check = ON", "be opened", error))
                return NULL;
        return g_steal_pointer(&db);
}

/* Checking. */

static bool refuse(GError **error, const char *path, const char *why)
{
        g_set_error(error, DL_ERROR, DL_ERROR_ENGINE_UNAVAILABLE,
                    "The database %s %s. It was left as it is; put a good copy in its place, or "
                    "move it away to begin with an empty one",
                    path, why);
        return false;
}

/* Not readable for a passing reason (locked, no permission, no memory), or damaged? */
static bool refuse_unreadable(sqlite3 *db, const char *path, GError **error)
{
        g_autofree char *why = NULL;

        switch (sqlite3_errcode(db) & 0xff) {
        case SQLITE_BUSY:
        case SQLITE_CANTOPEN:
        case SQLITE_IOERR:
        case SQLITE_NOMEM:
        case SQLITE_PERM:
        case SQLITE_READONLY:
                g_set_error(error, DL_ERROR, DL_ERROR_ENGINE_UNAVAILABLE,
                            "The database %s cannot be read: %s", path, sqlite3_errmsg(db));
                return false;
        case SQLITE_OK:
        case SQLITE_ROW:
        case SQLITE_DONE:
                return refuse(error, path, "is damaged");
        default:
                why = g_strdup_printf("is damaged (%s)", sqlite3_errmsg(db));
                return refuse(error, path, why);
        }
}

static bool check_kind(sqlite3 *db, const char *path, int64_t *ret_version, GError **error)
{
        int64_t application, version;

        if (!query_int(db, "PRAGMA application_id", &application) ||
            !query_int(db, "PRAGMA user_version", &version))
                return refuse_unreadable(db, path, error);
        if (application != APPLICATION_ID)
                return refuse(error, path, "belongs to another application");
        if (version > SCHEMA_VERSION) {
                g_autofree char *why = g_strdup_printf(
                        "was made by a newer version (its schema is %d, known are 1 to %d)",
                        (int)version, SCHEMA_VERSION);

                return refuse(error, path, why);
        }
        if (version < 1)
                return refuse(error, path, "is damaged (it has no schema version)");
        *ret_version = version;
        return true;
}

/* The schema's text is compared with what the migrations make of an empty database. */
static char *schema_of(sqlite3 *db)
{
        return query(db, "SELECT group_concat(sql, char(10)) FROM "
                         "(SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name)");
}

static bool migrate(sqlite3 *db, int64_t from, int64_t to, GError **error)
{
        for (int64_t version = from; version < to; version++) {
                g_autofree char *pragma = g_strdup_printf("PRAGMA user_version = %d",
                                                          (int)version + 1);

                if (!dl_sqlite_exec(db, migrations[version], "be migrated", error) ||
                    !dl_sqlite_exec(db, pragma, "be migrated", error))
                        return false;
        }
        return true;
}

static bool check_schema(sqlite3 *db, const char *path, int64_t version, GError **error)
{
        g_autoptr(sqlite3) model = NULL;
        g_autofree char *expected = NULL, *found = NULL;

        if (sqlite3_open_v2(":memory:", &model, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK)
                return dl_sqlite_fail(model, "be checked", error);
        if (!migrate(model, 0, version, error))
                return false;
        expected = schema_of(model);
        found = schema_of(db);
        if (!found)
                return refuse_unreadable(db, path, error);
        return g_strcmp0(found, expected) == 0 ||
               refuse(error, path, "is damaged (its tables are not those of its version)");
}

static bool check_content(sqlite3 *db, const char *path, GError **error)
{
        g_autofree char *verdict = query(db, "PRAGMA quick_check(1)");
        g_autofree char *why = NULL;
        int64_t revision;

        if (!verdict)
                return refuse_unreadable(db, path, error);
        if (!g_str_equal(verdict, "ok")) {
                why = g_strdup_printf("is damaged (%s)", verdict);
                return refuse(error, path, g_strdelimit(why, "\n", ' '));
        }
        return (query_int(db, "SELECT value FROM revision WHERE id = 1", &revision) &&
                revision >= 0) ||
               refuse(error, path, "is damaged (it has no revision)");
}

/* SQLite reads what was cut off the last page as zeroes. With a log, the file may be shorter. */
static bool check_size(sqlite3 *db, const char *path, GError **error)
{
        int64_t pages, page_size;
        struct stat st;

        if (!query_int(db, "PRAGMA page_count", &pages) ||
            !query_int(db, "PRAGMA page_size", &page_size))
                return refuse_unreadable(db, path, error);
        return (stat(path, &st) == 0 && st.st_size / page_size >= pages) ||
               refuse(error, path, "is damaged (its end is missing)");
}

static bool check_through(const char *path, bool immutable, GError **error)
{
        g_autoptr(sqlite3) db = open_connection(path, false, immutable, error);
        int64_t version;

        return db && check_kind(db, path, &version, error) &&
               (!immutable || check_size(db, path, error)) && check_content(db, path, error) &&
               check_schema(db, path, version, error);
}

/*
 * With no write-ahead log beside it, the file is all there is, and SQLite can read it as one that
 * nobody changes, without making any other file. With one, somebody uses the database or a crash
 * left it: then what counts is the file and its log together.
 */
static bool check_file(const char *path, GError **error)
{
        g_autofree char *log = g_strconcat(path, "-wal", NULL);

        if (access(log, F_OK) < 0 && check_through(path, true, NULL))
                return true;
        /* Bad, or somebody began to change it meanwhile. */
        return check_through(path, access(log, F_OK) < 0, error);
}

/* Making. */

static bool fail_errno(GError **error, const char *path)
{
        g_set_error(error, DL_ERROR, DL_ERROR_ENGINE_UNAVAILABLE, "Cannot make the database %s: %s",
                    path, g_strerror(errno));
        return false;
}

static bool fill_new(const char *path, GError **error)
{
        g_autoptr(sqlite3) db = open_connection(path, true, false, error);
        g_autofree char *pragma = g_strdup_printf("PRAGMA application_id = %d", APPLICATION_ID);

        return db &&
               dl_sqlite_exec(db, "PRAGMA synchronous = FULL; BEGIN IMMEDIATE", "be made", error) &&
               dl_sqlite_exec(db, pragma, "be made", error) &&
               migrate(db, 0, SCHEMA_VERSION, error) &&
               dl_sqlite_exec(db, "COMMIT; PRAGMA journal_mode = WAL", "be made", error);
}

static void remove_new(const char *path)
{
        static const char *const suffixes[] = {"", "-journal", "-wal", "-shm"};

        for (size_t i = 0; i < G_N_ELEMENTS(suffixes); i++) {
                g_autofree char *file = g_strconcat(path, suffixes[i], NULL);

                (void)unlink(file);
        }
}

static bool make_empty(const char *path, GError **error)
{
        int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

        if (fd < 0)
                return fail_errno(error, path);
        close(fd);
        return true;
}

/* Under the lock of the folder. */
static bool make_locked(const char *path, int dir_fd, GError **error)
{
        g_autofree char *new_path = g_strconcat(path, ".new", NULL);
        g_autofree char *log = g_strconcat(path, "-wal", NULL);

        if (access(path, F_OK) == 0)
                return true; /* another process was faster */
        /* SQLite would take a log of a lost database for that of the new one, or delete it. */
        if (access(log, F_OK) == 0)
                return refuse(error, path, "is not there, but its log is (its name ends in -wal)");

        remove_new(new_path); /* what a crash may have left */
        if (!make_empty(new_path, error) || !fill_new(new_path, error)) {
                remove_new(new_path);
                return false;
        }
        if (rename(new_path, path) < 0 || fsync(dir_fd) < 0) {
                fail_errno(error, path);
                remove_new(new_path);
                return false;
        }
        return true;
}

static bool make(const char *path, GError **error)
{
        g_autofree char *dir = g_path_get_dirname(path);
        int dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        bool ok;

        if (dir_fd < 0)
                return fail_errno(error, path);
        if (flock(dir_fd, LOCK_EX) < 0)
                ok = fail_errno(error, path);
        else
                ok = make_locked(path, dir_fd, error);
        close(dir_fd);
        return ok;
}

/* Opening. */

static bool migrate_file(sqlite3 *db, const char *path, GError **error)
{
        int64_t version;

        /* Read again under the lock: another process may have migrated it since the check. */
        if (!dl_sqlite_exec(db, "BEGIN IMMEDIATE", "be opened", error))
                return false;
        if (!check_kind(db, path, &version, error) ||
            !migrate(db, version, SCHEMA_VERSION, error) ||
            !dl_sqlite_exec(db, "COMMIT", "be migrated", error)) {
                (void)sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
                return false;
        }
        return true;
}

static bool use_wal(sqlite3 *db, GError **error)
{
        g_autofree char *mode = query(db, "PRAGMA journal_mode = WAL");

        if (g_strcmp0(mode, "wal") != 0)
                return dl_sqlite_fail(db, "use a write-ahead log", error);
        return dl_sqlite_exec(db, "PRAGMA synchronous = FULL; PRAGMA journal_size_limit = 4194304",
                              "be opened", error);
}

static bool check_status(const char *path, const struct stat *st, GError **error)
{
        if (!S_ISREG(st->st_mode))
                return refuse(error, path, "is not a file");
        if (st->st_size == 0)
                return refuse(error, path, "is damaged (it is empty)");
        return true;
}

sqlite3 *dl_sqlite_open(const char *path, GError **error)
{
        g_autoptr(sqlite3) db = NULL;
        struct stat st;

        if (stat(path, &st) < 0) {
                if (errno != ENOENT) {
                        fail_errno(error, path);
                        return NULL;
                }
                if (!make(path, error))
                        return NULL;
                if (stat(path, &st) < 0) {
                        fail_errno(error, path);
                        return NULL;
                }
        }
        if (!check_status(path, &st, error) || !check_file(path, error))
                return NULL;

        /* SQLite gives its log the mode of the database. */
        if ((st.st_mode & 077) && chmod(path, 0600) < 0) {
                fail_errno(error, path);
                return NULL;
        }
        db = open_connection(path, true, false, error);
        if (!db || !use_wal(db, error) || !migrate_file(db, path, error))
                return NULL;
        return g_steal_pointer(&db);
}
