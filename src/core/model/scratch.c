/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The copy that a dry run looks at. Loop thread only. */

#include "core/model/scratch.h"
#include "core/model/contents.h"

static void ignore_object(DlObject *object, void *userdata) {}

static void ignore_change(DlObject *object, const char *const *properties, void *userdata) {}

static void copy_last_error(DlLastError *to, const DlLastError *from)
{
        *to = (DlLastError){.code = from->code, .message = g_strdup(from->message)};
}

static void copy_portal(DlTarget *to, const DlPortal *from)
{
        DlPortal *portal = dl_target_add_portal(to, from->address, from->port, from->tpgt);

        portal->way = g_strdupv(from->way);
        portal->state = from->state;
        copy_last_error(&portal->last_error, &from->last_error);
}

static void copy_target(DlCore *scratch, const DlTarget *from)
{
        DlTarget *to = dl_target_new(scratch, from->object.id);

        for (unsigned i = 0; i < from->portals->len; i++)
                copy_portal(to, from->portals->pdata[i]);
        dl_target_set_credentials(to, from->user, from->secret, from->target_user,
                                  from->target_secret);
        to->state = from->state;
        copy_last_error(&to->last_error, &from->last_error);
        to->pinned = from->pinned;
        to->held_until_usec = from->held_until_usec;
        to->was_used = from->was_used;
        to->was_managed = from->was_managed;
        to->n_jobs = from->n_jobs;
        to->users_mark = from->users_mark;
        to->secret_given = from->secret_given;
        to->by_kernel = from->by_kernel;
        to->data_path_why = g_strdup(from->data_path_why);
        to->interfaces = g_strdupv(from->interfaces);
        to->foreign = from->foreign;
        to->has_sessions = from->has_sessions;
        dl_object_publish(&to->object);
}

static void copy_path(DlLun *to, const DlPath *from)
{
        DlPath *path = g_memdup2(from, sizeof *from);

        path->iqn = g_strdup(from->iqn);
        path->address = g_strdup(from->address);
        path->serial = g_strdup(from->serial);
        path->fingerprint = g_strdup(from->fingerprint);
        copy_last_error(&path->last_error, &from->last_error);
        dl_lun_add_path(to, path);
}

/* Not its content: who must know looks at it. */
static void copy_lun(DlCore *scratch, const DlLun *from)
{
        DlLun *to = dl_lun_new(scratch, from->object.id);

        for (unsigned i = 0; i < from->paths->len; i++)
                copy_path(to, from->paths->pdata[i]);
        dl_set_string(&to->reason, from->reason);
        dl_set_string(&to->vendor, from->vendor);
        dl_set_string(&to->product, from->product);
        dl_set_string(&to->serial, from->serial);
        dl_set_string(&to->revision, from->revision);
        g_strfreev(to->holders);
        to->holders = g_strdupv(from->holders);
        to->status = from->status;
        to->capacity = from->capacity;
        to->logical_block_size = from->logical_block_size;
        to->physical_block_size = from->physical_block_size;
        to->discard_max_bytes = from->discard_max_bytes;
        to->device_type = from->device_type;
        to->write_protected = from->write_protected;
        to->is_nvme = from->is_nvme;
        dl_object_publish(&to->object);
}

DlCore *dl_scratch_new(DlCore *core)
{
        DlCore *scratch = g_new(DlCore, 1);
        GHashTableIter iter;
        gpointer object;

        *scratch = (DlCore){
                .original = core,
                .event = core->event,
                .settings = core->settings,
                .observer = {.added = ignore_object,
                             .removed = ignore_object,
                             .changed = ignore_change},
                .iscsi = core->iscsi,
                .virt = core->virt,
                .block_devices = core->block_devices,
                .are_devices_known = core->are_devices_known,
                .initiator_name = core->initiator_name,
                .helper = core->helper,
                .sysfs = core->sysfs,
                .intents = core->intents,
                .content_workers = core->content_workers,
                .claims = core->claims,
        };
        scratch->contents = dl_contents_new(scratch);
        dl_core_objects_init(scratch);
        for (int kind = 0; kind < _DL_KIND_MAX; kind++)
                if (kind != DL_KIND_TARGET && kind != DL_KIND_LUN) {
                        g_hash_table_unref(scratch->objects[kind]);
                        scratch->objects[kind] = g_hash_table_ref(core->objects[kind]);
                }
        for (unsigned what = 0; what < G_N_ELEMENTS(core->attachments_of); what++) {
                g_hash_table_unref(scratch->attachments_of[what]);
                scratch->attachments_of[what] = g_hash_table_ref(core->attachments_of[what]);
        }
        g_hash_table_iter_init(&iter, core->objects[DL_KIND_TARGET]);
        while (g_hash_table_iter_next(&iter, NULL, &object))
                copy_target(scratch, object);
        g_hash_table_iter_init(&iter, core->objects[DL_KIND_LUN]);
        while (g_hash_table_iter_next(&iter, NULL, &object))
                copy_lun(scratch, object);
        return scratch;
}

static void free_all(DlCore *scratch, DlKind kind, GDestroyNotify free_one)
{
        g_autoptr(GPtrArray) list = dl_core_list(scratch, kind);

        g_hash_table_remove_all(scratch->objects[kind]);
        for (unsigned i = 0; i < list->len; i++)
                free_one(list->pdata[i]);
}

void dl_scratch_free(DlCore *scratch)
{
        if (!scratch)
                return;
        dl_contents_free(g_steal_pointer(&scratch->contents));
        free_all(scratch, DL_KIND_TARGET, (GDestroyNotify)dl_target_free);
        free_all(scratch, DL_KIND_LUN, (GDestroyNotify)dl_lun_free);
        dl_core_objects_clear(scratch);
        g_free(scratch);
}
