/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The engine for one host: a SQLite database in WAL mode, each transaction synced. Blocks; on a
 * worker, one call at a time. The connection and its statements belong to the backend.
 */

#include "sqlite-private.h"
#include "store-backend.h"
#include "util/error.h"

#include <string.h>

/* For how many revisions deletions are remembered. */
#define DELETIONS_KEPT 4096

typedef enum Statement {
        BEGIN_READ,
        BEGIN_WRITE,
        COMMIT,
        ROLLBACK,
        REVISION,
        SET_REVISION,
        GET,
        RANGE,
        ALL,
        CHANGED,
        MOD_REVISION,
        PUT,
        UNDELETE,
        DELETE,
        NOTE_DELETED,
        TRIM_DELETED,
        _STATEMENT_MAX,
} Statement;

#define COLUMNS "SELECT key, value, create_revision, mod_revision FROM entry "

static const char *const texts[_STATEMENT_MAX] = {
        [BEGIN_READ] = "BEGIN",
        [BEGIN_WRITE] = "BEGIN IMMEDIATE",
        [COMMIT] = "COMMIT",
        [ROLLBACK] = "ROLLBACK",
        [REVISION] = "SELECT value FROM revision WHERE id = 1",
        [SET_REVISION] = "UPDATE revision SET value = ?1 WHERE id = 1",
        [GET] = COLUMNS "WHERE key = ?1",
        [RANGE] = COLUMNS "WHERE key >= ?1 AND key < ?2 ORDER BY key",
        [ALL] = COLUMNS "ORDER BY key",
        [CHANGED] = COLUMNS "WHERE mod_revision > ?1 UNION ALL "
                            "SELECT key, NULL, 0, revision FROM deleted WHERE revision > ?1 "
                            "ORDER BY 4, 1",
        [MOD_REVISION] = "SELECT mod_revision FROM entry WHERE key = ?1",
        [PUT] = "INSERT INTO entry (key, value, create_revision, mod_revision) "
                "VALUES (?1, ?2, ?3, ?3) "
                "ON CONFLICT (key) DO UPDATE SET value = ?2, mod_revision = ?3",
        [UNDELETE] = "DELETE FROM deleted WHERE key = ?1",
        [DELETE] = "DELETE FROM entry WHERE key = ?1",
        [NOTE_DELETED] = "INSERT OR REPLACE INTO deleted (key, revision) VALUES (?1, ?2)",
        [TRIM_DELETED] = "DELETE FROM deleted WHERE revision <= ?1",
};

typedef struct Sqlite {
        DlStoreBackend backend;
        sqlite3 *db;
        sqlite3_stmt *statements[_STATEMENT_MAX];
} Sqlite;

static const DlStoreBackendVtable vtable;

static void sqlite_free(DlStoreBackend *backend)
{
        Sqlite *q = (Sqlite *)backend;

        for (size_t i = 0; i < _STATEMENT_MAX; i++)
                sqlite3_finalize(q->statements[i]);
        sqlite3_close(q->db);
        g_free(q);
}

/* Statements: bound from 1 on, run, and reset, so that none keeps a lock. The strings outlive it.
 */

static sqlite3_stmt *bind_one(Sqlite *q, Statement which, const char *text, int64_t number)
{
        sqlite3_stmt *s = q->statements[which];
        int i = 1;

        if (text)
                (void)sqlite3_bind_text(s, i++, text, -1, SQLITE_STATIC);
        if (i <= sqlite3_bind_parameter_count(s))
                (void)sqlite3_bind_int64(s, i, number);
        return s;
}

static void reset(sqlite3_stmt *s)
{
        (void)sqlite3_reset(s);
        (void)sqlite3_clear_bindings(s);
}

/* To its end. The error is SQLite's last one. */
static bool run(sqlite3_stmt *s)
{
        int r = sqlite3_step(s);

        reset(s);
        return r == SQLITE_DONE;
}

static bool simple(Sqlite *q, Statement which)
{
        return run(q->statements[which]);
}

/* A number, or 0 if there is no row. */
static bool number_of(sqlite3_stmt *s, int64_t *ret)
{
        int64_t number = 0;
        int r = sqlite3_step(s);

        if (r == SQLITE_ROW) {
                number = sqlite3_column_int64(s, 0);
                r = SQLITE_DONE;
        }
        reset(s);
        if (r != SQLITE_DONE)
                return false;
        *ret = number;
        return true;
}

/* Ends a transaction that failed; the error was already taken. */
static void roll_back(Sqlite *q)
{
        if (!sqlite3_get_autocommit(q->db))
                (void)simple(q, ROLLBACK);
}

