/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Secrets: how they come in, and how they do not get out. */

#include "util/error.h"
#include "util/secret.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void put(int fd, const void *bytes, size_t size)
{
        g_assert_cmpint(write(fd, bytes, size), ==, (gssize)size);
}

static int closed_pipe(const void *bytes, size_t size)
{
        int fds[2];

        g_assert_cmpint(pipe2(fds, O_CLOEXEC), ==, 0);
        put(fds[1], bytes, size);
        close(fds[1]);
        return fds[0];
}

static void expect_secret(int fd, const char *text)
{
        g_autoptr(GError) error = NULL;
        g_autoptr(DlSecret) secret = dl_secret_read(fd, &error);

        g_assert_no_error(error);
        g_assert_cmpstr(dl_secret_peek(secret), ==, text);
        g_assert_cmpuint(dl_secret_size(secret), ==, strlen(text));
        g_assert_cmpint(fcntl(fd, F_GETFD), >=, 0); /* still the caller's */
        close(fd);
}

static void expect_refused(int fd)
{
        g_autoptr(GError) error = NULL;
        gint64 start = g_get_monotonic_time();

        g_assert_null(dl_secret_read(fd, &error));
        g_assert_error(error, DL_ERROR, DL_ERROR_INVALID_ARGS);
        g_assert_null(strstr(error->message, "hunter2"));
        g_assert_cmpint(g_get_monotonic_time() - start, <, 5 * G_USEC_PER_SEC);
        g_assert_cmpint(fcntl(fd, F_GETFD), >=, 0);
        close(fd);
}

static void test_pipe(void)
{
        expect_secret(closed_pipe("hunter2", 7), "hunter2");
        expect_secret(closed_pipe("hunter2\n", 8), "hunter2"); /* what echo adds */
        expect_secret(closed_pipe("hunter2\n\n", 9), "hunter2\n");
        expect_secret(closed_pipe(" hunter2\r\n", 10), " hunter2\r");
        expect_secret(closed_pipe("\xff\x01", 2), "\xff\x01"); /* bytes, not text */
}

static void test_pipe_empty(void)
{
        expect_refused(closed_pipe("", 0));
        expect_refused(closed_pipe("\n", 1));
}

static void test_pipe_unfinished(void)
{
        int fds[2];

        g_assert_cmpint(pipe2(fds, O_CLOEXEC), ==, 0);
        expect_refused(dup(fds[0]));
        put(fds[1], "hunter2", 7);
        expect_refused(fds[0]);
        close(fds[1]);
}

static void test_pipe_wrong_end(void)
{
        int fds[2];

        g_assert_cmpint(pipe2(fds, O_CLOEXEC), ==, 0);
        expect_refused(fds[1]);
        close(fds[0]);
}

static int memfd(const void *bytes, size_t size, unsigned seals)
{
        int fd = memfd_create("secret", MFD_CLOEXEC | MFD_ALLOW_SEALING);

        g_assert_cmpint(fd, >=, 0);
        put(fd, bytes, size);
        g_assert_cmpint(lseek(fd, 0, SEEK_SET), ==, 0);
        if (seals)
                g_assert_cmpint(fcntl(fd, F_ADD_SEALS, seals), ==, 0);
        return fd;
}

static void test_memfd(void)
{
        expect_secret(memfd("hunter2", 7, 0), "hunter2");
        expect_secret(
                memfd("hunter2\n", 8, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL),
                "hunter2");
        expect_refused(memfd("", 0, 0));
}

static void test_file(void)
{
        g_autofree char *path = NULL;
        int fd = g_file_open_tmp("test-secret-XXXXXX", &path, NULL);

        g_assert_cmpint(fd, >=, 0);
        put(fd, "hunter2\n", 8);
        close(fd);
        expect_secret(open(path, O_RDONLY | O_CLOEXEC), "hunter2");
        expect_refused(open(path, O_WRONLY | O_CLOEXEC));
        g_unlink(path);
}

static void test_size(void)
{
        char bytes[DL_SECRET_MAX + 2];
        char text[DL_SECRET_MAX + 1] = {0};

        memset(bytes, 'x', sizeof bytes);
        memset(text, 'x', DL_SECRET_MAX);
        expect_secret(closed_pipe(bytes, DL_SECRET_MAX), text);
        expect_refused(closed_pipe(bytes, DL_SECRET_MAX + 1));
        expect_refused(closed_pipe(bytes, DL_SECRET_MAX + 2));
        bytes[DL_SECRET_MAX] = '\n';
        expect_secret(closed_pipe(bytes, DL_SECRET_MAX + 1), text);
        bytes[DL_SECRET_MAX + 1] = '\n';
        expect_refused(closed_pipe(bytes, DL_SECRET_MAX + 2));
        expect_secret(closed_pipe("x", 1), "x");
}

