/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Intents: a row in the store for every side effect on a domain, written before it and removed
 * after it. An intent that is found at the start, or that a call which ended late has left, is
 * settled by recover.c. Loop thread only.
 */

#include "core/core-private.h"

#include <json-glib/json-glib.h>

typedef enum DlIntentKind {
        DL_INTENT_ATTACH, /* the attachment is being made */
        DL_INTENT_PLUG,   /* it exists, and its disk is being added */
        DL_INTENT_UNPLUG, /* its disk is being removed, it stays */
        DL_INTENT_DETACH, /* it is being removed */
        _DL_INTENT_MAX,
} DlIntentKind;

struct DlIntent {
        DlIntentKind kind;
        char *key; /* in the store */
        char *vm;
        char *vdisk;
        uint64_t time_usec; /* CLOCK_REALTIME, when it was written */
        bool in_config;     /* the disk was in the persistent domain before */
        bool new_vdisk;     /* the attach makes the vDisk, too */
        bool owned;         /* by a running operation */
};

typedef void (*DlIntentDone)(const GError *error, void *userdata);

/* Writes it; it is owned by the caller's operation. in_config: the disk is in the persistent domain
 * now; new_vdisk: the vDisk is not there yet. The callback runs once, always: wait for it. */
DlIntent *dl_intent_write(DlCore *core, DlIntentKind kind, const char *vm, const char *vdisk,
                          bool in_config, bool new_vdisk, DlIntentDone done, void *userdata);

/* Removes it, and frees it. done may be NULL. */
void dl_intent_remove(DlCore *core, DlIntent *intent, DlIntentDone done, void *userdata);

/* Takes over one that nobody owns. */
void dl_intent_adopt(DlIntent *intent);

/* The operation ends without knowing what became of it: the recovery looks. */
void dl_intent_abandon(DlIntent *intent);

void dl_intent_load(DlCore *core, const char *key, JsonObject *row);
void dl_intent_free(DlIntent *intent);
