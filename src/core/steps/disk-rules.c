/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The rules for disks, as tables where they are one. Owns nothing. Any thread. */

#include "core/steps/disk-rules.h"

#include <string.h>

#define INDEX_MAX  1023
#define IDE_DISKS  4
#define ATA_SERIAL 20 /* bytes, of virtio-blk (virtio 1.2, 5.2.6) and of ATA8-ACS IDENTIFY */
#define ATA_BLOCK  512

/* ---- what cannot go together --------------------------------------------------------------- */

typedef enum Fact {
        VIRTIO = 1 << 0,
        SCSI = 1 << 1,
        SATA = 1 << 2,
        IDE = 1 << 3,
        DISK = 1 << 4,
        LUN = 1 << 5,
        READONLY = 1 << 6,
        DISCARD = 1 << 7,
        RESERVATIONS = 1 << 8,
        AT_PCI = 1 << 9,
        AT_DRIVE = 1 << 10,
        OPTIONAL = 1 << 11,
} Fact;

#define PASSTHROUGH_IFACE                                                                          \
        "device lun (SCSI passthrough) needs iface scsi: QEMU passes SCSI commands through on "    \
        "virtio-scsi only"
#define READONLY_ATA                                                                               \
        "QEMU has no read-only disks of iface sata and ide; use virtio or scsi for readonly"
#define OPTIONAL_ATA                                                                               \
        "optional needs iface virtio or scsi: a disk of iface sata or ide cannot be plugged in "   \
        "when its LUN comes back"
#define PCI_IFACE   "only a disk of iface virtio has an address of type pci; the others have drive"
#define DRIVE_IFACE "a disk of iface virtio has an address of type pci"

static const struct {
        unsigned facts; /* all of them together */
        int code;
        const char *problem;
} conflicts[] = {
        {LUN | VIRTIO, DL_ERROR_UNSUPPORTED_INTERFACE, PASSTHROUGH_IFACE},
        {LUN | SATA, DL_ERROR_UNSUPPORTED_INTERFACE, PASSTHROUGH_IFACE},
        {LUN | IDE, DL_ERROR_UNSUPPORTED_INTERFACE, PASSTHROUGH_IFACE},
        {READONLY | SATA, DL_ERROR_UNSUPPORTED_INTERFACE, READONLY_ATA},
        {READONLY | IDE, DL_ERROR_UNSUPPORTED_INTERFACE, READONLY_ATA},
        {OPTIONAL | SATA, DL_ERROR_UNSUPPORTED_INTERFACE, OPTIONAL_ATA},
        {OPTIONAL | IDE, DL_ERROR_UNSUPPORTED_INTERFACE, OPTIONAL_ATA},
        {DISCARD | LUN, DL_ERROR_INVALID_ARGS,
         "discard is for device disk: with device lun the guest's UNMAP reaches the LUN anyway"},
        {RESERVATIONS | DISK, DL_ERROR_INVALID_ARGS,
         "reservations need device lun: QEMU passes persistent reservations of the guest to the "
         "LUN in SCSI passthrough only"},
        {AT_PCI | SCSI, DL_ERROR_INVALID_ARGS, PCI_IFACE},
        {AT_PCI | SATA, DL_ERROR_INVALID_ARGS, PCI_IFACE},
        {AT_PCI | IDE, DL_ERROR_INVALID_ARGS, PCI_IFACE},
        {AT_DRIVE | VIRTIO, DL_ERROR_INVALID_ARGS, DRIVE_IFACE},
};

static const struct {
        const char *name;
        Fact fact;
} ifaces[] = {{"virtio", VIRTIO}, {"scsi", SCSI}, {"sata", SATA}, {"ide", IDE}};

/* 0: there is no such iface. */
static unsigned iface_fact(const char *iface)
{
        for (size_t i = 0; i < G_N_ELEMENTS(ifaces); i++)
                if (strcmp(ifaces[i].name, iface) == 0)
                        return ifaces[i].fact;
        return 0;
}

static unsigned facts_of(const DlDeviceSpec *spec)
{
        bool lun = g_strcmp0(spec->device, "lun") == 0;

        return iface_fact(spec->iface ? spec->iface : "virtio") | (lun ? LUN : DISK) |
               (spec->readonly ? READONLY : 0U) | (spec->discard ? DISCARD : 0U) |
               (spec->reservations ? RESERVATIONS : 0U) | (spec->optional ? OPTIONAL : 0U) |
               (dl_address_is(spec->address, "pci") ? AT_PCI : 0U) |
               (dl_address_is(spec->address, "drive") ? AT_DRIVE : 0U);
}

