/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A host whose block devices are made by umockdev: a sysfs, udev's database and its events. For
 * g_test_add() with mock_begin() and mock_end(); what is returned as char * is the device's
 * directory, below /sys, and the caller's. Run by umockdev-wrapper. One thread.
 */

#include "host/block-devices.h"

#include <umockdev.h>

#define GUID  "36001405aaaaaaaaaaaaaaaaaaaaaaaaa"
#define OTHER "36001405bbbbbbbbbbbbbbbbbbbbbbbbb"
#define IQN   "iqn.2026-11.org.example:disks"

typedef struct MockHost {
        UMockdevTestbed *bed;
        sd_event *event;
        char *directory; /* for tables of mounts and swap */
        DlBlockDevices *devices;
        GHashTable *told; /* GUID → how often */
        bool is_late;
} MockHost;

void mock_begin(MockHost *host, gconstpointer data);
void mock_end(MockHost *host, gconstpointer data);
/* The devices are looked at from now on; returns when what is there is known. */
void mock_start(MockHost *host);

/* ---- events --------------------------------------------------------------------------------- */

/* Each event is gone, and the kernel says so as it does when a socket's buffer was full. */
extern bool mock_loses_events;

typedef bool (*MockCondition)(const MockHost *host, const void *what);
/* Runs the loop; fails if that does not become true. */
void mock_wait_until(MockHost *host, MockCondition holds, const void *what);
/* Of a GUID: a LUN that is there, that is not, of which something was told. */
bool mock_is_there(const MockHost *host, const void *guid);
bool mock_is_gone(const MockHost *host, const void *guid);
bool mock_is_told(const MockHost *host, const void *guid);
/* Of a kernel name: there is a map over it. */
bool mock_is_held(const MockHost *host, const void *name);

/* ---- what there is -------------------------------------------------------------------------- */

/* A table, "mountinfo" or "swaps". */
void mock_put(const MockHost *host, const char *name, const char *text);
char *mock_add(const MockHost *host, const char *subsystem, const char *name, const char *parent,
               const char *const *attributes, const char *const *properties);
/* A disk at a place in the tree, with the link to its SCSI device that the kernel makes. */
char *mock_add_disk(const MockHost *host, const char *scsi, const char *name, unsigned minor,
                    const char *const *properties);
void mock_set_page83(const MockHost *host, const char *scsi, uint8_t last);
char *mock_add_scsi(const MockHost *host, const char *parent, const char *hctl);
/* A path of a session; its disk has GUID. */
char *mock_add_iscsi_disk(const MockHost *host, unsigned session, const char *name, unsigned minor,
                          const char *guid);
/* dm-0, of multipath, over paths. */
void mock_add_map(const MockHost *host, const char *guid, const char *const *paths);
void mock_stack(const MockHost *host, const char *over, const char *under);
void mock_remove_link(const MockHost *host, const char *from, const char *link);
void mock_unplug(const MockHost *host, const char *device);
const DlBlockDevice *mock_path_of(const MockHost *host, const char *guid, unsigned index);
