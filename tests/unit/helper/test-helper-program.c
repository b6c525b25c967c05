/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The helper's program and the service's side of it, over a real socket, as the user that runs the
 * test: what it refuses, what it says of devices that are not there, and that nothing waits.
 */

#include "host/helper.h"
#include "util/error.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <pwd.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *program; /* NULL: nobody listens */

typedef struct Fixture {
        char *directory, *path;
        sd_event *event;
        DlHelper *helper;
        pid_t pid;
        unsigned n_done;
        GError *error;
        bool good;
} Fixture;

static int listen_at(const char *path)
{
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);

        g_strlcpy(address.sun_path, path, sizeof address.sun_path);
        g_assert_cmpint(bind(fd, (struct sockaddr *)&address, sizeof address), ==, 0);
        g_assert_cmpint(listen(fd, 64), ==, 0);
        return fd;
}

/* As systemd starts it: the socket is descriptor 3. */
static pid_t start_program(int listening, const char *user)
{
        pid_t pid = fork();

        if (pid == 0) {
                g_autofree char *own = g_strdup_printf("%d", getpid());

                g_setenv("LISTEN_FDS", "1", TRUE);
                g_setenv("LISTEN_PID", own, TRUE);
                dup2(listening, 3);
                execl(program, program, user, NULL);
                _exit(127);
        }
        g_assert_cmpint(pid, >, 0);
        return pid;
}

static void begin_as(Fixture *f, const char *user)
{
        int listening;

        f->directory = g_dir_make_tmp("directlun-helper-XXXXXX", NULL);
        f->path = g_build_filename(f->directory, "socket", NULL);
        g_assert_cmpint(sd_event_new(&f->event), >=, 0);
        f->helper = dl_helper_new(f->event, f->path);
        listening = listen_at(f->path);
        if (user)
                f->pid = start_program(listening, user);
        close(listening);
}

static void begin(Fixture *f, gconstpointer data)
{
        begin_as(f, getpwuid(geteuid())->pw_name);
}

static void finish(Fixture *f, gconstpointer data)
{
        int status;

        dl_helper_free(f->helper);
        if (f->pid) {
                kill(f->pid, SIGTERM);
                g_assert_cmpint(waitpid(f->pid, &status, 0), ==, f->pid);
                /* it may not even have begun */
                g_assert_true((WIFEXITED(status) && WEXITSTATUS(status) == 0) ||
                              (WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM));
        }
        sd_event_unref(f->event);
        g_clear_error(&f->error);
        g_unlink(f->path);
        g_rmdir(f->directory);
        g_free(f->directory);
        g_free(f->path);
}

static void on_done(const DlHelperResult *result, const GError *error, void *userdata)
{
        Fixture *f = userdata;

        g_assert_true(!result == !!error);
        g_clear_error(&f->error);
        if (error)
                f->error = g_error_copy(error);
        f->good = result;
        f->n_done++;
}

static void wait_for(Fixture *f, unsigned n)
{
        gint64 deadline = g_get_monotonic_time() + 20 * G_USEC_PER_SEC;

        while (f->n_done < n) {
                g_assert_cmpint(g_get_monotonic_time(), <, deadline);
                g_assert_cmpint(sd_event_run(f->event, 100000), >=, 0);
        }
}

static void call(Fixture *f, const DlHelperRequest *request)
{
        unsigned n = f->n_done;

        dl_helper_call(f->helper, request, NULL, NULL, on_done, f);
        g_assert_cmpuint(f->n_done, ==, n); /* never from within */
        wait_for(f, n + 1);
}

static void assert_refused(Fixture *f, const DlHelperRequest *request, int code)
{
        call(f, request);
        g_assert_error(f->error, DL_ERROR, code);
}

#define NOWHERE .guid = "3600140500000000", .timeout_ms = 5000

static void test_not_there(Fixture *f, gconstpointer data)
{
        assert_refused(
                f,
                &(DlHelperRequest){
                        .verb = DL_HELPER_READ, .major = 4000, .minor = 1, .size = 512, NOWHERE},
                DL_ERROR_LUN_NOT_VISIBLE);
        assert_refused(f, &(DlHelperRequest){.verb = DL_HELPER_RESCAN_PATH, .major = 4000, NOWHERE},
                       DL_ERROR_LUN_NOT_VISIBLE);
        assert_refused(f, &(DlHelperRequest){.verb = DL_HELPER_IDENTIFY, .major = 4000, NOWHERE},
                       DL_ERROR_LUN_NOT_VISIBLE);
        assert_refused(f,
                       &(DlHelperRequest){.verb = DL_HELPER_SCAN,
                                          .sid = 99999,
                                          .iqn = "iqn.2026-01.org.example:a",
                                          .timeout_ms = 5000},
                       DL_ERROR_LUN_NOT_VISIBLE);
        assert_refused(f, &(DlHelperRequest){.verb = DL_HELPER_FAIL_QUEUED, NOWHERE},
                       DL_ERROR_LUN_NOT_VISIBLE);
        /* what is to go and is not there is gone */
        call(f, &(DlHelperRequest){.verb = DL_HELPER_DELETE_PATH, .major = 4000, NOWHERE});
        g_assert_true(f->good);
        call(f, &(DlHelperRequest){.verb = DL_HELPER_FLUSH_MAP, NOWHERE});
        g_assert_true(f->good);
        call(f, &(DlHelperRequest){.verb = DL_HELPER_LOGOUT,
                                   .sid = 99999,
                                   .iqn = "iqn.2026-01.org.example:a",
                                   .address = "192.0.2.1",
                                   .port = 3260,
                                   .timeout_ms = 5000});
        g_assert_true(f->good);
}

