/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Secrets that are being handed over. The table of the DlBus owns them; each keeps its client
 * watched. A socket's path cannot be guessed, and is told to nobody but its client; others of the
 * same user could still not use the token. Loop thread only.
 */

#include "bus/bus-secret.h"

#include "loop/secret-socket.h"
#include "util/log.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <systemd/sd-id128.h>
#include <unistd.h>

#define CLIENT_MAX 32 /* Cockpit's bridge is one client, whatever pages there are */
#define USER_MAX   64
#define ALL_MAX    256

typedef struct DlBusSecret {
        DlBus *bus;
        char token[SD_ID128_STRING_MAX];
        char *sender;
        uint32_t uid;
        DlBusClient *client;
        DlSecretSocket *socket;
        sd_event_source *expiry;
} DlBusSecret;

static void secret_free(void *data)
{
        DlBusSecret *s = data;

        sd_event_source_disable_unref(s->expiry);
        dl_secret_socket_free(s->socket);
        dl_bus_client_release(s->client);
        g_free(s->sender);
        g_free(s);
}

GHashTable *dl_bus_secrets_new(void)
{
        return g_hash_table_new_full(g_str_hash, g_str_equal, NULL, secret_free);
}

static int on_expired(sd_event_source *source, uint64_t usec, void *userdata)
{
        DlBusSecret *s = userdata;

        dl_debug("a secret of user %u was not used in time", s->uid);
        g_hash_table_remove(s->bus->secrets, s->token);
        return 0;
}

/* ---- limits -------------------------------------------------------------------------------- */

static bool check_limits(const DlBusCall *call, const char *sender, GError **error)
{
        unsigned of_client = 0, of_user = 0;
        GHashTableIter i;
        void *value;

        g_hash_table_iter_init(&i, call->bus->secrets);
        while (g_hash_table_iter_next(&i, NULL, &value)) {
                const DlBusSecret *s = value;

                of_client += strcmp(s->sender, sender) == 0;
                of_user += s->uid == call->uid;
        }
        if (of_client < CLIENT_MAX && of_user < USER_MAX &&
            g_hash_table_size(call->bus->secrets) < ALL_MAX)
                return true;
        g_set_error(error, DL_ERROR, DL_ERROR_LIMITS_EXCEEDED,
                    "%u secrets of user %u wait to be used: use them, or wait until they expire",
                    of_user, call->uid);
        return false;
}

/* ---- the directory ------------------------------------------------------------------------- */

/* Whoever knows a name in it may go there, nobody may list it. */
static bool make_directory(const char *path, GError **error)
{
        struct stat st;

        if ((mkdir(path, 0711) == 0 || errno == EEXIST) && lstat(path, &st) == 0 &&
            S_ISDIR(st.st_mode) && chmod(path, 0711) == 0)
                return true;
        g_set_error(error, DL_ERROR, DL_ERROR_FAILED, "cannot make %s: %s", path,
                    g_strerror(errno));
        return false;
}

/* What a service left that was killed. */
static void empty_directory(const char *path)
{
        g_autoptr(GDir) directory = g_dir_open(path, 0, NULL);
        const char *name;

        while (directory && (name = g_dir_read_name(directory))) {
                g_autofree char *file = g_build_filename(path, name, NULL);

                (void)unlink(file);
        }
}

static DlSecretSocket *open_socket(const DlBusCall *call, char **ret_path, GError **error)
{
        const char *directory = call->bus->settings->secret_directory;
        char name[SD_ID128_STRING_MAX];
        g_autofree char *path = NULL;
        DlSecretSocket *socket;
        sd_id128_t random;
        int r;

        if (!make_directory(directory, error))
                return NULL;
        if (g_hash_table_size(call->bus->secrets) == 0)
                empty_directory(directory);
        r = sd_id128_randomize(&random);
        if (r < 0) {
                g_set_error(error, DL_ERROR, DL_ERROR_FAILED, "no random numbers: %s",
                            g_strerror(-r));
                return NULL;
        }
        path = g_build_filename(directory, sd_id128_to_string(random, name), NULL);
        socket = dl_secret_socket_new(call->bus->event, path, call->uid, error);
        if (socket)
                *ret_path = g_steal_pointer(&path);
        return socket;
}

/* ---- the life of a secret ------------------------------------------------------------------ */

static int start_clock(DlBusSecret *s)
{
        sd_id128_t random;
        int r = sd_id128_randomize(&random);

        if (r < 0)
                return r;
        sd_id128_to_string(random, s->token);
        return sd_event_add_time_relative(s->bus->event, &s->expiry, CLOCK_MONOTONIC,
                                          s->bus->settings->secret_timeout_usec, 0, on_expired, s);
}

const char *dl_bus_secret_accept(DlBusCall *call, char **ret_path, GError **error)
{
        const char *sender = sd_bus_message_get_sender(call->message);
        DlSecretSocket *socket;
        DlBusSecret *s;
        int r;

        if (!check_limits(call, sender, error))
                return NULL;
        socket = open_socket(call, ret_path, error);
        if (!socket)
                return NULL;
        s = g_new0(DlBusSecret, 1);
        s->bus = call->bus;
        s->sender = g_strdup(sender);
        s->uid = call->uid;
        s->client = call->client;
        s->socket = socket;
        dl_bus_client_keep(s->client);
        r = start_clock(s);
        if (r < 0) {
                g_set_error(error, DL_ERROR, DL_ERROR_FAILED, "cannot wait for a secret: %s",
                            g_strerror(-r));
                secret_free(s);
                return NULL;
        }
        g_hash_table_insert(s->bus->secrets, s->token, s);
        return s->token;
}

DlSecret *dl_bus_secret_redeem(DlBus *bus, const char *sender, const char *token, GError **error)
{
        DlBusSecret *s = g_hash_table_lookup(bus->secrets, token);
        DlSecret *secret;
        bool spent;

        if (!s || strcmp(s->sender, sender) != 0) {
                g_set_error(error, DL_ERROR, DL_ERROR_INVALID_ARGS,
                            "no secret of this client has that token, or it is spent or too old: "
                            "call AcceptSecret again");
                return NULL;
        }
        secret = dl_secret_socket_take(s->socket, &spent, error);
        if (secret || spent)
                g_hash_table_remove(bus->secrets, token);
        return secret;
}

static gboolean is_of(void *key, void *value, void *sender)
{
        const DlBusSecret *s = value;

        return strcmp(s->sender, sender) == 0;
}

void dl_bus_secrets_abandon(DlBus *bus, const char *sender)
{
        g_hash_table_foreach_remove(bus->secrets, is_of, (void *)sender);
}
