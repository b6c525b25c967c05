/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The service as D-Bus sees it: makes the core, shows its objects, turns method calls into its
 * flows, and asks polkit first. Loop thread only.
 */

#include "core/core.h"

#include <systemd/sd-bus.h>

#define DL_BUS_NAME "org.ovirt.DirectLun"
#define DL_BUS_ROOT "/org/ovirt/DirectLun"

typedef struct DlBus DlBus;

/* Called once, from the loop: the core is ready, so the name may be taken. */
typedef void (*DlBusReady)(void *userdata);

/* Takes a reference to the connection, which is attached to the event loop. The settings stay the
 * caller's and must outlive it. NULL with an error if the core cannot be made. */
DlBus *dl_bus_new(sd_event *event, sd_bus *connection, const DlSettings *settings, DlBusReady ready,
                  void *userdata, GError **error);

/* Who still waits for an answer is told that the service stops; when the loop exits, that happens
 * by itself, while the connection is still there. Takes NULL. */
void dl_bus_free(DlBus *bus);

/* No call waits for an answer, no answer waits to be sent, and the core would lose nothing. */
bool dl_bus_is_idle(DlBus *bus);

/* No call waits for an answer and none is queued. */
bool dl_bus_has_no_calls(DlBus *bus);

/* When the last call came (CLOCK_MONOTONIC). */
uint64_t dl_bus_last_call_usec(const DlBus *bus);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(DlBus, dl_bus_free)
