/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Transactions on the row of a vDisk. Loop thread only. */

#include "core/steps/vdisk-create.h"
#include "core/steps/kill-point.h"

#include <string.h>

typedef struct Call {
        DlCore *core;
        char *id;       /* of the vDisk */
        DlVDisk *vdisk; /* the new one, not published yet */
        char *alias, *description;
        GPtrArray *images; /* DlImage */
        int64_t revision;  /* of the row that they were to replace */
        DlVDiskCreated created;
        DlPersisted done;
        void *userdata;
} Call;

static void call_free(void *p) /* with the core too, if the callback never came */
{
        Call *call = p;

        if (call->vdisk)
                dl_vdisk_free(call->vdisk);
        g_free(call->id);
        g_free(call->alias);
        g_free(call->description);
        g_clear_pointer(&call->images, g_ptr_array_unref);
        g_free(call);
}

/* A call lives in the core's set until its callback, which steals it. */
static Call *call_new(DlCore *core, const char *id, void *userdata)
{
        Call *call = g_new0(Call, 1);

        *call = (Call){.core = core, .id = g_strdup(id), .userdata = userdata};
        dl_core_keep_call(core, call, call_free);
        core->n_writes++;
        return call;
}

static const GError *store_error(bool succeeded, const GError *error, GError **own)
{
        if (error || succeeded)
                return error;
        *own = g_error_new(DL_ERROR, DL_ERROR_BUSY,
                           "The vDisk was changed by somebody else; try again");
        return *own;
}

/* What every transaction here ends with: the error, if it has one. */
static const GError *take_answer(Call *call, bool succeeded, const GError *error, GError **busy)
{
        dl_core_take_call(call->core, call);
        call->core->n_writes--;
        dl_kill_point("vdisk", 0, "committed");
        return store_error(succeeded, error, busy);
}

/* ---- create -------------------------------------------------------------------------------- */

static void on_created(bool succeeded, int64_t revision, const GError *error, void *userdata)
{
        Call *call = userdata;
        DlVDisk *vdisk = call->vdisk;

        dl_core_take_call(call->core, call);
        call->core->n_writes--;
        dl_kill_point("vdisk", 0, "committed");
        if (error || !succeeded) {
                DlVDisk *other = error ? NULL : DL_LOOKUP_VDISK(call->core, call->id);
                g_autoptr(GError) busy = NULL;

                if (!other)
                        error = store_error(false, error, &busy);
                call->created(other, false, error, call->userdata);
        } else {
                DlLun *lun = dl_vdisk_lun(vdisk);

                call->vdisk = NULL;
                vdisk->revision = revision;
                dl_object_publish(&vdisk->object);
                if (lun) {
                        dl_object_changed(&lun->object, "VDisk");
                        dl_lun_update(lun);
                }
                call->created(vdisk, true, NULL, call->userdata);
        }
        call_free(call);
}

/* Its name begins with the uid. */
static DlImage *image_of_file(const char *file)
{
        g_autofree char *uid = g_path_get_basename(file);

        uid[strcspn(uid, ".")] = '\0';
        return dl_image_new(dl_wallclock(), uid, file);
}

void dl_vdisk_create(DlCore *core, const char *guid, const char *alias, const char *description,
                     DlVDiskCreated done, void *userdata)
{
        dl_vdisk_restore(core, guid, alias, description, NULL, done, userdata);
}

void dl_vdisk_restore(DlCore *core, const char *guid, const char *alias, const char *description,
                      const char *const *files, DlVDiskCreated done, void *userdata)
{
        DlVDisk *vdisk = dl_vdisk_new(core, guid, alias, description);
        Call *call = call_new(core, vdisk->object.id, userdata);

        g_ptr_array_add(vdisk->images, dl_image_new(dl_wallclock(), vdisk->object.id, NULL));
        for (unsigned n = files ? g_strv_length((char **)files) : 0; n > 0; n--)
                g_ptr_array_add(vdisk->images, image_of_file(files[n - 1]));
        call->vdisk = vdisk;
        call->created = done;

        g_autofree char *key = dl_persist_vdisk_key(vdisk->object.id);
        g_autofree char *value = dl_persist_vdisk_value(vdisk);
        DlStoreCompare is_new = {.key = key, .mod_revision = 0};
        DlStoreOp put = {.key = key, .value = value};
        dl_store_txn(core->store, &is_new, 1, &put, 1, on_created, call);
        dl_kill_point("vdisk", 0, "submitted");
}

/* ---- update -------------------------------------------------------------------------------- */

