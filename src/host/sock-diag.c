/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Talks to the kernel's sock_diag over netlink. A DlSockDiag owns one socket; the caller owns the
 * results. One thread at a time. */

#include "host/sock-diag.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* The kernel fills at most this much into one datagram of a dump. */
#define DATAGRAM_MAX 32768
/* It answers within sendmsg(), so this never passes; but nothing here may ever hang. */
#define ANSWER_USEC 100000
#define STATES      (1U << TCP_SYN_SENT | 1U << TCP_ESTABLISHED | 1U << TCP_CLOSE_WAIT)

struct DlSockDiag {
        int fd;
        uint32_t serial;
};

/* ---- the far end --------------------------------------------------------------------------- */

static void map_ipv4(const void *ipv4, struct in6_addr *ret)
{
        *ret = (struct in6_addr){.s6_addr = {[10] = 0xff, [11] = 0xff}};
        memcpy(&ret->s6_addr[12], ipv4, 4);
}

bool dl_tcp_remote_parse(const char *text, DlTcpRemote *ret)
{
        const char *colon = strrchr(text, ':');
        bool bracketed = *text == '[';
        g_autofree char *host = NULL;
        DlTcpRemote remote;
        struct in_addr ipv4;
        guint64 port;

        if (!colon || colon == text ||
            !g_ascii_string_to_unsigned(colon + 1, 10, 1, UINT16_MAX, &port, NULL))
                return false;
        if (bracketed && colon[-1] != ']')
                return false;
        host = bracketed ? g_strndup(text + 1, (size_t)(colon - text - 2))
                         : g_strndup(text, (size_t)(colon - text));
        if (bracketed) {
                char *scope = strchr(host, '%');

                if (scope)
                        *scope = '\0';
                if (inet_pton(AF_INET6, host, &remote.address) != 1)
                        return false;
        } else if (inet_pton(AF_INET, host, &ipv4) == 1)
                map_ipv4(&ipv4, &remote.address);
        else
                return false;
        remote.port = (uint16_t)port;
        *ret = remote;
        return true;
}

bool dl_tcp_remote_equal(const DlTcpRemote *a, const DlTcpRemote *b)
{
        return a->port == b->port && memcmp(&a->address, &b->address, sizeof a->address) == 0;
}

/* ---- the answer ---------------------------------------------------------------------------- */

static bool is_connected_to(const struct inet_diag_msg *msg, const DlTcpRemote *remote)
{
        DlTcpRemote end = {.port = ntohs(msg->id.idiag_dport)};

        if (msg->idiag_family == AF_INET)
                map_ipv4(msg->id.idiag_dst, &end.address);
        else if (msg->idiag_family == AF_INET6)
                memcpy(&end.address, msg->id.idiag_dst, sizeof end.address);
        else
                return false;
        return dl_tcp_remote_equal(&end, remote);
}

static void append(const struct inet_diag_msg *msg, GArray *sockets)
{
        DlTcpSocket tcp = {
                .cookie = (uint64_t)msg->id.idiag_cookie[1] << 32 | msg->id.idiag_cookie[0],
                .family = msg->idiag_family,
                .state = msg->idiag_state,
                .uid = msg->idiag_uid,
                .inode = msg->idiag_inode,
                .local_port = msg->id.idiag_sport,
                .remote_port = msg->id.idiag_dport,
                .interface = msg->id.idiag_if,
        };

        memcpy(tcp.local, msg->id.idiag_src, sizeof tcp.local);
        memcpy(tcp.remote, msg->id.idiag_dst, sizeof tcp.remote);
        g_array_append_val(sockets, tcp);
}

/* The errno that an NLMSG_ERROR, or the NLMSG_DONE of a dump, carries. */
static int carried_error(const uint8_t *payload, size_t size)
{
        int error;

        if (size < sizeof error)
                return -EBADMSG;
        memcpy(&error, payload, sizeof error);
        if (error > 0 || error < -4095)
                return -EBADMSG;
        return error;
}

int dl_sock_diag_parse(const void *data, size_t size, uint32_t serial, const DlTcpRemote *remote,
                       GArray *sockets)
{
        const uint8_t *p = data;

        while (size >= NLMSG_HDRLEN) {
                const uint8_t *payload = p + NLMSG_HDRLEN;
                struct nlmsghdr header;
                struct inet_diag_msg msg;
                size_t step;

                memcpy(&header, p, sizeof header);
                if (header.nlmsg_len < NLMSG_HDRLEN || header.nlmsg_len > size)
                        return -EBADMSG;
                step = MIN(NLMSG_ALIGN((size_t)header.nlmsg_len), size);
                size_t n = header.nlmsg_len - NLMSG_HDRLEN;

                if (header.nlmsg_seq != serial)
                        ; /* the rest of an answer that was given up */
                else if (header.nlmsg_type == NLMSG_ERROR || header.nlmsg_type == NLMSG_DONE) {
                        int r = carried_error(payload, n);

                        return r < 0 ? r : 1;
                } else if (header.nlmsg_type == SOCK_DIAG_BY_FAMILY) {
                        if (n < sizeof msg)
                                return -EBADMSG;
                        memcpy(&msg, payload, sizeof msg);
                        if (sockets && is_connected_to(&msg, remote) && msg.idiag_inode != 0)
                                append(&msg, sockets);
                }
                p += step;
                size -= step;
        }
        return size == 0 ? 0 : -EBADMSG;
}

