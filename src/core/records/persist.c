/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Rows of the store: one JSON object for each LUN and vDisk (those of targets: target-rows.c), and
 * reading all rows at the start. LUNs are written behind (they can be discovered again); a vDisk is
 * written by the flow that makes or changes it, which waits for it. Loop thread only.
 */

#include "core/records/json.h"
#include "core/records/journal.h"
#include "core/records/lun-rows.h"
#include "core/records/target-rows.h"
#include "core/core-private.h"
#include "core/model/lun-kernel.h"
#include "core/model/storage-domain.h"

#include <string.h>

char *dl_persist_lun_key(const char *guid)
{
        return g_strconcat("lun/", guid, NULL);
}

char *dl_persist_vdisk_key(const char *id)
{
        return g_strconcat("vdisk/", id, NULL);
}

/* ---- rows ---------------------------------------------------------------------------------- */

void dl_persist_remove_lun(DlLun *lun)
{
        if (!lun->object.core->original)
                dl_lun_rows_write(lun->object.core->lun_rows, lun->object.id, NULL);
}

static void add_path(JsonBuilder *b, const DlPath *path)
{
        json_builder_begin_object(b);
        dl_json_add_string(b, "iqn", path->iqn);
        dl_json_add_string(b, "address", path->address);
        dl_json_add_int(b, "port", path->port);
        dl_json_add_int(b, "tpgt", path->tpgt);
        dl_json_add_int(b, "lun", (int64_t)path->lun);
        dl_json_add_int(b, "capacity", (int64_t)path->capacity);
        dl_json_add_string(b, "serial", path->serial);
        dl_json_add_string(b, "fingerprint", path->fingerprint);
        json_builder_end_object(b);
}

/* What only the kernel sees is there again after the next start, or not. */
static bool is_worth_a_row(const DlLun *lun)
{
        return lun->paths->len > 0 || lun->stored || dl_lun_vdisk(lun) || !dl_lun_kernel(lun);
}

void dl_persist_lun(DlLun *lun)
{
        if (!is_worth_a_row(lun))
                return;

        JsonBuilder *b = json_builder_new();

        json_builder_begin_object(b);
        dl_json_add_string(b, "vendor", lun->vendor);
        dl_json_add_string(b, "product", lun->product);
        dl_json_add_string(b, "serial", lun->serial);
        dl_json_add_string(b, "revision", lun->revision);
        dl_json_add_int(b, "capacity", (int64_t)lun->capacity);
        dl_json_add_int(b, "promised", (int64_t)lun->promised);
        dl_json_add_int(b, "logical-block-size", lun->logical_block_size);
        dl_json_add_int(b, "physical-block-size", lun->physical_block_size);
        dl_json_add_int(b, "discard-max-bytes", (int64_t)lun->discard_max_bytes);
        dl_json_add_int(b, "device-type", lun->device_type);
        dl_json_add_bool(b, "write-protected", lun->write_protected);
        json_builder_set_member_name(b, "paths");
        json_builder_begin_array(b);
        for (unsigned i = 0; i < lun->paths->len; i++)
                add_path(b, lun->paths->pdata[i]);
        json_builder_end_array(b);
        json_builder_end_object(b);

        g_autofree char *value = dl_json_finish(b, false);
        if (g_strcmp0(value, lun->stored) == 0)
                return; /* most looks bring nothing new */
        if (!lun->object.core->original)
                dl_lun_rows_write(lun->object.core->lun_rows, lun->object.id, value);
        g_free(lun->stored);
        lun->stored = g_steal_pointer(&value);
}

