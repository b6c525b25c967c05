/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* VMs: what libvirt says, taken over as it comes. Loop thread only. */

#include "core/model/attachment-index.h"
#include "core/model/foreign-use.h"
#include "core/steps/operation.h"
#include "core/flows/recover.h"

#include <string.h>

#define SECOND_LOOK_USEC (3 * G_USEC_PER_SEC)

bool dl_vm_is_wanted(const DlVm *vm)
{
        return !g_queue_is_empty((GQueue *)&vm->queue) || vm->n_aside > 0;
}

bool dl_vm_is_active(const DlVm *vm)
{
        return dl_virt_state_is_active(vm->state);
}

const char *dl_vm_host(const DlVm *vm)
{
        return dl_vm_is_active(vm) ? dl_core_local_host(vm->object.core)->object.id : "";
}

GPtrArray *dl_vm_attachments(DlVm *vm)
{
        return dl_attachments_of(vm->object.core, DL_BELONGS_TO_VM, vm->object.id);
}

GPtrArray *dl_vm_required_targets(DlVm *vm)
{
        g_autoptr(GPtrArray) attachments = dl_vm_attachments(vm);
        GPtrArray *targets = g_ptr_array_new();

        for (unsigned i = 0; i < attachments->len; i++) {
                const DlAttachment *a = attachments->pdata[i];
                DlTarget *target = a->meta->iqn ? DL_LOOKUP_TARGET(vm->object.core, a->meta->iqn)
                                                : NULL;
                bool required = dl_vm_is_active(vm) ? a->plugged : a->in_config;

                if (target && required && !g_ptr_array_find(targets, target, NULL))
                        g_ptr_array_add(targets, target);
        }
        return targets;
}

DlVm *dl_core_find_vm(DlCore *core, const char *name_or_uuid, GError **error)
{
        GHashTableIter iter;
        gpointer p;
        DlVm *vm;

        if (!dl_core_has_libvirt(core)) {
                g_set_error(error, DL_ERROR, DL_ERROR_LIBVIRT_ERROR,
                            "There is no connection to libvirt at %s; is libvirtd running?",
                            core->settings->libvirt_uri);
                return NULL;
        }
        g_autofree char *uuid = g_ascii_strdown(name_or_uuid, -1);
        vm = DL_LOOKUP_VM(core, uuid);
        if (vm)
                return vm;
        g_hash_table_iter_init(&iter, core->objects[DL_KIND_VM]);
        while (g_hash_table_iter_next(&iter, NULL, &p)) {
                vm = p;
                if (strcmp(vm->name, name_or_uuid) == 0)
                        return vm;
        }
        g_set_error(error, DL_ERROR, DL_ERROR_VM_NOT_FOUND, "libvirt has no VM %s", name_or_uuid);
        return NULL;
}

/* ---- what operations wait for ---------------------------------------------------------------- */

/* The operation that has the VM may wait for just this. */
static void tell_who_waits(DlVm *vm, const char *alias, bool released)
{
        if (vm && vm->releasing && g_strcmp0(vm->releasing, alias) == 0)
                vm->released(released, vm->released_userdata);
}

void dl_vm_wait_for_stop(DlVm *vm, void (*stopped)(void *userdata), void *userdata)
{
        vm->stopped = stopped;
        vm->stopped_userdata = userdata;
}

void dl_vm_wait_for_release(DlVm *vm, const char *alias,
                            void (*released)(bool released, void *userdata), void *userdata)
{
        dl_set_string(&vm->releasing, alias);
        if (alias)
                dl_set_string(&vm->kept, NULL); /* it is wanted again */
        vm->released = released;
        vm->released_userdata = userdata;
}

/* ---- taking over --------------------------------------------------------------------------- */

static DlDomain *parse(const char *name, const char *xml)
{
        g_autoptr(GError) error = NULL;
        DlDomain *domain = xml ? dl_domain_parse(xml, &error) : NULL;

        if (xml && !domain)
                dl_warning("The XML of VM %s cannot be used: %s", name, error->message);
        else if (domain && domain->metadata_broken)
                dl_warning(
                        "The metadata of VM %s cannot be understood; its attachments are unknown",
                        name);
        return domain;
}

static void replace_domain(DlDomain **domain, DlDomain *with)
{
        dl_domain_free(*domain);
        *domain = with;
}

