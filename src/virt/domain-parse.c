/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reads a domain's XML. Another client may have written it, so nothing of it is taken for granted:
 * what a disk does not say, or says in a way that cannot be, is as if it were not there. The caller
 * owns the result. Pure, any thread.
 */

#include "domain-xml.h"

#include "address.h"
#include "disk-images.h"
#include "metadata.h"
#include "util/error.h"
#include "xml.h"

void dl_domain_disk_free(DlDomainDisk *disk)
{
        if (!disk)
                return;
        g_free(disk->alias);
        g_free(disk->device);
        g_free(disk->type);
        g_free(disk->bus);
        g_free(disk->target_dev);
        g_free(disk->serial);
        g_free(disk->source);
        g_free(disk->pool);
        g_free(disk->protocol);
        g_free(disk->host_name);
        g_clear_pointer(&disk->address, g_hash_table_unref);
        g_ptr_array_unref(disk->images);
        g_free(disk);
}

char *dl_domain_volume_key(const DlDomainDisk *disk)
{
        return disk->pool && disk->source ? g_strconcat(disk->pool, "/", disk->source, NULL) : NULL;
}

void dl_domain_attachment_free(DlDomainAttachment *attachment)
{
        if (!attachment)
                return;
        g_free(attachment->id);
        g_free(attachment->vdisk);
        g_free(attachment->guid);
        g_free(attachment->iface);
        g_free(attachment->device);
        g_free(attachment->iqn);
        g_free(attachment->data_path);
        g_free(attachment->serial);
        g_free(attachment->image);
        g_clear_pointer(&attachment->address, g_hash_table_unref);
        g_free(attachment);
}

DlDomainAttachment *dl_domain_attachment_copy(const DlDomainAttachment *attachment)
{
        DlDomainAttachment *copy = g_new(DlDomainAttachment, 1);

        *copy = *attachment;
        copy->id = g_strdup(attachment->id);
        copy->vdisk = g_strdup(attachment->vdisk);
        copy->guid = g_strdup(attachment->guid);
        copy->iface = g_strdup(attachment->iface);
        copy->device = g_strdup(attachment->device);
        copy->iqn = g_strdup(attachment->iqn);
        copy->data_path = g_strdup(attachment->data_path);
        copy->serial = g_strdup(attachment->serial);
        copy->image = g_strdup(attachment->image);
        copy->address = dl_address_copy(attachment->address);
        return copy;
}

static void device_free(gpointer p)
{
        DlDomainDevice *device = p;

        g_free(device->name);
        g_free(device->alias);
        g_free(device->bus);
        g_clear_pointer(&device->address, g_hash_table_unref);
        g_free(device);
}

static void controller_free(gpointer p)
{
        DlDomainController *controller = p;

        g_free(controller->type);
        g_free(controller->model);
        g_free(controller);
}

void dl_domain_free(DlDomain *domain)
{
        if (!domain)
                return;
        g_free(domain->uuid);
        g_free(domain->name);
        g_free(domain->machine);
        g_ptr_array_unref(domain->disks);
        g_ptr_array_unref(domain->attachments);
        g_ptr_array_unref(domain->devices);
        g_ptr_array_unref(domain->controllers);
        g_free(domain->os_boot);
        g_free(domain);
}

static guint64 read_number(const xmlNode *node, const char *name, guint64 max)
{
        g_autofree char *value = dl_xml_attribute(node, name);
        guint64 number = 0;

        if (value)
                (void)g_ascii_string_to_unsigned(value, 10, 0, max, &number, NULL);
        return number;
}

