/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Makes sessions of the kernel and waits for their LUNs. Loop thread only. */

#include "core/steps/kernel-connect.h"

#include "core/steps/kernel-usable.h"
#include "core/steps/kill-point.h"
#include "host/helper.h"
#include "host/kernel-sessions.h"

#include <arpa/inet.h>
#include <string.h>
#include <systemd/sd-device.h>

#define LOGIN_MSEC 20000
#define SCAN_MSEC  30000
/* multipathd takes no path into a map that is new before udev has spoken of that, for 30 s
 * (missing_uev_wait_timeout of multipath.conf(5)); then it does. */
#define APPEAR_USEC    (45 * G_USEC_PER_SEC)
#define LEAVE_USEC     (G_USEC_PER_SEC / 10)
#define LOOK_USEC      (G_USEC_PER_SEC / 2) /* sysfs may change without an event */
#define LATE_LOOK_USEC (2 * G_USEC_PER_SEC)
#define LATE_USEC      (LOGIN_MSEC * UINT64_C(1000) + 5 * G_USEC_PER_SEC)

typedef struct Call {
        DlKernelConnect *connect;
        DlHelperCall *call; /* NULL: over */
        char *address;      /* of the portal of a login, which may be gone */
        uint16_t port;
} Call;

struct DlKernelConnect {
        DlTarget *target;
        GStrv guids, interfaces;
        unsigned n_paths;
        DlConnectDone done;
        void *userdata;
        GPtrArray *calls; /* Call */
        unsigned n_open;
        GError *error; /* the first of a login or a scan */
        sd_device_monitor *monitor;
        sd_event_source *again, *deadline;
};

/* ---- sessions ------------------------------------------------------------------------------ */

static bool is_numeric(const char *address)
{
        uint8_t bytes[sizeof(struct in6_addr)];

        return inet_pton(AF_INET, address, bytes) == 1 || inet_pton(AF_INET6, address, bytes) == 1;
}

char *dl_kernel_portal_address(const DlPortal *portal, uint16_t *ret_port)
{
        g_autofree char *host = NULL;
        char *port;

        *ret_port = portal->port;
        if (is_numeric(portal->address))
                return g_strdup(portal->address);
        if (!portal->way || !portal->way[0])
                return NULL;
        /* "192.0.2.1:3260", "[2001:db8::1]:3260": the port is ours */
        host = g_strdup(portal->way[0] + (portal->way[0][0] == '['));
        port = strrchr(host, ':');
        if (port)
                port[port > host && port[-1] == ']' ? -1 : 0] = '\0';
        return is_numeric(host) ? g_steal_pointer(&host) : NULL;
}

static bool is_at(const DlKernelSession *session, const DlPortal *portal)
{
        uint16_t port;
        g_autofree char *address = dl_kernel_portal_address(portal, &port);

        return address && session->port == port && g_str_equal(session->address, address);
}

/* Whoever has made it. NULL: any will do. */
static bool is_through(const DlKernelSession *session, const char *interface)
{
        g_autofree char *own = interface ? g_strconcat(DL_KERNEL_IFACE "-", interface, NULL) : NULL;

        return !interface || g_str_equal(session->iface, interface) ||
               g_str_equal(session->iface, own);
}

/* One that is up, if there are several. */
static const DlKernelSession *session_at(GPtrArray *sessions, const DlPortal *portal,
                                         const char *interface)
{
        const DlKernelSession *found = NULL;

        for (unsigned i = 0; i < sessions->len; i++)
                if (is_at(sessions->pdata[i], portal) &&
                    is_through(sessions->pdata[i], interface) && (!found || !found->up))
                        found = sessions->pdata[i];
        return found;
}

static bool is_up_everywhere(const DlTarget *target, GPtrArray *sessions, const char *interface)
{
        for (unsigned i = 0; i < target->portals->len; i++) {
                const DlKernelSession *session = session_at(sessions, target->portals->pdata[i],
                                                            interface);

                if (!session || !session->up)
                        return false;
        }
        return true;
}