/* What cannot be parsed says nothing: then what was known before stays, rather than that a disk
 * would be taken for gone. Whether it could. */
static bool take_domain(DlVm *vm, DlDomain **domain, const char *xml)
{
        DlDomain *parsed = parse(vm->name, xml);

        if (xml && !parsed)
                return false;
        replace_domain(domain, parsed);
        return true;
}

static DlVm *vm_new(DlCore *core, const char *uuid)
{
        DlVm *vm = g_new0(DlVm, 1);

        dl_object_init(&vm->object, core, DL_KIND_VM, uuid);
        g_queue_init(&vm->queue);
        return vm;
}

void dl_vm_free(DlVm *vm)
{
        dl_virt_cancel(vm->look);
        dl_virt_cancel(vm->size_look);
        dl_domain_free(vm->live);
        dl_domain_free(vm->inactive);
        g_free(vm->name);
        g_free(vm->releasing);
        g_free(vm->kept);
        g_clear_pointer(&vm->named_guids, g_ptr_array_unref);
        g_clear_pointer(&vm->volumes, g_hash_table_unref);
        g_queue_clear(&vm->queue);
        dl_object_clear(&vm->object);
        g_free(vm);
}

static void announce_required_targets(DlVm *vm)
{
        g_autoptr(GPtrArray) targets = dl_vm_required_targets(vm);
        uint64_t mark = targets->len;

        for (unsigned i = 0; i < targets->len; i++)
                mark = mark * 31 + g_str_hash(((DlObject *)targets->pdata[i])->id);
        if (mark == vm->required_mark)
                return;
        vm->required_mark = mark;
        dl_object_changed(&vm->object, "RequiredTargets");
}

DlVm *dl_vm_merge(DlCore *core, const DlVirtDomain *domain)
{
        DlVm *vm = DL_LOOKUP_VM(core, domain->uuid);
        bool is_new = !vm;

        if (is_new)
                vm = vm_new(core, domain->uuid);
        else if (domain->asked < vm->asked)
                return vm; /* answers may overtake each other: this one was read before */
        vm->asked = domain->asked;
        bool renamed = dl_set_string(&vm->name, domain->name);
        if (renamed)
                dl_object_changed(&vm->object, "Name");
        if (domain->state != vm->state) {
                vm->state = domain->state;
                dl_object_changed(&vm->object, "State");
                dl_object_changed(&vm->object, "Host");
        }
        vm->persistent = domain->persistent;
        if (vm->autostart != domain->autostart) {
                vm->autostart = domain->autostart;
                dl_object_changed(&vm->object, "Autostart");
        }
        bool had_foreign = dl_foreign_use_has_any(vm);
        vm->unreadable = !take_domain(vm, &vm->live, domain->live_xml);
        (void)take_domain(vm, &vm->inactive, domain->inactive_xml);
        if (is_new)
                dl_object_publish(&vm->object);

        dl_attachments_merge(vm);
        dl_foreign_use_take_volumes(vm, domain->volumes);
        dl_foreign_use_resolve(vm);
        if (renamed || had_foreign || dl_foreign_use_has_any(vm))
                dl_luns_update(core);
        announce_required_targets(vm);
        dl_targets_update(core);
        /* Stopped, or an event was lost: it is gone all the same. */
        if (vm->releasing && !vm->unreadable && !dl_vm_find_disk(vm->live, vm->releasing))
                tell_who_waits(vm, vm->releasing, true);
        if (vm->stopped && !dl_vm_is_active(vm))
                vm->stopped(vm->stopped_userdata);
        return vm;
}

void dl_vm_gone(DlVm *vm)
{
        DlCore *core = vm->object.core;
        bool had_foreign = dl_foreign_use_has_any(vm);

        replace_domain(&vm->live, NULL);
        replace_domain(&vm->inactive, NULL);
        vm->state = DL_VIRT_SHUTOFF;
        dl_attachments_merge(vm);
        dl_foreign_use_resolve(vm);
        if (vm->stopped)
                vm->stopped(vm->stopped_userdata);
        tell_who_waits(vm, vm->releasing, true);
        dl_object_unpublish(&vm->object);
        dl_virt_cancel(vm->look);
        dl_virt_cancel(vm->size_look);
        vm->look = vm->size_look = NULL;
        if (!dl_vm_is_wanted(vm))
                dl_vm_free(vm); /* else the last operation that waits for it does */
        if (had_foreign)
                dl_luns_update(core);
        dl_recover_forget(core);
        dl_targets_update(core);
}

