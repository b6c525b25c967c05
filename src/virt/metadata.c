/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reads our element in a domain's <metadata>: tolerant of what a later version may add (attributes,
 * elements of other names), strict about every value that it knows. The domain owns the result.
 */

#include "metadata.h"

#include <string.h>

#include "address.h"
#include "xml.h"

#define ATTACHMENTS_MAX 4096

static bool is_ours(const xmlNode *node)
{
        return node->type == XML_ELEMENT_NODE && node->ns && node->ns->href &&
               g_str_equal((const char *)node->ns->href, DL_METADATA_URI);
}

static bool is_our(const xmlNode *node, const char *name)
{
        return is_ours(node) && g_str_equal((const char *)node->name, name);
}

/* Each takes what the element has; false if that is not what may be there. */

static bool read_string(const xmlNode *node, const char *name, bool required, char **ret)
{
        *ret = dl_xml_attribute(node, name);
        return *ret ? **ret != '\0' : !required;
}

static bool read_one_of(const xmlNode *node, const char *name, const char *const *values,
                        char **ret)
{
        return read_string(node, name, true, ret) && g_strv_contains(values, *ret);
}

static bool read_uuid(const xmlNode *node, const char *name, char **ret)
{
        return read_string(node, name, true, ret) && g_uuid_string_is_valid(*ret);
}

static bool read_unsigned(const xmlNode *node, const char *name, guint64 max, guint64 *ret)
{
        g_autofree char *value = dl_xml_attribute(node, name);

        *ret = 0;
        return !value || g_ascii_string_to_unsigned(value, 10, 0, max, ret, NULL);
}

static bool read_bool(const xmlNode *node, const char *name, bool *ret)
{
        g_autofree char *value = dl_xml_attribute(node, name);

        *ret = g_strcmp0(value, "yes") == 0;
        return !value || *ret || g_str_equal(value, "no");
}

static bool read_index(const xmlNode *node, int *ret)
{
        g_autofree char *value = dl_xml_attribute(node, "index");
        gint64 number = -1;

        if (value && !g_ascii_string_to_signed(value, 10, -1, G_MAXINT32, &number, NULL))
                return false;
        *ret = (int)number;
        return true;
}

static bool read_numbers(const xmlNode *node, DlDomainAttachment *attachment)
{
        guint64 lun, boot_order;

        if (!read_unsigned(node, "lun", G_MAXUINT64, &lun) ||
            !read_unsigned(node, "boot-order", G_MAXUINT16, &boot_order))
                return false;
        attachment->lun = lun;
        attachment->boot_order = (unsigned)boot_order;
        return read_index(node, &attachment->index);
}

static bool read_address(const xmlNode *node, DlAddress **ret)
{
        for (const xmlNode *child = node->children; child; child = child->next)
                if (is_our(child, "address")) {
                        g_clear_pointer(ret, g_hash_table_unref);
                        *ret = dl_address_from_node(child);
                        if (!*ret || !dl_address_check(*ret, NULL))
                                return false;
                }
        return true;
}

static DlDomainAttachment *read_attachment(const xmlNode *node)
{
        static const char *const ifaces[] = {"virtio", "scsi", "sata", "ide", NULL};
        static const char *const devices[] = {"disk", "lun", NULL};
        static const char *const data_paths[] = {"qemu", "block", "auto", NULL};
        g_autoptr(DlDomainAttachment) a = g_new0(DlDomainAttachment, 1);

        if (!read_string(node, "id", true, &a->id) || !read_uuid(node, "vdisk", &a->vdisk) ||
            !read_string(node, "guid", true, &a->guid) ||
            !read_one_of(node, "iface", ifaces, &a->iface) ||
            !read_one_of(node, "device", devices, &a->device) ||
            !read_string(node, "iqn", false, &a->iqn) || !read_numbers(node, a) ||
            !read_bool(node, "propagate-errors", &a->propagate_errors) ||
            !read_bool(node, "shared", &a->shared) || !read_bool(node, "optional", &a->optional) ||
            !read_bool(node, "readonly", &a->readonly) ||
            !read_bool(node, "discard", &a->discard) ||
            !read_bool(node, "reservations", &a->reservations) ||
            !read_bool(node, "left-out", &a->left_out) ||
            !read_one_of(node, "data-path", data_paths, &a->data_path) ||
            !read_string(node, "serial", false, &a->serial) ||
            !read_string(node, "image", false, &a->image) || !read_address(node, &a->address))
                return NULL;
        return g_steal_pointer(&a);
}

static void read_attachments(const xmlNode *element, DlDomain *domain)
{
        g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);

        for (const xmlNode *child = element->children; child; child = child->next) {
                DlDomainAttachment *attachment;

                if (!is_our(child, "attachment"))
                        continue;
                attachment = domain->attachments->len < ATTACHMENTS_MAX ? read_attachment(child)
                                                                        : NULL;
                if (!attachment || !g_hash_table_add(seen, attachment->id)) {
                        domain->metadata_broken = true;
                        dl_domain_attachment_free(attachment);
                        continue;
                }
                g_ptr_array_add(domain->attachments, attachment);
        }
}

void dl_metadata_parse(const xmlNode *metadata, DlDomain *domain)
{
        const xmlNode *ours = NULL;

        for (const xmlNode *child = metadata ? metadata->children : NULL; child;
             child = child->next) {
                if (!is_ours(child))
                        continue;
                if (ours || !is_our(child, "attachments"))
                        domain->metadata_broken = true;
                else
                        ours = child;
        }
        if (ours)
                read_attachments(ours, domain);
}
