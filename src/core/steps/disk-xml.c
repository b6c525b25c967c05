/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* From attachment and proof to the disk element. Loop thread only. */

#include "core/steps/disk-xml.h"
#include "core/steps/disk-place.h"
#include "util/uuid.h"

#include <string.h>

/* Of "192.0.2.1:3260" or "[2001:db8::1]:3260". */
static char *host_of(const char *portal)
{
        const char *end = strrchr(portal, *portal == '[' ? ']' : ':');

        return g_strndup(portal + (*portal == '['), (size_t)(end - portal) - (*portal == '['));
}

/* A running domain with <os><boot> refuses an order: it counts from the next start on. */
static unsigned boot_order(const DlVm *vm, const DlDomainAttachment *meta, bool live)
{
        return live && vm->live && vm->live->os_boot ? 0 : meta->boot_order;
}

char *dl_disk_xml(const DlVm *vm, const DlDomainAttachment *meta, const DlProof *proof, bool live)
{
        const DlCore *core = vm->object.core;
        const DlTarget *target = proof->target;
        g_autofree char *alias = dl_disk_alias(meta->vdisk);
        const DlDomainDisk *own = dl_vm_find_disk(live ? vm->live : vm->inactive, alias);
        const DlLun *lun = DL_LOOKUP_LUN((DlCore *)core, meta->guid);
        g_autofree char *dev = dl_disk_place_dev(meta, vm->live, vm->inactive, alias);
        g_autofree char *host = live && proof->way ? host_of(proof->way[0])
                                                   : g_strdup(proof->address);
        const DlVDisk *vdisk = DL_LOOKUP_VDISK((DlCore *)core, meta->vdisk);
        g_autofree const char **images = vdisk ? dl_vdisk_files(vdisk, meta->image) : NULL;
        bool wants_secret = target && target->secret;
        char secret[DL_UUID_SIZE];

        if (wants_secret)
                dl_uuid_for_secret(target->object.id, secret);

        DlDiskSpec spec = {
                .alias = alias,
                .device = meta->device,
                .bus = meta->iface,
                .target_dev = dev,
                .serial = meta->serial,
                .node = proof->node,
                .iqn = proof->iqn,
                .lun = proof->lun,
                .host_name = host,
                .host_port = proof->port,
                .initiator_name = core->initiator_name,
                .chap_user = wants_secret ? target->user : NULL,
                .secret_uuid = wants_secret ? secret : NULL,
                .boot_order = boot_order(vm, meta, live),
                .propagate_errors = meta->propagate_errors,
                .shareable = meta->shared,
                .readonly = meta->readonly,
                .discard = meta->discard,
                .reservations = meta->reservations,
                .logical_block_size = lun ? lun->logical_block_size : 0,
                .physical_block_size = lun ? lun->physical_block_size : 0,
                .address = own && own->address ? own->address : meta->address,
                .images = images,
        };
        return dl_disk_spec_to_xml(&spec);
}

DlVirtCall *dl_disk_give_secret(DlTarget *target, DlVirtDone done, void *userdata)
{
        char uuid[DL_UUID_SIZE];

        dl_uuid_for_secret(target->object.id, uuid);
        g_autofree char *usage = g_strconcat("directlun-", uuid, NULL);
        target->secret_given = true;
        return dl_virt_set_secret(target->object.core->virt, uuid, usage, target->secret, done,
                                  userdata);
}

DlVirtCall *dl_disk_forget_secret(DlTarget *target, DlVirtDone done, void *userdata)
{
        char uuid[DL_UUID_SIZE];

        dl_uuid_for_secret(target->object.id, uuid);
        target->secret_given = false;
        return dl_virt_forget_secret(target->object.core->virt, uuid, done, userdata);
}
