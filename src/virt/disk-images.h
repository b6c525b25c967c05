/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The overlays of a disk in XML: qcow2 files over the source proper. Private to src/virt. Pure, any
 * thread. */

#include <libxml/tree.h>

#include "domain-xml.h"

/* Fills in images, base_index and mirror_ready. The node that the source proper is a child of: the
 * disk itself if it has no overlays. */
const xmlNode *dl_disk_images_read(const xmlNode *disk_node, DlDomainDisk *disk);

/* images: files, the uppermost first; NULL or empty: none. */
const char *dl_disk_images_format(const char *const *images); /* "raw", "qcow2" */
const char *dl_disk_images_type(const char *const *images, const char *base_type);
/* <source> and all that is below it, base_source being the element of the source proper. */
void dl_disk_images_append(GString *out, const char *const *images, const char *base_type,
                           const char *base_source);