/* Not even sent. */
static void test_bad_arguments(Fixture *f, gconstpointer data)
{
        assert_refused(f, &(DlHelperRequest){.verb = DL_HELPER_FLUSH_MAP, .timeout_ms = 1000},
                       DL_ERROR_INVALID_ARGS);
        assert_refused(f,
                       &(DlHelperRequest){.verb = DL_HELPER_LOGIN,
                                          .iqn = "iqn.2026-01.org.example:a/../b",
                                          .address = "192.0.2.1",
                                          .port = 3260,
                                          .timeout_ms = 1000},
                       DL_ERROR_INVALID_ARGS);
}

static int connect_to(Fixture *f)
{
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

        g_strlcpy(address.sun_path, f->path, sizeof address.sun_path);
        g_assert_cmpint(connect(fd, (struct sockaddr *)&address, sizeof address), ==, 0);
        return fd;
}

/* What is no request is told so, and does no harm. */
static void test_garbage(Fixture *f, gconstpointer data)
{
        static const char garbage[] = "GET / HTTP/1.0\r\n\r\n";
        static DlHelperRequest wrong = {.magic = DL_HELPER_MAGIC, .verb = 77, .timeout_ms = 1};
        g_autofree char *large = g_malloc0(100000);
        const struct {
                const void *bytes;
                size_t size;
        } packets[] = {{garbage, sizeof garbage}, {&wrong, sizeof wrong}, {large, 100000}};

        for (unsigned i = 0; i < G_N_ELEMENTS(packets); i++) {
                g_autoptr(GError) error = NULL;
                DlHelperReply reply;
                int fd = connect_to(f);

                g_assert_cmpint(send(fd, packets[i].bytes, packets[i].size, 0), >, 0);
                error = dl_helper_reply_error(&reply, (size_t)recv(fd, &reply, sizeof reply, 0));
                g_assert_error(error, DL_ERROR, DL_ERROR_INVALID_ARGS);
                close(fd);
        }
        call(f, &(DlHelperRequest){.verb = DL_HELPER_FLUSH_MAP, NOWHERE});
        g_assert_true(f->good);
}

/* A connection that says nothing keeps nobody else from being heard, and is closed. */
static void test_silent(Fixture *f, gconstpointer data)
{
        int fd = connect_to(f);
        char byte;

        call(f, &(DlHelperRequest){.verb = DL_HELPER_FLUSH_MAP, NOWHERE});
        g_assert_true(f->good);
        g_assert_cmpint(recv(fd, &byte, 1, 0), ==, 0);
        close(fd);
}

static void test_many(Fixture *f, gconstpointer data)
{
        DlHelperCall *cancelled;

        for (unsigned i = 0; i < 3 * DL_HELPER_CALLS_MAX; i++)
                dl_helper_call(f->helper, &(DlHelperRequest){.verb = DL_HELPER_FLUSH_MAP, NOWHERE},
                               NULL, NULL, on_done, f);
        cancelled = dl_helper_call(f->helper,
                                   &(DlHelperRequest){.verb = DL_HELPER_FLUSH_MAP, NOWHERE}, NULL,
                                   NULL, on_done, f);
        dl_helper_cancel(cancelled);
        wait_for(f, 3 * DL_HELPER_CALLS_MAX);
        g_assert_true(f->good);
        g_assert_cmpint(sd_event_run(f->event, 10000), >=, 0);
        g_assert_cmpuint(f->n_done, ==, 3 * DL_HELPER_CALLS_MAX);
}

/* Another user's request is not even read. */
static void test_not_the_service(Fixture *f, gconstpointer data)
{
        const char *other = geteuid() == 0 ? "nobody" : "root";

        begin_as(f, other);
        assert_refused(f, &(DlHelperRequest){.verb = DL_HELPER_FLUSH_MAP, NOWHERE},
                       DL_ERROR_PROTOCOL_ERROR);
}

static void test_nobody_listens(Fixture *f, gconstpointer data)
{
        begin_as(f, NULL);
        assert_refused(f, &(DlHelperRequest){.verb = DL_HELPER_FLUSH_MAP, NOWHERE},
                       DL_ERROR_FAILED);
        g_assert_nonnull(strstr(f->error->message, "directlun-helper.socket"));
}

/* Who goes tells those who wait. */
static void test_free(Fixture *f, gconstpointer data)
{
        for (unsigned i = 0; i < 2 * DL_HELPER_CALLS_MAX; i++)
                dl_helper_call(f->helper, &(DlHelperRequest){.verb = DL_HELPER_FLUSH_MAP, NOWHERE},
                               NULL, NULL, on_done, f);
        dl_helper_free(g_steal_pointer(&f->helper));
        g_assert_cmpuint(f->n_done, ==, 2 * DL_HELPER_CALLS_MAX);
        g_assert_error(f->error, DL_ERROR, DL_ERROR_CANCELLED);
}

int main(int argc, char **argv)
{
        g_test_init(&argc, &argv, NULL);
        g_assert_cmpint(argc, ==, 2);
        program = argv[1];
        g_test_add("/helper/not-there", Fixture, NULL, begin, test_not_there, finish);
        g_test_add("/helper/bad-arguments", Fixture, NULL, begin, test_bad_arguments, finish);
        g_test_add("/helper/garbage", Fixture, NULL, begin, test_garbage, finish);
        g_test_add("/helper/silent", Fixture, NULL, begin, test_silent, finish);
        g_test_add("/helper/many", Fixture, NULL, begin, test_many, finish);
        g_test_add("/helper/not-the-service", Fixture, NULL, NULL, test_not_the_service, finish);
        g_test_add("/helper/nobody-listens", Fixture, NULL, NULL, test_nobody_listens, finish);
        g_test_add("/helper/free", Fixture, NULL, begin, test_free, finish);
        return g_test_run();
}