/* Far more than a secret: not read to its end. */
static void test_endless(void)
{
        expect_refused(open("/dev/zero", O_RDONLY | O_CLOEXEC));
}

static void test_nul(void)
{
        expect_refused(closed_pipe("hunter2\0x", 9));
        expect_refused(closed_pipe("hunter2\0", 8));
        expect_refused(closed_pipe("\0", 1));
}

static void test_other_kinds(void)
{
        int fds[2];

        g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), ==, 0);
        put(fds[1], "hunter2", 7);
        close(fds[1]);
        expect_refused(fds[0]);
        expect_refused(open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        expect_refused(open("/dev/null", O_RDONLY | O_CLOEXEC));
        {
                g_autoptr(GError) error = NULL;

                g_assert_null(dl_secret_read(-1, &error));
                g_assert_error(error, DL_ERROR, DL_ERROR_INVALID_ARGS);
        }
}

static void test_new(void)
{
        char bytes[] = "hunter2";
        g_autoptr(GError) error = NULL;
        DlSecret *secret = dl_secret_new(bytes, 7, &error), *again;

        g_assert_no_error(error);
        memset(bytes, 'x', 7);
        again = dl_secret_ref(secret);
        dl_secret_unref(secret);
        g_assert_cmpstr(dl_secret_peek(again), ==, "hunter2"); /* a copy */
        dl_secret_unref(again);
        dl_secret_unref(NULL);
        g_assert_null(dl_secret_ref(NULL));
        g_assert_null(dl_secret_new("", 0, &error));
        g_assert_error(error, DL_ERROR, DL_ERROR_INVALID_ARGS);
}

/* The flags that the kernel keeps for the mapping with this address; NULL if there is none. */
static char *flags_of(const void *address)
{
        g_autofree char *text = NULL;
        g_auto(GStrv) lines = NULL;
        bool inside = false;

        g_assert_true(g_file_get_contents("/proc/self/smaps", &text, NULL, NULL));
        lines = g_strsplit(text, "\n", -1);
        for (char **line = lines; *line; line++) {
                uintptr_t start, end;

                if (sscanf(*line, "%" SCNxPTR "-%" SCNxPTR " ", &start, &end) == 2)
                        inside = (uintptr_t)address >= start && (uintptr_t)address < end;
                else if (inside && g_str_has_prefix(*line, "VmFlags: "))
                        return g_strconcat(*line + 8, " ", NULL);
        }
        return NULL;
}

static void test_memory(void)
{
        g_autoptr(DlSecret) secret = dl_secret_new("hunter2", 7, NULL);
        g_autofree char *flags = flags_of(dl_secret_peek(secret));
        int status;
        pid_t pid;

        g_assert_nonnull(flags);
        g_assert_nonnull(strstr(flags, " dd ")); /* not in core dumps */
        g_assert_nonnull(strstr(flags, " wf ")); /* wiped in children */

        pid = fork();
        if (pid == 0)
                _exit(dl_secret_peek(secret)[0]);
        g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
        g_assert_true(WIFEXITED(status));
        g_assert_cmpint(WEXITSTATUS(status), ==, 0);
}

/* The mapping goes with the last reference. */
static void test_gone(void)
{
        const char *address;
        DlSecret *secret = dl_secret_new("hunter2", 7, NULL);
        g_autofree char *flags = NULL;

        address = dl_secret_peek(secret);
        dl_secret_unref(secret);
        flags = flags_of(address);
        g_assert_true(!flags || !strstr(flags, " wf "));
}

int main(int argc, char *argv[])
{
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/secret/pipe", test_pipe);
        g_test_add_func("/secret/pipe-empty", test_pipe_empty);
        g_test_add_func("/secret/pipe-unfinished", test_pipe_unfinished);
        g_test_add_func("/secret/pipe-wrong-end", test_pipe_wrong_end);
        g_test_add_func("/secret/memfd", test_memfd);
        g_test_add_func("/secret/file", test_file);
        g_test_add_func("/secret/size", test_size);
        g_test_add_func("/secret/endless", test_endless);
        g_test_add_func("/secret/nul", test_nul);
        g_test_add_func("/secret/other-kinds", test_other_kinds);
        g_test_add_func("/secret/new", test_new);
        g_test_add_func("/secret/memory", test_memory);
        g_test_add_func("/secret/gone", test_gone);
        return g_test_run();
}
