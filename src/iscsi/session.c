/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A session: a chain of phases over at most one link at a time. It owns the link, the lookup, the
 * timer and its commands; who made it owns the session until dl_session_close(), and from then on
 * it owns itself.
 */

#include "session.h"

#include "name.h"
#include "util/error.h"

#include <string.h>

enum {
        REDIRECTS_MAX = 4,
        RETRIES_MAX = 8, /* of a command */
        LOGOUT_USEC = 1000000,
        TIMER_ACCURACY_USEC = 1000,
};

typedef enum Phase {
        PHASE_RESOLVE,
        PHASE_CONNECT,
        PHASE_LOGIN,
        PHASE_READY,
        PHASE_FAILED,
        PHASE_LOGOUT,
        PHASE_CLOSED,
} Phase;

typedef struct Command {
        uint16_t lun;
        uint8_t cdb[16];
        size_t cdb_size, size;
        DlCommandDone done;
        void *userdata;
        unsigned retries;
        uint64_t sent_at;
} Command;

struct DlSession {
        sd_event *event;
        DlWorkers *workers;
        const DlIscsiLimits *limits;
        const DlSessionHandler *handler;
        void *userdata, *owner;

        char *initiator_name, *iqn, *user, *target_user;
        DlIscsiCredentials credentials; /* points to the strings above */
        DlLinkConfig link_config;

        Phase phase;
        sd_event_source *timer, *later;
        char *host;
        uint16_t port;
        unsigned redirects;
        DlLookup *lookup;
        char **portals;
        unsigned n_portals, next_portal;
        GPtrArray *way;
        uint64_t connect_deadline;
        GError *last_error; /* of the portal that was tried last */
        DlLink *link;
        GQueue waiting, sent; /* of Command */
};

static const DlLinkHandler link_handler;

static uint64_t now(void)
{
        return (uint64_t)g_get_monotonic_time();
}

static void arm(DlSession *session, uint64_t deadline)
{
        (void)sd_event_source_set_time(session->timer, deadline);
        (void)sd_event_source_set_enabled(session->timer, SD_EVENT_ONESHOT);
}

static void disarm(DlSession *session)
{
        (void)sd_event_source_set_enabled(session->timer, SD_EVENT_OFF);
}

static void drop_everything(DlSession *session)
{
        dl_lookup_cancel(g_steal_pointer(&session->lookup));
        g_clear_pointer(&session->link, dl_link_free);
        g_queue_clear_full(&session->waiting, g_free);
        g_queue_clear_full(&session->sent, g_free);
        disarm(session);
}

static void session_fail(DlSession *session, GError *taken)
{
        g_autoptr(GError) error = taken;

        session->phase = PHASE_FAILED;
        drop_everything(session);
        session->handler->failed(error, session->userdata);
}

/* ---- resolve and connect ------------------------------------------------------------------ */

static void connect_next(DlSession *session)
{
        while (session->next_portal < session->n_portals) {
                const char *portal = session->portals[session->next_portal++];
                uint64_t left = session->connect_deadline - MIN(now(), session->connect_deadline);

                g_clear_pointer(&session->link, dl_link_free);
                g_clear_error(&session->last_error);
                session->link = dl_link_new(session->event, &session->link_config, portal,
                                            &link_handler, session, &session->last_error);
                if (!session->link)
                        continue;
                /* what is left of the deadline is for all the addresses that are left */
                arm(session, now() + left / (session->n_portals - session->next_portal + 1));
                return;
        }
        session_fail(session, g_steal_pointer(&session->last_error));
}

static void begin_connect(DlSession *session, char **portals)
{
        g_strfreev(session->portals);
        session->portals = g_strdupv(portals);
        session->n_portals = g_strv_length(portals);
        session->next_portal = 0;
        session->phase = PHASE_CONNECT;
        session->connect_deadline = now() + session->limits->connect_usec;
        connect_next(session);
}

static void on_resolved(char **portals, const GError *error, void *userdata)
{
        DlSession *session = userdata;

        session->lookup = NULL;
        if (error)
                session_fail(session, g_error_copy(error));
        else
                begin_connect(session, portals);
}

