/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Index, address and name of a disk in its VM. What is written is owned by the attachment; the
 * tables of what is taken live for one question. Any thread. */

#include "core/steps/disk-place.h"

#include <string.h>

#define SCSI_TARGETS 256 /* of a virtio-scsi controller */
#define SCSI_UNITS   256 /* that we give out per target: guests that know no more still see them */
#define SATA_PORTS   6
#define IDE_BUSES    2
#define IDE_UNITS    2

static bool is_iface(const DlDomainAttachment *meta, const char *iface)
{
        return strcmp(meta->iface, iface) == 0;
}

/* ---- what is taken ------------------------------------------------------------------------- */

typedef struct Taken {
        GHashTable *by_device;      /* place → name of the device, borrowed */
        GHashTable *by_reservation; /* place → GUID of the attachment, borrowed */
} Taken;

/* One text for one place. Drive addresses of different buses do not meet. NULL: nobody's. */
static char *place_of(const DlAddress *address, const char *bus)
{
        g_autofree char *text = NULL;

        if (!dl_address_is(address, "pci") && !dl_address_is(address, "drive"))
                return NULL;
        text = dl_address_to_text(address);
        return g_strconcat(dl_address_is(address, "drive") && bus ? bus : "", " ", text, NULL);
}

static void take(GHashTable *table, const DlAddress *address, const char *bus, const char *name)
{
        char *place = place_of(address, bus);

        if (place)
                g_hash_table_insert(table, place, (char *)name);
}

static void take_domain(Taken *taken, const DlDomain *domain, const char *own_alias)
{
        for (unsigned i = 0; domain && i < domain->devices->len; i++) {
                const DlDomainDevice *device = domain->devices->pdata[i];

                if (!device->alias || g_strcmp0(device->alias, own_alias) != 0)
                        take(taken->by_device, device->address, device->bus, device->name);
        }
}

static void taken_clear(Taken *taken)
{
        g_hash_table_unref(taken->by_device);
        g_hash_table_unref(taken->by_reservation);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Taken, taken_clear)

static Taken what_is_taken(const DlDiskVm *vm)
{
        Taken taken = {g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL),
                       g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL)};

        take_domain(&taken, vm->live, vm->own_alias);
        take_domain(&taken, vm->inactive, vm->own_alias);
        for (unsigned i = 0; i < vm->others->len; i++) {
                const DlDomainAttachment *other = vm->others->pdata[i];

                take(taken.by_reservation, other->address, other->iface, other->guid);
        }
        return taken;
}

static bool is_free(const Taken *taken, const DlAddress *address, const char *bus, bool reserved)
{
        g_autofree char *place = place_of(address, bus);

        return !g_hash_table_contains(taken->by_device, place) &&
               !(reserved && g_hash_table_contains(taken->by_reservation, place));
}

/* ---- controllers --------------------------------------------------------------------------- */

static const DlDomainController *find_controller(const DlDomain *domain, const char *type,
                                                 unsigned index)
{
        for (unsigned i = 0; domain && i < domain->controllers->len; i++) {
                const DlDomainController *controller = domain->controllers->pdata[i];

                if (controller->index == index && strcmp(controller->type, type) == 0)
                        return controller;
        }
        return NULL;
}

static bool is_virtio_scsi(const DlDomainController *controller)
{
        return controller && strcmp(controller->type, "scsi") == 0 &&
               g_str_has_prefix(controller->model, "virtio-");
}

/* Those that the disk goes to. At least one is not NULL. */
static void domains_of(const DlDiskVm *vm, const DlDomain *ret[2])
{
        ret[0] = vm->plug ? vm->live : NULL;
        ret[1] = vm->inactive;
        if (!ret[0] && !ret[1])
                ret[0] = vm->live;
}

static DlAddress *pci_address(unsigned domain, unsigned bus, unsigned slot, unsigned function)
{
        DlAddress *address = dl_address_new();

        g_hash_table_insert(address, g_strdup("type"), g_strdup("pci"));
        g_hash_table_insert(address, g_strdup("domain"), g_strdup_printf("0x%04x", domain));
        g_hash_table_insert(address, g_strdup("bus"), g_strdup_printf("0x%02x", bus));
        g_hash_table_insert(address, g_strdup("slot"), g_strdup_printf("0x%02x", slot));
        g_hash_table_insert(address, g_strdup("function"), g_strdup_printf("0x%x", function));
        return address;
}

