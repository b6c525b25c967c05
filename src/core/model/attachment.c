/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Attachments: read from the domain, where they live. What the metadata element lists exists; the
 * disk element, found by its alias, tells whether it is plugged and where. Loop thread only.
 */

#include "core/model/attachment-index.h"
#include "core/model/contents.h"
#include "core/model/foreign-use.h"
#include "core/steps/guest-size.h"
#include "core/steps/path-watch.h"
#include "core/steps/vdisk-create.h"
#include "util/uuid.h"

#include <string.h>

char *dl_disk_alias(const char *vdisk)
{
        return g_strconcat(DL_DISK_ALIAS_PREFIX, vdisk, NULL);
}

const DlDomainDisk *dl_vm_find_disk(const DlDomain *domain, const char *alias)
{
        for (unsigned i = 0; domain && i < domain->disks->len; i++) {
                const DlDomainDisk *disk = domain->disks->pdata[i];

                if (g_strcmp0(disk->alias, alias) == 0)
                        return disk;
        }
        return NULL;
}

DlVDisk *dl_attachment_vdisk(const DlAttachment *attachment)
{
        return DL_LOOKUP_VDISK(attachment->object.core, attachment->meta->vdisk);
}

void dl_attachment_free(DlAttachment *attachment)
{
        dl_domain_attachment_free(attachment->meta);
        g_free(attachment->target_dev);
        if (attachment->address)
                g_hash_table_unref(attachment->address);
        g_free(attachment->shown);
        dl_last_error_clear(&attachment->last_error);
        dl_object_clear(&attachment->object);
        g_free(attachment);
}

static void set_address(DlAttachment *a, DlAddress *address)
{
        if (dl_address_equal(a->address, address))
                return;
        if (a->address)
                g_hash_table_unref(a->address);
        a->address = address ? g_hash_table_ref(address) : NULL;
        dl_object_changed(&a->object, "Address");
}

/* Announces what is different in the new metadata, and takes it. */
static void take_meta(DlAttachment *a, const DlDomainAttachment *meta)
{
        g_autoptr(DlDomainAttachment) old = a->meta;

        a->meta = dl_domain_attachment_copy(meta);
#define CHANGED_IF(condition, property)                                                            \
        if (condition)                                                                             \
        dl_object_changed(&a->object, property)
        CHANGED_IF(g_strcmp0(old->iface, meta->iface) != 0, "Iface");
        CHANGED_IF(g_strcmp0(old->device, meta->device) != 0, "Device");
        CHANGED_IF(old->index != meta->index, "Index");
        CHANGED_IF(old->boot_order != meta->boot_order, "BootOrder");
        CHANGED_IF(old->propagate_errors != meta->propagate_errors, "PropagateErrors");
        CHANGED_IF(old->shared != meta->shared, "Shared");
        CHANGED_IF(old->optional != meta->optional, "Optional");
        CHANGED_IF(old->readonly != meta->readonly, "ReadOnly");
        CHANGED_IF(old->discard != meta->discard, "Discard");
        CHANGED_IF(old->reservations != meta->reservations, "Reservations");
        CHANGED_IF(g_strcmp0(old->image, meta->image) != 0, "Image");
        CHANGED_IF(g_strcmp0(old->data_path, meta->data_path) != 0, "DataPath");
#undef CHANGED_IF
}

static void take_left_out(DlAttachment *a, bool left_out)
{
        if (a->left_out == left_out)
                return;
        a->left_out = left_out;
        a->retry_usec = a->retry_pause_usec = 0;
        dl_object_changed(&a->object, "LeftOut");
        if (!left_out && dl_last_error_set(&a->last_error, NULL)) /* it told why */
                dl_object_changed(&a->object, "LastError");
}

/* The element says it; one that is in neither domain goes the way that its next plug finds. */
static void take_data_path(DlAttachment *a, const DlDomainDisk *disk)
{
        bool by_block = disk && g_strcmp0(disk->type, "block") == 0;

        if (a->by_block == by_block)
                return;
        a->by_block = by_block;
        dl_object_changed(&a->object, "DataPathUsed");
}

/* However late, the guest has let go of it. */
static void forget_unreleased(DlAttachment *a)
{
        if (a->last_error.code == DL_ERROR_GUEST_DID_NOT_RELEASE &&
            dl_last_error_set(&a->last_error, NULL))
                dl_object_changed(&a->object, "LastError");
}

