/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The guard of src/core around a libvirt that does what the test says, with real connections in a
 * network namespace of our own. QEMU's are those of another user, so this needs root.
 */

#include "core/steps/attach-guard.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/fsuid.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define LIMIT_USEC (300 * 1000)
#define WAIT_USEC  (10 * G_USEC_PER_SEC)
#define QEMU_UID   65533

static bool have_namespace;

/* ---- what the guard is built on ------------------------------------------------------------ */

typedef struct DlVirtCall {
        DlVirtGotDomain done;
        void *userdata;
        char *vm;
} Call;

static GPtrArray *calls; /* Call, that go on */

static void call_free(void *p)
{
        Call *call = p;

        g_free(call->vm);
        g_free(call);
}

DlVirtCall *dl_virt_plug_device(DlVirt *virt, const char *uuid, const char *xml,
                                DlVirtAffect affect, uint64_t timeout_usec, DlVirtGotDomain done,
                                void *userdata)
{
        Call *call = g_new(Call, 1);

        g_assert_cmpint(affect, ==, DL_VIRT_LIVE);
        g_assert_cmpstr(xml, ==, "<disk/>");
        *call = (Call){.done = done, .userdata = userdata, .vm = g_strdup(uuid)};
        g_ptr_array_add(calls, call);
        return call;
}

void dl_virt_cancel(DlVirtCall *call)
{
        if (call)
                g_assert_true(g_ptr_array_remove(calls, call));
}

uint64_t dl_now(void)
{
        return (uint64_t)g_get_monotonic_time();
}

/* ---- fixture ------------------------------------------------------------------------------- */

typedef struct Lab {
        DlCore core;
        DlSettings settings;
        int listener;
        char *portal;
        uint16_t port;
} Lab;

typedef struct Plug {
        DlAttachGuard *guard;
        bool over;
        int code; /* of its error; -1: none */
} Plug;

static void open_portal(int *ret_fd, uint16_t *ret_port)
{
        struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t size = sizeof sa;

        *ret_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        g_assert_cmpint(bind(*ret_fd, (struct sockaddr *)&sa, sizeof sa), ==, 0);
        g_assert_cmpint(listen(*ret_fd, 16), ==, 0); /* and nobody ever says anything */
        g_assert_cmpint(getsockname(*ret_fd, (struct sockaddr *)&sa, &size), ==, 0);
        *ret_port = ntohs(sa.sin_port);
}

static void setup(Lab *lab, gconstpointer data)
{
        g_assert_cmpint(sd_event_new(&lab->core.event), >=, 0);
        lab->settings = (DlSettings){.freeze_limit_usec = LIMIT_USEC};
        lab->core.settings = &lab->settings;
        open_portal(&lab->listener, &lab->port);
        lab->portal = g_strdup_printf("127.0.0.1:%u", lab->port);
        calls = g_ptr_array_new_with_free_func(call_free);
}

static void teardown(Lab *lab, gconstpointer data)
{
        g_assert_cmpuint(calls->len, ==, 0);
        g_assert_true(g_queue_is_empty(&lab->core.attach_guards));
        g_ptr_array_unref(calls);
        close(lab->listener);
        g_free(lab->portal);
        sd_event_unref(lab->core.event);
}

static void on_over(const DlVirtDomain *domain, const GError *error, void *userdata)
{
        Plug *plug = userdata;

        g_assert_false(plug->over);
        plug->over = true;
        plug->guard = NULL;
        plug->code = error ? (int)dl_error_code(error) : -1;
}

static void plug_start(Lab *lab, Plug *plug, const char *vm, const char *portal)
{
        const char *const way[] = {portal, NULL};

        *plug = (Plug){0};
        plug->guard = dl_attach_guarded(&lab->core, vm, "<disk/>", DL_VIRT_LIVE,
                                        portal ? way : NULL, on_over, plug);
}

/* Of the oldest call. code -1: it has worked. */
static void libvirt_answers(int code)
{
        Call *call = g_ptr_array_steal_index(calls, 0);
        g_autoptr(GError) error = code < 0 ? NULL : g_error_new(DL_ERROR, code, "libvirt says so");

        call->done(NULL, error, call->userdata);
        call_free(call);
}

static void run_once(Lab *lab)
{
        g_assert_cmpint(sd_event_run(lab->core.event, 10 * 1000), >=, 0);
}

