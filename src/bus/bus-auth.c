/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One question to polkit about one call. A question ends with polkit's answer, with its deadline,
 * or with its owner's loss of interest, and in the latter two cases polkit is told so, to close a
 * dialog that nobody waits for. Without polkit on the bus nobody but root is allowed anything (and
 * root is not asked about at all: polkit allows root everything). Loop thread only.
 */

#include "bus/bus-auth.h"

#include "util/log.h"

#include <string.h>

#define POLKIT           "org.freedesktop.PolicyKit1"
#define POLKIT_PATH      "/org/freedesktop/PolicyKit1/Authority"
#define POLKIT_INTERFACE "org.freedesktop.PolicyKit1.Authority"

#define ALLOW_INTERACTION 1u

/* A person may have to find a password; a daemon needs no time to think. */
#define INTERACTIVE_TIMEOUT_USEC (60 * G_USEC_PER_SEC)
#define TIMEOUT_USEC             (15 * G_USEC_PER_SEC)

struct DlBusAuth {
        DlBus *bus;
        const char *action;
        bool interactive;
        char *cancellation_id;
        sd_bus_slot *query; /* NULL once answered */
        DlBusAuthDone done;
        void *userdata;
};

static const char *action_name(DlBusAction action)
{
        switch (action) {
        case DL_BUS_DISCOVER:
                return DL_BUS_NAME ".discover";
        case DL_BUS_CONNECT:
                return DL_BUS_NAME ".connect";
        case DL_BUS_UNMANAGE:
                return DL_BUS_NAME ".unmanage";
        case DL_BUS_MANAGE_VDISK:
                return DL_BUS_NAME ".manage-vdisk";
        case DL_BUS_ATTACH:
                return DL_BUS_NAME ".attach";
        case DL_BUS_HOT_PLUG:
                return DL_BUS_NAME ".hot-plug";
        case DL_BUS_RUN_VM:
                return DL_BUS_NAME ".run-vm";
        case DL_BUS_MIGRATE:
                return DL_BUS_NAME ".migrate";
        case DL_BUS_MANAGE_CREDENTIALS:
                return DL_BUS_NAME ".manage-credentials";
        case DL_BUS_STORAGE_DOMAIN:
                return DL_BUS_NAME ".storage-domain";
        case DL_BUS_FORCE:
                return DL_BUS_NAME ".force";
        case DL_BUS_CANCEL_JOB:
                return DL_BUS_NAME ".cancel-job";
        case DL_BUS_CANCEL_JOB_OTHER_USER:
                return DL_BUS_NAME ".cancel-job-other-user";
        }
        g_assert_not_reached();
}

static void withdraw(DlBusAuth *auth)
{
        (void)sd_bus_call_method_async(auth->bus->connection, NULL, POLKIT, POLKIT_PATH,
                                       POLKIT_INTERFACE, "CancelCheckAuthorization", NULL, NULL,
                                       "s", auth->cancellation_id);
}

void dl_bus_auth_free(DlBusAuth *auth)
{
        if (!auth)
                return;
        if (auth->query)
                withdraw(auth);
        sd_bus_slot_unref(auth->query);
        g_free(auth->cancellation_id);
        g_free(auth);
}

static GError *polkit_error(DlBusAuth *auth, const sd_bus_error *e)
{
        if (sd_bus_error_has_names(e, SD_BUS_ERROR_SERVICE_UNKNOWN, SD_BUS_ERROR_NAME_HAS_NO_OWNER,
                                   "org.freedesktop.systemd1.NoSuchUnit"))
                return g_error_new(DL_ERROR, DL_ERROR_ACCESS_DENIED,
                                   "polkit is not running, so only root may do this (%s)",
                                   auth->action);
        if (sd_bus_error_has_names(e, SD_BUS_ERROR_NO_REPLY, SD_BUS_ERROR_TIMEOUT)) {
                withdraw(auth);
                return g_error_new(DL_ERROR, DL_ERROR_TIMED_OUT,
                                   "no answer in time to whether you may do this (%s): try again",
                                   auth->action);
        }
        if (sd_bus_error_has_name(e, SD_BUS_ERROR_LIMITS_EXCEEDED)) /* the bus', on open calls */
                return g_error_new(DL_ERROR, DL_ERROR_LIMITS_EXCEEDED,
                                   "too many calls wait to be authorized: try again later");
        dl_warning("polkit cannot say whether %s is allowed: %s", auth->action, e->message);
        return g_error_new(DL_ERROR, DL_ERROR_ACCESS_DENIED,
                           "polkit cannot say whether you may do this (%s): see the log",
                           auth->action);
}

