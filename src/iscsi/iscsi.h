/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The initiator: asks portals, over the network, which targets and LUNs they have. Nothing stays
 * logged in: an operation logs in, asks everything side by side, logs out, and is over.
 *
 * Every operation ends once: its callback runs on the loop thread, never from within the call that
 * started it, and never after the operation was cancelled. Results passed to a callback are
 * borrowed for its duration. All functions: loop thread only.
 *
 * Deadlines are monotonic and each operation has one for every phase (DlIscsiLimits); a portal that
 * fails, is silent or sends garbage ends in the error named at the functions below, and does not
 * delay another one.
 */

#include "loop/workers.h"
#include "util/secret.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct DlIscsi DlIscsi;
typedef struct DlIscsiOperation DlIscsiOperation;

typedef struct DlIscsiLimits {
        unsigned sessions_max; /* sessions in flight; more wait in a FIFO without using up their
                                * deadlines (default 32) */
        unsigned commands_max; /* SCSI commands in flight in one session (default 128) */
        unsigned luns_max;     /* LUNs taken from one REPORT LUNS (default 16384) */
        unsigned targets_max;  /* targets taken from one SendTargets answer (default 4096) */
        uint64_t resolve_usec; /* default 5 s */
        uint64_t connect_usec; /* TCP; default 5 s */
        uint64_t login_usec;   /* default 10 s */
        uint64_t command_usec; /* each command; default 10 s */
} DlIscsiLimits;

extern const DlIscsiLimits dl_iscsi_limits_default;

/* Where to ask, as whom. Copied by the functions that take it. */
typedef struct DlIscsiPortal {
        const char *address; /* host name, IPv4, or IPv6 with or without brackets */
        uint16_t port;
} DlIscsiPortal;

/* CHAP (RFC 7143, 12.1.3). user NULL: none. target_user NULL: one-way. References are taken. */
typedef struct DlIscsiCredentials {
        const char *user;
        DlSecret *secret;
        const char *target_user;
        DlSecret *target_secret;
} DlIscsiCredentials;

/*
 * initiator_name: an iqn., eui. or naa. name, copied. workers: for getaddrinfo() alone; a pool that
 * other work does not wait for, since dead name servers keep a worker as long as resolve_usec for
 * each of them. Negative errno.
 */
int dl_iscsi_new(sd_event *event, DlWorkers *workers, const char *initiator_name,
                 const DlIscsiLimits *limits, DlIscsi **ret);

/*
 * A LUN has answered a command, whoever's it is, with the unit attention that its size has changed
 * (2A/09). The command is sent again by itself; who knows the old size should look again. Not to
 * begin or end an operation in there.
 */
typedef void (*DlIscsiResized)(const char *iqn, uint64_t lun, void *userdata);
void dl_iscsi_watch_sizes(DlIscsi *iscsi, DlIscsiResized resized, void *userdata);

/* Ends every operation: its callback gets Cancelled, now. Takes NULL. */
void dl_iscsi_free(DlIscsi *iscsi);

/* No callback after this. Takes NULL. When its callback is called, an operation is gone already. */
void dl_iscsi_cancel(DlIscsiOperation *operation);

/* ---- discovery ---------------------------------------------------------------------------- */

typedef struct DlIscsiFoundPortal {
        char *address; /* as the target names it, IPv6 without brackets */
        uint16_t port;
        uint16_t tpgt;
} DlIscsiFoundPortal;

typedef struct DlIscsiFoundTarget {
        char *iqn; /* checked: a valid iSCSI name of at most 223 bytes (RFC 7143, 4.2.7) */
        DlIscsiFoundPortal *portals;
        size_t n_portals;
} DlIscsiFoundTarget;

/*
 * targets is NULL if error is set: NameResolution, PortalUnreachable (refused, reset, no route, SYN
 * unanswered), TimedOut (connected, then silent), AuthFailed, ProtocolError (garbage),
 * TargetNotFound, LimitsExceeded, InvalidArgs (no address, no iSCSI name, a CHAP user without a
 * password, twice the same password), Cancelled (the initiator is going away).
 */
typedef void (*DlIscsiDiscovered)(const DlIscsiFoundTarget *targets, size_t n_targets,
                                  const GError *error, void *userdata);

/* SendTargets=All (RFC 7143, appendix C). */
DlIscsiOperation *dl_iscsi_discover(DlIscsi *iscsi, const DlIscsiPortal *portal,
                                    const DlIscsiCredentials *credentials, DlIscsiDiscovered done,
                                    void *userdata);

