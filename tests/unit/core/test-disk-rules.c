/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is refused of a disk, where it goes, and what it says to the guest: tables. */

#include "core/steps/disk-place.h"

#include <string.h>

#define VDISK "22222222-3333-4444-8555-666666666666"
#define OWN   "ua-directlun-" VDISK

static DlAddress *address_of(const char *text)
{
        g_auto(GStrv) parts = g_strsplit(text, " ", -1);
        DlAddress *address = dl_address_new();

        g_hash_table_insert(address, g_strdup("type"), g_strdup(parts[0]));
        for (unsigned i = 1; parts[i]; i++) {
                g_auto(GStrv) pair = g_strsplit(parts[i], "=", 2);

                g_hash_table_insert(address, g_strdup(pair[0]), g_strdup(pair[1]));
        }
        return address;
}

/* "iface device readonly discard …" */
static DlDeviceSpec spec_of(const char *text)
{
        static const char *const ifaces[] = {"virtio", "scsi", "sata", "ide", "floppy"};
        DlDeviceSpec spec = {.guid = "3600", .index = -1, .plug = -1};

        for (size_t i = 0; i < G_N_ELEMENTS(ifaces); i++)
                if (strstr(text, ifaces[i]))
                        spec.iface = ifaces[i];
        spec.device = strstr(text, "lun") ? "lun" : NULL;
        spec.readonly = strstr(text, "readonly");
        spec.discard = strstr(text, "discard");
        spec.reservations = strstr(text, "reservations");
        spec.shared = strstr(text, "shared");
        spec.optional = strstr(text, "optional");
        spec.format = strstr(text, "qcow2") ? "qcow2" : NULL;
        spec.index = strstr(text, "index4") ? 4 : -1;
        if (strstr(text, "pci"))
                spec.address = address_of("pci bus=1");
        if (strstr(text, "drive"))
                spec.address = address_of("drive unit=1");
        return spec;
}

static void check(bool ok, const GError *error, int code, const char *names)
{
        if (code < 0) {
                g_assert_no_error(error);
                g_assert_true(ok);
                return;
        }
        g_assert_false(ok);
        g_assert_error(error, DL_ERROR, code);
        if (names)
                g_assert_nonnull(strstr(error->message, names));
}

/* What a client may have written there. */
static void test_spec_words(void)
{
        const DlDeviceSpec good = {.guid = "3600", .index = -1, .plug = -1};
        DlDeviceSpec specs[] = {good, good, good, good, good, good};
        static const char *const names[] = {"type", "device", "data-path", "1024", "vdisk", "GUID"};

        specs[0].type = "cdrom";
        specs[1].device = "floppy";
        specs[2].data_path = "kernel";
        specs[3].index = 1024;
        specs[4].vdisk = "also this";
        specs[5].guid = NULL;
        for (size_t i = 0; i < G_N_ELEMENTS(specs); i++) {
                g_autoptr(GError) error = NULL;

                bool ok = dl_disk_rules_check_spec(&specs[i], &error);

                check(ok, error, DL_ERROR_INVALID_ARGS, names[i]);
        }
}

