/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The life of a method call: parse, find out who asks, ask polkit, act, answer when the job is
 * done. Nothing is done before it is allowed. A client that goes away is forgotten as long as
 * nothing has begun; what has begun goes on without it. Loop thread only.
 */

#include "bus/bus-auth.h"
#include "bus/bus-client.h"
#include "bus/bus-options.h"

struct DlBusCall {
        DlBus *bus;
        sd_bus_message *message; /* arguments are borrowed from it */
        const struct DlBusMethod *method;
        DlKind kind; /* of the object; _DL_KIND_MAX: the root */
        char *id;    /* of the object: it may be gone when it is the call's turn */

        void *args; /* what the method's parse() made of the arguments */
        DlBusCommon options;
        GHashTable *details; /* char* → char*: for polkit's rules */

        DlBusClient *client;
        uint32_t uid;
        bool counted; /* among the calls of the user */
        DlBusAction granted;
        DlBusAction asked;
        DlBusAuth *auth;
        bool acting; /* a job runs */
};

typedef struct DlBusMethod {
        const char *verb; /* for polkit's rules */

        /* Reads the arguments from call->message into args: args_size bytes, zeroed. clear (may be
         * NULL) frees what it put there, whether it succeeded or not. */
        size_t args_size;
        bool (*parse)(DlBusCall *call, void *args, GError **error);
        void (*clear)(void *args);

        /* What the caller must be allowed to do: always, and (may be NULL) in this case. object is
         * NULL for the root. Asked for again when all has been granted, since the world moves on
         * while somebody types a password. FORCE is added when it is among the options. */
        DlBusAction action;
        DlBusAction (*more_actions)(const DlBusCall *call, const void *args, const void *object);

        /* Starts the job. object is NULL for the root. */
        DlJob *(*start)(DlBusCall *call, void *args, void *object, const DlRequest *request,
                        GError **error);
        /* Or does it at once, if start is NULL. */
        bool (*act)(DlBusCall *call, void *args, void *object, GError **error);

        /* Appends the result; NULL: there is none. Negative errno. */
        int (*reply)(DlBusCall *call, const DlJob *job, sd_bus_message *reply);
} DlBusMethod;

/* What a method handler returns: begins a call. object is NULL for the root. */
int dl_bus_call_begin(sd_bus_message *message, DlObject *object, const DlBusMethod *method);

/* For parse(): tells polkit's rules about an argument. NULL and "" are not told. */
void dl_bus_call_detail(DlBusCall *call, const char *key, const char *value);

/* From the client: it is known now; it cannot be known; it is gone. */
void dl_bus_call_identified(DlBusCall *call);
void dl_bus_call_unidentified(DlBusCall *call);
void dl_bus_call_abandoned(DlBusCall *call);

/* Ends all calls; the clients that still wait are told that the service stops. */
void dl_bus_calls_end(DlBus *bus);

/* parse() for a method with nothing but options. */
bool dl_bus_parse_options(DlBusCall *call, void *args, GError **error);

/* Results: the first object's path, all objects' paths, the string. */
int dl_bus_reply_object(DlBusCall *call, const DlJob *job, sd_bus_message *reply);
int dl_bus_reply_objects(DlBusCall *call, const DlJob *job, sd_bus_message *reply);
int dl_bus_reply_string(DlBusCall *call, const DlJob *job, sd_bus_message *reply);
