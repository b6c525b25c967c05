/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Attaching a LUN to a VM: by GUID, by vDisk, or by a direct LUN object that names a target which
 * may not be known yet. Loop thread only.
 */

#include "core/model/attachment-index.h"
#include "core/steps/connect.h"
#include "core/steps/disk-place.h"
#include "core/steps/disk-work.h"
#include "core/model/contents.h"
#include "core/steps/image-rules.h"
#include "core/model/foreign-use.h"
#include "core/model/holders.h"
#include "core/model/lun-kernel.h"
#include "core/model/storage-domain.h"
#include "core/steps/vdisk-create.h"
#include "util/uuid.h"

#include <string.h>

#define OPERATION_TIMEOUT_USEC (120 * G_USEC_PER_SEC)
#define SHOWN_MAX              4 /* LUNs that an error names */

/* What the device dictionary said, beyond what the attachment keeps. */
typedef struct Wish {
        int plug; /* -1: if the VM runs */
        char *alias, *description;
        char *address; /* of the inline LUN's portal; NULL: no inline LUN */
        uint16_t port;
        DlChap chap;
        DlTarget *inline_target; /* acquired */
        bool made_target, made_portal, made_vdisk;
        bool set_credentials;
        DlChap before; /* credentials of the target */
} Wish;

static Wish *wish(DlOperation *op)
{
        return dl_disk_work(op)->extra;
}

static void wish_free(void *p)
{
        Wish *w = p;

        if (w->inline_target)
                dl_target_release(w->inline_target);
        dl_chap_clear(&w->chap);
        dl_chap_clear(&w->before);
        g_free(w->alias);
        g_free(w->description);
        g_free(w->address);
        g_free(w);
}

/* ---- an inline LUN's target ---------------------------------------------------------------- */

static void on_inline_connected(const GError *error, void *userdata)
{
        if (error)
                dl_op_fail(userdata, g_error_copy(error));
        else
                dl_op_next(userdata);
}

static void adopt_inline(DlOperation *op)
{
        DlDiskWork *work = dl_disk_work(op);
        Wish *w = wish(op);
        g_autoptr(GError) error = NULL;

        if (!w->address) {
                dl_op_next(op);
                return;
        }
        w->made_target = DL_LOOKUP_TARGET(op->core, work->meta->iqn) == NULL;
        DlTarget *target = dl_target_ensure(op->core, work->meta->iqn, &error);
        if (!target) {
                dl_op_fail(op, g_steal_pointer(&error));
                return;
        }
        w->inline_target = target;
        dl_target_acquire(target);
        w->made_portal = !dl_target_find_portal(target, w->address, w->port);
        dl_target_add_portal(target, w->address, w->port, 0);
        if (w->chap.user) {
                w->set_credentials = true;
                dl_chap_copy(&w->before, &(DlChap){target->user, target->secret,
                                                   target->target_user, target->target_secret});
                dl_target_set_credentials(target, w->chap.user, w->chap.secret, w->chap.target_user,
                                          w->chap.target_secret);
                dl_persist_secrets(target, NULL, NULL);
        }
        dl_op_next(op);
}

static void connect_inline(DlOperation *op)
{
        DlTarget *target = wish(op)->inline_target;

        if (target)
                dl_op_wait(op, dl_connect_start(target, NULL, 0, on_inline_connected, op),
                           (void (*)(void *))dl_connect_cancel);
        else
                dl_op_next(op);
}

/* The scratch copy gets it. */
static void try_inline(DlOperation *op)
{
        const Wish *w = wish(op);
        const char *iqn = dl_disk_work(op)->meta->iqn;
        DlTarget *target = w->address ? DL_LOOKUP_TARGET(op->core, iqn) : NULL;

        if (w->address && (!target || !dl_target_find_portal(target, w->address, w->port)))
                dl_op_would(op, "add the portal %s:%u of target %s", w->address, w->port, iqn);
        if (w->chap.user)
                dl_op_would(op, "keep the credentials given for target %s", iqn);
        adopt_inline(op);
}

