/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Disks of domains that are not ours, named as network disks, as block devices, or as volumes of
 * storage pools. Loop thread only. */

#include "core/model/foreign-use.h"
#include "core/model/lun-kernel.h"
#include "core/steps/operation.h"
#include "host/block-name.h"
#include "util/uuid.h"

#include <stdlib.h>
#include <string.h>

/* A disk with our alias is ours only with its attachment: somebody may have copied the element. */
static bool is_ours(const DlVm *vm, const DlDomainDisk *disk)
{
        char id[DL_UUID_SIZE];

        if (!disk->alias || !g_str_has_prefix(disk->alias, DL_DISK_ALIAS_PREFIX))
                return false;
        dl_uuid_for_attachment(vm->object.id, disk->alias + strlen(DL_DISK_ALIAS_PREFIX), id);
        return DL_LOOKUP_ATTACHMENT(vm->object.core, id) != NULL;
}

static bool is_foreign_iscsi(const DlVm *vm, const DlDomainDisk *disk)
{
        return g_strcmp0(disk->protocol, "iscsi") == 0 && disk->source && !is_ours(vm, disk);
}

/* "iqn/N" of the disk is one of the LUN's paths. QEMU takes LUN 0 if there is no "/N". */
static bool names_lun(const DlDomainDisk *disk, const DlLun *lun)
{
        const char *slash = strrchr(disk->source, '/');
        size_t n = slash ? (size_t)(slash - disk->source) : strlen(disk->source);
        uint64_t number = slash ? dl_iscsi_lun_from_qemu((unsigned)strtoul(slash + 1, NULL, 10))
                                : 0;

        for (unsigned i = 0; i < lun->paths->len; i++) {
                const DlPath *path = lun->paths->pdata[i];

                if (path->lun == number && strlen(path->iqn) == n &&
                    strncmp(path->iqn, disk->source, n) == 0)
                        return true;
        }
        return false;
}

/* /dev/disk/by-path/…-iscsi-IQN-lun-N[-partM] */
static bool names_path(const char *source, const DlLun *lun)
{
        const char *iqn = strstr(source, "-iscsi-");
        const char *number = iqn ? g_strrstr(iqn, "-lun-") : NULL;

        for (unsigned i = 0; number && i < lun->paths->len; i++) {
                const DlPath *path = lun->paths->pdata[i];
                size_t n = strlen(path->iqn);

                if ((size_t)(number - iqn) == strlen("-iscsi-") + n &&
                    strncmp(iqn + strlen("-iscsi-"), path->iqn, n) == 0 &&
                    g_ascii_strtoull(number + strlen("-lun-"), NULL, 10) == path->lun)
                        return true;
        }
        return false;
}

/* The path, or udev's name, of the block device; NULL: it is none, or ours, or cannot be told. */
static const char *foreign_device(const DlVm *vm, const DlDomainDisk *disk)
{
        g_autofree char *volume = dl_domain_volume_key(disk);
        const char *device = disk->source;

        if (volume)
                device = vm->volumes ? g_hash_table_lookup(vm->volumes, volume) : NULL;
        if (disk->protocol || !device || is_ours(vm, disk))
                return NULL;
        return g_str_has_prefix(device, "/dev/") || strstr(device, "-iscsi-") ? device : NULL;
}

static bool domain_uses(const DlVm *vm, const DlDomain *domain, const DlLun *lun)
{
        for (unsigned i = 0; domain && i < domain->disks->len; i++) {
                const DlDomainDisk *disk = domain->disks->pdata[i];
                const char *device = foreign_device(vm, disk);

                if ((is_foreign_iscsi(vm, disk) && names_lun(disk, lun)) ||
                    (device && names_path(device, lun)))
                        return true;
        }
        return false;
}

static bool is_foreign_by_path(const DlVm *vm, const DlDomainDisk *disk)
{
        const char *device = foreign_device(vm, disk);

        return device && strstr(device, "-iscsi-");
}

