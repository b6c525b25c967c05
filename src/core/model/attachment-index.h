/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The published attachments by what they belong to: what happens to one LUN, target or VM must not
 * cost a look at the attachments of all others. Loop thread only.
 */

#include "core/core-private.h"

typedef enum DlBelongsTo {
        DL_BELONGS_TO_LUN,    /* key: GUID */
        DL_BELONGS_TO_VDISK,  /* id */
        DL_BELONGS_TO_TARGET, /* IQN */
        DL_BELONGS_TO_VM,     /* UUID */
        _DL_BELONGS_TO_MAX,
} DlBelongsTo;

/* By ascending id. Free the array; the attachments are borrowed. */
GPtrArray *dl_attachments_of(DlCore *core, DlBelongsTo what, const char *key);
bool dl_attachments_has_any(DlCore *core, DlBelongsTo what, const char *key);
/* A digest of those that are plugged: 0 if none is. */
uint64_t dl_attachments_mark(DlCore *core, DlBelongsTo what, const char *key);

/* Its keys and whether it is plugged must not change between the two. */
void dl_attachment_index_add(DlAttachment *attachment);
void dl_attachment_index_remove(DlAttachment *attachment);
void dl_attachment_index_init(DlCore *core);
void dl_attachment_index_clear(DlCore *core);
