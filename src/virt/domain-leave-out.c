/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A domain's XML without some of its disks: what a VM is started with when they cannot be reached.
 * All else stays as it is, addresses included, so that the disks fit in again later. Pure, any
 * thread; the caller owns the result.
 */

#include "domain-xml.h"

#include <string.h>

#include "xml.h"

static bool is_one_of(const xmlNode *disk, const char *const *aliases)
{
        g_autofree char *alias = dl_xml_attribute(dl_xml_child(disk, "alias"), "name");

        return alias && g_strv_contains(aliases, alias);
}

static void remove_disks(const xmlNode *domain, const char *const *aliases)
{
        const xmlNode *devices = dl_xml_child(domain, "devices");
        xmlNode *next;

        for (xmlNode *node = devices ? devices->children : NULL; node; node = next) {
                next = node->next;
                if (!dl_xml_is(node, "disk") || !is_one_of(node, aliases))
                        continue;
                xmlUnlinkNode(node);
                xmlFreeNode(node);
        }
}

/* An attachment's disk has the vDisk's id in its alias. */
static bool is_left_out(const xmlNode *attachment, const char *const *aliases)
{
        g_autofree char *vdisk = dl_xml_attribute(attachment, "vdisk");

        for (unsigned i = 0; vdisk && aliases[i]; i++)
                if (g_str_has_suffix(aliases[i], vdisk))
                        return true;
        return false;
}

static void mark_attachments(const xmlNode *parent, const char *const *aliases)
{
        for (xmlNode *node = parent ? parent->children : NULL; node; node = node->next) {
                if (node->type != XML_ELEMENT_NODE || !node->ns ||
                    strcmp((const char *)node->ns->href, DL_METADATA_URI) != 0)
                        continue;
                if (strcmp((const char *)node->name, "attachments") == 0)
                        mark_attachments(node, aliases);
                else if (strcmp((const char *)node->name, "attachment") != 0)
                        continue;
                else if (is_left_out(node, aliases))
                        xmlSetProp(node, (const xmlChar *)"left-out", (const xmlChar *)"yes");
                else
                        xmlUnsetProp(node, (const xmlChar *)"left-out");
        }
}

char *dl_domain_leave_out(const char *xml, const char *const *aliases, GError **error)
{
        g_autoptr(xmlDoc) doc = dl_xml_parse(xml, error);
        const xmlNode *domain = doc ? xmlDocGetRootElement(doc) : NULL;
        xmlChar *text;
        char *copy;
        int size;

        if (!doc)
                return NULL;
        remove_disks(domain, aliases);
        mark_attachments(dl_xml_child(domain, "metadata"), aliases);
        xmlDocDumpMemoryEnc(doc, &text, &size, "UTF-8");
        copy = g_strdup((char *)text);
        xmlFree(text);
        return copy;
}
