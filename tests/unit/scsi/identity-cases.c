/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Devices with known identities: constant data; what is built of it belongs to the caller. */

#include "identity-cases.h"

#include "scsi/identity.h"

#include <string.h>

#define BYTES(s) (s), sizeof(s) - 1
#define BIN(type, s)                                                                               \
        {                                                                                          \
                DL_SCSI_CODE_BINARY, DL_SCSI_ASSOCIATION_LUN, type, BYTES(s)                       \
        }
#define ASC(type, s)                                                                               \
        {                                                                                          \
                DL_SCSI_CODE_ASCII, DL_SCSI_ASSOCIATION_LUN, type, BYTES(s)                        \
        }
#define UTF(type, s)                                                                               \
        {                                                                                          \
                DL_SCSI_CODE_UTF8, DL_SCSI_ASSOCIATION_LUN, type, BYTES(s)                         \
        }
#define PORT(type, s)                                                                              \
        {                                                                                          \
                DL_SCSI_CODE_BINARY, DL_SCSI_ASSOCIATION_PORT, type, BYTES(s)                      \
        }
#define TARGET(type, s)                                                                            \
        {                                                                                          \
                DL_SCSI_CODE_BINARY, DL_SCSI_ASSOCIATION_TARGET, type, BYTES(s)                    \
        }
#define SERIAL(s) .serial = (s), .serial_size = sizeof(s) - 1
#define RAW83(s)  .raw83 = (s), .raw83_size = sizeof(s) - 1

#define NAA5 "\x50\x01\x43\x80\x11\x22\x33\x44"
#define NAA6 "\x60\x01\x40\x5a\xbc\xde\xf0\x12\x34\x56\x78\x9a\xbc\xde\xf0\x01"
#define NAA6_HEX                                                                                   \
        "3600140"                                                                                  \
        "5abcdef0123456789abcdef001"
#define EUI8   "\x00\x11\x22\xff\xfe\x33\x44\x55"
#define X10(c) c c c c c c c c c c

enum {
        VENDOR = DL_SCSI_DESIGNATOR_VENDOR,
        T10 = DL_SCSI_DESIGNATOR_T10,
        EUI64 = DL_SCSI_DESIGNATOR_EUI64,
        NAA = DL_SCSI_DESIGNATOR_NAA,
        REL_PORT = DL_SCSI_DESIGNATOR_RELATIVE_PORT,
        PORT_GROUP = DL_SCSI_DESIGNATOR_PORT_GROUP,
        LUN_GROUP = DL_SCSI_DESIGNATOR_LUN_GROUP,
        MD5 = DL_SCSI_DESIGNATOR_MD5,
        NAME = DL_SCSI_DESIGNATOR_NAME,
        UUID = DL_SCSI_DESIGNATOR_UUID,
};

