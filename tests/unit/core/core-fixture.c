/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A core in a temporary directory. One thread: the test's. */

#include "core-fixture.h"

#include <glib/gstdio.h>
#include <string.h>

static const char *const kinds[_DL_KIND_MAX] = {
        [DL_KIND_TARGET] = "target", [DL_KIND_LUN] = "lun",   [DL_KIND_VDISK] = "vdisk",
        [DL_KIND_VM] = "vm",         [DL_KIND_HOST] = "host", [DL_KIND_ATTACHMENT] = "attachment",
        [DL_KIND_JOB] = "job",
};

/* ---- the observer -------------------------------------------------------------------------- */

static void note(CoreFixture *f, const char *what, const DlObject *object, const char *more)
{
        g_ptr_array_add(f->log, g_strdup_printf("%s %s %s%s%s", what, kinds[object->kind],
                                                object->id, more ? " " : "", more ? more : ""));
}

static void on_added(DlObject *object, void *userdata)
{
        g_assert_true(object->published);
        note(userdata, "added", object, NULL);
}

static void on_removed(DlObject *object, void *userdata)
{
        /* still in its table */
        g_assert_true(dl_core_lookup(object->core, object->kind, object->id) == object);
        note(userdata, "removed", object, NULL);
}

static void on_changed(DlObject *object, const char *const *properties, void *userdata)
{
        g_autofree char *names = g_strjoinv(",", (char **)properties);

        g_assert_true(object->published);
        g_assert_nonnull(properties[0]);
        note(userdata, "changed", object, names);
}

static void on_completed(DlJob *job, void *userdata)
{
        note(userdata, "completed", &job->object, dl_job_state_name(job->state));
}

static void on_ready(void *userdata)
{
        CoreFixture *f = userdata;

        g_assert_false(f->ready);
        f->ready = true;
}

unsigned core_fixture_saw(const CoreFixture *f, const char *line)
{
        unsigned n = 0;

        for (unsigned i = 0; i < f->log->len; i++)
                n += g_str_has_prefix(f->log->pdata[i], line);
        return n;
}

unsigned core_fixture_when(const CoreFixture *f, const char *line)
{
        for (unsigned i = 0; i < f->log->len; i++)
                if (g_str_has_prefix(f->log->pdata[i], line))
                        return i;
        g_error("the observer was not told: %s", line);
}

void core_fixture_forget(CoreFixture *f)
{
        g_ptr_array_set_size(f->log, 0);
}

/* ---- life ---------------------------------------------------------------------------------- */

void core_fixture_open(CoreFixture *f)
{
        g_autoptr(GPtrArray) warnings = NULL;
        g_autoptr(GError) error = NULL;
        g_autofree char *directory = g_dir_make_tmp("directlun-core-XXXXXX", &error);

        g_assert_no_error(error);
        *f = (CoreFixture){
                .directory = g_steal_pointer(&directory),
                .log = g_ptr_array_new_with_free_func(g_free),
        };
        g_autofree char *nowhere = g_build_filename(f->directory, "no-such-file", NULL);
        f->settings = dl_settings_load(nowhere, &warnings);
        g_free(f->settings->state_directory);
        f->settings->state_directory = g_strdup(f->directory);
        g_free(f->settings->initiator_name);
        f->settings->initiator_name = g_strdup("iqn.2026-11.org.example:initiator");
        g_free(f->settings->libvirt_uri);
        f->settings->libvirt_uri = g_strconcat("qemu+unix:///system?socket=", nowhere, NULL);
        g_assert_cmpint(sd_event_new(&f->event), >=, 0);
}

static void remove_tree(const char *path)
{
        g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
        const char *name;

        while (dir && (name = g_dir_read_name(dir))) {
                g_autofree char *child = g_build_filename(path, name, NULL);

                if (g_file_test(child, G_FILE_TEST_IS_DIR))
                        remove_tree(child);
                else
                        g_assert_cmpint(g_unlink(child), ==, 0);
        }
        g_assert_cmpint(g_rmdir(path), ==, 0);
}

void core_fixture_close(CoreFixture *f)
{
        core_fixture_stop(f);
        remove_tree(f->directory);
        g_free(f->directory);
        dl_settings_free(f->settings);
        g_ptr_array_unref(f->log);
        sd_event_unref(f->event);
}

