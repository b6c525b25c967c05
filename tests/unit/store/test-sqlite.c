/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The SQLite engine: the contract of the store, and what holds for it alone: it survives kill -9,
 * several processes, a full disk, I/O errors. Run with arguments it is one of those processes.
 */

#include "sqlite-folder.h"
#include "util/error.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <sched.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define SKIPPED 77

static void setup(StoreLab *lab, gconstpointer data)
{
        store_lab_setup(lab, data);
}

static void teardown(StoreLab *lab, gconstpointer data)
{
        store_lab_teardown(lab);
}

static void reopen(StoreLab *lab)
{
        dl_store_free(lab->store);
        lab->store = lab->engine->open(lab->database, lab->event, lab->workers);
}

/* Another process: a stream of transactions that each write two keys. */

typedef struct Writer {
        DlStore *store;
        unsigned submitted, acknowledged, count;
        bool done;
} Writer;

static void submit_pair(Writer *writer);

static void on_pair(bool succeeded, int64_t revision, const GError *error, void *userdata)
{
        Writer *writer = userdata;
        char line[16];
        int size = snprintf(line, sizeof line, "%u\n", writer->acknowledged);

        g_assert_no_error(error);
        g_assert_true(succeeded);
        g_assert_cmpint(write(STDOUT_FILENO, line, (size_t)size), ==, size);
        writer->acknowledged++;
        writer->done = writer->acknowledged == writer->count;
        if (writer->submitted < writer->count)
                submit_pair(writer);
}

static void submit_pair(Writer *writer)
{
        char left[32], right[32];
        DlStoreOp ops[] = {{left, "value"}, {right, "value"}};

        snprintf(left, sizeof left, "left/%06u", writer->submitted);
        snprintf(right, sizeof right, "right/%06u", writer->submitted);
        writer->submitted++;
        dl_store_txn(writer->store, NULL, 0, ops, 2, on_pair, writer);
}

/* Ends at count; says each acknowledged transaction on standard output. */
static int run_writer(const char *path, const char *count)
{
        Writer writer = {.count = (unsigned)atoi(count)};
        sd_event *event;
        DlWorkers *workers;

        g_assert_cmpint(sd_event_new(&event), >=, 0);
        g_assert_cmpint(dl_workers_new(event, 1, &workers), ==, 0);
        writer.store = dl_store_open_sqlite(event, workers, path, NULL);
        g_assert_nonnull(writer.store);
        for (unsigned i = 0; i < 8; i++)
                submit_pair(&writer);
        store_lab_wait(event, &writer.done);
        dl_store_free(writer.store);
        dl_workers_free(workers);
        sd_event_unref(event);
        return 0;
}

static const char *self; /* this program; /proc/self/exe would be valgrind's */

static pid_t start_self(const char *role, const char *path, const char *count, FILE **ret_output)
{
        const char *argv[] = {self, role, path, count, NULL};
        int pipe_fds[2];
        pid_t pid;

        g_assert_cmpint(pipe2(pipe_fds, O_CLOEXEC), ==, 0);
        pid = fork();
        g_assert_cmpint(pid, >=, 0);
        if (pid == 0) {
                dup2(pipe_fds[1], STDOUT_FILENO);
                execv(self, (char **)argv);
                _exit(126);
        }
        close(pipe_fds[1]);
        *ret_output = fdopen(pipe_fds[0], "r");
        return pid;
}

/* The number of transactions that the writer says, up to max; UINT_MAX: all. */
static unsigned read_acknowledged(FILE *output, unsigned max)
{
        char line[32];
        unsigned n = 0;

        while (n < max && fgets(line, sizeof line, output))
                n++;
        return n;
}

static void expect_pairs(StoreLab *lab, unsigned acknowledged)
{
        g_auto(StoreOutcome) left = store_range(lab, lab->store, "left/");
        g_auto(StoreOutcome) right = store_range(lab, lab->store, "right/");
        g_auto(GStrv) lefts = g_strsplit(left.text, "\n", -1);
        g_auto(GStrv) rights = g_strsplit(right.text, "\n", -1);
        unsigned n = g_strv_length(lefts);

        g_assert_cmpint(left.code, ==, -1);
        g_assert_cmpuint(n, >=, acknowledged + 1); /* the last line is empty */
        g_assert_cmpuint(n, ==, g_strv_length(rights));
        for (unsigned i = 0; i + 1 < n; i++) {
                g_autofree char *l = g_strdup_printf("left/%06u=value", i);
                g_autofree char *r = g_strdup_printf("right/%06u=value", i);

                g_assert_cmpstr(lefts[i], ==, l);
                g_assert_cmpstr(rights[i], ==, r);
        }
}

