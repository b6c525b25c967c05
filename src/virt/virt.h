/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * libvirt, without ever blocking the loop: calls run on the worker pool, those that change a domain
 * one at a time for each domain (reading goes on beside them); events come from libvirt's own event
 * loop on a thread of its own and are queued here. The connection is made on start and made again,
 * with growing pauses, whenever libvirtd goes away.
 *
 * Callbacks run on the loop thread, never from within the call, and not after a cancel. Results are
 * borrowed for the callback's duration. All functions: loop thread only.
 */

#include "loop/workers.h"

#include <stdbool.h>

typedef struct DlVirt DlVirt;
typedef struct DlVirtCall DlVirtCall;

typedef enum DlVirtState {
        DL_VIRT_SHUTOFF,
        DL_VIRT_RUNNING,
        DL_VIRT_PAUSED,
        DL_VIRT_SHUTDOWN, /* being shut down */
        DL_VIRT_CRASHED,
        DL_VIRT_SUSPENDED, /* by the guest's power management */
        _DL_VIRT_STATE_MAX,
} DlVirtState;

/* "shutoff", "running", "paused", "shutdown", "crashed", "suspended" */
const char *dl_virt_state_name(DlVirtState state);
bool dl_virt_state_is_active(DlVirtState state); /* has a QEMU process */

/* A domain as it was when asked: both XMLs are read under one look-up. */
typedef struct DlVirtDomain {
        char *uuid;
        char *name;
        DlVirtState state;
        bool persistent, autostart;
        char *live_xml;      /* NULL if not active */
        char *inactive_xml;  /* NULL if not persistent */
        GHashTable *volumes; /* of storage pools, that its disks name: see dl_domain_volume_key() →
                              * path; NULL: libvirt cannot tell. NULL: none */
        uint64_t asked;      /* grows with every call: of two answers, which was asked for later */
} DlVirtDomain;

typedef struct DlVirtEvents {
        /* The connection is up (first, and after each reconnection: look at every domain again), or
         * was lost, or the first attempt to make it failed. */
        void (*connected)(void *userdata);
        void (*disconnected)(void *userdata);
        /* Something about this domain changed: defined, undefined, started, stopped, paused,
         * resumed, metadata, device added or removed by anybody. Look at it again. */
        void (*domain_changed)(const char *uuid, void *userdata);
        /* The guest released, or refused to release, the device of this alias. */
        void (*device_removed)(const char *uuid, const char *alias, void *userdata);
        void (*device_removal_failed)(const char *uuid, const char *alias, void *userdata);
        /* A disk had an I/O error; action: "none", "pause", "report". */
        void (*io_error)(const char *uuid, const char *alias, const char *action, void *userdata);
} DlVirtEvents;

/* Starts connecting to the URI ("qemu:///system") in the background. Negative errno. */
int dl_virt_new(sd_event *event, DlWorkers *workers, const char *uri, const DlVirtEvents *events,
                void *userdata, DlVirt **ret);
/* Takes NULL; no callback comes after it. Not from within a callback of an event. */
void dl_virt_free(DlVirt *virt);

/*
 * Opening and closing a connection go on in the background after dl_virt_free(), because libvirtd
 * may be slow to answer. At the end of the process, after the workers were freed too: blocks until
 * that has ended, so that nothing uses libraries that are being torn down, or the time has passed.
 * Whether all has ended.
 */
bool dl_virt_drain(uint64_t timeout_usec);

/* A change of this domain that nobody waits for any more still runs: when it ends, domain_changed
 * is sent, and only then what the domain says is final. */
bool dl_virt_has_late_call(const DlVirt *virt, const char *uuid);

bool dl_virt_is_connected(const DlVirt *virt);

/*
 * Every call ends in its callback with error NULL or one of: VmNotFound, VmNotRunning, VmRunning,
 * NotAttached (no disk of that alias in each of the places to detach it from),
 * LibvirtError with libvirt's message and code for all else, no connection included, TimedOut when
 * timeout_usec passed. After TimedOut or a cancel the RPC, if a worker had begun it, may still take
 * effect later; whoever needs to know looks at the domain again (domain_changed is sent when such a
 * call ends late).
 */
typedef void (*DlVirtDone)(const GError *error, void *userdata);
typedef void (*DlVirtGotDomain)(const DlVirtDomain *domain, const GError *error, void *userdata);
typedef void (*DlVirtListed)(DlVirtDomain *const *domains, size_t n_domains, const GError *error,
                             void *userdata);

