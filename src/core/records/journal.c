/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Intents. Loop thread only. */

#include "core/records/journal.h"
#include "core/records/json.h"
#include "core/steps/kill-point.h"

#include <string.h>

static const char *const kinds[_DL_INTENT_MAX] = {
        [DL_INTENT_ATTACH] = "attach",     [DL_INTENT_PLUG] = "plug",
        [DL_INTENT_UNPLUG] = "unplug",     [DL_INTENT_DETACH] = "detach",
        [DL_INTENT_SNAPSHOT] = "snapshot", [DL_INTENT_MERGE] = "merge",
        [DL_INTENT_REVERT] = "revert",
};

void dl_intent_free(DlIntent *intent)
{
        g_free(intent->key);
        g_free(intent->vm);
        g_free(intent->vdisk);
        g_free(intent->boot_id);
        g_free(intent->image);
        g_free(intent->file);
        g_strfreev(intent->drop);
        g_free(intent);
}

typedef struct Call {
        DlCore *core;
        DlIntentDone done;
        void *userdata;
} Call;

static void on_committed(bool succeeded, int64_t revision, const GError *error, void *userdata)
{
        g_autofree Call *call = userdata;

        dl_core_take_call(call->core, call);
        call->core->n_writes--;
        dl_kill_point("journal", 0, "committed");
        if (call->done)
                call->done(error, call->userdata);
        else if (error)
                dl_warning("The journal could not be written: %s", error->message);
}

static void commit(DlCore *core, const char *key, const char *value, DlIntentDone done,
                   void *userdata)
{
        DlStoreOp op = {.key = key, .value = value};
        Call *call = g_new(Call, 1);

        *call = (Call){.core = core, .done = done, .userdata = userdata};
        dl_core_keep_call(core, call, g_free);
        core->n_writes++;
        dl_store_txn(core->store, NULL, 0, &op, 1, on_committed, call);
        dl_kill_point("journal", 0, "submitted");
}

static void add_strings(JsonBuilder *b, const char *name, char **strings)
{
        json_builder_set_member_name(b, name);
        json_builder_begin_array(b);
        for (; *strings; strings++)
                json_builder_add_string_value(b, *strings);
        json_builder_end_array(b);
}

static char **read_strings(JsonObject *row, const char *name)
{
        JsonArray *array = dl_json_array(row, name);
        GPtrArray *strings = g_ptr_array_new();

        for (unsigned i = 0; array && i < json_array_get_length(array); i++) {
                JsonNode *node = json_array_get_element(array, i);

                if (json_node_get_value_type(node) == G_TYPE_STRING)
                        g_ptr_array_add(strings, json_node_dup_string(node));
        }
        g_ptr_array_add(strings, NULL);
        return (char **)g_ptr_array_free(strings, FALSE);
}

static DlIntent *intent_copy(const DlIntent *like)
{
        DlIntent *intent = g_new(DlIntent, 1);

        *intent = *like;
        intent->key = g_strdup(like->key);
        intent->vm = g_strdup(like->vm);
        intent->vdisk = g_strdup(like->vdisk);
        intent->boot_id = g_strdup(like->boot_id);
        intent->image = g_strdup(like->image);
        intent->file = g_strdup(like->file);
        intent->drop = g_strdupv(like->drop);
        return intent;
}

DlIntent *dl_intent_write(DlCore *core, const DlIntent *like, DlIntentDone done, void *userdata)
{
        DlIntent *intent = intent_copy(like);
        JsonBuilder *b = json_builder_new();

        intent->key = g_strdup_printf("intent/%s/%s", like->vm, like->vdisk);
        intent->time_usec = dl_wallclock();
        intent->boot_id = g_strdup(dl_core_local_host(core)->boot_id);
        intent->owned = true;
        json_builder_begin_object(b);
        dl_json_add_string(b, "kind", kinds[intent->kind]);
        dl_json_add_int(b, "time", (int64_t)intent->time_usec);
        dl_json_add_string(b, "boot", intent->boot_id);
        dl_json_add_string(b, "vm", intent->vm);
        dl_json_add_string(b, "vdisk", intent->vdisk);
        dl_json_add_bool(b, "in-config", intent->in_config);
        dl_json_add_bool(b, "new-vdisk", intent->new_vdisk);
        dl_json_add_string(b, "image", intent->image);
        dl_json_add_string(b, "file", intent->file);
        if (intent->drop)
                add_strings(b, "drop", intent->drop);
        json_builder_end_object(b);
        g_autofree char *value = dl_json_finish(b, false);

        /* One attachment has one intent: an operation runs alone on its VM, and the recovery is
         * done with a VM before an operation begins. */
        g_hash_table_replace(core->intents, intent->key, intent);
        commit(core, intent->key, value, done, userdata);
        return intent;
}

void dl_intent_remove(DlCore *core, DlIntent *intent, DlIntentDone done, void *userdata)
{
        g_autofree char *key = g_strdup(intent->key);

        g_hash_table_remove(core->intents, key);
        commit(core, key, NULL, done, userdata);
}

bool dl_intent_is_open(DlCore *core, const char *vdisk)
{
        GHashTableIter iter;
        gpointer intent;

        g_hash_table_iter_init(&iter, core->intents);
        while (g_hash_table_iter_next(&iter, NULL, &intent))
                if (g_strcmp0(((DlIntent *)intent)->vdisk, vdisk) == 0)
                        return true;
        return false;
}

void dl_intent_adopt(DlIntent *intent)
{
        intent->owned = true;
}

bool dl_intent_is_of_this_boot(DlCore *core, const DlIntent *intent)
{
        return g_strcmp0(intent->boot_id, dl_core_local_host(core)->boot_id) == 0;
}

void dl_intent_abandon(DlIntent *intent)
{
        intent->owned = false;
}

void dl_intent_load(DlCore *core, const char *key, JsonObject *row)
{
        const char *kind = dl_json_string(row, "kind", "");
        const char *vm = dl_json_string(row, "vm", NULL);
        const char *vdisk = dl_json_string(row, "vdisk", NULL);

        for (int k = 0; vm && vdisk && k < _DL_INTENT_MAX; k++) {
                DlIntent *intent;

                if (strcmp(kinds[k], kind) != 0)
                        continue;
                if (dl_intent_is_of_images((DlIntentKind)k) &&
                    (!dl_json_string(row, "image", NULL) ||
                     (k != DL_INTENT_REVERT && !dl_json_string(row, "file", NULL))))
                        break;
                g_auto(GStrv) drop = read_strings(row, "drop");
                intent = intent_copy(&(DlIntent){
                        .kind = (DlIntentKind)k,
                        .key = (char *)key,
                        .vm = (char *)vm,
                        .vdisk = (char *)vdisk,
                        .time_usec = (uint64_t)dl_json_int(row, "time", 0, INT64_MAX, 0),
                        .boot_id = (char *)dl_json_string(row, "boot", NULL),
                        .in_config = dl_json_bool(row, "in-config"),
                        .new_vdisk = dl_json_bool(row, "new-vdisk"),
                        .image = (char *)dl_json_string(row, "image", NULL),
                        .file = (char *)dl_json_string(row, "file", NULL),
                        .drop = drop,
                });
                g_hash_table_replace(core->intents, intent->key, intent);
                return;
        }
        dl_warning("The intent %s cannot be understood; it is ignored", key);
}
