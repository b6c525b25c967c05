/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A block device, by its GUID, however many paths lead to it. Loop thread only. */

#include "content/content.h"
#include "core/model/object.h"

typedef enum DlLunStatus {
        DL_LUN_FREE,
        DL_LUN_USED,
        DL_LUN_UNUSABLE,
        DL_LUN_UNKNOWN, /* known from before, not seen since the start or its target's release */
        _DL_LUN_STATUS_MAX,
} DlLunStatus;

/* "free", "used", "unusable", "unknown" */
const char *dl_lun_status_name(DlLunStatus status);

typedef struct DlPath {
        char *iqn;
        char *address;
        uint16_t port;
        uint16_t tpgt;
        uint64_t lun;
        uint64_t capacity;  /* bytes, as this path shows it */
        char *serial;       /* never NULL */
        char *fingerprint;  /* of page 0x83; may be NULL */
        bool seen;          /* since the start of the service, at the last look at its portal */
        uint64_t seen_usec; /* when (monotonic) */
        DlLastError last_error;
} DlPath;

struct DlLun {
        DlObject object;  /* id: the GUID */
        GPtrArray *paths; /* DlPath */
        DlLunStatus status;
        char *reason;      /* for people; "" if free */
        GStrv holders;     /* who uses it: "vm:NAME"; never NULL */
        uint64_t capacity; /* bytes */
        uint64_t promised; /* bytes that its attachments count on; 0: it has none */
        char *vendor, *product, *serial, *revision;       /* never NULL */
        uint32_t logical_block_size, physical_block_size; /* bytes */
        uint64_t discard_max_bytes;
        uint8_t device_type; /* SPC-6; 0: disk */
        bool write_protected;
        bool is_nvme;              /* by the kernel: it takes no SCSI commands */
        DlContent *content;        /* NULL: not looked at yet */
        uint64_t content_usec;     /* when it was read (monotonic); 0: that is to be done again */
        DlLastError content_error; /* why it could not be looked at */
        char *stored;              /* its row as last written */
        DlLastError mismatch;      /* what a path of the kernel's has said that is another LUN */
        struct DlPathProof *watch; /* NULL: nobody is looking (path-watch.h) */
        bool is_watch_outdated;    /* something has changed since it began */
        struct DlSizeWatch *size_watch; /* NULL: its target has told nothing new (size-watch.h) */
};

/* "iSCSI", "FCP", "local", or "MIXED": how its ways lead to it (lun-kernel.c) */
const char *dl_lun_type(const DlLun *lun);
const char *dl_path_state(const DlPath *path); /* "active", "failed", "unknown" */
/* That has claimed it, or whose volume group is on it; "" if there is none. */
const char *dl_lun_storage_domain(const DlLun *lun);
DlVDisk *dl_lun_vdisk(const DlLun *lun); /* NULL if there is none */
/* "" if the initiator uses no name at this target; the user of CHAP, never a secret */
const char *dl_path_user(const DlLun *lun, const char *iqn);
