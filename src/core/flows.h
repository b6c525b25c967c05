/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What clients can ask for. Every function starts a job and returns it (borrowed; it lives until
 * its linger time is over), or returns NULL and sets error if the request is refused at once (bad
 * arguments, limits): then done is not called. Otherwise done is called exactly once, from the loop
 * and never from within the call, with error NULL or one of DL_ERROR; all signals that belong to
 * the result have been delivered before. Arguments are borrowed for the call. Loop thread only.
 */

#include "core/core.h"
#include "core/model/host.h"
#include "core/job.h"
#include "core/model/lun.h"
#include "core/model/target.h"
#include "core/model/vdisk.h"
#include "core/model/vm.h"

typedef void (*DlJobDone)(DlJob *job, const GError *error, void *userdata);

/* Who asks, and what every method takes. */
typedef struct DlRequest {
        uint32_t uid;
        const char *job_token; /* NULL: none */
        uint64_t timeout_usec; /* 0: the default of the operation */
        bool force;
        bool internal; /* nobody asked: the service does it by itself, and no limit is for it */
        bool dry_run;  /* only tells, in the job's report, what would be done */
        DlJobDone done;
        void *userdata;
} DlRequest;

typedef struct DlChap {
        const char *user; /* NULL: none */
        DlSecret *secret;
        const char *target_user; /* NULL: one-way */
        DlSecret *target_secret;
} DlChap;

typedef struct DlPortalArg {
        const char *address;
        uint16_t port;
        uint16_t tpgt;
} DlPortalArg;

/* result_objects: the targets that were named, new ones and known ones. Credentials, if given, are
 * kept for the targets found. Actions: discover. */
DlJob *dl_flow_discover(DlCore *core, const DlRequest *request, const char *address, uint16_t port,
                        const DlChap *chap, GError **error);

/* A target without discovery. result_objects: it. Action: discover. */
DlJob *dl_flow_add_target(DlCore *core, const DlRequest *request, const char *iqn,
                          const DlPortalArg *portals, size_t n_portals, GError **error);

/* Borrowed. */
typedef struct DlConnectSpec {
        const char *const *guids; /* NULL-terminated, may be NULL */
        bool pin;
        const char *data_path; /* NULL: "auto", which core/steps/kernel-choice.h tells of */
        unsigned n_paths;      /* by the kernel: so many of each LUN are enough; 0: all */
        const char *const
                *interfaces; /* of open-iscsi, by the kernel: NULL-terminated; may be NULL */
} DlConnectSpec;

/* Proves the target on its portals and keeps it: until Unmanage if pin, else until its first user
 * is gone or nobody came in time. With guids it succeeds only if each is there and usable:
 * LunNotVisible else. By sessions of the host's kernel there is a device of each of the guids that
 * can be used; also PathsInconsistent, TimedOut. Action: connect. */
DlJob *dl_flow_connect(DlTarget *target, const DlRequest *request, const DlConnectSpec *spec,
                       GError **error);

/* Lets go. InUse while a running VM uses it, unless force. Action: unmanage. */
DlJob *dl_flow_unmanage(DlTarget *target, const DlRequest *request, GError **error);

/* Looks at all LUNs again, without keeping the target. result_objects: its LUNs. Action: connect.
 */
DlJob *dl_flow_rescan(DlTarget *target, const DlRequest *request, GError **error);

/* chap->user "" or NULL removes them. Action: manage-credentials. */
DlJob *dl_flow_set_credentials(DlTarget *target, const DlRequest *request, const DlChap *chap,
                               GError **error);

/* Removes a target that nobody uses, with its credentials and what only it showed. InUse if an
 * attachment needs it. Action: unmanage. */
DlJob *dl_flow_forget(DlTarget *target, const DlRequest *request, GError **error);

/* result_objects: the LUNs, all or the given ones (an unknown GUID is LunNotFound), of one storage
 * type (NULL or "": any), looked at again if refresh; with check_status what is on them, too,
 * unless that was done a moment ago. Action: none; discover with refresh or check_status. */
DlJob *dl_flow_device_list(DlCore *core, const DlRequest *request, const char *const *guids,
                           const char *storage_type, bool refresh, bool check_status,
                           GError **error);

/* result_objects: the VM of this UUID or name. One that is not known is looked for in libvirt,
 * since an event of libvirt may be on its way. VmNotFound, LibvirtError. No client sees it as a
 * job. Action: none. */
DlJob *dl_flow_find_vm(DlCore *core, const DlRequest *request, const char *name_or_uuid,
                       GError **error);

/* Action: connect. result_objects: the LUN. */
DlJob *dl_flow_lun_refresh(DlLun *lun, const DlRequest *request, GError **error);

/* For the storage domain of this id. A repeat changes nothing. StorageDomainConflict; InUse unless
 * force. Action: storage-domain. */
DlJob *dl_flow_claim(DlLun *lun, const DlRequest *request, const char *domain, GError **error);

/* Removes what the host's kernel has of a LUN that is gone: InUse while a running VM has it. What
 * is only unreachable stays. Action: unmanage. */
DlJob *dl_flow_remove_stale(DlLun *lun, const DlRequest *request, GError **error);

/* A LUN that is not claimed stays so. StorageDomainConflict if it is another domain's, unless
 * force. Action: storage-domain. */
