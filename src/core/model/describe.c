/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The whole state as JSON, for reports and for people. Never a secret. Loop thread only. */

#include "core/core-private.h"
#include "core/records/journal.h"
#include "core/records/json.h"
#include "core/records/target-rows.h"

typedef void (*Describe)(JsonBuilder *b, DlObject *object);

static void describe_target(JsonBuilder *b, DlObject *object)
{
        const DlTarget *target = (DlTarget *)object;

        dl_json_add_string(b, "iqn", object->id);
        dl_json_add_string(b, "state", dl_target_state_name(target->state));
        dl_json_add_bool(b, "managed", dl_target_is_managed(target));
        dl_json_add_bool(b, "pinned", target->pinned);
        dl_json_add_string(b, "data-path", dl_target_data_path(target));
        dl_json_add_string(b, "data-path-reason", target->data_path_why);
        dl_json_add_bool(b, "has-credentials", dl_target_has_credentials(target));
        dl_json_add_string(b, "last-error", dl_last_error_message(&target->last_error));
        json_builder_set_member_name(b, "portals");
        json_builder_begin_array(b);
        for (unsigned i = 0; i < target->portals->len; i++) {
                const DlPortal *portal = target->portals->pdata[i];

                json_builder_begin_object(b);
                dl_portal_add_members(b, portal);
                dl_json_add_string(b, "state", dl_target_state_name(portal->state));
                dl_json_add_string(b, "last-error", dl_last_error_message(&portal->last_error));
                json_builder_end_object(b);
        }
        json_builder_end_array(b);
}

static void describe_lun(JsonBuilder *b, DlObject *object)
{
        const DlLun *lun = (DlLun *)object;

        dl_json_add_string(b, "guid", object->id);
        dl_json_add_string(b, "status", dl_lun_status_name(lun->status));
        dl_json_add_string(b, "reason", lun->reason);
        dl_json_add_int(b, "capacity", (int64_t)lun->capacity);
        dl_json_add_string(b, "vendor", lun->vendor);
        dl_json_add_string(b, "product", lun->product);
        json_builder_set_member_name(b, "paths");
        json_builder_begin_array(b);
        for (unsigned i = 0; i < lun->paths->len; i++) {
                const DlPath *path = lun->paths->pdata[i];

                json_builder_begin_object(b);
                dl_json_add_string(b, "iqn", path->iqn);
                dl_json_add_string(b, "address", path->address);
                dl_json_add_int(b, "port", path->port);
                dl_json_add_int(b, "lun", (int64_t)path->lun);
                dl_json_add_string(b, "state", dl_path_state(path));
                json_builder_end_object(b);
        }
        json_builder_end_array(b);
}

static void describe_vdisk(JsonBuilder *b, DlObject *object)
{
        const DlVDisk *vdisk = (DlVDisk *)object;

        dl_json_add_string(b, "id", object->id);
        dl_json_add_string(b, "guid", vdisk->guid);
        dl_json_add_string(b, "alias", vdisk->alias);
        dl_json_add_string(b, "description", vdisk->description);
}

static void describe_vm(JsonBuilder *b, DlObject *object)
{
        const DlVm *vm = (DlVm *)object;

        dl_json_add_string(b, "uuid", object->id);
        dl_json_add_string(b, "name", vm->name);
        dl_json_add_string(b, "state", dl_virt_state_name(vm->state));
        dl_json_add_string(b, "host", dl_vm_host(vm));
}

static void describe_attachment(JsonBuilder *b, DlObject *object)
{
        const DlAttachment *a = (DlAttachment *)object;

        dl_json_add_string(b, "id", object->id);
        dl_json_add_string(b, "vm", a->vm->name);
        dl_json_add_string(b, "vdisk", a->meta->vdisk);
        dl_json_add_string(b, "guid", a->meta->guid);
        dl_json_add_string(b, "target", a->meta->iqn);
        dl_json_add_int(b, "lun", (int64_t)a->meta->lun);
        dl_json_add_string(b, "iface", a->meta->iface);
        dl_json_add_string(b, "target-dev", a->target_dev);
        dl_json_add_string(b, "data-path", a->meta->data_path);
        dl_json_add_bool(b, "by-block", a->by_block);
        dl_json_add_bool(b, "plugged", a->plugged);
        dl_json_add_bool(b, "starts-with-vm", a->in_config);
        dl_json_add_string(b, "last-error", dl_last_error_message(&a->last_error));
}

static void describe_host(JsonBuilder *b, DlObject *object)
{
        const DlHost *host = (DlHost *)object;

        dl_json_add_string(b, "name", object->id);
        dl_json_add_string(b, "state", dl_host_state(host));
        dl_json_add_string(b, "boot-id", host->boot_id);
}

static void describe_job(JsonBuilder *b, DlObject *object)
{
        const DlJob *job = (DlJob *)object;

        dl_json_add_string(b, "id", object->id);
        dl_json_add_string(b, "operation", job->operation);
        dl_json_add_string(b, "phase", job->phase);
        dl_json_add_string(b, "state", dl_job_state_name(job->state));
        dl_json_add_string(b, "error", dl_last_error_message(&job->error));
}

static void describe_kind(JsonBuilder *b, DlCore *core, DlKind kind, const char *name,
                          Describe describe)
{
        g_autoptr(GPtrArray) objects = dl_core_list(core, kind);

        json_builder_set_member_name(b, name);
        json_builder_begin_array(b);
        for (unsigned i = 0; i < objects->len; i++) {
                json_builder_begin_object(b);
                describe(b, objects->pdata[i]);
                json_builder_end_object(b);
        }
        json_builder_end_array(b);
}

char *dl_core_describe(DlCore *core)
{
        JsonBuilder *b = json_builder_new();

        json_builder_begin_object(b);
        dl_json_add_string(b, "engine", dl_core_engine(core));
        dl_json_add_string(b, "initiator-name", core->initiator_name);
        dl_json_add_bool(b, "libvirt", dl_core_has_libvirt(core));
        dl_json_add_int(b, "open-intents", g_hash_table_size(core->intents));
        describe_kind(b, core, DL_KIND_TARGET, "targets", describe_target);
        describe_kind(b, core, DL_KIND_LUN, "luns", describe_lun);
        describe_kind(b, core, DL_KIND_VDISK, "vdisks", describe_vdisk);
        describe_kind(b, core, DL_KIND_VM, "vms", describe_vm);
        describe_kind(b, core, DL_KIND_ATTACHMENT, "attachments", describe_attachment);
        describe_kind(b, core, DL_KIND_HOST, "hosts", describe_host);
        describe_kind(b, core, DL_KIND_JOB, "jobs", describe_job);
        json_builder_end_object(b);
        return dl_json_finish(b, true);
}
