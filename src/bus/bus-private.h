/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the files of this folder share and nobody else sees. Loop thread only. */

#include "bus/bus.h"
#include "core/flows.h"
#include "util/error.h"

/* What sd-bus hands to the look-up of a folder of objects. */
typedef struct DlBusFolder {
        DlBus *bus;
        DlKind kind; /* _DL_KIND_MAX: the root */
} DlBusFolder;

struct DlBus {
        sd_event *event;
        sd_bus *connection;
        sd_bus_slot *filter;
        sd_event_source *exit;
        const DlSettings *settings;
        DlCore *core;
        DlBusReady ready;
        void *userdata;
        bool announcing; /* the core is ready: changes are told */
        uint64_t last_call_usec;

        DlBusFolder folders[_DL_KIND_MAX + 1];
        GPtrArray *slots;    /* of the vtables and enumerators */
        GHashTable *calls;   /* set of DlBusCall */
        GHashTable *clients; /* unique name → DlBusClient */
        GHashTable *uids;    /* uid → number of its calls */
        GHashTable *secrets; /* token → DlBusSecret, owned */
};

/* The interfaces, one a file. */
extern const sd_bus_vtable dl_bus_manager_vtable[];
extern const sd_bus_vtable dl_bus_target_vtable[];
extern const sd_bus_vtable dl_bus_lun_vtable[];
extern const sd_bus_vtable dl_bus_vdisk_vtable[];
extern const sd_bus_vtable dl_bus_vm_vtable[];
extern const sd_bus_vtable dl_bus_attachment_vtable[];
extern const sd_bus_vtable dl_bus_host_vtable[];
extern const sd_bus_vtable dl_bus_job_vtable[];

#define DL_BUS_CONST(name, signature, getter)                                                      \
        SD_BUS_PROPERTY(name, signature, getter, 0, SD_BUS_VTABLE_PROPERTY_CONST)
#define DL_BUS_CHANGES(name, signature, getter)                                                    \
        SD_BUS_PROPERTY(name, signature, getter, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE)

/* Defines a getter of a property: the body appends to reply from object and returns what sd-bus
 * wants, a negative errno or not. */
#define DL_BUS_GETTER(function, Type, object, reply)                                               \
        static int function##_of(const Type *object, sd_bus_message *reply);                       \
        static int function(sd_bus *connection, const char *path, const char *interface,           \
                            const char *property, sd_bus_message *reply, void *userdata,           \
                            sd_bus_error *error)                                                   \
        {                                                                                          \
                return function##_of(userdata, reply);                                             \
        }                                                                                          \
        static int function##_of(const Type *object, sd_bus_message *reply)