typedef enum DlVirtAffect {
        DL_VIRT_LIVE = 1 << 0,
        DL_VIRT_CONFIG = 1 << 1,
} DlVirtAffect;

#define DL_VIRT_TIMEOUT_USEC (30 * G_USEC_PER_SEC) /* for calls that do not wait for a guest */

DlVirtCall *dl_virt_list_domains(DlVirt *virt, DlVirtListed done, void *userdata);
/* Those whose XML contains any of the texts (NULL-terminated; no line breaks in them). */
DlVirtCall *dl_virt_find_domains(DlVirt *virt, const char *const *texts, DlVirtListed done,
                                 void *userdata);
DlVirtCall *dl_virt_get_domain(DlVirt *virt, const char *uuid, DlVirtGotDomain done,
                               void *userdata);

/* What a running VM sees of a disk. QEMU learns a size when it opens the disk, and when it is told
 * to look again. */
typedef struct DlVirtDiskSize {
        char *alias;
        uint64_t bytes;
} DlVirtDiskSize;

typedef void (*DlVirtGotSizes)(DlVirtDiskSize *const *sizes, size_t n_sizes, const GError *error,
                               void *userdata);

/* Of all disks of a running VM that QEMU knows the size of. VmNotRunning. */
DlVirtCall *dl_virt_get_disk_sizes(DlVirt *virt, const char *uuid, DlVirtGotSizes done,
                                   void *userdata);
/*
 * Makes QEMU read the size of the LUN anew and tell the guest. bytes: not more than the LUN has, or
 * LibvirtError; QEMU takes what the LUN has then, even if that is more, or less than before.
 * NotAttached, VmNotRunning.
 */
DlVirtCall *dl_virt_resize_disk(DlVirt *virt, const char *uuid, const char *alias, uint64_t bytes,
                                DlVirtDone done, void *userdata);

DlVirtCall *dl_virt_start(DlVirt *virt, const char *uuid, uint64_t timeout_usec, DlVirtDone done,
                          void *userdata);
/*
 * Starts it without the disks of these aliases (NULL-terminated): they stay in the persistent
 * domain, which comes back when it is off. The running one says of them that they are left out. In
 * one step: there is nothing to take back. A VM whose memory was saved has to be started with all
 * the disks that it had: LibvirtError.
 */
DlVirtCall *dl_virt_start_without(DlVirt *virt, const char *uuid, const char *const *aliases,
                                  uint64_t timeout_usec, DlVirtDone done, void *userdata);
/* Asks the guest to shut down (ACPI); success is a request only. */
DlVirtCall *dl_virt_shutdown(DlVirt *virt, const char *uuid, DlVirtDone done, void *userdata);
/* Powers off: SIGTERM first, so that QEMU can flush, then SIGKILL (VIR_DOMAIN_DESTROY_GRACEFUL,
 * then plain). Success: it is off, also if it was before. */
DlVirtCall *dl_virt_destroy(DlVirt *virt, const char *uuid, DlVirtDone done, void *userdata);

DlVirtCall *dl_virt_attach_device(DlVirt *virt, const char *uuid, const char *xml,
                                  DlVirtAffect affect, uint64_t timeout_usec, DlVirtDone done,
                                  void *userdata);
/* The same (affect has DL_VIRT_LIVE), and reads the domain then. domain NULL without an error: the
 * device is there, and the domain could not be read. */
DlVirtCall *dl_virt_plug_device(DlVirt *virt, const char *uuid, const char *xml,
                                DlVirtAffect affect, uint64_t timeout_usec, DlVirtGotDomain done,
                                void *userdata);
/* Adds a disk element with a boot order to a persistent domain that has <os><boot dev='hd'/>, which
 * libvirt adds by itself: its first disk gets an order that says the same, in the same step. */
DlVirtCall *dl_virt_attach_boot_disk(DlVirt *virt, const char *uuid, const char *xml,
                                     DlVirtDone done, void *userdata);
/* Replaces the disk that has the same target, in one step. */
DlVirtCall *dl_virt_update_device(DlVirt *virt, const char *uuid, const char *xml,
                                  DlVirtAffect affect, DlVirtDone done, void *userdata);
/* Live: a request, whatever it says; only device_removed is the truth. */
DlVirtCall *dl_virt_detach_device(DlVirt *virt, const char *uuid, const char *alias,
                                  DlVirtAffect affect, uint64_t timeout_usec, DlVirtDone done,
                                  void *userdata);
/* xml NULL removes our element. DL_VIRT_LIVE | DL_VIRT_CONFIG: both in one, or the one that the
 * domain has if it is not active or not persistent. */
