/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The kernel's table of TCP connections (sock_diag(7)): who is connected to a given address, and
 * the end of such a connection by force. Looking is free for everybody; ending takes CAP_NET_ADMIN
 * over the network namespace, and a kernel with CONFIG_INET_DIAG_DESTROY.
 *
 * The kernel answers within the call, so nothing here waits for the network. Not thread-safe: one
 * thread at a time uses a DlSockDiag.
 */

#include <glib.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

/* The far end of a connection. IPv4 is written the IPv4-mapped way (RFC 4291, 2.5.5.2): so is a
 * connection that an IPv6 socket makes to an IPv4 address, and both are the same here. */
typedef struct DlTcpRemote {
        struct in6_addr address;
        uint16_t port;
} DlTcpRemote;

/* "192.0.2.1:3260", "[2001:db8::1]:3260", "[fe80::1%eth0]:3260" (the scope is left aside). False if
 * it is none. */
bool dl_tcp_remote_parse(const char *text, DlTcpRemote *ret);
bool dl_tcp_remote_equal(const DlTcpRemote *a, const DlTcpRemote *b);

typedef struct DlTcpSocket {
        uint64_t cookie; /* its identity in the kernel: never used again */
        uint8_t family;  /* of the socket, whatever it is connected to */
        uint8_t state;   /* TCP_ESTABLISHED and so on */
        uint32_t uid;
        uint32_t inode;
        uint16_t local_port; /* this and the following: network byte order, as the kernel has it */
        uint16_t remote_port;
        uint32_t local[4], remote[4];
        uint32_t interface;
} DlTcpSocket;

typedef struct DlSockDiag DlSockDiag;

/* Negative errno. */
int dl_sock_diag_new(DlSockDiag **ret);
void dl_sock_diag_free(DlSockDiag *diag); /* takes NULL */

/*
 * The connections to remote that some process has open and that are not being closed: those in
 * SYN_SENT, ESTABLISHED and CLOSE_WAIT. ret: of DlTcpSocket, for g_array_unref(). Negative errno.
 */
int dl_sock_diag_find(DlSockDiag *diag, const DlTcpRemote *remote, GArray **ret);

/* The owner sees ECONNABORTED at once. -ENOENT: it is gone already; -EPERM: not allowed;
 * -EOPNOTSUPP: not in this kernel. */
int dl_sock_diag_destroy(DlSockDiag *diag, const DlTcpSocket *tcp);

/*
 * Reads one datagram of the kernel's answer to a look: appends those of its sockets that are
 * connected to remote. 1: the answer is complete; 0: more follows; -EBADMSG: it makes no sense;
 * else the kernel's own negative errno. For dl_sock_diag_find(), and its tests.
 */
int dl_sock_diag_parse(const void *data, size_t size, uint32_t serial, const DlTcpRemote *remote,
                       GArray *sockets);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(DlSockDiag, dl_sock_diag_free)
