/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Who holds a LUN: attachments, other domains, claims of storage domains, and what is on it. The
 * latter counts only as long as there is no vDisk of the LUN: what is on a vDisk is the data of its
 * users. Loop thread only.
 */

#include "core/core-private.h"

/* Those who use it, or may, whatever is on it; char *, newly allocated. */
GPtrArray *dl_lun_users(const DlLun *lun);

/* As the property has it: them, and what is on it. */
GStrv dl_lun_holders(const DlLun *lun);

/* After a look at it: InUse, naming what is there, or why it could not be read. Of a vDisk, what is
 * there does not matter, or (check_empty) does. */
bool dl_lun_check_content(const DlLun *lun, GError **error);
bool dl_lun_check_empty(const DlLun *lun, GError **error);
