/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * From a host to the numeric addresses to try. getaddrinfo() blocks for as long as resolv.conf lets
 * it, so it runs on a worker and whoever waits has a deadline of their own. Loop thread only.
 */

#include "loop/workers.h"

#include <stdint.h>

enum {
        DL_RESOLVER_ADDRESSES_MAX = 16
};

typedef struct DlLookup DlLookup;

/* portals: "1.2.3.4:3260", "[::1]:3260", at most DL_RESOLVER_ADDRESSES_MAX, in the order to try;
 * NULL if error is set (NameResolution). Borrowed. */
typedef void (*DlResolved)(char **portals, const GError *error, void *userdata);

/* host is a numeric address: its portal, newly allocated; else NULL. Does not block. */
char *dl_resolver_numeric(const char *host, uint16_t port);

/* done() is called once, later, on the loop thread; not after dl_lookup_cancel(). */
DlLookup *dl_resolver_lookup(DlWorkers *workers, const char *host, uint16_t port, uint64_t usec,
                             DlResolved done, void *userdata);
void dl_lookup_cancel(DlLookup *lookup); /* takes NULL */