bool dl_kernel_is_complete(const DlTarget *target)
{
        g_autoptr(GPtrArray)
                sessions = dl_kernel_sessions(target->object.core->sysfs, target->object.id);

        if (!target->interfaces)
                return is_up_everywhere(target, sessions, NULL);
        for (GStrv interface = target->interfaces; *interface; interface++)
                if (!is_up_everywhere(target, sessions, *interface))
                        return false;
        return true;
}

const DlPortal *dl_kernel_portal_of(const DlTarget *target, const DlKernelSession *session)
{
        for (unsigned i = 0; i < target->portals->len; i++)
                if (is_at(session, target->portals->pdata[i]))
                        return target->portals->pdata[i];
        return NULL;
}

static void take_state(DlTarget *target, DlPortal *portal, GPtrArray *sessions)
{
        const DlKernelSession *session = session_at(sessions, portal, NULL);
        DlTargetState state = session && session->up ? DL_TARGET_CONNECTED : DL_TARGET_FAILED;
        g_autoptr(GError) error = NULL;

        if (portal->state == DL_TARGET_CONNECTING)
                return;
        if (state == DL_TARGET_FAILED && portal->last_error.code < 0)
                error = g_error_new(DL_ERROR, DL_ERROR_PORTAL_UNREACHABLE,
                                    session ? "The kernel's session is not logged in"
                                            : "The kernel has no session there");
        if (state == DL_TARGET_CONNECTED || error)
                dl_last_error_set(&portal->last_error, error);
        if (portal->state == state)
                return;
        portal->state = state;
        dl_object_changed(&target->object, "PortalStates");
}

static void take_sessions(DlTarget *target, GPtrArray *sessions)
{
        bool foreign = false;

        target->has_sessions = false;
        for (unsigned i = 0; i < sessions->len; i++) {
                const DlKernelSession *session = sessions->pdata[i];

                foreign |= !session->ours;
                target->has_sessions |= session->ours;
        }
        if (foreign != target->foreign) {
                target->foreign = foreign;
                dl_object_changed(&target->object, "Foreign");
        }
        if (!target->by_kernel || !dl_target_is_needed(target))
                return;
        for (unsigned i = 0; i < target->portals->len; i++)
                take_state(target, target->portals->pdata[i], sessions);
}

void dl_kernel_look(DlTarget *target)
{
        g_autoptr(GPtrArray)
                sessions = dl_kernel_sessions(target->object.core->sysfs, target->object.id);

        take_sessions(target, sessions);
}

void dl_kernel_look_at_all(DlCore *core)
{
        g_autoptr(GPtrArray) sessions = dl_kernel_sessions(core->sysfs, NULL);

        for (unsigned i = 0; i < sessions->len; i++) {
                const DlKernelSession *session = sessions->pdata[i];
                /* One of ours whose target was forgotten is ended as well. */
                DlTarget *target = session->ours ? dl_target_ensure(core, session->iqn, NULL)
                                                 : DL_LOOKUP_TARGET(core, session->iqn);

                if (target)
                        dl_kernel_look(target);
        }
}

static int on_late_look(sd_event_source *source, uint64_t usec, void *userdata);

static void look_later(DlCore *core)
{
        core->late_logins = sd_event_source_disable_unref(core->late_logins);
        (void)sd_event_add_time_relative(core->event, &core->late_logins, CLOCK_MONOTONIC,
                                         LATE_LOOK_USEC, 0, on_late_look, core);
}

/* Whoever needs none of them lets go of them. */
static void update_all_with_sessions(DlCore *core)
{
        g_autoptr(GPtrArray) targets = dl_core_list(core, DL_KIND_TARGET);

        for (unsigned i = 0; i < targets->len; i++)
                if (((DlTarget *)targets->pdata[i])->has_sessions)
                        dl_target_update(targets->pdata[i]);
}

static int on_late_look(sd_event_source *source, uint64_t usec, void *userdata)
{
        DlCore *core = userdata;

        dl_kernel_look_at_all(core);
        update_all_with_sessions(core);
        if (dl_now() < core->late_until_usec)
                look_later(core);
        return 0;
}

