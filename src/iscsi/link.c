/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One connection. The link owns the libiscsi context, both ends of the socketpair that it did not
 * give to libiscsi, and a task record for each command until libiscsi has answered it and the
 * handler has seen it. libiscsi's callbacks only write down what happened; handlers are called in
 * report(), when libiscsi is not on the stack.
 *
 * libiscsi's own timeouts and reconnects are off, so its once-a-second service is not needed.
 */

#include "link.h"

#include "guard.h"
#include "scsi/inquiry.h"
#include "util/error.h"

#include <errno.h>
#include <fcntl.h>
#include <scsi-lowlevel.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
        CHUNK_SIZE = 64 * 1024, /* read from the network in one turn of the loop */
};

/* One command in libiscsi. */
typedef struct Task {
        DlLink *link;
        struct scsi_task *scsi;
        void *command; /* NULL: forgotten */
        bool answered;
        int status; /* libiscsi's, once answered */
} Task;

struct DlLink {
        sd_event *event;
        const DlLinkHandler *handler;
        void *userdata;

        struct iscsi_context *iscsi;
        DlGuard *guard;
        sd_event_source *source; /* first libiscsi's descriptor, then the socket */
        int socket, inner;       /* the network; our end of the pair */
        GByteArray *inbound, *outbound;
        uint64_t last_received;

        GQueue tasks;    /* of Task, in the order in which they were sent */
        GQueue answered; /* of Task that are in tasks too */

        bool logging_out;
        /* what happened and was not yet reported */
        bool connected, logged_in, logged_out;
        GError *error;

        unsigned depth; /* of our functions on the stack that use the link after a handler */
        bool freed, over;
};

static void task_free(Task *task)
{
        scsi_free_scsi_task(task->scsi);
        g_free(task);
}

/* Overwrites libiscsi's copies; freeing alone would leave them in memory. */
static void forget_secrets(DlLink *link)
{
        (void)iscsi_set_initiator_username_pwd(link->iscsi, "", "");
        (void)iscsi_set_target_username_pwd(link->iscsi, "", "");
}

static void link_destroy(DlLink *link)
{
        Task *task;

        sd_event_source_disable_unref(link->source);
        forget_secrets(link);
        iscsi_destroy_context(link->iscsi);
        /* libiscsi frees some of its requests without a word, so tasks are freed only here and
         * after they were reported */
        while ((task = g_queue_pop_head(&link->tasks)))
                task_free(task);
        g_queue_clear(&link->answered);
        if (link->socket >= 0)
                close(link->socket);
        if (link->inner >= 0)
                close(link->inner);
        g_byte_array_unref(link->inbound);
        g_byte_array_unref(link->outbound);
        dl_guard_free(link->guard);
        g_clear_error(&link->error);
        sd_event_unref(link->event);
        g_free(link);
}

void dl_link_free(DlLink *link)
{
        if (!link)
                return;
        link->freed = true;
        if (link->depth == 0)
                link_destroy(link);
}

static void enter(DlLink *link)
{
        link->depth++;
}

static void leave(DlLink *link)
{
        if (--link->depth == 0 && link->freed)
                link_destroy(link);
}

static void fail(DlLink *link, GError *error)
{
        if (link->error)
                g_error_free(error);
        else
                link->error = error;
}

/* libiscsi's own words may quote the target's, so they are made fit to show. */
static GError *libiscsi_error(DlLink *link, DlErrorCode code, const char *what)
{
        const char *text = iscsi_get_error(link->iscsi);
        g_autofree char *shown = dl_scsi_text((const uint8_t *)text, strlen(text));

        return g_error_new(DL_ERROR, (int)code, "%s: %s", what, *shown ? shown : "no reason known");
}

static GError *unreachable(const char *reason)
{
        return g_error_new(DL_ERROR, DL_ERROR_PORTAL_UNREACHABLE,
                           "Cannot connect to the portal: %s; check address, port and network",
                           reason);
}

/* ---- libiscsi's callbacks ----------------------------------------------------------------- */