static DlAddress *drive_address(unsigned controller, unsigned bus, unsigned target, unsigned unit)
{
        DlAddress *address = dl_address_new();

        g_hash_table_insert(address, g_strdup("type"), g_strdup("drive"));
        g_hash_table_insert(address, g_strdup("controller"), g_strdup_printf("%u", controller));
        g_hash_table_insert(address, g_strdup("bus"), g_strdup_printf("%u", bus));
        g_hash_table_insert(address, g_strdup("target"), g_strdup_printf("%u", target));
        g_hash_table_insert(address, g_strdup("unit"), g_strdup_printf("%u", unit));
        return address;
}

/* ---- PCI ----------------------------------------------------------------------------------- */

/* Where a disk can be on each kind of bus, and whether it can be plugged there. */
static const struct {
        const char *model;
        unsigned first, last; /* slot */
        bool hot;
} pci_buses[] = {
        {"pcie-root-port", 0, 0, true},      {"pcie-switch-downstream-port", 0, 0, true},
        {"pci-root", 3, 31, true},           {"pci-bridge", 1, 31, true},
        {"pcie-to-pci-bridge", 1, 31, true}, {"pcie-root", 1, 31, false},
        {"dmi-to-pci-bridge", 0, 31, false}, {"pcie-switch-upstream-port", 0, 31, false},
        {"pcie-expander-bus", 0, 31, false}, {"pci-expander-bus", 0, 31, false},
};

/* -1: a kind of bus that we do not know. */
static int pci_bus_kind(const DlDomainController *controller)
{
        for (size_t i = 0; i < G_N_ELEMENTS(pci_buses); i++)
                if (strcmp(pci_buses[i].model, controller->model) == 0)
                        return (int)i;
        return -1;
}

static bool check_pci_in(const DlDomain *domain, const DlAddress *address, const DlDiskVm *vm,
                         bool hot, GError **error)
{
        unsigned bus = dl_address_number(address, "bus"), slot = dl_address_number(address, "slot");
        const DlDomainController *controller = find_controller(domain, "pci", bus);
        int kind = controller ? pci_bus_kind(controller) : -1;

        if (!controller || dl_address_number(address, "domain") != 0) {
                g_set_error(error, DL_ERROR, DL_ERROR_INVALID_ARGS,
                            "VM %s has no PCI bus %04x:%02x", vm->name,
                            dl_address_number(address, "domain"), bus);
                return false;
        }
        if (kind >= 0 && (slot < pci_buses[kind].first || slot > pci_buses[kind].last)) {
                g_set_error(
                        error, DL_ERROR, DL_ERROR_INVALID_ARGS,
                        "PCI bus %02x of VM %s is a %s, which has room for disks in slots %u to "
                        "%u, not in %u",
                        bus, vm->name, controller->model, pci_buses[kind].first,
                        pci_buses[kind].last, slot);
                return false;
        }
        if (hot && (kind < 0 || !pci_buses[kind].hot || controller->hotplug_off ||
                    dl_address_number(address, "function"))) {
                g_set_error(
                        error, DL_ERROR, DL_ERROR_INVALID_ARGS,
                        "Nothing can be plugged into a running VM at PCI bus %02x, function %u "
                        "of VM %s (%s); use function 0 of a pcie-root-port, or stop the VM first",
                        bus, dl_address_number(address, "function"), vm->name, controller->model);
                return false;
        }
        return true;
}

static bool check_pci(const DlAddress *address, const DlDiskVm *vm, GError **error)
{
        const DlDomain *domains[2];

        domains_of(vm, domains);
        for (unsigned i = 0; i < 2; i++)
                if (domains[i] &&
                    !check_pci_in(domains[i], address, vm, domains[i] == vm->live, error))
                        return false;
        return true;
}

/* Also for a VM that does not run: one day the disk may be plugged in again. */
static DlAddress *free_slot(const DlDomainController *controller, const DlDiskVm *vm,
                            const Taken *taken, bool reserved)
{
        int kind = pci_bus_kind(controller);

        if (kind < 0 || !pci_buses[kind].hot || controller->hotplug_off)
                return NULL;
        for (unsigned slot = pci_buses[kind].first; slot <= pci_buses[kind].last; slot++) {
                g_autoptr(GHashTable) address = pci_address(0, controller->index, slot, 0);

                if (is_free(taken, address, NULL, reserved) && check_pci(address, vm, NULL))
                        return g_steal_pointer(&address);
        }
        return NULL;
}

