/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * An initiator and a libvirt that do what a test says, linked instead of the real ones: the same
 * functions, the same rules (every callback comes from the loop, once, and not after a cancel).
 * What they play is global and the test's; forget it at the end of each.
 */

#include "host/block-devices.h"
#include "iscsi/iscsi.h"
#include "virt/virt.h"

/* ---- portals (fake-iscsi.c) ---------------------------------------------------------------- */

typedef struct FakeLun {
        uint64_t number;
        const char *guid;        /* NULL: it has none */
        const char *serial;      /* NULL: "" */
        const char *fingerprint; /* may be NULL */
        uint64_t capacity;       /* 0: 1 GiB */
        int error;               /* 0: none; a DlErrorCode: it cannot be inspected */
        uint8_t device_type;
        bool write_protected, not_ready;
        bool read_error;
        GBytes *content; /* its first bytes; the rest are zeros. NULL: all are */
} FakeLun;

/* What the portal at this address does from now on, and with what it was asked before. luns are
 * borrowed until it does something else. An unknown portal is unreachable. */
void fake_portal_shows(const char *address, const FakeLun *luns, size_t n_luns);
void fake_portal_fails(const char *address, int code);
void fake_portal_is_silent(const char *address);
/* What discovery at it names: one target, at the portals given (NULL-terminated). */
void fake_portal_names(const char *address, const char *iqn, const char *const *portals);

/* They take logins at another address, so that what QEMU is told is not what a domain keeps. */
void fake_portals_redirect(bool so);

/* A LUN answers some command with CAPACITY DATA HAS CHANGED. */
void fake_iscsi_tell_resized(const char *iqn, uint64_t lun);

unsigned fake_iscsi_in_flight(void);
unsigned fake_iscsi_n_asked(const char *address); /* but for reads */
unsigned fake_iscsi_n_read(const char *address);
void fake_iscsi_forget(void);

/* ---- block devices (fake-block.c) ----------------------------------------------------------- */

/* The host's kernel has this LUN from now on, or (NULL) has it no longer; told from the loop.
 * Borrowed until then. */
void fake_block_shows(const char *guid, const DlBlockLun *lun);
void fake_block_forget(void);
/* A path by iSCSI that works, of 4096 bytes. Its text is borrowed. */
DlBlockDevice fake_block_path(const char *name, const char *guid, dev_t devnum);

/* ---- domains (fake-domains.c) -------------------------------------------------------------- */

typedef enum FakeGuest {
        FAKE_GUEST_RELEASES,
        FAKE_GUEST_REFUSES,
        FAKE_GUEST_IS_SILENT,
} FakeGuest;

/* A domain, with one virtio-scsi controller; defined or (persistent false) transient. No event. */
void fake_domain_add(const char *uuid, const char *name, DlVirtState state, bool persistent);
void fake_domain_remove(const char *uuid);
void fake_domain_set_state(const char *uuid, DlVirtState state);
void fake_domain_start_or_stop(const char *uuid); /* as somebody else would */
/* More XML among the devices of both its domains. */
void fake_domain_add_device(const char *uuid, const char *xml);
/* Our element in its metadata: as it is, or as it is to be; both domains. */
const char *fake_domain_metadata(const char *uuid);
void fake_domain_set_metadata(const char *uuid, const char *xml);
/* The disk element; NULL if there is none. */
const char *fake_domain_disk(const char *uuid, DlVirtAffect where, const char *alias);
void fake_domain_drop_disk(const char *uuid, DlVirtAffect where, const char *alias);
void fake_guest_does(FakeGuest does);
/* The size of disks that are plugged, or started with, from now on; 1 GiB before. */
void fake_guest_sees(uint64_t bytes);
/* The files of images that there are: a set. */
GHashTable *fake_images(void);

/* ---- libvirt (fake-virt.c) ----------------------------------------------------------------- */

/* The events. */
void fake_virt_tell(const char *uuid);
void fake_virt_disconnect(void);
void fake_virt_connect(void);

/* The next call of this name ("list", "look", "start", "shutdown", "destroy", "attach config",
 * "attach live", "attach both", "detach config", "detach live", "metadata", "secret", "sizes",
 * "resize") fails; with effect, it is done all the same. */
void fake_virt_fail(const char *what, int code, bool effect);
/* Calls of this name do not end until they are let go. */
void fake_virt_hold(const char *what);
void fake_virt_let_go(const char *what);
void fake_virt_forget_plans(void);
bool fake_virt_is_held(const char *what); /* such a call waits */
/* What dl_virt_has_late_call() says. */
void fake_virt_has_late_call(bool has);

/* What the monitor tells: the elements of two JSON arrays (borrowed), the devices until one is
 * asked for. */
void fake_qemu_has(const char *devices, const char *nodes);

/* All calls that were carried out, but for looks and lists: "attach config NAME". */
const GPtrArray *fake_virt_log(void);
unsigned fake_virt_n_looks(void);
unsigned fake_virt_in_flight(void);
void fake_virt_forget(void); /* and the domains */