DlVirtCall *dl_virt_set_metadata(DlVirt *virt, const char *uuid, const char *xml,
                                 DlVirtAffect affect, DlVirtDone done, void *userdata);

/* Ends when no call of others that changes the domain is under way: a former run of the service,
 * for example, whose last call goes on without it. */
DlVirtCall *dl_virt_wait_for_others(DlVirt *virt, const char *uuid, DlVirtDone done,
                                    void *userdata);

/* Defines (or redefines) an ephemeral, private iSCSI secret and sets its value. usage: the
 * <target> of its <usage>. The value is copied into memory that is wiped. */
struct DlSecret;
DlVirtCall *dl_virt_set_secret(DlVirt *virt, const char *secret_uuid, const char *usage,
                               struct DlSecret *value, DlVirtDone done, void *userdata);
DlVirtCall *dl_virt_forget_secret(DlVirt *virt, const char *secret_uuid, DlVirtDone done,
                                  void *userdata);

/* ---- images (image-calls.c) ----
 *
 * Files of qcow2 in a directory of the host, made and removed by libvirt's storage driver: it has
 * the rights for that, and QEMU's. An image says nothing of what is below it: the domain does. */

/* An empty image of so many bytes. LimitsExceeded if the file system has less than free_min bytes
 * left. A file that is there is an error, or (keep) stays as it is. */
DlVirtCall *dl_virt_create_image(DlVirt *virt, const char *file, uint64_t bytes, uint64_t free_min,
                                 bool keep, DlVirtDone done, void *userdata);
/* One that is not there is deleted. */
DlVirtCall *dl_virt_delete_image(DlVirt *virt, const char *file, DlVirtDone done, void *userdata);

/* LimitsExceeded if what the image takes would not fit beside it a second time. */
DlVirtCall *dl_virt_check_room(DlVirt *virt, const char *file, DlVirtDone done, void *userdata);

/* ---- overlays of disks (snapshot-calls.c) ---- */

/* From one moment on the running domain writes to the image instead of what it has written to, and
 * sees no difference. No other disk is touched. agent_sec: the guest's file systems are frozen
 * for the moment, by its agent, which has to answer a question in so long before; 0: they are not.
 */
DlVirtCall *dl_virt_snapshot(DlVirt *virt, const char *uuid, const char *alias, const char *file,
                             unsigned agent_sec, uint64_t timeout_usec, DlVirtDone done,
                             void *userdata);

/* The persistent domain's disk gets these overlays (NULL-terminated, the uppermost first) over the
 * source that it has. */
DlVirtCall *dl_virt_set_images(DlVirt *virt, const char *uuid, const char *alias,
                               const char *const *images, DlVirtDone done, void *userdata);

/* Begins to write what an overlay of the running domain has into what is right below it.
 * bytes_per_sec 0: as fast as it can. */
DlVirtCall *dl_virt_commit_image(DlVirt *virt, const char *uuid, const char *alias,
                                 const char *file, uint64_t bytes_per_sec, uint64_t timeout_usec,
                                 DlVirtDone done, void *userdata);

typedef struct DlVirtBlockJob {
        bool running;
        bool ready; /* the uppermost overlay's commit has caught up, and waits to be ended */
        uint64_t done, total;
} DlVirtBlockJob;

typedef void (*DlVirtGotBlockJob)(const DlVirtBlockJob *job, const GError *error, void *userdata);
DlVirtCall *dl_virt_get_block_job(DlVirt *virt, const char *uuid, const char *alias,
                                  DlVirtGotBlockJob done, void *userdata);
/* pivot: the domain goes on with what was written to; only when it is ready. Else the overlay stays
 * in use; a job that has ended is no error then. */
DlVirtCall *dl_virt_end_block_job(DlVirt *virt, const char *uuid, const char *alias, bool pivot,
                                  DlVirtDone done, void *userdata);

/*
 * What QEMU's monitor answers to a command of QMP; both are JSON. That QEMU refuses is an answer,
 * too. libvirt marks the domain as one that has been meddled with ("tainted: custom-monitor"): only
 * for what libvirt does not know of. VmNotRunning.
 */
typedef void (*DlVirtAnswered)(const char *reply, const GError *error, void *userdata);
DlVirtCall *dl_virt_ask_qemu(DlVirt *virt, const char *uuid, const char *command,
                             DlVirtAnswered done, void *userdata);

void dl_virt_cancel(DlVirtCall *call); /* no callback after this; takes NULL */