static void test_spec(void)
{
        static const struct {
                const char *spec;
                int code;
                const char *names; /* what the message must name */
        } cases[] = {
                {"", -1},
                {"virtio readonly shared discard pci", -1},
                {"scsi readonly shared discard drive", -1},
                {"scsi lun reservations shared drive", -1},
                {"scsi lun readonly", -1}, /* the LUN decides */
                {"sata discard", -1},
                {"ide shared drive", -1},
                {"floppy", DL_ERROR_UNSUPPORTED_INTERFACE, "iface"},
                {"qcow2", DL_ERROR_UNSUPPORTED_FORMAT, "raw"},
                {"lun", DL_ERROR_UNSUPPORTED_INTERFACE, "scsi"}, /* virtio is the default */
                {"virtio lun", DL_ERROR_UNSUPPORTED_INTERFACE, "scsi"},
                {"sata lun", DL_ERROR_UNSUPPORTED_INTERFACE, "scsi"},
                {"ide lun", DL_ERROR_UNSUPPORTED_INTERFACE, "scsi"},
                {"sata readonly", DL_ERROR_UNSUPPORTED_INTERFACE, "read-only"},
                {"ide readonly", DL_ERROR_UNSUPPORTED_INTERFACE, "read-only"},
                {"virtio optional", -1},
                {"scsi lun optional", -1},
                {"sata optional", DL_ERROR_UNSUPPORTED_INTERFACE, "optional"},
                {"ide optional", DL_ERROR_UNSUPPORTED_INTERFACE, "optional"},
                {"scsi lun discard", DL_ERROR_INVALID_ARGS, "discard"},
                {"scsi reservations", DL_ERROR_INVALID_ARGS, "device lun"},
                {"virtio reservations", DL_ERROR_INVALID_ARGS, "device lun"},
                {"scsi pci", DL_ERROR_INVALID_ARGS, "drive"},
                {"sata pci", DL_ERROR_INVALID_ARGS, "drive"},
                {"ide pci", DL_ERROR_INVALID_ARGS, "drive"},
                {"virtio drive", DL_ERROR_INVALID_ARGS, "pci"},
                {"ide index4", DL_ERROR_INVALID_ARGS, "index"},
                {"sata index4", -1},
        };

        for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
                DlDeviceSpec spec = spec_of(cases[i].spec);
                g_autoptr(GError) error = NULL;
                bool ok = dl_disk_rules_check_spec(&spec, &error);

                g_test_message("%s", cases[i].spec);
                check(ok, error, cases[i].code, cases[i].names);
                g_clear_pointer((GHashTable **)&spec.address, g_hash_table_unref);
        }
}

static void test_spec_names_one(void)
{
        DlDeviceSpec none = {.index = -1}, two = {.guid = "3600", .vdisk = VDISK};
        g_autoptr(GError) first = NULL, second = NULL;

        g_assert_false(dl_disk_rules_check_spec(&none, &first));
        g_assert_error(first, DL_ERROR, DL_ERROR_INVALID_ARGS);
        g_assert_false(dl_disk_rules_check_spec(&two, &second));
        g_assert_error(second, DL_ERROR, DL_ERROR_INVALID_ARGS);
}

static void test_errors_of_reservations(void)
{
        DlDeviceSpec plain = spec_of("scsi lun"), reserving = spec_of("scsi lun reservations");

        g_assert_false(dl_disk_rules_propagates_errors(&plain));
        g_assert_true(dl_disk_rules_propagates_errors(&reserving));
        plain.propagate_errors = true;
        g_assert_true(dl_disk_rules_propagates_errors(&plain));
}

/* ---- what depends on the LUN --------------------------------------------------------------- */

static void test_lun(void)
{
        static const struct {
                const char *spec;
                DlLun lun;
                int code;
        } cases[] = {
                {"virtio discard", {.discard_max_bytes = 4096}, -1},
                {"virtio discard", {.discard_max_bytes = 0}, DL_ERROR_INVALID_ARGS},
                {"virtio", {.logical_block_size = 4096}, -1},
                {"sata", {.logical_block_size = 512}, -1},
                {"sata", {.logical_block_size = 4096}, DL_ERROR_UNSUPPORTED_INTERFACE},
                {"ide", {.logical_block_size = 4096}, DL_ERROR_UNSUPPORTED_INTERFACE},
                {"scsi lun readonly", {.write_protected = true}, -1},
                {"scsi lun readonly", {.write_protected = false}, DL_ERROR_INVALID_ARGS},
                {"scsi readonly", {.write_protected = false}, -1},
                {"scsi lun", {.is_nvme = false}, -1},
                {"scsi lun", {.is_nvme = true}, DL_ERROR_UNSUPPORTED_INTERFACE},
                {"scsi", {.is_nvme = true}, -1},
        };

        for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
                DlDeviceSpec spec = spec_of(cases[i].spec);
                DlDomainAttachment meta = {
                        .guid = (char *)"3600",
                        .iface = (char *)spec.iface,
                        .device = (char *)(spec.device ? spec.device : "disk"),
                        .readonly = spec.readonly,
                        .discard = spec.discard,
                };
                g_autoptr(GError) error = NULL;

                g_test_message("%s", cases[i].spec);
                bool ok = dl_disk_rules_check_lun(&meta, &cases[i].lun, &error);
                check(ok, error, cases[i].code, NULL);
        }
}