/* ---- following libvirt --------------------------------------------------------------------- */

static void on_looked(const DlVirtDomain *domain, const GError *error, void *userdata)
{
        DlVm *vm = userdata;

        vm->look = NULL;
        if (dl_error_code(error) == DL_ERROR_VM_NOT_FOUND) {
                dl_vm_gone(vm);
                return;
        }
        if (error)
                dl_notice("VM %s could not be looked at: %s", vm->name, error->message);
        else
                dl_vm_merge(vm->object.core, domain);
        if (vm->look_again) {
                vm->look_again = false;
                dl_vm_look(vm);
        } else
                dl_recover_vm(vm);
}

/* Many events come at once; one look is under way at a time. */
void dl_vm_look(DlVm *vm)
{
        if (vm->looks_held)
                vm->look_held_back = true;
        else if (vm->look)
                vm->look_again = true;
        else
                vm->look = dl_virt_get_domain(vm->object.core->virt, vm->object.id, on_looked, vm);
}

void dl_vm_hold_looks(DlVm *vm)
{
        vm->looks_held = true;
}

void dl_vm_release_looks(DlVm *vm)
{
        bool wanted = vm->look_held_back;

        vm->looks_held = vm->look_held_back = false;
        if (wanted)
                dl_vm_look(vm);
}

static void on_found(const DlVirtDomain *domain, const GError *error, void *userdata)
{
        if (domain)
                dl_vm_merge(userdata, domain);
}

static void on_domain_changed(const char *uuid, void *userdata)
{
        DlCore *core = userdata;
        DlVm *vm = DL_LOOKUP_VM(core, uuid);

        if (vm)
                dl_vm_look(vm);
        else
                dl_virt_get_domain(core->virt, uuid, on_found, core);
}

static void on_listed(DlVirtDomain *const *domains, size_t n_domains, const GError *error,
                      void *userdata)
{
        DlCore *core = userdata;
        g_autoptr(GPtrArray) before = dl_core_list(core, DL_KIND_VM);
        g_autoptr(GHashTable) found = g_hash_table_new(g_str_hash, g_str_equal);

        if (error) {
                dl_warning("The VMs could not be listed: %s", error->message);
                if (dl_error_code(error) == DL_ERROR_TIMED_OUT && dl_virt_is_connected(core->virt))
                        dl_virt_list_domains(core->virt, on_listed, core);
                dl_core_is_ready(core);
                return;
        }
        for (size_t i = 0; i < n_domains; i++)
                g_hash_table_add(found, domains[i]->uuid);
        for (unsigned i = 0; i < before->len; i++) {
                DlVm *vm = before->pdata[i];

                if (!g_hash_table_contains(found, vm->object.id))
                        dl_vm_look(vm); /* gone, or newer than the list */
        }
        for (size_t i = 0; i < n_domains; i++)
                dl_vm_merge(core, domains[i]);
        if (!core->vms_known) {
                core->vms_known = true;
                dl_object_changed(&dl_core_local_host(core)->object, "State");
        }
        dl_recover(core);
        dl_targets_update(core);
        dl_core_is_ready(core);
}

static int on_second_look(sd_event_source *source, uint64_t usec, void *userdata)
{
        DlCore *core = userdata;

        if (dl_virt_is_connected(core->virt))
                dl_virt_list_domains(core->virt, on_listed, core);
        return 0;
}

/* A libvirtd that has just started takes up the guests that it finds. One that ends meanwhile is
 * still running in the first list, and its end may be told to nobody. */
static void look_again_later(DlCore *core)
{
        core->second_look = sd_event_source_disable_unref(core->second_look);
        (void)sd_event_add_time_relative(core->event, &core->second_look, CLOCK_MONOTONIC,
                                         SECOND_LOOK_USEC, 0, on_second_look, core);
}

static void on_connected(void *userdata)
{
        DlCore *core = userdata;

        dl_object_changed(&dl_core_local_host(core)->object, "State");
        dl_virt_list_domains(core->virt, on_listed, core);
        look_again_later(core);
}