DlJob *dl_flow_release(DlLun *lun, const DlRequest *request, const char *domain, GError **error);

/* result_objects: the vDisk; result_created: it is new. alias, description: NULL for the default.
 * Action: manage-vdisk. */
DlJob *dl_flow_create_vdisk(DlCore *core, const DlRequest *request, const char *guid,
                            const char *alias, const char *description, GError **error);

/* NULL leaves as it is. Action: manage-vdisk. */
DlJob *dl_flow_vdisk_update(DlVDisk *vdisk, const DlRequest *request, const char *alias,
                            const char *description, GError **error);

/* InUse while it has attachments. The data stay. Action: manage-vdisk. */
DlJob *dl_flow_vdisk_delete(DlVDisk *vdisk, const DlRequest *request, GError **error);

/* From now on what is written to the vDisk goes to an image of its own; result_string: its uid.
 * With quiesce, a guest that runs freezes its file systems for the moment. NotShareable,
 * UnsupportedInterface, InvalidArgs (of a disk that can have none), LimitsExceeded. Action:
 * manage-vdisk. */
DlJob *dl_flow_snapshot(DlVDisk *vdisk, const DlRequest *request, bool quiesce, GError **error);

/* Writes what the image of this uid has into what is below it, under the running VM, and the image
 * is gone. VmNotRunning. Cancelable until the VM goes on without it. Action: manage-vdisk. */
DlJob *dl_flow_merge(DlVDisk *vdisk, const DlRequest *request, const char *uid,
                     uint64_t bytes_per_sec, GError **error);

/* Makes the vDisk what it was at the moment of the image; what has been written since is lost, and
 * later images are gone. Of the first, the LUN: all images are. VmRunning while it is plugged.
 * Action: manage-vdisk. */
DlJob *dl_flow_revert(DlVDisk *vdisk, const DlRequest *request, const char *uid, GError **error);

/* oVirt's device dictionary. Exactly one of guid, vdisk and inline_lun. */
typedef struct DlDeviceSpec {
        const char *guid;
        const char *vdisk; /* id */
        struct {
                const char *address;
                uint16_t port;
                const char *iqn;
                const char *guid;
                DlChap chap;
        } inline_lun; /* none if iqn is NULL */

        const char *type;         /* NULL or "disk" */
        const char *device;       /* NULL: "disk" */
        const char *iface;        /* NULL: "virtio" */
        const char *format;       /* NULL or "raw" */
        int index;                /* -1: the first free */
        const DlAddress *address; /* NULL: libvirt chooses */
        unsigned boot_order;      /* 0: none */
        bool propagate_errors, shared, optional, readonly, discard, reservations;
        int plug;                        /* -1: if the VM runs */
        const char *image;               /* to read, or the current one; NULL: the vDisk itself */
        const char *data_path;           /* NULL: "auto" */
        const char *alias, *description; /* of the vDisk, if it is made by this; NULL: default */
} DlDeviceSpec;

/* result_objects: the attachment. Actions: attach, and hot-plug if it plugs. */
DlJob *dl_flow_attach_disk(DlVm *vm, const DlRequest *request, const DlDeviceSpec *device,
                           GError **error);

/* Action: hot-plug. Repeating is no error. */
DlJob *dl_flow_plug(DlAttachment *attachment, const DlRequest *request, GError **error);
/* Another moment of the vDisk from now on, for one that is read-only; one that writes has the
 * current image, and no other. InvalidArgs. */
DlJob *dl_flow_plug_image(DlAttachment *attachment, const DlRequest *request, const char *image,
                          GError **error);
DlJob *dl_flow_unplug(DlAttachment *attachment, const DlRequest *request, GError **error);

/* For the service itself: brings the disk that the VM was started without. Nothing happens if it is
 * not missed (any more). */
DlJob *dl_flow_plug_missing(DlAttachment *attachment, const DlRequest *request, GError **error);

/* Action: attach. */
DlJob *dl_flow_detach(DlAttachment *attachment, const DlRequest *request, GError **error);

/* hosts: NULL-terminated, by preference; empty: any. result_string: the host. Action: run-vm. */
DlJob *dl_flow_run(DlVm *vm, const DlRequest *request, const char *const *hosts, GError **error);
/* The same, of the VM's disk of the vDisk that has the image. InvalidArgs. */
DlJob *dl_flow_run_image(DlVm *vm, const DlRequest *request, const char *const *hosts,
                         const char *image, GError **error);
DlJob *dl_flow_restart(DlVm *vm, const DlRequest *request, const char *const *hosts,
                       GError **error);

/* Proves what a domain that somebody else is about to start will open, as its XML has it; for
 * libvirt's hook: nothing is asked of libvirt about domains. Action: run-vm. */
DlJob *dl_flow_prepare_start(DlCore *core, const DlRequest *request, const char *xml,
                             GError **error);

/* Powers off; graceful: asks the guest and waits. Then its connections are released. Repeating is
 * no error. Action: run-vm. */
DlJob *dl_flow_stop(DlVm *vm, const DlRequest *request, bool graceful, GError **error);

/* Action: migrate. */
DlJob *dl_flow_migrate(DlVm *vm, const DlRequest *request, const char *destination, GError **error);
