/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The connection: opened in the background, lost, opened again after growing pauses. At most one
 * thread at a time is opening for a DlVirt, and the loop never waits for it: with a libvirtd that
 * accepts but does not answer it hangs until libvirtd goes on or dies. The connection is replaced
 * on the loop thread only; who makes a call holds a reference of his own. Loop thread, but for the
 * two thread functions.
 */

#include "virt-private.h"

#include <pthread.h>
#include <sys/epoll.h>

#include "util/log.h"

#define RETRY_MIN_USEC (100 * 1000)
#define RETRY_MAX_USEC (5 * G_USEC_PER_SEC)
/* A connection that held for this long was a good one: the pauses begin anew. */
#define GOOD_USEC (5 * G_USEC_PER_SEC)

/* A hung libvirtd is given up after (count + 1) × interval, 20 s: what waits for it then fails. */
#define KEEPALIVE_INTERVAL 5
#define KEEPALIVE_COUNT    3

#define MESSAGES_AT_ONCE 256

/* ---- threads that nobody waits for, but at the end */

typedef struct Detached {
        void (*run)(void *data);
        void *data;
} Detached;

static pthread_mutex_t detached_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t detached_ended = PTHREAD_COND_INITIALIZER;
static unsigned n_detached; /* under detached_lock */

static void count_detached(int change)
{
        pthread_mutex_lock(&detached_lock);
        n_detached += (unsigned)change;
        pthread_cond_broadcast(&detached_ended);
        pthread_mutex_unlock(&detached_lock);
}

static void *detached_main(void *userdata)
{
        g_autofree Detached *detached = userdata;

        detached->run(detached->data);
        count_detached(-1);
        return NULL;
}

static bool run_detached(void (*run)(void *data), void *data)
{
        g_autofree Detached *detached = g_new(Detached, 1);
        pthread_t thread;

        *detached = (Detached){run, data};
        count_detached(+1);
        if (pthread_create(&thread, NULL, detached_main, detached) != 0) {
                count_detached(-1);
                return false;
        }
        detached = NULL; /* the thread's */
        pthread_detach(thread);
        return true;
}

bool dl_virt_drain(uint64_t timeout_usec)
{
        gint64 until = g_get_monotonic_time() + (gint64)timeout_usec;
        struct timespec deadline = {
                .tv_sec = until / G_USEC_PER_SEC,
                .tv_nsec = until % G_USEC_PER_SEC * 1000,
        };
        int r = 0;
        bool all;

        pthread_mutex_lock(&detached_lock);
        while (n_detached > 0 && r == 0)
                r = pthread_cond_clockwait(&detached_ended, &detached_lock, CLOCK_MONOTONIC,
                                           &deadline);
        all = n_detached == 0;
        pthread_mutex_unlock(&detached_lock);
        return all;
}

/* ---- closing */

static void close_connection(void *userdata)
{
        DlVirtConn *conn = userdata;

        dl_virt_events_unregister(conn);
        (void)virConnectClose(conn->ptr);
        dl_virt_inbox_unref(conn->inbox);
        g_array_unref(conn->callbacks);
        g_free(conn);
}

DlVirtConn *dl_virt_conn_ref(DlVirtConn *conn)
{
        __atomic_add_fetch(&conn->n_refs, 1, __ATOMIC_RELAXED);
        return conn;
}

void dl_virt_conn_unref(DlVirtConn *conn)
{
        if (!conn || __atomic_sub_fetch(&conn->n_refs, 1, __ATOMIC_ACQ_REL) > 0)
                return;
        /* Without a thread it blocks whoever is here; that is still better than a leak. */
        if (!run_detached(close_connection, conn))
                close_connection(conn);
}

/* ---- opening */

typedef struct Opening {
        DlVirtInbox *inbox;
        char *uri;
        uint64_t id;
} Opening;

static void opening_free(Opening *opening)
{
        dl_virt_inbox_unref(opening->inbox);
        g_free(opening->uri);
        g_free(opening);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Opening, opening_free)