/* Others use the target: it is made what it was before. */
static void restore_target(DlOperation *op, const Wish *w, DlTarget *target)
{
        DlPortal *portal = w->made_portal ? dl_target_find_portal(target, w->address, w->port)
                                          : NULL;

        if (portal) {
                dl_op_report(op, "Removed the portal %s:%u of target %s again", w->address, w->port,
                             target->object.id);
                dl_target_remove_portal(target, portal);
        }
        if (!w->set_credentials || target->secret != w->chap.secret)
                return; /* somebody has set others since */
        dl_op_report(op, "Target %s has its former credentials again", target->object.id);
        dl_target_set_credentials(target, w->before.user, w->before.secret, w->before.target_user,
                                  w->before.target_secret);
        dl_persist_secrets(target, NULL, NULL);
}

/* A target that this operation brought and nobody else has used since goes again. */
static void undo_inline(DlOperation *op)
{
        Wish *w = wish(op);
        DlTarget *target = w->inline_target;

        w->inline_target = NULL;
        if (target) {
                dl_target_release(target);
                if (w->made_target && target->n_jobs == 0 && !dl_target_is_managed(target)) {
                        dl_op_report(op, "Forgot target %s again", target->object.id);
                        dl_target_remove(target);
                } else if (!w->made_target)
                        restore_target(op, w, target);
        }
        dl_op_next(op);
}

/* ---- what depends on the VM and on other attachments --------------------------------------- */

static bool check_sharing(DlOperation *op, const DlLun *lun, GError **error)
{
        const DlDomainAttachment *meta = dl_disk_work(op)->meta;
        g_autoptr(GPtrArray) all = dl_attachments_of(op->core, DL_BELONGS_TO_LUN, meta->guid);

        for (unsigned i = 0; i < all->len; i++) {
                const DlAttachment *a = all->pdata[i];

                if (a->vm == op->vm) {
                        g_set_error(error, DL_ERROR, DL_ERROR_ALREADY_ATTACHED,
                                    "%s is attached to VM %s already", meta->guid, op->vm->name);
                        return false;
                }
                if (a->meta->image || meta->image) /* a moment of it, which does not change */
                        continue;
                if (!a->meta->shared || !meta->shared) {
                        g_set_error(
                                error, DL_ERROR, DL_ERROR_NOT_SHAREABLE,
                                "%s is attached to VM %s; every attachment of it must be shared",
                                meta->guid, a->vm->name);
                        return false;
                }
        }
        return dl_image_check_attach(dl_vdisk_of_guid(op->core, meta->guid), meta, error) &&
               (op->force || !lun ||
                (dl_claim_check_unclaimed(lun, error) && dl_foreign_use_check(lun, error) &&
                 dl_lun_check_host_use(lun, error)));
}

/* The rules, and a place in the VM. */
static bool check_fit(DlOperation *op, GError **error)
{
        DlDomainAttachment *meta = dl_disk_work(op)->meta;
        g_autoptr(GPtrArray) others = NULL;
        DlDiskVm vm = dl_disk_work_vm(op, &others);

        return dl_disk_rules_check_vm(meta, &vm, error) && dl_disk_place_index(meta, &vm, error) &&
               (meta->address ? dl_disk_place_check(meta, &vm, true, error)
                              : dl_disk_place_choose(meta, &vm, error));
}

static void complete_meta(DlOperation *op)
{
        DlDiskWork *work = dl_disk_work(op);
        DlDomainAttachment *meta = work->meta;
        char id[DL_UUID_SIZE];

        dl_uuid_for_guid(meta->guid, id);
        dl_set_string(&meta->vdisk, id);
        dl_set_string(&work->vdisk, id);
        g_free(work->disk_alias);
        work->disk_alias = dl_disk_alias(id);
        dl_uuid_for_attachment(op->vm->object.id, meta->vdisk, id);
        dl_set_string(&meta->id, id);
        dl_image_normalize(DL_LOOKUP_VDISK(op->core, meta->vdisk), meta);
        g_free(meta->serial);
        meta->serial = dl_disk_rules_serial(meta);
}

