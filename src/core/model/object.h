/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What all managed objects have in common, and how the outside hears of them.
 *
 * An object belongs to the core's table of its kind under its id. It is published (added) once it
 * is complete, and every change of a property that the bus shows is announced by name;
 * announcements are collected and delivered together by dl_core_flush(): at the latest when the
 * loop gets idle, and always before a job's result, so that signals precede replies. Loop thread
 * only.
 *
 * The structs of the kinds are in the headers of this folder. Other layers read them, only core
 * writes them.
 */

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct DlCore DlCore;
typedef struct DlObject DlObject;
typedef struct DlTarget DlTarget;
typedef struct DlLun DlLun;
typedef struct DlVDisk DlVDisk;
typedef struct DlVm DlVm;
typedef struct DlAttachment DlAttachment;
typedef struct DlHost DlHost;
typedef struct DlJob DlJob;

typedef enum DlKind {
        DL_KIND_TARGET,     /* id: the IQN */
        DL_KIND_LUN,        /* id: the GUID */
        DL_KIND_VDISK,      /* id: UUID */
        DL_KIND_VM,         /* id: UUID */
        DL_KIND_ATTACHMENT, /* id: UUID */
        DL_KIND_HOST,       /* id: host name */
        DL_KIND_JOB,        /* id: decimal number */
        _DL_KIND_MAX,
} DlKind;

struct DlObject {
        DlKind kind;
        char *id;
        DlCore *core;
        bool published;
        GPtrArray *changed; /* property names, static strings, announced by the next flush */
};

/* The last thing that went wrong with an object. name "" (no error) or as dl_error_name() says. */
typedef struct DlLastError {
        int code; /* -1: none */
        char *message;
} DlLastError;

const char *dl_last_error_name(const DlLastError *e);    /* "" if none */
const char *dl_last_error_message(const DlLastError *e); /* "" if none */

typedef struct DlCoreObserver {
        void (*added)(DlObject *object, void *userdata);
        void (*removed)(DlObject *object, void *userdata); /* still whole, and still in its table */
        void (*changed)(DlObject *object, const char *const *properties, void *userdata);
        void (*job_completed)(DlJob *job, void *userdata);
} DlCoreObserver;

/* Announces that a property changed (its D-Bus name, a static string). */
void dl_object_changed(DlObject *object, const char *property);

/* NULL if there is none, or it is not published. */
DlObject *dl_core_lookup(DlCore *core, DlKind kind, const char *id);
#define DL_LOOKUP_TARGET(core, id) ((DlTarget *)dl_core_lookup(core, DL_KIND_TARGET, id))
#define DL_LOOKUP_LUN(core, id)    ((DlLun *)dl_core_lookup(core, DL_KIND_LUN, id))
#define DL_LOOKUP_VDISK(core, id)  ((DlVDisk *)dl_core_lookup(core, DL_KIND_VDISK, id))
#define DL_LOOKUP_VM(core, id)     ((DlVm *)dl_core_lookup(core, DL_KIND_VM, id))
#define DL_LOOKUP_ATTACHMENT(core, id)                                                             \
        ((DlAttachment *)dl_core_lookup(core, DL_KIND_ATTACHMENT, id))
#define DL_LOOKUP_HOST(core, id) ((DlHost *)dl_core_lookup(core, DL_KIND_HOST, id))
#define DL_LOOKUP_JOB(core, id)  ((DlJob *)dl_core_lookup(core, DL_KIND_JOB, id))

/* The published objects of a kind, by ascending id. Free the array; the objects are borrowed. */
GPtrArray *dl_core_list(DlCore *core, DlKind kind);