/* A driver inside this process (test:///) has nothing to keep alive. */
static bool keep_alive(virConnectPtr ptr)
{
        return virConnectSetKeepAlive(ptr, KEEPALIVE_INTERVAL, KEEPALIVE_COUNT) >= 0 ||
               virGetLastErrorCode() == VIR_ERR_NO_SUPPORT;
}

static DlVirtConn *conn_open(const Opening *opening)
{
        g_autoptr(DlVirtConn) conn = NULL;
        virConnectPtr ptr = virConnectOpen(opening->uri);

        if (!ptr)
                return NULL;
        conn = g_new0(DlVirtConn, 1);
        *conn = (DlVirtConn){
                .n_refs = 1,
                .ptr = ptr,
                .inbox = dl_virt_inbox_ref(opening->inbox),
                .id = opening->id,
                .callbacks = g_array_new(FALSE, FALSE, sizeof(int)),
        };
        if (!keep_alive(ptr) || !dl_virt_events_register(conn))
                return NULL;
        return g_steal_pointer(&conn);
}

static void open_connection(void *userdata)
{
        g_autoptr(Opening) opening = userdata;
        DlVirtConn *conn;

        dl_virt_libvirt_start();
        conn = conn_open(opening);
        if (conn)
                dl_virt_inbox_post(opening->inbox,
                                   (DlVirtMessage){.kind = DL_VIRT_OPENED, .conn = conn});
        else
                dl_virt_inbox_post(opening->inbox,
                                   (DlVirtMessage){.kind = DL_VIRT_OPEN_FAILED,
                                                   .text = g_strdup(virGetLastErrorMessage())});
}

static int on_retry(sd_event_source *source, uint64_t usec, void *userdata);

static void retry_later(DlVirt *virt)
{
        int r = sd_event_source_set_time_relative(virt->retry_source, virt->retry_usec);

        if (r >= 0)
                r = sd_event_source_set_enabled(virt->retry_source, SD_EVENT_ONESHOT);
        if (r < 0)
                dl_err("no timer to connect to libvirt again: %s", g_strerror(-r));
        virt->retry_usec = MIN(virt->retry_usec * 2, RETRY_MAX_USEC);
}

static void start_opening(DlVirt *virt)
{
        Opening *opening = g_new(Opening, 1);

        *opening = (Opening){
                .inbox = dl_virt_inbox_ref(virt->inbox),
                .uri = g_strdup(virt->uri),
                .id = ++virt->last_id,
        };
        if (!run_detached(open_connection, opening)) {
                opening_free(opening);
                retry_later(virt);
        }
}

static int on_retry(sd_event_source *source, uint64_t usec, void *userdata)
{
        start_opening(userdata);
        return 0;
}

/* ---- what other threads say */

static uint64_t now_usec(const DlVirt *virt)
{
        uint64_t usec = 0;

        (void)sd_event_now(virt->event, CLOCK_MONOTONIC, &usec);
        return usec;
}

static void set_last_error(DlVirt *virt, const char *text)
{
        g_free(virt->last_error);
        virt->last_error = g_strdup(text);
}

static void on_opened(DlVirt *virt, DlVirtMessage *message)
{
        if (message->conn->id <= virt->closed_id) { /* it was lost again before we heard of it */
                retry_later(virt);
                return;
        }
        virt->conn = g_steal_pointer(&message->conn);
        virt->conn_since_usec = now_usec(virt);
        dl_info("connected to libvirt at %s", virt->uri);
        if (virt->events.connected)
                virt->events.connected(virt->userdata);
}

static void on_open_failed(DlVirt *virt, const char *why)
{
        /* Once for each reason, not for each attempt. */
        if (g_strcmp0(virt->last_error, why) != 0)
                dl_warning("cannot connect to libvirt at %s: %s", virt->uri, why);
        bool first = virt->last_id == 1;

        set_last_error(virt, why);
        retry_later(virt);
        if (first && virt->events.disconnected)
                virt->events.disconnected(virt->userdata);
}

static void on_closed(DlVirt *virt, uint64_t id)
{
        virt->closed_id = id;
        if (!virt->conn || virt->conn->id != id)
                return;
        if (now_usec(virt) - virt->conn_since_usec >= GOOD_USEC)
                virt->retry_usec = RETRY_MIN_USEC;
        g_clear_pointer(&virt->conn, dl_virt_conn_unref);
        set_last_error(virt, "the connection was lost");
        dl_warning("lost the connection to libvirt at %s", virt->uri);
        retry_later(virt);
        if (virt->events.disconnected)
                virt->events.disconnected(virt->userdata);
}

