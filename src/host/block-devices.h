/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The block devices that this host's kernel has and that have a GUID: SCSI disks by whatever
 * transport, maps of multipath, namespaces of NVMe. Followed through udev; everything is read from
 * sysfs and udev's database, nothing from the devices themselves, so it takes no privilege and
 * never waits for a disk.
 *
 * What sysfs and udev say comes from devices, and is not trusted to be anything: text is UTF-8
 * without control characters, and all lists have limits.
 *
 * Loop thread only. Pointers that are handed out stay valid until the loop runs the next time.
 */

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <systemd/sd-event.h>

typedef enum DlBlockKind {
        DL_BLOCK_PATH, /* a SCSI disk: one way to a LUN */
        DL_BLOCK_MAP,  /* of multipath, over paths (or namespaces) of the same GUID */
        DL_BLOCK_NVME, /* a namespace, one way to it or all (native multipath) */
} DlBlockKind;

typedef enum DlBlockTransport {
        DL_BLOCK_LOCAL, /* any that has no row here */
        DL_BLOCK_ISCSI,
        DL_BLOCK_FC,
        DL_BLOCK_FCOE,
        DL_BLOCK_SAS,
        DL_BLOCK_NVME_PCIE,
        DL_BLOCK_NVME_FABRICS,
        _DL_BLOCK_TRANSPORT_MAX,
} DlBlockTransport;

/* "local", "iscsi", "fc", "fcoe", "sas", "nvme", "nvme-of" */
const char *dl_block_transport_name(DlBlockTransport transport);

/* Text is never NULL, but "" if it is not known. */
typedef struct DlBlockDevice {
        char *name;   /* the kernel's: "sda". It may be another disk's after the next event */
        char *sysfs;  /* its directory */
        dev_t devnum; /* likewise */
        char *guid;
        DlBlockKind kind;

        DlBlockTransport transport;
        char *target;  /* IQN; WWPN or SAS address ("0x5006…"); NQN */
        char *address; /* iSCSI, NVMe over IP: of the portal, without brackets */
        uint16_t port, tpgt;
        unsigned session; /* iSCSI: the kernel's number of it, as in "session3"; 0: none */
        char *host;       /* the adapter: "host3", "nvme0" */
        char *hctl;       /* "3:0:0:1" */
        uint64_t lun;     /* NVMe: the namespace's number */

        uint64_t size; /* bytes; 0: no medium, or not asked yet */
        uint32_t logical_block_size, physical_block_size; /* bytes */
        uint64_t discard_max_bytes;
        bool read_only;
        uint8_t device_type; /* SPC-6; 0: disk */
        char *vendor, *product, *revision, *serial;
        char *fingerprint; /* of page 0x83, as libiscsi's side makes it (see DlIscsiLun); may be ""
                            */

        char *state; /* the kernel's word: "running", "offline", "transport-offline", "live" … */
        bool is_failed; /* the device mapper has given up on this path, for now */
        char *map;      /* name of the map of multipath over it: "dm-3"; "": none */

        char *node; /* the name to give to QEMU, /dev/disk/by-id/…; "": it has none that lasts */
        GStrv holders;  /* who uses it on this host: see DlBlockLun */
        bool is_system; /* this host runs from it: /, /boot, /usr, swap … */
} DlBlockDevice;

/* I/O by this path can be tried: the kernel's state is good, and the device mapper's too. */
bool dl_block_device_is_active(const DlBlockDevice *device);

/* All devices of one GUID. */
typedef struct DlBlockLun {
        char *guid;
        const DlBlockDevice *map; /* of multipath; NULL if there is none */
        GPtrArray *paths;         /* const DlBlockDevice: paths and namespaces, by name */

        /* Who uses it on this host, each once: "mount:/srv", "swap:sda2", "lvm:VG/LV", "md:md0",
         * "crypt:NAME", "dm:NAME", "loop:…". A map of multipath over a path is no use. */
        GStrv holders;
        bool is_system;

        /* /dev/disk/by-id/dm-uuid-mpath-GUID of the map, else that of the only path. "": there is
         * no name that is sure to lead to it, as with several paths without a map. */
        const char *node;
} DlBlockLun;

typedef struct DlBlockDevices DlBlockDevices;

/*
 * Something about these GUIDs is new: they came, went (a look-up finds nothing then) or changed.
 * Events that come together are told together. It must not free the DlBlockDevices.
 */
typedef void (*DlBlockChanged)(const char *const *guids, size_t n_guids, void *userdata);

/* Where the kernel's tables are; NULL: in /proc. Tests have their own. */
typedef struct DlBlockSources {
        const char *mountinfo; /* /proc/self/mountinfo */
        const char *swaps;     /* /proc/swaps */
} DlBlockSources;

/* What is there already is told by the callback, from the loop, also that there is nothing (then
 * n_guids is 0). Negative errno. */
int dl_block_devices_new(sd_event *event, const DlBlockSources *sources, DlBlockChanged changed,
                         void *userdata, DlBlockDevices **ret);
void dl_block_devices_free(DlBlockDevices *devices); /* takes NULL */

/* All that was there at the start has been told. */
bool dl_block_devices_are_known(const DlBlockDevices *devices);

/* NULL: the kernel has none. */
const DlBlockLun *dl_block_devices_find(const DlBlockDevices *devices, const char *guid);
const DlBlockDevice *dl_block_devices_find_devnum(const DlBlockDevices *devices, dev_t devnum);
/* By kernel name: "sda", "dm-3". */
const DlBlockDevice *dl_block_devices_find_name(const DlBlockDevices *devices, const char *name);
/* const DlBlockLun, by GUID; for g_ptr_array_unref(). */
GPtrArray *dl_block_devices_list(const DlBlockDevices *devices);

/* Looks at all devices again, soon: for who knows that something changed of which the kernel sends
 * no event. */
void dl_block_devices_look(DlBlockDevices *devices);

/* Looks again at what is known of a GUID, now, without waiting for udev's event, and tells what has
 * changed before it returns. Pointers from before are not valid any more. */
void dl_block_devices_look_at(DlBlockDevices *devices, const char *guid);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(DlBlockDevices, dl_block_devices_free)
