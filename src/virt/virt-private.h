/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What the files of the libvirt connection share. Private to src/virt.
 *
 * Three kinds of threads meet here. The loop thread owns DlVirt, the calls and their jobs.
 * libvirt's own event loop runs on one thread; its callbacks only post messages to the inbox.
 * Short-lived threads open and close connections, because both are RPCs that a hung libvirtd never
 * answers, and the workers of the pool make the calls. What goes from thread to thread is handed
 * over whole; only DlVirtConn and DlVirtInbox are shared, and both are reference counted.
 */

#include "virt.h"

#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>

typedef struct DlVirtInbox DlVirtInbox;

/* One connection to libvirtd. Any thread; the last reference closes it on a thread of its own. */
typedef struct DlVirtConn {
        int n_refs; /* atomic */
        virConnectPtr ptr;
        DlVirtInbox *inbox; /* where its events go */
        uint64_t id;        /* counts up with every attempt to connect */
        GArray *callbacks;  /* int: the registered domain events */
} DlVirtConn;

DlVirtConn *dl_virt_conn_ref(DlVirtConn *conn);
void dl_virt_conn_unref(DlVirtConn *conn); /* takes NULL */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DlVirtConn, dl_virt_conn_unref)

typedef enum DlVirtMessageKind {
        DL_VIRT_OPENED,                /* conn */
        DL_VIRT_OPEN_FAILED,           /* text: why */
        DL_VIRT_CLOSED,                /* id */
        DL_VIRT_DOMAIN_CHANGED,        /* uuid */
        DL_VIRT_DEVICE_REMOVED,        /* uuid, alias */
        DL_VIRT_DEVICE_REMOVAL_FAILED, /* uuid, alias */
        DL_VIRT_IO_ERROR,              /* uuid, alias, text: the action */
} DlVirtMessageKind;

typedef struct DlVirtMessage {
        DlVirtMessageKind kind;
        uint64_t id;
        DlVirtConn *conn;
        char *uuid, *alias, *text;
} DlVirtMessage;

void dl_virt_message_free(DlVirtMessage *message);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DlVirtMessage, dl_virt_message_free)

/* Where all other threads leave messages for the loop thread. Any thread; lives until the last who
 * might post has gone, which may be long after its DlVirt. */
int dl_virt_inbox_new(DlVirtInbox **ret);
DlVirtInbox *dl_virt_inbox_ref(DlVirtInbox *inbox);
void dl_virt_inbox_unref(DlVirtInbox *inbox);   /* takes NULL */
int dl_virt_inbox_fd(const DlVirtInbox *inbox); /* readable when there may be messages */
void dl_virt_inbox_clear(DlVirtInbox *inbox); /* before looking: fd is quiet until the next post */
/* Takes the strings and the connection of the message. */
void dl_virt_inbox_post(DlVirtInbox *inbox, DlVirtMessage message);
/* Nobody looks any more: drops what is there and what comes. (A connection in it has a reference on
 * its inbox in turn.) Comes before the last dl_virt_inbox_unref(). */
void dl_virt_inbox_close(DlVirtInbox *inbox);
void dl_virt_inbox_wake(DlVirtInbox *inbox);
DlVirtMessage *dl_virt_inbox_take(DlVirtInbox *inbox); /* NULL: empty */

/* Makes libvirt ready for use in this process, once: its event loop runs, and it is silent. Blocks
 * for a moment only. */
void dl_virt_libvirt_start(void);
/* Blocks (RPC). false: the connection is not usable; libvirt's last error says why. */
bool dl_virt_events_register(DlVirtConn *conn);
/* Blocks (RPC). */
void dl_virt_events_unregister(DlVirtConn *conn);

struct DlVirt {
        sd_event *event;
        DlWorkers *workers;
        char *uri;
        DlVirtEvents events;
        void *userdata;

        DlVirtInbox *inbox;
        sd_event_source *inbox_source;

