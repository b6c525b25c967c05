/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Real connections in a network namespace of our own, and answers that no kernel should give. */

#include "host/sock-diag.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static bool have_namespace;

/* ---- connections --------------------------------------------------------------------------- */

typedef struct Pair {
        int listener;
        int client; /* connected, or connecting */
        DlTcpRemote remote;
} Pair;

static void map(struct sockaddr_in6 *sa, const char *address, uint16_t port)
{
        *sa = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons(port)};
        g_assert_cmpint(inet_pton(AF_INET6, address, &sa->sin6_addr), ==, 1);
}

static int listen_on(const char *address, int backlog, uint16_t *ret_port)
{
        int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0), off = 0;
        struct sockaddr_in6 sa;
        socklen_t size = sizeof sa;

        map(&sa, address, 0);
        g_assert_cmpint(setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off), ==, 0);
        g_assert_cmpint(bind(fd, (struct sockaddr *)&sa, sizeof sa), ==, 0);
        g_assert_cmpint(listen(fd, backlog), ==, 0);
        g_assert_cmpint(getsockname(fd, (struct sockaddr *)&sa, &size), ==, 0);
        *ret_port = ntohs(sa.sin6_port);
        return fd;
}

static int connect_ipv4(uint16_t port)
{
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        struct sockaddr_in sa = {.sin_family = AF_INET,
                                 .sin_port = htons(port),
                                 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

        if (connect(fd, (struct sockaddr *)&sa, sizeof sa) < 0)
                g_assert_cmpint(errno, ==, EINPROGRESS);
        return fd;
}

static int connect_ipv6(const char *address, uint16_t port)
{
        int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        struct sockaddr_in6 sa;

        map(&sa, address, port);
        if (connect(fd, (struct sockaddr *)&sa, sizeof sa) < 0)
                g_assert_cmpint(errno, ==, EINPROGRESS);
        return fd;
}

static DlTcpRemote remote_of(const char *host, uint16_t port)
{
        g_autofree char *text = g_strdup_printf("%s:%u", host, port);
        DlTcpRemote remote;

        g_assert_true(dl_tcp_remote_parse(text, &remote));
        return remote;
}

/* kind: "ipv4", "ipv6", "mapped" */
static void pair_open(Pair *pair, const char *kind)
{
        bool ipv6 = g_str_equal(kind, "ipv6");
        uint16_t port;

        pair->listener = listen_on(ipv6 ? "::1" : "::ffff:127.0.0.1", 8, &port);
        pair->remote = remote_of(ipv6 ? "[::1]" : "127.0.0.1", port);
        if (g_str_equal(kind, "ipv4"))
                pair->client = connect_ipv4(port);
        else
                pair->client = connect_ipv6(ipv6 ? "::1" : "::ffff:127.0.0.1", port);
}

static void pair_close(Pair *pair)
{
        close(pair->client);
        close(pair->listener);
}

static uint64_t cookie_of(int fd)
{
        uint64_t cookie;
        socklen_t size = sizeof cookie;

        g_assert_cmpint(getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &size), ==, 0);
        return cookie;
}

static bool need_namespace(void)
{
        if (!have_namespace)
                g_test_skip("no network namespace can be made here");
        return have_namespace;
}

static void test_find(gconstpointer kind)
{
        g_autoptr(DlSockDiag) diag = NULL;
        g_autoptr(GArray) sockets = NULL;
        struct stat st;
        Pair pair, other;

        if (!need_namespace())
                return;
        g_assert_cmpint(dl_sock_diag_new(&diag), ==, 0);
        pair_open(&pair, kind);
        pair_open(&other, kind);
        g_assert_cmpint(dl_sock_diag_find(diag, &pair.remote, &sockets), ==, 0);
        g_assert_cmpuint(sockets->len, ==, 1);

        const DlTcpSocket *tcp = &g_array_index(sockets, DlTcpSocket, 0);
        g_assert_cmpuint(tcp->cookie, ==, cookie_of(pair.client));
        g_assert_cmpint(fstat(pair.client, &st), ==, 0);
        g_assert_cmpuint(tcp->inode, ==, st.st_ino);
        g_assert_cmpuint(tcp->uid, ==, getuid());
        g_assert_cmpuint(tcp->state, ==, TCP_ESTABLISHED);
        g_assert_cmpuint(tcp->family, ==, g_str_equal(kind, "ipv4") ? AF_INET : AF_INET6);
        pair_close(&pair);
        pair_close(&other);
}