/* ---- what depends on the VM ---------------------------------------------------------------- */

static DlDomain *domain_of(const char *machine, const char *os, const char *devices)
{
        g_autofree char *xml = g_strdup_printf(
                "<domain><name>n</name><uuid>11111111-2222-4333-8444-555555555555</uuid>"
                "<os><type machine='%s'>hvm</type>%s</os><devices>%s</devices></domain>",
                machine, os, devices);
        g_autoptr(GError) error = NULL;
        DlDomain *domain = dl_domain_parse(xml, &error);

        g_assert_no_error(error);
        return domain;
}

static void test_boot_order(void)
{
        static const char *const hd = "<boot dev='hd'/>", *const net = "<boot dev='network'/>";
        static const char
                *const first = "<disk><target dev='vda' bus='virtio'/><boot order='1'/></disk>";
        static const char *const own = "<disk><boot order='1'/><alias name='" OWN "'/></disk>";
        static const struct {
                const char *live_os, *live, *inactive_os, *inactive; /* NULL: no such domain */
                unsigned order;
                unsigned other; /* of another attachment that is not plugged */
                int code;
                const char *names;
        } cases[] = {
                {NULL, NULL, "", "", 1, 0, -1},
                {NULL, NULL, hd, "", 1, 0, -1},
                {hd, "", hd, "", 1, 0, -1},
                {NULL, NULL, net, "", 0, 0, -1},
                {NULL, NULL, net, "", 1, 0, DL_ERROR_INVALID_ARGS, "<boot dev='network'/>"},
                {hd, "", NULL, NULL, 1, 0, DL_ERROR_INVALID_ARGS, "<os><boot"},
                {NULL, NULL, "", first, 1, 0, DL_ERROR_INVALID_ARGS, "disk vda"},
                {NULL, NULL, "", first, 2, 0, -1},
                {"", first, "", "", 1, 0, DL_ERROR_INVALID_ARGS, "disk vda"},
                {NULL, NULL, "", own, 1, 0, -1},
                {NULL, NULL, "", "", 3, 3, DL_ERROR_INVALID_ARGS, "3601"},
        };

        for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
                g_autoptr(DlDomain)
                        live = cases[i].live ? domain_of("q35", cases[i].live_os, cases[i].live)
                                             : NULL;
                g_autoptr(DlDomain) inactive = cases[i].inactive
                                                       ? domain_of("q35", cases[i].inactive_os,
                                                                   cases[i].inactive)
                                                       : NULL;
                g_autoptr(GPtrArray) others = g_ptr_array_new();
                DlDomainAttachment other = {.guid = (char *)"3601", .boot_order = cases[i].other};
                DlDomainAttachment meta = {.iface = (char *)"virtio", .boot_order = cases[i].order};
                DlDiskVm vm = {"vm", live, inactive, others, OWN, live != NULL};
                g_autoptr(GError) error = NULL;

                g_ptr_array_add(others, &other);
                g_test_message("%zu", i);
                bool ok = dl_disk_rules_check_vm(&meta, &vm, &error);
                check(ok, error, cases[i].code, cases[i].names);
        }
}

static void test_interface(void)
{
        static const struct {
                const char *iface, *machine;
                bool plug;
                int code;
        } cases[] = {
                {"ide", "pc-i440fx-7.2", false, -1},
                {"ide", "pc", false, -1},
                {"ide", "pc-q35-7.2", false, DL_ERROR_UNSUPPORTED_INTERFACE},
                {"ide", "q35", false, DL_ERROR_UNSUPPORTED_INTERFACE},
                {"ide", "virt-7.2", false, DL_ERROR_UNSUPPORTED_INTERFACE},
                {"ide", "pc", true, DL_ERROR_UNSUPPORTED_INTERFACE},
                {"sata", "q35", false, -1},
                {"sata", "q35", true, DL_ERROR_UNSUPPORTED_INTERFACE},
                {"scsi", "q35", true, -1},
                {"virtio", "virt-7.2", true, -1},
        };

        for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
                g_autoptr(DlDomain) domain = domain_of(cases[i].machine, "", "");
                g_autoptr(GPtrArray) others = g_ptr_array_new();
                DlDomainAttachment meta = {.iface = (char *)cases[i].iface};
                DlDiskVm vm = {"vm",
                               cases[i].plug ? domain : NULL,
                               cases[i].plug ? NULL : domain,
                               others,
                               OWN,
                               cases[i].plug};
                g_autoptr(GError) error = NULL;

                bool ok = dl_disk_rules_check_vm(&meta, &vm, &error);
                check(ok, error, cases[i].code, NULL);
        }
}