static void run_until_calls(Lab *lab, unsigned n)
{
        uint64_t until = dl_now() + WAIT_USEC;

        while (calls->len < n && dl_now() < until)
                run_once(lab);
        g_assert_cmpuint(calls->len, ==, n);
}

static void settle(Lab *lab)
{
        while (sd_event_run(lab->core.event, 0) > 0)
                ;
}

/* As QEMU does, or as another user. */
static int connect_as(const Lab *lab, uid_t uid)
{
        struct sockaddr_in sa = {.sin_family = AF_INET,
                                 .sin_port = htons(lab->port),
                                 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        int fd;

        setfsuid(uid);
        fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        setfsuid(geteuid());
        g_assert_cmpint(connect(fd, (struct sockaddr *)&sa, sizeof sa), ==, 0);
        return fd;
}

static bool is_ended(int fd)
{
        struct pollfd p = {.fd = fd};

        return poll(&p, 1, 0) == 1 && (p.revents & (POLLERR | POLLHUP));
}

/* Returns when it was. */
static uint64_t run_until_ended(Lab *lab, int fd)
{
        uint64_t until = dl_now() + WAIT_USEC;

        while (!is_ended(fd) && dl_now() < until)
                run_once(lab);
        g_assert_true(is_ended(fd));
        return dl_now();
}

static bool need_namespace(void)
{
        if (!have_namespace)
                g_test_skip("this takes root and a network namespace");
        return have_namespace;
}

/* ---- ending connections -------------------------------------------------------------------- */

static void test_silent(Lab *lab, gconstpointer data)
{
        Plug plug;

        if (!need_namespace())
                return;
        plug_start(lab, &plug, "vm", lab->portal);
        run_until_calls(lab, 1);
        uint64_t since = dl_now();
        int qemu = connect_as(lab, QEMU_UID);
        uint64_t ended = run_until_ended(lab, qemu);

        /* never later than the limit (and what a busy machine adds); earlier by one look at most */
        g_assert_cmpuint(ended - since, <, LIMIT_USEC + 500 * 1000);
        g_assert_cmpuint(ended - since, >=, LIMIT_USEC - 150 * 1000);
        g_assert_false(plug.over);
        libvirt_answers(DL_ERROR_LIBVIRT_ERROR);
        g_assert_true(plug.over);
        g_assert_cmpint(plug.code, ==, DL_ERROR_PORTAL_UNREACHABLE);
        close(qemu);
}

/* What was there before, what is ours, and what leads elsewhere. */
static void test_spared(Lab *lab, gconstpointer data)
{
        Lab other = *lab;
        Plug plug;

        if (!need_namespace())
                return;
        open_portal(&other.listener, &other.port);
        int before = connect_as(lab, QEMU_UID);
        plug_start(lab, &plug, "vm", lab->portal);
        run_until_calls(lab, 1);
        int ours = connect_as(lab, geteuid());
        int elsewhere = connect_as(&other, QEMU_UID);
        int qemu = connect_as(lab, QEMU_UID);

        run_until_ended(lab, qemu);
        int again = connect_as(lab, QEMU_UID); /* what QEMU tries again gets as long */
        uint64_t since = dl_now();
        uint64_t ended = run_until_ended(lab, again);
        g_assert_cmpuint(ended - since, >=, LIMIT_USEC - 150 * 1000);
        g_assert_false(is_ended(before));
        g_assert_false(is_ended(ours));
        g_assert_false(is_ended(elsewhere));

        libvirt_answers(-1); /* it has worked after all */
        g_assert_true(plug.over);
        g_assert_cmpint(plug.code, ==, -1);
        for (unsigned i = 0; i < 5; i++)
                close((int[]){before, ours, elsewhere, qemu, again}[i]);
        close(other.listener);
}

/* Only libvirt's own failure is told in other words: no answer stays no answer. */
static void test_errors(Lab *lab, gconstpointer data)
{
        static const struct {
                bool ended;
                int code;
        } cases[] = {{true, DL_ERROR_TIMED_OUT},
                     {true, DL_ERROR_VM_NOT_RUNNING},
                     {false, DL_ERROR_LIBVIRT_ERROR},
                     {false, -1}};

        if (!need_namespace())
                return;
        for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
                Plug plug;

                plug_start(lab, &plug, "vm", lab->portal);
                run_until_calls(lab, 1);
                int qemu = connect_as(lab, QEMU_UID);
                if (cases[i].ended)
                        run_until_ended(lab, qemu);
                libvirt_answers(cases[i].code);
                g_assert_true(plug.over);
                g_assert_cmpint(plug.code, ==, cases[i].code);
                close(qemu);
        }
}