static bool check_plug(DlOperation *op, GError **error)
{
        bool active = dl_vm_is_active(op->vm);

        dl_disk_work(op)->plug = wish(op)->plug == 1 || (wish(op)->plug < 0 && active);
        if (active || !dl_disk_work(op)->plug)
                return true;
        g_set_error(error, DL_ERROR, DL_ERROR_VM_NOT_RUNNING,
                    "VM %s does not run; attach the disk without plug, it will start with it",
                    op->vm->name);
        return false;
}

static void look_for_others(DlOperation *op)
{
        const DlLun *lun = DL_LOOKUP_LUN(op->core, dl_disk_work(op)->meta->guid);

        if (lun && !op->force)
                dl_foreign_use_look(op, lun);
        else
                dl_op_next(op);
}

/* A direct LUN object names the target: the LUN has to be there, wherever else it is. */
static void fail_not_there(DlOperation *op)
{
        const DlDomainAttachment *meta = dl_disk_work(op)->meta;
        const DlTarget *target = DL_LOOKUP_TARGET(op->core, meta->iqn);
        g_autoptr(GPtrArray) luns = target ? dl_target_luns(target) : g_ptr_array_new();
        g_autoptr(GString) shown = g_string_new(NULL);

        for (unsigned i = 0; i < MIN(luns->len, SHOWN_MAX); i++)
                g_string_append_printf(shown, "%s%s", i > 0 ? ", " : "",
                                       ((DlObject *)luns->pdata[i])->id);
        dl_op_failf(
                op, DL_ERROR_LUN_NOT_VISIBLE,
                "Target %s does not show %s to this initiator, but %s%s; correct the id, or map "
                "the LUN on the storage array",
                meta->iqn, meta->guid, shown->len > 0 ? shown->str : "no LUN",
                luns->len > SHOWN_MAX ? " and others" : "");
}

static void check(DlOperation *op)
{
        DlDiskWork *work = dl_disk_work(op);
        const DlLun *lun = DL_LOOKUP_LUN(op->core, work->meta->guid);
        g_autoptr(GError) error = NULL;

        if (wish(op)->inline_target && (!lun || !dl_lun_find_path(lun, work->meta->iqn, NULL))) {
                fail_not_there(op);
                return;
        }
        if (!lun) {
                dl_op_failf(
                        op, DL_ERROR_LUN_NOT_FOUND,
                        "No LUN with GUID %s is known; discover its target and connect to it first",
                        work->meta->guid);
                return;
        }
        complete_meta(op);
        if (check_plug(op, &error) && check_sharing(op, lun, &error) && check_fit(op, &error))
                dl_op_next(op);
        else
                dl_op_fail(op, g_steal_pointer(&error));
}

/* ---- what is on the LUN -------------------------------------------------------------------- */

/* What is on a vDisk is its users' own. */
static bool must_be_empty(DlOperation *op)
{
        return !op->force && !DL_LOOKUP_VDISK(op->core, dl_disk_work(op)->vdisk);
}

static void check_content(void *userdata)
{
        DlOperation *op = userdata;
        const DlLun *lun = DL_LOOKUP_LUN(op->core, dl_disk_work(op)->meta->guid);
        g_autoptr(GError) error = NULL;

        if (!lun || !must_be_empty(op) || dl_lun_check_content(lun, &error))
                dl_op_next(op);
        else
                dl_op_fail(op, g_steal_pointer(&error));
}

/* Now: somebody may have begun to use it since it was looked at. */
static void look_at_content(DlOperation *op)
{
        DlCore *core = op->core;
        DlLun *lun = DL_LOOKUP_LUN(core, dl_disk_work(op)->meta->guid);

        if (lun && must_be_empty(op))
                dl_op_wait(op, dl_contents_wait(core, &lun, 1, check_content, op),
                           (void (*)(void *))dl_contents_cancel);
        else
                dl_op_next(op);
}

/* ---- the vDisk ----------------------------------------------------------------------------- */

static void on_vdisk(DlVDisk *vdisk, bool created, const GError *error, void *userdata)
{
        DlOperation *op = userdata;

        if (!vdisk) {
                dl_op_fail(op, g_error_copy(error));
                return;
        }
        wish(op)->made_vdisk = created;
        dl_op_concerns(op, DL_KIND_VDISK, vdisk->object.id);
        dl_op_next(op);
}