static bool refuse(GError **error, int code, const char *problem)
{
        g_set_error_literal(error, DL_ERROR, code, problem);
        return false;
}

static bool check_together(const DlDeviceSpec *spec, GError **error)
{
        unsigned facts = facts_of(spec);

        for (size_t i = 0; i < G_N_ELEMENTS(conflicts); i++)
                if ((facts & conflicts[i].facts) == conflicts[i].facts)
                        return refuse(error, conflicts[i].code, conflicts[i].problem);
        return true;
}

static bool is_one_of(const char *s, const char *const *list)
{
        return !s || g_strv_contains(list, s);
}

bool dl_disk_rules_check_spec(const DlDeviceSpec *spec, GError **error)
{
        static const char *const devices[] = {"disk", "lun", NULL};
        static const char *const data_paths[] = {"auto", "qemu", "block", NULL};
        int n = (spec->guid != NULL) + (spec->vdisk != NULL) + (spec->inline_lun.iqn != NULL);

        if (n != 1)
                return refuse(error, DL_ERROR_INVALID_ARGS,
                              "Exactly one of GUID, vdisk and lun is needed");
        if (spec->type && strcmp(spec->type, "disk") != 0)
                return refuse(error, DL_ERROR_INVALID_ARGS, "type must be disk");
        if (spec->format && strcmp(spec->format, "raw") != 0)
                return refuse(error, DL_ERROR_UNSUPPORTED_FORMAT,
                              "A LUN is given to a VM as it is: format must be raw");
        if (!is_one_of(spec->device, devices))
                return refuse(error, DL_ERROR_INVALID_ARGS, "device must be disk or lun");
        if (spec->iface && !iface_fact(spec->iface))
                return refuse(error, DL_ERROR_UNSUPPORTED_INTERFACE,
                              "iface must be virtio, scsi, sata or ide");
        if (!is_one_of(spec->data_path, data_paths))
                return refuse(error, DL_ERROR_INVALID_ARGS,
                              "data-path must be auto, qemu or block");
        if (spec->index > INDEX_MAX)
                return refuse(error, DL_ERROR_INVALID_ARGS, "index must be less than 1024");
        if (g_strcmp0(spec->iface, "ide") == 0 && spec->index >= IDE_DISKS)
                return refuse(error, DL_ERROR_INVALID_ARGS,
                              "index must be less than 4 with iface ide: that is all there is room "
                              "for");
        return check_together(spec, error);
}

bool dl_disk_rules_propagates_errors(const DlDeviceSpec *spec)
{
        return spec->propagate_errors || spec->reservations;
}

/* ---- the LUN ------------------------------------------------------------------------------- */

static bool is_ata(const DlDomainAttachment *meta)
{
        return (iface_fact(meta->iface) & (SATA | IDE)) != 0;
}

bool dl_disk_rules_check_lun(const DlDomainAttachment *meta, const DlLun *lun, GError **error)
{
        bool passthrough = strcmp(meta->device, "lun") == 0;

        if (meta->discard && lun->discard_max_bytes == 0)
                g_set_error(error, DL_ERROR, DL_ERROR_INVALID_ARGS,
                            "%s does not support UNMAP; attach it without discard", meta->guid);
        else if (is_ata(meta) && lun->logical_block_size > ATA_BLOCK)
                g_set_error(
                        error, DL_ERROR, DL_ERROR_UNSUPPORTED_INTERFACE,
                        "%s has blocks of %u bytes, QEMU's disks of iface %s can only have 512; "
                        "use virtio or scsi",
                        meta->guid, lun->logical_block_size, meta->iface);
        else if (passthrough && lun->is_nvme)
                g_set_error(
                        error, DL_ERROR, DL_ERROR_UNSUPPORTED_INTERFACE,
                        "%s is a namespace of NVMe, which takes no SCSI commands; attach it with "
                        "device disk",
                        meta->guid);
        else if (passthrough && meta->readonly && !lun->write_protected)
                g_set_error(
                        error, DL_ERROR, DL_ERROR_INVALID_ARGS,
                        "QEMU cannot make SCSI passthrough (device lun) readonly: it would let "
                        "writes pass; use device disk, or write-protect %s on the storage array",
                        meta->guid);
        else
                return true;
        return false;
}

/* ---- the VM -------------------------------------------------------------------------------- */

