/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A way with a delay: takes connections here, opens the same ones in another network namespace, and
 * hands every byte on a given time after it came. The network has no capacity limit; only latency.
 *
 *     relay ADDRESS PORT DELAY_USEC /proc/PID/ns/net
 *
 * DELAY_USEC is for one direction. A new connection takes a round trip, as TCP's handshake does.
 * One thread: the delay is the same for all, so two queues in the order of arrival are all the
 * timers that it takes. A chunk belongs to the queue, or to the backlog of the end that does not
 * take it.
 */

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <arpa/inet.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CHUNK_MAX (256 * 1024)

typedef struct Chunk Chunk;
typedef struct End End;

struct Chunk {
        Chunk *next;
        uint64_t due; /* nanoseconds, CLOCK_MONOTONIC */
        End *to;      /* where it goes; for an opening, the end that was accepted */
        size_t size, sent;
        bool is_end; /* no bytes: the other side has closed */
        uint8_t data[];
};

typedef struct Queue {
        Chunk *first, **last;
} Queue;

/* One of the two sockets of a connection; freed with its peer when both have ended. */
struct End {
        int fd;
        End *peer;
        Queue backlog;
        unsigned in_flight; /* chunks in the queues that point to it */
        bool closed;        /* nothing more is read from it */
        bool waits_for_room;
};

static struct sockaddr_in address;
static uint64_t delay;
static int epoll;
static Queue openings = {.last = &openings.first}, bytes = {.last = &bytes.first};

static void must(bool good, const char *what)
{
        if (good)
                return;
        perror(what);
        exit(1);
}

static uint64_t now(void)
{
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}

static void push(Queue *queue, Chunk *chunk)
{
        chunk->next = NULL;
        *queue->last = chunk;
        queue->last = &chunk->next;
}

static Chunk *pop(Queue *queue)
{
        Chunk *chunk = queue->first;

        queue->first = chunk->next;
        if (!queue->first)
                queue->last = &queue->first;
        return chunk;
}

static void watch(End *end, int operation)
{
        struct epoll_event event = {
                .events = (end->closed ? 0 : EPOLLIN) | (end->waits_for_room ? EPOLLOUT : 0),
                .data.ptr = end,
        };

        /* an end that has hung up is not watched any more */
        must(epoll_ctl(epoll, operation, end->fd, &event) == 0 || errno == ENOENT, "epoll_ctl");
}

static void free_if_over(End *end)
{
        End *peer = end->peer;

        if (!end->closed || !peer->closed || end->in_flight > 0 || peer->in_flight > 0)
                return;
        for (End *e = end;; e = peer) {
                while (e->backlog.first)
                        free(pop(&e->backlog));
                close(e->fd);
                free(e);
                if (e == peer)
                        break;
        }
}

static void stop_reading(End *end)
{
        end->closed = true;
        watch(end, EPOLL_CTL_MOD);
}

/* Writes what it can of the backlog. */
static void flush(End *end)
{
        bool waits = false;

        while (end->backlog.first) {
                Chunk *chunk = end->backlog.first;
                ssize_t n;

                if (chunk->is_end) {
                        (void)shutdown(end->fd, SHUT_WR);
                        free(pop(&end->backlog));
                        continue;
                }
                n = send(end->fd, chunk->data + chunk->sent, chunk->size - chunk->sent,
                         MSG_NOSIGNAL | MSG_DONTWAIT);
                if (n < 0 && errno == EAGAIN) {
                        waits = true;
                        break;
                }
                if (n < 0) { /* nobody there any more, as the next reading will tell */
                        while (end->backlog.first)
                                free(pop(&end->backlog));
                        break;
                }
                chunk->sent += (size_t)n;
                if (chunk->sent == chunk->size)
                        free(pop(&end->backlog));
        }
        if (waits != end->waits_for_room) {
                end->waits_for_room = waits;
                watch(end, EPOLL_CTL_MOD);
        }
}

static void deliver(Chunk *chunk)
{
        End *end = chunk->to;

        end->in_flight--;
        push(&end->backlog, chunk);
        flush(end);
        free_if_over(end);
}