static void begin(DlSession *session)
{
        g_autofree char *numeric = dl_resolver_numeric(session->host, session->port);

        if (numeric) {
                begin_connect(session, (char *[]){numeric, NULL});
                return;
        }
        session->phase = PHASE_RESOLVE;
        arm(session, now() + session->limits->resolve_usec);
        session->lookup = dl_resolver_lookup(session->workers, session->host, session->port,
                                             session->limits->resolve_usec, on_resolved, session);
}

/* ---- commands ----------------------------------------------------------------------------- */

/* When half of the oldest command's time is over, see ping_if_silent(); then when all of it is. */
static void watch_commands(DlSession *session)
{
        const Command *first = g_queue_peek_head(&session->sent);
        uint64_t half;

        if (session->phase != PHASE_READY)
                return;
        if (!first) {
                disarm(session);
                return;
        }
        half = first->sent_at + session->limits->command_usec / 2;
        arm(session, now() < half ? half : first->sent_at + session->limits->command_usec);
}

static void fill_link(DlSession *session)
{
        while (session->phase == PHASE_READY &&
               session->sent.length < session->limits->commands_max) {
                Command *command = g_queue_pop_head(&session->waiting);

                if (!command)
                        break;
                command->sent_at = now();
                g_queue_push_tail(&session->sent, command);
                /* a link that does not take it has failed, and is about to say so */
                if (!dl_link_send(session->link, command->lun, command->cdb, command->cdb_size,
                                  command->size, command))
                        break;
        }
        watch_commands(session);
}

static bool again(Command *command, const DlReply *reply)
{
        bool wanted = reply->status == DL_STATUS_BUSY ||
                      (reply->status == DL_STATUS_CHECK_CONDITION &&
                       (dl_scsi_sense_is_unit_attention(&reply->sense) || reply->sense.deferred ||
                        reply->sense.key == DL_SCSI_SENSE_ABORTED_COMMAND));

        return wanted && command->retries++ < RETRIES_MAX;
}

static void on_replied(void *data, const DlReply *reply, void *userdata)
{
        DlSession *session = userdata;
        Command *command = data;

        g_queue_remove(&session->sent, command);
        if (reply->status == DL_STATUS_CHECK_CONDITION &&
            dl_scsi_sense_is_capacity_changed(&reply->sense))
                session->handler->resized(command->lun, session->userdata);
        if (again(command, reply)) {
                g_queue_push_head(&session->waiting, command);
        } else {
                command->done(reply, command->userdata);
                g_free(command);
        }
        fill_link(session);
}

static bool target_is_silent(DlSession *session, const Command *command)
{
        return dl_link_last_received(session->link) <= command->sent_at ||
               !dl_link_all_sent(session->link);
}

/* A LUN may hang where its target is well: only the target's silence ends the session. */
static void ping_if_silent(DlSession *session)
{
        const Command *first = g_queue_peek_head(&session->sent);

        if (first && target_is_silent(session, first))
                dl_link_ping(session->link);
}

static void expire_commands(DlSession *session)
{
        ping_if_silent(session);
        while (session->phase == PHASE_READY) {
                Command *command = g_queue_peek_head(&session->sent);

                if (!command || command->sent_at + session->limits->command_usec > now())
                        break;
                if (target_is_silent(session, command)) {
                        session_fail(session,
                                     g_error_new_literal(DL_ERROR, DL_ERROR_TIMED_OUT,
                                                         "The target does not answer any more; "
                                                         "check the array and the network"));
                        return;
                }
                g_queue_pop_head(&session->sent);
                dl_link_forget(session->link, command);
                command->done(NULL, command->userdata);
                g_free(command);
        }
        fill_link(session);
}

void dl_session_command(DlSession *session, uint16_t lun, const uint8_t *cdb, size_t cdb_size,
                        size_t size, DlCommandDone done, void *userdata)
{
        Command *command = g_new(Command, 1);

        g_return_if_fail(session->phase == PHASE_READY && cdb_size <= sizeof command->cdb);
        *command = (Command){
                .lun = lun,
                .cdb_size = cdb_size,
                .size = size,
                .done = done,
                .userdata = userdata,
        };
        memcpy(command->cdb, cdb, cdb_size);
        g_queue_push_tail(&session->waiting, command);
        fill_link(session);
}