static void test_kill(StoreLab *lab, gconstpointer data)
{
        const SqliteFolder *folder = lab->database;

        for (unsigned round = 0; round < 5; round++) {
                FILE *output;
                pid_t pid;
                unsigned acknowledged;
                int status;

                dl_store_free(g_steal_pointer(&lab->store));
                pid = start_self("writer", folder->database, "1000000", &output);
                acknowledged = read_acknowledged(output, 20 + 37 * round);
                g_assert_cmpint(kill(pid, SIGKILL), ==, 0);
                acknowledged += read_acknowledged(output, UINT_MAX);
                g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
                g_assert_true(WIFSIGNALED(status));
                fclose(output);

                lab->store = lab->engine->open(lab->database, lab->event, lab->workers);
                expect_pairs(lab, acknowledged);
        }
}

typedef struct Count {
        unsigned n, wanted;
        bool done;
} Count;

static void on_left_changed(const DlStoreEntry *entry, void *userdata)
{
        Count *count = userdata;

        g_assert_true(g_str_has_prefix(entry->key, "left/"));
        count->done = ++count->n == count->wanted;
}

static void test_two_processes(StoreLab *lab, gconstpointer data)
{
        const SqliteFolder *folder = lab->database;
        Count count = {.wanted = 100};
        FILE *output;
        pid_t pid;
        int status;

        dl_store_watch(lab->store, "left/", on_left_changed, &count);
        store_assert_range(lab, lab->store, "", "");
        pid = start_self("writer", folder->database, "100", &output);
        for (unsigned i = 0; i < 100; i++) {
                g_autofree char *key = g_strdup_printf("mine/%u", i);

                store_put(lab, lab->store, key, "v");
        }
        g_assert_cmpuint(read_acknowledged(output, UINT_MAX), ==, 100);
        g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
        g_assert_cmpint(status, ==, 0);
        fclose(output);
        store_lab_wait(lab->event, &count.done);
        expect_pairs(lab, 100);
        g_assert_cmpint(store_put(lab, lab->store, "last", "v"), ==, 201);
        dl_store_free(g_steal_pointer(&lab->store)); /* the watch writes to this stack frame */
}

/* Deletions that were forgotten before they were seen are found all the same. */

typedef struct Log {
        GString *text;
        bool done;
} Log;

static void on_logged(const DlStoreEntry *entry, void *userdata)
{
        Log *log = userdata;

        g_string_append_printf(log->text, "%s%c", entry->key, entry->value ? '+' : '-');
        log->done = !entry->value;
}

static void test_forgotten_deletion(StoreLab *lab, gconstpointer data)
{
        Log log = {.text = g_string_new(NULL)};

        store_put(lab, lab->store, "kept", "v");
        store_put(lab, lab->store, "lost", "v");
        dl_store_watch(lab->store, "", on_logged, &log);
        store_assert_range(lab, lab->store, "l", "lost=v\n");
        sqlite_folder_exec(lab->database, "BEGIN IMMEDIATE;"
                                          "UPDATE revision SET value = 9000;"
                                          "DELETE FROM entry WHERE key = 'lost';"
                                          "INSERT INTO entry VALUES ('made', 'v', 8000, 8000);"
                                          "COMMIT");
        store_lab_wait(lab->event, &log.done);
        g_assert_cmpstr(log.text->str, ==, "made+lost-");
        dl_store_free(g_steal_pointer(&lab->store));
        g_string_free(log.text, TRUE);
}

static void test_deletions_are_trimmed(StoreLab *lab, gconstpointer data)
{
        store_put(lab, lab->store, "a", "v");
        store_put(lab, lab->store, "a", NULL);
        sqlite_folder_exec(lab->database, "UPDATE revision SET value = 9000");
        store_put(lab, lab->store, "b", "v");
        sqlite_folder_exec(lab->database, "CREATE TEMP TABLE t (n INTEGER CHECK (n = 0));"
                                          "INSERT INTO t SELECT count(*) FROM deleted");
}

