/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * libvirt domain XML: bytes in, structs out, and back. Pure: no I/O, no network, no entities,
 * bounded size (untrusted input: another client may have written the domain). Any thread.
 */

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#define DL_METADATA_URI "http://ovirt.org/directlun/1"
#define DL_METADATA_KEY "directlun" /* the prefix that libvirt is told to use */

/* The address of a device, as libvirt's <address> and as oVirt's dictionary: keys and values are
 * their attributes ("type" → "pci", "domain" → "0x0000" …). NULL: none. Owned by its struct. */
typedef GHashTable DlAddress; /* char* → char* */

DlAddress *dl_address_new(void);
DlAddress *dl_address_copy(const DlAddress *address); /* NULL for NULL */

/*
 * Whether an address that somebody asks for can be one: of type pci, drive or ccw, with only that
 * type's parts in it and every number (decimal, or hexadecimal with 0x) in its range; else false
 * with InvalidArgs. What is not known is never written to XML.
 */
bool dl_address_check(const DlAddress *address, GError **error);

/* A part that is a number ("slot"), however it is written; 0 without it. */
unsigned dl_address_number(const DlAddress *address, const char *name);
bool dl_address_is(const DlAddress *address, const char *type);
/* Part by part the same number; NULL is only equal to NULL. */
bool dl_address_equal(const DlAddress *a, const DlAddress *b);
char *dl_address_to_text(const DlAddress *address); /* "pci 0000:01:00.0", "drive 0:0:0:5" */

/* One overlay of a disk. */
typedef struct DlDomainImage {
        char *file;
        unsigned
                index; /* libvirt's name for it in a running domain is DEV[index]; 0: it has none */
} DlDomainImage;

/* One <disk> of a domain. Strings are NULL when the XML does not have them. */
typedef struct DlDomainDisk {
        char *alias;      /* <alias name>; user aliases begin with "ua-" */
        char *device;     /* "disk", "lun", "cdrom", "floppy" */
        char *type;       /* "network", "block", "file" … */
        char *bus;        /* "virtio", "scsi", "sata", "ide", "usb" … */
        char *target_dev; /* "vda" */
        char *serial;
        char *source;    /* network: "iqn/N" as written; block: dev; file: file; volume: its name */
        char *pool;      /* volume: the name of its storage pool */
        char *protocol;  /* network: "iscsi" … */
        char *host_name; /* network: of the first <host> */
        uint16_t host_port; /* 0: not given */
        bool shareable, readonly;
        unsigned boot_order; /* 0: none */
        DlAddress *address;

        /* Over a network or block source: its overlays, the uppermost first. type to host_port are
         * then of what is below them all. */
        GPtrArray *images;
        unsigned base_index; /* of the source, as of an image */
        bool mirror_ready;   /* a commit of the uppermost image has caught up */
} DlDomainDisk;

/* "POOL/VOLUME" (no name of a pool has a slash), newly allocated; NULL: its source is none. */
char *dl_domain_volume_key(const DlDomainDisk *disk);

/* What is known of any device: where it is, and when it is booted from. */
typedef struct DlDomainDevice {
        char *name;  /* for people: "disk vda", "controller scsi 0", "interface" */
        char *alias; /* NULL: none */
        char *bus;   /* of a disk; tells drive addresses of scsi, sata, ide … apart. NULL: none */
        unsigned boot_order;
        DlAddress *address; /* NULL: none */
} DlDomainDevice;

typedef struct DlDomainController {
        char *type;  /* "pci", "scsi", "sata", "ide" … */
        char *model; /* "pcie-root-port", "virtio-scsi" …; "" if there is none */
        unsigned index;
        bool hotplug_off; /* nothing can be plugged in behind it */
} DlDomainController;

/* One of our attachments, as written in the domain's <metadata>. Nothing here is secret. */
typedef struct DlDomainAttachment {
        char *id;    /* attachment */
        char *vdisk; /* UUID */
        char *guid;
        char *iface;  /* "virtio", "scsi", "sata", "ide" */
        char *device; /* "disk", "lun" */
        char *iqn;    /* the target that it was last proven on */
        uint64_t lun;
        int index; /* among the disks of its iface */
        unsigned boot_order;
        bool propagate_errors, shared, optional, readonly, discard, reservations;
        bool left_out;      /* of a running domain: it was started without the disk, which was not
                             * reachable, and is to have it as soon as it is */
        char *data_path;    /* "qemu", "block", "auto": as asked for */
        char *serial;       /* what the guest sees */
        char *image;        /* uid: it reads what the vDisk was at that moment; NULL: the vDisk */
        DlAddress *address; /* as asked for, or as first given: it comes back to it */
} DlDomainAttachment;

