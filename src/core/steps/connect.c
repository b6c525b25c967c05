/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Asks all portals of a target side by side. Loop thread only. */

#include "core/steps/connect.h"
#include "core/steps/guest-size.h"

/* How long good portals wait for the others. */
#define GRACE_USEC (1 * G_USEC_PER_SEC)

typedef struct Try {
        DlConnect *connect;
        DlIscsiOperation *operation; /* NULL: over */
        char *address;
        uint16_t port;
        DlTargetState before; /* of the portal */
        GError *error;
} Try;

struct DlConnect {
        DlTarget *target;
        bool full;          /* all LUNs were asked for */
        DlConnectDone done; /* NULL: told, or nobody waits any more */
        void *userdata;
        GPtrArray *tries; /* Try */
        unsigned n_open, n_good;
        sd_event_source *timer; /* grace, or (without portals) the end itself */
};

static void try_free(gpointer p)
{
        Try *t = p;

        dl_iscsi_cancel(t->operation);
        g_free(t->address);
        g_clear_error(&t->error);
        g_free(t);
}

static void connect_free(DlConnect *connect)
{
        g_ptr_array_remove(connect->target->connects, connect);
        sd_event_source_disable_unref(connect->timer);
        g_ptr_array_unref(connect->tries);
        g_free(connect);
}

/* Of several errors the one that tells an administrator most. */
static int weight(const GError *error)
{
        switch (dl_error_code(error)) {
        case DL_ERROR_AUTH_FAILED:
                return 6;
        case DL_ERROR_TARGET_NOT_FOUND:
                return 5;
        case DL_ERROR_PROTOCOL_ERROR:
                return 4;
        case DL_ERROR_TIMED_OUT:
                return 3;
        case DL_ERROR_PORTAL_UNREACHABLE:
                return 2;
        default:
                return 1;
        }
}

static GError *worst(const DlConnect *connect)
{
        const Try *worst = NULL;

        for (unsigned i = 0; i < connect->tries->len; i++) {
                const Try *t = connect->tries->pdata[i];

                if (t->error && (!worst || weight(t->error) > weight(worst->error)))
                        worst = t;
        }
        if (!worst)
                return g_error_new(DL_ERROR, DL_ERROR_PORTAL_UNREACHABLE,
                                   "Target %s has no portal; discover it again, or add one",
                                   connect->target->object.id);
        return g_error_new(DL_ERROR, (int)dl_error_code(worst->error),
                           "Target %s, portal %s:%u: %s", connect->target->object.id,
                           worst->address, worst->port, worst->error->message);
}

/* Tells who waits, once. The last thing that its callers do: the callback may free the target, and
 * with it a connect that goes on. */
static void tell(DlTarget *target, DlConnectDone done, void *userdata, const GError *error)
{
        if (dl_last_error_set(&target->last_error, error))
                dl_object_changed(&target->object, "LastError");
        if (done)
                done(error, userdata);
}

static void finish(DlConnect *connect)
{
        DlTarget *target = connect->target;
        DlConnectDone done = connect->done;
        void *userdata = connect->userdata;
        g_autoptr(GError) error = connect->n_good > 0 ? NULL : worst(connect);

        connect_free(connect);
        dl_target_update(target);
        dl_guest_sizes_follow(target);
        tell(target, done, userdata, error);
}

/* The slow ones are as good as failed for now; if they answer after all, that counts again. */
static void give_up_on_slow_portals(DlConnect *connect)
{
        g_autoptr(GError) error = g_error_new(DL_ERROR, DL_ERROR_TIMED_OUT,
                                              "The portal has not answered yet");

        for (unsigned i = 0; i < connect->tries->len; i++) {
                Try *t = connect->tries->pdata[i];
                DlPortal *portal = t->operation ? dl_target_find_portal(connect->target, t->address,
                                                                        t->port)
                                                : NULL;

                if (!portal || portal->state != DL_TARGET_CONNECTING)
                        continue;
                portal->state = DL_TARGET_FAILED;
                dl_last_error_set(&portal->last_error, error);
                dl_object_changed(&connect->target->object, "PortalStates");
        }
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
        DlConnect *connect = userdata;

        if (connect->n_open == 0) {
                finish(connect);
                return 0;
        }
        DlConnectDone done = connect->done;

        connect->done = NULL;
        give_up_on_slow_portals(connect);
        dl_target_update(connect->target);
        tell(connect->target, done, connect->userdata, NULL); /* one was good */
        return 0;
}

