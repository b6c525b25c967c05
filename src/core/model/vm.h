/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A libvirt domain, as last seen, and its attachments, which live in it. Loop thread only. */

#include "core/model/object.h"
#include "virt/domain-xml.h"
#include "virt/virt.h"

struct DlVm {
        DlObject object; /* id: the domain's UUID */
        char *name;
        DlVirtState state;
        bool persistent, autostart;
        DlDomain *live;         /* NULL if not active */
        DlDomain *inactive;     /* NULL if transient */
        GPtrArray *named_guids; /* char *: LUNs that disks of others name as block devices, or
                                 * that ours have by mistake */
        GQueue queue;           /* DlOperation that want it; the head has it */
        unsigned n_aside;       /* operations that will want it again */
        DlVirtCall *look;       /* a look at it under way */
        bool look_again;
        GHashTable *volumes; /* as DlVirtDomain has them */
        bool looks_held, look_held_back;
        bool unreadable; /* what libvirt says of the running domain cannot be parsed: live is what
                          * was known before */
        DlVirtCall *size_look;  /* a look at the sizes of its disks under way */
        uint64_t required_mark; /* a digest of the required targets that were announced last */
        uint64_t asked;         /* the newest answer that was taken over, see DlVirtDomain */
        char *kept; /* alias of a disk that is plugged in again if the guest releases it after all
                     */
        char *releasing; /* alias of the disk that an operation waits for the guest to release */
        void (*released)(bool released, void *userdata);
        void *released_userdata;
        bool starting;                   /* Run has proven its disks, and is starting it */
        void (*stopped)(void *userdata); /* an operation waits for its end */
        void *stopped_userdata;
};

bool dl_vm_is_wanted(const DlVm *vm); /* by an operation */
bool dl_vm_is_active(const DlVm *vm);
const char *dl_vm_host(const DlVm *vm); /* the host that runs it; "" if none */
GPtrArray *dl_vm_attachments(DlVm *vm); /* DlAttachment, borrowed; free the array */
GPtrArray *dl_vm_required_targets(
        DlVm *vm); /* DlTarget, borrowed; free the array: those of the
                    * attachments that it would start with, or runs with */

/* By UUID or name. NULL with VmNotFound, or LibvirtError while there is no connection. */
DlVm *dl_core_find_vm(DlCore *core, const char *name_or_uuid, GError **error);

struct DlAttachment {
        DlObject object; /* id: UUIDv5 of VM and vDisk */
        DlVm *vm;
        DlDomainAttachment *meta; /* as in the domain's metadata */
        bool plugged;             /* the disk is in the running domain */
        bool by_block;            /* plugged, or going to be, as a block device of the host */
        bool in_config;           /* the disk is in the persistent domain: it starts with it */
        bool left_out;            /* the VM was started without it, and is to have it as soon as it
                                   * is reachable */
        uint64_t retry_usec;      /* left out, and plugging it has failed: not before (monotonic) */
        uint64_t retry_pause_usec; /* the last pause before such a try; 0: none has failed */
        char *target_dev;          /* "vda"; "" if in neither */
        DlAddress *address;        /* as the domain has it, else as asked for; may be NULL */
        DlLastError last_error;
        char *shown; /* GUID of the LUN that the running VM has in its place; NULL: it is right */

        /* see guest-size.h */
        uint64_t guest_capacity;    /* bytes that the running guest sees; 0: not plugged, or not
                                     * known (yet) */
        uint64_t refused_capacity;  /* that QEMU did not take; 0: none */
        const char *resize_pending; /* "", "refresh", "replug", "restart": as last announced */
};

DlVDisk *dl_attachment_vdisk(const DlAttachment *attachment); /* NULL if it was deleted */