static void handle(DlVirt *virt, DlVirtMessage *message)
{
        const DlVirtEvents *events = &virt->events;

        switch (message->kind) {
        case DL_VIRT_OPENED:
                on_opened(virt, message);
                break;
        case DL_VIRT_OPEN_FAILED:
                on_open_failed(virt, message->text);
                break;
        case DL_VIRT_CLOSED:
                on_closed(virt, message->id);
                break;
        case DL_VIRT_DOMAIN_CHANGED:
                if (events->domain_changed)
                        events->domain_changed(message->uuid, virt->userdata);
                break;
        case DL_VIRT_DEVICE_REMOVED:
                if (events->device_removed)
                        events->device_removed(message->uuid, message->alias, virt->userdata);
                break;
        case DL_VIRT_DEVICE_REMOVAL_FAILED:
                if (events->device_removal_failed)
                        events->device_removal_failed(message->uuid, message->alias,
                                                      virt->userdata);
                break;
        case DL_VIRT_IO_ERROR:
                if (events->io_error)
                        events->io_error(message->uuid, message->alias, message->text,
                                         virt->userdata);
                break;
        }
}

static int on_messages(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
        DlVirt *virt = userdata;

        dl_virt_inbox_clear(virt->inbox);
        for (unsigned n = 0; n < MESSAGES_AT_ONCE; n++) {
                g_autoptr(DlVirtMessage) message = dl_virt_inbox_take(virt->inbox);

                if (!message)
                        return 0;
                handle(virt, message);
        }
        /* A storm: let the rest of the loop have its turn. */
        dl_virt_inbox_wake(virt->inbox);
        return 0;
}

/* ---- the object */

bool dl_virt_is_connected(const DlVirt *virt)
{
        return virt->conn;
}

void dl_virt_free(DlVirt *virt)
{
        if (!virt)
                return;
        dl_virt_drop_calls(virt);
        sd_event_source_disable_unref(virt->inbox_source);
        sd_event_source_disable_unref(virt->retry_source);
        g_clear_pointer(&virt->conn, dl_virt_conn_unref);
        if (virt->inbox)
                dl_virt_inbox_close(virt->inbox);
        g_clear_pointer(&virt->inbox, dl_virt_inbox_unref);
        g_clear_pointer(&virt->calls, g_hash_table_unref);
        g_clear_pointer(&virt->jobs, g_hash_table_unref);
        sd_event_unref(virt->event);
        g_free(virt->uri);
        g_free(virt->last_error);
        g_free(virt);
}

int dl_virt_new(sd_event *event, DlWorkers *workers, const char *uri, const DlVirtEvents *events,
                void *userdata, DlVirt **ret)
{
        DlVirt *virt = g_new0(DlVirt, 1);
        int r;

        *virt = (DlVirt){
                .event = sd_event_ref(event),
                .workers = workers,
                .uri = g_strdup(uri),
                .events = *events,
                .userdata = userdata,
                .last_error = g_strdup("still connecting"),
                .retry_usec = RETRY_MIN_USEC,
                .calls = g_hash_table_new(NULL, NULL),
                .jobs = g_hash_table_new(NULL, NULL),
        };
        r = dl_virt_inbox_new(&virt->inbox);
        if (r >= 0)
                r = sd_event_add_io(event, &virt->inbox_source, dl_virt_inbox_fd(virt->inbox),
                                    EPOLLIN, on_messages, virt);
        if (r >= 0)
                r = sd_event_add_time_relative(event, &virt->retry_source, CLOCK_MONOTONIC, 0, 0,
                                               on_retry, virt);
        if (r < 0) {
                dl_virt_free(virt);
                return r;
        }
        (void)sd_event_source_set_description(virt->inbox_source, "libvirt");
        (void)sd_event_source_set_description(virt->retry_source, "libvirt-connect");
        *ret = virt;
        return 0;
}
