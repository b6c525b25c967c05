/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The overlays of a disk in XML. The chain is always written whole, down to the end: what is
 * written in the headers of the files is then never looked at, neither by libvirt nor by QEMU.
 * Pure, any thread; the caller owns what is returned.
 */

#include "disk-images.h"

#include "util/error.h"
#include "xml.h"

#include <string.h>

/* ---- reading ------------------------------------------------------------------------------- */

/* The layer below; NULL: there is none, or nobody has said which. */
static const xmlNode *below(const xmlNode *layer)
{
        const xmlNode *backing = dl_xml_child(layer, "backingStore");

        return dl_xml_child(backing, "source") ? backing : NULL;
}

static const xmlNode *lowest(const xmlNode *layer)
{
        while (below(layer))
                layer = below(layer);
        return layer;
}

/* A running domain's XML has it at the layer, or (of the uppermost one) at its source. */
static unsigned read_index(const xmlNode *layer)
{
        g_autofree char *own = dl_xml_attribute(layer, "index");
        g_autofree char *of_source = dl_xml_attribute(dl_xml_child(layer, "source"), "index");
        const char *text = own ? own : of_source;
        guint64 index = 0;

        if (text)
                (void)g_ascii_string_to_unsigned(text, 10, 0, G_MAXUINT, &index, NULL);
        return (unsigned)index;
}

static void image_free(gpointer p)
{
        DlDomainImage *image = p;

        g_free(image->file);
        g_free(image);
}

static DlDomainImage *read_image(const xmlNode *layer)
{
        const xmlNode *source = dl_xml_child(layer, "source");
        DlDomainImage *image = g_new0(DlDomainImage, 1);

        image->file = dl_xml_attribute(source, "file");
        image->index = read_index(layer);
        return image;
}

static bool is_over_a_device(const xmlNode *base)
{
        g_autofree char *type = dl_xml_attribute(base, "type");

        return g_strcmp0(type, "network") == 0 || g_strcmp0(type, "block") == 0;
}

const xmlNode *dl_disk_images_read(const xmlNode *disk_node, DlDomainDisk *disk)
{
        g_autofree char *ready = dl_xml_attribute(dl_xml_child(disk_node, "mirror"), "ready");
        const xmlNode *base = lowest(disk_node);

        disk->images = g_ptr_array_new_with_free_func(image_free);
        disk->mirror_ready = g_strcmp0(ready, "yes") == 0;
        if (!is_over_a_device(base))
                return disk_node;
        for (const xmlNode *layer = disk_node; layer != base; layer = below(layer))
                g_ptr_array_add(disk->images, read_image(layer));
        disk->base_index = read_index(base);
        return base;
}

/* ---- writing ------------------------------------------------------------------------------- */

const char *dl_disk_images_format(const char *const *images)
{
        return images && images[0] ? "qcow2" : "raw";
}

const char *dl_disk_images_type(const char *const *images, const char *base_type)
{
        return images && images[0] ? "file" : base_type;
}

void dl_disk_images_append(GString *out, const char *const *images, const char *base_type,
                           const char *base_source)
{
        size_t depth = 0;

        for (; images && images[depth]; depth++) {
                g_string_append(out, "<source");
                dl_xml_append_attribute(out, "file", images[depth]);
                g_string_append(out, "/><backingStore");
                dl_xml_append_attribute(out, "type",
                                        dl_disk_images_type(images + depth + 1, base_type));
                g_string_append_printf(out, "><format type='%s'/>",
                                       dl_disk_images_format(images + depth + 1));
        }
        g_string_append(out, base_source);
        if (depth > 0)
                g_string_append(out, "<backingStore/>");
        while (depth-- > 0)
                g_string_append(out, "</backingStore>");
}

/* ---- changing ------------------------------------------------------------------------------ */

