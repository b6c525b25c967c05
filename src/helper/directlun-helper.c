/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * directlun-helper: what the service cannot do as the user that it is. systemd starts it with the
 * first connection to its socket; it ends when nobody has asked for a while.
 *
 * A connection brings one request (helper-protocol.h) of the service's user; nobody else is
 * listened to. Each is carried out by a process of its own, which answers by itself. So what waits
 * for a device delays nobody, and what the deadline ends is ended: the process, and all that it has
 * started, is killed, and this one answers instead. One thread.
 */

#include "verbs.h"

#include "config.h"
#include "util/error.h"
#include "util/log.h"

#include <errno.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>
#include <unistd.h>

enum {
        TASKS_MAX = 64, /* those included that the kernel does not let go */
};

#define REQUEST_USEC UINT64_C(2000000) /* for a connection to bring its request */
#define IDLE_USEC    UINT64_C(30000000)

typedef struct Helper {
        sd_event *event;
        uid_t service; /* who may ask */
        GHashTable *tasks;
        sd_event_source *idle;
} Helper;

/* A connection, from its beginning to the end of the process that answers it. */
typedef struct Task {
        Helper *helper;
        int fd;                  /* -1: answered */
        DlHelperRequest request; /* without the secrets */
        pid_t pid;
        sd_event_source *io, *deadline, *child;
} Task;

static const struct {
        const char *name;
        DlHelperRun *run;
} verbs[_DL_HELPER_VERB_MAX] = {
        [DL_HELPER_LOGIN] = {"login", dl_helper_login},
        [DL_HELPER_LOGOUT] = {"logout", dl_helper_logout},
        [DL_HELPER_SCAN] = {"scan", dl_helper_scan},
        [DL_HELPER_RESCAN_PATH] = {"rescan-path", dl_helper_rescan_path},
        [DL_HELPER_DELETE_PATH] = {"delete-path", dl_helper_delete_path},
        [DL_HELPER_FLUSH_MAP] = {"flush-map", dl_helper_flush_map},
        [DL_HELPER_FAIL_QUEUED] = {"fail-queued", dl_helper_fail_queued},
        [DL_HELPER_RESIZE_MAP] = {"resize-map", dl_helper_resize_map},
        [DL_HELPER_READ] = {"read", dl_helper_read},
        [DL_HELPER_IDENTIFY] = {"identify", dl_helper_identify},
};

/* ---- tasks --------------------------------------------------------------------------------- */

static void restart_idle_timer(Helper *helper)
{
        bool busy = g_hash_table_size(helper->tasks) > 0;

        (void)sd_event_source_set_time_relative(helper->idle, IDLE_USEC);
        (void)sd_event_source_set_enabled(helper->idle, busy ? SD_EVENT_OFF : SD_EVENT_ONESHOT);
}

static void close_connection(Task *task)
{
        task->io = sd_event_source_disable_unref(task->io);
        if (task->fd >= 0)
                close(task->fd);
        task->fd = -1;
}

static void task_free(void *p)
{
        Task *task = p;

        close_connection(task);
        sd_event_source_disable_unref(task->deadline);
        sd_event_source_disable_unref(task->child);
        g_free(task);
}

static void task_end(Task *task)
{
        Helper *helper = task->helper;

        g_hash_table_remove(helper->tasks, task);
        restart_idle_timer(helper);
}

/* ---- answers ------------------------------------------------------------------------------- */

static void answer(int fd, DlHelperReply *reply, int data_fd)
{
        struct iovec v = {.iov_base = reply, .iov_len = sizeof *reply};
        union {
                char bytes[CMSG_SPACE(sizeof(int))];
                struct cmsghdr align;
        } control = {};
        struct msghdr message = {.msg_iov = &v, .msg_iovlen = 1};

        reply->magic = DL_HELPER_MAGIC;
        if (data_fd >= 0) {
                message.msg_control = &control;
                message.msg_controllen = sizeof control;
                *CMSG_FIRSTHDR(&message) = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(int)),
                                                            .cmsg_level = SOL_SOCKET,
                                                            .cmsg_type = SCM_RIGHTS};
                memcpy(CMSG_DATA(CMSG_FIRSTHDR(&message)), &data_fd, sizeof data_fd);
        }
        (void)sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void answer_error(int fd, DlErrorCode code, const char *text)
{
        DlHelperReply reply = {.code = code};
        g_autofree char *valid = g_utf8_make_valid(text, -1);

        g_strlcpy(reply.message, valid, sizeof reply.message);
        answer(fd, &reply, -1);
}