static void on_updated(bool succeeded, int64_t revision, const GError *error, void *userdata)
{
        Call *call = userdata;
        DlVDisk *vdisk = DL_LOOKUP_VDISK(call->core, call->id);
        g_autoptr(GError) busy = NULL;

        error = take_answer(call, succeeded, error, &busy);
        if (!error && vdisk) {
                vdisk->revision = revision;
                if (call->alias && dl_set_string(&vdisk->alias, call->alias))
                        dl_object_changed(&vdisk->object, "Alias");
                if (call->description && dl_set_string(&vdisk->description, call->description))
                        dl_object_changed(&vdisk->object, "Description");
        }
        call->done(error, call->userdata);
        call_free(call);
}

void dl_vdisk_write(DlVDisk *vdisk, const char *alias, const char *description, DlPersisted done,
                    void *userdata)
{
        DlCore *core = vdisk->object.core;
        Call *call = call_new(core, vdisk->object.id, userdata);
        DlVDisk to_be = *vdisk;

        call->alias = g_strdup(alias);
        call->description = g_strdup(description);
        call->done = done;
        if (alias)
                to_be.alias = call->alias;
        if (description)
                to_be.description = call->description;

        g_autofree char *key = dl_persist_vdisk_key(vdisk->object.id);
        g_autofree char *value = dl_persist_vdisk_value(&to_be);
        DlStoreCompare unchanged = {.key = key, .mod_revision = vdisk->revision};
        DlStoreOp put = {.key = key, .value = value};
        dl_store_txn(core->store, &unchanged, 1, &put, 1, on_updated, call);
        dl_kill_point("vdisk", 0, "submitted");
}

/* ---- images -------------------------------------------------------------------------------- */

static void write_images(Call *call, const DlVDisk *vdisk);

static void on_images_written(bool succeeded, int64_t revision, const GError *error, void *userdata)
{
        Call *call = userdata;
        DlVDisk *vdisk = DL_LOOKUP_VDISK(call->core, call->id);
        g_autoptr(GError) busy = NULL;

        dl_core_take_call(call->core, call);
        dl_kill_point("vdisk", 0, "committed");
        /* Somebody has changed its alias meanwhile. The stack is only changed by who has an
         * intent, one at a time. */
        if (!error && !succeeded && vdisk && vdisk->revision != call->revision) {
                dl_core_keep_call(call->core, call, call_free);
                write_images(call, vdisk);
                return;
        }
        call->core->n_writes--;
        error = store_error(succeeded, error, &busy);
        if (!error && vdisk) {
                vdisk->revision = revision;
                g_ptr_array_unref(vdisk->images);
                vdisk->images = g_steal_pointer(&call->images);
                dl_object_changed(&vdisk->object, "Images");
        }
        call->done(error, call->userdata);
        call_free(call);
}

static void write_images(Call *call, const DlVDisk *vdisk)
{
        DlVDisk to_be = *vdisk;

        to_be.images = call->images;
        call->revision = vdisk->revision;
        g_autofree char *key = dl_persist_vdisk_key(vdisk->object.id);
        g_autofree char *value = dl_persist_vdisk_value(&to_be);
        DlStoreCompare unchanged = {.key = key, .mod_revision = vdisk->revision};
        DlStoreOp put = {.key = key, .value = value};
        dl_store_txn(call->core->store, &unchanged, 1, &put, 1, on_images_written, call);
        dl_kill_point("vdisk", 0, "submitted");
}

void dl_vdisk_write_images(DlVDisk *vdisk, GPtrArray *images, DlPersisted done, void *userdata)
{
        Call *call = call_new(vdisk->object.core, vdisk->object.id, userdata);

        call->images = g_ptr_array_ref(images);
        call->done = done;
        write_images(call, vdisk);
}

/* ---- remove -------------------------------------------------------------------------------- */

static void on_removed(bool succeeded, int64_t revision, const GError *error, void *userdata)
{
        Call *call = userdata;
        DlVDisk *vdisk = DL_LOOKUP_VDISK(call->core, call->id);
        g_autoptr(GError) busy = NULL;

        error = take_answer(call, succeeded, error, &busy);
        if (!error && vdisk) {
                DlLun *lun = dl_vdisk_lun(vdisk);

                dl_object_unpublish(&vdisk->object);
                dl_vdisk_free(vdisk);
                if (lun) {
                        dl_object_changed(&lun->object, "VDisk");
                        dl_lun_remove_if_unneeded(lun);
                }
        }
        call->done(error, call->userdata);
        call_free(call);
}

void dl_vdisk_remove(DlVDisk *vdisk, DlPersisted done, void *userdata)
{
        DlCore *core = vdisk->object.core;
        Call *call = call_new(core, vdisk->object.id, userdata);
        g_autofree char *key = dl_persist_vdisk_key(vdisk->object.id);
        DlStoreCompare unchanged = {.key = key, .mod_revision = vdisk->revision};
        DlStoreOp delete = {.key = key};

        call->done = done;
        dl_store_txn(core->store, &unchanged, 1, &delete, 1, on_removed, call);
        dl_kill_point("vdisk", 0, "submitted");
}
