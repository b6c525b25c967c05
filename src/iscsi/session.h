/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * One session with a target (or a discovery session with a portal), from the host name to the
 * logout, with a deadline for each phase: resolve, connect (all addresses of the name in turn),
 * login (following redirects), and each command.
 *
 * A session ends with dl_session_close(), whatever has happened to it: it then logs out if there is
 * something to log out of, tells its owner that it is closed, and frees itself. Handlers may call
 * every function here. Loop thread only.
 */

#include "link.h"
#include "resolver.h"

typedef struct DlSession DlSession;

typedef struct DlSessionHandler {
        void (*ready)(void *userdata);
        void (*failed)(const GError *error, void *userdata); /* once; nothing but closed follows */
        void (*targets)(const struct iscsi_discovery_address *targets, void *userdata);
        void (*resized)(uint16_t lun,
                        void *userdata); /* CAPACITY DATA HAS CHANGED; closes nothing */
        void (*closed)(DlSession *session, void *owner); /* the session is freed after this */
} DlSessionHandler;

typedef struct DlSessionConfig {
        sd_event *event;
        DlWorkers *workers;
        const DlIscsiLimits *limits; /* must outlive the session */
        DlLinkConfig link;           /* copied but for the credentials' secrets, which are reffed */
        const char *host;            /* without brackets */
        uint16_t port;
        const DlSessionHandler *handler;
        void *userdata; /* of all but closed; not used after dl_session_close() */
        void *owner;    /* of closed */
} DlSessionConfig;

/* Handlers are called later, never from here. Negative errno. */
int dl_session_new(const DlSessionConfig *config, DlSession **ret);
void dl_session_close(DlSession *session); /* takes NULL */
void dl_session_free(DlSession *session);  /* at once: no logout, no handler; not in a handler */

/* reply is NULL if no answer came in time though the target answers others. */
typedef void (*DlCommandDone)(const DlReply *reply, void *userdata);

/*
 * Sends a SCSI command, now or when fewer than commands_max are in flight; done() is called once,
 * later, unless the session fails or is closed before. What the target asks to try again (UNIT
 * ATTENTION, BUSY, TASK SET FULL) is tried again a bounded number of times. The deadline runs from
 * when the command is sent.
 */
void dl_session_command(DlSession *session, uint16_t lun, const uint8_t *cdb, size_t cdb_size,
                        size_t size, DlCommandDone done, void *userdata);

/* Discovery session: asks for the targets; the answer comes to the targets handler. */
void dl_session_send_targets(DlSession *session);

uint16_t dl_session_tpgt(const DlSession *session);

/* The numeric portals that took a connection, in order: more than one if the target redirected us.
 * Newly allocated, NULL-terminated. */
char **dl_session_way(const DlSession *session);
