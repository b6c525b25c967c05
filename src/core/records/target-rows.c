/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Rows of targets, and the files of their CHAP secrets. A target is written behind (it can be
 * discovered again), but for who waits for it. One that is forgotten leaves a row that says so
 * until its secrets are deleted, too: then the next start does it. Loop thread only.
 */

#include "core/records/target-rows.h"
#include "core/steps/kill-point.h"
#include "util/state-file.h"

char *dl_persist_target_key(const char *iqn)
{
        return g_strconcat("target/", iqn, NULL);
}

/* ---- writing ------------------------------------------------------------------------------- */

void dl_portal_add_members(JsonBuilder *builder, const DlPortal *portal)
{
        dl_json_add_string(builder, "address", portal->address);
        dl_json_add_int(builder, "port", portal->port);
        dl_json_add_int(builder, "tpgt", portal->tpgt);
}

typedef struct Write {
        DlCore *core;
        char *iqn;
        bool removal;     /* of the row */
        DlPersisted done; /* NULL: nobody waits */
        void *userdata;
} Write;

static Write *write_new(DlCore *core, const char *iqn, bool removal, DlPersisted done,
                        void *userdata)
{
        Write *write = g_new(Write, 1);

        *write = (Write){
                .core = core,
                .iqn = g_strdup(iqn),
                .removal = removal,
                .done = done,
                .userdata = userdata,
        };
        return write;
}

static void write_free(void *p)
{
        Write *write = p;

        g_free(write->iqn);
        g_free(write);
}

/* The store takes rows again: also those that it did not take. */
static void write_unsaved(DlCore *core)
{
        g_autoptr(GHashTable) unsaved = g_steal_pointer(&core->unsaved);
        GHashTableIter i;
        gpointer iqn;

        core->unsaved = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
        g_clear_error(&core->unsaved_error);
        g_hash_table_iter_init(&i, unsaved);
        while (g_hash_table_iter_next(&i, &iqn, NULL)) {
                DlTarget *target = DL_LOOKUP_TARGET(core, iqn);

                if (target)
                        dl_persist_target(target);
        }
}

static void note_result(DlCore *core, const Write *write, const GError *error)
{
        if (!error && write->removal)
                g_hash_table_remove(core->unsaved, write->iqn);
        if (error && !write->removal) {
                g_hash_table_add(core->unsaved, g_strdup(write->iqn));
                g_clear_error(&core->unsaved_error);
                core->unsaved_error = g_error_copy(error);
        } else if (!error && core->unsaved_error) {
                write_unsaved(core);
        }
}

static const char *kind_of(const Write *write)
{
        return write->removal ? "removal" : "target";
}

static void on_written(bool succeeded, int64_t revision, const GError *error, void *userdata)
{
        Write *write = userdata;

        dl_core_take_call(write->core, write);
        write->core->n_writes--;
        dl_kill_point(kind_of(write), 0, "committed");
        note_result(write->core, write, error);
        if (write->done)
                write->done(error, write->userdata);
        else if (error)
                dl_warning("The store could not be written: %s", error->message);
        write_free(write);
}

/* Takes the write. */
static void submit(Write *write, const DlStoreOp *ops, size_t n_ops)
{
        DlCore *core = write->core;

        dl_core_keep_call(core, write, write_free);
        core->n_writes++;
        dl_store_txn(core->store, NULL, 0, ops, n_ops, on_written, write);
        dl_kill_point(kind_of(write), 0, "submitted");
}

void dl_persist_target_then(DlTarget *target, DlPersisted done, void *userdata)
{
        DlCore *core = target->object.core;
        g_autofree char *interfaces = target->interfaces ? g_strjoinv(" ", target->interfaces)
                                                         : NULL;
        JsonBuilder *b;

        if (core->original)
                return;
        target->leaving = false; /* if it was being forgotten: this row comes after that */
        b = json_builder_new();
        json_builder_begin_object(b);
        dl_json_add_string(b, "user", target->user);
        dl_json_add_string(b, "target-user", target->target_user);
        dl_json_add_bool(b, "pinned", target->pinned);
        dl_json_add_bool(b, "by-kernel", target->by_kernel);
        dl_json_add_string(b, "data-path-why", target->data_path_why);
        dl_json_add_string(b, "interfaces", interfaces);
        json_builder_set_member_name(b, "portals");
        json_builder_begin_array(b);
        for (unsigned i = 0; i < target->portals->len; i++) {
                const DlPortal *portal = target->portals->pdata[i];

                json_builder_begin_object(b);
                dl_portal_add_members(b, portal);
                json_builder_end_object(b);
        }
        json_builder_end_array(b);
        json_builder_end_object(b);

        g_autofree char *key = dl_persist_target_key(target->object.id);
        g_autofree char *value = dl_json_finish(b, false);
        submit(write_new(core, target->object.id, false, done, userdata),
               &(DlStoreOp){.key = key, .value = value}, 1);
}

