/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libvirt's events. Its default event loop runs on one thread of its own from the first
 * connection to the end of the process: it is also what sends and checks keepalives, so calls and
 * closings that outlive their DlVirt need it, and libvirt has no way to take a registered loop
 * back. It iterates GLib's default main context, so nothing else in the process may. Callbacks run
 * on that thread; they copy and post, nothing else.
 */

#include "virt-private.h"

#include <pthread.h>

#include "util/log.h"

static void silence(void *userdata, virErrorPtr error) {}

static void *run_event_loop(void *userdata)
{
        for (;;)
                if (virEventRunDefaultImpl() < 0) {
                        /* Never seen. Without events and keepalives we would be blind. */
                        dl_err("libvirt's event loop failed; trying again");
                        g_usleep(G_USEC_PER_SEC);
                }
        return NULL;
}

static void on_tick(int timer, void *userdata) {}

static void start(void)
{
        pthread_t thread;
        int r;

        virSetErrorFunc(NULL, silence);
        if (virInitialize() < 0 || virEventRegisterDefaultImpl() < 0)
                g_error("libvirt cannot be initialized");
        /* With one timeout there the loop always has something to wait for, on any implementation
         * of it, even while no connection exists. */
        if (virEventAddTimeout(3600 * 1000, on_tick, NULL, NULL) < 0)
                g_error("libvirt's event loop takes no timeout");
        r = pthread_create(&thread, NULL, run_event_loop, NULL);
        if (r != 0)
                g_error("no thread for libvirt's events: %s", g_strerror(r));
        pthread_setname_np(thread, "libvirt-events");
        pthread_detach(thread);
}

void dl_virt_libvirt_start(void)
{
        static pthread_once_t once = PTHREAD_ONCE_INIT;

        pthread_once(&once, start);
}

static void post(DlVirtInbox *inbox, DlVirtMessageKind kind, virDomainPtr domain, const char *alias,
                 const char *text)
{
        char uuid[VIR_UUID_STRING_BUFLEN];

        if (virDomainGetUUIDString(domain, uuid) < 0)
                return;
        dl_virt_inbox_post(inbox, (DlVirtMessage){
                                          .kind = kind,
                                          .uuid = g_strdup(uuid),
                                          .alias = g_strdup(alias),
                                          .text = g_strdup(text),
                                  });
}

static void post_changed(DlVirtInbox *inbox, virDomainPtr domain)
{
        post(inbox, DL_VIRT_DOMAIN_CHANGED, domain, NULL, NULL);
}

static int on_lifecycle(virConnectPtr conn, virDomainPtr domain, int event, int detail,
                        void *userdata)
{
        post_changed(userdata, domain);
        return 0;
}

static void on_device_added(virConnectPtr conn, virDomainPtr domain, const char *alias,
                            void *userdata)
{
        post_changed(userdata, domain);
}

static void on_device_removed(virConnectPtr conn, virDomainPtr domain, const char *alias,
                              void *userdata)
{
        post(userdata, DL_VIRT_DEVICE_REMOVED, domain, alias, NULL);
        post_changed(userdata, domain);
}

static void on_device_removal_failed(virConnectPtr conn, virDomainPtr domain, const char *alias,
                                     void *userdata)
{
        post(userdata, DL_VIRT_DEVICE_REMOVAL_FAILED, domain, alias, NULL);
}

static void on_metadata_change(virConnectPtr conn, virDomainPtr domain, int type, const char *uri,
                               void *userdata)
{
        post_changed(userdata, domain);
}

static const char *io_error_action(int action)
{
        switch (action) {
        case VIR_DOMAIN_EVENT_IO_ERROR_PAUSE:
                return "pause";
        case VIR_DOMAIN_EVENT_IO_ERROR_REPORT:
                return "report";
        default:
                return "none";
        }
}

static void on_io_error(virConnectPtr conn, virDomainPtr domain, const char *path,
                        const char *alias, int action, const char *reason, void *userdata)
{
        post(userdata, DL_VIRT_IO_ERROR, domain, alias, io_error_action(action));
}

static void on_block_job(virConnectPtr conn, virDomainPtr domain, const char *dev, int type,
                         int status, void *userdata)
{
        post_changed(userdata, domain);
}

static const struct {
        int event;
        virConnectDomainEventGenericCallback callback;
} wanted[] = {
        {VIR_DOMAIN_EVENT_ID_LIFECYCLE, VIR_DOMAIN_EVENT_CALLBACK(on_lifecycle)},
        {VIR_DOMAIN_EVENT_ID_DEVICE_ADDED, VIR_DOMAIN_EVENT_CALLBACK(on_device_added)},
        {VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED, VIR_DOMAIN_EVENT_CALLBACK(on_device_removed)},
        {VIR_DOMAIN_EVENT_ID_DEVICE_REMOVAL_FAILED,
         VIR_DOMAIN_EVENT_CALLBACK(on_device_removal_failed)},
        {VIR_DOMAIN_EVENT_ID_METADATA_CHANGE, VIR_DOMAIN_EVENT_CALLBACK(on_metadata_change)},
        {VIR_DOMAIN_EVENT_ID_BLOCK_JOB_2, VIR_DOMAIN_EVENT_CALLBACK(on_block_job)},
        {VIR_DOMAIN_EVENT_ID_IO_ERROR_REASON, VIR_DOMAIN_EVENT_CALLBACK(on_io_error)},
};

static void unref_inbox(void *inbox)
{
        dl_virt_inbox_unref(inbox);
}

static void on_close(virConnectPtr ptr, int reason, void *userdata)
{
        const DlVirtConn *conn = userdata;

        dl_virt_inbox_post(conn->inbox, (DlVirtMessage){.kind = DL_VIRT_CLOSED, .id = conn->id});
}

bool dl_virt_events_register(DlVirtConn *conn)
{
        /* First of all: a loss before it goes unnoticed, but then the next call fails. */
        if (virConnectRegisterCloseCallback(conn->ptr, on_close, conn, NULL) < 0)
                return false;
        for (size_t i = 0; i < G_N_ELEMENTS(wanted); i++) {
                int id = virConnectDomainEventRegisterAny(
                        conn->ptr, NULL, wanted[i].event, wanted[i].callback,
                        dl_virt_inbox_ref(conn->inbox), unref_inbox);

                if (id < 0) {
                        dl_virt_inbox_unref(conn->inbox);
                        return false;
                }
                g_array_append_val(conn->callbacks, id);
        }
        return true;
}

void dl_virt_events_unregister(DlVirtConn *conn)
{
        /* What fails here fails because the connection is gone, and with it the registration. */
        for (guint i = 0; i < conn->callbacks->len; i++)
                (void)virConnectDomainEventDeregisterAny(conn->ptr,
                                                         g_array_index(conn->callbacks, int, i));
        /* After this it does not run either: libvirt holds its lock while it does. So it can do
         * with the connection itself and needs no reference that would keep it open. */
        (void)virConnectUnregisterCloseCallback(conn->ptr, on_close);
}