/* The VMs run on, and what was known of them stays until there is news. */
static void on_disconnected(void *userdata)
{
        DlCore *core = userdata;

        dl_object_changed(&dl_core_local_host(core)->object, "State");
        dl_core_is_ready(core);
}

void dl_vm_keep_plugged(DlVm *vm, const char *alias)
{
        dl_set_string(&vm->kept, alias);
}

static void plug_again(DlVm *vm, const char *alias)
{
        static const DlRequest nobody = {0};
        g_autoptr(GPtrArray) attachments = dl_vm_attachments(vm);
        g_autoptr(GError) error = NULL;

        if (g_strcmp0(vm->kept, alias) != 0)
                return;
        dl_set_string(&vm->kept, NULL);
        for (unsigned i = 0; i < attachments->len; i++) {
                g_autofree char *own = dl_disk_alias(
                        ((DlAttachment *)attachments->pdata[i])->meta->vdisk);

                if (strcmp(own, alias) == 0 &&
                    !dl_flow_plug(attachments->pdata[i], &nobody, &error))
                        dl_warning("VM %s: the disk that its guest released is not plugged in "
                                   "again: %s",
                                   vm->name, error->message);
        }
}

static void on_device_removed(const char *uuid, const char *alias, void *userdata)
{
        DlVm *vm = DL_LOOKUP_VM((DlCore *)userdata, uuid);

        if (vm)
                plug_again(vm, alias);
        tell_who_waits(DL_LOOKUP_VM((DlCore *)userdata, uuid), alias, true);
        on_domain_changed(uuid, userdata);
}

static void on_device_removal_failed(const char *uuid, const char *alias, void *userdata)
{
        tell_who_waits(DL_LOOKUP_VM((DlCore *)userdata, uuid), alias, false);
}

static void on_io_error(const char *uuid, const char *alias, const char *action, void *userdata)
{
        DlVm *vm = DL_LOOKUP_VM((DlCore *)userdata, uuid);
        g_autoptr(GPtrArray) attachments = vm ? dl_vm_attachments(vm) : NULL;
        g_autoptr(GError) error = g_error_new(DL_ERROR, DL_ERROR_LIBVIRT_ERROR,
                                              "I/O error; the VM's policy was: %s", action);

        for (unsigned i = 0; attachments && i < attachments->len; i++) {
                DlAttachment *a = attachments->pdata[i];
                g_autofree char *own = dl_disk_alias(a->meta->vdisk);

                if (strcmp(own, alias) == 0 && dl_last_error_set(&a->last_error, error))
                        dl_object_changed(&a->object, "LastError");
        }
}

/* ---- operations ---------------------------------------------------------------------------- */

static void on_looked_for_operation(const DlVirtDomain *domain, const GError *error, void *userdata)
{
        DlOperation *op = userdata;

        if (domain) {
                dl_vm_merge(op->job.object.core, domain);
                if (op->vm->object.published && op->vm->unreadable)
                        dl_op_failf(op, DL_ERROR_LIBVIRT_ERROR,
                                    "What libvirt says of VM %s cannot be understood; see the log",
                                    op->vm->name);
                else if (op->vm->object.published)
                        dl_op_next(op);
                else
                        dl_op_failf(op, DL_ERROR_VM_NOT_FOUND,
                                    "VM %s was undefined and defined anew meanwhile; try again",
                                    op->vm->name);
                return;
        }
        if (dl_error_code(error) == DL_ERROR_VM_NOT_FOUND && op->vm->object.published)
                dl_vm_gone(op->vm);
        dl_op_fail(op, g_error_copy(error));
}

void dl_step_look(DlOperation *op)
{
        op->vm->looks_held = op->vm->look_held_back = false; /* this look sees it all */
        dl_op_wait(op,
                   dl_virt_get_domain(op->job.object.core->virt, op->vm->object.id,
                                      on_looked_for_operation, op),
                   (void (*)(void *))dl_virt_cancel);
}

const DlVirtEvents dl_vm_events = {
        .connected = on_connected,
        .disconnected = on_disconnected,
        .domain_changed = on_domain_changed,
        .device_removed = on_device_removed,
        .device_removal_failed = on_device_removal_failed,
        .io_error = on_io_error,
};
