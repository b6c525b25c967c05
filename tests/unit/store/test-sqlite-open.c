/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Opening the SQLite database: making it, migrating an older one, and refusing what is damaged,
 * newer or somebody else's without touching it.
 */

#include "sqlite-folder.h"
#include "util/error.h"

#include <glib/gstdio.h>
#include <sqlite3.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void setup(StoreLab *lab, gconstpointer data)
{
        store_lab_setup(lab, data);
}

static void teardown(StoreLab *lab, gconstpointer data)
{
        store_lab_teardown(lab);
}

static DlStore *try_open(StoreLab *lab, GError **error)
{
        const SqliteFolder *folder = lab->database;

        return dl_store_open_sqlite(lab->event, lab->workers, folder->database, error);
}

static void close_store(StoreLab *lab)
{
        dl_store_free(g_steal_pointer(&lab->store));
}

static void reopen(StoreLab *lab)
{
        close_store(lab);
        lab->store = lab->engine->open(lab->database, lab->event, lab->workers);
}

static int compare_lines(gconstpointer a, gconstpointer b)
{
        return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* All files with their content, mode and time of change, except the content of the shared memory,
 * which is no data. */
static char *picture_of(const SqliteFolder *folder)
{
        g_autoptr(GDir) dir = g_dir_open(folder->path, 0, NULL);
        g_autoptr(GPtrArray) lines = g_ptr_array_new_with_free_func(g_free);
        const char *name;

        while ((name = g_dir_read_name(dir))) {
                g_autofree char *path = g_build_filename(folder->path, name, NULL);
                g_autofree char *bytes = NULL, *sum = NULL;
                gsize size = 0;
                GStatBuf st;

                if (g_str_has_suffix(name, "-shm")) {
                        g_ptr_array_add(lines, g_strdup(name));
                        continue;
                }
                g_assert_cmpint(g_lstat(path, &st), ==, 0);
                if (g_file_get_contents(path, &bytes, &size, NULL))
                        sum = g_compute_checksum_for_data(G_CHECKSUM_SHA256, (guchar *)bytes, size);
                g_ptr_array_add(lines, g_strdup_printf("%s %s %o %ld.%09ld", name, sum, st.st_mode,
                                                       st.st_mtim.tv_sec, st.st_mtim.tv_nsec));
        }
        g_ptr_array_sort(lines, compare_lines);
        g_ptr_array_add(lines, NULL);
        return g_strjoinv("\n", (char **)lines->pdata);
}

static void expect_refused(StoreLab *lab, const char *why)
{
        g_autofree char *before = picture_of(lab->database), *after = NULL;
        g_autoptr(GError) error = NULL;

        for (unsigned i = 0; i < 2; i++) { /* the second time is no better */
                g_clear_error(&error);
                g_assert_null(try_open(lab, &error));
                g_assert_error(error, DL_ERROR, DL_ERROR_ENGINE_UNAVAILABLE);
                if (!strstr(error->message, why))
                        g_error("expected \"%s\" in: %s", why, error->message);
        }
        after = picture_of(lab->database);
        g_assert_cmpstr(after, ==, before);
}

static void expect_mode(const SqliteFolder *folder, const char *suffix, unsigned mode)
{
        g_autofree char *path = g_strconcat(folder->database, suffix, NULL);
        struct stat st;

        g_assert_cmpint(stat(path, &st), ==, 0);
        g_assert_cmphex(st.st_mode & 07777, ==, mode);
}

static void test_private(StoreLab *lab, gconstpointer data)
{
        const SqliteFolder *folder = lab->database;
        mode_t mask = umask(0);

        close_store(lab);
        g_assert_cmpint(unlink(folder->database), ==, 0);
        reopen(lab);
        store_put(lab, lab->store, "a", "v");
        expect_mode(folder, "", 0600);
        expect_mode(folder, "-wal", 0600);
        expect_mode(folder, "-shm", 0600);

        close_store(lab);
        g_assert_cmpint(chmod(folder->database, 0644), ==, 0);
        reopen(lab);
        store_put(lab, lab->store, "a", "v");
        expect_mode(folder, "", 0600);
        expect_mode(folder, "-wal", 0600);
        umask(mask);
}

/* What a crash leaves of a database that was being made does no harm. */
static void test_half_made(StoreLab *lab, gconstpointer data)
{
        const SqliteFolder *folder = lab->database;
        g_autofree char *half = g_strconcat(folder->database, ".new", NULL);
        g_autofree char *journal = g_strconcat(folder->database, ".new-journal", NULL);

        close_store(lab);
        g_assert_cmpint(unlink(folder->database), ==, 0);
        g_assert_true(g_file_set_contents(half, "SQLite form", -1, NULL));
        g_assert_true(g_file_set_contents(journal, "rubbish", -1, NULL));
        reopen(lab);
        store_put(lab, lab->store, "a", "v");
        g_assert_false(g_file_test(half, G_FILE_TEST_EXISTS));
        g_assert_false(g_file_test(journal, G_FILE_TEST_EXISTS));
}

static void test_no_folder(StoreLab *lab, gconstpointer data)
{
        g_autoptr(GError) error = NULL;

        g_assert_null(
                dl_store_open_sqlite(lab->event, lab->workers, "/nonexistent/state.db", &error));
        g_assert_error(error, DL_ERROR, DL_ERROR_ENGINE_UNAVAILABLE);
}

static void test_odd_name(StoreLab *lab, gconstpointer data)
{
        const SqliteFolder *folder = lab->database;
        g_autofree char *path = g_build_filename(folder->path, "a%20b?mode=ro#\xc3\xa9 \xff", NULL);
        g_autoptr(GError) error = NULL;

        close_store(lab);
        lab->store = dl_store_open_sqlite(lab->event, lab->workers, path, &error);
        g_assert_no_error(error);
        store_put(lab, lab->store, "a", "v");
        g_assert_true(g_file_test(path, G_FILE_TEST_EXISTS));
}

/* Versions. */

/* As version 1 of the schema made it. */
static const char version_1[] = "PRAGMA application_id = 1682732398;"
                                "CREATE TABLE revision ("
                                "  id INTEGER PRIMARY KEY CHECK (id = 1),"
                                "  value INTEGER NOT NULL"
                                ") STRICT;"
                                "CREATE TABLE entry ("
                                "  key TEXT NOT NULL PRIMARY KEY,"
                                "  value TEXT NOT NULL,"
                                "  create_revision INTEGER NOT NULL,"
                                "  mod_revision INTEGER NOT NULL"
                                ") STRICT, WITHOUT ROWID;"
                                "INSERT INTO revision (id, value) VALUES (1, 41);"
                                "INSERT INTO entry VALUES ('old', 'kept', 7, 40);"
                                "PRAGMA user_version = 1;"
                                "PRAGMA journal_mode = WAL;";

static void replace_with(StoreLab *lab, const char *sql)
{
        const SqliteFolder *folder = lab->database;

        close_store(lab);
        g_assert_cmpint(unlink(folder->database), ==, 0);
        sqlite_folder_exec(folder, sql);
}

static void test_migration(StoreLab *lab, gconstpointer data)
{
        g_auto(StoreOutcome) old = {0};

        replace_with(lab, version_1);
        reopen(lab);
        old = store_get(lab, lab->store, "old");
        g_assert_cmpstr(old.text, ==, "old=kept\n");
        g_assert_cmpint(old.create_revision, ==, 7);
        g_assert_cmpint(old.mod_revision, ==, 40);
        g_assert_cmpint(store_put(lab, lab->store, "old", NULL), ==, 42);
        reopen(lab);
        store_assert_range(lab, lab->store, "", "");
}

/* Only what is known is migrated: half a version 1 is refused as it is. */
static void test_old_and_damaged(StoreLab *lab, gconstpointer data)
{
        replace_with(lab, version_1);
        sqlite_folder_exec(lab->database, "CREATE TABLE deleted (x)");
        expect_refused(lab, "is damaged");
}

static void test_newer(StoreLab *lab, gconstpointer data)
{
        store_put(lab, lab->store, "a", "v");
        close_store(lab);
        sqlite_folder_exec(lab->database, "PRAGMA user_version = 99");
        expect_refused(lab, "newer version (its schema is 99");
}

/* The newer version is only in the log, and somebody uses the database right now. */
static void test_newer_in_use(StoreLab *lab, gconstpointer data)
{
        const SqliteFolder *folder = lab->database;
        sqlite3 *user;

        close_store(lab);
        g_assert_cmpint(sqlite3_open(folder->database, &user), ==, SQLITE_OK);
        g_assert_cmpint(sqlite3_exec(user,
                                     "PRAGMA user_version = 99; CREATE TABLE future (x);"
                                     "INSERT INTO future VALUES (1)",
                                     NULL, NULL, NULL),
                        ==, SQLITE_OK);
        expect_refused(lab, "newer version");
        g_assert_cmpint(sqlite3_exec(user, "INSERT INTO future VALUES (2)", NULL, NULL, NULL), ==,
                        SQLITE_OK);
        sqlite3_close(user);
}

static void test_no_version(StoreLab *lab, gconstpointer data)
{
        close_store(lab);
        sqlite_folder_exec(lab->database, "PRAGMA user_version = 0");
        expect_refused(lab, "is damaged");
        sqlite_folder_exec(lab->database, "PRAGMA user_version = -1");
        expect_refused(lab, "is damaged");
}

static void test_other_application(StoreLab *lab, gconstpointer data)
{
        replace_with(lab, "CREATE TABLE mail (x); PRAGMA user_version = 2;");
        expect_refused(lab, "another application");
        sqlite_folder_exec(lab->database, "PRAGMA application_id = 7; PRAGMA journal_mode = WAL");
        expect_refused(lab, "another application");
}

/* Damage. */

typedef struct Bytes {
        char *data;
        gsize size;
} Bytes;

/* A database of several pages of each kind, closed, as bytes. */
static Bytes healthy(StoreLab *lab)
{
        const SqliteFolder *folder = lab->database;
        Bytes b;

        for (unsigned i = 0; i < 12; i++) {
                DlStoreOp ops[100];
                StoreOutcome o;

                for (unsigned k = 0; k < 100; k++)
                        ops[k] = (DlStoreOp){g_strdup_printf("some/longer/key/%u/%u", i, k),
                                             "{\"some\": \"value\"}"};
                o = store_txn(lab, lab->store, NULL, 0, ops, 100);
                g_assert_true(o.succeeded);
                for (unsigned k = 0; k < 100; k++)
                        g_free((char *)ops[k].key);
        }
        close_store(lab);
        g_assert_true(g_file_get_contents(folder->database, &b.data, &b.size, NULL));
        g_assert_cmpuint(b.size, >=, 10 * 4096);
        return b;
}

static void set_file(const SqliteFolder *folder, const char *data, gsize size)
{
        g_assert_true(g_file_set_contents(folder->database, data, (gssize)size, NULL));
}

static void test_cut(StoreLab *lab, gconstpointer data)
{
        Bytes b = healthy(lab);
        const gsize sizes[] = {0, 1, 50, 100, 511, 4096, b.size / 2, b.size - 4096, b.size - 1};

        for (size_t i = 0; i < G_N_ELEMENTS(sizes); i++) {
                set_file(lab->database, b.data, sizes[i]);
                expect_refused(lab, "");
        }
        set_file(lab->database, b.data, b.size);
        reopen(lab);
        g_free(b.data);
}

static void test_overwritten(StoreLab *lab, gconstpointer data)
{
        Bytes b = healthy(lab);
        gsize page_size = 4096;

        for (gsize offset = 0; offset < b.size; offset += page_size) {
                static const int fills[] = {0, 0xff, 'x'};

                for (size_t i = 0; i < G_N_ELEMENTS(fills); i++) {
                        g_autofree char *copy = g_memdup2(b.data, b.size);

                        memset(copy + offset, fills[i], page_size);
                        set_file(lab->database, copy, b.size);
                        expect_refused(lab, "damaged");
                }
        }
        g_free(b.data);
}

static void test_page_headers(StoreLab *lab, gconstpointer data)
{
        Bytes b = healthy(lab);

        /* The type of a page, and the start of its cells. */
        for (gsize offset = 4096; offset < b.size; offset += 4096) {
                g_autofree char *copy = g_memdup2(b.data, b.size);

                copy[offset] = (char)(copy[offset] ^ 0x44);
                set_file(lab->database, copy, b.size);
                expect_refused(lab, "damaged");
                copy[offset] = b.data[offset];
                if (copy[offset + 3] == 0 && copy[offset + 4] == 0)
                        continue; /* no cells, so what follows means nothing */
                copy[offset + 8] = copy[offset + 9] = (char)0xee;
                set_file(lab->database, copy, b.size);
                expect_refused(lab, "damaged");
        }
        g_free(b.data);
}

/* The same after a crash, with a log that is as it should be. */
static void test_damaged_with_log(StoreLab *lab, gconstpointer data)
{
        const SqliteFolder *folder = lab->database;
        g_autofree char *log = g_strconcat(folder->database, "-wal", NULL);
        g_autofree char *shared = g_strconcat(folder->database, "-shm", NULL);
        g_autofree char *log_bytes = NULL, *copy = NULL;
        gsize log_size;
        Bytes b = healthy(lab);

        reopen(lab);
        store_put(lab, lab->store, "in/the/log", "v");
        g_assert_true(g_file_get_contents(log, &log_bytes, &log_size, NULL));
        close_store(lab);

        set_file(folder, b.data, b.size);
        g_assert_true(g_file_set_contents(log, log_bytes, (gssize)log_size, NULL));
        reopen(lab);
        store_assert_range(lab, lab->store, "in/", "in/the/log=v\n");
        close_store(lab);

        copy = g_memdup2(b.data, b.size);
        memset(copy + b.size / 2 / 4096 * 4096, 0xff, 4096);
        set_file(folder, copy, b.size);
        g_assert_true(g_file_set_contents(log, log_bytes, (gssize)log_size, NULL));
        g_assert_true(g_file_set_contents(shared, "", 0, NULL)); /* what is there after a crash */
        expect_refused(lab, "damaged");
        g_free(b.data);
}

static void test_other_file(StoreLab *lab, gconstpointer data)
{
        const SqliteFolder *folder = lab->database;
        g_autofree char *text = g_strnfill(10000, 'T');

        close_store(lab);
        set_file(folder, text, 10000);
        expect_refused(lab, "damaged");
        g_assert_cmpint(unlink(folder->database), ==, 0);
        g_assert_cmpint(mkdir(folder->database, 0700), ==, 0);
        expect_refused(lab, "is not a file");
}

static void test_wrong_tables(StoreLab *lab, gconstpointer data)
{
        static const char *const damages[] = {
                "DROP INDEX entry_by_revision",
                "DROP TABLE deleted",
                "CREATE TRIGGER t AFTER INSERT ON entry BEGIN DELETE FROM entry; END",
                "DELETE FROM revision",
                "UPDATE revision SET value = -5",
        };
        Bytes b = healthy(lab);

        for (size_t i = 0; i < G_N_ELEMENTS(damages); i++) {
                set_file(lab->database, b.data, b.size);
                sqlite_folder_exec(lab->database, damages[i]);
                expect_refused(lab, "damaged");
        }
        g_free(b.data);
}

/* The database went and its log stayed: that is no reason to begin with an empty one. */
static void test_lost_but_log(StoreLab *lab, gconstpointer data)
{
        const SqliteFolder *folder = lab->database;
        g_autofree char *log = g_strconcat(folder->database, "-wal", NULL);

        close_store(lab);
        g_assert_cmpint(unlink(folder->database), ==, 0);
        g_assert_true(g_file_set_contents(log, "what may still be of use", -1, NULL));
        expect_refused(lab, "-wal");
}

#define ADD(name, test)                                                                            \
        g_test_add("/sqlite-open/" name, StoreLab, &sqlite_engine, setup, test, teardown)

int main(int argc, char *argv[])
{
        g_test_init(&argc, &argv, NULL);
        ADD("private", test_private);
        ADD("half-made", test_half_made);
        ADD("no-folder", test_no_folder);
        ADD("odd-name", test_odd_name);
        ADD("migration", test_migration);
        ADD("old-and-damaged", test_old_and_damaged);
        ADD("newer", test_newer);
        ADD("newer-in-use", test_newer_in_use);
        ADD("no-version", test_no_version);
        ADD("other-application", test_other_application);
        ADD("cut", test_cut);
        ADD("overwritten", test_overwritten);
        ADD("page-headers", test_page_headers);
        ADD("damaged-with-log", test_damaged_with_log);
        ADD("other-file", test_other_file);
        ADD("wrong-tables", test_wrong_tables);
        ADD("lost-but-log", test_lost_but_log);
        return g_test_run();
}