void dl_persist_target(DlTarget *target)
{
        dl_persist_target_then(target, NULL, NULL);
}

static void on_waited(const DlStoreEntry *entries, size_t n_entries, int64_t revision,
                      const GError *error, void *userdata)
{
        Write *write = userdata;

        dl_core_take_call(write->core, write);
        write->done(error ? error : write->core->unsaved_error, write->userdata);
        write_free(write);
}

/* The store does one thing after the other. */
void dl_persist_wait_for_targets(DlCore *core, DlPersisted done, void *userdata)
{
        Write *write = write_new(core, NULL, false, done, userdata);

        dl_core_keep_call(core, write, write_free);
        dl_store_get(core->store, "target/", on_waited, write);
}

/* ---- secrets ------------------------------------------------------------------------------- */

/* Names of files are digests: an IQN may have characters that a file name may not. */
static char *secret_name(const char *iqn, const char *kind)
{
        g_autofree char *digest = g_compute_checksum_for_string(G_CHECKSUM_SHA256, iqn, -1);

        return g_strconcat(digest, ".", kind, NULL);
}

static char *secrets_directory(DlCore *core)
{
        return g_build_filename(core->settings->state_directory, "secrets", NULL);
}

#define INITIATOR_KIND "chap"
#define TARGET_KIND    "chap-target"

/* Two files to write, or (without a secret) to remove, on a worker: fsync waits. */
typedef struct SaveSecrets {
        DlCore *core;
        char *directory;
        char *names[2];
        DlSecret *secrets[2];
        GError *error;
        DlPersisted done;
        void *userdata;
} SaveSecrets;

static void save_secrets(void *data)
{
        SaveSecrets *save = data;

        for (int i = 0; i < 2 && !save->error; i++) {
                if (save->secrets[i])
                        dl_state_file_write(save->directory, save->names[i], save->secrets[i],
                                            &save->error);
                else
                        dl_state_file_delete(save->directory, save->names[i], &save->error);
        }
}

static void on_secrets_saved(void *data)
{
        SaveSecrets *save = data;

        save->core->n_writes--;
        if (save->done)
                save->done(save->error, save->userdata);
        else if (save->error)
                dl_warning("A CHAP secret could not be kept: %s", save->error->message);
}

static void save_free(void *data)
{
        SaveSecrets *save = data;

        for (int i = 0; i < 2; i++) {
                g_free(save->names[i]);
                dl_secret_unref(save->secrets[i]);
        }
        g_free(save->directory);
        g_clear_error(&save->error);
        g_free(save);
}

/* Takes the secrets; without one its file goes. */
static void submit_secrets(DlCore *core, const char *iqn, DlSecret *secret, DlSecret *target_secret,
                           DlPersisted done, void *userdata)
{
        SaveSecrets *save = g_new0(SaveSecrets, 1);

        *save = (SaveSecrets){
                .core = core,
                .directory = secrets_directory(core),
                .names = {secret_name(iqn, INITIATOR_KIND), secret_name(iqn, TARGET_KIND)},
                .secrets = {secret, target_secret},
                .done = done,
                .userdata = userdata,
        };
        core->n_writes++;
        dl_workers_submit(core->store_worker, "secrets", save_secrets, on_secrets_saved, save,
                          save_free);
}

void dl_persist_secrets(const DlTarget *target, DlPersisted done, void *userdata)
{
        if (!target->object.core->original)
                submit_secrets(target->object.core, target->object.id,
                               dl_secret_ref(target->secret), dl_secret_ref(target->target_secret),
                               done, userdata);
}

/* ---- forgetting ---------------------------------------------------------------------------- */

static char *forgotten_key(const char *iqn)
{
        return g_strconcat("forgotten/", iqn, NULL);
}

void dl_persist_target_gone(DlTarget *target, DlPersisted done, void *userdata)
{
        g_autofree char *key = dl_persist_target_key(target->object.id);
        g_autofree char *forgotten = forgotten_key(target->object.id);
        DlStoreOp ops[] = {{.key = key}, {.key = forgotten, .value = "{}"}};

        if (target->object.core->original)
                return;
        target->leaving = true;
        submit(write_new(target->object.core, target->object.id, true, done, userdata), ops,
               target->user ? 2 : 1);
}

