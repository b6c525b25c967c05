/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Why a LUN is in its status, in words. Loop thread only. */

#include "core/model/lun.h"
#include "core/model/target.h"

typedef struct DlFact {
        const char *about;      /* "status", "holder", "unknown", "content", "data-path",
                                 * "connection", "unmanage" */
        char *name;             /* the status; as in Holders; a VM; the kind of content; the IQN */
        char *text;             /* for people */
        const DlObject *object; /* VM or target; NULL: none */
        const DlSignature *signature; /* of content; NULL: none. Borrowed from the LUN */
        bool refused;                 /* an unmanage, without force */
} DlFact;

/* DlFact; to be used at once: it borrows from the LUN. */
GPtrArray *dl_lun_explain(const DlLun *lun);