void dl_session_send_targets(DlSession *session)
{
        g_return_if_fail(session->phase == PHASE_READY);
        arm(session, now() + session->limits->command_usec);
        /* a link that does not take it has failed, and is about to say so */
        (void)dl_link_send_targets(session->link);
}

uint16_t dl_session_tpgt(const DlSession *session)
{
        return session->link ? dl_link_tpgt(session->link) : 0;
}

char **dl_session_way(const DlSession *session)
{
        char **way = g_new0(char *, session->way->len + 1);

        for (unsigned i = 0; i < session->way->len; i++)
                way[i] = g_strdup(session->way->pdata[i]);
        return way;
}

/* ---- what happens to the link ------------------------------------------------------------- */

static void on_connected(void *userdata)
{
        DlSession *session = userdata;

        session->phase = PHASE_LOGIN;
        g_ptr_array_add(session->way, g_strdup(session->portals[session->next_portal - 1]));
        arm(session, now() + session->limits->login_usec);
}

static void on_logged_in(void *userdata)
{
        DlSession *session = userdata;

        session->phase = PHASE_READY;
        disarm(session);
        session->handler->ready(session->userdata);
}

static void on_redirected(const char *address, void *userdata)
{
        DlSession *session = userdata;
        g_autofree char *host = NULL;
        uint16_t port, tpgt;

        g_clear_pointer(&session->link, dl_link_free);
        if (++session->redirects > REDIRECTS_MAX) {
                session_fail(session,
                             g_error_new(DL_ERROR, DL_ERROR_PROTOCOL_ERROR,
                                         "The target redirects more than %d times; check the "
                                         "array's portals",
                                         REDIRECTS_MAX));
                return;
        }
        if (!dl_iscsi_address_parse(address, &host, &port, &tpgt)) {
                session_fail(session, g_error_new_literal(DL_ERROR, DL_ERROR_PROTOCOL_ERROR,
                                                          "The target redirects to an address that "
                                                          "is none"));
                return;
        }
        g_free(session->host);
        session->host = g_steal_pointer(&host);
        session->port = port;
        begin(session);
}

static void on_failed(GError *error, void *userdata)
{
        DlSession *session = userdata;

        if (session->phase == PHASE_CONNECT && session->next_portal < session->n_portals) {
                g_error_free(error);
                connect_next(session);
        } else {
                session_fail(session, error);
        }
}

static void on_targets(const struct iscsi_discovery_address *targets, void *userdata)
{
        DlSession *session = userdata;

        if (session->phase != PHASE_READY) /* nobody waits for them any more */
                return;
        disarm(session);
        session->handler->targets(targets, session->userdata);
}

static void session_end(DlSession *session)
{
        session->handler->closed(session, session->owner);
        dl_session_free(session);
}

static void on_logged_out(void *userdata)
{
        session_end(userdata);
}

static const DlLinkHandler link_handler = {
        .connected = on_connected,
        .logged_in = on_logged_in,
        .redirected = on_redirected,
        .failed = on_failed,
        .replied = on_replied,
        .targets = on_targets,
        .logged_out = on_logged_out,
};

/* ---- time --------------------------------------------------------------------------------- */

static GError *silence(const DlSession *session)
{
        switch (session->phase) {
        case PHASE_RESOLVE:
                return g_error_new(DL_ERROR, DL_ERROR_NAME_RESOLUTION,
                                   "No name server answers for %s in time; check the name "
                                   "servers, or give a numeric address",
                                   session->host);
        case PHASE_CONNECT:
                return g_error_new_literal(DL_ERROR, DL_ERROR_PORTAL_UNREACHABLE,
                                           "Nothing answers at the portal's address; check "
                                           "address, port and network");
        case PHASE_LOGIN:
                return g_error_new_literal(DL_ERROR, DL_ERROR_TIMED_OUT,
                                           "The portal takes connections and does not answer the "
                                           "login; check that it serves iSCSI");
        default:
                return g_error_new_literal(DL_ERROR, DL_ERROR_TIMED_OUT,
                                           "The portal does not answer with its list of targets");
        }
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
        DlSession *session = userdata;

        if (session->phase == PHASE_LOGOUT)
                session_end(session);
        else if (session->phase == PHASE_READY && session->link_config.iqn)
                expire_commands(session);
        else if (session->phase <= PHASE_READY)
                on_failed(silence(session), session);
        return 0;
}

