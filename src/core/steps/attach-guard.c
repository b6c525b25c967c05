/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Watches QEMU connect. A guard belongs to who started it until it is done or cancelled, and stands
 * in the core's queue meanwhile. Loop thread only. */

#include "core/steps/attach-guard.h"
#include "host/sock-diag.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* How often QEMU's connections are looked at: most plugs are over long before the first time. */
#define LOOK_USEC     (100 * 1000)
#define ACCURACY_USEC (5 * 1000)

/* A connection that QEMU made during the call. */
typedef struct Seen {
        uint64_t cookie;
        uint64_t since_usec; /* it was not there before */
} Seen;

struct DlAttachGuard {
        DlCore *core;
        char *vm, *xml, *portal;
        DlVirtAffect affect;
        GArray *remotes; /* DlTcpRemote */
        DlVirtGotDomain done;
        void *userdata;

        sd_event_source *begin; /* NULL: begun */
        DlVirtCall *call;

        DlSockDiag *diag;   /* NULL: cannot watch */
        GHashTable *before; /* cookies of the connections that are not this call's */
        GArray *seen;
        uint64_t looked_usec;
        unsigned n_ended;
        sd_event_source *timer;
};

/* ---- connections --------------------------------------------------------------------------- */

static void stop_watching(DlAttachGuard *guard, int error, const char *what)
{
        dl_warning("VM %s is plugged without protection against a portal that falls silent: %s: %s",
                   guard->vm, what, g_strerror(-error));
        g_clear_pointer(&guard->diag, dl_sock_diag_free);
}

/* Calls found() for each connection of somebody else to where the call leads. */
static void look(DlAttachGuard *guard, void (*found)(DlAttachGuard *guard, const DlTcpSocket *tcp))
{
        for (unsigned i = 0; guard->diag && i < guard->remotes->len; i++) {
                g_autoptr(GArray) sockets = NULL;
                int r = dl_sock_diag_find(guard->diag,
                                          &g_array_index(guard->remotes, DlTcpRemote, i), &sockets);

                if (r < 0) {
                        stop_watching(guard, r, "The kernel does not list its connections");
                        return;
                }
                for (unsigned k = 0; guard->diag && k < sockets->len; k++) {
                        const DlTcpSocket *tcp = &g_array_index(sockets, DlTcpSocket, k);

                        if (tcp->uid != geteuid())
                                found(guard, tcp);
                }
        }
        guard->looked_usec = dl_now();
}

static void remember(DlAttachGuard *guard, const DlTcpSocket *tcp)
{
        g_hash_table_add(guard->before, g_memdup2(&tcp->cookie, sizeof tcp->cookie));
}

/* As early as it can have begun: the limit is for the freeze. */
static uint64_t since(DlAttachGuard *guard, uint64_t cookie)
{
        for (unsigned i = 0; i < guard->seen->len; i++) {
                const Seen *seen = &g_array_index(guard->seen, Seen, i);

                if (seen->cookie == cookie)
                        return seen->since_usec;
        }
        g_array_append_val(guard->seen, ((Seen){cookie, guard->looked_usec}));
        return guard->looked_usec;
}

static void end_if_late(DlAttachGuard *guard, const DlTcpSocket *tcp)
{
        uint64_t limit = guard->core->settings->freeze_limit_usec;
        int r;

        if (g_hash_table_contains(guard->before, &tcp->cookie) ||
            dl_now() + ACCURACY_USEC < since(guard, tcp->cookie) + limit)
                return;
        r = dl_sock_diag_destroy(guard->diag, tcp);
        if (r >= 0) {
                guard->n_ended++;
                dl_notice("VM %s has waited for portal %s for %.1f s: its connection is ended",
                          guard->vm, guard->portal, (double)limit / G_USEC_PER_SEC);
        } else if (r != -ENOENT)
                stop_watching(guard, r, "A connection cannot be ended");
}

/* The next look, or the moment at which a connection will have lasted too long. */
static void arm(DlAttachGuard *guard)
{
        uint64_t next = dl_now() + LOOK_USEC;

        for (unsigned i = 0; i < guard->seen->len; i++) {
                uint64_t late = g_array_index(guard->seen, Seen, i).since_usec +
                                guard->core->settings->freeze_limit_usec;

                if (late > dl_now())
                        next = MIN(next, late);
        }
        (void)sd_event_source_set_time(guard->timer, next);
        (void)sd_event_source_set_enabled(guard->timer,
                                          guard->diag ? SD_EVENT_ONESHOT : SD_EVENT_OFF);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
        DlAttachGuard *guard = userdata;

        look(guard, end_if_late);
        arm(guard);
        return 0;
}

static void start_watching(DlAttachGuard *guard)
{
        int r = dl_sock_diag_new(&guard->diag);

        if (r >= 0)
                r = sd_event_add_time_relative(guard->core->event, &guard->timer, CLOCK_MONOTONIC,
                                               LOOK_USEC, ACCURACY_USEC, on_timer, guard);
        if (r < 0)
                stop_watching(guard, r, "The kernel cannot be asked for its connections");
        else
                look(guard, remember);
}