static void test_not_text(StoreLab *lab, gconstpointer data)
{
        store_put(lab, lab->store, "a", "v");
        sqlite_folder_exec(lab->database, "UPDATE entry SET value = CAST(x'61ff' AS TEXT)");
        {
                g_auto(StoreOutcome) all = store_range(lab, lab->store, "");

                g_assert_cmpint(all.code, ==, DL_ERROR_ENGINE_UNAVAILABLE);
        }
        store_put(lab, lab->store, "a", "good");
        store_assert_range(lab, lab->store, "", "a=good\n");
}

/* Another user holds the lock for too long. */
static void test_busy_is_not_forever(StoreLab *lab, gconstpointer data)
{
        const SqliteFolder *folder = lab->database;
        DlStoreOp op = {"a", "v"};
        StoreOutcome o;
        sqlite3 *holder;

        g_assert_cmpint(sqlite3_open(folder->database, &holder), ==, SQLITE_OK);
        g_assert_cmpint(sqlite3_exec(holder, "BEGIN IMMEDIATE", NULL, NULL, NULL), ==, SQLITE_OK);
        o = store_txn(lab, lab->store, NULL, 0, &op, 1);
        g_assert_cmpint(o.code, ==, DL_ERROR_ENGINE_UNAVAILABLE);
        store_assert_range(lab, lab->store, "", ""); /* reading goes on */
        sqlite3_close(holder);
        store_put(lab, lab->store, "a", "v");
}

/* I/O errors and a full disk: writing fails, reading goes on, and all is well once it is over. */

static StoreOutcome fill(StoreLab *lab, DlStore *store, unsigned *ret_n)
{
        g_autofree char *value = g_strnfill(20000, 'v');
        StoreOutcome o = {.succeeded = true};
        unsigned n = 0;

        while (n < 1000) {
                g_autofree char *key = g_strdup_printf("fill/%04u", n);
                DlStoreOp op = {key, value};

                o = store_txn(lab, store, NULL, 0, &op, 1);
                if (!o.succeeded)
                        break;
                n++;
        }
        *ret_n = n;
        return o;
}

static unsigned count_entries(StoreLab *lab, const char *prefix)
{
        g_auto(StoreOutcome) all = store_range(lab, lab->store, prefix);
        unsigned n = 0;

        g_assert_cmpint(all.code, ==, -1);
        for (const char *p = all.text; *p; p++)
                n += *p == '\n';
        return n;
}

static void limit_file_size(rlim_t size)
{
        struct rlimit limit;

        g_assert_cmpint(getrlimit(RLIMIT_FSIZE, &limit), ==, 0);
        limit.rlim_cur = MIN(size, limit.rlim_max);
        g_assert_cmpint(setrlimit(RLIMIT_FSIZE, &limit), ==, 0);
}

static void test_write_error(StoreLab *lab, gconstpointer data)
{
        unsigned n;
        StoreOutcome o;

        signal(SIGXFSZ, SIG_IGN);
        limit_file_size(300000);
        o = fill(lab, lab->store, &n);
        g_assert_cmpint(o.code, ==, DL_ERROR_ENGINE_UNAVAILABLE);
        g_assert_cmpuint(n, >, 0);
        g_assert_cmpuint(count_entries(lab, "fill/"), ==, n);
        limit_file_size(RLIM_INFINITY);
        signal(SIGXFSZ, SIG_DFL);

        store_put(lab, lab->store, "after", "v");
        reopen(lab);
        g_assert_cmpuint(count_entries(lab, "fill/"), ==, n);
        store_assert_range(lab, lab->store, "after", "after=v\n");
}

static bool write_text(const char *path, const char *text)
{
        int fd = open(path, O_WRONLY | O_CLOEXEC);
        bool ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

        if (fd >= 0)
                close(fd);
        return ok;
}