char *dl_persist_vdisk_value(const DlVDisk *vdisk)
{
        JsonBuilder *b = json_builder_new();

        json_builder_begin_object(b);
        dl_json_add_string(b, "guid", vdisk->guid);
        dl_json_add_string(b, "alias", vdisk->alias);
        dl_json_add_string(b, "description", vdisk->description);
        json_builder_set_member_name(b, "images");
        json_builder_begin_array(b);
        for (unsigned i = 0; i < vdisk->images->len; i++) {
                const DlImage *image = vdisk->images->pdata[i];

                json_builder_begin_object(b);
                dl_json_add_int(b, "time", (int64_t)image->time_usec);
                dl_json_add_string(b, "uid", image->uid);
                dl_json_add_string(b, "file", image->file);
                if (image->quiesced)
                        dl_json_add_bool(b, "quiesced", true);
                if (image->spoiled)
                        dl_json_add_bool(b, "spoiled", true);
                json_builder_end_object(b);
        }
        json_builder_end_array(b);
        json_builder_end_object(b);
        return dl_json_finish(b, false);
}

/* ---- loading ------------------------------------------------------------------------------- */

static DlPath *load_path(JsonObject *row)
{
        const char *iqn = dl_json_string(row, "iqn", NULL);
        const char *address = dl_json_string(row, "address", NULL);

        if (!iqn || !address)
                return NULL;

        DlPath *path = g_new0(DlPath, 1);
        *path = (DlPath){
                .iqn = g_strdup(iqn),
                .address = g_strdup(address),
                .port = (uint16_t)dl_json_int(row, "port", 1, UINT16_MAX, 3260),
                .tpgt = (uint16_t)dl_json_int(row, "tpgt", 0, UINT16_MAX, 0),
                .lun = (uint64_t)dl_json_int(row, "lun", 0, INT64_MAX, 0),
                .capacity = (uint64_t)dl_json_int(row, "capacity", 0, INT64_MAX, 0),
                .serial = g_strdup(dl_json_string(row, "serial", "")),
                .fingerprint = g_strdup(dl_json_string(row, "fingerprint", NULL)),
                .last_error.code = -1,
        };
        return path;
}

static void load_lun(DlCore *core, const char *guid, JsonObject *row, const char *stored)
{
        DlLun *lun = dl_lun_new(core, guid);
        JsonArray *paths = dl_json_array(row, "paths");

        dl_set_string(&lun->vendor, dl_json_string(row, "vendor", ""));
        dl_set_string(&lun->product, dl_json_string(row, "product", ""));
        dl_set_string(&lun->serial, dl_json_string(row, "serial", ""));
        dl_set_string(&lun->revision, dl_json_string(row, "revision", ""));
        lun->capacity = (uint64_t)dl_json_int(row, "capacity", 0, INT64_MAX, 0);
        lun->promised = (uint64_t)dl_json_int(row, "promised", 0, INT64_MAX, 0);
        lun->logical_block_size = (uint32_t)dl_json_int(row, "logical-block-size", 0, UINT32_MAX,
                                                        0);
        lun->physical_block_size = (uint32_t)dl_json_int(row, "physical-block-size", 0, UINT32_MAX,
                                                         0);
        lun->discard_max_bytes = (uint64_t)dl_json_int(row, "discard-max-bytes", 0, INT64_MAX, 0);
        lun->device_type = (uint8_t)dl_json_int(row, "device-type", 0, 31, 0);
        lun->write_protected = dl_json_bool(row, "write-protected");
        for (unsigned i = 0; paths && i < json_array_get_length(paths); i++) {
                JsonObject *p = dl_json_element(paths, i);
                DlPath *path = p ? load_path(p) : NULL;

                if (path)
                        dl_lun_add_path(lun, path);
        }
        lun->stored = g_strdup(stored);
        dl_lun_update(lun);
        dl_object_publish(&lun->object);
}

/* A stack with a gap must never be used: under what is missing the data would be wrong. */
static bool load_images(DlVDisk *vdisk, JsonArray *images)
{
        for (unsigned i = 0; images && i < json_array_get_length(images); i++) {
                JsonObject *o = dl_json_element(images, i);
                const char *uid = o ? dl_json_string(o, "uid", NULL) : NULL;
                const char *file = o ? dl_json_string(o, "file", NULL) : NULL;

                if (!uid || (i > 0) != (file && g_path_is_absolute(file)))
                        return false;
                DlImage *image = dl_image_new((uint64_t)dl_json_int(o, "time", 0, INT64_MAX, 0),
                                              uid, file);
                image->quiesced = dl_json_bool(o, "quiesced");
                image->spoiled = dl_json_bool(o, "spoiled");
                g_ptr_array_add(vdisk->images, image);
        }
        return true;
}

