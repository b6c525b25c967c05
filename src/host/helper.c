/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Calls to the helper. The DlHelper owns its calls, waiting and sent. Loop thread only. */

#include "host/helper.h"

#include "util/error.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* The helper answers at its deadline; this is for one that does not. */
#define SLACK_USEC UINT64_C(3000000)

struct DlHelper {
        sd_event *event;
        char *socket_path;
        GQueue waiting; /* DlHelperCall */
        GQueue sent;    /* DlHelperCall */
};

struct DlHelperCall {
        DlHelper *helper;
        DlHelperRequest request; /* without the secrets */
        DlSecret *secret, *target_secret;
        DlHelperDone done;
        void *userdata;
        int fd;        /* -1: not sent */
        GError *error; /* why it could not be sent */
        sd_event_source
                *io; /* the answer; or, if it could not be sent, the next round of the loop */
        sd_event_source *deadline;
};

static void start_waiting(DlHelper *helper);

/* ---- the end of a call --------------------------------------------------------------------- */

static void call_free(DlHelperCall *call)
{
        sd_event_source_disable_unref(call->io);
        sd_event_source_disable_unref(call->deadline);
        if (call->fd >= 0)
                close(call->fd);
        dl_secret_unref(call->secret);
        dl_secret_unref(call->target_secret);
        g_clear_error(&call->error);
        g_free(call);
}

static void unlink_call(DlHelperCall *call)
{
        if (!g_queue_remove(&call->helper->sent, call))
                g_queue_remove(&call->helper->waiting, call);
}

static void end(DlHelperCall *call, const DlHelperResult *result, const GError *error)
{
        DlHelper *helper = call->helper;
        DlHelperDone done = call->done;
        void *userdata = call->userdata;

        unlink_call(call);
        start_waiting(helper); /* before the callback, which may free the helper */
        call_free(call);
        done(result, error, userdata);
}

static void fail(DlHelperCall *call, GError *error)
{
        g_autoptr(GError) own = error;

        end(call, NULL, own);
}

/* ---- answers ------------------------------------------------------------------------------- */

typedef struct Answer {
        DlHelperReply reply;
        ssize_t size;
        int fd; /* of the data; -1: none came */
} Answer;

/* The padding of the buffer has room for more than the one that is expected. */
static void take_fd(struct msghdr *message, int *ret)
{
        for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
                if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
                        continue;
                for (size_t at = 0; CMSG_LEN(at + sizeof(int)) <= c->cmsg_len; at += sizeof(int)) {
                        if (*ret >= 0)
                                close(*ret);
                        memcpy(ret, CMSG_DATA(c) + at, sizeof(int));
                }
        }
}

static void receive(int fd, Answer *answer)
{
        struct iovec v = {.iov_base = &answer->reply, .iov_len = sizeof answer->reply};
        union {
                char bytes[CMSG_SPACE(sizeof(int))];
                struct cmsghdr align;
        } control;
        struct msghdr message = {.msg_iov = &v,
                                 .msg_iovlen = 1,
                                 .msg_control = &control,
                                 .msg_controllen = sizeof control};

        answer->fd = -1;
        answer->size = recvmsg(fd, &message, MSG_DONTWAIT | MSG_TRUNC | MSG_CMSG_CLOEXEC);
        if (answer->size >= 0)
                take_fd(&message, &answer->fd);
        else
                answer->size = errno == EAGAIN || errno == EINTR ? -1 : 0;
}

/* Of a memfd that nobody can make smaller: to read it neither waits nor faults. */
static GBytes *read_data(const Answer *answer, uint32_t wanted)
{
        struct stat st;
        g_autofree char *bytes = NULL;

        if (answer->fd < 0 || answer->reply.size != wanted || fstat(answer->fd, &st) < 0 ||
            !S_ISREG(st.st_mode) || st.st_size != wanted)
                return NULL;
        bytes = g_malloc(wanted);
        if (pread(answer->fd, bytes, wanted, 0) != (ssize_t)wanted)
                return NULL;
        return g_bytes_new_take(g_steal_pointer(&bytes), wanted);
}

static int on_answer(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
        DlHelperCall *call = userdata;
        g_autoptr(GError) error = NULL;
        g_autoptr(GBytes) data = NULL;
        Answer answer;

        receive(fd, &answer);
        if (answer.size < 0)
                return 0;
        error = dl_helper_reply_error(&answer.reply, (size_t)answer.size);
        if (!error && call->request.verb == DL_HELPER_READ) {
                data = read_data(&answer, call->request.size);
                if (!data)
                        error = g_error_new(DL_ERROR, DL_ERROR_PROTOCOL_ERROR,
                                            "The helper does not give what it has read");
        }
        if (answer.fd >= 0)
                close(answer.fd);
        if (error)
                end(call, NULL, error);
        else
                end(call, &(DlHelperResult){.sid = answer.reply.sid, .data = data}, NULL);
        return 0;
}

static int on_deadline(sd_event_source *source, uint64_t usec, void *userdata)
{
        fail(userdata, g_error_new(DL_ERROR, DL_ERROR_TIMED_OUT,
                                   "The helper did not answer; see the journal of "
                                   "directlun-helper.service"));
        return 0;
}