/* Not root: in a user namespace, where we are still ourselves. */
static bool enter_namespaces(void)
{
        g_autofree char *uid_map = g_strdup_printf("%u %u 1", getuid(), getuid());
        g_autofree char *gid_map = g_strdup_printf("%u %u 1", getgid(), getgid());

        if (unshare(CLONE_NEWNS) == 0)
                return true;
        return unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0 &&
               write_text("/proc/self/setgroups", "deny") &&
               write_text("/proc/self/uid_map", uid_map) &&
               write_text("/proc/self/gid_map", gid_map);
}

static bool mount_tmpfs(const char *path)
{
        return enter_namespaces() && mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
               mount("tmpfs", path, "tmpfs", MS_NOSUID | MS_NODEV, "size=1m,mode=1777") == 0;
}

static void make_ballast(const char *path, size_t size)
{
        g_autofree char *bytes = g_malloc0(size);

        g_assert_true(g_file_set_contents(path, bytes, (gssize)size, NULL));
}

/* In a process and mount namespace of its own, with one folder of 1 MiB. */
static int run_full_disk(const char *path)
{
        SqliteFolder folder = {.path = (char *)path};
        g_autofree char *ballast = g_build_filename(path, "ballast", NULL);
        g_autofree char *new_database = g_build_filename(path, "new.db", NULL);
        g_autofree char *new_file = g_strconcat(new_database, ".new", NULL);
        StoreLab lab = {.engine = &sqlite_engine, .database = &folder};
        unsigned n;
        StoreOutcome o;

        if (!mount_tmpfs(path))
                return SKIPPED;
        g_assert_cmpint(sd_event_new(&lab.event), >=, 0);
        g_assert_cmpint(dl_workers_new(lab.event, 2, &lab.workers), ==, 0);
        folder.database = g_build_filename(path, "state.db", NULL);
        make_ballast(ballast, 300000);
        lab.store = sqlite_engine.open(&folder, lab.event, lab.workers);

        o = fill(&lab, lab.store, &n);
        g_assert_cmpint(o.code, ==, DL_ERROR_ENGINE_UNAVAILABLE);
        g_assert_cmpuint(count_entries(&lab, "fill/"), ==, n);
        g_assert_null(dl_store_open_sqlite(lab.event, lab.workers, new_database, NULL));
        g_assert_false(g_file_test(new_database, G_FILE_TEST_EXISTS));
        g_assert_false(g_file_test(new_file, G_FILE_TEST_EXISTS));

        g_assert_cmpint(unlink(ballast), ==, 0);
        store_put(&lab, lab.store, "after", "v");
        reopen(&lab);
        g_assert_cmpuint(count_entries(&lab, "fill/"), ==, n);
        g_assert_cmpuint(count_entries(&lab, "after"), ==, 1);
        dl_store_free(lab.store);
        dl_workers_free(lab.workers);
        sd_event_unref(lab.event);
        g_free(folder.database);
        return 0;
}

static void test_full_disk(void)
{
        g_autoptr(SqliteFolder) folder = sqlite_folder_new();
        FILE *output;
        pid_t pid = start_self("full-disk", folder->path, "", &output);
        int status;

        g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
        fclose(output);
        g_assert_true(WIFEXITED(status));
        if (WEXITSTATUS(status) == SKIPPED) {
                g_test_skip("no mount namespace here");
                return;
        }
        g_assert_cmpint(WEXITSTATUS(status), ==, 0);
}

static int run_helper(char *argv[])
{
        if (g_str_equal(argv[1], "writer"))
                return run_writer(argv[2], argv[3]);
        return run_full_disk(argv[2]);
}

#define ADD(name, test) g_test_add("/sqlite/" name, StoreLab, &sqlite_engine, setup, test, teardown)

int main(int argc, char *argv[])
{
        self = argv[0];
        if (argc == 4)
                return run_helper(argv);
        g_test_init(&argc, &argv, NULL);
        store_contract_add(&sqlite_engine);
        ADD("kill", test_kill);
        ADD("two-processes", test_two_processes);
        ADD("forgotten-deletion", test_forgotten_deletion);
        ADD("deletions-are-trimmed", test_deletions_are_trimmed);
        ADD("not-text", test_not_text);
        ADD("busy-is-not-forever", test_busy_is_not_forever);
        ADD("write-error", test_write_error);
        g_test_add_func("/sqlite/full-disk", test_full_disk);
        return g_test_run();
}