static DlAddress *choose_pci(const DlDiskVm *vm, const Taken *taken, bool reserved)
{
        const DlDomain *domains[2];

        domains_of(vm, domains);
        const DlDomain *domain = domains[0] ? domains[0] : domains[1];
        for (unsigned i = 0; i < domain->controllers->len; i++) {
                const DlDomainController *controller = domain->controllers->pdata[i];
                DlAddress *address = strcmp(controller->type, "pci") == 0
                                             ? free_slot(controller, vm, taken, reserved)
                                             : NULL;

                if (address)
                        return address;
        }
        return NULL;
}

/* Whether the running domain could take one more device at all. */
static bool check_room_for_plug(const DlDiskVm *vm, const Taken *taken, GError **error)
{
        DlDiskVm only_live = *vm;

        only_live.inactive = NULL;
        g_autoptr(GHashTable) address = vm->plug ? choose_pci(&only_live, taken, false) : NULL;
        if (address || !vm->plug || !find_controller(vm->live, "pci", 0))
                return true;
        g_set_error(
                error, DL_ERROR, DL_ERROR_LIMITS_EXCEEDED,
                "VM %s runs and has no free PCI slot for another device; use iface scsi, or stop "
                "it and add <controller type='pci' model='pcie-root-port'/>",
                vm->name);
        return false;
}

/* ---- drives -------------------------------------------------------------------------------- */

/* What is behind a controller. */
static bool check_drive_parts(const DlDomainAttachment *meta, const DlDiskVm *vm, unsigned buses,
                              unsigned targets, unsigned units, GError **error)
{
        const DlAddress *address = meta->address;

        if (dl_address_number(address, "bus") < buses &&
            dl_address_number(address, "target") < targets &&
            dl_address_number(address, "unit") < units)
                return true;
        g_autofree char *text = dl_address_to_text(address);
        g_set_error(error, DL_ERROR, DL_ERROR_INVALID_ARGS,
                    "%s is no address of iface %s in VM %s: a controller has %u bus(es), %u "
                    "target(s), %u unit(s), counted from 0",
                    text, meta->iface, vm->name, buses, targets, units);
        return false;
}

static bool check_scsi_in(const DlDomain *domain, const DlDomainAttachment *meta,
                          const DlDiskVm *vm, GError **error)
{
        unsigned index = dl_address_number(meta->address, "controller");
        const DlDomainController *controller = find_controller(domain, "scsi", index);

        if (is_virtio_scsi(controller))
                return true;
        g_set_error(error, DL_ERROR,
                    controller ? DL_ERROR_UNSUPPORTED_INTERFACE : DL_ERROR_INVALID_ARGS,
                    controller ? "The SCSI controller %u of VM %s is no virtio-scsi controller"
                               : "There is no SCSI controller %u in VM %s",
                    index, vm->name);
        return false;
}

/* libvirt adds SATA controllers, one after the other; there is one IDE controller. */
static bool check_ata_controller(const DlDomainAttachment *meta, const DlDiskVm *vm, GError **error)
{
        unsigned index = dl_address_number(meta->address, "controller");
        const DlDomain *domain = vm->inactive ? vm->inactive : vm->live;
        unsigned n = 0;

        while (is_iface(meta, "sata") && find_controller(domain, "sata", n))
                n++;
        if (index <= n)
                return true;
        g_set_error(error, DL_ERROR, DL_ERROR_INVALID_ARGS,
                    "There is no controller %u of iface %s in VM %s", index, meta->iface, vm->name);
        return false;
}

static bool check_drive(const DlDomainAttachment *meta, const DlDiskVm *vm, GError **error)
{
        const DlDomain *domains[2];

        if (!is_iface(meta, "scsi"))
                return check_ata_controller(meta, vm, error) &&
                       (is_iface(meta, "ide")
                                ? check_drive_parts(meta, vm, IDE_BUSES, 1, IDE_UNITS, error)
                                : check_drive_parts(meta, vm, 1, 1, SATA_PORTS, error));
        domains_of(vm, domains);
        for (unsigned i = 0; i < 2; i++)
                if (domains[i] && !check_scsi_in(domains[i], meta, vm, error))
                        return false;
        return check_drive_parts(meta, vm, 1, SCSI_TARGETS, 16384, error);
}

