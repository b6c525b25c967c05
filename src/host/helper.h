/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The service's side of the helper that is root (src/helper): each call is a connection of its own
 * to the helper's socket, which starts it. Nothing here waits: the answer, or the end of the
 * deadline, comes to a callback on the loop thread, never from within the call that asked, and
 * never after a cancel. All functions: loop thread only.
 */

#include "host/helper-protocol.h"
#include "util/secret.h"

#include <systemd/sd-event.h>

typedef struct DlHelper DlHelper;
typedef struct DlHelperCall DlHelperCall;

typedef struct DlHelperResult {
        uint32_t sid; /* of a login */
        GBytes *data; /* of a read; else NULL */
} DlHelperResult;

/*
 * result, borrowed, is NULL if error is set: what the helper says (see the verbs), TimedOut,
 * ProtocolError, Cancelled (the DlHelper is going away), or Failed if there is no helper.
 */
typedef void (*DlHelperDone)(const DlHelperResult *result, const GError *error, void *userdata);

/* socket_path is copied. Nothing is connected yet. */
DlHelper *dl_helper_new(sd_event *event, const char *socket_path);

/* Ends every call: its callback gets Cancelled, now. Takes NULL. */
void dl_helper_free(DlHelper *helper);

/*
 * request is copied, but for magic and secrets, which are set here; secret and target_secret, of a
 * login, may be NULL. What the helper would not take is InvalidArgs, in the callback. So many at a
 * time are sent; more wait in the order in which they came, without using up their time.
 */
#define DL_HELPER_CALLS_MAX 32
DlHelperCall *dl_helper_call(DlHelper *helper, const DlHelperRequest *request, DlSecret *secret,
                             DlSecret *target_secret, DlHelperDone done, void *userdata);

/* No callback after this; the helper gives up what it was doing. Takes NULL. When its callback is
 * called, a call is gone already. */
void dl_helper_cancel(DlHelperCall *call);
