/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The steps that the flows on the images of a vDisk share, with those of disk-work.h: snapshot,
 * merge, revert, and the recovery of them. Their operation runs on the VM that has the vDisk to
 * write to, or on none. Loop thread only.
 *
 * The order is what makes them safe. The persistent domain is told of an overlay before the running
 * one writes to it, and it is told that an overlay is gone only after: so a VM that starts again
 * from its definition, whenever that is, never misses what was written, and what nobody has written
 * to may be there or not.
 */

#include "core/steps/disk-work.h"
#include "core/steps/image-rules.h"

typedef struct DlImageWork {
        GPtrArray *images; /* DlImage: the stack as it is to be; NULL: not decided */
        GPtrArray *drop;   /* char *: files that nothing needs any more */
        unsigned dropping; /* of them, the next */
        bool keep_file;    /* one that is there already is the image */
        uint64_t bytes;    /* of the new image; 0: as many as the LUN has */
        bool quiesce;
        uint64_t bytes_per_sec; /* of a merge; 0: as fast as it can */
        bool is_top, ready;     /* of a merge: it needs a pivot; it can have it */
        uint64_t pause_usec;
        sd_event_source *timer; /* until the next look at the merge */
        DlVirtCall *call;
} DlImageWork;

/* The data of an operation on the images of a vDisk: a DlDiskWork whose extra is a DlImageWork. */
DlDiskWork *dl_image_work_new(DlIntentKind kind, const char *vdisk, const char *guid);
DlImageWork *dl_image_work(DlOperation *op);
/* NULL: it was deleted. */
DlVDisk *dl_image_work_vdisk(DlOperation *op);
/* Its disk in the running domain, and in the persistent one; NULL: it is not there. Borrowed. */
const DlDomainDisk *dl_image_work_live(DlOperation *op);
const DlDomainDisk *dl_image_work_config(DlOperation *op);

/* A name for a file in the configured directory. Newly allocated. */
char *dl_image_new_file(const DlCore *core, const char *uid);

/* Looks at the VM, if there is one. */
void dl_step_image_look(DlOperation *op);
void dl_undo_image_look(DlOperation *op);
/* The vDisk is there, nobody else but the operation's VM writes to it, and its overlays are those
 * that we know: the attachment's data are taken. */
void dl_step_image_find(DlOperation *op);
/* The file of the new image. */
void dl_step_make_file(DlOperation *op);
void dl_dry_make_file(DlOperation *op);
void dl_undo_make_file(DlOperation *op);
/* The persistent domain's disk, with the stack as it is to be (as it was). */
void dl_step_write_chain(DlOperation *op);
void dl_dry_write_chain(DlOperation *op);
void dl_undo_write_chain(DlOperation *op);
/* The stack in the store. */
void dl_step_write_stack(DlOperation *op);
/* Of a vDisk that no VM has, by force. */
DlJob *dl_flow_delete_with_images(DlVDisk *vdisk, const DlRequest *request, GError **error);

/* Deletes the files that are to be dropped. One that cannot be is told, and stays. */
void dl_step_drop_files(DlOperation *op);
