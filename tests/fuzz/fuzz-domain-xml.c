/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Domain XML of any sender: reading it never harms, and what was read can be written and read again
 * to the same.
 */

#include "fuzz.h"

#include <glib.h>

#include "virt/domain-xml.h"

static char *metadata_of(const DlDomain *domain)
{
        return dl_metadata_to_xml((DlDomainAttachment *const *)domain->attachments->pdata,
                                  domain->attachments->len);
}

static void write_again(const DlDomain *domain)
{
        g_autofree char *metadata = metadata_of(domain);
        g_autofree char *whole = g_strdup_printf("<domain><name>n</name><uuid>%s</uuid><metadata>"
                                                 "%s</metadata></domain>",
                                                 domain->uuid, metadata ? metadata : "");
        g_autoptr(DlDomain) again = dl_domain_parse(whole, NULL);
        g_autofree char *same = again ? metadata_of(again) : NULL;

        g_assert_nonnull(again);
        g_assert_false(again->metadata_broken);
        g_assert_cmpstr(same, ==, metadata);
}

static void write_disk(const DlDomainDisk *disk)
{
        DlDiskSpec spec = {
                .alias = disk->alias,
                .device = disk->device,
                .bus = disk->bus,
                .target_dev = disk->target_dev,
                .serial = disk->serial,
                .iqn = disk->source,
                .host_name = disk->host_name,
                .host_port = disk->host_port,
                .boot_order = disk->boot_order,
                .address = disk->address,
        };
        g_autofree char *xml = dl_disk_spec_to_xml(&spec);
        g_autofree char *whole = g_strdup_printf(
                "<domain><name>n</name><uuid>00000000-0000-4000-8000-000000000000"
                "</uuid><devices>%s</devices></domain>",
                xml);
        g_autoptr(DlDomain) again = dl_domain_parse(whole, NULL);

        g_assert_nonnull(again);
        g_assert_cmpuint(again->disks->len, ==, 1);
        g_assert_cmpstr(((DlDomainDisk *)again->disks->pdata[0])->alias, ==, disk->alias);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        g_autofree char *xml = size ? g_strndup((const char *)data, size) : g_strdup("");
        g_autoptr(DlDomain) domain = dl_domain_parse(xml, NULL);

        if (!domain)
                return 0;
        write_again(domain);
        for (guint i = 0; i < domain->disks->len; i++)
                write_disk(domain->disks->pdata[i]);
        g_free(dl_target_dev_free("virtio", 0, domain, NULL));
        return 0;
}