static void ensure_vdisk(DlOperation *op)
{
        DlDiskWork *work = dl_disk_work(op);
        DlCore *core = op->core;
        DlVDisk *vdisk = DL_LOOKUP_VDISK(core, work->vdisk);

        if (vdisk)
                on_vdisk(vdisk, false, NULL, op);
        else
                dl_vdisk_create(core, work->meta->guid, wish(op)->alias, wish(op)->description,
                                on_vdisk, op);
}

static void on_vdisk_removed(const GError *error, void *userdata)
{
        if (error)
                dl_op_report(userdata, "The vDisk stays: %s", error->message);
        else
                dl_op_report(userdata, "Deleted the vDisk %s again", dl_disk_work(userdata)->vdisk);
        dl_op_next(userdata);
}

static void undo_vdisk(DlOperation *op)
{
        DlVDisk *vdisk = DL_LOOKUP_VDISK(op->core, dl_disk_work(op)->vdisk);

        if (vdisk && wish(op)->made_vdisk && !dl_disk_work(op)->leave_to_recovery)
                dl_vdisk_remove(vdisk, on_vdisk_removed, op);
        else
                dl_op_next(op);
}

static void tell_vdisk(DlOperation *op)
{
        const DlDiskWork *work = dl_disk_work(op);

        if (!DL_LOOKUP_VDISK(op->core, work->vdisk))
                dl_op_would(op, "make the vDisk %s of %s", work->vdisk, work->meta->guid);
        dl_op_next(op);
}

/* Another operation may have been faster: from here to the intent nothing is waited for. */
static void check_again(DlOperation *op)
{
        const DlLun *lun = DL_LOOKUP_LUN(op->core, dl_disk_work(op)->meta->guid);
        g_autoptr(GError) error = NULL;

        if (check_sharing(op, lun, &error))
                dl_op_next(op);
        else
                dl_op_fail(op, g_steal_pointer(&error));
}

/* ---- the flow ------------------------------------------------------------------------------ */

static void fail_detached(DlOperation *op)
{
        dl_op_failf(op, DL_ERROR_NOT_ATTACHED, "The disk was detached from VM %s by somebody else",
                    op->vm->name);
}

static void check_attached(DlOperation *op)
{
        if (dl_disk_work_attachment(op))
                dl_op_next(op);
        else
                fail_detached(op);
}

/* Last: the attachment may go in any wait. */
static void give_attachment(DlOperation *op)
{
        DlAttachment *a = dl_disk_work_attachment(op);

        if (!a) {
                dl_disk_work(op)->leave_to_recovery = true; /* there is nothing left to undo */
                fail_detached(op);
                return;
        }
        dl_op_concerns(op, DL_KIND_ATTACHMENT, a->object.id);
        dl_op_result(op, a);
        dl_op_next(op);
}

static void tell_attachment(DlOperation *op)
{
        dl_op_would_give(op, DL_KIND_ATTACHMENT, dl_disk_work(op)->meta->id);
        dl_op_next(op);
}

static const DlStep attach_steps[] = {
        {"looking at the VM", dl_step_look, .dry = dl_step_look},
        {"connecting to the target", adopt_inline, undo_inline, .dry = try_inline},
        {"connecting to the target", connect_inline, .dry = connect_inline},
        {"checking", look_for_others, .dry = look_for_others},
        {"checking", check, .dry = check},
        {"proving the LUN", dl_step_prove, dl_undo_prove, .dry = dl_step_prove},
        {"looking at the content", look_at_content, .dry = look_at_content},
        {"attaching", check_again, .dry = check_again},
        {"attaching", dl_op_next, dl_undo_look, .dry = dl_op_next},
        {"attaching", dl_step_begin, dl_undo_begin, .firm = true, .dry = dl_dry_begin},
        {"attaching", ensure_vdisk, undo_vdisk, .dry = tell_vdisk},
        {"attaching", dl_step_give_secret, .dry = dl_dry_give_secret},
        {"attaching", dl_step_write_metadata, dl_step_remove_metadata,
         .dry = dl_dry_write_metadata},
        {"attaching", dl_step_add_controller, .dry = dl_dry_add_controller},
        {"attaching", dl_step_attach_config, dl_undo_attach_config, .dry = dl_dry_attach_config},
        {"plugging", dl_step_plug_controller, .dry = dl_op_next},
        {"plugging", dl_step_attach_live, .dry = dl_dry_attach_live},
        {"looking at the VM", dl_step_look_at_plugged, .dry = dl_op_next},
        {"finishing", check_attached, .dry = dl_op_next},
        {"finishing", dl_step_keep_address, .dry = dl_op_next},
        {"finishing", dl_step_settle, .dry = dl_op_next},
        {"finishing", give_attachment, .dry = tell_attachment},
};

