/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Files of one secret each. */

#include "util/error.h"
#include "util/state-file.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct Lab {
        char *root;
        char *dir; /* in root; not made yet */
} Lab;

static void setup(Lab *lab, gconstpointer data)
{
        lab->root = g_dir_make_tmp("test-state-file-XXXXXX", NULL);
        lab->dir = g_build_filename(lab->root, "secrets", NULL);
}

static void clear(const char *dir)
{
        g_autoptr(GDir) d = g_dir_open(dir, 0, NULL);
        const char *name;

        while (d && (name = g_dir_read_name(d))) {
                g_autofree char *path = g_build_filename(dir, name, NULL);

                g_remove(path);
        }
}

static void teardown(Lab *lab, gconstpointer data)
{
        clear(lab->dir);
        g_remove(lab->dir);
        g_assert_cmpint(g_remove(lab->root), ==, 0);
        g_free(lab->root);
        g_free(lab->dir);
}

static void write_secret(Lab *lab, const char *name, const char *text)
{
        g_autoptr(GError) error = NULL;
        g_autoptr(DlSecret) secret = dl_secret_new(text, strlen(text), &error);

        g_assert_true(dl_state_file_write(lab->dir, name, secret, &error));
        g_assert_no_error(error);
}

/* text NULL: there is none */
static void expect(Lab *lab, const char *name, const char *text)
{
        g_autoptr(GError) error = NULL;
        g_autoptr(DlSecret) secret = NULL;

        g_assert_true(dl_state_file_read(lab->dir, name, &secret, &error));
        g_assert_no_error(error);
        g_assert_cmpstr(secret ? dl_secret_peek(secret) : NULL, ==, text);
}

static void expect_unreadable(Lab *lab, const char *name)
{
        g_autoptr(GError) error = NULL;
        DlSecret *secret = (void *)lab;

        g_assert_false(dl_state_file_read(lab->dir, name, &secret, &error));
        g_assert_error(error, DL_ERROR, DL_ERROR_ENGINE_UNAVAILABLE);
        g_assert_true(secret == (void *)lab); /* untouched on failure */
}

static unsigned count_files(const char *dir)
{
        g_autoptr(GDir) d = g_dir_open(dir, 0, NULL);
        unsigned n = 0;

        while (g_dir_read_name(d))
                n++;
        return n;
}

static void test_round_trip(Lab *lab, gconstpointer data)
{
        g_autofree char *longest = g_strnfill(DL_SECRET_MAX, 'x');

        expect(lab, "a", NULL); /* not even the folder is there */
        write_secret(lab, "a", "one");
        write_secret(lab, "b", "two\n"); /* nothing is stripped */
        expect(lab, "a", "one");
        expect(lab, "b", "two\n");
        write_secret(lab, "a", longest);
        expect(lab, "a", longest);
        expect(lab, "c", NULL);
        g_assert_cmpuint(count_files(lab->dir), ==, 2);
}

static void test_private(Lab *lab, gconstpointer data)
{
        g_autofree char *path = g_build_filename(lab->dir, "a", NULL);
        mode_t mask = umask(0);
        struct stat st;

        write_secret(lab, "a", "one");
        umask(mask);
        g_assert_cmpint(stat(path, &st), ==, 0);
        g_assert_cmphex(st.st_mode, ==, S_IFREG | 0600);
        g_assert_cmpint(stat(lab->dir, &st), ==, 0);
        g_assert_cmphex(st.st_mode, ==, S_IFDIR | 0700);
}

static void test_delete(Lab *lab, gconstpointer data)
{
        g_autofree char *half = g_build_filename(lab->dir, ".a.new", NULL);
        g_autoptr(GError) error = NULL;

        g_assert_true(dl_state_file_delete(lab->dir, "a", &error)); /* no folder */
        write_secret(lab, "a", "one");
        g_assert_true(g_file_set_contents(half, "left by a crash", -1, NULL));
        g_assert_true(dl_state_file_delete(lab->dir, "a", &error));
        g_assert_true(dl_state_file_delete(lab->dir, "a", &error));
        g_assert_no_error(error);
        expect(lab, "a", NULL);
        g_assert_cmpuint(count_files(lab->dir), ==, 0); /* nothing of the secret is left */
}

static void test_left_by_a_crash(Lab *lab, gconstpointer data)
{
        g_autofree char *half = g_build_filename(lab->dir, ".a.new", NULL);
        g_autofree char *victim = g_build_filename(lab->root, "victim", NULL);
        g_autofree char *content = NULL;

        write_secret(lab, "a", "one");
        g_assert_true(g_file_set_contents(half, "half", -1, NULL));
        expect(lab, "a", "one");
        write_secret(lab, "a", "two");
        expect(lab, "a", "two");

        /* Nor is a link followed. */
        g_assert_true(g_file_set_contents(victim, "safe", -1, NULL));
        g_assert_cmpint(symlink(victim, half), ==, 0);
        write_secret(lab, "a", "three");
        g_assert_true(g_file_get_contents(victim, &content, NULL, NULL));
        g_assert_cmpstr(content, ==, "safe");
        g_assert_cmpuint(count_files(lab->dir), ==, 1);
        g_remove(victim);
}