static void test_find_nothing(void)
{
        g_autoptr(DlSockDiag) diag = NULL;
        g_autoptr(GArray) sockets = NULL;
        DlTcpRemote remote = remote_of("192.0.2.1", 3260);

        g_assert_cmpint(dl_sock_diag_new(&diag), ==, 0);
        for (int i = 0; i < 3; i++) {
                g_clear_pointer(&sockets, g_array_unref);
                g_assert_cmpint(dl_sock_diag_find(diag, &remote, &sockets), ==, 0);
                g_assert_cmpuint(sockets->len, ==, 0);
        }
}

/* More connections than one datagram of the kernel's holds. */
static void test_find_many(void)
{
        enum {
                N = 600
        };
        g_autoptr(DlSockDiag) diag = NULL;
        g_autoptr(GArray) sockets = NULL;
        g_autoptr(GHashTable) cookies = g_hash_table_new(g_int64_hash, g_int64_equal);
        DlTcpRemote remote;
        int clients[N];
        uint16_t port;

        if (!need_namespace())
                return;
        int listener = listen_on("::ffff:127.0.0.1", N, &port);
        for (int i = 0; i < N; i++)
                clients[i] = connect_ipv4(port);
        remote = remote_of("127.0.0.1", port);
        g_assert_cmpint(dl_sock_diag_new(&diag), ==, 0);
        g_assert_cmpint(dl_sock_diag_find(diag, &remote, &sockets), ==, 0);
        for (unsigned i = 0; i < sockets->len; i++)
                g_hash_table_add(cookies, &g_array_index(sockets, DlTcpSocket, i).cookie);
        g_assert_cmpuint(g_hash_table_size(cookies), ==, N);
        for (int i = 0; i < N; i++)
                close(clients[i]);
        close(listener);
}

static int end_of(int fd)
{
        struct pollfd p = {.fd = fd, .events = POLLIN | POLLOUT};
        int error = 0;
        socklen_t size = sizeof error;

        g_assert_cmpint(poll(&p, 1, 5000), ==, 1);
        g_assert_cmpint(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size), ==, 0);
        return error;
}

static void destroy_only(DlSockDiag *diag, const DlTcpRemote *remote, uint8_t state)
{
        g_autoptr(GArray) sockets = NULL, left = NULL;

        g_assert_cmpint(dl_sock_diag_find(diag, remote, &sockets), ==, 0);
        g_assert_cmpuint(sockets->len, ==, 1);

        const DlTcpSocket *tcp = &g_array_index(sockets, DlTcpSocket, 0);
        g_assert_cmpuint(tcp->state, ==, state);
        int r = dl_sock_diag_destroy(diag, tcp);
        if (r == -EOPNOTSUPP) {
                g_test_skip("this kernel cannot end connections");
                return;
        }
        g_assert_cmpint(r, ==, 0);
        g_assert_cmpint(dl_sock_diag_destroy(diag, tcp), ==, -ENOENT);
        g_assert_cmpint(dl_sock_diag_find(diag, remote, &left), ==, 0);
        g_assert_cmpuint(left->len, ==, 0);
}

static void test_destroy(gconstpointer kind)
{
        g_autoptr(DlSockDiag) diag = NULL;
        Pair pair, other;

        if (!need_namespace())
                return;
        g_assert_cmpint(dl_sock_diag_new(&diag), ==, 0);
        pair_open(&pair, kind);
        pair_open(&other, kind);
        destroy_only(diag, &pair.remote, TCP_ESTABLISHED);
        if (!g_test_failed()) {
                g_assert_cmpint(end_of(pair.client), ==, ECONNABORTED);
                g_assert_cmpint(end_of(other.client), ==, 0);
        }
        pair_close(&pair);
        pair_close(&other);
}

/* Nobody answers the SYN: the listener's queue is full. */
static void test_destroy_connecting(void)
{
        g_autoptr(DlSockDiag) diag = NULL;
        DlTcpRemote remote;
        uint16_t port;
        int fillers[2];

        if (!need_namespace())
                return;
        int listener = listen_on("::ffff:127.0.0.1", 0, &port);
        for (size_t i = 0; i < G_N_ELEMENTS(fillers); i++)
                fillers[i] = connect_ipv4(port);
        int client = connect_ipv4(port);
        remote = remote_of("127.0.0.1", port);

        g_autoptr(GArray) sockets = NULL;
        bool found = false;
        g_assert_cmpint(dl_sock_diag_new(&diag), ==, 0);
        g_assert_cmpint(dl_sock_diag_find(diag, &remote, &sockets), ==, 0);
        for (unsigned i = 0; i < sockets->len; i++) {
                const DlTcpSocket *tcp = &g_array_index(sockets, DlTcpSocket, i);

                if (tcp->cookie != cookie_of(client))
                        continue;
                found = true;
                g_assert_cmpuint(tcp->state, ==, TCP_SYN_SENT);
                g_assert_cmpint(dl_sock_diag_destroy(diag, tcp), ==, 0);
                g_assert_cmpint(end_of(client), ==, ECONNABORTED);
        }
        g_assert_true(found);
        /* a cookie that is not the socket's ends nothing */
        DlTcpSocket wrong = g_array_index(sockets, DlTcpSocket, 0);
        wrong.cookie ^= 0x5a5a5a5a;
        g_assert_cmpint(dl_sock_diag_destroy(diag, &wrong), ==, -ENOENT);
        close(client);
        for (size_t i = 0; i < G_N_ELEMENTS(fillers); i++)
                close(fillers[i]);
        close(listener);
}

