/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the files of this folder share and nobody else sees. Loop thread only. */

#include "core/core.h"
#include "core/model/host.h"
#include "core/job.h"
#include "core/model/lun.h"
#include "core/model/target.h"
#include "core/model/vdisk.h"
#include "core/model/vm.h"
#include "host/block-devices.h"
#include "host/size-events.h"
#include "iscsi/iscsi.h"
#include "loop/workers.h"
#include "store/store.h"
#include "util/error.h"
#include "util/log.h"

typedef struct DlIntent DlIntent;     /* journal.h */
typedef struct DlContents DlContents; /* contents.h */
typedef struct DlLunRows DlLunRows;   /* lun-rows.h */
typedef struct DlHelper DlHelper;     /* host/helper.h */
typedef void (*DlPersisted)(const GError *error, void *userdata);

struct DlCore {
        DlCore *original; /* of a scratch copy (see scratch.h); else NULL */
        sd_event *event;
        const DlSettings *settings;
        DlCoreObserver observer;
        void *userdata;

        void (*ready)(void *userdata); /* NULL once called */
        sd_event_source *ready_deadline;

        /* Pools of their own: a libvirt that hangs must not keep the journal from being written,
         * nor a dead name server libvirt from being called. */
        DlWorkers *virt_workers, *store_worker, *resolver_workers, *content_workers;
        DlStore *store;
        DlIscsi *iscsi;
        DlVirt *virt;
        DlBlockDevices *block_devices; /* NULL: cannot be followed */
        DlSizeEvents *size_events;     /* NULL, likewise */
        bool are_devices_known;        /* all that were there at the start */
        bool is_virt_looked_at;        /* or cannot be: see dl_core_is_ready() */
        char *initiator_name;
        DlHelper *helper;         /* for what takes root */
        const char *sysfs;        /* "/sys"; static */
        const char *udev;         /* "/run/udev"; static */
        const char *unix_sockets; /* "/proc/self/net/unix"; static */
        const char *multipathd;   /* "/run/multipathd.pid"; static */

        GHashTable *objects[_DL_KIND_MAX]; /* id → object, which owns its id */
        GHashTable *luns_by_target;        /* IQN → set of DlLun with a path through it */
        GHashTable *attachments_of[4];     /* see attachment-index.h */
        GPtrArray *changed;                /* objects with something to announce */
        sd_event_source *flush;            /* runs when the loop has nothing else to do */

        GHashTable *operations; /* set of DlOperation that run */
        uint32_t last_job;
        GHashTable
                *intents; /* key → DlIntent: what a former run, or a call that ended late, left */
        GHashTable *calls;     /* userdata of a pending callback → its GDestroyNotify */
        unsigned n_writes;     /* to the store, in flight or to come */
        GHashTable *unsaved;   /* set of IQNs: what the store did not take */
        GError *unsaved_error; /* why; NULL if it has all */
        DlLunRows *lun_rows;   /* to be written: see lun-rows.h */
        DlContents *contents;
        GHashTable *claims;            /* of storage domains: see storage-domain.h */
        sd_event_source *second_look;  /* at all VMs, after a connection to libvirt */
        bool vms_known;                /* libvirt was listed: who has attachments is known */
        GQueue attach_guards;          /* DlAttachGuard, in the order in which they came */
        sd_event_source *housekeeping; /* holds that expire, checks of connections */
        sd_event_source *late_logins;  /* the next look for them: see kernel-connect.h */
        uint64_t late_until_usec;      /* monotonic: none can come after that */
};

/* ---- the core (core.c) ---------------------------------------------------------------------- */

/* There is no DlVirt before the store was read. */
bool dl_core_has_libvirt(const DlCore *core);

/* What a callback of a lower layer will get, so that it is freed if the core goes first. */
void dl_core_keep_call(DlCore *core, void *call, GDestroyNotify free_call);
/* The callback came: the call is its own now. */
void dl_core_take_call(DlCore *core, void *call);

/* ---- objects (object.c) -------------------------------------------------------------------- */