/* ---- the process of a task ----------------------------------------------------------------- */

static void run(int fd, DlHelperRequest *request)
{
        g_autoptr(GError) error = NULL;
        DlHelperReply reply = {.code = DL_HELPER_OK};
        int data_fd = -1;

        if (verbs[request->verb].run(request, &reply, &data_fd, &error)) {
                answer(fd, &reply, data_fd);
        } else {
                dl_info("%s: %s", verbs[request->verb].name, error->message);
                answer_error(fd, dl_error_code(error), error->message);
        }
        explicit_bzero(request, sizeof *request);
        _exit(EXIT_SUCCESS);
}

static int on_child(sd_event_source *source, const siginfo_t *info, void *userdata)
{
        Task *task = userdata;
        bool failed = info->si_code != CLD_EXITED || info->si_status != EXIT_SUCCESS;

        if (failed && task->request.verb == DL_HELPER_LOGIN)
                dl_helper_forget_login(&task->request);
        if (failed && task->fd >= 0)
                answer_error(task->fd, DL_ERROR_FAILED,
                             "The helper failed; see the journal of directlun-helper.service");
        task_end(task);
        return 0;
}

/* What hangs in the kernel is not gone for it; the task stays, and counts, until it is. */
static int on_deadline(sd_event_source *source, uint64_t usec, void *userdata)
{
        Task *task = userdata;

        if (task->pid == 0) {
                task_end(task);
                return 0;
        }
        dl_warning("%s takes too long and is given up", verbs[task->request.verb].name);
        if (task->fd >= 0)
                answer_error(task->fd, DL_ERROR_TIMED_OUT,
                             "The kernel or the target did not answer in time");
        close_connection(task);
        (void)kill(-task->pid, SIGKILL);
        return 0;
}

/* Nobody waits for it any more. What open-iscsi was asked for it makes all the same: a login ends
 * well, or at its deadline. */
static int on_hang_up(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
        Task *task = userdata;

        close_connection(task);
        if (task->request.verb != DL_HELPER_LOGIN)
                (void)kill(-task->pid, SIGKILL);
        return 0;
}

