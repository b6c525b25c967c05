/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A device's address in XML. Private to src/virt. Pure, any thread. */

#include <libxml/tree.h>

#include "domain-xml.h"

/* Of an <address> element (of any namespace): the attributes that we know. NULL without any. */
DlAddress *dl_address_from_node(const xmlNode *node);

/* Appends an empty element of that name: type first, the rest by name. Nothing for an address that
 * is NULL or has no type. */
void dl_address_append(GString *out, const char *element, const DlAddress *address);