/* The disk elements of both domains. */
static void look_at_disks(DlAttachment *a)
{
        g_autofree char *alias = dl_disk_alias(a->meta->vdisk);
        const DlDomainDisk *live = dl_vm_find_disk(a->vm->live, alias);
        const DlDomainDisk *inactive = dl_vm_find_disk(a->vm->inactive, alias);
        const DlDomainDisk *disk = live ? live : inactive;

        if (a->plugged != (live != NULL)) {
                a->plugged = live != NULL;
                dl_object_changed(&a->object, "Plugged");
                dl_object_changed(&a->object, "DataPathUsed");
        }
        if (!a->plugged) {
                dl_guest_size_forget(a);
                dl_set_string(&a->shown, NULL);
                forget_unreleased(a);
        }
        if (a->in_config != (inactive != NULL))
                dl_object_changed(&a->object, "DataPathUsed");
        a->in_config = inactive != NULL;
        take_data_path(a, disk);
        take_left_out(a, a->meta->left_out && a->vm->live && !live && inactive);
        if (dl_set_string(&a->target_dev, disk && disk->target_dev ? disk->target_dev : ""))
                dl_object_changed(&a->object, "TargetDev");
        set_address(a, disk && disk->address ? disk->address : a->meta->address);
}

/* QEMU logs in again by the number of the LUN, and does not look at what it gets. */
static void judge(DlAttachment *a, const DlIscsiLun *shown)
{
        bool is_other = strcmp(shown->guid, a->meta->guid) != 0;
        DlLun *lun = DL_LOOKUP_LUN(a->object.core, a->meta->guid);
        g_autoptr(GError) error = NULL;

        if (a->by_block) { /* the kernel may have it by another number: it is asked */
                if (is_other && lun)
                        dl_paths_watch(lun);
                return;
        }
        if (is_other)
                error = g_error_new(DL_ERROR, DL_ERROR_GUID_MISMATCH,
                                    "LUN %" G_GUINT64_FORMAT " of target %s shows %s now, not %s, "
                                    "and the running VM %s reads and writes it: unplug the disk, "
                                    "or stop the VM",
                                    shown->lun, a->meta->iqn, shown->guid, a->meta->guid,
                                    a->vm->name);
        else if (!a->shown)
                return;
        if (dl_last_error_set(&a->last_error, error))
                dl_object_changed(&a->object, "LastError");
        if (!dl_set_string(&a->shown, error ? shown->guid : NULL))
                return;
        if (error)
                dl_err("%s", error->message);
        else
                dl_notice("LUN %" G_GUINT64_FORMAT " of target %s shows %s again, as VM %s needs",
                          shown->lun, a->meta->iqn, a->meta->guid, a->vm->name);
        dl_foreign_use_resolve(a->vm); /* the other one is in use now, or not any more */
        dl_luns_update(a->object.core);
}

void dl_attachments_judge(DlTarget *target, const DlIscsiInspection *inspection)
{
        g_autoptr(GPtrArray) users = dl_target_users(target);

        for (unsigned i = 0; i < users->len; i++) {
                DlAttachment *a = users->pdata[i];

                for (size_t k = 0; k < inspection->n_luns; k++)
                        if (inspection->luns[k].lun == a->meta->lun && inspection->luns[k].guid)
                                judge(a, &inspection->luns[k]);
        }
}

static void on_vdisk_restored(DlVDisk *vdisk, bool created, const GError *error, void *userdata)
{
        if (error)
                dl_warning("A vDisk that a VM has could not be stored: %s", error->message);
}

/* What it writes to: its disk as it runs, or will run. NULL-terminated; the strings are borrowed.
 */
static const char **images_of(const DlAttachment *a)
{
        g_autofree char *alias = dl_disk_alias(a->meta->vdisk);
        const DlDomainDisk *live = dl_vm_find_disk(a->vm->live, alias);
        const DlDomainDisk *disk = live ? live : dl_vm_find_disk(a->vm->inactive, alias);
        g_autoptr(GPtrArray) files = g_ptr_array_new();

        for (unsigned i = 0; disk && !a->meta->image && i < disk->images->len; i++)
                g_ptr_array_add(files, ((DlDomainImage *)disk->images->pdata[i])->file);
        g_ptr_array_add(files, NULL);
        return (const char **)g_ptr_array_free(g_steal_pointer(&files), FALSE);
}