/* ---- beginning and end -------------------------------------------------------------------- */

/* Once at the beginning and once at the end: neither may happen in a call from outside. */
static int on_later(sd_event_source *source, void *userdata)
{
        DlSession *session = userdata;

        if (session->phase == PHASE_CLOSED)
                session_end(session);
        else
                begin(session);
        return 0;
}

static void copy_config(DlSession *session, const DlSessionConfig *config)
{
        const DlIscsiCredentials *c = config->link.credentials;

        session->initiator_name = g_strdup(config->link.initiator_name);
        session->iqn = g_strdup(config->link.iqn);
        session->link_config = config->link;
        session->link_config.initiator_name = session->initiator_name;
        session->link_config.iqn = session->iqn;
        session->link_config.credentials = &session->credentials;
        if (!c || !c->user)
                return;
        session->user = g_strdup(c->user);
        session->credentials.user = session->user;
        session->credentials.secret = dl_secret_ref(c->secret);
        if (!c->target_user)
                return;
        session->target_user = g_strdup(c->target_user);
        session->credentials.target_user = session->target_user;
        session->credentials.target_secret = dl_secret_ref(c->target_secret);
}

int dl_session_new(const DlSessionConfig *config, DlSession **ret)
{
        DlSession *session = g_new(DlSession, 1);
        int r;

        *session = (DlSession){
                .event = sd_event_ref(config->event),
                .workers = config->workers,
                .limits = config->limits,
                .handler = config->handler,
                .userdata = config->userdata,
                .owner = config->owner,
                .host = g_strdup(config->host),
                .way = g_ptr_array_new_with_free_func(g_free),
                .port = config->port,
                .waiting = G_QUEUE_INIT,
                .sent = G_QUEUE_INIT,
        };
        copy_config(session, config);
        r = sd_event_add_time(session->event, &session->timer, CLOCK_MONOTONIC, 0,
                              TIMER_ACCURACY_USEC, on_timer, session);
        if (r >= 0)
                r = sd_event_source_set_enabled(session->timer, SD_EVENT_OFF);
        if (r >= 0)
                r = sd_event_add_defer(session->event, &session->later, on_later, session);
        if (r < 0) {
                dl_session_free(session);
                return r;
        }
        *ret = session;
        return 0;
}

void dl_session_close(DlSession *session)
{
        if (!session || session->phase >= PHASE_LOGOUT)
                return;
        if (session->phase == PHASE_READY && dl_link_logout(session->link)) {
                session->phase = PHASE_LOGOUT;
                for (GList *i = session->sent.head; i; i = i->next)
                        dl_link_forget(session->link, i->data);
                arm(session, now() + LOGOUT_USEC);
                return;
        }
        session->phase = PHASE_CLOSED;
        drop_everything(session);
        (void)sd_event_source_set_enabled(session->later, SD_EVENT_ONESHOT);
}

void dl_session_free(DlSession *session)
{
        if (!session)
                return;
        if (session->timer)
                drop_everything(session);
        sd_event_source_disable_unref(session->timer);
        sd_event_source_disable_unref(session->later);
        g_strfreev(session->portals);
        g_ptr_array_unref(session->way);
        g_clear_error(&session->last_error);
        dl_secret_unref(session->credentials.secret);
        dl_secret_unref(session->credentials.target_secret);
        g_free(session->user);
        g_free(session->target_user);
        g_free(session->initiator_name);
        g_free(session->iqn);
        g_free(session->host);
        sd_event_unref(session->event);
        g_free(session);
}
