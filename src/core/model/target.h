/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* An iSCSI target, its portals, and whether and for whom it is kept connected. Loop thread only. */

#include "core/model/object.h"
#include "util/secret.h"

typedef enum DlTargetState {
        DL_TARGET_DISCONNECTED, /* nobody needs it */
        DL_TARGET_CONNECTING,
        DL_TARGET_CONNECTED, /* proven on every portal */
        DL_TARGET_DEGRADED,  /* proven on some portal */
        DL_TARGET_FAILED,    /* needed, and on no portal reachable */
        _DL_TARGET_STATE_MAX,
} DlTargetState;

/* "disconnected" … */
const char *dl_target_state_name(DlTargetState state);

typedef struct DlPortal {
        char *address; /* IPv6 without brackets */
        uint16_t port;
        uint16_t tpgt;
        char **way; /* the numeric portals that the last good connection went to; NULL: not known */
        DlTargetState state;
        DlLastError last_error;
} DlPortal;

struct DlTarget {
        DlObject object;    /* id: the IQN */
        GPtrArray *portals; /* DlPortal */
        DlTargetState state;
        DlLastError last_error;

        /* CHAP; secrets are NULL if none. In mutual CHAP the target proves itself as target_user.
         */
        char *user, *target_user;
        DlSecret *secret, *target_secret;

        bool pinned;              /* Connect with "pin": kept until Unmanage */
        uint64_t held_until_usec; /* Connect: kept until its first user is gone, or until then
                                   * (monotonic); 0: not held */
        bool was_used;            /* has, or had, a user since it was held */
        bool was_managed;         /* what was announced last */
        unsigned n_jobs;          /* running jobs that need it */
        bool leaving;             /* its row is being removed, and nobody has wanted it since */
        bool secret_given;        /* libvirt has its CHAP secret, or may have */
        GPtrArray *connects;      /* DlConnect in flight */

        bool by_kernel;   /* its connection is sessions of the host's kernel (data path block) */
        GStrv interfaces; /* of open-iscsi, that the kernel's sessions go through; NULL: none named
                           */
        char *data_path_why;        /* for people; NULL: nothing was chosen */
        bool foreign;               /* the kernel has sessions with it that others have made */
        bool has_sessions;          /* and such as we have made */
        GPtrArray *kernel_connects; /* DlKernelConnect in flight */
        struct DlKernelPlan *leave; /* our sessions are being ended; NULL: they are not */
        GPtrArray *leavings;        /* DlKernelLeaving: who waits for that */
        uint64_t leave_again_usec;  /* when to try that again (monotonic) */
        uint64_t users_mark;        /* a digest of the users that were announced last */
        bool checking;              /* the periodic check runs */
        uint64_t next_check_usec;   /* monotonic; 0: none is due */
        uint64_t retry_usec;        /* the last pause between looks for what a VM misses */
        GArray *resized; /* uint64_t: LUNs that told that their sizes have changed, and were
                          * not looked at since */
};

/* A DlIscsiResized of the core: the LUN is looked at soon, if somebody needs the target. */
void dl_targets_on_resized(const char *iqn, uint64_t lun, void *core);

/* By what initiator it is connected: "block", "qemu"; "": nothing was chosen. */
const char *dl_target_data_path(const DlTarget *target);
/* Is kept over restarts. why NULL: nothing is chosen any more. */
void dl_target_set_data_path(DlTarget *target, bool by_kernel, const char *why);

/* interfaces: NULL-terminated; NULL: none is named any more. */
void dl_target_set_interfaces(DlTarget *target, const char *const *interfaces);

bool dl_target_is_managed(const DlTarget *target);
bool dl_target_has_credentials(const DlTarget *target);

/* Published attachments, plugged in running VMs, that reach their LUN through this target. */
GPtrArray *dl_target_users(DlTarget *target); /* DlAttachment, borrowed; free the array */

/* Published LUNs that were last seen here. */
GPtrArray *dl_target_luns(const DlTarget *target); /* DlLun, borrowed; free the array */