/* The domain knows more than a store that was lost: what the attachment needs is made again. */
static void restore_what_is_missing(DlAttachment *a)
{
        DlCore *core = a->object.core;
        g_autofree char *alias = dl_disk_alias(a->meta->vdisk);
        const DlDomainDisk *disk = dl_vm_find_disk(a->vm->live, alias);
        DlTarget *target;

        if (!dl_attachment_vdisk(a)) {
                g_autofree const char **files = images_of(a);

                dl_vdisk_restore(core, a->meta->guid, NULL, NULL, files, on_vdisk_restored, core);
        }
        if (!disk || !disk->host_name || !a->meta->iqn || DL_LOOKUP_TARGET(core, a->meta->iqn))
                return;
        target = dl_target_ensure(core, a->meta->iqn, NULL);
        if (target)
                dl_target_add_portal(target, disk->host_name,
                                     disk->host_port ? disk->host_port : 3260, 0);
}

static DlAttachment *attachment_new(DlVm *vm, const DlDomainAttachment *meta)
{
        DlAttachment *a = g_new0(DlAttachment, 1);

        dl_object_init(&a->object, vm->object.core, DL_KIND_ATTACHMENT, meta->id);
        a->vm = vm;
        a->meta = dl_domain_attachment_copy(meta);
        a->last_error.code = -1;
        a->resize_pending = "";
        look_at_disks(a);
        return a;
}

static void announce_neighbours(DlAttachment *a)
{
        DlVDisk *vdisk = dl_attachment_vdisk(a);
        DlLun *lun = DL_LOOKUP_LUN(a->object.core, a->meta->guid);

        dl_object_changed(&a->vm->object, "Attachments");
        if (vdisk)
                dl_object_changed(&vdisk->object, "Attachments");
        if (lun)
                dl_lun_update(lun);
}

static void remove_attachment(DlAttachment *a)
{
        DlLun *lun = DL_LOOKUP_LUN(a->object.core, a->meta->guid);

        if (lun)
                dl_contents_outdate(lun); /* the guest may have written to it */
        dl_object_unpublish(&a->object);
        dl_attachment_index_remove(a);
        announce_neighbours(a);
        dl_attachment_free(a);
}

/* Of a domain that was copied with its metadata the ids tell that they are another VM's. */
static bool is_of_vm(const DlDomainAttachment *meta, const DlVm *vm)
{
        char id[DL_UUID_SIZE];

        dl_uuid_for_attachment(vm->object.id, meta->vdisk, id);
        return strcmp(id, meta->id) == 0;
}

static bool is_listed(const DlDomain *domain, const char *id)
{
        for (unsigned i = 0; domain && i < domain->attachments->len; i++)
                if (strcmp(((DlDomainAttachment *)domain->attachments->pdata[i])->id, id) == 0)
                        return true;
        return false;
}

void dl_attachments_merge(DlVm *vm)
{
        /* A running domain has its own copy of the metadata; it is the truth while it runs. */
        const DlDomain *domain = vm->live ? vm->live : vm->inactive;
        g_autoptr(GPtrArray) before = dl_vm_attachments(vm);

        for (unsigned i = 0; i < before->len; i++) {
                DlAttachment *a = before->pdata[i];

                if (!is_listed(domain, a->object.id))
                        remove_attachment(a);
        }
        for (unsigned i = 0; domain && i < domain->attachments->len; i++) {
                const DlDomainAttachment *meta = domain->attachments->pdata[i];
                DlAttachment *a = DL_LOOKUP_ATTACHMENT(vm->object.core, meta->id);

                if (!is_of_vm(meta, vm))
                        continue;
                if (a) {
                        dl_attachment_index_remove(a);
                        take_meta(a, meta);
                        look_at_disks(a);
                        dl_attachment_index_add(a);
                        continue;
                }
                a = attachment_new(vm, meta);
                dl_object_publish(&a->object);
                dl_attachment_index_add(a);
                announce_neighbours(a);
                restore_what_is_missing(a);
        }
        dl_guest_sizes_look(vm);
}
