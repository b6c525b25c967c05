/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The socket for one secret: who is read, how often, how much, and what is left of it. */

#include "loop/secret-socket.h"
#include "util/error.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

typedef struct Lab {
        sd_event *event;
        char *directory, *path;
        DlSecretSocket *socket;
} Lab;

static void open_for(Lab *lab, uid_t uid)
{
        g_autoptr(GError) error = NULL;

        lab->socket = dl_secret_socket_new(lab->event, lab->path, uid, &error);
        g_assert_no_error(error);
        g_assert_nonnull(lab->socket);
}

static void setup(Lab *lab, gconstpointer data)
{
        *lab = (Lab){.directory = g_dir_make_tmp("directlun-XXXXXX", NULL)};
        lab->path = g_build_filename(lab->directory, "socket", NULL);
        g_assert_cmpint(sd_event_new(&lab->event), >=, 0);
}

static void teardown(Lab *lab, gconstpointer data)
{
        dl_secret_socket_free(lab->socket);
        g_assert_cmpint(g_access(lab->path, F_OK), <, 0); /* it leaves nothing */
        g_assert_cmpint(g_rmdir(lab->directory), ==, 0);
        sd_event_unref(lab->event);
        g_free(lab->path);
        g_free(lab->directory);
}

static int try_connect(Lab *lab)
{
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        g_assert_cmpint(fd, >=, 0);
        g_strlcpy(address.sun_path, lab->path, sizeof address.sun_path);
        if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0) {
                close(fd);
                return -1;
        }
        return fd;
}

static int writer(Lab *lab, const char *bytes, size_t size)
{
        int fd = try_connect(lab);

        g_assert_cmpint(fd, >=, 0);
        g_assert_cmpint(write(fd, bytes, size), ==, (gssize)size);
        return fd;
}

/* Everything that is there to do. */
static void run(Lab *lab)
{
        int r;

        do {
                r = sd_event_run(lab->event, 0);
                g_assert_cmpint(r, >=, 0);
        } while (r > 0);
}

static void expect_end(int fd)
{
        char byte;

        g_assert_cmpint(recv(fd, &byte, 1, MSG_DONTWAIT), ==, 0);
        close(fd);
}

static void expect_secret(Lab *lab, const char *text)
{
        g_autoptr(GError) error = NULL;
        bool final;
        g_autoptr(DlSecret) secret = dl_secret_socket_take(lab->socket, &final, &error);

        g_assert_no_error(error);
        g_assert_cmpstr(dl_secret_peek(secret), ==, text);
}

static void expect_none(Lab *lab, bool wanted_final)
{
        g_autoptr(GError) error = NULL;
        bool final;

        g_assert_null(dl_secret_socket_take(lab->socket, &final, &error));
        g_assert_error(error, DL_ERROR, DL_ERROR_INVALID_ARGS);
        g_assert_cmpint(final, ==, wanted_final);
}

static void test_one_secret(Lab *lab, gconstpointer data)
{
        GStatBuf st;
        int fd;

        open_for(lab, getuid());
        g_assert_cmpint(g_stat(lab->path, &st), ==, 0);
        g_assert_cmpint(st.st_mode & 0777, ==, 0666);
        run(lab);
        expect_none(lab, false);
        fd = writer(lab, "hunter2 ", 8);
        run(lab);
        g_assert_cmpint(try_connect(lab), <, 0); /* not a second time */
        expect_none(lab, false);
        g_assert_cmpint(write(fd, "and 3\n", 6), ==, 6);
        g_assert_cmpint(shutdown(fd, SHUT_WR), ==, 0);
        run(lab);
        expect_secret(lab, "hunter2 and 3");
        expect_end(fd);
}

static void test_writer_that_goes_at_once(Lab *lab, gconstpointer data)
{
        open_for(lab, getuid());
        close(writer(lab, "hunter2", 7));
        run(lab);
        expect_secret(lab, "hunter2");
}

static void test_two_at_once(Lab *lab, gconstpointer data)
{
        int first, second;

        open_for(lab, getuid());
        first = writer(lab, "first", 5);
        second = writer(lab, "second", 6);
        close(first);
        run(lab);
        expect_secret(lab, "first");
        close(second);
}

static void test_no_secret(Lab *lab, gconstpointer data)
{
        const char *text = data;
        int fd;

        open_for(lab, getuid());
        fd = writer(lab, text, strlen(text));
        g_assert_cmpint(shutdown(fd, SHUT_WR), ==, 0);
        run(lab);
        expect_none(lab, true);
        close(fd);
}

static void test_another_user(Lab *lab, gconstpointer data)
{
        int fd;

        open_for(lab, getuid() + 1);
        fd = writer(lab, "hunter2", 7);
        g_assert_cmpint(shutdown(fd, SHUT_WR), ==, 0);
        run(lab);
        expect_none(lab, false);
        g_assert_cmpint(g_access(lab->path, F_OK), ==, 0); /* who is meant may still come */
        close(fd);
}

static void test_freed_in_between(Lab *lab, gconstpointer data)
{
        int fd;

        open_for(lab, getuid());
        fd = writer(lab, "hunter2", 7);
        run(lab);
        g_clear_pointer(&lab->socket, dl_secret_socket_free);
        close(fd);
}

static void test_no_place(Lab *lab, gconstpointer data)
{
        g_autofree char *long_path = g_strnfill(200, 'x');
        g_autoptr(GError) error = NULL;

        g_assert_null(dl_secret_socket_new(lab->event, "/proc/no/such", 0, &error));
        g_assert_error(error, DL_ERROR, DL_ERROR_FAILED);
        g_clear_error(&error);
        g_assert_null(dl_secret_socket_new(lab->event, long_path, 0, &error));
        g_assert_error(error, DL_ERROR, DL_ERROR_FAILED);
}

int main(int argc, char **argv)
{
        g_autofree char *long_text = g_strnfill(DL_SECRET_MAX + 1, 'x');

        g_test_init(&argc, &argv, NULL);
#define TEST(name, data, function)                                                                 \
        g_test_add("/loop/secret-socket/" name, Lab, data, setup, function, teardown)
        TEST("one secret", NULL, test_one_secret);
        TEST("writer that goes at once", NULL, test_writer_that_goes_at_once);
        TEST("two at once", NULL, test_two_at_once);
        TEST("too long", long_text, test_no_secret);
        TEST("empty", "", test_no_secret);
        TEST("another user", NULL, test_another_user);
        TEST("freed in between", NULL, test_freed_in_between);
        TEST("no place", NULL, test_no_place);
#undef TEST
        return g_test_run();
}