/* ---- the question -------------------------------------------------------------------------- */

int dl_sock_diag_new(DlSockDiag **ret)
{
        struct timeval patience = {.tv_usec = ANSWER_USEC};
        g_autoptr(DlSockDiag) diag = g_new(DlSockDiag, 1);
        struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};

        *diag = (DlSockDiag){.fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG)};
        /* Connected, so that nobody but the kernel is heard. */
        if (diag->fd < 0 ||
            setsockopt(diag->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) < 0 ||
            connect(diag->fd, (struct sockaddr *)&kernel, sizeof kernel) < 0)
                return -errno;
        *ret = g_steal_pointer(&diag);
        return 0;
}

void dl_sock_diag_free(DlSockDiag *diag)
{
        if (!diag)
                return;
        if (diag->fd >= 0)
                close(diag->fd);
        g_free(diag);
}

/* A filter that the kernel runs, so that a host with many connections does not send us all. */
typedef struct Filter {
        struct nlattr attribute;
        struct inet_diag_bc_op op;
        struct inet_diag_hostcond condition;
        uint32_t address[4];
} Filter;

typedef struct Request {
        struct nlmsghdr header;
        struct inet_diag_req_v2 body;
        Filter filter; /* only a look has it */
} Request;

G_STATIC_ASSERT(sizeof(Filter) == NLA_HDRLEN + sizeof(struct inet_diag_bc_op) +
                                          sizeof(struct inet_diag_hostcond) + 16);
G_STATIC_ASSERT(sizeof(Request) % NLMSG_ALIGNTO == 0);

/* Sends it, and takes in the answer; sockets may be NULL if it has none. */
static int ask(DlSockDiag *diag, Request *request, size_t size, const DlTcpRemote *remote,
               GArray *sockets)
{
        g_autofree uint8_t *buffer = g_malloc(DATAGRAM_MAX);
        int r;

        request->header.nlmsg_len = (uint32_t)size;
        request->header.nlmsg_seq = ++diag->serial;
        if (send(diag->fd, request, size, MSG_NOSIGNAL) < 0)
                return -errno;
        do {
                ssize_t n;

                do
                        n = recv(diag->fd, buffer, DATAGRAM_MAX, MSG_TRUNC);
                while (n < 0 && errno == EINTR);
                if (n < 0)
                        return -errno;
                if (n == 0 || n > DATAGRAM_MAX)
                        return -EBADMSG;
                r = dl_sock_diag_parse(buffer, (size_t)n, diag->serial, remote, sockets);
        } while (r == 0);
        return MIN(r, 0);
}

static int find_family(DlSockDiag *diag, uint8_t family, const DlTcpRemote *remote, GArray *sockets)
{
        bool ipv4 = IN6_IS_ADDR_V4MAPPED(&remote->address);
        size_t code = sizeof(Filter) - NLA_HDRLEN;
        Request request = {
                .header = {.nlmsg_type = SOCK_DIAG_BY_FAMILY,
                           .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
                .body = {.sdiag_family = family,
                         .sdiag_protocol = IPPROTO_TCP,
                         .idiag_states = STATES},
                .filter = {.attribute = {.nla_len = sizeof(Filter),
                                         .nla_type = INET_DIAG_REQ_BYTECODE},
                           /* "yes" leads to the end: taken; "no" beyond it: left out */
                           .op = {.code = INET_DIAG_BC_D_COND,
                                  .yes = (uint8_t)code,
                                  .no = (uint16_t)(code + 4)},
                           .condition = {.family = ipv4 ? AF_INET : AF_INET6,
                                         .prefix_len = ipv4 ? 32 : 128,
                                         .port = remote->port}},
        };

        memcpy(request.filter.address, &remote->address.s6_addr[ipv4 ? 12 : 0], ipv4 ? 4 : 16);
        return ask(diag, &request, sizeof request, remote, sockets);
}

int dl_sock_diag_find(DlSockDiag *diag, const DlTcpRemote *remote, GArray **ret)
{
        g_autoptr(GArray) sockets = g_array_new(FALSE, FALSE, sizeof(DlTcpSocket));
        int r = 0;

        if (IN6_IS_ADDR_V4MAPPED(&remote->address))
                r = find_family(diag, AF_INET, remote, sockets);
        if (r >= 0)
                r = find_family(diag, AF_INET6, remote, sockets);
        if (r < 0)
                return r;
        *ret = g_steal_pointer(&sockets);
        return 0;
}

int dl_sock_diag_destroy(DlSockDiag *diag, const DlTcpSocket *tcp)
{
        Request request = {
                .header = {.nlmsg_type = SOCK_DESTROY, .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK},
                .body = {.sdiag_family = tcp->family,
                         .sdiag_protocol = IPPROTO_TCP,
                         .idiag_states = 1U << tcp->state,
                         .id = {.idiag_sport = tcp->local_port,
                                .idiag_dport = tcp->remote_port,
                                .idiag_if = tcp->interface,
                                .idiag_cookie = {(uint32_t)tcp->cookie,
                                                 (uint32_t)(tcp->cookie >> 32)}}},
        };
        static const DlTcpRemote nobody;

        memcpy(request.body.id.idiag_src, tcp->local, sizeof tcp->local);
        memcpy(request.body.id.idiag_dst, tcp->remote, sizeof tcp->remote);
        return ask(diag, &request, offsetof(Request, filter), &nobody, NULL);
}