static void load_vdisk(DlCore *core, const char *id, JsonObject *row, int64_t revision)
{
        const char *guid = dl_json_string(row, "guid", NULL);
        JsonArray *images = dl_json_array(row, "images");

        DlVDisk *vdisk = dl_vdisk_new(core, guid, dl_json_string(row, "alias", NULL),
                                      dl_json_string(row, "description", NULL));
        if (strcmp(vdisk->object.id, id) != 0) {
                dl_warning("The row of vDisk %s belongs to another LUN and is ignored", id);
                dl_vdisk_free(vdisk);
                return;
        }
        vdisk->revision = revision;
        if (!load_images(vdisk, images)) {
                dl_warning("The row of vDisk %s has images that cannot be understood; it is "
                           "ignored, and the vDisk cannot be used",
                           id);
                dl_vdisk_free(vdisk);
                return;
        }
        dl_object_publish(&vdisk->object);
}

static bool is_understood(const char *key, const char *id, JsonObject *row)
{
        if (g_str_has_prefix(key, "target/") || g_str_has_prefix(key, "forgotten/"))
                return dl_iscsi_name_is_valid(id);
        if (g_str_has_prefix(key, "domain/"))
                return dl_json_string(row, "domain", NULL) != NULL;
        return !g_str_has_prefix(key, "vdisk/") || dl_json_string(row, "guid", NULL);
}

static void load_row(DlCore *core, const DlStoreEntry *entry)
{
        g_autoptr(JsonNode) node = dl_json_parse(entry->value);
        JsonObject *row = node ? json_node_get_object(node) : NULL;
        const char *id = strchr(entry->key, '/');

        if (!row || !id || !id[1] || !is_understood(entry->key, id + 1, row)) {
                dl_warning("The row %s of the store cannot be understood; it is ignored",
                           entry->key);
                return;
        }
        id++;
        if (g_str_has_prefix(entry->key, "target/"))
                dl_persist_load_target(core, id, row);
        else if (g_str_has_prefix(entry->key, "lun/"))
                load_lun(core, id, row, entry->value);
        else if (g_str_has_prefix(entry->key, "vdisk/"))
                load_vdisk(core, id, row, entry->mod_revision);
        else if (g_str_has_prefix(entry->key, "domain/"))
                dl_claim_load(core, id, row, entry->mod_revision);
        else if (g_str_has_prefix(entry->key, "intent/"))
                dl_intent_load(core, entry->key, row);
}

typedef struct Load {
        DlCore *core;
        void (*loaded)(DlCore *core, const GError *error);
} Load;

static void on_ranged(const DlStoreEntry *entries, size_t n_entries, int64_t revision,
                      const GError *error, void *userdata)
{
        g_autofree Load *load = userdata;

        dl_core_take_call(load->core, load);
        for (size_t i = 0; i < n_entries; i++)
                load_row(load->core, &entries[i]);
        for (size_t i = 0; i < n_entries; i++)
                if (g_str_has_prefix(entries[i].key, "forgotten/"))
                        dl_persist_load_forgotten(load->core,
                                                  entries[i].key + strlen("forgotten/"));
        dl_claims_complete(load->core);
        load->loaded(load->core, error);
}

void dl_persist_load(DlCore *core, void (*loaded)(DlCore *core, const GError *error))
{
        Load *load = g_new(Load, 1);

        *load = (Load){.core = core, .loaded = loaded};
        dl_core_keep_call(core, load, g_free);
        dl_store_range(core->store, "", on_ranged, load);
}