/* ---- places -------------------------------------------------------------------------------- */

#define DRIVE(bus, dev, controller, target, unit)                                                  \
        "<disk><target dev='" dev "' bus='" bus "'/><address type='drive' controller='" controller \
        "' bus='0' target='" target "' unit='" unit "'/></disk>"
#define PCI(dev, bus, slot)                                                                        \
        "<disk><target dev='" dev "' bus='virtio'/><address type='pci' domain='0x0000' bus='" bus  \
        "' slot='" slot "' function='0x0'/></disk>"
#define Q35                                                                                        \
        "<controller type='pci' index='0' model='pcie-root'/>"                                     \
        "<controller type='pci' index='1' model='pcie-root-port'/>"                                \
        "<controller type='pci' index='2' model='pcie-root-port'/>"                                \
        "<controller type='sata' index='0'/>"
#define I440FX "<controller type='pci' index='0' model='pci-root'/>"
#define VSCSI  "<controller type='scsi' index='0' model='virtio-scsi'/>"
#define LSI    "<controller type='scsi' index='0' model='lsilogic'/>"
#define COLD                                                                                       \
        "<controller type='pci' index='0' model='pcie-root'/>"                                     \
        "<controller type='pci' index='1' model='pcie-root-port'><target hotplug='off'/>"          \
        "</controller><controller type='pci' index='2' model='pcie-root-port'/>"
#define FAR_BUS "<controller type='pci' index='3' model='pcie-root-port'/>"

typedef struct Place {
        const char *iface, *live, *inactive;
        const char *asked; /* NULL: choose */
        const char *kept;  /* of another attachment; NULL: none */
        const char *got;   /* NULL: refused, "none": left to libvirt */
        int code;
        const char *names;
} Place;