/* From the place of the index on, then from the first. */
static DlAddress *free_scsi_unit(const DlDiskVm *vm, const Taken *taken, bool reserved,
                                 unsigned controller, unsigned from)
{
        for (unsigned i = 0; i < SCSI_TARGETS * SCSI_UNITS; i++) {
                unsigned n = (from + i) % (SCSI_TARGETS * SCSI_UNITS);
                g_autoptr(GHashTable)
                        address = drive_address(controller, 0, n / SCSI_UNITS, n % SCSI_UNITS);

                if (is_free(taken, address, "scsi", reserved))
                        return g_steal_pointer(&address);
        }
        return NULL;
}

static DlAddress *choose_scsi(const DlDomainAttachment *meta, const DlDiskVm *vm,
                              const Taken *taken, bool reserved)
{
        const DlDomain *domains[2];
        unsigned index = 0;

        domains_of(vm, domains);
        const DlDomain *domain = domains[0] ? domains[0] : domains[1];
        for (unsigned i = 0; i < domain->controllers->len; i++) {
                const DlDomainController *controller = domain->controllers->pdata[i];

                if (is_virtio_scsi(controller) &&
                    (!domains[1] || domain == domains[1] ||
                     is_virtio_scsi(find_controller(domains[1], "scsi", controller->index))))
                        return free_scsi_unit(vm, taken, reserved, controller->index,
                                              (unsigned)meta->index);
        }
        while (find_controller(vm->live, "scsi", index) ||
               find_controller(vm->inactive, "scsi", index))
                index++;
        return free_scsi_unit(vm, taken, reserved, index, (unsigned)meta->index);
}

/* libvirt adds the controllers that a domain needs for its SATA disks; IDE has no more than one. */
static DlAddress *choose_ata(const DlDomainAttachment *meta, const DlDiskVm *vm, const Taken *taken,
                             bool reserved)
{
        bool ide = is_iface(meta, "ide");
        unsigned n = ide ? IDE_BUSES * IDE_UNITS : SATA_PORTS * 256;

        for (unsigned i = 0; i < n; i++) {
                unsigned at = ((unsigned)meta->index + i) % n;
                g_autoptr(GHashTable)
                        address = ide ? drive_address(0, at / IDE_UNITS, 0, at % IDE_UNITS)
                                      : drive_address(at / SATA_PORTS, 0, 0, at % SATA_PORTS);

                if (is_free(taken, address, meta->iface, reserved))
                        return g_steal_pointer(&address);
        }
        return NULL;
}

/* ---- addresses ----------------------------------------------------------------------------- */

DlAddress *dl_disk_place_whole(const DlAddress *a)
{
        return dl_address_is(a, "pci")
                       ? pci_address(dl_address_number(a, "domain"), dl_address_number(a, "bus"),
                                     dl_address_number(a, "slot"), dl_address_number(a, "function"))
                       : drive_address(dl_address_number(a, "controller"),
                                       dl_address_number(a, "bus"), dl_address_number(a, "target"),
                                       dl_address_number(a, "unit"));
}

bool dl_disk_place_check(const DlDomainAttachment *meta, const DlDiskVm *vm, bool reserved,
                         GError **error)
{
        g_auto(Taken) taken = what_is_taken(vm);
        bool pci = dl_address_is(meta->address, "pci");

        if (!pci && !dl_address_is(meta->address, "drive"))
                return true; /* of a kind that only libvirt understands */
        if (!(pci ? check_pci(meta->address, vm, error) : check_drive(meta, vm, error)))
                return false;

        g_autofree char *text = dl_address_to_text(meta->address);
        g_autofree char *place = place_of(meta->address, meta->iface);
        const char *device = g_hash_table_lookup(taken.by_device, place);
        const char *guid = g_hash_table_lookup(taken.by_reservation, place);

        if (device)
                g_set_error(error, DL_ERROR, DL_ERROR_INVALID_ARGS,
                            "The address %s of VM %s is taken by its %s", text, vm->name, device);
        else if (guid && reserved)
                g_set_error(error, DL_ERROR, DL_ERROR_INVALID_ARGS,
                            "The address %s of VM %s is kept for its attachment of %s", text,
                            vm->name, guid);
        else
                return true;
        return false;
}

