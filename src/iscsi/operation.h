/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What discovery and inspection have in common: waiting for a free session, having it, and telling
 * the caller at the end. Loop thread only.
 */

#include "iscsi/iscsi.h"
#include "session.h"

typedef struct DlOperationKind {
        size_t size; /* of the structure that begins with a DlIscsiOperation */
        void (*ready)(DlIscsiOperation *operation);
        void (*targets)(DlIscsiOperation *operation, const struct iscsi_discovery_address *targets);
        /* calls the caller's done(); error is NULL if it went well */
        void (*report)(DlIscsiOperation *operation, const GError *error);
        void (*clear)(DlIscsiOperation *operation); /* frees what the kind added */
} DlOperationKind;

struct DlIscsiOperation {
        const DlOperationKind *kind;
        DlIscsi *iscsi;
        void *userdata;   /* of the caller's done() */
        char *host, *iqn; /* host: NULL if the caller's is none; iqn: NULL for a discovery */
        uint16_t port;
        char *user, *target_user;
        DlIscsiCredentials credentials; /* points to the strings above */
        DlSession *session;             /* NULL while it waits and when it is over */
        sd_event_source *finish;        /* pending once it is over */
        GError *error;
};

/* Copies what the caller gave and puts the operation in the queue; it begins in a later turn of the
 * loop. Free with dl_iscsi_cancel(). */
DlIscsiOperation *dl_operation_new(DlIscsi *iscsi, const DlOperationKind *kind, const char *iqn,
                                   const DlIscsiPortal *portal,
                                   const DlIscsiCredentials *credentials, void *userdata);

/* The operation is over; its report and its end come in a later turn of the loop. */
void dl_operation_finish(DlIscsiOperation *operation, GError *taken);

const DlIscsiLimits *dl_operation_limits(const DlIscsiOperation *operation);
