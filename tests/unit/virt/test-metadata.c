/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Our element in the metadata of a domain: in and out, and what others may have made of it. */

#include "xml-fixture.h"

static void test_metadata_round_trip(void)
{
        g_autoptr(GHashTable) address = address_of("type", "pci", "domain", "0x0000", "bus", "0x01",
                                                   "slot", "0x00", "function", "0x0", NULL);
        DlDomainAttachment full = {
                .id = (char *)"attachment-1",
                .vdisk = (char *)VDISK,
                .guid = (char *)"SQEMU 'disk' <1> & more",
                .iface = (char *)"virtio",
                .device = (char *)"disk",
                .iqn = (char *)"iqn.2026-11.org.example:one",
                .lun = G_MAXUINT64,
                .index = -1,
                .boot_order = 4,
                .propagate_errors = true,
                .shared = true,
                .optional = true,
                .readonly = true,
                .discard = true,
                .reservations = true,
                .data_path = (char *)"qemu",
                .serial = (char *)VDISK,
                .address = address,
        };
        g_autoptr(GHashTable) unknown = address_of("type", "virtio-mmio", NULL);
        DlDomainAttachment least = {
                .id = (char *)"attachment-2",
                .vdisk = (char *)VDISK,
                .guid = (char *)"36001405000000001",
                .iface = (char *)"scsi",
                .device = (char *)"lun",
                .index = 3,
                .data_path = (char *)"auto",
                .address = unknown, /* not kept */
        };
        DlDomainAttachment *attachments[] = {&full, &least};
        g_autofree char *xml = dl_metadata_to_xml(attachments, 2);
        g_autofree char *whole = domain_with("", xml);
        g_autofree char *again = NULL, *copied = NULL;
        g_autoptr(DlDomain) domain = parse(whole);
        g_autoptr(DlDomainAttachment) copy = NULL;

        check_golden("metadata.xml", xml);
        g_assert_false(domain->metadata_broken);
        g_assert_cmpuint(domain->attachments->len, ==, 2);
        again = dl_metadata_to_xml((DlDomainAttachment *const *)domain->attachments->pdata, 2);
        g_assert_cmpstr(again, ==, xml);

        copy = dl_domain_attachment_copy(&full);
        attachments[0] = copy;
        copied = dl_metadata_to_xml(attachments, 2);
        g_assert_cmpstr(copied, ==, xml);
        g_assert_null(dl_metadata_to_xml(NULL, 0));
}

#define OURS(inside) "<d:attachments xmlns:d='" DL_METADATA_URI "'>" inside "</d:attachments>"
#define GOOD         "id='1' vdisk='" VDISK "' guid='g' iface='scsi' device='disk' data-path='qemu'"

static void test_metadata_tolerant(void)
{
        g_autofree char *whole = domain_with(
                "", "<other xmlns='urn:other'><attachment/></other>"
                    "text<!-- comment -->" OURS(
                            "<d:attachment " GOOD " later='x' d:id='2'><d:later/><address "
                            "type='nonsense'/><d:address type='drive' unit='1' later='x'/>"
                            "</d:attachment><d:later/><attachment/>text"));
        g_autoptr(DlDomain) domain = parse(whole);
        const DlDomainAttachment *attachment;

        g_assert_false(domain->metadata_broken);
        g_assert_cmpuint(domain->attachments->len, ==, 1);
        attachment = g_ptr_array_index(domain->attachments, 0);
        g_assert_cmpstr(attachment->id, ==, "1");
        g_assert_cmpint(attachment->index, ==, -1);
        g_assert_cmpuint(g_hash_table_size(attachment->address), ==, 2);
}

static void test_metadata_broken(void)
{
        static const char *const broken[] = {
                OURS("<d:attachment/>"),
                OURS("<d:attachment " GOOD " lun='x'/>"),
                OURS("<d:attachment " GOOD " lun='-1'/>"),
                OURS("<d:attachment " GOOD " lun='18446744073709551616'/>"),
                OURS("<d:attachment " GOOD " index='1.5'/>"),
                OURS("<d:attachment " GOOD " index='-2'/>"),
                OURS("<d:attachment " GOOD " boot-order='65536'/>"),
                OURS("<d:attachment " GOOD " shared='true'/>"),
                OURS("<d:attachment " GOOD " readonly=''/>"),
                OURS("<d:attachment " GOOD " serial=''/>"),
                OURS("<d:attachment " GOOD "><d:address/></d:attachment>"),
                OURS("<d:attachment " GOOD "><d:address type='pci' slot='0x20'/></d:attachment>"),
                OURS("<d:attachment id='1' vdisk='x' guid='g' iface='scsi' device='disk' "
                     "data-path='qemu'/>"),
                OURS("<d:attachment id='1' vdisk='" VDISK "' guid='' iface='scsi' device='disk' "
                     "data-path='qemu'/>"),
                OURS("<d:attachment id='1' vdisk='" VDISK "' guid='g' iface='SCSI' device='disk' "
                     "data-path='qemu'/>"),
                OURS("<d:attachment id='1' vdisk='" VDISK "' guid='g' iface='scsi' device='disk' "
                     "data-path='kernel'/>"),
                OURS("<d:attachment " GOOD "/><d:attachment " GOOD "/>"), /* one id twice */
                OURS("") OURS(""),
                "<d:later xmlns:d='" DL_METADATA_URI "'/>",
        };

        for (size_t i = 0; i < G_N_ELEMENTS(broken); i++) {
                g_autofree char *whole = domain_with("", broken[i]);
                g_autoptr(DlDomain) domain = parse(whole);

                g_test_message("%s", broken[i]);
                g_assert_true(domain->metadata_broken);
                g_assert_cmpuint(domain->attachments->len, <=, 1);
        }
}

int main(int argc, char **argv)
{
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/metadata/round-trip", test_metadata_round_trip);
        g_test_add_func("/metadata/tolerant", test_metadata_tolerant);
        g_test_add_func("/metadata/broken", test_metadata_broken);
        return g_test_run();
}