/* ---- inspection --------------------------------------------------------------------------- */

typedef struct DlIscsiLun {
        uint64_t lun;  /* the number, decoded from any addressing method (SAM-5, 4.7) */
        GError *error; /* why this LUN could not be inspected; the rest of the struct then holds
                        * what was learnt before. One bad LUN does not harm the others. */
        bool ready;    /* TEST UNIT READY is GOOD */
        bool told_protection; /* it was asked for what comes next: only where LUNs are given */
        bool write_protected; /* MODE SENSE: the WP bit; false if the LUN does not say */
        uint8_t device_type;  /* SPC-6, peripheral device type: 0 is a disk */
        char *guid;           /* NULL if it has none */
        char *fingerprint;    /* hex digest of what page 0x83 says about the LUN (not about the port
                               * or the target, which differ by path): two LUNs of one GUID that differ
                               * here are not the same LUN; NULL without the page */
        char *vendor, *product, *revision, *serial;       /* printable, trimmed, never NULL */
        uint64_t capacity;                                /* bytes */
        uint32_t logical_block_size, physical_block_size; /* bytes */
        uint64_t discard_max_bytes;                       /* 0: no UNMAP */
} DlIscsiLun;

typedef struct DlIscsiInspection {
        uint16_t tpgt; /* of the portal group that took the login; 0 if not told */
        /* The numeric portals that the connection went to, "192.0.2.1:3260" or
         * "[2001:db8::1]:3260", NULL-terminated: what the address means, then each redirection. */
        const char *const *way;
        const DlIscsiLun *luns; /* by ascending number; with given numbers exactly those */
        size_t n_luns;
} DlIscsiInspection;

/* inspection is NULL if error is set; errors as for discovery. */
typedef void (*DlIscsiInspected)(const DlIscsiInspection *inspection, const GError *error,
                                 void *userdata);

/*
 * Logs in to one target through one portal and inspects its LUNs: all that REPORT LUNS names if
 * n_luns is 0, else only the n_luns given ones (a number that the target does not have gets
 * LunNotVisible in its entry); these are also asked whether they are write-protected. The
 * commands of all LUNs are pipelined. UNIT ATTENTION is retried a
 * bounded number of times.
 */
DlIscsiOperation *dl_iscsi_inspect(DlIscsi *iscsi, const char *iqn, const DlIscsiPortal *portal,
                                   const DlIscsiCredentials *credentials, const uint64_t *luns,
                                   size_t n_luns, DlIscsiInspected done, void *userdata);

/* ---- reading ------------------------------------------------------------------------------- */

#define DL_ISCSI_EXTENT_MAX ((uint32_t)1024 * 1024)

/* A piece of a LUN, of whole blocks; at most DL_ISCSI_EXTENT_MAX bytes. */
typedef struct DlIscsiExtent {
        uint64_t lun;
        uint32_t block_size; /* bytes: the logical block size of the LUN */
        uint64_t offset;     /* bytes */
        uint32_t size;       /* bytes */
} DlIscsiExtent;

typedef struct DlIscsiPiece {
        GBytes *data;  /* exactly as many bytes as asked for; NULL if error is set */
        GError *error; /* one piece that cannot be read does not harm the others */
} DlIscsiPiece;

/* pieces, in the order of the extents, are NULL if error is set; errors as for discovery. */
typedef void (*DlIscsiRead)(const DlIscsiPiece *pieces, size_t n_pieces, const GError *error,
                            void *userdata);

/* Logs in to one target through one portal and reads pieces of its LUNs, all of them side by side.
 */
DlIscsiOperation *dl_iscsi_read(DlIscsi *iscsi, const char *iqn, const DlIscsiPortal *portal,
                                const DlIscsiCredentials *credentials, const DlIscsiExtent *extents,
                                size_t n_extents, DlIscsiRead done, void *userdata);

/* ---- names -------------------------------------------------------------------------------- */

/* Whether s is a valid iSCSI name: iqn., eui. or naa. form, at most 223 bytes (RFC 7143, 4.2.7). */
bool dl_iscsi_name_is_valid(const char *s);

/* The LUN number as QEMU's "…/N" wants it: ≥ 256 in flat addressing, 0x4000 | N. Up to 16383. */
unsigned dl_iscsi_lun_for_qemu(uint64_t lun);
uint64_t dl_iscsi_lun_from_qemu(unsigned n);