void dl_object_init(DlObject *object, DlCore *core, DlKind kind, const char *id);
/* Publishes: from now on it is found, listed and announced. */
void dl_object_publish(DlObject *object);
/* Announces that it is gone and takes it from its table; the caller frees it. */
void dl_object_unpublish(DlObject *object);
void dl_object_clear(DlObject *object); /* frees what init and others put into it */
void dl_core_objects_init(DlCore *core);
void dl_core_objects_clear(DlCore *core);
/* By id, as dl_core_list() has them. */
void dl_core_sort(GPtrArray *objects);

void dl_last_error_clear(DlLastError *e);
/* error NULL clears. Returns whether it is different from before. */
bool dl_last_error_set(DlLastError *e, const GError *error);

/* Replaces a string; returns whether it is different. */
bool dl_set_string(char **s, const char *value);

/* CLOCK_MONOTONIC, and CLOCK_REALTIME, in microseconds. */
uint64_t dl_now(void);
uint64_t dl_wallclock(void);

/* ---- targets (target.c) -------------------------------------------------------------------- */

/* Finds it, or makes, publishes and stores it. NULL with LimitsExceeded. */
DlTarget *dl_target_ensure(DlCore *core, const char *iqn, GError **error);
DlTarget *dl_target_new(DlCore *core, const char *iqn);
/* Whether a table of objects may grow. */
bool dl_core_has_room(DlCore *core, DlKind kind, GError **error);
void dl_target_free(DlTarget *target);
/* Removes one that was just made, with all that only it showed, and its secrets; nobody uses it. */
void dl_target_remove(DlTarget *target);
/* The same for one that clients know; but for the caller's job nobody must use it. done: it cannot
 * come back; with an error (EngineUnavailable; Busy: somebody has begun to use it meanwhile) it is
 * as it was. */
void dl_target_forget(DlTarget *target, DlPersisted done, void *userdata);
DlPortal *dl_target_find_portal(DlTarget *target, const char *address, uint16_t port);
/* Adds the portal, or completes its TPGT. */
DlPortal *dl_target_add_portal(DlTarget *target, const char *address, uint16_t port, uint16_t tpgt);
/* With the paths on it. */
void dl_target_remove_portal(DlTarget *target, DlPortal *portal);
/* Computes State and Managed, lets go when nobody needs it any more, and announces. */
void dl_target_update(DlTarget *target);
/* Somebody who needs it came or went: a job. */
void dl_target_acquire(DlTarget *target);
void dl_target_release(DlTarget *target);
/* Jobs, users or clients need it now. */
bool dl_target_is_needed(const DlTarget *target);
/* Updates all targets: after VMs changed. */
void dl_targets_update(DlCore *core);
/* For the initiator; borrowed. */
DlIscsiCredentials dl_target_credentials(const DlTarget *target);
void dl_target_set_credentials(DlTarget *target, const char *user, DlSecret *secret,
                               const char *target_user, DlSecret *target_secret);
void dl_target_hold(DlTarget *target);

/* ---- LUNs (lun.c, lun-merge.c, lun-status.c) ----------------------------------------------- */

/* The portal is being removed, or (NULL) the target: the paths there go. */
void dl_luns_remove_paths(DlTarget *target, const DlPortal *portal);
/* What a portal answered: takes over what is new, forgets what is gone (if full, that is: all LUNs
 * were asked for). */
void dl_luns_merge(DlTarget *target, const DlPortal *portal, const DlIscsiInspection *inspection,
                   bool full);
/* The portal, or all of the target's if NULL, was let go or failed: what was seen there is stale.
 */
void dl_luns_unsee(DlTarget *target, const DlPortal *portal, const GError *error);
DlLun *dl_lun_new(DlCore *core, const char *guid);
void dl_lun_free(DlLun *lun);
void dl_path_free(DlPath *path);
void dl_lun_add_path(DlLun *lun, DlPath *path);
/* Removes it if nothing leads to it and nobody knows it; else updates it. */
void dl_lun_remove_if_unneeded(DlLun *lun);
/* Computes Status, Reason and Holders, and announces. */
void dl_lun_update(DlLun *lun);
void dl_luns_update(DlCore *core);
/* Whether it may be plugged now: GuidNotUnique, PathsInconsistent, LunNotVisible … */
bool dl_lun_check_usable(const DlLun *lun, GError **error);
/* The id is a place, not a GUID: of a LUN that could not tell its own. */
bool dl_lun_is_nameless(const char *id);
/* A usable path on this portal, or (portal NULL) on any portal of the target. */
DlPath *dl_lun_find_path(const DlLun *lun, const char *iqn, const DlPortal *portal);