static bool domain_has_any(const DlVm *vm, const DlDomain *domain)
{
        for (unsigned i = 0; domain && i < domain->disks->len; i++)
                if (is_foreign_iscsi(vm, domain->disks->pdata[i]) ||
                    is_foreign_by_path(vm, domain->disks->pdata[i]))
                        return true;
        return false;
}

bool dl_foreign_use_has_any(const DlVm *vm)
{
        return domain_has_any(vm, vm->live) || domain_has_any(vm, vm->inactive) ||
               (vm->named_guids && vm->named_guids->len > 0);
}

static void add_block_guids(const DlVm *vm, const DlDomain *domain, GPtrArray *guids)
{
        const DlCore *core = vm->object.core;

        for (unsigned i = 0; domain && i < domain->disks->len; i++) {
                const char *device = foreign_device(vm, domain->disks->pdata[i]);

                if (device)
                        dl_block_name_guids(core->sysfs, core->udev, device, guids);
        }
}

static bool is_told_already(const DlVm *vm, const char *volume)
{
        gpointer path;

        return vm->volumes && g_hash_table_lookup_extended(vm->volumes, volume, NULL, &path) &&
               !path;
}

void dl_foreign_use_take_volumes(DlVm *vm, GHashTable *volumes)
{
        GHashTableIter iter;
        gpointer volume, path;

        if (volumes)
                g_hash_table_iter_init(&iter, volumes);
        while (volumes && g_hash_table_iter_next(&iter, &volume, &path))
                if (!path && !is_told_already(vm, volume))
                        dl_notice("VM %s has a disk from the storage pool volume %s, and libvirt "
                                  "cannot tell which device that is: whether it is a LUN is not "
                                  "known",
                                  vm->name, (char *)volume);
        if (vm->volumes)
                g_hash_table_unref(vm->volumes);
        vm->volumes = volumes ? g_hash_table_ref(volumes) : NULL;
}

const char *dl_foreign_use_unknown(const DlVm *vm)
{
        GHashTableIter iter;
        gpointer volume, path;

        if (!vm->volumes)
                return NULL;
        g_hash_table_iter_init(&iter, vm->volumes);
        while (g_hash_table_iter_next(&iter, &volume, &path))
                if (!path)
                        return volume;
        return NULL;
}

/* QEMU goes by the number of the LUN, and has another than we gave it. */
static void add_mistaken_guids(DlVm *vm, GPtrArray *guids)
{
        g_autoptr(GPtrArray) attachments = dl_vm_attachments(vm);

        for (unsigned i = 0; i < attachments->len; i++) {
                const DlAttachment *a = attachments->pdata[i];

                if (a->shown)
                        g_ptr_array_add(guids, g_strdup(a->shown));
        }
}

void dl_foreign_use_resolve(DlVm *vm)
{
        GPtrArray *guids = g_ptr_array_new_with_free_func(g_free);

        add_mistaken_guids(vm, guids);
        add_block_guids(vm, vm->live, guids);
        add_block_guids(vm, vm->inactive, guids);
        if (vm->named_guids)
                g_ptr_array_unref(vm->named_guids);
        vm->named_guids = guids;
}

static bool is_new(const DlVm *vm, const GPtrArray *before)
{
        unsigned n = before ? before->len : 0;

        if (vm->named_guids->len != n)
                return true;
        for (unsigned i = 0; i < n; i++)
                if (!g_str_equal(before->pdata[i], vm->named_guids->pdata[i]))
                        return true;
        return false;
}

void dl_foreign_use_resolve_all(DlCore *core)
{
        g_autoptr(GPtrArray) vms = dl_core_list(core, DL_KIND_VM);
        bool any_new = false;

        for (unsigned i = 0; i < vms->len; i++) {
                DlVm *vm = vms->pdata[i];
                g_autoptr(GPtrArray) before = vm->named_guids ? g_ptr_array_ref(vm->named_guids)
                                                              : NULL;

                dl_foreign_use_resolve(vm);
                any_new = any_new || is_new(vm, before);
        }
        if (any_new)
                dl_luns_update(core);
}

