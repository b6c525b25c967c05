/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * One connection to one portal: a libiscsi context, kept away from the network.
 *
 *     target ── socket ── guard ── socketpair ── libiscsi
 *
 * libiscsi makes the TCP connection; then its descriptor is replaced by one end of a socketpair and
 * the real socket is the link's. What comes in passes the guard (guard.h) before libiscsi reads it.
 * So libiscsi gets at most as much to chew in one turn of the loop as was read in it, the facts of
 * a login and of the end of a connection are known by their codes, and no descriptor of libiscsi's
 * is in epoll, where one that it replaces would get lost.
 *
 * A link has no deadlines: its owner has, and frees it. No handler is called from within a function
 * below, and none after dl_link_free(), which is allowed in handlers. Loop thread only.
 */

#include "iscsi/iscsi.h"
#include "scsi/sense.h"

#include <iscsi.h> /* libiscsi's */

typedef struct DlLink DlLink;

typedef enum DlStatus {
        DL_STATUS_GOOD,
        DL_STATUS_CHECK_CONDITION, /* sense is set */
        DL_STATUS_BUSY,            /* busy, task set full, aborted: may be asked again */
        DL_STATUS_CONFLICT,        /* reserved by another initiator */
        DL_STATUS_REFUSED,         /* anything else */
} DlStatus;

typedef struct DlReply {
        DlStatus status;
        DlScsiSense sense;
        const uint8_t *data; /* borrowed for the duration of the call */
        size_t size;
} DlReply;

typedef struct DlLinkHandler {
        void (*connected)(void *userdata); /* TCP is up; the login has begun */
        void (*logged_in)(void *userdata);
        void (*redirected)(const char *address, void *userdata);
        /* error is the callee's; the link does nothing any more */
        void (*failed)(GError *error, void *userdata);
        void (*replied)(void *command, const DlReply *reply, void *userdata);
        void (*targets)(const struct iscsi_discovery_address *targets, void *userdata);
        void (*logged_out)(void *userdata);
} DlLinkHandler;

typedef struct DlLinkConfig {
        const char *initiator_name;
        uint32_t isid_random; /* 24 bits */
        uint16_t isid_qualifier;
        const char *iqn; /* NULL: a discovery session */
        const DlIscsiCredentials *credentials;
} DlLinkConfig;

/* portal: numeric, see resolver.h. NULL with PortalUnreachable if it fails at once. */
DlLink *dl_link_new(sd_event *event, const DlLinkConfig *config, const char *portal,
                    const DlLinkHandler *handler, void *userdata, GError **error);
void dl_link_free(DlLink *link); /* at once, without logout; takes NULL */

/*
 * Sends a SCSI command that takes in up to size bytes. lun: the first two bytes of its wire form.
 * command stands for it in replied(), unless dl_link_forget() comes first. False if libiscsi does
 * not take it.
 */
bool dl_link_send(DlLink *link, uint16_t lun, const uint8_t *cdb, size_t cdb_size, size_t size,
                  void *command);
void dl_link_forget(DlLink *link, void *command);

bool dl_link_send_targets(DlLink *link);
bool dl_link_logout(DlLink *link);

/* Asks for a sign of life, which is seen in dl_link_last_received(). */
void dl_link_ping(DlLink *link);

uint16_t dl_link_tpgt(const DlLink *link);

/* When the last byte came (CLOCK_MONOTONIC, µs), and whether everything sent is on its way. */
uint64_t dl_link_last_received(const DlLink *link);
bool dl_link_all_sent(const DlLink *link);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(DlLink, dl_link_free)