void dl_kernel_await_late_logins(DlCore *core)
{
        core->late_until_usec = dl_now() + LATE_USEC;
        look_later(core);
}

/* ---- the end ------------------------------------------------------------------------------- */

static void call_free(void *p)
{
        Call *call = p;

        dl_helper_cancel(call->call);
        g_free(call->address);
        g_free(call);
}

static void connect_free(DlKernelConnect *connect)
{
        g_ptr_array_remove(connect->target->kernel_connects, connect);
        g_ptr_array_unref(connect->calls);
        sd_device_monitor_unref(connect->monitor);
        sd_event_source_disable_unref(connect->again);
        sd_event_source_disable_unref(connect->deadline);
        g_clear_error(&connect->error);
        g_strfreev(connect->guids);
        g_strfreev(connect->interfaces);
        g_free(connect);
}

/* Takes error. */
static void finish(DlKernelConnect *connect, GError *error)
{
        DlTarget *target = connect->target;
        DlConnectDone done = connect->done;
        void *userdata = connect->userdata;
        g_autoptr(GError) own = error;

        connect_free(connect);
        if (dl_last_error_set(&target->last_error, own))
                dl_object_changed(&target->object, "LastError");
        dl_kernel_look(target);
        dl_target_update(target);
        done(own, userdata);
}

void dl_kernel_connect_cancel(DlKernelConnect *connect)
{
        DlTarget *target = connect ? connect->target : NULL;

        if (!connect)
                return;
        if (connect->n_open > 0)
                dl_kernel_await_late_logins(target->object.core);
        connect_free(connect);
        dl_kernel_look(target);
        dl_target_update(target);
}

/* ---- asking the helper --------------------------------------------------------------------- */

/* That another portal is good does not help. */
static bool is_of_wish(const GError *error)
{
        return dl_error_code(error) == DL_ERROR_INVALID_ARGS;
}

static void call_over(Call *call, const GError *error, void (*then)(DlKernelConnect *connect))
{
        DlKernelConnect *connect = call->connect;

        call->call = NULL;
        if (error && (!connect->error || is_of_wish(error))) {
                g_clear_error(&connect->error);
                connect->error = g_error_copy(error);
        }
        if (--connect->n_open == 0)
                then(connect);
}

static Call *call_new(DlKernelConnect *connect)
{
        Call *call = g_new0(Call, 1);

        call->connect = connect;
        g_ptr_array_add(connect->calls, call);
        connect->n_open++;
        return call;
}

/* ---- waiting for the LUNs ------------------------------------------------------------------ */

/* Whether it is over, and the connect gone. late: nobody waits any longer. */
static bool look(DlKernelConnect *connect, bool late)
{
        for (GStrv guid = connect->guids; guid && *guid; guid++) {
                g_autoptr(GError) error = NULL;
                int r = dl_kernel_usable(connect->target, *guid, connect->n_paths, &error);

                if (r > 0)
                        continue;
                if (r == 0 && !late)
                        return false;
                finish(connect,
                       connect->error ? g_steal_pointer(&connect->error) : g_steal_pointer(&error));
                return true;
        }
        finish(connect, NULL);
        return true;
}

static int on_device(sd_device_monitor *monitor, sd_device *device, void *userdata)
{
        (void)look(userdata, false);
        return 0;
}

static int on_again(sd_event_source *source, uint64_t usec, void *userdata)
{
        if (!look(userdata, false)) {
                (void)sd_event_source_set_time_relative(source, LOOK_USEC);
                (void)sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
        }
        return 0;
}

static int on_deadline(sd_event_source *source, uint64_t usec, void *userdata)
{
        (void)look(userdata, true);
        return 0;
}