static DlDomainAttachment *meta_of_spec(const DlDeviceSpec *spec, const char *guid)
{
        DlDomainAttachment *meta = g_new0(DlDomainAttachment, 1);

        *meta = (DlDomainAttachment){
                .guid = g_strdup(guid),
                .iface = g_strdup(spec->iface ? spec->iface : "virtio"),
                .device = g_strdup(spec->device ? spec->device : "disk"),
                .iqn = g_strdup(spec->inline_lun.iqn),
                .image = g_strdup(spec->image),
                .index = spec->index,
                .boot_order = spec->boot_order,
                .propagate_errors = dl_disk_rules_propagates_errors(spec),
                .shared = spec->shared,
                .optional = spec->optional,
                .readonly = spec->readonly,
                .discard = spec->discard,
                .reservations = spec->reservations,
                .data_path = g_strdup(spec->data_path ? spec->data_path : "auto"),
                .address = spec->address ? dl_disk_place_whole(spec->address) : NULL,
        };
        return meta;
}

static Wish *wish_of_spec(const DlDeviceSpec *spec)
{
        Wish *w = g_new0(Wish, 1);

        w->plug = spec->plug;
        w->alias = g_strdup(spec->alias);
        w->description = g_strdup(spec->description);
        if (spec->inline_lun.iqn) {
                w->address = g_strdup(spec->inline_lun.address);
                w->port = spec->inline_lun.port;
                dl_chap_copy(&w->chap, &spec->inline_lun.chap);
        }
        return w;
}

/* The GUID that the spec names in one of three ways. NULL: error is set. */
static const char *guid_of_spec(DlCore *core, const DlDeviceSpec *spec, GError **error)
{
        const DlVDisk *vdisk;

        if (spec->guid)
                return spec->guid;
        if (spec->vdisk) {
                vdisk = DL_LOOKUP_VDISK(core, spec->vdisk);
                if (vdisk)
                        return vdisk->guid;
                g_set_error(error, DL_ERROR, DL_ERROR_LUN_NOT_FOUND, "There is no vDisk %s",
                            spec->vdisk);
                return NULL;
        }
        if (!dl_check_iqn(spec->inline_lun.iqn, error) ||
            !dl_check_address(spec->inline_lun.address, spec->inline_lun.port, error))
                return NULL;
        return spec->inline_lun.guid;
}

DlJob *dl_flow_attach_disk(DlVm *vm, const DlRequest *request, const DlDeviceSpec *device,
                           GError **error)
{
        DlCore *core = vm->object.core;
        const char *guid;
        DlDiskWork *work;
        DlOperation *op;

        if (!dl_disk_rules_check_spec(device, error))
                return NULL;
        guid = guid_of_spec(core, device, error);
        if (!guid)
                return NULL;

        g_autoptr(DlDomainAttachment) meta = meta_of_spec(device, guid);
        work = dl_disk_work_new(DL_INTENT_ATTACH, NULL, meta);
        work->extra = wish_of_spec(device);
        work->free_extra = wish_free;
        op = DL_OP_NEW(core, "attach", request, attach_steps, OPERATION_TIMEOUT_USEC, work,
                       dl_disk_work_free, error);
        if (op)
                dl_op_on_vm(op, vm);
        return (DlJob *)op;
}
