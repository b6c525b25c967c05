/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What stands between a target's bytes and libiscsi: every PDU that comes in is checked here before
 * libiscsi sees it, and the facts that libiscsi tells only as English text, or not at all, are read
 * from it: the status of the login, the portal group, a redirect.
 *
 * It is needed because libiscsi 1.19 trusts the target: it reads sense data beyond what came, falls
 * over data with the tag of a request that is no SCSI command, lets unasked data and R2Ts grow its
 * queues without limit, goes round in iscsi_service() for as long as bytes come in, obeys a digest
 * that was not offered, and takes a login as mutually authenticated where the target never answered
 * the challenge.
 *
 * Pure: bytes in, bytes out; no I/O, any thread. A guard is good for one connection.
 */

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct DlGuard DlGuard;

/* credentials as they will be used: what the target has to prove before it is believed */
DlGuard *dl_guard_new(bool chap, bool mutual);
void dl_guard_free(DlGuard *guard); /* takes NULL */

/*
 * Takes what came from the target and appends to out what libiscsi may read: whole PDUs only. False
 * with an error (AuthFailed, TargetNotFound, ProtocolError, LimitsExceeded, PortalUnreachable) if
 * the connection is to be dropped; the guard must then not be fed again.
 */
bool dl_guard_feed(DlGuard *guard, const uint8_t *data, size_t size, GByteArray *out,
                   GError **error);

/* A SCSI command with this initiator task tag is on its way: one answer to it, with at most size
 * bytes of data, may come in. */
void dl_guard_expect_command(DlGuard *guard, uint32_t tag, size_t size);

/* The target was sent a SendTargets request. */
void dl_guard_expect_text(DlGuard *guard);

/* ---- facts -------------------------------------------------------------------------------- */

/* Where the target says that it has moved: as in its TargetAddress. NULL: it has not. */
const char *dl_guard_redirect(const DlGuard *guard);

/* The portal group tag that it told at login; 0 if none. */
uint16_t dl_guard_tpgt(const DlGuard *guard);

/* The login PDU that was let through last was about who is who: if libiscsi does not like it, the
 * authentication has failed. */
bool dl_guard_in_authentication(const DlGuard *guard);

/* How an end of the connection at this point is to be called. Never NULL. */
GError *dl_guard_end_error(const DlGuard *guard);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(DlGuard, dl_guard_free)