/* ---- vDisks (vdisk.c) ---------------------------------------------------------------------- */

DlVDisk *dl_vdisk_new(DlCore *core, const char *guid, const char *alias, const char *description);
void dl_vdisk_free(DlVDisk *vdisk);
DlVDisk *dl_vdisk_of_guid(DlCore *core, const char *guid);

/* ---- VMs and attachments (vm.c, attachment.c) ---------------------------------------------- */

extern const DlVirtEvents dl_vm_events; /* userdata: the core */
/* Takes over what libvirt says of a domain. */
DlVm *dl_vm_merge(DlCore *core, const DlVirtDomain *domain);
void dl_vm_gone(DlVm *vm);
/* Asks libvirt for it, takes over the answer, and settles what was left half done. */
void dl_vm_look(DlVm *vm);
/* An operation changes it, and looks when it has: until its dl_step_look(), or its end, a look that
 * somebody else's event asks for would only be in its way. */
void dl_vm_hold_looks(DlVm *vm);
void dl_vm_release_looks(DlVm *vm);
void dl_vm_free(DlVm *vm);
/* The guest was asked to release the disk, and nobody wants that any more: if it does, as long as
 * it runs, the disk is plugged in again. */
void dl_vm_keep_plugged(DlVm *vm, const char *alias);
/* Makes the VM's attachments what its domain says. */
void dl_attachments_merge(DlVm *vm);
void dl_attachment_free(DlAttachment *attachment);
/* A portal of the target has answered: whether what running VMs use is still what was proven. */
void dl_attachments_judge(DlTarget *target, const DlIscsiInspection *inspection);
/* In either domain of the VM; NULL if there is none. Borrowed. */
const DlDomainDisk *dl_vm_find_disk(const DlDomain *domain, const char *alias);
/* The alias of the disk of a vDisk: this and its id. */
#define DL_DISK_ALIAS_PREFIX "ua-directlun-" /* user aliases begin with "ua-" */
char *dl_disk_alias(const char *vdisk);
/* Told once when it does not run any more. stopped NULL: no longer. */
void dl_vm_wait_for_stop(DlVm *vm, void (*stopped)(void *userdata), void *userdata);
/* Told when the guest released, or refused to release, the disk. alias NULL: no longer. */
void dl_vm_wait_for_release(DlVm *vm, const char *alias,
                            void (*released)(bool released, void *userdata), void *userdata);
/* VMs were looked at, or cannot be for now. */
void dl_core_is_ready(DlCore *core);
/* Calls ready if that is so, and the host's block devices are known too. */
void dl_core_check_ready(DlCore *core);

/* ---- store (persist.c) --------------------------------------------------------------------- */

/* Reads everything, then calls loaded(). What cannot be understood is left as it is, and said. */
void dl_persist_load(DlCore *core, void (*loaded)(DlCore *core, const GError *error));
/* Writes behind: a cache, or something that can be found out again. */
void dl_persist_target(DlTarget *target);
/* Waits until the store has the targets as they are; an error if it could not take them. What it
 * did not take is written again with the next row that it takes. */
void dl_persist_wait_for_targets(DlCore *core, DlPersisted done, void *userdata);
/* The same, for who must not answer before it is written. */
void dl_persist_target_then(DlTarget *target, DlPersisted done, void *userdata);
void dl_persist_lun(DlLun *lun);
void dl_persist_remove_lun(DlLun *lun);
char *dl_persist_target_key(const char *iqn);
char *dl_persist_lun_key(const char *guid);
char *dl_persist_vdisk_key(const char *id);
char *dl_persist_vdisk_value(const DlVDisk *vdisk);
/* Keeps the CHAP secrets of a target in files of their own, or removes them if it has none. done
 * may be NULL. */
void dl_persist_secrets(const DlTarget *target, DlPersisted done, void *userdata);
