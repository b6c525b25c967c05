/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The kernel's iSCSI sessions, as sysfs has them. The service's own ones are known by the name of
 * the interface that they were made with, which the kernel keeps: so whose a session is, is a fact
 * that no crash can lose. Every other session is foreign: it may be used, and is never ended.
 *
 * Reads small files of sysfs, which never wait for a target. Any thread.
 */

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#define DL_KERNEL_IFACE "directlun" /* or, with a network binding, this and "-" and its name */

typedef struct DlKernelSession {
        unsigned sid;
        char *iqn;
        char *address; /* of the portal that was asked for; IPv6 without brackets */
        uint16_t port;
        uint16_t tpgt;
        char *iface;
        bool ours;
        bool up;       /* logged in; else it is being made, or the kernel tries to get it back */
        unsigned host; /* SCSI host */
        unsigned target_id; /* of the SCSI target in it */
} DlKernelSession;

typedef struct DlKernelDisk {
        char *name; /* "sda" */
        unsigned major, minor;
        uint64_t lun;
} DlKernelDisk;

/* All sessions, by ascending sid, DlKernelSession; of one target if iqn is not NULL. What cannot be
 * read (it is going away) is left out. sysfs: "/sys". */
GPtrArray *dl_kernel_sessions(const char *sysfs, const char *iqn);

void dl_kernel_disk_free(void *disk);

/* The SCSI disks of a session, DlKernelDisk, by ascending LUN. */
GPtrArray *dl_kernel_session_disks(const char *sysfs, const DlKernelSession *session);

/* The kernel's own number of a LUN: the words of its wire form, the first one lowest. False if no
 * wire form has this number. */
bool dl_kernel_lun_encode(uint64_t lun, uint64_t *ret);
bool dl_kernel_lun_decode(uint64_t kernel_lun, uint64_t *ret);