void core_fixture_start_early(CoreFixture *f)
{
        static const DlCoreObserver observer = {
                .added = on_added,
                .removed = on_removed,
                .changed = on_changed,
                .job_completed = on_completed,
        };
        g_autoptr(GError) error = NULL;

        g_assert_null(f->core);
        f->ready = false;
        f->core = dl_core_new(f->event, f->settings, &observer, on_ready, f, &error);
        g_assert_no_error(error);
        g_assert_nonnull(f->core);
        g_assert_false(f->ready); /* never from within the call */
}

void core_fixture_start(CoreFixture *f)
{
        core_fixture_start_early(f);
        CORE_WAIT(f, f->ready);
}

void core_fixture_stop(CoreFixture *f)
{
        dl_core_free(f->core);
        f->core = NULL;
        core_fixture_forget(f);
        /* What outlives the core would touch it now. */
        while (sd_event_run(f->event, 0) > 0)
                ;
        g_assert_cmpuint(f->log->len, ==, 0);
}

void core_fixture_turn(CoreFixture *f)
{
        int r = sd_event_run(f->event, DEADLINE_SEC * G_USEC_PER_SEC);

        g_assert_cmpint(r, >=, 0);
        if (r == 0)
                g_error("nothing happened in time");
}

void core_fixture_settle(CoreFixture *f)
{
        int r;

        while ((r = sd_event_run(f->event, 0)) > 0)
                ;
        g_assert_cmpint(r, ==, 0);
}

/* ---- jobs ---------------------------------------------------------------------------------- */

static void on_done(DlJob *job, const GError *error, void *userdata)
{
        CoreResult *result = userdata;

        g_assert_cmpuint(result->n_done, ==, 0);
        result->n_done++;
        result->n_before = result->fixture->log->len;
        result->n_objects = job->result_objects->len;
        result->created = job->result_created;
        if (job->result_objects->len > 0) /* has to be alive */
                result->id = g_strdup(((DlObject *)job->result_objects->pdata[0])->id);
        result->string = g_strdup(job->result_string);
        result->code = error ? (int)dl_error_code(error) : -1;
        result->message = error ? g_strdup(error->message) : NULL;
        g_assert_cmpint(job->state, ==,
                        !error                               ? DL_JOB_SUCCEEDED
                        : result->code == DL_ERROR_CANCELLED ? DL_JOB_CANCELLED
                                                             : DL_JOB_FAILED);
        g_assert_false(job->cancelable);
}

DlRequest core_request(CoreFixture *f, CoreResult *result)
{
        *result = (CoreResult){.fixture = f};
        return (DlRequest){.uid = 1000, .done = on_done, .userdata = result};
}

void core_result_clear(CoreResult *result)
{
        g_clear_pointer(&result->id, g_free);
        g_clear_pointer(&result->string, g_free);
        g_clear_pointer(&result->message, g_free);
}

void core_expect(CoreResult *result, int code)
{
        CORE_WAIT(result->fixture, result->n_done > 0);
        if (result->code != code)
                g_error("ended in %s (%s), not in %s",
                        result->code < 0 ? "success" : dl_error_name(result->code),
                        result->message ? result->message : "",
                        code < 0 ? "success" : dl_error_name(code));
        core_result_clear(result);
}

/* ---- the store ----------------------------------------------------------------------------- */

typedef struct Row {
        bool ended;
        char *value;
} Row;

static void on_row(const DlStoreEntry *entries, size_t n_entries, int64_t revision,
                   const GError *error, void *userdata)
{
        Row *row = userdata;

        g_assert_no_error(error);
        row->ended = true;
        row->value = n_entries > 0 ? g_strdup(entries[0].value) : NULL;
}

char *core_fixture_row(CoreFixture *f, const char *key)
{
        Row row = {0};

        dl_store_get(f->core->store, key, on_row, &row);
        CORE_WAIT(f, row.ended);
        return row.value;
}

static void on_put(bool succeeded, int64_t revision, const GError *error, void *userdata)
{
        g_assert_no_error(error);
        g_assert_true(succeeded);
        *(bool *)userdata = true;
}

void core_fixture_put(CoreFixture *f, const char *key, const char *value)
{
        DlStoreOp op = {.key = key, .value = value};
        bool ended = false;

        dl_store_txn(f->core->store, NULL, 0, &op, 1, on_put, &ended);
        CORE_WAIT(f, ended);
}