static const Place places[] = {
        /* chosen */
        {"virtio", Q35, Q35, NULL, NULL, "pci 0000:01:00.0"},
        {"virtio", NULL, Q35, NULL, NULL, "pci 0000:01:00.0"},
        {"virtio", Q35 PCI("vda", "0x01", "0x00"), Q35, NULL, NULL, "pci 0000:02:00.0"},
        {"virtio", Q35, Q35 PCI("vda", "0x01", "0x00"), NULL, NULL, "pci 0000:02:00.0"},
        {"virtio", Q35, Q35, NULL, "pci bus=1", "pci 0000:02:00.0"},
        {"virtio", Q35 PCI("vda", "0x02", "0x00"), Q35, NULL, "pci bus=1", "pci 0000:01:00.0"},
        {"virtio", Q35 PCI("vda", "1", "0") PCI("vdb", "2", "0"), Q35, NULL, NULL, NULL,
         DL_ERROR_LIMITS_EXCEEDED, "pcie-root-port"},
        {"virtio", NULL, Q35 PCI("vda", "1", "0") PCI("vdb", "2", "0"), NULL, NULL, "none"},
        {"virtio", I440FX, I440FX, NULL, NULL, "pci 0000:00:03.0"},
        {"virtio", I440FX PCI("vda", "0", "0x3"), I440FX, NULL, NULL, "pci 0000:00:04.0"},
        {"virtio", COLD, COLD, NULL, NULL, "pci 0000:02:00.0"},
        {"scsi", Q35 VSCSI, Q35 VSCSI, NULL, NULL, "drive 0:0:0:0"},
        {"scsi", Q35 VSCSI DRIVE("scsi", "sda", "0", "0", "0"), Q35 VSCSI, NULL, NULL,
         "drive 0:0:0:1"},
        {"scsi", Q35 VSCSI DRIVE("sata", "sda", "0", "0", "0"), Q35 VSCSI, NULL, NULL,
         "drive 0:0:0:0"},
        {"scsi", Q35 VSCSI, Q35 VSCSI, NULL, "drive unit=0", "drive 0:0:0:1"},
        {"scsi", Q35, Q35, NULL, NULL, "drive 0:0:0:0"}, /* on a controller to be added */
        {"scsi", Q35 LSI, Q35 LSI, NULL, NULL, "drive 1:0:0:0"},
        {"scsi", Q35 PCI("vda", "1", "0") PCI("vdb", "2", "0"), Q35, NULL, NULL, NULL,
         DL_ERROR_LIMITS_EXCEEDED, "PCI"}, /* no place for the controller */
        {"sata", NULL, Q35, NULL, NULL, "drive 0:0:0:0"},
        {"sata", NULL, Q35 DRIVE("sata", "sda", "0", "0", "0"), NULL, NULL, "drive 0:0:0:1"},
        {"ide", NULL, I440FX DRIVE("ide", "hda", "0", "0", "0"), NULL, NULL, "drive 0:0:0:1"},
        /* asked for */
        {"virtio", Q35, Q35, "pci bus=0x2", NULL, "pci 0000:02:00.0"},
        {"virtio", Q35, Q35, "pci bus=2 slot=1", NULL, NULL, DL_ERROR_INVALID_ARGS, "slot"},
        {"virtio", Q35, Q35, "pci bus=9", NULL, NULL, DL_ERROR_INVALID_ARGS, "no PCI bus 0000:09"},
        {"virtio", Q35, Q35, "pci domain=1 bus=1", NULL, NULL, DL_ERROR_INVALID_ARGS, "0001:01"},
        {"virtio", Q35 FAR_BUS, Q35, "pci bus=3", NULL, NULL, DL_ERROR_INVALID_ARGS, "0000:03"},
        {"virtio", Q35, Q35, "pci slot=5", NULL, NULL, DL_ERROR_INVALID_ARGS, "pcie-root"},
        {"virtio", COLD, COLD, "pci bus=1", NULL, NULL, DL_ERROR_INVALID_ARGS, "plugged"},
        {"virtio", NULL, COLD, "pci bus=1", NULL, "pci 0000:01:00.0"},
        {"virtio", NULL, Q35, "pci slot=5", NULL, "pci 0000:00:05.0"},
        {"virtio", Q35 PCI("vda", "0x01", "0x00"), Q35, "pci bus=1", NULL, NULL,
         DL_ERROR_INVALID_ARGS, "disk vda"},
        {"virtio", Q35, Q35 PCI("vda", "0x01", "0x00"), "pci bus=1", NULL, NULL,
         DL_ERROR_INVALID_ARGS, "disk vda"},
        {"virtio", Q35, Q35, "pci bus=1", "pci bus=1", NULL, DL_ERROR_INVALID_ARGS, "3601"},
        {"scsi", Q35 VSCSI, Q35 VSCSI, "drive unit=9000", NULL, "drive 0:0:0:9000"},
        {"scsi", Q35 VSCSI, Q35 VSCSI, "drive target=255 unit=7", NULL, "drive 0:0:255:7"},
        {"scsi", Q35 VSCSI, Q35 VSCSI, "drive bus=1", NULL, NULL, DL_ERROR_INVALID_ARGS, "bus"},
        {"scsi", Q35 VSCSI, Q35 VSCSI, "drive controller=1", NULL, NULL, DL_ERROR_INVALID_ARGS,
         "no SCSI controller 1"},
        {"scsi", Q35 LSI, Q35 LSI, "drive unit=1", NULL, NULL, DL_ERROR_UNSUPPORTED_INTERFACE,
         "virtio-scsi"},
        {"scsi", Q35 VSCSI DRIVE("scsi", "sdz", "0", "0", "4"), Q35 VSCSI, "drive unit=4", NULL,
         NULL, DL_ERROR_INVALID_ARGS, "disk sdz"},
        {"scsi", Q35 VSCSI, Q35 VSCSI, "drive unit=4", "drive unit=4", NULL, DL_ERROR_INVALID_ARGS,
         "3601"},
        {"sata", NULL, Q35, "drive unit=5", NULL, "drive 0:0:0:5"},
        {"sata", NULL, Q35, "drive unit=6", NULL, NULL, DL_ERROR_INVALID_ARGS, "unit"},
        {"sata", NULL, Q35, "drive controller=7", NULL, NULL, DL_ERROR_INVALID_ARGS,
         "controller 7"},
        {"ide", NULL, I440FX, "drive bus=1 unit=1", NULL, "drive 0:1:0:1"},
        {"ide", NULL, I440FX, "drive bus=2", NULL, NULL, DL_ERROR_INVALID_ARGS, "bus"},
};