/* Reading. */

/* What SQLite stores without checking, and a damaged page may have changed. */
static bool text_good(sqlite3_stmt *s, int column)
{
        const char *text = (const char *)sqlite3_column_text(s, column);

        return text && g_utf8_validate(text, sqlite3_column_bytes(s, column), NULL);
}

static bool collect(Sqlite *q, sqlite3_stmt *s, DlStoreSnapshot *snapshot, GError **error)
{
        bool good = true;
        int r;

        while ((r = sqlite3_step(s)) == SQLITE_ROW && good) {
                bool deleted = sqlite3_column_type(s, 1) == SQLITE_NULL;

                good = text_good(s, 0) && (deleted || text_good(s, 1));
                if (good)
                        dl_store_snapshot_add(snapshot, (const char *)sqlite3_column_text(s, 0),
                                              (const char *)sqlite3_column_text(s, 1),
                                              sqlite3_column_int64(s, 2),
                                              sqlite3_column_int64(s, 3));
        }
        if (!good)
                g_set_error(error, DL_ERROR, DL_ERROR_ENGINE_UNAVAILABLE,
                            "The database is damaged: something in it is not text");
        else if (r != SQLITE_DONE)
                good = dl_sqlite_fail(q->db, "be read", error);
        reset(s);
        return good;
}

/* The first text after all that begin with prefix; NULL if there is none. Bytes are compared, so it
 * need not be UTF-8. */
static char *end_of_range(const char *prefix)
{
        size_t size = strlen(prefix);
        char *end;

        if (size == 0)
                return NULL;
        end = g_strdup(prefix);
        end[size - 1] = (char)((unsigned char)end[size - 1] + 1); /* UTF-8 has no 0xff */
        return end;
}

static bool read_range(Sqlite *q, const char *prefix, bool exact, DlStoreSnapshot *snapshot,
                       GError **error)
{
        g_autofree char *end = end_of_range(prefix);
        sqlite3_stmt *s;

        if (exact || !end)
                return collect(q, bind_one(q, exact ? GET : ALL, exact ? prefix : NULL, 0),
                               snapshot, error);
        s = q->statements[RANGE];
        (void)sqlite3_bind_text(s, 1, prefix, -1, SQLITE_STATIC);
        (void)sqlite3_bind_text(s, 2, end, -1, SQLITE_STATIC);
        return collect(q, s, snapshot, error);
}

static int by_revision(gconstpointer a, gconstpointer b)
{
        const DlStoreEntry *x = a, *y = b;

        return (x->mod_revision > y->mod_revision) - (x->mod_revision < y->mod_revision);
}

static bool read_changes(Sqlite *q, int64_t after, DlStoreSnapshot *snapshot, GError **error)
{
        if (snapshot->revision == after)
                return true;
        if (after >= snapshot->revision - DELETIONS_KEPT)
                return collect(q, bind_one(q, CHANGED, NULL, after), snapshot, error);
        if (!collect(q, q->statements[ALL], snapshot, error))
                return false;
        g_array_sort(snapshot->entries, by_revision);
        snapshot->complete = true;
        return true;
}

/* BEGIN alone takes no lock: the first read of the transaction fixes what all of it sees. */
static bool begin_read(Sqlite *q, DlStoreSnapshot *snapshot, GError **error)
{
        dl_store_snapshot_init(snapshot);
        return (simple(q, BEGIN_READ) && number_of(q->statements[REVISION], &snapshot->revision)) ||
               dl_sqlite_fail(q->db, "be read", error);
}

static bool end_read(Sqlite *q, bool good, DlStoreSnapshot *snapshot, DlStoreSnapshot *ret,
                     GError **error)
{
        if (good && !simple(q, COMMIT))
                good = dl_sqlite_fail(q->db, "be read", error);
        if (!good) {
                roll_back(q);
                dl_store_snapshot_clear(snapshot);
                return false;
        }
        *ret = *snapshot;
        return true;
}

static bool sqlite_range(DlStoreBackend *backend, const char *prefix, bool exact,
                         DlStoreSnapshot *ret, GError **error)
{
        Sqlite *q = (Sqlite *)backend;
        DlStoreSnapshot snapshot = {0};
        bool good = begin_read(q, &snapshot, error) &&
                    read_range(q, prefix, exact, &snapshot, error);

        return end_read(q, good, &snapshot, ret, error);
}