/* ---- sending ------------------------------------------------------------------------------- */

static int on_not_sent(sd_event_source *source, void *userdata)
{
        DlHelperCall *call = userdata;

        fail(call, g_steal_pointer(&call->error));
        return 0;
}

static int connect_to(const char *path)
{
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        int fd, r;

        if (g_strlcpy(address.sun_path, path, sizeof address.sun_path) >= sizeof address.sun_path)
                return -ENAMETOOLONG;
        fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return -errno;
        if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
                return fd;
        r = -errno;
        close(fd);
        return r;
}

/* The secrets are in the packet alone, and it is gone when the kernel has it. */
static int send_request(DlHelperCall *call, int fd)
{
        DlHelperRequest packet = call->request;
        ssize_t n = 0;
        int r = 0;

        if (!DL_HELPER_PUT(&packet, secret, call->secret ? dl_secret_peek(call->secret) : NULL) ||
            !DL_HELPER_PUT(&packet, target_secret,
                           call->target_secret ? dl_secret_peek(call->target_secret) : NULL) ||
            !dl_helper_request_check(&packet))
                r = -EINVAL;
        else
                n = send(fd, &packet, sizeof packet, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0)
                r = -errno;
        explicit_bzero(&packet, sizeof packet);
        return r;
}

static GError *error_of(int r)
{
        if (r == -EINVAL)
                return g_error_new(
                        DL_ERROR, DL_ERROR_INVALID_ARGS,
                        "The kernel's initiator cannot be given this: a name, address or "
                        "secret has characters that open-iscsi cannot take");
        return g_error_new(DL_ERROR, DL_ERROR_FAILED,
                           "The helper that is root cannot be reached (%s); see "
                           "systemctl status directlun-helper.socket",
                           g_strerror(-r));
}

static int begin(DlHelperCall *call)
{
        uint64_t usec = (uint64_t)call->request.timeout_ms * 1000 + SLACK_USEC;
        int fd = connect_to(call->helper->socket_path);
        int r;

        if (fd < 0)
                return fd;
        call->fd = fd;
        r = send_request(call, fd);
        if (r >= 0)
                r = sd_event_add_io(call->helper->event, &call->io, fd, EPOLLIN, on_answer, call);
        if (r >= 0)
                r = sd_event_add_time_relative(call->helper->event, &call->deadline,
                                               CLOCK_MONOTONIC, usec, 0, on_deadline, call);
        return r;
}

static void start(DlHelperCall *call)
{
        int r = begin(call);

        if (r >= 0)
                return;
        call->io = sd_event_source_disable_unref(call->io);
        call->error = error_of(r);
        (void)sd_event_add_defer(call->helper->event, &call->io, on_not_sent, call);
}

static void start_waiting(DlHelper *helper)
{
        while (g_queue_get_length(&helper->sent) < DL_HELPER_CALLS_MAX &&
               !g_queue_is_empty(&helper->waiting)) {
                DlHelperCall *call = g_queue_pop_head(&helper->waiting);

                g_queue_push_tail(&helper->sent, call);
                start(call);
        }
}

/* ---- the interface ------------------------------------------------------------------------- */

DlHelperCall *dl_helper_call(DlHelper *helper, const DlHelperRequest *request, DlSecret *secret,
                             DlSecret *target_secret, DlHelperDone done, void *userdata)
{
        DlHelperCall *call = g_new0(DlHelperCall, 1);

        call->helper = helper;
        call->request = *request;
        call->request.magic = DL_HELPER_MAGIC;
        call->secret = dl_secret_ref(secret);
        call->target_secret = dl_secret_ref(target_secret);
        call->done = done;
        call->userdata = userdata;
        call->fd = -1;
        g_queue_push_tail(&helper->waiting, call);
        start_waiting(helper);
        return call;
}

void dl_helper_cancel(DlHelperCall *call)
{
        DlHelper *helper = call ? call->helper : NULL;

        if (!call)
                return;
        unlink_call(call);
        call_free(call);
        start_waiting(helper);
}

DlHelper *dl_helper_new(sd_event *event, const char *socket_path)
{
        DlHelper *helper = g_new0(DlHelper, 1);

        helper->event = sd_event_ref(event);
        helper->socket_path = g_strdup(socket_path);
        g_queue_init(&helper->waiting);
        g_queue_init(&helper->sent);
        return helper;
}

void dl_helper_free(DlHelper *helper)
{
        g_autoptr(GError) error = NULL;
        GQueue calls;
        DlHelperCall *call;

        if (!helper)
                return;
        error = g_error_new(DL_ERROR, DL_ERROR_CANCELLED, "The service ends");
        calls = helper->waiting;
        g_queue_init(&helper->waiting); /* none of them is started any more */
        while ((call = g_queue_pop_head(&helper->sent)) || (call = g_queue_pop_head(&calls))) {
                DlHelperDone done = call->done;
                void *call_userdata = call->userdata;

                call_free(call);
                done(NULL, error, call_userdata);
        }
        sd_event_unref(helper->event);
        g_free(helper->socket_path);
        g_free(helper);
}