const IdentityCase identity_cases[] = {
        /* one designator of each kind */
        {.name = "naa-6", .designators = {BIN(NAA, NAA6)}, .guid = NAA6_HEX},
        {.name = "naa-5", .designators = {BIN(NAA, NAA5)}, .guid = "35001438011223344"},
        {.name = "naa-3",
         .designators = {BIN(NAA, "\x30\x00\x00\x00\x00\x00\x00\x01")},
         .guid = "33000000000000001"},
        {.name = "naa-2",
         .designators = {BIN(NAA, "\x20\x01\x00\x1b\x32\x00\x00\x01")},
         .guid = "32001001b32000001"},
        {.name = "naa-reserved-f",
         .designators = {BIN(NAA, "\xf0\x00\x00\x00\x00\x00\x00\x01")},
         .guid = "3f000000000000001"},
        {.name = "naa-of-odd-size", .designators = {BIN(NAA, "\x60\x01\x02")}, .guid = "3600102"},
        {.name = "naa-ascii",
         .designators = {ASC(NAA, "600140500112233")},
         .guid = "3600140500112233"},
        {.name = "eui-64-8", .designators = {BIN(EUI64, EUI8)}, .guid = "2001122fffe334455"},
        {.name = "eui-64-12",
         .designators = {BIN(EUI64, EUI8 "\x01\x02\x03\x04")},
         .guid = "2001122fffe33445501020304"},
        {.name = "eui-64-16",
         .designators = {BIN(EUI64, "\x01\x02\x03\x04\x05\x06\x07\x08" EUI8)},
         .guid = "20102030405060708001122fffe334455"},
        {.name = "eui-64-ascii", .designators = {ASC(EUI64, "001122FFFE")}, .guid = "2001122FFFE"},
        {.name = "t10-ascii",
         .designators = {ASC(T10, "ATA     QEMU HARDDISK                           QM00001 ")},
         .guid = "1ATA_QEMU_HARDDISK_QM00001"},
        {.name = "t10-binary", .designators = {BIN(T10, "IET \x00\x01")}, .guid = "1494554200001"},
        {.name = "t10-nul-padded",
         .designators = {ASC(T10, "IET     00010001\0\0\0\0\0\0\0\0")},
         .guid = "1IET_00010001"},
        {.name = "vendor-specific-binary",
         .vendor = "ACME",
         .product = "DISK ARRAY 9",
         .designators = {BIN(VENDOR, "\xde\xad\xbe\xef")},
         .guid = "0ACME_DISK_ARRAY_9_deadbeef"},
        {.name = "vendor-specific-ascii",
         .vendor = "ACMECORP",
         .product = "SIXTEEN-CHARS-OK",
         .designators = {ASC(VENDOR, "lun7")},
         .guid = "0ACMECORPSIXTEEN-CHARS-OKlun7"},
        {.name = "page-80", SERIAL("beaf11"), .guid = "SVENDOR_PRODUCT_beaf11"},
        {.name = "page-80-padded",
         .vendor = "  LEFT",
         .product = "  PADDED  TWICE",
         SERIAL("   00 1  "),
         .guid = "S_LEFT_PADDED_TWICE_00_1"},
        {.name = "nothing", .guid = NULL},

        /* precedence */
        {.name = "naa-6-over-naa-5-over-naa-3",
         .designators = {BIN(NAA, "\x30\x00\x00\x00\x00\x00\x00\x01"), BIN(NAA, NAA5),
                         BIN(NAA, NAA6)},
         SERIAL("s"),
         .guid = NAA6_HEX},
        {.name = "naa-5-over-naa-2",
         .designators = {BIN(NAA, "\x20\x01\x00\x1b\x32\x00\x00\x01"), BIN(NAA, NAA5)},
         .guid = "35001438011223344"},
        {.name = "naa-5-ascii-over-naa-2-binary",
         .designators = {BIN(NAA, "\x20\x01\x00\x1b\x32\x00\x00\x01"), ASC(NAA, "P123")},
         .guid = "3P123"},
        {.name = "naa-3-over-eui-64",
         .designators = {BIN(EUI64, EUI8), BIN(NAA, "\x30\x00\x00\x00\x00\x00\x00\x01")},
         .guid = "33000000000000001"},
        {.name = "eui-64-over-t10",
         .designators = {ASC(T10, "ACME    1"), BIN(EUI64, EUI8)},
         .guid = "2001122fffe334455"},
        {.name = "t10-over-vendor-specific",
         .designators = {BIN(VENDOR, "\x01"), ASC(T10, "ACME    1")},
         .guid = "1ACME_1"},
        {.name = "vendor-specific-over-page-80",
         .designators = {BIN(VENDOR, "\x01")},
         SERIAL("s"),
         .guid = "0VENDOR_PRODUCT_01"},
        {.name = "binary-over-ascii-of-one-type",
         .designators = {ASC(T10, "ACME    1"), BIN(T10, "\x01\x02")},
         .guid = "10102"},
        {.name = "first-of-equals",
         .designators = {BIN(NAA, NAA5), BIN(NAA, "\x50\x00\x00\x00\x00\x00\x00\x09")},
         .guid = "35001438011223344"},

        /* designators that are about something else, or that nobody can use */
        {.name = "association-port-is-not-the-lun",
         .designators = {PORT(NAA, NAA6), PORT(REL_PORT, "\0\0\0\1"), PORT(PORT_GROUP, "\0\0\0\1"),
                         BIN(EUI64, EUI8)},
         .guid = "2001122fffe334455"},
        {.name = "association-target-is-not-the-lun",
         .designators = {TARGET(NAA, NAA6), ASC(T10, "ACME    1")},
         .guid = "1ACME_1"},
        {.name = "association-reserved",
         .designators = {{DL_SCSI_CODE_BINARY, 3, NAA, BYTES(NAA6)}, ASC(T10, "ACME    1")},
         .guid = "1ACME_1"},
        {.name = "code-set-utf8-of-naa-is-unknown", .designators = {UTF(NAA, NAA6)}, .guid = NULL},
        {.name = "code-set-0-is-unknown",
         .designators = {{0, 0, NAA, BYTES(NAA6)}},
         SERIAL("s"),
         .guid = "SVENDOR_PRODUCT_s"},
        {.name = "groups-md5-and-uuid-do-not-count",
         .designators = {BIN(LUN_GROUP, "\0\0\0\1"), BIN(MD5, "0123456789abcdef"),
                         BIN(UUID, "\x10\x00"
                                   "0123456789abcdef")},
         .guid = NULL},

        /* SCSI names: the last resort */
        {.name = "name-iqn",
         .designators = {UTF(NAME, "iqn.2003-01.org.linux-iscsi:Disk1,L,0x0000\0")},
         .guid = "82003-01.org.linux-iscsi:Disk1_L_0x0000",
         .scsi_id = ""},
        {.name = "name-naa",
         .designators = {UTF(NAME, "naa.600140500112233A\0\0\0\0")},
         .guid = "3600140500112233a",
         .scsi_id = ""},
        {.name = "name-eui",
         .designators = {UTF(NAME, "eui.001122FFFE334455\0\0\0\0")},
         .guid = "2001122fffe334455",
         .scsi_id = ""},
        {.name = "name-after-everything",
         .designators = {UTF(NAME, "iqn.2003-01.org.example:x\0"), ASC(VENDOR, "lun7")},
         .guid = "0VENDOR_PRODUCT_lun7"},
        {.name = "name-after-page-80",
         .designators = {UTF(NAME, "iqn.2003-01.org.example:x\0")},
         SERIAL("s"),
         .guid = "SVENDOR_PRODUCT_s"},
        {.name = "name-of-the-target",
         .designators = {{DL_SCSI_CODE_UTF8, DL_SCSI_ASSOCIATION_TARGET, NAME,
                          BYTES("iqn.2003-01.org.example:x\0")}},
         .guid = NULL},
        {.name = "name-of-unknown-format", .designators = {UTF(NAME, "xyz.1")}, .guid = NULL},
        {.name = "name-without-a-name", .designators = {UTF(NAME, "iqn.\0\0\0\0")}, .guid = NULL},

        /* the form of before SPC-3 */
        {.name = "pre-spc3",
         RAW83("\0\x83\0\x10"
               "\x60\x06\x04\x80\x00\x00\x00\x28\x75\x03\x53\x30\x33\x41\x43\x41"),
         .guid = "36006048000000028750353303341"
                 "4341"},
        {.name = "pre-spc3-long-length",
         RAW83("\0\x83\0\x7f"
               "\0\0\1"),
         .guid = "3000001" X10("000000") X10("000000") X10("000000") X10("000000") "000000"},
        {.name = "pre-spc3-empty",
         RAW83("\0\x83\0\0"
               "\0\0\1"),
         .guid = NULL,
         .scsi_id = "3"},
        {.name = "pre-spc3-hides-names",
         RAW83("\0\x83\0\0"
               "\x03\x08\1\x10"
               "iqn.2003-01.org."),
         .guid = NULL,
         .scsi_id = "3"},

        /* text */
        {.name = "odd-characters",
         .designators = {ASC(T10, "ACME/\x01\x7f\t \"x'*?$\\y#+-.:=@_~")},
         .guid = "1ACME___"
                 "_"
                 "_x_____y#+-.:=@__"},
        {.name = "udev-escape-stays",
         .designators = {ASC(T10, "a\\x20b\\x")},
         .guid = "1a\\x20b\\x"},
        {.name = "utf8-stays",
         .designators = {ASC(T10, "Gr\xc3\xb6\xc3\x9f"
                                  "e \xe2\x82\xac \xf0\x9f\x92\xbe")},
         .guid = "1Gr\xc3\xb6\xc3\x9f"
                 "e_\xe2\x82\xac_\xf0\x9f\x92\xbe"},
        {.name = "utf8-broken",
         .designators = {ASC(T10, "a\xc3 b\xe2\x82 c\xc0\xaf d\xff e\xed\xa0\x80")},
         .guid = "1a__b___c___d__e___"},
        {.name = "utf8-noncharacters",
         .designators = {ASC(T10, "a\xef\xbf\xbf"
                                  "b\xef\xb7\x90"
                                  "c\xf0\x9f\xbf\xbe")},
         .guid = "1a___b___c____"},
        {.name = "vertical-space-inside",
         .designators = {ASC(T10, "a\v\f\r\n\t b\v")},
         .guid = "1a_b"},
        {.name = "text-ends-at-nul", .designators = {ASC(T10, "ACME\0HIDDEN")}, .guid = "1ACME"},
        {.name = "serial-ends-at-nul",
         SERIAL("12\0"
                "34"),
         .guid = "SVENDOR_PRODUCT_12"},
        {.name = "serial-binary", SERIAL("\x01\xfe"), .guid = "SVENDOR_PRODUCT___"},

        /* blank identifiers name nobody */
        {.name = "naa-empty",
         .designators = {BIN(NAA, ""), ASC(T10, "ACME    1")},
         .guid = "1ACME_1",
         .scsi_id = "3"},
        {.name = "t10-all-spaces",
         .designators = {ASC(T10, "            ")},
         SERIAL("s"),
         .guid = "SVENDOR_PRODUCT_s",
         .scsi_id = "1"},
        {.name = "t10-only-nul",
         .designators = {ASC(T10, "\0\0\0\0")},
         .guid = NULL,
         .scsi_id = "1"},
        {.name = "vendor-specific-empty",
         .designators = {ASC(VENDOR, "")},
         .guid = NULL,
         .scsi_id = "0VENDOR_PRODUCT"},
        {.name = "serial-empty", SERIAL(""), .guid = NULL, .scsi_id = "SVENDOR_PRODUCT"},
        {.name = "serial-all-spaces",
         SERIAL("        "),
         .guid = NULL,
         .scsi_id = "SVENDOR_PRODUCT"},
        {.name = "vendor-with-nul-vendor-specific",
         .vendor = "ACME",
         .nul_padded = true,
         .designators = {BIN(VENDOR, "\x01")},
         .guid = NULL,
         .scsi_id = "0"},
        {.name = "vendor-with-nul-page-80",
         .vendor = "ACME",
         .nul_padded = true,
         SERIAL("s"),
         .guid = NULL,
         .scsi_id = "S"},
        {.name = "vendor-with-nul-does-not-matter-for-naa",
         .vendor = "ACME",
         .nul_padded = true,
         .designators = {BIN(NAA, NAA5)},
         .guid = "35001438011223344"},

        /* lengths that lie */
        {.name = "page-83-shorter-than-its-designator",
         .designators = {BIN(NAA, NAA6)},
         .page83_length = 4,
         .guid = NAA6_HEX},
        {.name = "page-83-length-hides-the-second",
         .designators = {ASC(T10, "ACME    1"), BIN(NAA, NAA6)},
         .page83_length = 13,
         .guid = "1ACME_1"},
        {.name = "page-83-longer-than-what-came",
         .designators = {ASC(T10, "ACME    1")},
         .page83_length = 200,
         .guid = "1ACME_1"},
        {.name = "designator-cut-reads-as-zeros",
         RAW83("\0\x83\0\x0c"
               "\x01\x03\0\x08"
               "\x50\x01"),
         .guid = "35001000000000000"},
        {.name = "page-83-of-another-code",
         RAW83("\0\x80\0\x0c"
               "\x01\x03\0\x08" NAA5),
         SERIAL("s"),
         .guid = "SVENDOR_PRODUCT_s"},
        {.name = "page-83-header-only", RAW83("\0\x83\0\0"), .guid = NULL},
        {.name = "page-83-three-bytes", RAW83("\0\x83\0"), .guid = NULL},
        {.name = "serial-shorter-than-its-length",
         SERIAL("123"),
         .page80_length = 9,
         .guid = "SVENDOR_PRODUCT_123"},
        {.name = "serial-longer-than-its-length",
         SERIAL("123456"),
         .page80_length = 2,
         .guid = "SVENDOR_PRODUCT_12"},
        {.name = "t10-longest",
         .designators = {ASC(T10, X10(X10("a")) X10(X10("b")) X10("c") X10("d") X10("e")
                                          X10("f") "123456")},
         .guid = "1" X10(X10("a")) X10(X10("b")) X10("c") X10("d") X10("e") X10("f") "123456"},
        {.name = "naa-longest",
         .designators = {BIN(NAA, X10("\x60") X10("\x61") X10("\x62") X10("\x63") X10("\x64")
                                          X10("\x65") X10("\x66") X10("\x67") X10("\x68")
                                                  X10("\x69") X10("\x6a") X10("\x6b") "1234567")},
         .guid = "3" X10("60") X10("61") X10("62") X10("63") X10("64") X10("65") X10("66") X10("67")
                 X10("68") X10("69") X10("6a") X10("6b") "31323334353637"},
        {.name = "naa-too-long-for-a-serial",
         .designators = {BIN(NAA, X10("\x60") X10("\x61") X10("\x62") X10("\x63") X10("\x64")
                                          X10("\x65") X10("\x66") X10("\x67") X10("\x68")
                                                  X10("\x69") X10("\x6a") X10("\x6b") "12345678"),
                         ASC(T10, "ACME    1")},
         .guid = "1ACME_1"},
        {.name = "serial-longest",
         .vendor = "ACMECORP",
         .product = "SIXTEEN-CHARS-OK",
         SERIAL(X10(X10("a")) X10(X10("b")) X10("c") X10("d") X10("e")),
         .guid = "SACMECORPSIXTEEN-CHARS-OK" X10(X10("a")) X10(X10("b")) X10("c") X10("d")
                 X10("e")},
        {.name = "serial-one-more-is-cut",
         .vendor = "ACMECORP",
         .product = "SIXTEEN-CHARS-OK",
         SERIAL(X10(X10("a")) X10(X10("b")) X10("c") X10("d") X10("e") "f"),
         .guid = "SACMECORPSIXTEEN-CHARS-OK" X10(X10("a")) X10(X10("b")) X10("c") X10("d")
                 X10("e")},
        {.name = "serial-two-more-is-too-long",
         .vendor = "ACMECORP",
         .product = "SIXTEEN-CHARS-OK",
         SERIAL(X10(X10("a")) X10(X10("b")) X10("c") X10("d") X10("e") "ff"),
         .guid = NULL},
};