static bool sqlite_changes(DlStoreBackend *backend, int64_t after, DlStoreSnapshot *ret,
                           GError **error)
{
        Sqlite *q = (Sqlite *)backend;
        DlStoreSnapshot snapshot = {0};
        bool good = begin_read(q, &snapshot, error) && read_changes(q, after, &snapshot, error);

        return end_read(q, good, &snapshot, ret, error);
}

/* Writing. All these return false with SQLite's last error. */

static bool compare_all(Sqlite *q, const DlStoreCompare *compares, size_t n, bool *ret)
{
        for (size_t i = 0; i < n; i++) {
                int64_t found;

                if (!number_of(bind_one(q, MOD_REVISION, compares[i].key, 0), &found))
                        return false;
                if (found != compares[i].mod_revision) {
                        *ret = false;
                        return true;
                }
        }
        *ret = true;
        return true;
}

static bool put(Sqlite *q, const DlStoreOp *op, int64_t revision)
{
        sqlite3_stmt *s = q->statements[PUT];

        (void)sqlite3_bind_text(s, 1, op->key, -1, SQLITE_STATIC);
        (void)sqlite3_bind_text(s, 2, op->value, -1, SQLITE_STATIC);
        (void)sqlite3_bind_int64(s, 3, revision);
        return run(s) && run(bind_one(q, UNDELETE, op->key, 0));
}

static bool apply(Sqlite *q, const DlStoreOp *op, int64_t revision, bool *changed)
{
        if (op->value) {
                *changed = true;
                return put(q, op, revision);
        }
        if (!run(bind_one(q, DELETE, op->key, 0)))
                return false;
        if (sqlite3_changes(q->db) == 0)
                return true;
        *changed = true;
        return run(bind_one(q, NOTE_DELETED, op->key, revision));
}

static bool apply_all(Sqlite *q, const DlStoreOp *ops, size_t n, int64_t *revision)
{
        int64_t next = *revision + 1;
        bool changed = false;

        for (size_t i = 0; i < n; i++)
                if (!apply(q, &ops[i], next, &changed))
                        return false;
        if (!changed)
                return true;
        *revision = next;
        return run(bind_one(q, TRIM_DELETED, NULL, next - DELETIONS_KEPT)) &&
               run(bind_one(q, SET_REVISION, NULL, next));
}

static bool carry_out(Sqlite *q, const DlStoreCompare *compares, size_t n_compares,
                      const DlStoreOp *ops, size_t n_ops, bool *succeeded, int64_t *revision)
{
        return simple(q, n_ops > 0 ? BEGIN_WRITE : BEGIN_READ) &&
               number_of(q->statements[REVISION], revision) &&
               compare_all(q, compares, n_compares, succeeded) &&
               (!*succeeded || apply_all(q, ops, n_ops, revision)) && simple(q, COMMIT);
}

static bool sqlite_txn(DlStoreBackend *backend, const DlStoreCompare *compares, size_t n_compares,
                       const DlStoreOp *ops, size_t n_ops, bool *ret_succeeded,
                       int64_t *ret_revision, GError **error)
{
        Sqlite *q = (Sqlite *)backend;
        bool succeeded = false;
        int64_t revision = 0;

        if (!carry_out(q, compares, n_compares, ops, n_ops, &succeeded, &revision)) {
                dl_sqlite_fail(q->db, "be written", error);
                roll_back(q);
                return false;
        }
        *ret_succeeded = succeeded;
        *ret_revision = revision;
        return true;
}

static const DlStoreBackendVtable vtable = {
        .engine = "sqlite",
        .range = sqlite_range,
        .txn = sqlite_txn,
        .changes = sqlite_changes,
        .free = sqlite_free,
};

static bool prepare(Sqlite *q, GError **error)
{
        for (size_t i = 0; i < _STATEMENT_MAX; i++)
                if (sqlite3_prepare_v3(q->db, texts[i], -1, SQLITE_PREPARE_PERSISTENT,
                                       &q->statements[i], NULL) != SQLITE_OK)
                        return dl_sqlite_fail(q->db, "be used", error);
        return true;
}

DlStore *dl_store_open_sqlite(sd_event *event, DlWorkers *workers, const char *path, GError **error)
{
        sqlite3 *db = dl_sqlite_open(path, error);
        Sqlite *q;

        if (!db)
                return NULL;
        q = g_new0(Sqlite, 1);
        q->backend.vtable = &vtable;
        q->db = db;
        if (!prepare(q, error)) {
                sqlite_free(&q->backend);
                return NULL;
        }
        return dl_store_new(event, workers, &q->backend);
}