typedef struct Deletion {
        DlCore *core;
        char *iqn;
        DlPersisted done; /* NULL: nobody waits */
        void *userdata;
} Deletion;

static void deletion_free(void *p)
{
        Deletion *deletion = p;

        g_free(deletion->iqn);
        g_free(deletion);
}

static void on_secrets_deleted(const GError *error, void *userdata)
{
        Deletion *deletion = userdata;
        DlCore *core = deletion->core;

        dl_core_take_call(core, deletion);
        if (error) {
                dl_warning("The CHAP secret of %s, which was forgotten, could not be deleted: %s; "
                           "the next start of the service tries again",
                           deletion->iqn, error->message);
        } else {
                g_autofree char *key = forgotten_key(deletion->iqn);

                submit(write_new(core, deletion->iqn, true, NULL, NULL), &(DlStoreOp){.key = key},
                       1);
        }
        if (deletion->done)
                deletion->done(NULL, deletion->userdata);
        deletion_free(deletion);
}

void dl_persist_delete_secrets(DlCore *core, const char *iqn, DlPersisted done, void *userdata)
{
        Deletion *deletion;

        if (core->original)
                return;
        deletion = g_new(Deletion, 1);

        *deletion = (Deletion){
                .core = core, .iqn = g_strdup(iqn), .done = done, .userdata = userdata};
        dl_core_keep_call(core, deletion, deletion_free);
        submit_secrets(core, iqn, NULL, NULL, on_secrets_deleted, deletion);
}

/* ---- loading ------------------------------------------------------------------------------- */

/* Two small files a target, before the first client is served. */
static DlSecret *load_secret(const DlTarget *target, const char *kind)
{
        g_autofree char *directory = secrets_directory(target->object.core);
        g_autofree char *name = secret_name(target->object.id, kind);
        g_autoptr(GError) error = NULL;
        DlSecret *secret = NULL;

        if (!dl_state_file_read(directory, name, &secret, &error) || !secret)
                dl_warning(
                        "The CHAP secret of %s could not be read (%s); set its credentials again",
                        target->object.id, error ? error->message : "there is none");
        return secret;
}

void dl_persist_load_target(DlCore *core, const char *iqn, JsonObject *row)
{
        DlTarget *target = dl_target_new(core, iqn);
        JsonArray *portals = dl_json_array(row, "portals");
        const char *interfaces = dl_json_string(row, "interfaces", NULL);

        for (unsigned i = 0; portals && i < json_array_get_length(portals); i++) {
                JsonObject *p = dl_json_element(portals, i);
                const char *address = p ? dl_json_string(p, "address", NULL) : NULL;

                if (!address ||
                    dl_target_find_portal(target, address,
                                          (uint16_t)dl_json_int(p, "port", 1, UINT16_MAX, 3260)))
                        continue;

                DlPortal *portal = g_new0(DlPortal, 1);
                portal->address = g_strdup(address);
                portal->port = (uint16_t)dl_json_int(p, "port", 1, UINT16_MAX, 3260);
                portal->tpgt = (uint16_t)dl_json_int(p, "tpgt", 0, UINT16_MAX, 0);
                portal->last_error.code = -1;
                g_ptr_array_add(target->portals, portal);
        }
        target->pinned = dl_json_bool(row, "pinned");
        target->by_kernel = dl_json_bool(row, "by-kernel");
        target->data_path_why = g_strdup(dl_json_string(row, "data-path-why", NULL));
        target->interfaces = interfaces ? g_strsplit(interfaces, " ", -1) : NULL;
        target->user = g_strdup(dl_json_string(row, "user", NULL));
        target->target_user = g_strdup(dl_json_string(row, "target-user", NULL));
        if (target->user)
                target->secret = load_secret(target, INITIATOR_KIND);
        target->secret_given = target->secret != NULL; /* maybe, by a former run */
        if (target->target_user)
                target->target_secret = load_secret(target, TARGET_KIND);
        dl_object_publish(&target->object);
}

void dl_persist_load_forgotten(DlCore *core, const char *iqn)
{
        if (!DL_LOOKUP_TARGET(core, iqn)) /* it may have been added again */
                dl_persist_delete_secrets(core, iqn, NULL, NULL);
}