/* What polkit's answer means; NULL: allowed. */
static GError *read_answer(DlBusAuth *auth, sd_bus_message *reply)
{
        const sd_bus_error *e = sd_bus_message_get_error(reply);
        int authorised, challenge, r;

        if (e)
                return polkit_error(auth, e);
        r = sd_bus_message_enter_container(reply, 'r', "bba{ss}");
        if (r >= 0)
                r = sd_bus_message_read(reply, "bb", &authorised, &challenge);
        if (r < 0)
                return g_error_new(DL_ERROR, DL_ERROR_ACCESS_DENIED,
                                   "polkit's answer cannot be understood (%s)", auth->action);
        if (authorised)
                return NULL;
        if (challenge)
                return g_error_new(DL_ERROR, DL_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED,
                                   auth->interactive
                                           ? "a password must be given for this (%s), but there is "
                                             "nobody to ask for it: is a polkit agent running?"
                                           : "a password must be given for this (%s): allow "
                                             "interactive authorization",
                                   auth->action);
        return g_error_new(DL_ERROR, DL_ERROR_ACCESS_DENIED, "you are not allowed to do this (%s)",
                           auth->action);
}

static int on_answer(sd_bus_message *reply, void *userdata, sd_bus_error *ret_error)
{
        DlBusAuth *auth = userdata;
        g_autoptr(GError) error = NULL;

        auth->query = sd_bus_slot_unref(auth->query);
        error = read_answer(auth, reply);
        auth->done(error, auth->userdata); /* may free it */
        return 0;
}

static int append_details(sd_bus_message *m, GHashTable *details)
{
        GHashTableIter i;
        void *key, *value;
        int r;

        r = sd_bus_message_open_container(m, 'a', "{ss}");
        g_hash_table_iter_init(&i, details);
        while (r >= 0 && g_hash_table_iter_next(&i, &key, &value))
                r = sd_bus_message_append(m, "{ss}", (const char *)key, (const char *)value);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

static int ask(DlBusAuth *auth, sd_bus_message *call, GHashTable *details)
{
        sd_bus_message *m = NULL;
        int r;

        r = sd_bus_message_new_method_call(auth->bus->connection, &m, POLKIT, POLKIT_PATH,
                                           POLKIT_INTERFACE, "CheckAuthorization");
        if (r >= 0)
                r = sd_bus_message_append(m, "(sa{sv})s", "system-bus-name", 1, "name", "s",
                                          sd_bus_message_get_sender(call), auth->action);
        if (r >= 0)
                r = append_details(m, details);
        if (r >= 0)
                r = sd_bus_message_append(m, "us", auth->interactive ? ALLOW_INTERACTION : 0,
                                          auth->cancellation_id);
        if (r >= 0)
                r = sd_bus_call_async(auth->bus->connection, &auth->query, m, on_answer, auth,
                                      auth->interactive ? INTERACTIVE_TIMEOUT_USEC : TIMEOUT_USEC);
        sd_bus_message_unref(m);
        return r;
}

int dl_bus_auth_new(DlBus *bus, sd_bus_message *call, DlBusAction action, GHashTable *details,
                    DlBusAuthDone done, void *userdata, DlBusAuth **ret)
{
        static uint64_t last_id;
        DlBusAuth *auth = g_new0(DlBusAuth, 1);
        int r;

        auth->bus = bus;
        auth->action = action_name(action);
        auth->interactive = sd_bus_message_get_allow_interactive_authorization(call) > 0;
        auth->cancellation_id = g_strdup_printf("directlun-%" G_GUINT64_FORMAT, ++last_id);
        auth->done = done;
        auth->userdata = userdata;
        r = ask(auth, call, details);
        if (r < 0) {
                dl_bus_auth_free(auth);
                return r;
        }
        *ret = auth;
        return 0;
}
