/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What the kernel, udev and multipath have made of one LUN so far, from the disks that some
 * sessions show of it. Reads a few small files, and nothing of the disks. Any thread.
 */

#include "host/kernel-sessions.h"

typedef struct DlKernelLun {
        unsigned n_paths;  /* disks that are this LUN, and that udev has finished with */
        unsigned n_mapped; /* of these, those in the map */
        char *map;         /* "dm-3": of multipath, over one of them; NULL: none */
        bool map_ready;    /* udev has looked at it, and it is not suspended */
        bool map_resizes;  /* its size is not (yet) that of the paths */
        uint64_t size;     /* bytes, of the paths; 0: not known yet */
        char *name;        /* "sda": one of the paths; NULL: none */
        bool is_claimed;   /* udev's rules leave some path to multipath, or may do so yet */
        char *wrong;       /* a disk that is another LUN; NULL: none */
        bool sizes_differ; /* of the paths */
} DlKernelLun;

void dl_kernel_lun_clear(DlKernelLun *lun);

/* disks: const DlKernelDisk. sysfs: "/sys"; udev: "/run/udev". */
void dl_kernel_lun_look(const char *sysfs, const char *udev, const char *guid, GPtrArray *disks,
                        DlKernelLun *ret);

/* udev has made this link ("/dev/disk/by-id/…") for the device. It writes its record after that. */
bool dl_kernel_has_link(const char *sysfs, const char *udev, const char *name, const char *link);

/* The GUID of a disk or a map by its kernel name, the usual one; NULL if it has none. */
char *dl_kernel_guid(const char *sysfs, const char *name);

/* The map of multipath over a disk, "dm-3"; NULL: none. */
char *dl_kernel_map_over(const char *sysfs, const char *name);

/* The disks in a map, char *. */
GPtrArray *dl_kernel_map_paths(const char *sysfs, const char *map);

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(DlKernelLun, dl_kernel_lun_clear)