static char *node_to_text(xmlDoc *doc, const xmlNode *node)
{
        xmlBuffer *buffer = xmlBufferCreate();
        char *text = NULL;

        if (buffer && xmlNodeDump(buffer, doc, (xmlNode *)node, 0, 0) >= 0)
                text = g_strdup((const char *)xmlBufferContent(buffer));
        xmlBufferFree(buffer);
        return text;
}

/* A child that is about where the disk's data are. */
static bool is_about_source(const xmlNode *node)
{
        return dl_xml_is(node, "source") || dl_xml_is(node, "backingStore") ||
               dl_xml_is(node, "mirror");
}

static char *with_images(xmlDoc *doc, xmlNode *disk, const char *const *images)
{
        const xmlNode *base = lowest(disk);
        g_autofree char *base_type = dl_xml_attribute(base, "type");
        g_autofree char *base_source = node_to_text(doc, dl_xml_child(base, "source"));
        g_autoptr(GString) out = g_string_new("<disk");

        if (!base_source)
                return NULL;
        for (const xmlAttr *a = disk->properties; a; a = a->next) {
                g_autofree char *value = dl_xml_attribute(disk, (const char *)a->name);

                if (a->ns || strcmp((const char *)a->name, "type") == 0)
                        continue;
                dl_xml_append_attribute(out, (const char *)a->name, value);
        }
        dl_xml_append_attribute(out, "type", dl_disk_images_type(images, base_type));
        g_string_append_c(out, '>');
        dl_disk_images_append(out, images, base_type, base_source);
        for (xmlNode *node = disk->children; node; node = node->next) {
                if (node->type != XML_ELEMENT_NODE || is_about_source(node))
                        continue;
                if (dl_xml_is(node, "driver"))
                        xmlSetProp(node, BAD_CAST "type", BAD_CAST dl_disk_images_format(images));
                g_autofree char *text = node_to_text(doc, node);
                if (text)
                        g_string_append(out, text);
        }
        g_string_append(out, "</disk>");
        return g_string_free(g_steal_pointer(&out), FALSE);
}

char *dl_disk_with_images(const char *domain_xml, const char *alias, const char *const *images,
                          GError **error)
{
        g_autoptr(xmlDoc) doc = dl_xml_parse(domain_xml, error);
        const xmlNode *devices;
        char *text;

        if (!doc)
                return NULL;
        devices = dl_xml_child(xmlDocGetRootElement(doc), "devices");
        for (xmlNode *node = devices ? devices->children : NULL; node; node = node->next) {
                g_autofree char *name = dl_xml_is(node, "disk")
                                                ? dl_xml_attribute(dl_xml_child(node, "alias"),
                                                                   "name")
                                                : NULL;

                if (g_strcmp0(name, alias) != 0)
                        continue;
                text = with_images(doc, node, images);
                if (!text)
                        g_set_error(error, DL_ERROR, DL_ERROR_LIBVIRT_ERROR,
                                    "libvirt's XML cannot be read: the disk %s has no source",
                                    alias);
                return text;
        }
        g_set_error(error, DL_ERROR, DL_ERROR_NOT_ATTACHED, "The VM has no disk %s", alias);
        return NULL;
}

char *dl_snapshot_to_xml(const DlDomain *domain, const char *target_dev, const char *file)
{
        g_autoptr(GString) out = g_string_new("<domainsnapshot><disks>");

        for (unsigned i = 0; i < domain->disks->len; i++) {
                const DlDomainDisk *disk = domain->disks->pdata[i];
                bool wanted = g_strcmp0(disk->target_dev, target_dev) == 0;

                g_string_append(out, "<disk");
                dl_xml_append_attribute(out, "name", disk->target_dev);
                if (!wanted) {
                        g_string_append(out, " snapshot='no'/>");
                        continue;
                }
                g_string_append(out, " snapshot='external' type='file'><driver type='qcow2'/>"
                                     "<source");
                dl_xml_append_attribute(out, "file", file);
                g_string_append(out, "/></disk>");
        }
        g_string_append(out, "</disks></domainsnapshot>");
        return g_string_free(g_steal_pointer(&out), FALSE);
}