typedef struct DlDomain {
        char *uuid;
        char *name;
        char *machine;          /* "pc-q35-7.2" */
        char *os_boot;          /* "hd", "network,hd" …: its <os><boot dev=…/>; NULL: none */
        bool metadata_broken;   /* our element is there but not all of it can be understood:
                                 * attachments has what can, and must not be written back */
        GPtrArray *disks;       /* DlDomainDisk */
        GPtrArray *attachments; /* DlDomainAttachment */
        bool guest_agent;       /* QEMU's agent answers in the guest */
        GPtrArray *devices;     /* DlDomainDevice: those with an address or a boot order */
        GPtrArray *controllers; /* DlDomainController */
} DlDomain;

/* NULL with LibvirtError if it is not domain XML (with a name and a UUID), has a DTD, or is larger
 * than 16 MiB or otherwise built to be expensive. The UUID comes in lower case. */
DlDomain *dl_domain_parse(const char *xml, GError **error);
void dl_domain_free(DlDomain *domain);
void dl_domain_disk_free(DlDomainDisk *disk);
void dl_domain_attachment_free(DlDomainAttachment *attachment);
DlDomainAttachment *dl_domain_attachment_copy(const DlDomainAttachment *attachment);

/* What it takes to write a <disk>. Everything is borrowed. */
typedef struct DlDiskSpec {
        const char *alias;  /* "ua-…" */
        const char *device; /* "disk", "lun" */
        const char *bus;    /* "virtio", "scsi", "sata", "ide" */
        const char *target_dev;
        const char *serial;    /* NULL for device lun */
        const char *node;      /* source: block device, by a name that lasts; NULL: network iscsi */
        const char *iqn;       /* source: network iscsi */
        uint64_t lun;          /* the plain number; it is encoded as QEMU wants it */
        const char *host_name; /* portal: IPv6 without brackets */
        uint16_t host_port;
        const char *initiator_name;
        const char *chap_user;   /* NULL: none */
        const char *secret_uuid; /* of the libvirt secret of chap_user */
        unsigned boot_order;     /* 0: none */
        bool propagate_errors;   /* error_policy and rerror_policy: report, else stop */
        bool shareable, readonly, discard;
        bool reservations; /* of device lun on a block device: the guest's persistent reservations
                            * are passed on by libvirt's helper for them */
        unsigned logical_block_size, physical_block_size; /* of device disk; 0 and 512: as usual */
        const DlAddress *address;                         /* NULL: libvirt chooses */
        const char *const *images; /* files of its overlays, the uppermost first; NULL: none */
} DlDiskSpec;

char *dl_disk_spec_to_xml(const DlDiskSpec *spec);

/*
 * The domain with one more disk, which has a boot order, and with the orders of devices in place of
 * <os><boot dev='hd'/>, which excludes them: that means the first disk, so that one gets the lowest
 * order that the new one leaves. NULL with LibvirtError, or InvalidArgs if it is not hd alone.
 */
char *dl_domain_with_boot_disk(const char *domain_xml, const char *disk_xml, GError **error);

/* Our element for virDomainSetMetadata with DL_METADATA_KEY and DL_METADATA_URI (it is
 * <directlun:attachments> then); NULL for an empty list. */
char *dl_metadata_to_xml(DlDomainAttachment *const *attachments, size_t n_attachments);

/*
 * The domain without the disks of these aliases (NULL-terminated), in whose attachments our element
 * says that they are left out, and of no other. Newly allocated; NULL with LibvirtError if the XML
 * cannot be read.
 */
char *dl_domain_leave_out(const char *xml, const char *const *aliases, GError **error);

/* "vda", "vdz", "vdaa", "sdb", "hda" … for the n-th (from 0) disk of a bus. */
char *dl_target_dev(const char *bus, unsigned n);

/* The first free target dev of a bus in any of the given domains (the live and the inactive one;
 * NULLs are skipped), counting from hint (-1: 0). */
char *dl_target_dev_free(const char *bus, int hint, const DlDomain *live, const DlDomain *inactive);

/*
 * The <disk> of this alias in a domain's XML, with these overlays (files, the uppermost first; NULL
 * or empty: none) over the source that it has now, and everything else as it is. NULL with
 * NotAttached (there is no such disk) or LibvirtError.
 */
char *dl_disk_with_images(const char *domain_xml, const char *alias, const char *const *images,
                          GError **error);

/* For a snapshot of one disk (by its target dev) of a domain, into a file that is there and empty:
 * every other disk is left out by name, since libvirt takes in what it is not told of. */
char *dl_snapshot_to_xml(const DlDomain *domain, const char *target_dev, const char *file);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(DlDomain, dl_domain_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DlDomainDisk, dl_domain_disk_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DlDomainAttachment, dl_domain_attachment_free)