static void take_bytes(End *end)
{
        static uint8_t buffer[CHUNK_MAX];
        ssize_t n = recv(end->fd, buffer, sizeof buffer, MSG_DONTWAIT);
        Chunk *chunk;

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return;
        if (n < 0)
                n = 0;
        chunk = malloc(sizeof *chunk + (size_t)n);
        must(chunk, "malloc");
        *chunk = (Chunk){
                .due = now() + delay, .to = end->peer, .size = (size_t)n, .is_end = n == 0};
        memcpy(chunk->data, buffer, (size_t)n);
        end->peer->in_flight++;
        push(&bytes, chunk);
        if (n == 0)
                stop_reading(end);
}

static End *end_new(int fd)
{
        End *end = calloc(1, sizeof *end);
        int one = 1;

        must(end, "calloc");
        end->fd = fd;
        end->backlog.last = &end->backlog.first;
        must(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) == 0, "TCP_NODELAY");
        return end;
}

/* Its other half is opened a round trip later; until then nothing is read from it. */
static void accept_one(int listener)
{
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        Chunk *chunk = calloc(1, sizeof *chunk);

        must(fd >= 0 && chunk, "accept");
        chunk->to = end_new(fd);
        chunk->due = now() + 2 * delay;
        push(&openings, chunk);
}

/* Both namespaces are on this machine: connecting does not take long enough to matter. */
static void open_other_half(Chunk *opening)
{
        End *near = opening->to, *far;
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        free(opening);
        must(fd >= 0, "socket");
        if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0) {
                close(fd);
                close(near->fd);
                free(near);
                return;
        }
        (void)fcntl(fd, F_SETFL, O_NONBLOCK);
        far = end_new(fd);
        near->peer = far;
        far->peer = near;
        watch(near, EPOLL_CTL_ADD);
        watch(far, EPOLL_CTL_ADD);
}

static void do_what_is_due(void)
{
        uint64_t t = now();

        while (openings.first && openings.first->due <= t)
                open_other_half(pop(&openings));
        while (bytes.first && bytes.first->due <= t)
                deliver(pop(&bytes));
}

static const struct timespec *until_next(struct timespec *t)
{
        uint64_t next = UINT64_MAX, t_now = now(), left;

        if (openings.first)
                next = openings.first->due;
        if (bytes.first && bytes.first->due < next)
                next = bytes.first->due;
        if (next == UINT64_MAX)
                return NULL;
        left = next > t_now ? next - t_now : 0;
        *t = (struct timespec){.tv_sec = (time_t)(left / 1000000000),
                               .tv_nsec = (long)(left % 1000000000)};
        return t;
}

static void serve(int listener)
{
        struct epoll_event events[64], event = {.events = EPOLLIN};

        must(epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event) == 0, "epoll_ctl");
        for (;;) {
                struct timespec t;
                int n = epoll_pwait2(epoll, events, 64, until_next(&t), NULL);

                must(n >= 0 || errno == EINTR, "epoll_pwait2");
                for (int i = 0; i < n; i++) {
                        End *end = events[i].data.ptr;

                        if (!end)
                                accept_one(listener);
                        else if (!end->closed && (events[i].events & ~(unsigned)EPOLLOUT))
                                take_bytes(end);
                        else if (end->waits_for_room)
                                flush(end);
                        else if (events[i].events & (EPOLLERR | EPOLLHUP))
                                (void)epoll_ctl(epoll, EPOLL_CTL_DEL, end->fd, NULL);
                }
                do_what_is_due();
        }
}

int main(int argc, char **argv)
{
        int listener, namespace, one = 1;

        if (argc != 5) {
                fprintf(stderr, "usage: relay ADDRESS PORT DELAY_USEC NAMESPACE\n");
                return 2;
        }
        address = (struct sockaddr_in){.sin_family = AF_INET,
                                       .sin_port = htons((uint16_t)atoi(argv[2]))};
        must(inet_pton(AF_INET, argv[1], &address.sin_addr) == 1, argv[1]);
        delay = strtoull(argv[3], NULL, 10) * 1000;
        (void)prctl(PR_SET_TIMERSLACK, 1UL, 0, 0, 0);
        must((epoll = epoll_create1(EPOLL_CLOEXEC)) >= 0, "epoll_create1");
        must((listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) >= 0, "socket");
        (void)setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
        must(bind(listener, (struct sockaddr *)&address, sizeof address) == 0, "bind");
        must(listen(listener, 1024) == 0, "listen");
        must((namespace = open(argv[4], O_RDONLY | O_CLOEXEC)) >= 0, argv[4]);
        must(setns(namespace, CLONE_NEWNET) == 0, "setns");
        puts("ready");
        fflush(stdout);
        serve(listener);
}
