/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Our element in a domain's <metadata>. Private to src/virt. Pure, any thread. */

#include <libxml/tree.h>

#include "domain-xml.h"

/* Adds the attachments of the domain's <metadata> (NULL: none) to the domain; says there whether
 * something of ours could not be understood. */
void dl_metadata_parse(const xmlNode *metadata, DlDomain *domain);