/* Without events of udev a look now and then has to do. */
static void watch(DlKernelConnect *connect)
{
        sd_event *event = connect->target->object.core->event;

        if (sd_device_monitor_new(&connect->monitor) >= 0) {
                (void)sd_device_monitor_filter_add_match_subsystem_devtype(connect->monitor,
                                                                           "block", NULL);
                (void)sd_device_monitor_attach_event(connect->monitor, event);
                (void)sd_device_monitor_start(connect->monitor, on_device, connect);
        }
        (void)sd_event_add_time_relative(event, &connect->deadline, CLOCK_MONOTONIC, APPEAR_USEC, 0,
                                         on_deadline, connect);
        (void)sd_event_add_time_relative(event, &connect->again, CLOCK_MONOTONIC, 0, 0, on_again,
                                         connect);
}

void dl_kernel_connects_look(DlCore *core)
{
        GHashTableIter iter;
        gpointer target;

        g_hash_table_iter_init(&iter, core->objects[DL_KIND_TARGET]);
        while (g_hash_table_iter_next(&iter, NULL, &target)) {
                const GPtrArray *connects = ((const DlTarget *)target)->kernel_connects;

                for (unsigned i = 0; i < connects->len; i++) {
                        DlKernelConnect *connect = connects->pdata[i];

                        if (connect->deadline)
                                (void)sd_event_source_set_time_relative(connect->again, 0);
                }
        }
}

/* ---- making LUNs appear -------------------------------------------------------------------- */

static void on_scanned(const DlHelperResult *result, const GError *error, void *userdata)
{
        dl_kill_point("kernel-scan", 0, "answered");
        call_over(userdata, error, watch);
}

static bool has_disk(GPtrArray *disks, uint64_t lun)
{
        for (unsigned i = 0; i < disks->len; i++)
                if (((const DlKernelDisk *)disks->pdata[i])->lun == lun)
                        return true;
        return false;
}

static void scan_session(DlKernelConnect *connect, const DlKernelSession *session)
{
        DlTarget *target = connect->target;
        DlCore *core = target->object.core;
        const DlPortal *portal = dl_kernel_portal_of(target, session);
        g_autoptr(GPtrArray) disks = dl_kernel_session_disks(core->sysfs, session);

        for (GStrv guid = connect->guids; portal && guid && *guid; guid++) {
                const DlLun *lun = DL_LOOKUP_LUN(core, *guid);
                const DlPath *path = lun ? dl_lun_find_path(lun, target->object.id, portal) : NULL;
                DlHelperRequest request = {
                        .verb = DL_HELPER_SCAN, .timeout_ms = SCAN_MSEC, .sid = session->sid};
                Call *call;

                if (!path || has_disk(disks, path->lun))
                        continue;
                request.lun = path->lun;
                (void)DL_HELPER_PUT(&request, iqn, target->object.id);
                call = call_new(connect);
                call->call = dl_helper_call(core->helper, &request, NULL, NULL, on_scanned, call);
                dl_kill_point("kernel-scan", 0, "asked");
        }
}

static void scan(DlKernelConnect *connect)
{
        DlTarget *target = connect->target;
        g_autoptr(GPtrArray)
                sessions = dl_kernel_sessions(target->object.core->sysfs, target->object.id);
        unsigned n_up = 0;

        for (unsigned i = 0; i < sessions->len; i++)
                n_up += ((const DlKernelSession *)sessions->pdata[i])->up;
        if (n_up == 0 || is_of_wish(connect->error)) {
                if (!connect->error)
                        connect->error = g_error_new(DL_ERROR, DL_ERROR_PORTAL_UNREACHABLE,
                                                     "The kernel is not logged in to %s anywhere",
                                                     target->object.id);
                finish(connect, g_steal_pointer(&connect->error));
                return;
        }
        g_clear_error(&connect->error); /* the portal tells it, and another one is good */
        for (unsigned i = 0; i < sessions->len; i++)
                if (((const DlKernelSession *)sessions->pdata[i])->up)
                        scan_session(connect, sessions->pdata[i]);
        if (connect->n_open == 0)
                watch(connect);
}

/* ---- logging in ---------------------------------------------------------------------------- */

