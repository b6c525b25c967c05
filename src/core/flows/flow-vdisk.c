/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Making, changing and deleting vDisks. Loop thread only. */

#include "core/records/journal.h"
#include "core/steps/image-work.h"
#include "core/steps/vdisk-create.h"
#include "util/uuid.h"

#include <string.h>

/* Names are for people: long enough for any, short enough for every list. */
#define TEXT_MAX 4096

typedef struct VDiskWork {
        char *guid; /* create */
        char *id;   /* update, delete */
        char *alias, *description;
} VDiskWork;

static void work_free(void *p)
{
        VDiskWork *work = p;

        g_free(work->guid);
        g_free(work->id);
        g_free(work->alias);
        g_free(work->description);
        g_free(work);
}

static bool check_text(const char *name, const char *text, GError **error)
{
        if (!text || strlen(text) <= TEXT_MAX)
                return true;
        g_set_error(error, DL_ERROR, DL_ERROR_INVALID_ARGS, "%s is longer than %d bytes", name,
                    TEXT_MAX);
        return false;
}

static DlOperation *start(DlCore *core, const char *operation, const DlRequest *request,
                          const DlStep *steps, unsigned n_steps, const char *guid, const char *id,
                          const char *alias, const char *description, GError **error)
{
        VDiskWork *work;

        if (!check_text("alias", alias, error) || !check_text("description", description, error))
                return NULL;
        work = g_new(VDiskWork, 1);
        *work = (VDiskWork){
                .guid = g_strdup(guid),
                .id = g_strdup(id),
                .alias = g_strdup(alias),
                .description = g_strdup(description),
        };
        return dl_op_new(core, operation, request, steps, n_steps, 0, work, work_free, error);
}

/* ---- create -------------------------------------------------------------------------------- */

static void on_created(DlVDisk *vdisk, bool created, const GError *error, void *userdata)
{
        DlOperation *op = userdata;

        if (!vdisk) {
                dl_op_fail(op, g_error_copy(error));
                return;
        }
        dl_op_result(op, vdisk);
        op->job.result_created = created;
        dl_op_next(op);
}

static void check_create(DlOperation *op)
{
        const VDiskWork *work = op->data;
        DlCore *core = op->core;
        DlVDisk *vdisk = dl_vdisk_of_guid(core, work->guid);
        const DlLun *lun = DL_LOOKUP_LUN(core, work->guid);
        g_autoptr(GError) error = NULL;

        if (lun && !dl_lun_check_usable(lun, &error) &&
            dl_error_code(error) == DL_ERROR_GUID_NOT_UNIQUE) {
                dl_op_fail(op,
                           g_steal_pointer(&error)); /* nobody knows which of them it would be */
                return;
        }
        g_clear_error(&error);
        if (vdisk) {
                dl_op_result(op, vdisk);
                dl_op_finish(op);
        } else if (!lun || dl_lun_is_nameless(work->guid))
                dl_op_failf(
                        op, DL_ERROR_LUN_NOT_FOUND,
                        "No LUN with GUID %s is known; discover its target and connect to it first",
                        work->guid);
        else if (!dl_core_has_room(core, DL_KIND_VDISK, &error))
                dl_op_fail(op, g_steal_pointer(&error));
        else
                dl_op_next(op);
}

static void create(DlOperation *op)
{
        const VDiskWork *work = op->data;

        dl_vdisk_create(op->core, work->guid, work->alias, work->description, on_created, op);
}

static void tell_create(DlOperation *op)
{
        const VDiskWork *work = op->data;
        char id[DL_UUID_SIZE];

        dl_uuid_for_guid(work->guid, id);
        dl_op_would(op, "make the vDisk %s of %s", id, work->guid);
        dl_op_would_give(op, DL_KIND_VDISK, id);
        op->job.result_created = true;
        dl_op_next(op);
}

static const DlStep create_steps[] = {
        {"creating", check_create, .dry = check_create},
        {"creating", create, .firm = true, .dry = tell_create},
};

DlJob *dl_flow_create_vdisk(DlCore *core, const DlRequest *request, const char *guid,
                            const char *alias, const char *description, GError **error)
{
        return (DlJob *)start(core, "create-vdisk", request, create_steps,
                              G_N_ELEMENTS(create_steps), guid, NULL, alias, description, error);
}