/* Of the layer of the disk that its source is in. */
static void read_source(const xmlNode *layer, DlDomainDisk *disk)
{
        static const char *const attributes[][2] = {
                {"network", "name"}, {"block", "dev"},     {"file", "file"},
                {"dir", "dir"},      {"volume", "volume"},
        };
        const xmlNode *source = dl_xml_child(layer, "source");

        disk->type = dl_xml_attribute(layer, "type");
        if (!disk->type)
                disk->type = g_strdup("file"); /* the default that libvirt documents */
        for (size_t i = 0; i < G_N_ELEMENTS(attributes); i++)
                if (g_str_equal(disk->type, attributes[i][0]))
                        disk->source = dl_xml_attribute(source, attributes[i][1]);
        if (g_str_equal(disk->type, "volume"))
                disk->pool = dl_xml_attribute(source, "pool");
        if (g_str_equal(disk->type, "network")) {
                const xmlNode *host = dl_xml_child(source, "host");

                disk->protocol = dl_xml_attribute(source, "protocol");
                disk->host_name = dl_xml_attribute(host, "name");
                disk->host_port = (uint16_t)read_number(host, "port", G_MAXUINT16);
        }
}

static DlDomainDisk *read_disk(const xmlNode *node)
{
        DlDomainDisk *disk = g_new0(DlDomainDisk, 1);
        const xmlNode *target = dl_xml_child(node, "target");

        disk->device = dl_xml_attribute(node, "device");
        if (!disk->device)
                disk->device = g_strdup("disk"); /* the default that libvirt documents */
        disk->alias = dl_xml_attribute(dl_xml_child(node, "alias"), "name");
        disk->bus = dl_xml_attribute(target, "bus");
        disk->target_dev = dl_xml_attribute(target, "dev");
        disk->serial = dl_xml_text(dl_xml_child(node, "serial"));
        disk->shareable = dl_xml_child(node, "shareable");
        disk->readonly = dl_xml_child(node, "readonly");
        disk->boot_order = (unsigned)read_number(dl_xml_child(node, "boot"), "order", G_MAXUINT16);
        disk->address = dl_address_from_node(dl_xml_child(node, "address"));
        read_source(dl_disk_images_read(node, disk), disk);
        return disk;
}

static void read_controller(const xmlNode *node, DlDomain *domain)
{
        DlDomainController *controller = g_new0(DlDomainController, 1);
        g_autofree char *hotplug = dl_xml_attribute(dl_xml_child(node, "target"), "hotplug");

        controller->type = dl_xml_attribute(node, "type");
        controller->model = dl_xml_attribute(node, "model");
        if (!controller->type)
                controller->type = g_strdup("");
        if (!controller->model)
                controller->model = g_strdup("");
        controller->index = (unsigned)read_number(node, "index", G_MAXUINT16);
        controller->hotplug_off = g_strcmp0(hotplug, "off") == 0;
        g_ptr_array_add(domain->controllers, controller);
}

static char *device_name(const xmlNode *node)
{
        static const char *const hints[][2] = {{"target", "dev"}, {"mac", "address"}};
        g_autofree char *type = dl_xml_attribute(node, "type");
        g_autofree char *index = dl_xml_attribute(node, "index");

        for (size_t i = 0; i < G_N_ELEMENTS(hints); i++) {
                g_autofree char *hint = dl_xml_attribute(dl_xml_child(node, hints[i][0]),
                                                         hints[i][1]);

                if (hint)
                        return g_strdup_printf("%s %s", (const char *)node->name, hint);
        }
        if (type && index)
                return g_strdup_printf("%s %s %s", (const char *)node->name, type, index);
        return g_strdup((const char *)node->name);
}

/* A SCSI device of the host takes a drive address, too. */
static char *device_bus(const xmlNode *node)
{
        if (dl_xml_is(node, "disk"))
                return dl_xml_attribute(dl_xml_child(node, "target"), "bus");
        return dl_xml_is(node, "hostdev") ? g_strdup("scsi") : NULL;
}