static void check_place(const Place *p)
{
        g_autoptr(DlDomain) live = p->live ? domain_of("q35", "", p->live) : NULL;
        g_autoptr(DlDomain) inactive = p->inactive ? domain_of("q35", "", p->inactive) : NULL;
        g_autoptr(GPtrArray) others = g_ptr_array_new();
        DlDomainAttachment other = {.guid = (char *)"3601", .iface = (char *)p->iface};
        DlDomainAttachment meta = {.iface = (char *)p->iface, .device = (char *)"disk"};
        DlDiskVm vm = {"vm", live, inactive, others, OWN, live != NULL};
        g_autoptr(GError) error = NULL;
        g_autofree char *got = NULL;
        bool ok;

        other.address = p->kept ? address_of(p->kept) : NULL;
        meta.address = p->asked ? address_of(p->asked) : NULL;
        g_ptr_array_add(others, &other);
        ok = meta.address ? dl_disk_place_check(&meta, &vm, true, &error)
                          : dl_disk_place_choose(&meta, &vm, &error);
        check(ok, error, p->got ? -1 : p->code, p->names);
        got = dl_address_to_text(meta.address);
        if (p->got)
                g_assert_cmpstr(got, ==, p->got);
        g_clear_pointer(&meta.address, g_hash_table_unref);
        g_clear_pointer(&other.address, g_hash_table_unref);
}

static void test_places(void)
{
        for (size_t i = 0; i < G_N_ELEMENTS(places); i++) {
                g_test_message("%zu: %s %s", i, places[i].iface,
                               places[i].asked ? places[i].asked : "chosen");
                check_place(&places[i]);
        }
}

/* What the attachment itself has is not in its way, nor, when it comes back, what others keep. */
static void test_coming_back(void)
{
        g_autoptr(DlDomain) live = domain_of("q35", "", Q35);
        g_autoptr(DlDomain)
                inactive = domain_of("q35", "",
                                     Q35 "<disk><target dev='vda' bus='virtio'/><alias name='" OWN
                                         "'/><address type='pci' bus='0x01'/></disk>");
        g_autoptr(GPtrArray) others = g_ptr_array_new();
        g_autoptr(GHashTable) own = address_of("pci bus=1"), kept = address_of("pci bus=0x01");
        DlDomainAttachment other = {
                .guid = (char *)"3601", .iface = (char *)"virtio", .address = kept};
        DlDomainAttachment meta = {.iface = (char *)"virtio", .address = own};
        DlDiskVm vm = {"vm", live, inactive, others, OWN, true};

        g_assert_true(dl_disk_place_check(&meta, &vm, true, NULL));
        g_ptr_array_add(others, &other);
        g_assert_false(dl_disk_place_check(&meta, &vm, true, NULL));
        g_assert_true(dl_disk_place_check(&meta, &vm, false, NULL));
}

/* More disks than a target has units go on to the next target. */
static void test_many(void)
{
        g_autoptr(DlDomain) domain = domain_of("q35", "", Q35 VSCSI);
        g_autoptr(GPtrArray) others = g_ptr_array_new();
        g_autofree char *last = NULL;

        for (unsigned i = 0; i < 300; i++) {
                DlDomainAttachment *meta = g_new0(DlDomainAttachment, 1);
                DlDiskVm vm = {"vm", NULL, domain, others, OWN, false};

                *meta = (DlDomainAttachment){.iface = (char *)"scsi", .index = -1};
                g_assert_true(dl_disk_place_index(meta, &vm, NULL));
                g_assert_cmpint(meta->index, ==, i);
                g_assert_true(dl_disk_place_choose(meta, &vm, NULL));
                g_ptr_array_add(others, meta);
        }
        last = dl_address_to_text(((DlDomainAttachment *)others->pdata[299])->address);
        g_assert_cmpstr(last, ==, "drive 0:0:1:43");
        for (unsigned i = 0; i < others->len; i++) {
                g_hash_table_unref(((DlDomainAttachment *)others->pdata[i])->address);
                g_free(others->pdata[i]);
        }
}