/* ---- addresses ----------------------------------------------------------------------------- */

static void test_parse_remote(void)
{
        static const char *const bad[] = {
                "",
                ":",
                ":3260",
                "[]:3260",
                "[:3260",
                "]:3260",
                "127.0.0.1",
                "127.0.0.1:",
                "127.0.0.1:0",
                "127.0.0.1:65536",
                "127.0.0.1:-1",
                "127.0.0.1:1x",
                "127.0.0:3260",
                "::1:3260",
                "[::1]",
                "[::1]3260",
                "[::1:3260",
                "[127.0.0.1]:3260",
                "portal.example.org:3260",
        };
        DlTcpRemote a, b, untouched = {.port = 7};

        for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
                g_test_message("%s", bad[i]);
                a = untouched;
                g_assert_false(dl_tcp_remote_parse(bad[i], &a));
                g_assert_true(dl_tcp_remote_equal(&a, &untouched));
        }
        g_assert_true(dl_tcp_remote_parse("127.0.0.1:3260", &a));
        g_assert_true(dl_tcp_remote_parse("[::ffff:127.0.0.1]:3260", &b));
        g_assert_cmpuint(a.port, ==, 3260);
        g_assert_true(dl_tcp_remote_equal(&a, &b));
        g_assert_true(dl_tcp_remote_parse("127.0.0.1:3261", &b));
        g_assert_false(dl_tcp_remote_equal(&a, &b));
        g_assert_true(dl_tcp_remote_parse("[fe80::1]:860", &a));
        g_assert_true(dl_tcp_remote_parse("[fe80::1%eth0]:860", &b));
        g_assert_true(dl_tcp_remote_equal(&a, &b));
}

/* ---- answers ------------------------------------------------------------------------------- */

enum {
        SERIAL = 5
};

static void add(GByteArray *answer, uint16_t type, uint32_t serial, const void *payload, size_t n)
{
        static const uint8_t padding[NLMSG_ALIGNTO];
        struct nlmsghdr header = {
                .nlmsg_len = (uint32_t)(NLMSG_HDRLEN + n), .nlmsg_type = type, .nlmsg_seq = serial};

        g_byte_array_append(answer, (uint8_t *)&header, sizeof header);
        g_byte_array_append(answer, payload, (guint)n);
        g_byte_array_append(answer, padding, (guint)(NLMSG_ALIGN(n) - n));
}

static struct inet_diag_msg message(uint16_t port, uint32_t inode)
{
        struct inet_diag_msg msg = {.idiag_family = AF_INET,
                                    .idiag_state = TCP_ESTABLISHED,
                                    .id.idiag_dport = htons(port),
                                    .id.idiag_cookie = {0x11111111, 0x22222222},
                                    .idiag_uid = 1000,
                                    .idiag_inode = inode};

        msg.id.idiag_dst[0] = htonl(INADDR_LOOPBACK);
        return msg;
}

static int parse(const GByteArray *answer, size_t size, GArray *sockets)
{
        DlTcpRemote remote = remote_of("127.0.0.1", 3260);
        /* exactly as large as it is said to be, so that a sanitizer sees what reads beyond it */
        g_autofree uint8_t *copy = size ? g_memdup2(answer->data, size) : NULL;

        return dl_sock_diag_parse(copy, size, SERIAL, &remote, sockets);
}