static void read_device(const xmlNode *node, DlDomain *domain)
{
        unsigned order = (unsigned)read_number(dl_xml_child(node, "boot"), "order", G_MAXUINT16);
        g_autoptr(GHashTable) address = dl_address_from_node(dl_xml_child(node, "address"));
        DlDomainDevice *device;

        if (!order && !address)
                return;
        device = g_new0(DlDomainDevice, 1);
        *device = (DlDomainDevice){
                .name = device_name(node),
                .alias = dl_xml_attribute(dl_xml_child(node, "alias"), "name"),
                .bus = device_bus(node),
                .boot_order = order,
                .address = g_steal_pointer(&address),
        };
        g_ptr_array_add(domain->devices, device);
}

static bool is_guest_agent(const xmlNode *node)
{
        const xmlNode *target = dl_xml_child(node, "target");
        g_autofree char *name = dl_xml_attribute(target, "name");
        g_autofree char *state = dl_xml_attribute(target, "state");

        return g_strcmp0(name, "org.qemu.guest_agent.0") == 0 && g_strcmp0(state, "connected") == 0;
}

static void read_devices(const xmlNode *devices, DlDomain *domain)
{
        for (const xmlNode *node = devices ? devices->children : NULL; node; node = node->next) {
                if (node->type != XML_ELEMENT_NODE)
                        continue;
                if (dl_xml_is(node, "disk"))
                        g_ptr_array_add(domain->disks, read_disk(node));
                else if (dl_xml_is(node, "controller"))
                        read_controller(node, domain);
                else if (dl_xml_is(node, "channel"))
                        domain->guest_agent |= is_guest_agent(node);
                read_device(node, domain);
        }
}

static char *read_os_boot(const xmlNode *os)
{
        g_autoptr(GString) all = g_string_new(NULL);

        for (const xmlNode *node = os ? os->children : NULL; node; node = node->next) {
                g_autofree char *dev = dl_xml_is(node, "boot") ? dl_xml_attribute(node, "dev")
                                                               : NULL;

                if (dev)
                        g_string_append_printf(all, "%s%s", all->len ? "," : "", dev);
        }
        return all->len ? g_string_free(g_steal_pointer(&all), FALSE) : NULL;
}

static DlDomain *read_domain(const xmlNode *root)
{
        DlDomain *domain = g_new0(DlDomain, 1);
        const xmlNode *os = dl_xml_child(root, "os");

        domain->disks = g_ptr_array_new_with_free_func((GDestroyNotify)dl_domain_disk_free);
        domain->attachments = g_ptr_array_new_with_free_func(
                (GDestroyNotify)dl_domain_attachment_free);
        domain->devices = g_ptr_array_new_with_free_func(device_free);
        domain->controllers = g_ptr_array_new_with_free_func(controller_free);
        domain->uuid = dl_xml_text(dl_xml_child(root, "uuid"));
        domain->name = dl_xml_text(dl_xml_child(root, "name"));
        domain->machine = dl_xml_attribute(dl_xml_child(os, "type"), "machine");
        domain->os_boot = read_os_boot(os);
        read_devices(dl_xml_child(root, "devices"), domain);
        dl_metadata_parse(dl_xml_child(root, "metadata"), domain);
        return domain;
}

DlDomain *dl_domain_parse(const char *xml, GError **error)
{
        g_autoptr(xmlDoc) doc = dl_xml_parse(xml, error);
        g_autoptr(DlDomain) domain = NULL;
        const xmlNode *root;

        if (!doc)
                return NULL;
        root = xmlDocGetRootElement(doc);
        if (dl_xml_is(root, "domain"))
                domain = read_domain(root);
        if (domain && domain->uuid && g_uuid_string_is_valid(domain->uuid) && domain->name &&
            *domain->name) {
                g_autofree char *uuid = g_ascii_strdown(domain->uuid, -1);

                g_free(domain->uuid);
                domain->uuid = g_steal_pointer(&uuid);
                return g_steal_pointer(&domain);
        }
        g_set_error(error, DL_ERROR, DL_ERROR_LIBVIRT_ERROR,
                    "libvirt's XML cannot be read: it is not of a domain with a name and a UUID");
        return NULL;
}
