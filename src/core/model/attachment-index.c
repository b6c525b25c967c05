/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sets of attachments by key; the core owns them, and their members only while they are published.
 * Loop thread only. */

#include "core/model/attachment-index.h"

typedef struct Bucket {
        GHashTable *members; /* set of DlAttachment */
        unsigned n_plugged;
        uint64_t mark; /* the sum of what the plugged ones are worth */
} Bucket;

static void bucket_free(gpointer p)
{
        Bucket *bucket = p;

        g_hash_table_unref(bucket->members);
        g_free(bucket);
}

void dl_attachment_index_init(DlCore *core)
{
        for (int what = 0; what < _DL_BELONGS_TO_MAX; what++)
                core->attachments_of[what] = g_hash_table_new_full(g_str_hash, g_str_equal, g_free,
                                                                   bucket_free);
}

void dl_attachment_index_clear(DlCore *core)
{
        for (int what = 0; what < _DL_BELONGS_TO_MAX; what++)
                g_clear_pointer(&core->attachments_of[what], g_hash_table_unref);
}

static const char *key_of(const DlAttachment *a, DlBelongsTo what)
{
        switch (what) {
        case DL_BELONGS_TO_LUN:
                return a->meta->guid;
        case DL_BELONGS_TO_VDISK:
                return a->meta->vdisk;
        case DL_BELONGS_TO_TARGET:
                return a->meta->iqn;
        default:
                return a->vm->object.id;
        }
}

/* Spread over all bits, so that sums differ as their members do. */
static uint64_t worth(const DlAttachment *a)
{
        return (g_str_hash(a->object.id) | 1) * UINT64_C(0x9e3779b97f4a7c15);
}

static Bucket *find(DlCore *core, DlBelongsTo what, const char *key)
{
        return key ? g_hash_table_lookup(core->attachments_of[what], key) : NULL;
}

void dl_attachment_index_add(DlAttachment *a)
{
        DlCore *core = a->object.core;

        for (int what = 0; what < _DL_BELONGS_TO_MAX; what++) {
                const char *key = key_of(a, what);
                Bucket *bucket = find(core, what, key);

                if (!key)
                        continue;
                if (!bucket) {
                        bucket = g_new0(Bucket, 1);
                        bucket->members = g_hash_table_new(NULL, NULL);
                        g_hash_table_insert(core->attachments_of[what], g_strdup(key), bucket);
                }
                g_hash_table_add(bucket->members, a);
                bucket->n_plugged += a->plugged;
                bucket->mark += a->plugged ? worth(a) : 0;
        }
}

void dl_attachment_index_remove(DlAttachment *a)
{
        DlCore *core = a->object.core;

        for (int what = 0; what < _DL_BELONGS_TO_MAX; what++) {
                const char *key = key_of(a, what);
                Bucket *bucket = find(core, what, key);

                if (!bucket || !g_hash_table_remove(bucket->members, a))
                        continue;
                bucket->n_plugged -= a->plugged;
                bucket->mark -= a->plugged ? worth(a) : 0;
                if (g_hash_table_size(bucket->members) == 0)
                        g_hash_table_remove(core->attachments_of[what], key);
        }
}

GPtrArray *dl_attachments_of(DlCore *core, DlBelongsTo what, const char *key)
{
        const Bucket *bucket = find(core, what, key);
        GPtrArray *list = g_ptr_array_new();
        GHashTableIter iter;
        gpointer a;

        if (!bucket)
                return list;
        g_hash_table_iter_init(&iter, bucket->members);
        while (g_hash_table_iter_next(&iter, &a, NULL))
                g_ptr_array_add(list, a);
        dl_core_sort(list);
        return list;
}

bool dl_attachments_has_any(DlCore *core, DlBelongsTo what, const char *key)
{
        return find(core, what, key) != NULL;
}

uint64_t dl_attachments_mark(DlCore *core, DlBelongsTo what, const char *key)
{
        const Bucket *bucket = find(core, what, key);

        return bucket && bucket->n_plugged > 0 ? MAX(bucket->mark, 1) : 0;
}