/* ---- update -------------------------------------------------------------------------------- */

static void on_written(const GError *error, void *userdata)
{
        if (error)
                dl_op_fail(userdata, g_error_copy(error));
        else
                dl_op_next(userdata);
}

/* It may have been deleted since the client asked. NULL: the operation has failed. */
static DlVDisk *find(DlOperation *op)
{
        const VDiskWork *work = op->data;
        DlVDisk *vdisk = DL_LOOKUP_VDISK(op->core, work->id);

        if (!vdisk)
                dl_op_failf(op, DL_ERROR_LUN_NOT_FOUND, "The vDisk %s was deleted", work->id);
        return vdisk;
}

static void update(DlOperation *op)
{
        const VDiskWork *work = op->data;
        DlVDisk *vdisk = find(op);

        if (vdisk)
                dl_vdisk_write(vdisk, work->alias, work->description, on_written, op);
}

static void tell_update(DlOperation *op)
{
        const VDiskWork *work = op->data;
        const DlVDisk *vdisk = find(op);

        if (!vdisk)
                return;
        if (work->alias && strcmp(work->alias, vdisk->alias) != 0)
                dl_op_would(op, "change the alias of vDisk %s to '%s'", work->id, work->alias);
        if (work->description && strcmp(work->description, vdisk->description) != 0)
                dl_op_would(op, "change the description of vDisk %s", work->id);
        dl_op_next(op);
}

static const DlStep update_steps[] = {
        {"writing", update, .firm = true, .dry = tell_update},
};

DlJob *dl_flow_vdisk_update(DlVDisk *vdisk, const DlRequest *request, const char *alias,
                            const char *description, GError **error)
{
        DlOperation *op = start(vdisk->object.core, "update-vdisk", request, update_steps,
                                G_N_ELEMENTS(update_steps), NULL, vdisk->object.id, alias,
                                description, error);

        if (op)
                dl_op_concerns(op, DL_KIND_VDISK, vdisk->object.id);
        return (DlJob *)op;
}

/* ---- delete -------------------------------------------------------------------------------- */

static void check_delete(DlOperation *op)
{
        DlVDisk *vdisk = find(op);

        if (!vdisk)
                return;
        g_autoptr(GPtrArray) attachments = dl_vdisk_attachments(vdisk);
        if (attachments->len > 0)
                dl_op_failf(op, DL_ERROR_IN_USE, "vDisk %s is attached to VM %s; detach it first",
                            vdisk->alias, ((DlAttachment *)attachments->pdata[0])->vm->name);
        else if (dl_intent_is_open(op->core, vdisk->object.id))
                dl_op_failf(op, DL_ERROR_BUSY,
                            "vDisk %s is being attached, or what was begun on it is not settled "
                            "yet; try again later",
                            vdisk->alias);
        else if (vdisk->images->len > 1)
                dl_op_failf(op, DL_ERROR_IN_USE,
                            "vDisk %s has %u images, with what was written since its snapshots; "
                            "merge them, or revert it, first; force deletes them",
                            vdisk->alias, vdisk->images->len - 1);
        else
                dl_op_next(op);
}

static void delete (DlOperation *op)
{
        DlVDisk *vdisk = find(op);

        if (vdisk)
                dl_vdisk_remove(vdisk, on_written, op);
}

static void tell_delete(DlOperation *op)
{
        dl_op_would(op, "delete the vDisk %s; the data of its LUN stay",
                    ((const VDiskWork *)op->data)->id);
        dl_op_next(op);
}

static const DlStep delete_steps[] = {
        {"deleting", check_delete, .dry = check_delete},
        {"deleting", delete, .firm = true, .dry = tell_delete},
};

DlJob *dl_flow_vdisk_delete(DlVDisk *vdisk, const DlRequest *request, GError **error)
{
        if (request->force && vdisk->images->len > 1)
                return dl_flow_delete_with_images(vdisk, request, error);
        DlOperation *op = start(vdisk->object.core, "delete-vdisk", request, delete_steps,
                                G_N_ELEMENTS(delete_steps), NULL, vdisk->object.id, NULL, NULL,
                                error);

        if (op)
                dl_op_concerns(op, DL_KIND_VDISK, vdisk->object.id);
        return (DlJob *)op;
}
