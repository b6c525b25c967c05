/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Name resolution. A DlLookup belongs to the worker pool: it is freed there, after done() or after
 * a cancel, even if getaddrinfo() still runs by then. Lookups of one host have one key, so a host
 * name whose servers are dead holds one worker at a time and not all of them.
 */

#include "resolver.h"

#include "util/error.h"

#include <netdb.h>
#include <resolv.h>
#include <string.h>

struct DlLookup {
        DlWork *work;
        char *host;
        uint16_t port;
        int seconds;
        DlResolved done;
        void *userdata;

        int result; /* of getaddrinfo(): set by the worker, read after it */
        struct addrinfo *addresses;
};

static char *portal_of(const struct addrinfo *ai, uint16_t port)
{
        char host[NI_MAXHOST];

        if (getnameinfo(ai->ai_addr, ai->ai_addrlen, host, sizeof host, NULL, 0, NI_NUMERICHOST) !=
            0)
                return NULL;
        return g_strdup_printf(ai->ai_family == AF_INET6 ? "[%s]:%u" : "%s:%u", host,
                               (unsigned)port);
}

char *dl_resolver_numeric(const char *host, uint16_t port)
{
        struct addrinfo hints = {.ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_STREAM};
        struct addrinfo *ai;
        char *portal;

        if (getaddrinfo(host, NULL, &hints, &ai) != 0)
                return NULL;
        portal = portal_of(ai, port);
        freeaddrinfo(ai);
        return portal;
}

static void resolve(void *data)
{
        DlLookup *lookup = data;
        struct addrinfo hints = {.ai_socktype = SOCK_STREAM};

        /* Nobody waits longer than the deadline, so neither need the worker: its own resolver state
         * (thread-local in glibc) gets one try of that length a server. It must be made anew, or
         * glibc finds it outdated and silently takes the system's again. One that was never made
         * is full of zeros, and to close it would close descriptor 0, whoever's that is. */
        if (_res.options & RES_INIT)
                res_nclose(&_res);
        if (res_ninit(&_res) == 0) {
                _res.retrans = lookup->seconds;
                _res.retry = 1;
        }
        lookup->result = getaddrinfo(lookup->host, NULL, &hints, &lookup->addresses);
}

static void resolved(void *data)
{
        DlLookup *lookup = data;
        g_autoptr(GPtrArray) portals = g_ptr_array_new_with_free_func(g_free);
        g_autoptr(GError) error = NULL;

        for (const struct addrinfo *ai = lookup->result == 0 ? lookup->addresses : NULL;
             ai && portals->len < DL_RESOLVER_ADDRESSES_MAX; ai = ai->ai_next) {
                char *portal = portal_of(ai, lookup->port);

                if (portal)
                        g_ptr_array_add(portals, portal);
        }
        lookup->work = NULL;
        if (portals->len == 0) {
                error = g_error_new(DL_ERROR, DL_ERROR_NAME_RESOLUTION,
                                    "Cannot resolve the host name %s: %s; check it and the name "
                                    "servers, or give a numeric address",
                                    lookup->host,
                                    lookup->result == 0 ? "no address"
                                                        : gai_strerror(lookup->result));
                lookup->done(NULL, error, lookup->userdata);
                return;
        }
        g_ptr_array_add(portals, NULL);
        lookup->done((char **)portals->pdata, NULL, lookup->userdata);
}

static void lookup_free(void *data)
{
        DlLookup *lookup = data;

        if (lookup->addresses)
                freeaddrinfo(lookup->addresses);
        g_free(lookup->host);
        g_free(lookup);
}

DlLookup *dl_resolver_lookup(DlWorkers *workers, const char *host, uint16_t port, uint64_t usec,
                             DlResolved done, void *userdata)
{
        DlLookup *lookup = g_new(DlLookup, 1);
        g_autofree char *key = g_strdup_printf("getaddrinfo %s", host);

        *lookup = (DlLookup){
                .host = g_strdup(host),
                .port = port,
                .seconds = (int)CLAMP((usec + 999999) / 1000000, 1, 30),
                .done = done,
                .userdata = userdata,
        };
        lookup->work = dl_workers_submit(workers, key, resolve, resolved, lookup, lookup_free);
        return lookup;
}

void dl_lookup_cancel(DlLookup *lookup)
{
        if (lookup)
                dl_work_cancel(lookup->work);
}