static void on_connected(struct iscsi_context *iscsi, int status, void *data, void *userdata)
{
        DlLink *link = userdata;

        if (status == SCSI_STATUS_GOOD)
                link->connected = true;
        else
                fail(link, libiscsi_error(link, DL_ERROR_PORTAL_UNREACHABLE,
                                          "Cannot connect to the portal"));
}

/* Refusals by the target end in the guard, so a failure here is libiscsi's own opinion. */
static void on_login(struct iscsi_context *iscsi, int status, void *data, void *userdata)
{
        DlLink *link = userdata;

        if (status == SCSI_STATUS_GOOD) {
                link->logged_in = true;
                forget_secrets(link); /* there is no second login: it does not reconnect */
        } else if (dl_guard_in_authentication(link->guard))
                fail(link, libiscsi_error(link, DL_ERROR_AUTH_FAILED,
                                          "CHAP with the target failed, check both passwords"));
        else
                fail(link, libiscsi_error(link, DL_ERROR_PROTOCOL_ERROR, "The login failed"));
}

static void on_targets(struct iscsi_context *iscsi, int status, void *data, void *userdata)
{
        DlLink *link = userdata;

        if (link->freed || link->over || link->error)
                return;
        if (status == SCSI_STATUS_GOOD)
                link->handler->targets(data, link->userdata); /* libiscsi frees them after this */
        else
                fail(link, libiscsi_error(link, DL_ERROR_PROTOCOL_ERROR,
                                          "The portal's list of targets is malformed"));
}

static void on_logout(struct iscsi_context *iscsi, int status, void *data, void *userdata)
{
        DlLink *link = userdata;

        link->logged_out = true;
}

static void on_scsi(struct iscsi_context *iscsi, int status, void *data, void *userdata)
{
        Task *task = userdata;

        if (task->answered)
                return;
        /* All that is left of an error after the login: with reconnects off, iscsi_service() drops
         * every request and says that all is well. */
        if (status == SCSI_STATUS_CANCELLED) {
                fail(task->link, libiscsi_error(task->link, DL_ERROR_PROTOCOL_ERROR,
                                                "What the target sends is not proper iSCSI"));
                return;
        }
        task->answered = true;
        task->status = status;
        g_queue_push_tail(&task->link->answered, task);
}

/* ---- reports ------------------------------------------------------------------------------ */

static DlStatus status_of(int status)
{
        switch (status) {
        case SCSI_STATUS_GOOD:
        case SCSI_STATUS_CONDITION_MET:
                return DL_STATUS_GOOD;
        case SCSI_STATUS_CHECK_CONDITION:
                return DL_STATUS_CHECK_CONDITION;
        case SCSI_STATUS_BUSY:
        case SCSI_STATUS_TASK_SET_FULL:
        case SCSI_STATUS_TASK_ABORTED:
                return DL_STATUS_BUSY;
        case SCSI_STATUS_RESERVATION_CONFLICT:
                return DL_STATUS_CONFLICT;
        default:
                return DL_STATUS_REFUSED;
        }
}

static void report_reply(DlLink *link, Task *task)
{
        const struct scsi_data *in = &task->scsi->datain;
        DlReply reply = {
                .status = status_of(task->status),
                .data = in->data,
                .size = in->data && in->size > 0 ? (size_t)in->size : 0,
        };

        g_queue_remove(&link->tasks, task);
        if (reply.status == DL_STATUS_CHECK_CONDITION) {
                /* two bytes of length, then the sense data (RFC 7143, 11.4.7.2) */
                size_t told = reply.size >= 2 ? (size_t)reply.data[0] << 8 | reply.data[1] : 0;
                size_t size = reply.size >= 2 ? MIN(told, reply.size - 2) : 0;

                if (size == 0 || dl_scsi_sense_parse(reply.data + 2, size, &reply.sense) < 0)
                        reply.status = DL_STATUS_REFUSED;
        }
        if (reply.status != DL_STATUS_GOOD) {
                reply.data = NULL;
                reply.size = 0;
        }
        if (task->command)
                link->handler->replied(task->command, &reply, link->userdata);
        task_free(task);
}