        DlVirtConn *conn; /* NULL: not connected */
        uint64_t conn_since_usec;
        uint64_t last_id, closed_id; /* of the attempts to connect; closed: the newest that ended */
        char *last_error;
        sd_event_source *retry_source;
        uint64_t retry_usec;

        uint64_t last_asked;
        GHashTable *calls; /* set of DlVirtCall: somebody waits for it */
        GHashTable *jobs;  /* set of DlVirtJob: submitted to the workers, borrowed */
};

G_DEFINE_AUTOPTR_CLEANUP_FUNC(virDomain, virDomainFree)

typedef struct DlVirtJob DlVirtJob;
typedef void (*DlVirtWork)(DlVirtJob *job);

/* What a worker does, with everything it needs. Belongs to the loop thread before and after that.
 */
struct DlVirtJob {
        DlVirtConn *conn;
        DlVirtWork run;
        char *uuid; /* of the domain or secret; NULL: all domains */
        char *text; /* device XML, alias, metadata or usage */
        struct DlSecret *secret;
        unsigned affect; /* of DlVirtAffect */
        bool changes_domain;
        char **args;       /* what else it takes, as its run knows */
        uint64_t bytes[2]; /* the same */
        bool flag;         /* the same */

        GPtrArray *domains;       /* result: DlVirtDomain */
        GPtrArray *sizes;         /* result: DlVirtDiskSize */
        DlVirtBlockJob block_job; /* result */
        char *reply;              /* result; libvirt's */
        GError *error;

        /* loop thread only */
        DlVirt *virt;
        DlVirtCall *call; /* NULL: nobody waits any more */
        DlWork *work;
        uint64_t asked; /* see DlVirtDomain */
        int state;      /* atomic */
};

DlVirtJob *dl_virt_job_new(DlVirtWork run, const char *uuid, const char *text);

/* How the caller of a job is told: one of these is set. */
typedef struct DlVirtAnswer {
        DlVirtDone done;
        DlVirtGotDomain got_domain;
        DlVirtListed listed;
        DlVirtGotBlockJob got_block_job;
        DlVirtGotSizes got_sizes;
        DlVirtAnswered answered;
        void *userdata;
} DlVirtAnswer;

/* Takes the job. key: the jobs of one key run one at a time; NULL: side by side. */
DlVirtCall *dl_virt_submit(DlVirt *virt, DlVirtJob *job, const char *key, uint64_t timeout_usec,
                           DlVirtAnswer answer);
void dl_virt_drop_calls(DlVirt *virt); /* no callback of any of them comes */

DlVirtDiskSize *dl_virt_disk_size_new(const char *alias, uint64_t bytes);
void dl_virt_domain_free(DlVirtDomain *domain);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DlVirtDomain, dl_virt_domain_free)

/* ---- for calls on one domain (domain-calls.c) ---- */

/* What an operation takes for granted, so that "operation invalid" can be told apart. */
typedef enum DlVirtNeeds {
        DL_VIRT_NEEDS_NOTHING,
        DL_VIRT_NEEDS_ACTIVE,
        DL_VIRT_NEEDS_INACTIVE,
} DlVirtNeeds;

/* On the worker. NULL: the job has its error. */
virDomainPtr dl_virt_look_up(DlVirtJob *job);
/* libvirt's last error as the job's. domain may be NULL if it needs nothing. */
void dl_virt_set_domain_error(DlVirtJob *job, virDomainPtr domain, DlVirtNeeds needs);
char *dl_virt_read_xml(virDomainPtr domain, unsigned flags); /* NULL: libvirt's last error */
/* On the loop thread: submits what changes the domain of the job. */
DlVirtCall *dl_virt_change(DlVirt *virt, DlVirtJob *job, uint64_t timeout_usec, DlVirtDone done,
                           void *userdata);

/* libvirt's last error in this thread as LibvirtError with its message and code. */
void dl_virt_set_error(GError **error);
