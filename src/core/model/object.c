/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The tables of managed objects and the announcement of changes. Loop thread only. */

#include "core/model/attachment-index.h"

#include <string.h>
#include <time.h>

const char *dl_last_error_name(const DlLastError *e)
{
        return e->code < 0 ? "" : dl_error_name(e->code);
}

const char *dl_last_error_message(const DlLastError *e)
{
        return e->code < 0 || !e->message ? "" : e->message;
}

void dl_last_error_clear(DlLastError *e)
{
        e->code = -1;
        g_clear_pointer(&e->message, g_free);
}

bool dl_last_error_set(DlLastError *e, const GError *error)
{
        int code = error ? (int)dl_error_code(error) : -1;
        const char *message = error ? error->message : NULL;

        if (e->code == code && g_strcmp0(e->message, message) == 0)
                return false;
        e->code = code;
        g_free(e->message);
        e->message = g_strdup(message);
        return true;
}

bool dl_set_string(char **s, const char *value)
{
        if (g_strcmp0(*s, value) == 0)
                return false;
        g_free(*s);
        *s = g_strdup(value);
        return true;
}

static uint64_t clock_usec(clockid_t clock)
{
        struct timespec t;

        clock_gettime(clock, &t);
        return (uint64_t)t.tv_sec * G_USEC_PER_SEC + (uint64_t)t.tv_nsec / 1000;
}

uint64_t dl_now(void)
{
        return clock_usec(CLOCK_MONOTONIC);
}

uint64_t dl_wallclock(void)
{
        return clock_usec(CLOCK_REALTIME);
}

void dl_object_init(DlObject *object, DlCore *core, DlKind kind, const char *id)
{
        *object = (DlObject){
                .kind = kind,
                .id = g_strdup(id),
                .core = core,
                .changed = g_ptr_array_new(),
        };
}

void dl_object_clear(DlObject *object)
{
        if (object->changed->len > 0)
                g_ptr_array_remove(object->core->changed, object);
        g_ptr_array_unref(object->changed);
        g_free(object->id);
}

static int on_idle(sd_event_source *source, void *userdata)
{
        dl_core_flush(userdata);
        return 0;
}

static void schedule_flush(DlCore *core)
{
        if (core->flush) {
                (void)sd_event_source_set_enabled(core->flush, SD_EVENT_ONESHOT);
                return;
        }
        if (sd_event_add_defer(core->event, &core->flush, on_idle, core) < 0)
                return; /* out of memory: the next change tries again */
        (void)sd_event_source_set_priority(core->flush, SD_EVENT_PRIORITY_IDLE);
}

void dl_object_changed(DlObject *object, const char *property)
{
        if (!object->published)
                return;
        for (unsigned i = 0; i < object->changed->len; i++)
                if (strcmp(object->changed->pdata[i], property) == 0)
                        return;
        if (object->changed->len == 0)
                g_ptr_array_add(object->core->changed, object);
        g_ptr_array_add(object->changed, (char *)property);
        schedule_flush(object->core);
}

void dl_core_flush(DlCore *core)
{
        for (unsigned i = 0; i < core->changed->len; i++) {
                DlObject *object = core->changed->pdata[i];
                g_autoptr(GPtrArray) names = object->changed;

                object->changed = g_ptr_array_new();
                g_ptr_array_add(names, NULL);
                core->observer.changed(object, (const char *const *)names->pdata, core->userdata);
        }
        g_ptr_array_set_size(core->changed, 0);
}

void dl_object_publish(DlObject *object)
{
        object->published = true;
        g_hash_table_insert(object->core->objects[object->kind], object->id, object);
        object->core->observer.added(object, object->core->userdata);
}

void dl_object_unpublish(DlObject *object)
{
        if (!object->published)
                return;
        object->core->observer.removed(object, object->core->userdata);
        object->published = false;
        g_hash_table_remove(object->core->objects[object->kind], object->id);
        if (object->changed->len > 0)
                g_ptr_array_remove(object->core->changed, object);
        g_ptr_array_set_size(object->changed, 0);
}

DlObject *dl_core_lookup(DlCore *core, DlKind kind, const char *id)
{
        return g_hash_table_lookup(core->objects[kind], id);
}

static gint compare_ids(gconstpointer a, gconstpointer b)
{
        const DlObject *x = *(DlObject *const *)a, *y = *(DlObject *const *)b;

        if (x->kind == DL_KIND_JOB) { /* numbers */
                size_t m = strlen(x->id), n = strlen(y->id);

                if (m != n)
                        return m < n ? -1 : 1;
        }
        return strcmp(x->id, y->id);
}

void dl_core_sort(GPtrArray *objects)
{
        g_ptr_array_sort(objects, compare_ids);
}

GPtrArray *dl_core_list(DlCore *core, DlKind kind)
{
        GPtrArray *list = g_ptr_array_sized_new(g_hash_table_size(core->objects[kind]));
        GHashTableIter iter;
        gpointer object;

        g_hash_table_iter_init(&iter, core->objects[kind]);
        while (g_hash_table_iter_next(&iter, NULL, &object))
                g_ptr_array_add(list, object);
        dl_core_sort(list);
        return list;
}

void dl_core_objects_init(DlCore *core)
{
        for (int kind = 0; kind < _DL_KIND_MAX; kind++)
                core->objects[kind] = g_hash_table_new(g_str_hash, g_str_equal);
        core->luns_by_target = g_hash_table_new_full(g_str_hash, g_str_equal, g_free,
                                                     (GDestroyNotify)g_hash_table_unref);
        dl_attachment_index_init(core);
        core->changed = g_ptr_array_new();
}

void dl_core_objects_clear(DlCore *core)
{
        for (int kind = 0; kind < _DL_KIND_MAX; kind++)
                g_clear_pointer(&core->objects[kind], g_hash_table_unref);
        g_clear_pointer(&core->luns_by_target, g_hash_table_unref);
        dl_attachment_index_clear(core);
        g_clear_pointer(&core->changed, g_ptr_array_unref);
        core->flush = sd_event_source_disable_unref(core->flush);
}
