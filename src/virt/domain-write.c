/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The <disk> element by which QEMU finds a LUN, with its own initiator or as a block device of the
 * host, and our <metadata>. Pure, any thread; the caller owns the text.
 */

#include "domain-xml.h"

#include "address.h"
#include "disk-images.h"
#include "xml.h"

#define BLOCK_USUAL 512

#define LUN_FLAT 0x4000U /* SAM-5, 4.7.7.3: flat space addressing */

/* QEMU hands the number to libiscsi, which puts its 16 bits on the wire as they are: what does not
 * fit the peripheral addressing method has to be given in flat space addressing. */
static uint64_t lun_for_qemu(uint64_t lun)
{
        return lun < 256 || lun >= LUN_FLAT ? lun : LUN_FLAT | lun;
}

static void append_unsigned(GString *out, const char *name, uint64_t value)
{
        g_string_append_printf(out, " %s='%" G_GUINT64_FORMAT "'", name, value);
}

static void append_driver(GString *out, const DlDiskSpec *spec)
{
        const char *policy = spec->propagate_errors ? "report" : "stop";

        g_string_append_printf(out, "<driver name='qemu' type='%s' cache='none'",
                               dl_disk_images_format(spec->images));
        dl_xml_append_attribute(out, "error_policy", policy);
        dl_xml_append_attribute(out, "rerror_policy", policy);
        if (spec->node) /* what O_DIRECT (cache none) is there for; QEMU's initiator knows no other
                         */
                g_string_append(out, " io='native'");
        if (spec->discard)
                g_string_append(out, " discard='unmap'");
        g_string_append(out, "/>");
}

/* In QEMU's own session with the target reservations are the guest's by themselves; a device of the
 * host needs one who may register its paths. */
static void append_block_source(GString *out, const DlDiskSpec *spec)
{
        g_string_append(out, "<source");
        dl_xml_append_attribute(out, "dev", spec->node);
        g_string_append(out, spec->reservations ? "><reservations managed='yes'/></source>" : "/>");
}

static void append_network_source(GString *out, const DlDiskSpec *spec)
{
        g_autofree char *name = g_strdup_printf("%s/%" G_GUINT64_FORMAT, spec->iqn,
                                                lun_for_qemu(spec->lun));

        g_string_append(out, "<source protocol='iscsi'");
        dl_xml_append_attribute(out, "name", name);
        g_string_append(out, "><host");
        dl_xml_append_attribute(out, "name", spec->host_name);
        append_unsigned(out, "port", spec->host_port);
        g_string_append(out, "/>");
        if (spec->initiator_name) {
                g_string_append(out, "<initiator><iqn");
                dl_xml_append_attribute(out, "name", spec->initiator_name);
                g_string_append(out, "/></initiator>");
        }
        if (spec->chap_user) {
                g_string_append(out, "<auth");
                dl_xml_append_attribute(out, "username", spec->chap_user);
                g_string_append(out, "><secret type='iscsi'");
                dl_xml_append_attribute(out, "uuid", spec->secret_uuid);
                g_string_append(out, "/></auth>");
        }
        g_string_append(out, "</source>");
}

/* QEMU says 512 if it is not told, and then what other hosts have written looks like nonsense. A
 * LUN that is passed through says it itself. */
static void append_block_sizes(GString *out, const DlDiskSpec *spec)
{
        if (spec->logical_block_size <= BLOCK_USUAL || g_strcmp0(spec->device, "lun") == 0)
                return;
        g_string_append(out, "<blockio");
        append_unsigned(out, "logical_block_size", spec->logical_block_size);
        append_unsigned(out, "physical_block_size",
                        MAX(spec->physical_block_size, spec->logical_block_size));
        g_string_append(out, "/>");
}