static void report_failure(DlLink *link)
{
        link->over = true;
        link->source = sd_event_source_disable_unref(link->source);
        if (link->logging_out)
                link->handler->logged_out(link->userdata);
        else
                link->handler->failed(g_steal_pointer(&link->error), link->userdata);
}

/* Tells the owner one thing that happened. False if there is none. */
static bool report(DlLink *link)
{
        Task *task;

        if (link->freed || link->over)
                return false;
        if (link->error) {
                report_failure(link);
                return false;
        }
        if (dl_guard_redirect(link->guard)) {
                g_autofree char *address = g_strdup(dl_guard_redirect(link->guard));

                link->over = true;
                link->source = sd_event_source_disable_unref(link->source);
                link->handler->redirected(address, link->userdata);
                return false;
        }
        if (link->logged_in) {
                link->logged_in = false;
                link->handler->logged_in(link->userdata);
        } else if (link->logged_out) {
                link->logged_out = false;
                link->handler->logged_out(link->userdata);
        } else if ((task = g_queue_pop_head(&link->answered))) {
                report_reply(link, task);
        } else {
                return false;
        }
        return true;
}

/* ---- bytes -------------------------------------------------------------------------------- */

/* Sends the beginning of bytes and removes it. False if nothing went. */
static bool send_some(int fd, GByteArray *bytes, int *ret_error)
{
        ssize_t n;

        if (bytes->len == 0)
                return false;
        n = send(fd, bytes->data, bytes->len, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0) {
                if (errno != EAGAIN && errno != EINTR)
                        *ret_error = errno;
                return false;
        }
        g_byte_array_remove_range(bytes, 0, (guint)n);
        return n > 0;
}

static bool collect_outbound(DlLink *link)
{
        uint8_t buffer[4096];
        ssize_t n = recv(link->inner, buffer, sizeof buffer, MSG_DONTWAIT);

        if (n <= 0)
                return false;
        g_byte_array_append(link->outbound, buffer, (guint)n);
        return true;
}

static bool serve_libiscsi(DlLink *link)
{
        struct pollfd p = {.fd = iscsi_get_fd(link->iscsi),
                           .events = (short)iscsi_which_events(link->iscsi)};

        if (poll(&p, 1, 0) <= 0 || p.revents == 0)
                return false;
        if (iscsi_service(link->iscsi, p.revents) < 0 && !link->error)
                fail(link, libiscsi_error(link, DL_ERROR_PROTOCOL_ERROR,
                                          "What the target sends is not proper iSCSI"));
        return true;
}

/* One round of everything that can go on; false if nothing could. Ends because what came from the
 * network is finite and the owner asks no more than that. */
static bool step(DlLink *link)
{
        int error = 0;
        bool progress = send_some(link->inner, link->inbound, &error);

        progress |= serve_libiscsi(link);
        progress |= collect_outbound(link);
        progress |= send_some(link->socket, link->outbound, &error);
        if (error != 0)
                fail(link, unreachable(g_strerror(error)));
        while (report(link))
                progress = true;
        return progress && !link->freed && !link->over;
}

static void update_events(DlLink *link)
{
        bool out = link->outbound->len > 0 || (iscsi_which_events(link->iscsi) & POLLOUT);

        if (link->source)
                (void)sd_event_source_set_io_events(link->source, EPOLLIN | (out ? EPOLLOUT : 0u));
}

static void receive(DlLink *link)
{
        g_autofree uint8_t *buffer = g_malloc(CHUNK_SIZE);
        ssize_t n = recv(link->socket, buffer, CHUNK_SIZE, MSG_DONTWAIT);
        GError *error = NULL;

        if (n > 0) {
                link->last_received = (uint64_t)g_get_monotonic_time();
                if (!dl_guard_feed(link->guard, buffer, (size_t)n, link->inbound, &error))
                        fail(link, error);
        } else if (n == 0) {
                fail(link, dl_guard_end_error(link->guard));
        } else if (errno != EAGAIN && errno != EINTR) {
                fail(link, unreachable(g_strerror(errno)));
        }
}