const size_t n_identity_cases = G_N_ELEMENTS(identity_cases);

void identity_inquiry(uint8_t inquiry[DL_SCSI_INQUIRY_SIZE], const char *vendor,
                      const char *product, char padding)
{
        memset(inquiry, 0, DL_SCSI_INQUIRY_SIZE);
        inquiry[2] = 0x06; /* SPC-4 */
        inquiry[4] = DL_SCSI_INQUIRY_SIZE - 5;
        memset(inquiry + 8, padding, DL_SCSI_INQUIRY_SIZE - 8);
        memcpy(inquiry + 8, vendor, MIN(strlen(vendor), DL_SCSI_VENDOR_SIZE));
        memcpy(inquiry + 16, product, MIN(strlen(product), DL_SCSI_PRODUCT_SIZE));
        memcpy(inquiry + 32, "0001", 4);
}

GByteArray *identity_page_new(uint8_t code)
{
        const uint8_t header[] = {0, code, 0, 0};

        return g_byte_array_append(g_byte_array_new(), header, sizeof(header));
}

void identity_page_set_length(GByteArray *page, int length)
{
        page->data[2] = (uint8_t)(length >> 8);
        page->data[3] = (uint8_t)length;
}

void identity_append_designator(GByteArray *page83, const CaseDesignator *d)
{
        const uint8_t header[] = {d->code_set, (uint8_t)(d->association << 4 | d->type), 0,
                                  (uint8_t)d->size};

        g_byte_array_append(page83, header, sizeof(header));
        if (d->size > 0)
                g_byte_array_append(page83, (const uint8_t *)d->data, (guint)d->size);
}

