/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A target of one LUN that the host's kernel is to connect, by as many portals as the test says,
 * and what udev and multipath make of it when they are told. The test's; its thread only.
 */

#include "fake-kernel.h"
#include "fakes.h"

#define IQN  "iqn.2026-11.org.example:t"
#define GUID FAKE_KERNEL_GUID
#define VM   "6695eb01-f6a4-8304-79aa-97f2502e193f"

typedef struct KernelWorld {
        CoreFixture core;
        DlBlockDevice path, map;
        DlBlockLun kernel;
        DlTarget *target;
        DlConnectSpec spec;
        CoreResult result;
        bool mapped; /* multipath makes a map once */
} KernelWorld;

void kernel_world_begin(KernelWorld *w, gconstpointer n_portals);
void kernel_world_end(KernelWorld *w, gconstpointer data);

/* Begins the flow: as w->spec says, into w->result. */
void kernel_world_connect(KernelWorld *w);
/* What udev and multipath make of the LUN, and which device has the lasting name; NULL: none. */
void kernel_world_show(KernelWorld *w, bool map, const char *named);
/* It is the kernel: the sessions, the LUN, its map and its name are made. */
void kernel_world_come(KernelWorld *w);