static int on_socket(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
        DlLink *link = userdata;

        enter(link);
        if (revents & (EPOLLIN | EPOLLHUP | EPOLLERR))
                receive(link);
        while (step(link))
                ;
        if (!link->freed && !link->over)
                update_events(link);
        leave(link);
        return 0;
}

/* ---- the beginning ------------------------------------------------------------------------ */

/* Puts ourselves between the network and libiscsi. Negative errno. */
static int take_over(DlLink *link)
{
        int fd = iscsi_get_fd(link->iscsi), pair[2];

        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) < 0)
                return -errno;
        link->inner = pair[0];
        link->socket = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        if (link->socket < 0 || dup3(pair[1], fd, O_CLOEXEC) < 0) {
                int r = -errno;

                close(pair[1]);
                return r;
        }
        close(pair[1]);
        return sd_event_add_io(link->event, &link->source, link->socket, EPOLLIN, on_socket, link);
}

static void begin_login(DlLink *link)
{
        int r = take_over(link);

        if (r < 0) {
                fail(link, g_error_new(DL_ERROR, DL_ERROR_LIMITS_EXCEEDED,
                                       "Cannot set up a connection: %s", g_strerror(-r)));
                return;
        }
        if (iscsi_login_async(link->iscsi, on_login, link) != 0) {
                fail(link, libiscsi_error(link, DL_ERROR_FAILED, "Cannot begin the login"));
                return;
        }
        link->handler->connected(link->userdata);
        if (!link->freed)
                update_events(link);
}

static int on_connecting(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
        DlLink *link = userdata;
        int error = 0;
        socklen_t size = sizeof error;

        enter(link);
        /* the descriptor is about to be replaced: epoll must let it go before */
        link->source = sd_event_source_disable_unref(link->source);
        if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
                error = errno;
        if (error != 0)
                fail(link, unreachable(g_strerror(error)));
        else if (iscsi_service(link->iscsi, POLLOUT) < 0 || !link->connected)
                fail(link, libiscsi_error(link, DL_ERROR_PORTAL_UNREACHABLE,
                                          "Cannot connect to the portal"));
        else
                begin_login(link);
        report(link);
        leave(link);
        return 0;
}

static void configure(struct iscsi_context *iscsi, const DlLinkConfig *config)
{
        const DlIscsiCredentials *credentials = config->credentials;

        iscsi_set_log_level(iscsi, 0);
        iscsi_set_noautoreconnect(iscsi, 1);
        (void)iscsi_set_timeout(iscsi, 0);
        (void)iscsi_set_isid_random(iscsi, config->isid_random, config->isid_qualifier);
        (void)iscsi_set_header_digest(iscsi, ISCSI_HEADER_DIGEST_NONE);
        (void)iscsi_set_session_type(iscsi,
                                     config->iqn ? ISCSI_SESSION_NORMAL : ISCSI_SESSION_DISCOVERY);
        if (config->iqn)
                (void)iscsi_set_targetname(iscsi, config->iqn);
        if (credentials && credentials->user)
                (void)iscsi_set_initiator_username_pwd(iscsi, credentials->user,
                                                       dl_secret_peek(credentials->secret));
        if (credentials && credentials->target_user)
                (void)iscsi_set_target_username_pwd(iscsi, credentials->target_user,
                                                    dl_secret_peek(credentials->target_secret));
}