static bool vm_uses(const DlVm *vm, const DlLun *lun)
{
        return domain_uses(vm, vm->live, lun) || domain_uses(vm, vm->inactive, lun) ||
               (vm->named_guids && g_ptr_array_find_with_equal_func(vm->named_guids, lun->object.id,
                                                                    g_str_equal, NULL));
}

void dl_foreign_use_list(const DlLun *lun, GPtrArray *holders)
{
        g_autoptr(GPtrArray) vms = dl_core_list(lun->object.core, DL_KIND_VM);

        for (unsigned i = 0; i < vms->len; i++) {
                const DlVm *vm = vms->pdata[i];

                if (vm_uses(vm, lun))
                        g_ptr_array_add(holders, g_strdup_printf("vm:%s", vm->name));
        }
}

bool dl_foreign_use_check(const DlLun *lun, GError **error)
{
        g_autoptr(GPtrArray) holders = g_ptr_array_new_with_free_func(g_free);

        dl_foreign_use_list(lun, holders);
        if (holders->len == 0)
                return true;
        g_set_error(error, DL_ERROR, DL_ERROR_IN_USE,
                    "%s is used by %s, and not as an attachment of it", lun->object.id,
                    (char *)holders->pdata[0]);
        return false;
}

/* What this host calls its devices. */
static void add_device_names(const DlLun *lun, GPtrArray *texts)
{
        const DlBlockLun *kernel = dl_lun_kernel(lun);

        for (unsigned i = 0; kernel && i < kernel->paths->len; i++)
                g_ptr_array_add(texts,
                                g_strconcat("/dev/",
                                            ((const DlBlockDevice *)kernel->paths->pdata[i])->name,
                                            NULL));
        if (kernel && kernel->map)
                g_ptr_array_add(texts, g_strconcat("/dev/", kernel->map->name, NULL));
}

/* Targets that show it, its GUID, and VMs that were seen to use it: one that does not any more is
 * looked at, too. */
static char **texts_to_find(const DlLun *lun)
{
        g_autoptr(GPtrArray) vms = dl_core_list(lun->object.core, DL_KIND_VM);
        GPtrArray *texts = g_ptr_array_new();

        for (unsigned i = 0; i < lun->paths->len; i++)
                g_ptr_array_add(texts, g_strdup(((DlPath *)lun->paths->pdata[i])->iqn));
        g_ptr_array_add(texts, g_strdup(lun->object.id));
        g_ptr_array_add(texts, g_strdup("<disk type='volume'")); /* which does not name it */
        add_device_names(lun, texts);
        if (lun->object.id[0] == '3') /* as udev's wwn- names have it */
                g_ptr_array_add(texts, g_strconcat("0x", lun->object.id + 1, NULL));
        for (unsigned i = 0; i < vms->len; i++) {
                const DlVm *vm = vms->pdata[i];

                if (vm_uses(vm, lun))
                        g_ptr_array_add(texts, g_strdup(vm->object.id));
        }
        g_ptr_array_add(texts, NULL);
        return (char **)g_ptr_array_free(texts, FALSE);
}

static void on_found(DlVirtDomain *const *domains, size_t n_domains, const GError *error,
                     void *userdata)
{
        DlOperation *op = userdata;

        if (error) {
                dl_op_fail(op, g_error_copy(error));
                return;
        }
        for (size_t i = 0; i < n_domains; i++)
                dl_vm_merge(op->job.object.core, domains[i]);
        dl_op_next(op);
}

void dl_foreign_use_look(DlOperation *op, const DlLun *lun)
{
        g_auto(GStrv) texts = texts_to_find(lun);

        dl_op_wait(op,
                   dl_virt_find_domains(op->job.object.core->virt, (const char *const *)texts,
                                        on_found, op),
                   (void (*)(void *))dl_virt_cancel);
}
