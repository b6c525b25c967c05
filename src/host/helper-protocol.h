/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What the service and its helper, which is root, say to each other over a SOCK_SEQPACKET socket: a
 * connection is one request and one answer, each one packet of a fixed size. Both come from the
 * same build, so there is no version but the magic number. Pure; any thread.
 */

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#define DL_HELPER_MAGIC 0x444c4801u

typedef enum DlHelperVerb {
        DL_HELPER_LOGIN = 1,   /* iqn, address, port, tpgt; maybe iface and CHAP. Gives the sid */
        DL_HELPER_LOGOUT,      /* sid, iqn, address, port: only of a session that the helper made */
        DL_HELPER_SCAN,        /* sid, iqn, lun: makes one LUN appear */
        DL_HELPER_RESCAN_PATH, /* device, guid: its size is read again */
        DL_HELPER_DELETE_PATH, /* device, guid: the SCSI disk goes, if nobody has it open for
                                  himself */
        DL_HELPER_FLUSH_MAP,   /* guid: multipath's map goes, if nobody uses it */
        DL_HELPER_FAIL_QUEUED, /* guid: for 4 s what waits in the map for a path fails */
        DL_HELPER_RESIZE_MAP,  /* guid: the map becomes as large as its paths */
        DL_HELPER_READ,        /* device, guid, offset, size. Gives the bytes */
        DL_HELPER_IDENTIFY, /* device, guid: whether the disk itself says that this is its GUID */
        _DL_HELPER_VERB_MAX,
} DlHelperVerb;

enum {
        DL_HELPER_READ_MAX = 1024 * 1024, /* bytes */
        DL_HELPER_TIMEOUT_MAX = 300000,   /* ms */
};

/* What a verb does not take is zero, and so is what follows the NUL of a string. */
typedef struct DlHelperRequest {
        uint32_t magic;
        uint32_t verb;
        uint32_t timeout_ms; /* then the answer is TimedOut */
        uint32_t sid;
        uint32_t major, minor; /* of the device */
        uint32_t size;         /* bytes */
        uint16_t port;
        uint16_t tpgt;
        uint64_t lun;
        uint64_t offset;       /* bytes */
        char iqn[224];         /* RFC 7143, 4.2.7: at most 223 bytes */
        char address[48];      /* numeric, IPv6 without brackets */
        char iface[48];        /* of open-iscsi, whose network binding is to be used; "": none */
        char guid[256];        /* what the device must be */
        char user[256];        /* CHAP; "": none */
        char secret[256];      /* only on the wire */
        char target_user[256]; /* mutual CHAP; "": one-way */
        char target_secret[256];
} DlHelperRequest;

#define DL_HELPER_OK UINT32_MAX

/* With it comes, for DL_HELPER_READ, a sealed memfd with the bytes. */
typedef struct DlHelperReply {
        uint32_t magic;
        uint32_t code; /* DL_HELPER_OK, or a DlErrorCode */
        uint32_t sid;
        uint32_t size; /* of what was read */
        char message[496];
} DlHelperReply;

/* Whether the bytes are a request that may be acted upon; ret is untouched if not. */
bool dl_helper_request_parse(const void *bytes, size_t size, DlHelperRequest *ret);
bool dl_helper_request_check(const DlHelperRequest *request);

/* Whether it can be the name of an interface of an administrator: not of ours. */
bool dl_helper_is_interface(const char *name);

/* The answer's error, a DL_ERROR; NULL if it is none. What is no answer is ProtocolError. */
GError *dl_helper_reply_error(const void *bytes, size_t size);

/* Copies; false if it is too long for the field. */
bool dl_helper_put(char *field, size_t size, const char *value);
#define DL_HELPER_PUT(request, field, value)                                                       \
        dl_helper_put((request)->field, sizeof(request)->field, (value))