static void start_timer(DlConnect *connect, uint64_t usec)
{
        if (!connect->timer)
                (void)sd_event_add_time_relative(connect->target->object.core->event,
                                                 &connect->timer, CLOCK_MONOTONIC, usec, 0,
                                                 on_timer, connect);
}

static void on_inspected(const DlIscsiInspection *inspection, const GError *error, void *userdata)
{
        Try *t = userdata;
        DlConnect *connect = t->connect;
        DlTarget *target = connect->target;
        DlPortal *portal = dl_target_find_portal(target, t->address, t->port);

        t->operation = NULL;
        connect->n_open--;
        if (error)
                t->error = g_error_copy(error);
        else
                connect->n_good++;

        if (portal) {
                portal->state = error ? DL_TARGET_FAILED : DL_TARGET_CONNECTED;
                dl_last_error_set(&portal->last_error, error);
                dl_object_changed(&target->object, "PortalStates");
                if (error)
                        dl_luns_unsee(target, portal, error);
                else {
                        if (inspection->tpgt && inspection->tpgt != portal->tpgt) {
                                portal->tpgt = inspection->tpgt;
                                dl_object_changed(&target->object, "Portals");
                        }
                        g_strfreev(portal->way);
                        portal->way = g_strdupv((char **)inspection->way);
                        dl_luns_merge(target, portal, inspection, connect->full);
                        dl_attachments_judge(target, inspection);
                }
        }

        if (connect->n_open == 0) {
                finish(connect);
                return;
        }
        if (connect->n_good == 1 && !error)
                start_timer(connect, GRACE_USEC);
}

static void start_try(DlConnect *connect, DlPortal *portal, const uint64_t *luns, size_t n_luns)
{
        DlTarget *target = connect->target;
        DlIscsiPortal where = {.address = portal->address, .port = portal->port};
        DlIscsiCredentials credentials = dl_target_credentials(target);
        Try *t = g_new0(Try, 1);

        *t = (Try){
                .connect = connect,
                .address = g_strdup(portal->address),
                .port = portal->port,
                .before = portal->state,
        };
        g_ptr_array_add(connect->tries, t);
        connect->n_open++;

        /* A portal that was good stays good while it is asked again. */
        if (portal->state != DL_TARGET_CONNECTED) {
                portal->state = DL_TARGET_CONNECTING;
                dl_object_changed(&target->object, "PortalStates");
        }
        t->operation = dl_iscsi_inspect(target->object.core->iscsi, target->object.id, &where,
                                        &credentials, luns, n_luns, on_inspected, t);
}

DlConnect *dl_connect_start(DlTarget *target, const uint64_t *luns, size_t n_luns,
                            DlConnectDone done, void *userdata)
{
        DlConnect *connect = g_new0(DlConnect, 1);

        *connect = (DlConnect){
                .target = target,
                .full = luns == NULL,
                .done = done,
                .userdata = userdata,
                .tries = g_ptr_array_new_with_free_func(try_free),
        };
        g_ptr_array_add(target->connects, connect);
        for (unsigned i = 0; i < target->portals->len; i++)
                start_try(connect, target->portals->pdata[i], luns, n_luns);
        if (connect->n_open == 0)
                start_timer(connect, 0);
        dl_target_update(target);
        return connect;
}

/* Nothing was learnt of these portals: they are as before. */
static void forget_open_tries(DlConnect *connect)
{
        for (unsigned i = 0; i < connect->tries->len; i++) {
                Try *t = connect->tries->pdata[i];
                DlPortal *portal = t->operation ? dl_target_find_portal(connect->target, t->address,
                                                                        t->port)
                                                : NULL;

                if (!portal || portal->state != DL_TARGET_CONNECTING)
                        continue;
                portal->state = t->before == DL_TARGET_CONNECTING ? DL_TARGET_DISCONNECTED
                                                                  : t->before;
                dl_object_changed(&connect->target->object, "PortalStates");
        }
}

void dl_connect_cancel(DlConnect *connect)
{
        if (!connect)
                return;

        DlTarget *target = connect->target;

        forget_open_tries(connect);
        connect_free(connect);
        dl_target_update(target);
}