static void test_parse_answer(void)
{
        g_autoptr(GByteArray) answer = g_byte_array_new();
        g_autoptr(GArray) sockets = g_array_new(FALSE, FALSE, sizeof(DlTcpSocket));
        struct inet_diag_msg good = message(3260, 1), port = message(3261, 2),
                             orphan = message(3260, 0), family = message(3260, 3);
        int ok = 0;

        family.idiag_family = AF_UNIX;
        add(answer, SOCK_DIAG_BY_FAMILY, SERIAL - 1, &good, sizeof good); /* of an older question */
        add(answer, SOCK_DIAG_BY_FAMILY, SERIAL, &port, sizeof port);
        add(answer, SOCK_DIAG_BY_FAMILY, SERIAL, &orphan, sizeof orphan);
        add(answer, SOCK_DIAG_BY_FAMILY, SERIAL, &family, sizeof family);
        add(answer, NLMSG_NOOP, SERIAL, NULL, 0);
        add(answer, SOCK_DIAG_BY_FAMILY, SERIAL, &good, sizeof good);
        g_assert_cmpint(parse(answer, answer->len, sockets), ==, 0);
        g_assert_cmpuint(sockets->len, ==, 1);
        g_assert_cmpuint(g_array_index(sockets, DlTcpSocket, 0).cookie, ==, 0x2222222211111111);
        g_assert_cmpuint(g_array_index(sockets, DlTcpSocket, 0).uid, ==, 1000);

        add(answer, NLMSG_DONE, SERIAL, &ok, sizeof ok);
        g_assert_cmpint(parse(answer, answer->len, sockets), ==, 1);
}

static void test_parse_errors(void)
{
        static const struct {
                int carried, expected;
        } cases[] = {
                {0, 1},        {-EPERM, -EPERM},  {-ENOENT, -ENOENT},
                {1, -EBADMSG}, {-4096, -EBADMSG}, {G_MININT, -EBADMSG},
        };

        for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
                g_autoptr(GByteArray) answer = g_byte_array_new();

                add(answer, i % 2 ? NLMSG_ERROR : NLMSG_DONE, SERIAL, &cases[i].carried,
                    sizeof(int));
                g_assert_cmpint(parse(answer, answer->len, NULL), ==, cases[i].expected);
        }
}

/* Cut anywhere, and with any length in its header: an error or less, never a read beyond it. */
static void test_parse_garbage(void)
{
        g_autoptr(GByteArray) answer = g_byte_array_new();
        g_autoptr(GArray) sockets = g_array_new(FALSE, FALSE, sizeof(DlTcpSocket));
        struct inet_diag_msg good = message(3260, 1);
        int ok = 0;

        add(answer, SOCK_DIAG_BY_FAMILY, SERIAL, &good, sizeof good);
        add(answer, NLMSG_DONE, SERIAL, &ok, sizeof ok);
        for (size_t size = 0; size < answer->len; size++) {
                int r = parse(answer, size, sockets);

                g_assert_cmpint(r, <=, 0);
                if (size != 0 && size != NLMSG_HDRLEN + sizeof good)
                        g_assert_cmpint(r, ==, -EBADMSG);
        }
        for (uint32_t length = 0; length < 2 * answer->len; length++) {
                memcpy(answer->data, &length, sizeof length);
                if (length != NLMSG_HDRLEN + sizeof good)
                        g_assert_cmpint(parse(answer, answer->len, sockets), !=, 1);
        }
}

/* ---- the namespace ------------------------------------------------------------------------- */

static bool make_namespace(void)
{
        struct ifreq ifr = {.ifr_name = "lo", .ifr_flags = IFF_UP};
        bool up;
        int fd;

        if (unshare(CLONE_NEWNET) < 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
                return false;
        fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        up = fd >= 0 && ioctl(fd, SIOCSIFFLAGS, &ifr) == 0;
        if (fd >= 0)
                close(fd);
        return up;
}

int main(int argc, char *argv[])
{
        g_test_init(&argc, &argv, NULL);
        have_namespace = make_namespace();
        g_test_add_data_func("/sock-diag/find/ipv4", "ipv4", test_find);
        g_test_add_data_func("/sock-diag/find/ipv6", "ipv6", test_find);
        g_test_add_data_func("/sock-diag/find/mapped", "mapped", test_find);
        g_test_add_func("/sock-diag/find/nothing", test_find_nothing);
        g_test_add_func("/sock-diag/find/many", test_find_many);
        g_test_add_data_func("/sock-diag/destroy/ipv4", "ipv4", test_destroy);
        g_test_add_data_func("/sock-diag/destroy/ipv6", "ipv6", test_destroy);
        g_test_add_data_func("/sock-diag/destroy/mapped", "mapped", test_destroy);
        g_test_add_func("/sock-diag/destroy/connecting", test_destroy_connecting);
        g_test_add_func("/sock-diag/parse/remote", test_parse_remote);
        g_test_add_func("/sock-diag/parse/answer", test_parse_answer);
        g_test_add_func("/sock-diag/parse/errors", test_parse_errors);
        g_test_add_func("/sock-diag/parse/garbage", test_parse_garbage);
        return g_test_run();
}