static GByteArray *build_page83(const IdentityCase *c)
{
        if (c->raw83)
                return g_byte_array_append(g_byte_array_new(), (const uint8_t *)c->raw83,
                                           (guint)c->raw83_size);
        if (!c->designators[0].data)
                return NULL;

        GByteArray *page = identity_page_new(0x83);
        for (size_t i = 0; i < G_N_ELEMENTS(c->designators) && c->designators[i].data; i++)
                identity_append_designator(page, &c->designators[i]);
        identity_page_set_length(page, c->page83_length ? c->page83_length : (int)page->len - 4);
        return page;
}

static GByteArray *build_page80(const IdentityCase *c)
{
        if (!c->serial)
                return NULL;
        GByteArray *page = identity_page_new(0x80);
        g_byte_array_append(page, (const uint8_t *)c->serial, (guint)c->serial_size);
        identity_page_set_length(page, c->page80_length ? c->page80_length : (int)c->serial_size);
        return page;
}

void identity_pages_build(const IdentityCase *c, IdentityPages *ret)
{
        identity_inquiry(ret->inquiry, c->vendor ? c->vendor : "VENDOR",
                         c->product ? c->product : "PRODUCT", c->nul_padded ? '\0' : ' ');
        ret->page83 = build_page83(c);
        ret->page80 = build_page80(c);
}

void identity_pages_clear(IdentityPages *pages)
{
        g_clear_pointer(&pages->page83, g_byte_array_unref);
        g_clear_pointer(&pages->page80, g_byte_array_unref);
}

char *identity_pages_guid(const IdentityPages *pages)
{
        g_autofree uint8_t *page83 = NULL, *page80 = NULL;
        size_t size83 = 0, size80 = 0;
        DlScsiInquiry inquiry;

        g_assert_cmpint(dl_scsi_inquiry_parse(pages->inquiry, sizeof(pages->inquiry), &inquiry), ==,
                        0);
        if (pages->page83)
                page83 = g_memdup2(pages->page83->data, size83 = pages->page83->len);
        if (pages->page80)
                page80 = g_memdup2(pages->page80->data, size80 = pages->page80->len);
        return dl_scsi_guid(&inquiry, page83, size83, page80, size80);
}