/* ---- the queue ----------------------------------------------------------------------------- */

static bool share_a_portal(const DlAttachGuard *a, const DlAttachGuard *b)
{
        for (unsigned i = 0; i < a->remotes->len; i++)
                for (unsigned k = 0; k < b->remotes->len; k++)
                        if (dl_tcp_remote_equal(&g_array_index(a->remotes, DlTcpRemote, i),
                                                &g_array_index(b->remotes, DlTcpRemote, k)))
                                return true;
        return false;
}

static bool must_wait(const DlAttachGuard *guard)
{
        for (const GList *l = guard->core->attach_guards.head; l && l->data != guard; l = l->next)
                if (share_a_portal(l->data, guard))
                        return true;
        return false;
}

/* Those whose turn it is begin, from the loop. */
static void let_begin(DlCore *core)
{
        for (const GList *l = core->attach_guards.head; l; l = l->next) {
                const DlAttachGuard *guard = l->data;

                if (guard->begin && !must_wait(guard))
                        (void)sd_event_source_set_enabled(guard->begin, SD_EVENT_ONESHOT);
        }
}

static void guard_free(DlAttachGuard *guard)
{
        g_queue_remove(&guard->core->attach_guards, guard);
        let_begin(guard->core);
        sd_event_source_disable_unref(guard->begin);
        sd_event_source_disable_unref(guard->timer);
        dl_sock_diag_free(guard->diag);
        g_hash_table_unref(guard->before);
        g_array_unref(guard->seen);
        g_array_unref(guard->remotes);
        g_free(guard->portal);
        g_free(guard->vm);
        g_free(guard->xml);
        g_free(guard);
}

/* ---- the call ------------------------------------------------------------------------------ */

/* What libvirt's error comes from, if a connection was ended; NULL: it says itself. */
static GError *explain(const DlAttachGuard *guard, const GError *error)
{
        double limit = (double)guard->core->settings->freeze_limit_usec / G_USEC_PER_SEC;

        if (guard->n_ended == 0)
                return NULL;
        if (dl_error_code(error) == DL_ERROR_LIBVIRT_ERROR)
                return g_error_new(
                        DL_ERROR, DL_ERROR_PORTAL_UNREACHABLE,
                        "Portal %s fell silent while the VM connected to it; it was given "
                        "%.1f s, so that the VM does not stand still. Check the array and "
                        "the network, then plug the disk again",
                        guard->portal, limit);
        if (dl_error_code(error) == DL_ERROR_TIMED_OUT)
                return g_error_new(
                        DL_ERROR, DL_ERROR_TIMED_OUT,
                        "Portal %s fell silent after the VM had logged in to it, and the "
                        "VM stands still until it answers again, although its connection "
                        "is ended every %.1f s. Bring the portal back",
                        guard->portal, limit);
        return NULL;
}

static void on_plugged(const DlVirtDomain *domain, const GError *error, void *userdata)
{
        DlAttachGuard *guard = userdata;
        DlVirtGotDomain done = guard->done;
        void *for_done = guard->userdata;
        g_autoptr(GError) own = error ? explain(guard, error) : NULL;

        guard_free(guard);
        done(domain, own ? own : error, for_done);
}

static int on_begin(sd_event_source *source, void *userdata)
{
        DlAttachGuard *guard = userdata;
        DlCore *core = guard->core;

        guard->begin = sd_event_source_disable_unref(guard->begin);
        if (guard->remotes->len > 0)
                start_watching(guard);
        guard->call = dl_virt_plug_device(core->virt, guard->vm, guard->xml, guard->affect,
                                          core->settings->attach_timeout_usec, on_plugged, guard);
        return 0;
}

DlAttachGuard *dl_attach_guarded(DlCore *core, const char *vm, const char *xml, DlVirtAffect affect,
                                 const char *const *way, DlVirtGotDomain done, void *userdata)
{
        DlAttachGuard *guard = g_new(DlAttachGuard, 1);
        DlTcpRemote remote;

        *guard = (DlAttachGuard){
                .core = core,
                .vm = g_strdup(vm),
                .xml = g_strdup(xml),
                .affect = affect,
                .portal = g_strdup(way ? way[0] : NULL),
                .remotes = g_array_new(FALSE, FALSE, sizeof(DlTcpRemote)),
                .done = done,
                .userdata = userdata,
                .before = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL),
                .seen = g_array_new(FALSE, FALSE, sizeof(Seen)),
        };
        for (unsigned i = 0; way && way[i]; i++)
                if (dl_tcp_remote_parse(way[i], &remote))
                        g_array_append_val(guard->remotes, remote);
        if (sd_event_add_defer(core->event, &guard->begin, on_begin, guard) < 0)
                g_error("no event source to plug a disk");
        (void)sd_event_source_set_enabled(guard->begin, SD_EVENT_OFF);
        g_queue_push_tail(&core->attach_guards, guard);
        let_begin(core);
        return guard;
}

void dl_attach_guard_cancel(DlAttachGuard *guard)
{
        if (!guard)
                return;
        dl_virt_cancel(guard->call);
        guard_free(guard);
}