/* As libvirt tells them apart. */
static bool has_ide(const char *machine)
{
        static const char *const prefixes[] = {"pc-i440fx", "pc-0.", "pc-1.", "isapc"};

        if (!machine || strcmp(machine, "pc") == 0)
                return machine != NULL;
        for (size_t i = 0; i < G_N_ELEMENTS(prefixes); i++)
                if (g_str_has_prefix(machine, prefixes[i]))
                        return true;
        return false;
}

static bool check_interface(const DlDomainAttachment *meta, const DlDiskVm *vm, GError **error)
{
        const DlDomain *domain = vm->live ? vm->live : vm->inactive;

        if (strcmp(meta->iface, "ide") == 0 && domain && !has_ide(domain->machine))
                g_set_error(error, DL_ERROR, DL_ERROR_UNSUPPORTED_INTERFACE,
                            "VM %s has no IDE controller: machine %s has none; use sata, scsi or "
                            "virtio",
                            vm->name, domain->machine ? domain->machine : "of an unknown type");
        else if (vm->plug && is_ata(meta))
                g_set_error(error, DL_ERROR, DL_ERROR_UNSUPPORTED_INTERFACE,
                            "A disk of iface %s cannot be plugged into a running VM; use virtio or "
                            "scsi, or stop the VM first",
                            meta->iface);
        else
                return true;
        return false;
}

/* ---- boot order ---------------------------------------------------------------------------- */

static const DlDomainDevice *find_order(const DlDomain *domain, unsigned order, const char *but)
{
        for (unsigned i = 0; domain && i < domain->devices->len; i++) {
                const DlDomainDevice *device = domain->devices->pdata[i];

                if (device->boot_order == order && g_strcmp0(device->alias, but) != 0)
                        return device;
        }
        return NULL;
}

static bool check_order_is_free(const DlDomainAttachment *meta, const DlDiskVm *vm, GError **error)
{
        const DlDomain *domains[] = {vm->live, vm->inactive};

        for (unsigned i = 0; i < G_N_ELEMENTS(domains); i++) {
                const DlDomainDevice *device = find_order(domains[i], meta->boot_order,
                                                          vm->own_alias);

                if (!device)
                        continue;
                g_set_error(error, DL_ERROR, DL_ERROR_INVALID_ARGS,
                            "bootOrder %u of VM %s is taken by its %s", meta->boot_order, vm->name,
                            device->name);
                return false;
        }
        for (unsigned i = 0; i < vm->others->len; i++) {
                const DlDomainAttachment *other = vm->others->pdata[i];

                if (other->boot_order != meta->boot_order)
                        continue;
                g_set_error(error, DL_ERROR, DL_ERROR_INVALID_ARGS,
                            "bootOrder %u of VM %s is taken by its attachment of %s",
                            meta->boot_order, vm->name, other->guid);
                return false;
        }
        return true;
}

bool dl_disk_rules_boot_waits(const DlDiskVm *vm)
{
        return vm->live && vm->live->os_boot;
}

/* libvirt writes <boot dev='hd'/> into every domain that says nothing: that, and only that, gives
 * way to orders of devices that say the same (see dl_virt_attach_boot_disk()). */
static bool check_boot_order(const DlDomainAttachment *meta, const DlDiskVm *vm, GError **error)
{
        const DlDomain *domain = vm->inactive ? vm->inactive : vm->live;
        const char *os_boot = domain ? domain->os_boot : NULL;

        if (meta->boot_order == 0)
                return true;
        if (!os_boot || (vm->inactive && strcmp(os_boot, "hd") == 0))
                return check_order_is_free(meta, vm, error);
        g_set_error(
                error, DL_ERROR, DL_ERROR_INVALID_ARGS,
                "VM %s has <os><boot dev='%s'/>, which excludes a bootOrder of devices; give its "
                "devices <boot order=…/> instead, or attach without bootOrder",
                vm->name, os_boot);
        return false;
}

bool dl_disk_rules_check_vm(const DlDomainAttachment *meta, const DlDiskVm *vm, GError **error)
{
        return check_interface(meta, vm, error) && check_boot_order(meta, vm, error);
}

/* ---- serial -------------------------------------------------------------------------------- */

char *dl_disk_rules_serial(const DlDomainAttachment *meta)
{
        if (strcmp(meta->device, "lun") == 0)
                return NULL;
        if (strcmp(meta->iface, "scsi") == 0)
                return g_strdup(meta->vdisk); /* QEMU takes 36 bytes */

        g_autoptr(GString) serial = g_string_new(NULL);
        for (const char *c = meta->vdisk; *c && serial->len < ATA_SERIAL; c++)
                if (*c != '-')
                        g_string_append_c(serial, *c);
        return g_string_free(g_steal_pointer(&serial), FALSE);
}