static int start(Task *task, DlHelperRequest *request)
{
        pid_t pid = fork();
        int r;

        if (pid < 0)
                return -errno;
        if (pid == 0) {
                sigset_t none;

                sigemptyset(&none);
                (void)sigprocmask(SIG_SETMASK, &none, NULL);
                (void)setpgid(0, 0);
                (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
                run(task->fd, request);
        }
        (void)setpgid(pid, pid);
        task->pid = pid;
        explicit_bzero(request->secret, sizeof request->secret);
        explicit_bzero(request->target_secret, sizeof request->target_secret);
        task->request = *request;
        task->io = sd_event_source_disable_unref(task->io);
        r = sd_event_add_child(task->helper->event, &task->child, pid, WEXITED, on_child, task);
        if (r >= 0)
                r = sd_event_source_set_time_relative(task->deadline,
                                                      (uint64_t)request->timeout_ms * 1000);
        if (r >= 0)
                r = sd_event_add_io(task->helper->event, &task->io, task->fd, EPOLLHUP, on_hang_up,
                                    task);
        if (r < 0)
                (void)kill(-pid, SIGKILL);
        return r;
}

/* ---- connections --------------------------------------------------------------------------- */

static int on_request(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
        Task *task = userdata;
        DlHelperRequest packet, request;
        ssize_t n = recv(fd, &packet, sizeof packet, MSG_DONTWAIT | MSG_TRUNC);
        int r = 0;

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return 0;
        if (n < 0 || !dl_helper_request_parse(&packet, (size_t)n, &request)) {
                if (n > 0)
                        answer_error(fd, DL_ERROR_INVALID_ARGS, "This is no request");
                r = -EBADMSG;
        } else {
                r = start(task, &request);
                explicit_bzero(&request, sizeof request);
        }
        explicit_bzero(&packet, sizeof packet);
        if (r < 0)
                task_end(task);
        return 0;
}

static bool is_service(const Helper *helper, int fd)
{
        struct ucred peer;
        socklen_t size = sizeof peer;

        return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 &&
               peer.uid == helper->service;
}

static int take_connection(Helper *helper, int fd)
{
        Task *task = g_new0(Task, 1);
        int r;

        task->helper = helper;
        task->fd = fd;
        g_hash_table_add(helper->tasks, task);
        r = sd_event_add_io(helper->event, &task->io, fd, EPOLLIN, on_request, task);
        if (r >= 0)
                r = sd_event_add_time_relative(helper->event, &task->deadline, CLOCK_MONOTONIC,
                                               REQUEST_USEC, 0, on_deadline, task);
        if (r < 0)
                task_end(task);
        restart_idle_timer(helper);
        return r;
}

static int on_connection(sd_event_source *source, int listening, uint32_t revents, void *userdata)
{
        Helper *helper = userdata;
        int fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

        if (fd < 0)
                return 0;
        if (!is_service(helper, fd)) {
                dl_warning("Somebody who is not the service has asked for something");
                close(fd);
                return 0;
        }
        if (g_hash_table_size(helper->tasks) >= TASKS_MAX) {
                answer_error(fd, DL_ERROR_LIMITS_EXCEEDED,
                             "The helper has too much to do; devices may hang");
                close(fd);
                return 0;
        }
        return take_connection(helper, fd);
}

/* ---- the process --------------------------------------------------------------------------- */

static int on_idle(sd_event_source *source, uint64_t usec, void *userdata)
{
        return sd_event_exit(sd_event_source_get_event(source), 0);
}

static int serve(Helper *helper)
{
        static const int signals[] = {SIGTERM, SIGINT};
        sigset_t blocked;
        int r;

        if (sd_listen_fds(true) != 1)
                return -ENOTCONN;
        sigemptyset(&blocked);
        sigaddset(&blocked, SIGTERM);
        sigaddset(&blocked, SIGINT);
        sigaddset(&blocked, SIGCHLD);
        (void)sigprocmask(SIG_BLOCK, &blocked, NULL);
        r = sd_event_default(&helper->event);
        for (unsigned i = 0; r >= 0 && i < G_N_ELEMENTS(signals); i++)
                r = sd_event_add_signal(helper->event, NULL, signals[i], NULL, NULL);
        if (r >= 0)
                r = sd_event_add_time_relative(helper->event, &helper->idle, CLOCK_MONOTONIC,
                                               IDLE_USEC, 0, on_idle, NULL);
        if (r >= 0)
                r = sd_event_add_io(helper->event, NULL, SD_LISTEN_FDS_START, EPOLLIN,
                                    on_connection, helper);
        return r < 0 ? r : sd_event_loop(helper->event);
}

int main(int argc, char **argv)
{
        Helper helper = {};
        const struct passwd *service = argc == 2 ? getpwnam(argv[1]) : NULL;
        int r;

        if (!service) {
                fprintf(stderr,
                        "Usage: %s USER\n\nDoes for directlund, which runs as USER, what takes root. "
                        "Started by\nsystemd with the first connection to its socket.\n",
                        argv[0]);
                return 2;
        }
        (void)setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0}); /* secrets come by */
        (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
        dl_log_open();
        dl_helper_forget_secrets();
        helper.service = service->pw_uid;
        helper.tasks = g_hash_table_new_full(NULL, NULL, task_free, NULL);
        r = serve(&helper);
        g_hash_table_destroy(helper.tasks);
        sd_event_source_disable_unref(helper.idle);
        sd_event_unref(helper.event);
        if (r < 0)
                dl_err("cannot serve: %s; systemd starts this, by directlun-helper.socket",
                       g_strerror(-r));
        return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
