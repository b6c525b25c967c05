/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The tree of objects: paths, look-up, enumeration, and the signals about them. Loop thread only.
 */

#include "bus/bus-private.h"

/* Registers all vtables. Negative errno. */
int dl_bus_objects_register(DlBus *bus);

/* The path of an object; newly allocated, for g_free(). */
char *dl_bus_path(DlKind kind, const char *id);

/* The id that a path of this kind names (newly allocated, for g_free()), NULL if it is none. */
char *dl_bus_path_id(DlKind kind, const char *path);

/* To be called from a method handler: whose it is. */
const DlBusFolder *dl_bus_current_folder(sd_bus_message *call);

/* The observer of the core; userdata is the DlBus. */
extern const DlCoreObserver dl_bus_observer;