/* ---- whose turn it is ---------------------------------------------------------------------- */

static void test_queue(Lab *lab, gconstpointer data)
{
        Plug first, second, third, elsewhere, unknown;

        plug_start(lab, &first, "first", lab->portal);
        plug_start(lab, &second, "second", lab->portal);
        plug_start(lab, &third, "third", lab->portal);
        plug_start(lab, &elsewhere, "elsewhere", "[2001:db8::1]:3260");
        plug_start(lab, &unknown, "unknown", NULL);
        g_assert_cmpuint(calls->len, ==, 0); /* not from within the call */
        run_until_calls(lab, 3);
        settle(lab);
        g_assert_cmpuint(calls->len, ==, 3);
        for (unsigned i = 0; i < calls->len; i++)
                g_assert_cmpstr(((Call *)calls->pdata[i])->vm, ==,
                                ((const char *[]){"first", "elsewhere", "unknown"})[i]);

        libvirt_answers(DL_ERROR_LIBVIRT_ERROR);
        g_assert_cmpint(first.code, ==, DL_ERROR_LIBVIRT_ERROR);
        libvirt_answers(-1);
        libvirt_answers(-1);
        run_until_calls(lab, 1);
        settle(lab);
        g_assert_cmpstr(((Call *)calls->pdata[0])->vm, ==, "second");
        libvirt_answers(-1);
        run_until_calls(lab, 1);
        g_assert_cmpstr(((Call *)calls->pdata[0])->vm, ==, "third");
        libvirt_answers(-1);
        g_assert_true(second.over && third.over && elsewhere.over && unknown.over);
}

static void test_cancel(Lab *lab, gconstpointer data)
{
        Plug first, second, third;

        plug_start(lab, &first, "first", lab->portal);
        plug_start(lab, &second, "second", lab->portal);
        plug_start(lab, &third, "third", lab->portal);
        run_until_calls(lab, 1);
        dl_attach_guard_cancel(second.guard); /* while it waits */
        dl_attach_guard_cancel(first.guard);  /* while it goes on */
        g_assert_cmpuint(calls->len, ==, 0);
        run_until_calls(lab, 1);
        g_assert_cmpstr(((Call *)calls->pdata[0])->vm, ==, "third");
        g_assert_false(first.over || second.over || third.over);
        dl_attach_guard_cancel(third.guard);
        dl_attach_guard_cancel(NULL);
        settle(lab);
}

/* At the end of the service all go, in any order, and none begins meanwhile. */
static void test_cancel_all(Lab *lab, gconstpointer data)
{
        Plug plugs[4];

        for (size_t i = 0; i < G_N_ELEMENTS(plugs); i++)
                plug_start(lab, &plugs[i], "vm", lab->portal);
        run_until_calls(lab, 1);
        for (size_t i = 0; i < G_N_ELEMENTS(plugs); i++) {
                dl_attach_guard_cancel(plugs[i].guard);
                g_assert_cmpuint(calls->len, ==, 0);
        }
}

/* ---- the namespace ------------------------------------------------------------------------- */

static bool make_namespace(void)
{
        struct ifreq ifr = {.ifr_name = "lo", .ifr_flags = IFF_UP};
        bool up;
        int fd;

        if (geteuid() != 0 || unshare(CLONE_NEWNET) < 0)
                return false;
        fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        up = fd >= 0 && ioctl(fd, SIOCSIFFLAGS, &ifr) == 0;
        if (fd >= 0)
                close(fd);
        return up;
}

static void add(const char *name, void (*test)(Lab *lab, gconstpointer data))
{
        g_autofree char *path = g_strconcat("/attach-guard/", name, NULL);

        g_test_add(path, Lab, NULL, setup, test, teardown);
}

int main(int argc, char *argv[])
{
        g_test_init(&argc, &argv, NULL);
        have_namespace = make_namespace();
        add("silent", test_silent);
        add("spared", test_spared);
        add("errors", test_errors);
        add("queue", test_queue);
        add("cancel", test_cancel);
        add("cancel-all", test_cancel_all);
        return g_test_run();
}
