/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The initiator: the operations in flight and the queue of those that wait for a session.
 *
 * DlIscsi owns the operations (one queue of all) and the sessions. An operation has its session
 * until it is over; a session may live a little longer, to log out, and counts against the limit
 * until it is closed.
 */

#include "iscsi/iscsi.h"

#include "name.h"
#include "operation.h"
#include "util/error.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

enum {
        CHAP_NAME_MAX = 223,
        CHAP_SECRET_MAX = 255, /* libiscsi would cut a longer one */
};

const DlIscsiLimits dl_iscsi_limits_default = {
        .sessions_max = 32,
        .commands_max = 128,
        .luns_max = 16384,
        .targets_max = 4096,
        .resolve_usec = 5000000,
        .connect_usec = 5000000,
        .login_usec = 10000000,
        .command_usec = 10000000,
};

struct DlIscsi {
        sd_event *event;
        DlWorkers *workers;
        char *initiator_name;
        DlIscsiLimits limits;
        /* A login with the name and ISID of another session ends that session (RFC 7143, 6.3.5), so
         * each session gets an ISID of its own: random for this initiator, counted within it. */
        uint32_t isid_random;
        uint16_t isid_counter;
        DlIscsiResized resized; /* NULL: nobody wants to know */
        void *resized_userdata;
        GQueue operations; /* all, in the order in which they were asked for */
        GQueue waiting;    /* those that have no session yet */
        GQueue sessions;
};

static void start_waiting(DlIscsi *iscsi);

int dl_iscsi_new(sd_event *event, DlWorkers *workers, const char *initiator_name,
                 const DlIscsiLimits *limits, DlIscsi **ret)
{
        uint32_t random[2];
        DlIscsi *iscsi;

        if (!dl_iscsi_name_is_valid(initiator_name) || limits->sessions_max == 0 ||
            limits->commands_max == 0)
                return -EINVAL;
        if (getrandom(random, sizeof random, 0) != sizeof random)
                return -errno;
        iscsi = g_new(DlIscsi, 1);
        *iscsi = (DlIscsi){
                .event = sd_event_ref(event),
                .workers = workers,
                .initiator_name = g_strdup(initiator_name),
                .limits = *limits,
                .isid_random = random[0] & 0xffffff,
                .isid_counter = (uint16_t)random[1],
                .operations = G_QUEUE_INIT,
                .waiting = G_QUEUE_INIT,
                .sessions = G_QUEUE_INIT,
        };
        *ret = iscsi;
        return 0;
}

void dl_iscsi_watch_sizes(DlIscsi *iscsi, DlIscsiResized resized, void *userdata)
{
        iscsi->resized = resized;
        iscsi->resized_userdata = userdata;
}

/* ---- operations --------------------------------------------------------------------------- */

/* Takes it out of everything that is not its own: from here on the initiator may go. */
static void operation_detach(DlIscsiOperation *operation)
{
        g_queue_remove(&operation->iscsi->operations, operation);
        g_queue_remove(&operation->iscsi->waiting, operation);
        dl_session_close(g_steal_pointer(&operation->session));
        operation->finish = sd_event_source_disable_unref(operation->finish);
        operation->iscsi = NULL;
}

static void operation_free(DlIscsiOperation *operation)
{
        operation->kind->clear(operation);
        g_clear_error(&operation->error);
        dl_secret_unref(operation->credentials.secret);
        dl_secret_unref(operation->credentials.target_secret);
        g_free(operation->user);
        g_free(operation->target_user);
        g_free(operation->host);
        g_free(operation->iqn);
        g_free(operation);
}

void dl_iscsi_cancel(DlIscsiOperation *operation)
{
        if (!operation)
                return;
        operation_detach(operation);
        operation_free(operation);
}

static int on_finish(sd_event_source *source, void *userdata)
{
        DlIscsiOperation *operation = userdata;

        /* detached first, because the callback may free the initiator */
        operation_detach(operation);
        operation->kind->report(operation, operation->error);
        operation_free(operation);
        return 0;
}

void dl_operation_finish(DlIscsiOperation *operation, GError *taken)
{
        g_return_if_fail(!operation->error);
        operation->error = taken;
        dl_session_close(g_steal_pointer(&operation->session));
        (void)sd_event_source_set_enabled(operation->finish, SD_EVENT_ONESHOT);
}

const DlIscsiLimits *dl_operation_limits(const DlIscsiOperation *operation)
{
        return &operation->iscsi->limits;
}

static GError *invalid(const char *what)
{
        return g_error_new_literal(DL_ERROR, DL_ERROR_INVALID_ARGS, what);
}

static GError *check_operation(const DlIscsiOperation *operation)
{
        const DlIscsiCredentials *c = &operation->credentials;

        if (!operation->host || operation->port == 0)
                return invalid("The portal needs a host name or an address, and a port");
        if (operation->iqn && !dl_iscsi_name_is_valid(operation->iqn))
                return invalid("The target's name is not an iSCSI name (iqn., eui. or naa.)");
        if (!c->user)
                return NULL;
        if (*c->user == '\0' || (c->target_user && *c->target_user == '\0'))
                return invalid("A CHAP user name must not be empty");
        if (!c->secret || (c->target_user && !c->target_secret))
                return invalid("A CHAP user needs a password");
        if (strlen(c->user) > CHAP_NAME_MAX ||
            (c->target_user && strlen(c->target_user) > CHAP_NAME_MAX))
                return invalid("A CHAP user name has at most 223 bytes");
        if (dl_secret_size(c->secret) > CHAP_SECRET_MAX ||
            (c->target_user && dl_secret_size(c->target_secret) > CHAP_SECRET_MAX))
                return invalid("A CHAP password has at most 255 bytes");
        /* whoever knows one could answer for the other (RFC 7143, 9.2.1) */
        if (c->target_user &&
            g_str_equal(dl_secret_peek(c->secret), dl_secret_peek(c->target_secret)))
                return invalid("Mutual CHAP needs two different passwords");
        return NULL;
}

