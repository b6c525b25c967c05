/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Reading and writing XML of any sender, safely. Private to src/virt. Pure, any thread. */

#include <glib.h>
#include <libxml/tree.h>
#include <stdbool.h>

#define DL_XML_BYTES_MAX (16U * 1024 * 1024)

/*
 * Parses a whole document. NULL with LibvirtError ("… cannot be read: why") if it is not well
 * formed, larger than DL_XML_BYTES_MAX, has a DTD, or is built to be expensive: more than 256 deep,
 * more than 100,000 elements, or more than 64 attributes on one of them.
 */
xmlDoc *dl_xml_parse(const char *text, GError **error);

/* The first element child of that name, of no namespace; NULL (parent may be NULL). */
const xmlNode *dl_xml_child(const xmlNode *parent, const char *name);
/* Whether it is an element of that name and no namespace. */
bool dl_xml_is(const xmlNode *node, const char *name);
/* The attribute of no namespace: a copy, NULL without it (node may be NULL). */
char *dl_xml_attribute(const xmlNode *node, const char *name);
/* Its text: a copy, NULL without a node. */
char *dl_xml_text(const xmlNode *node);

/* Appends " name='value'", escaped so that the document stays well formed whatever the value is;
 * nothing for a NULL value. */
void dl_xml_append_attribute(GString *out, const char *name, const char *value);
/* Appends "<name>text</name>"; nothing for a NULL text. */
void dl_xml_append_element(GString *out, const char *name, const char *text);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(xmlDoc, xmlFreeDoc)