static void on_logged_in(const DlHelperResult *result, const GError *error, void *userdata)
{
        Call *call = userdata;
        DlTarget *target = call->connect->target;
        DlPortal *portal = dl_target_find_portal(target, call->address, call->port);

        dl_kill_point("kernel-login", 0, "answered");
        if (dl_error_code(error) == DL_ERROR_TIMED_OUT)
                dl_kernel_await_late_logins(target->object.core);
        if (portal && error) {
                portal->state = DL_TARGET_FAILED;
                dl_last_error_set(&portal->last_error, error);
                dl_object_changed(&target->object, "PortalStates");
        }
        call_over(call, error, scan);
}

static void log_in(DlKernelConnect *connect, DlPortal *portal, const char *interface)
{
        DlTarget *target = connect->target;
        DlHelperRequest request = {
                .verb = DL_HELPER_LOGIN, .timeout_ms = LOGIN_MSEC, .tpgt = portal->tpgt};
        g_autofree char *address = dl_kernel_portal_address(portal, &request.port);
        Call *call = call_new(connect);

        call->address = g_strdup(portal->address);
        call->port = portal->port;
        (void)DL_HELPER_PUT(&request, iqn, target->object.id);
        (void)DL_HELPER_PUT(&request, address, address);
        (void)DL_HELPER_PUT(&request, iface, interface);
        (void)DL_HELPER_PUT(&request, user, target->secret ? target->user : NULL);
        (void)DL_HELPER_PUT(&request, target_user,
                            target->target_secret ? target->target_user : NULL);
        call->call = dl_helper_call(target->object.core->helper, &request, target->secret,
                                    target->target_secret, on_logged_in, call);
        dl_kill_point("kernel-login", 0, "asked");
}

/* A portal that did not answer the proof just now is not waited for again. interface NULL: as the
 * host's routes say. */
static void log_in_through(DlKernelConnect *connect, GPtrArray *sessions, const char *interface)
{
        DlTarget *target = connect->target;

        for (unsigned i = 0; i < target->portals->len; i++) {
                DlPortal *portal = target->portals->pdata[i];
                uint16_t port;
                g_autofree char *address = dl_kernel_portal_address(portal, &port);

                if (address && portal->state != DL_TARGET_FAILED &&
                    !session_at(sessions, portal, interface))
                        log_in(connect, portal, interface);
        }
}

static void log_in_everywhere(DlKernelConnect *connect)
{
        DlTarget *target = connect->target;
        GStrv interfaces = connect->interfaces ? connect->interfaces : target->interfaces;
        g_autoptr(GPtrArray)
                sessions = dl_kernel_sessions(target->object.core->sysfs, target->object.id);

        if (!interfaces || !*interfaces)
                log_in_through(connect, sessions, NULL);
        for (GStrv interface = interfaces; interface && *interface; interface++)
                log_in_through(connect, sessions, *interface);
        if (connect->n_open == 0)
                scan(connect);
}

/* What is being ended is let end first. */
static int on_start(sd_event_source *source, uint64_t usec, void *userdata)
{
        DlKernelConnect *connect = userdata;

        if (connect->target->leave) {
                (void)sd_event_source_set_time_relative(source, LEAVE_USEC);
                (void)sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
                return 0;
        }
        connect->again = sd_event_source_disable_unref(connect->again);
        log_in_everywhere(connect);
        return 0;
}

DlKernelConnect *dl_kernel_connect_start(DlTarget *target, const DlKernelWish *wish,
                                         DlConnectDone done, void *userdata)
{
        DlKernelConnect *connect = g_new0(DlKernelConnect, 1);

        connect->target = target;
        connect->guids = g_strdupv((char **)wish->guids);
        connect->interfaces = g_strdupv((char **)wish->interfaces);
        connect->n_paths = wish->n_paths;
        connect->done = done;
        connect->userdata = userdata;
        connect->calls = g_ptr_array_new_with_free_func(call_free);
        g_ptr_array_add(target->kernel_connects, connect);
        (void)sd_event_add_time_relative(target->object.core->event, &connect->again,
                                         CLOCK_MONOTONIC, 0, 0, on_start, connect);
        return connect;
}