static DlAddress *choose(const DlDomainAttachment *meta, const DlDiskVm *vm, const Taken *taken,
                         bool reserved)
{
        if (is_iface(meta, "virtio"))
                return choose_pci(vm, taken, reserved);
        return is_iface(meta, "scsi") ? choose_scsi(meta, vm, taken, reserved)
                                      : choose_ata(meta, vm, taken, reserved);
}

bool dl_disk_place_choose(DlDomainAttachment *meta, const DlDiskVm *vm, GError **error)
{
        g_auto(Taken) taken = what_is_taken(vm);
        DlAddress *address = choose(meta, vm, &taken, true);

        if (!address)
                address = choose(meta, vm, &taken, false);
        g_clear_pointer(&meta->address, g_hash_table_unref);
        meta->address = address;
        if (address && !(is_iface(meta, "scsi") && dl_disk_place_needs_controller(meta, vm->live)))
                return true;
        if (address || is_iface(meta, "virtio"))
                return check_room_for_plug(vm, &taken, error);
        g_set_error(error, DL_ERROR, DL_ERROR_LIMITS_EXCEEDED,
                    "VM %s has no room for another disk of iface %s", vm->name, meta->iface);
        return false;
}

/* ---- controllers that we add --------------------------------------------------------------- */

bool dl_disk_place_needs_controller(const DlDomainAttachment *meta, const DlDomain *domain)
{
        return domain && is_iface(meta, "scsi") && dl_address_is(meta->address, "drive") &&
               !find_controller(domain, "scsi", dl_address_number(meta->address, "controller"));
}

char *dl_disk_place_controller_xml(const DlDomainAttachment *meta)
{
        return g_strdup_printf("<controller type='scsi' index='%u' model='virtio-scsi'/>",
                               dl_address_number(meta->address, "controller"));
}

/* ---- index and name ------------------------------------------------------------------------ */

static const DlDomainDisk *find_dev(const DlDomain *domain, const char *dev, const char *but)
{
        for (unsigned i = 0; domain && i < domain->disks->len; i++) {
                const DlDomainDisk *disk = domain->disks->pdata[i];

                if (g_strcmp0(disk->target_dev, dev) == 0 && g_strcmp0(disk->alias, but) != 0)
                        return disk;
        }
        return NULL;
}

/* scsi and sata share a row of names, so an index is one disk's among both. */
static bool index_is_free(const DlDomainAttachment *meta, const DlDiskVm *vm, GHashTable *used,
                          int index)
{
        g_autofree char *dev = dl_target_dev(meta->iface, (unsigned)index);

        return !g_hash_table_contains(used, dev) && !find_dev(vm->live, dev, vm->own_alias) &&
               !find_dev(vm->inactive, dev, vm->own_alias);
}

bool dl_disk_place_index(DlDomainAttachment *meta, const DlDiskVm *vm, GError **error)
{
        g_autoptr(GHashTable) used = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
        int index = MAX(meta->index, 0);

        for (unsigned i = 0; i < vm->others->len; i++) {
                const DlDomainAttachment *other = vm->others->pdata[i];

                g_hash_table_add(used, dl_target_dev(other->iface, (unsigned)other->index));
        }
        while (meta->index < 0 && !index_is_free(meta, vm, used, index))
                index++;
        if (index_is_free(meta, vm, used, index)) {
                meta->index = index;
                return true;
        }
        g_set_error(error, DL_ERROR, DL_ERROR_INVALID_ARGS,
                    "index %d of iface %s is another disk's of VM %s", meta->index, meta->iface,
                    vm->name);
        return false;
}

static const char *own_dev(const DlDomain *domain, const char *alias)
{
        for (unsigned i = 0; domain && i < domain->disks->len; i++) {
                const DlDomainDisk *disk = domain->disks->pdata[i];

                if (g_strcmp0(disk->alias, alias) == 0)
                        return disk->target_dev;
        }
        return NULL;
}

char *dl_disk_place_dev(const DlDomainAttachment *meta, const DlDomain *live,
                        const DlDomain *inactive, const char *own_alias)
{
        const char *dev = own_dev(live, own_alias);

        if (!dev)
                dev = own_dev(inactive, own_alias);
        return dev ? g_strdup(dev) : dl_target_dev_free(meta->iface, meta->index, live, inactive);
}