static void test_index(void)
{
        static const struct {
                const char *iface;
                int asked, other, got; /* -2: refused */
        } cases[] = {{"scsi", -1, 1, 2}, {"scsi", 3, 1, 3},    {"scsi", 0, 1, -2},
                     {"scsi", 1, 1, -2}, {"virtio", -1, 0, 0}, {"virtio", 0, 0, 0},
                     {"sata", -1, 1, 2}}; /* with scsi one row of names */
        g_autoptr(DlDomain) domain = domain_of("q35", "", DRIVE("scsi", "sda", "0", "0", "0"));

        for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
                g_autoptr(GPtrArray) others = g_ptr_array_new();
                DlDomainAttachment other = {.iface = (char *)"scsi", .index = cases[i].other};
                DlDomainAttachment meta = {.iface = (char *)cases[i].iface,
                                           .index = cases[i].asked};
                DlDiskVm vm = {"vm", NULL, domain, others, OWN, false};
                bool ok;

                g_ptr_array_add(others, &other);
                ok = dl_disk_place_index(&meta, &vm, NULL);
                g_assert_true(ok == (cases[i].got >= 0));
                if (ok)
                        g_assert_cmpint(meta.index, ==, cases[i].got);
        }
}

/* The name that it has, that of its index, or the next if somebody took that one. */
static void test_dev(void)
{
        g_autoptr(DlDomain) own = domain_of(
                "q35", "", "<disk><target dev='sdf' bus='scsi'/><alias name='" OWN "'/></disk>");
        g_autoptr(DlDomain) other = domain_of("q35", "", DRIVE("scsi", "sdb", "0", "0", "0"));
        DlDomainAttachment meta = {.iface = (char *)"scsi", .index = 1};
        g_autofree char *had = dl_disk_place_dev(&meta, NULL, own, OWN);
        g_autofree char *next = dl_disk_place_dev(&meta, other, NULL, OWN);
        g_autofree char *usual = dl_disk_place_dev(&meta, NULL, NULL, OWN);

        g_assert_cmpstr(had, ==, "sdf");
        g_assert_cmpstr(next, ==, "sdc");
        g_assert_cmpstr(usual, ==, "sdb");
}

static void test_serial(void)
{
        static const struct {
                const char *iface, *device, *serial;
        } cases[] = {{"scsi", "disk", VDISK},
                     {"scsi", "lun", NULL},
                     {"virtio", "disk", "22222222333344448555"},
                     {"sata", "disk", "22222222333344448555"},
                     {"ide", "disk", "22222222333344448555"}};

        for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
                DlDomainAttachment meta = {.vdisk = (char *)VDISK,
                                           .iface = (char *)cases[i].iface,
                                           .device = (char *)cases[i].device};
                g_autofree char *serial = dl_disk_rules_serial(&meta);

                g_assert_cmpstr(serial, ==, cases[i].serial);
        }
}

int main(int argc, char **argv)
{
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/disk-rules/spec", test_spec);
        g_test_add_func("/disk-rules/spec-words", test_spec_words);
        g_test_add_func("/disk-rules/spec-names-one", test_spec_names_one);
        g_test_add_func("/disk-rules/errors-of-reservations", test_errors_of_reservations);
        g_test_add_func("/disk-rules/lun", test_lun);
        g_test_add_func("/disk-rules/interface", test_interface);
        g_test_add_func("/disk-rules/boot-order", test_boot_order);
        g_test_add_func("/disk-rules/serial", test_serial);
        g_test_add_func("/disk-place/table", test_places);
        g_test_add_func("/disk-place/coming-back", test_coming_back);
        g_test_add_func("/disk-place/many", test_many);
        g_test_add_func("/disk-place/index", test_index);
        g_test_add_func("/disk-place/dev", test_dev);
        return g_test_run();
}