static void test_names(Lab *lab, gconstpointer data)
{
        static const char *const bad[] = {"",   ".",   "..",  ".hidden", "a/b",
                                          "/a", "a b", "a\n", "\xc3\xa9"};
        g_autofree char *long_name = g_strnfill(201, 'n');
        g_autoptr(DlSecret) secret = dl_secret_new("x", 1, NULL), read = NULL;

        for (size_t i = 0; i <= G_N_ELEMENTS(bad); i++) {
                const char *name = i < G_N_ELEMENTS(bad) ? bad[i] : long_name;
                g_autoptr(GError) w = NULL, r = NULL, d = NULL;

                g_assert_false(dl_state_file_write(lab->dir, name, secret, &w));
                g_assert_error(w, DL_ERROR, DL_ERROR_INVALID_ARGS);
                g_assert_false(dl_state_file_read(lab->dir, name, &read, &r));
                g_assert_error(r, DL_ERROR, DL_ERROR_INVALID_ARGS);
                g_assert_false(dl_state_file_delete(lab->dir, name, &d));
                g_assert_error(d, DL_ERROR, DL_ERROR_INVALID_ARGS);
        }
        long_name[200] = 0;
        write_secret(lab, long_name, "x");
        expect(lab, long_name, "x");
        write_secret(lab, "iqn.2003-01.org_a-B.9", "x");
}

static void test_damaged(Lab *lab, gconstpointer data)
{
        g_autofree char *path = g_build_filename(lab->dir, "a", NULL);
        g_autofree char *big = g_strnfill(DL_SECRET_MAX + 1, 'x');

        write_secret(lab, "a", "one");
        g_assert_true(g_file_set_contents(path, "", 0, NULL));
        expect_unreadable(lab, "a");
        g_assert_true(g_file_set_contents(path, "x\0y", 3, NULL));
        expect_unreadable(lab, "a");
        g_assert_true(g_file_set_contents(path, big, -1, NULL));
        expect_unreadable(lab, "a");
        g_assert_cmpint(unlink(path), ==, 0);
        g_assert_cmpint(symlink("/etc/passwd", path), ==, 0);
        expect_unreadable(lab, "a");
        g_assert_cmpint(unlink(path), ==, 0);
        g_assert_cmpint(mkfifo(path, 0600), ==, 0);
        expect_unreadable(lab, "a"); /* and does not block */
        write_secret(lab, "a", "good again");
        expect(lab, "a", "good again");
}

/* A write that fails leaves the old secret and nothing else. */
static void test_write_fails(Lab *lab, gconstpointer data)
{
        g_autoptr(DlSecret) secret = dl_secret_new("much longer", 11, NULL);
        g_autoptr(GError) error = NULL;
        struct rlimit limit;
        rlim_t before;
        bool ok;

        write_secret(lab, "a", "one");
        signal(SIGXFSZ, SIG_IGN);
        g_assert_cmpint(getrlimit(RLIMIT_FSIZE, &limit), ==, 0);
        before = limit.rlim_cur;
        limit.rlim_cur = 4;
        g_assert_cmpint(setrlimit(RLIMIT_FSIZE, &limit), ==, 0);
        ok = dl_state_file_write(lab->dir, "a", secret, &error);
        limit.rlim_cur = before;
        g_assert_cmpint(setrlimit(RLIMIT_FSIZE, &limit), ==, 0);
        signal(SIGXFSZ, SIG_DFL);

        g_assert_false(ok);
        g_assert_error(error, DL_ERROR, DL_ERROR_ENGINE_UNAVAILABLE);
        g_assert_null(strstr(error->message, "much longer"));
        expect(lab, "a", "one");
        g_assert_cmpuint(count_files(lab->dir), ==, 1);
}

static void test_no_parent(Lab *lab, gconstpointer data)
{
        g_autoptr(DlSecret) secret = dl_secret_new("x", 1, NULL);
        g_autofree char *deep = g_build_filename(lab->dir, "deeper", NULL);
        g_autoptr(GError) error = NULL;

        g_assert_false(dl_state_file_write(deep, "a", secret, &error));
        g_assert_error(error, DL_ERROR, DL_ERROR_ENGINE_UNAVAILABLE);
}

#define ADD(name, test) g_test_add("/state-file/" name, Lab, NULL, setup, test, teardown)

int main(int argc, char *argv[])
{
        g_test_init(&argc, &argv, NULL);
        ADD("round-trip", test_round_trip);
        ADD("private", test_private);
        ADD("delete", test_delete);
        ADD("left-by-a-crash", test_left_by_a_crash);
        ADD("names", test_names);
        ADD("damaged", test_damaged);
        ADD("write-fails", test_write_fails);
        ADD("no-parent", test_no_parent);
        return g_test_run();
}
