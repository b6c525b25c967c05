/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A socket for one secret. It owns the path, the listening socket and then the one connection;
 * there is never more than one of the two. Loop thread only.
 */

#include "loop/secret-socket.h"

#include "util/error.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 4

struct DlSecretSocket {
        char *path; /* NULL: nobody listens there any more */
        uid_t uid;
        sd_event *event;
        sd_event_source *source; /* of the listening socket, or of the connection; owns it */
        DlSecret *secret;
        GError *failure; /* what has come is no secret */
};

static void stop(DlSecretSocket *s)
{
        s->source = sd_event_source_disable_unref(s->source);
}

static void remove_path(DlSecretSocket *s)
{
        if (s->path)
                (void)unlink(s->path);
        g_clear_pointer(&s->path, g_free);
}

static int watch(DlSecretSocket *s, int fd, uint32_t events, sd_event_io_handler_t handler)
{
        int r;

        stop(s);
        r = sd_event_add_io(s->event, &s->source, fd, events, handler, s);
        if (r >= 0)
                r = sd_event_source_set_io_fd_own(s->source, true);
        if (r < 0)
                close(fd);
        return r;
}

/* The writer has shut its side down, or is gone: all that it has to say is here. */
static int on_end(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
        DlSecretSocket *s = userdata;

        s->secret = dl_secret_receive(fd, &s->failure);
        stop(s);
        return 0;
}

static bool is_wanted(const DlSecretSocket *s, int fd)
{
        struct ucred peer;
        socklen_t size = sizeof peer;

        return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.uid == s->uid;
}

static int on_connection(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
        DlSecretSocket *s = userdata;
        int connection = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

        if (connection < 0)
                return 0;
        if (!is_wanted(s, connection)) {
                close(connection);
                return 0;
        }
        remove_path(s);
        if (watch(s, connection, EPOLLRDHUP, on_end) < 0)
                g_set_error(&s->failure, DL_ERROR, DL_ERROR_INVALID_ARGS,
                            "The secret could not be read: hand it over again");
        return 0;
}

static int listen_at(const char *path)
{
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        int fd;

        if (strlen(path) >= sizeof address.sun_path)
                return -ENAMETOOLONG;
        memcpy(address.sun_path, path, strlen(path));
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return -errno;
        if (bind(fd, (const struct sockaddr *)&address, sizeof address) < 0 ||
            chmod(path, 0666) < 0 || listen(fd, BACKLOG) < 0) {
                int r = -errno;

                close(fd);
                return r;
        }
        return fd;
}

DlSecretSocket *dl_secret_socket_new(sd_event *event, const char *path, uid_t uid, GError **error)
{
        g_autoptr(DlSecretSocket) s = g_new0(DlSecretSocket, 1);
        int r;

        s->event = sd_event_ref(event);
        s->uid = uid;
        r = listen_at(path);
        if (r >= 0) {
                s->path = g_strdup(path);
                r = watch(s, r, EPOLLIN, on_connection);
        }
        if (r < 0) {
                g_set_error(error, DL_ERROR, DL_ERROR_FAILED, "cannot listen at %s: %s", path,
                            g_strerror(-r));
                return NULL;
        }
        return g_steal_pointer(&s);
}

void dl_secret_socket_free(DlSecretSocket *s)
{
        if (!s)
                return;
        stop(s);
        remove_path(s);
        dl_secret_unref(s->secret);
        g_clear_error(&s->failure);
        sd_event_unref(s->event);
        g_free(s);
}

DlSecret *dl_secret_socket_take(DlSecretSocket *s, bool *ret_final, GError **error)
{
        *ret_final = s->failure;
        if (s->secret)
                return dl_secret_ref(s->secret);
        if (s->failure)
                g_propagate_error(error, g_error_copy(s->failure));
        else
                g_set_error(error, DL_ERROR, DL_ERROR_INVALID_ARGS,
                            "The secret must be written to its socket, and the connection have "
                            "ended, before the call");
        return NULL;
}
