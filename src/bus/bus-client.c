/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Clients with calls in progress or secrets here. The bus driver is asked, without waiting for it,
 * for the user of a connection and told to say when it is gone; the watch is asked for first, so
 * that no end is missed. The table of the DlBus owns the clients. Loop thread only.
 */

#include "bus/bus-client.h"

#include "bus/bus-call.h"
#include "bus/bus-secret.h"
#include "util/log.h"

#include <string.h>

#define DRIVER             "org.freedesktop.DBus"
#define DRIVER_TIMEOUT_SEC 30

struct DlBusClient {
        DlBus *bus;
        char *name;
        bool known;
        uint32_t uid;
        GPtrArray *calls; /* DlBusCall, borrowed */
        unsigned n_secrets;
        sd_bus_slot *watch, *query;
};

static void client_free(DlBusClient *client)
{
        sd_bus_slot_unref(client->watch);
        sd_bus_slot_unref(client->query);
        g_hash_table_remove(client->bus->clients, client->name);
        g_ptr_array_unref(client->calls);
        g_free(client->name);
        g_free(client);
}

/* Calls that are told may end, and the last one takes the client with it. */
static void for_each_call(DlBusClient *client, void (*tell)(DlBusCall *call))
{
        g_autoptr(GPtrArray) calls = g_ptr_array_copy(client->calls, NULL, NULL);

        for (unsigned i = 0; i < calls->len; i++)
                tell(calls->pdata[i]);
}

static int on_uid(sd_bus_message *reply, void *userdata, sd_bus_error *ret_error)
{
        DlBusClient *client = userdata;
        uint32_t uid;

        if (sd_bus_message_is_method_error(reply, NULL) ||
            sd_bus_message_read_basic(reply, 'u', &uid) < 0) {
                dl_debug("%s cannot be identified, or is gone", client->name);
                for_each_call(client, dl_bus_call_unidentified);
                return 0;
        }
        client->uid = uid;
        client->known = true;
        for_each_call(client, dl_bus_call_identified);
        return 0;
}

static int on_gone(sd_bus_message *signal, void *userdata, sd_bus_error *ret_error)
{
        DlBusClient *client = userdata;
        DlBus *bus = client->bus;
        const char *name, *old_owner, *new_owner;

        if (sd_bus_message_read(signal, "sss", &name, &old_owner, &new_owner) >= 0 && !*new_owner) {
                for_each_call(client, dl_bus_call_abandoned); /* may free it */
                dl_bus_secrets_abandon(bus, name);
        }
        return 0;
}

static int on_watched(sd_bus_message *reply, void *userdata, sd_bus_error *ret_error)
{
        if (sd_bus_message_is_method_error(reply, NULL))
                dl_warning("cannot watch a client: %s", sd_bus_message_get_error(reply)->message);
        return 0;
}

static int client_ask(DlBusClient *client)
{
        sd_bus *connection = client->bus->connection;
        g_autofree char *rule = g_strdup_printf("type='signal',sender='" DRIVER "',path='/org/"
                                                "freedesktop/DBus',interface='" DRIVER "',"
                                                "member='NameOwnerChanged',arg0='%s'",
                                                client->name);
        sd_bus_message *m = NULL;
        int r;

        r = sd_bus_add_match_async(connection, &client->watch, rule, on_gone, on_watched, client);
        if (r >= 0)
                r = sd_bus_message_new_method_call(connection, &m, DRIVER, "/org/freedesktop/DBus",
                                                   DRIVER, "GetConnectionUnixUser");
        if (r >= 0)
                r = sd_bus_message_append(m, "s", client->name);
        if (r >= 0)
                r = sd_bus_call_async(connection, &client->query, m, on_uid, client,
                                      DRIVER_TIMEOUT_SEC * G_USEC_PER_SEC);
        sd_bus_message_unref(m);
        return r;
}

static DlBusClient *client_new(DlBus *bus, const char *name, GError **error)
{
        DlBusClient *client = g_new0(DlBusClient, 1);
        int r;

        client->bus = bus;
        client->name = g_strdup(name);
        client->calls = g_ptr_array_new();
        r = client_ask(client);
        if (r < 0) {
                g_set_error(error, DL_ERROR, DL_ERROR_FAILED, "cannot ask the bus who calls: %s",
                            g_strerror(-r));
                client_free(client);
                return NULL;
        }
        g_hash_table_insert(bus->clients, client->name, client);
        return client;
}

DlBusClient *dl_bus_client_join(DlBus *bus, DlBusCall *call, const char *sender, unsigned max,
                                GError **error)
{
        DlBusClient *client = g_hash_table_lookup(bus->clients, sender);

        if (client && client->calls->len >= max) {
                g_set_error(error, DL_ERROR, DL_ERROR_LIMITS_EXCEEDED,
                            "%u calls of this client are in progress: wait until one has ended",
                            client->calls->len);
                return NULL;
        }
        if (!client)
                client = client_new(bus, sender, error);
        if (!client)
                return NULL;
        g_ptr_array_add(client->calls, call);
        return client;
}

bool dl_bus_client_is_known(const DlBusClient *client, uint32_t *ret_uid)
{
        if (!client->known)
                return false;
        *ret_uid = client->uid;
        return true;
}

static void free_if_unused(DlBusClient *client)
{
        if (client->calls->len == 0 && client->n_secrets == 0)
                client_free(client);
}

void dl_bus_client_leave(DlBusClient *client, DlBusCall *call)
{
        g_ptr_array_remove(client->calls, call);
        free_if_unused(client);
}

void dl_bus_client_keep(DlBusClient *client)
{
        client->n_secrets++;
}

void dl_bus_client_release(DlBusClient *client)
{
        client->n_secrets--;
        free_if_unused(client);
}

/* ---- users --------------------------------------------------------------------------------- */

bool dl_bus_user_enter(DlBus *bus, uint32_t uid, GError **error)
{
        unsigned n = GPOINTER_TO_UINT(g_hash_table_lookup(bus->uids, GUINT_TO_POINTER(uid)));

        if (n >= bus->settings->jobs_per_client_max) {
                g_set_error(error, DL_ERROR, DL_ERROR_LIMITS_EXCEEDED,
                            "%u calls of user %u are in progress: wait until one has ended", n,
                            uid);
                return false;
        }
        g_hash_table_insert(bus->uids, GUINT_TO_POINTER(uid), GUINT_TO_POINTER(n + 1));
        return true;
}

void dl_bus_user_exit(DlBus *bus, uint32_t uid)
{
        unsigned n = GPOINTER_TO_UINT(g_hash_table_lookup(bus->uids, GUINT_TO_POINTER(uid)));

        if (n > 1)
                g_hash_table_insert(bus->uids, GUINT_TO_POINTER(uid), GUINT_TO_POINTER(n - 1));
        else
                g_hash_table_remove(bus->uids, GUINT_TO_POINTER(uid));
}