DlLink *dl_link_new(sd_event *event, const DlLinkConfig *config, const char *portal,
                    const DlLinkHandler *handler, void *userdata, GError **error)
{
        const DlIscsiCredentials *credentials = config->credentials;
        struct iscsi_context *iscsi = iscsi_create_context(config->initiator_name);
        g_autoptr(DlLink) link = NULL;
        int r;

        if (!iscsi) {
                g_set_error_literal(error, DL_ERROR, DL_ERROR_FAILED, "libiscsi has no memory");
                return NULL;
        }
        configure(iscsi, config);
        link = g_new(DlLink, 1);
        *link = (DlLink){
                .event = sd_event_ref(event),
                .handler = handler,
                .userdata = userdata,
                .iscsi = iscsi,
                .guard = dl_guard_new(credentials && credentials->user,
                                      credentials && credentials->target_user),
                .socket = -1,
                .inner = -1,
                .inbound = g_byte_array_new(),
                .outbound = g_byte_array_new(),
                .tasks = G_QUEUE_INIT,
                .answered = G_QUEUE_INIT,
        };
        if (iscsi_connect_async(iscsi, portal, on_connected, link) != 0) {
                g_propagate_error(error, libiscsi_error(link, DL_ERROR_PORTAL_UNREACHABLE,
                                                        "Cannot connect to the portal"));
                return NULL;
        }
        (void)fcntl(iscsi_get_fd(iscsi), F_SETFD, FD_CLOEXEC); /* libiscsi does not */
        r = sd_event_add_io(event, &link->source, iscsi_get_fd(iscsi), EPOLLOUT, on_connecting,
                            link);
        if (r < 0) {
                g_set_error(error, DL_ERROR, DL_ERROR_FAILED, "Cannot watch a connection: %s",
                            g_strerror(-r));
                return NULL;
        }
        return g_steal_pointer(&link);
}

/* ---- what the owner asks for -------------------------------------------------------------- */

bool dl_link_send(DlLink *link, uint16_t lun, const uint8_t *cdb, size_t cdb_size, size_t size,
                  void *command)
{
        uint8_t copy[SCSI_CDB_MAX_SIZE] = {0};
        Task *task;

        g_return_val_if_fail(cdb_size <= sizeof copy && size <= INT_MAX, false);
        if (link->over || link->error)
                return false;
        memcpy(copy, cdb, cdb_size);
        task = g_new(Task, 1);
        *task = (Task){
                .link = link,
                .scsi = scsi_create_task((int)cdb_size, copy,
                                         size > 0 ? SCSI_XFER_READ : SCSI_XFER_NONE, (int)size),
                .command = command,
        };
        if (!task->scsi ||
            iscsi_scsi_command_async(link->iscsi, lun, task->scsi, on_scsi, NULL, task) != 0) {
                if (task->scsi)
                        scsi_free_scsi_task(task->scsi);
                g_free(task);
                return false;
        }
        g_queue_push_tail(&link->tasks, task);
        dl_guard_expect_command(link->guard, task->scsi->itt, size);
        update_events(link);
        return true;
}

void dl_link_forget(DlLink *link, void *command)
{
        for (GList *i = link->tasks.head; i; i = i->next) {
                Task *task = i->data;

                if (task->command == command)
                        task->command = NULL;
        }
}

bool dl_link_send_targets(DlLink *link)
{
        if (link->over || link->error || iscsi_discovery_async(link->iscsi, on_targets, link) != 0)
                return false;
        dl_guard_expect_text(link->guard);
        update_events(link);
        return true;
}

bool dl_link_logout(DlLink *link)
{
        if (link->over || link->error || iscsi_logout_async(link->iscsi, on_logout, link) != 0)
                return false;
        link->logging_out = true;
        update_events(link);
        return true;
}

void dl_link_ping(DlLink *link)
{
        if (link->over || link->error)
                return;
        /* one that is not taken has no other effect than the silence that it was to break */
        (void)iscsi_nop_out_async(link->iscsi, NULL, NULL, 0, NULL);
        update_events(link);
}

uint16_t dl_link_tpgt(const DlLink *link)
{
        return dl_guard_tpgt(link->guard);
}

uint64_t dl_link_last_received(const DlLink *link)
{
        return link->last_received;
}

bool dl_link_all_sent(const DlLink *link)
{
        return link->outbound->len == 0 && iscsi_out_queue_length(link->iscsi) == 0;
}