char *dl_disk_spec_to_xml(const DlDiskSpec *spec)
{
        const char *type = spec->node ? "block" : "network";
        g_autoptr(GString) source = g_string_new(NULL);
        g_autoptr(GString) out = g_string_new("<disk");

        if (spec->node)
                append_block_source(source, spec);
        else
                append_network_source(source, spec);
        dl_xml_append_attribute(out, "type", dl_disk_images_type(spec->images, type));
        dl_xml_append_attribute(out, "device", spec->device);
        /* An unlisted network disk makes every disk-only snapshot of the VM fail. */
        g_string_append(out, " snapshot='no'>");
        append_driver(out, spec);
        dl_disk_images_append(out, spec->images, type, source->str);
        append_block_sizes(out, spec);
        g_string_append(out, "<target");
        dl_xml_append_attribute(out, "dev", spec->target_dev);
        dl_xml_append_attribute(out, "bus", spec->bus);
        g_string_append(out, "/>");
        if (spec->readonly)
                g_string_append(out, "<readonly/>");
        if (spec->shareable)
                g_string_append(out, "<shareable/>");
        dl_xml_append_element(out, "serial", spec->serial);
        if (spec->boot_order) {
                g_string_append(out, "<boot");
                append_unsigned(out, "order", spec->boot_order);
                g_string_append(out, "/>");
        }
        if (spec->alias) {
                g_string_append(out, "<alias");
                dl_xml_append_attribute(out, "name", spec->alias);
                g_string_append(out, "/>");
        }
        dl_address_append(out, "address", spec->address);
        g_string_append(out, "</disk>");
        return g_string_free(g_steal_pointer(&out), FALSE);
}

static void append_bool(GString *out, const char *name, bool value)
{
        dl_xml_append_attribute(out, name, value ? "yes" : "no");
}

static void append_attachment(GString *out, const DlDomainAttachment *attachment)
{
        g_string_append(out, "<attachment");
        dl_xml_append_attribute(out, "id", attachment->id);
        dl_xml_append_attribute(out, "vdisk", attachment->vdisk);
        dl_xml_append_attribute(out, "guid", attachment->guid);
        dl_xml_append_attribute(out, "iface", attachment->iface);
        dl_xml_append_attribute(out, "device", attachment->device);
        dl_xml_append_attribute(out, "iqn", attachment->iqn);
        append_unsigned(out, "lun", attachment->lun);
        g_string_append_printf(out, " index='%d'", attachment->index);
        append_unsigned(out, "boot-order", attachment->boot_order);
        append_bool(out, "propagate-errors", attachment->propagate_errors);
        append_bool(out, "shared", attachment->shared);
        append_bool(out, "optional", attachment->optional);
        append_bool(out, "readonly", attachment->readonly);
        append_bool(out, "discard", attachment->discard);
        append_bool(out, "reservations", attachment->reservations);
        if (attachment->left_out)
                append_bool(out, "left-out", true);
        dl_xml_append_attribute(out, "data-path", attachment->data_path);
        dl_xml_append_attribute(out, "serial", attachment->serial);
        dl_xml_append_attribute(out, "image", attachment->image);
        g_string_append_c(out, '>');
        /* One of a kind that we do not know, which libvirt may have chosen, is not worth keeping:
         * it would not be understood when it is read. */
        if (attachment->address && dl_address_check(attachment->address, NULL))
                dl_address_append(out, "address", attachment->address);
        g_string_append(out, "</attachment>");
}

char *dl_metadata_to_xml(DlDomainAttachment *const *attachments, size_t n_attachments)
{
        g_autoptr(GString) out = NULL;

        if (n_attachments == 0)
                return NULL;
        /* The namespace as the default one: libvirt declares our prefix itself when it takes the
         * element, and refuses one that declares it already. */
        out = g_string_new("<attachments xmlns='" DL_METADATA_URI "'>");
        for (size_t i = 0; i < n_attachments; i++)
                append_attachment(out, attachments[i]);
        g_string_append(out, "</attachments>");
        return g_string_free(g_steal_pointer(&out), FALSE);
}