static void copy_credentials(DlIscsiOperation *operation, const DlIscsiCredentials *c)
{
        if (!c || !c->user)
                return;
        operation->user = g_strdup(c->user);
        operation->credentials.user = operation->user;
        operation->credentials.secret = c->secret ? dl_secret_ref(c->secret) : NULL;
        if (!c->target_user)
                return;
        operation->target_user = g_strdup(c->target_user);
        operation->credentials.target_user = operation->target_user;
        operation->credentials.target_secret = c->target_secret ? dl_secret_ref(c->target_secret)
                                                                : NULL;
}

DlIscsiOperation *dl_operation_new(DlIscsi *iscsi, const DlOperationKind *kind, const char *iqn,
                                   const DlIscsiPortal *portal,
                                   const DlIscsiCredentials *credentials, void *userdata)
{
        DlIscsiOperation *operation = g_malloc0(kind->size);
        GError *error;
        int r;

        operation->kind = kind;
        operation->iscsi = iscsi;
        operation->userdata = userdata;
        operation->iqn = g_strdup(iqn);
        operation->host = dl_iscsi_host_normalize(portal->address);
        operation->port = portal->port;
        copy_credentials(operation, credentials);
        r = sd_event_add_defer(iscsi->event, &operation->finish, on_finish, operation);
        if (r < 0)
                g_error("sd_event_add_defer: %s", g_strerror(-r)); /* no memory, as GLib does */
        (void)sd_event_source_set_enabled(operation->finish, SD_EVENT_OFF);

        g_queue_push_tail(&iscsi->operations, operation);
        error = check_operation(operation);
        if (error) {
                dl_operation_finish(operation, error);
        } else {
                g_queue_push_tail(&iscsi->waiting, operation);
                start_waiting(iscsi);
        }
        return operation;
}

/* ---- sessions ----------------------------------------------------------------------------- */

static void on_ready(void *userdata)
{
        DlIscsiOperation *operation = userdata;

        operation->kind->ready(operation);
}

static void on_failed(const GError *error, void *userdata)
{
        dl_operation_finish(userdata, g_error_copy(error));
}

static void on_targets(const struct iscsi_discovery_address *targets, void *userdata)
{
        DlIscsiOperation *operation = userdata;

        operation->kind->targets(operation, targets);
}

static void on_resized(uint16_t lun, void *userdata)
{
        const DlIscsiOperation *operation = userdata;
        const DlIscsi *iscsi = operation->iscsi;

        if (iscsi->resized)
                iscsi->resized(operation->iqn, dl_iscsi_lun_from_qemu(lun),
                               iscsi->resized_userdata);
}

static void on_closed(DlSession *session, void *owner)
{
        DlIscsi *iscsi = owner;

        g_queue_remove(&iscsi->sessions, session);
        start_waiting(iscsi);
}

static const DlSessionHandler session_handler = {
        .ready = on_ready,
        .failed = on_failed,
        .targets = on_targets,
        .resized = on_resized,
        .closed = on_closed,
};

static void start_operation(DlIscsi *iscsi, DlIscsiOperation *operation)
{
        DlSessionConfig config = {
                .event = iscsi->event,
                .workers = iscsi->workers,
                .limits = &iscsi->limits,
                .link = {.initiator_name = iscsi->initiator_name,
                         .isid_random = iscsi->isid_random,
                         .isid_qualifier = iscsi->isid_counter++,
                         .iqn = operation->iqn,
                         .credentials = &operation->credentials},
                .host = operation->host,
                .port = operation->port,
                .handler = &session_handler,
                .userdata = operation,
                .owner = iscsi,
        };
        int r = dl_session_new(&config, &operation->session);

        if (r < 0)
                dl_operation_finish(operation,
                                    g_error_new(DL_ERROR, DL_ERROR_FAILED,
                                                "Cannot begin a session: %s", g_strerror(-r)));
        else
                g_queue_push_tail(&iscsi->sessions, operation->session);
}

static void start_waiting(DlIscsi *iscsi)
{
        while (iscsi->waiting.length > 0 && iscsi->sessions.length < iscsi->limits.sessions_max)
                start_operation(iscsi, g_queue_pop_head(&iscsi->waiting));
}

void dl_iscsi_free(DlIscsi *iscsi)
{
        g_autoptr(GError) error = NULL;
        DlIscsiOperation *operation;

        if (!iscsi)
                return;
        error = g_error_new_literal(DL_ERROR, DL_ERROR_CANCELLED, "The service is going away");
        /* nobody gets a session any more */
        iscsi->limits.sessions_max = 0;
        while ((operation = g_queue_peek_head(&iscsi->operations))) {
                operation_detach(operation);
                operation->kind->report(operation, error);
                operation_free(operation);
        }
        g_queue_clear_full(&iscsi->sessions, (GDestroyNotify)dl_session_free);
        g_queue_clear(&iscsi->waiting);
        g_free(iscsi->initiator_name);
        sd_event_unref(iscsi->event);
        g_free(iscsi);
}
