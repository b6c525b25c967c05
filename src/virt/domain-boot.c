/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * From <os><boot dev='hd'/>, which libvirt writes into every domain that does not say what it boots
 * from, to boot orders of devices, as virt-manager does it. Pure, any thread; the caller owns the
 * text.
 */

#include "domain-xml.h"

#include <string.h>

#include "util/error.h"
#include "xml.h"

static bool fail(GError **error, int code, const char *why)
{
        g_set_error(error, DL_ERROR, code, "The boot order of the VM cannot be set: %s", why);
        return false;
}

/* Removes what must be hd, once. */
static bool remove_os_boot(const xmlNode *os, GError **error)
{
        xmlNode *boot = (xmlNode *)dl_xml_child(os, "boot");
        g_autofree char *dev = dl_xml_attribute(boot, "dev");

        if (g_strcmp0(dev, "hd") != 0)
                return fail(error, DL_ERROR_INVALID_ARGS, "<os><boot> is not hd alone");
        xmlUnlinkNode(boot);
        xmlFreeNode(boot);
        return !dl_xml_child(os, "boot") ||
               fail(error, DL_ERROR_INVALID_ARGS, "<os><boot> is not hd alone");
}

static unsigned order_of(const xmlNode *device)
{
        g_autofree char *order = dl_xml_attribute(dl_xml_child(device, "boot"), "order");
        guint64 number = 0;

        if (order)
                (void)g_ascii_string_to_unsigned(order, 10, 0, G_MAXUINT16, &number, NULL);
        return (unsigned)number;
}

static bool is_hard_disk(const xmlNode *node)
{
        g_autofree char *device = dl_xml_is(node, "disk") ? dl_xml_attribute(node, "device") : NULL;

        return dl_xml_is(node, "disk") &&
               (!device || g_str_equal(device, "disk") || g_str_equal(device, "lun"));
}

static void give_order_to_first_disk(const xmlNode *devices, unsigned order)
{
        char text[16];

        g_snprintf(text, sizeof text, "%u", order);
        for (xmlNode *node = devices->children; node; node = node->next)
                if (is_hard_disk(node)) {
                        xmlNode *boot = xmlNewChild(node, NULL, (const xmlChar *)"boot", NULL);

                        xmlNewProp(boot, (const xmlChar *)"order", (const xmlChar *)text);
                        return;
                }
}

static char *to_text(xmlDoc *doc)
{
        xmlChar *text = NULL;
        int size;
        char *copy;

        xmlDocDumpMemoryEnc(doc, &text, &size, "UTF-8");
        copy = g_strdup((char *)text);
        xmlFree(text);
        return copy;
}

char *dl_domain_with_boot_disk(const char *domain_xml, const char *disk_xml, GError **error)
{
        g_autoptr(xmlDoc) doc = dl_xml_parse(domain_xml, error);
        g_autoptr(xmlDoc) disk = doc ? dl_xml_parse(disk_xml, error) : NULL;
        const xmlNode *root = doc ? xmlDocGetRootElement(doc) : NULL, *devices;
        xmlNode *added;

        if (!disk)
                return NULL;
        devices = dl_xml_child(root, "devices");
        if (!devices || order_of(xmlDocGetRootElement(disk)) == 0) {
                fail(error, DL_ERROR_LIBVIRT_ERROR, "there are no devices, or no order");
                return NULL;
        }
        if (!remove_os_boot(dl_xml_child(root, "os"), error))
                return NULL;
        give_order_to_first_disk(devices, order_of(xmlDocGetRootElement(disk)) == 1 ? 2 : 1);
        added = xmlDocCopyNode(xmlDocGetRootElement(disk), doc, 1);
        xmlAddChild((xmlNode *)devices, added);
        return to_text(doc);
}
