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
        DL_INTENT_ATTACH,   /* the attachment is being made */
        DL_INTENT_PLUG,     /* it exists, and its disk is being added */
        DL_INTENT_UNPLUG,   /* its disk is being removed, it stays */
        DL_INTENT_DETACH,   /* it is being removed */
        DL_INTENT_SNAPSHOT, /* an image is being laid over the vDisk */
        DL_INTENT_MERGE,    /* an image is being merged into what is below it */
        DL_INTENT_REVERT,   /* the vDisk is being made what it was at the moment of an image */
        _DL_INTENT_MAX,
} DlIntentKind;

struct DlIntent {
        DlIntentKind kind;
        char *key; /* in the store */
        char *vm;
        char *vdisk;
        uint64_t time_usec; /* CLOCK_REALTIME, when it was written */
        char *boot_id;      /* of the boot in which it was; NULL: not known */
        bool in_config;     /* the disk was in the persistent domain before */
        bool new_vdisk;     /* the attach makes the vDisk, too */
        char *image;        /* uid, of what is done to images; else NULL */
        char *file;         /* of the image; else NULL */
        char **drop;        /* files that nothing needs when it is done; NULL: none */
        bool owned;         /* by a running operation */
};

static inline bool dl_intent_is_of_images(DlIntentKind kind)
{
        return kind == DL_INTENT_SNAPSHOT || kind == DL_INTENT_MERGE || kind == DL_INTENT_REVERT;
}

typedef void (*DlIntentDone)(const GError *error, void *userdata);

/* Writes one that is like this (key, time and boot are filled in; vm "": no VM has the vDisk); it
 * is owned by the caller's operation. The callback runs once, always: wait for it. */
DlIntent *dl_intent_write(DlCore *core, const DlIntent *like, DlIntentDone done, void *userdata);

/* Removes it, and frees it. done may be NULL. */
void dl_intent_remove(DlCore *core, DlIntent *intent, DlIntentDone done, void *userdata);

/* Something on this vDisk has begun and is not settled. */
bool dl_intent_is_open(DlCore *core, const char *vdisk);

/* Takes over one that nobody owns. */
void dl_intent_adopt(DlIntent *intent);

/* Whether what was begun may still be going on: it is not when the host was booted since. */
bool dl_intent_is_of_this_boot(DlCore *core, const DlIntent *intent);

/* The operation ends without knowing what became of it: the recovery looks. */
void dl_intent_abandon(DlIntent *intent);

void dl_intent_load(DlCore *core, const char *key, JsonObject *row);
void dl_intent_free(DlIntent *intent);
