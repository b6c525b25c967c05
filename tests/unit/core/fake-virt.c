/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The libvirt of the tests: calls that end as the test has said, and do to domains (fake-domains.c)
 * what they say. It owns what is in flight; one thread: the test's.
 */

#include "fake-domains.h"

#include "util/error.h"

#include <string.h>

typedef struct Plan {
        int error; /* 0: none */
        bool effect, hold;
} Plan;

struct DlVirt {
        sd_event *event;
        DlVirtEvents events;
        void *userdata;
        sd_event_source *connect;
        bool connected;
};

struct DlVirtCall {
        char *what;
        DlVirtAffect affect;
        char *uuid, *text;
        char **images;
        sd_event_source *answer;
        DlVirtDone done;
        DlVirtGotDomain got, plugged;
        DlVirtListed listed;
        DlVirtGotBlockJob got_block_job;
        DlVirtGotSizes got_sizes;
        DlVirtAnswered answered;
        uint64_t bytes;
        void *userdata;
};

static DlVirt *virt;
static const char *qemu_devices = "", *qemu_nodes = "";
static GHashTable *plans; /* what → Plan */
static GPtrArray *calls;  /* in flight */
static GPtrArray *carried_out;
static unsigned n_looks;
static bool late_call;

/* ---- what the test says -------------------------------------------------------------------- */

static Plan *plan_for(const char *what)
{
        Plan *plan;

        if (!plans)
                plans = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
        plan = g_hash_table_lookup(plans, what);
        if (!plan) {
                plan = g_new0(Plan, 1);
                g_hash_table_insert(plans, g_strdup(what), plan);
        }
        return plan;
}

void fake_virt_fail(const char *what, int code, bool effect)
{
        plan_for(what)->error = code;
        plan_for(what)->effect = effect;
}

void fake_virt_hold(const char *what)
{
        plan_for(what)->hold = true;
}

void fake_virt_forget_plans(void)
{
        g_clear_pointer(&plans, g_hash_table_unref);
}

void fake_virt_let_go(const char *what)
{
        plan_for(what)->hold = false;
        for (unsigned i = 0; calls && i < calls->len; i++) {
                DlVirtCall *call = calls->pdata[i];

                if (strcmp(call->what, what) == 0)
                        (void)sd_event_source_set_enabled(call->answer, SD_EVENT_ONESHOT);
        }
}

bool fake_virt_is_held(const char *what)
{
        for (unsigned i = 0; calls && i < calls->len; i++)
                if (strcmp(((DlVirtCall *)calls->pdata[i])->what, what) == 0)
                        return plan_for(what)->hold;
        return false;
}

void fake_virt_has_late_call(bool has)
{
        late_call = has;
}

void fake_virt_tell(const char *uuid)
{
        virt->events.domain_changed(uuid, virt->userdata);
}

void fake_virt_disconnect(void)
{
        virt->connected = false;
        virt->events.disconnected(virt->userdata);
}

void fake_virt_connect(void)
{
        virt->connected = true;
        virt->events.connected(virt->userdata);
}

const GPtrArray *fake_virt_log(void)
{
        if (!carried_out)
                carried_out = g_ptr_array_new_with_free_func(g_free);
        return carried_out;
}

unsigned fake_virt_n_looks(void)
{
        return n_looks;
}

unsigned fake_virt_in_flight(void)
{
        return calls ? calls->len : 0;
}

void fake_virt_forget(void)
{
        g_assert_cmpuint(fake_virt_in_flight(), ==, 0);
        fake_domains_forget();
        g_clear_pointer(&plans, g_hash_table_unref);
        g_clear_pointer(&calls, g_ptr_array_unref);
        g_clear_pointer(&carried_out, g_ptr_array_unref);
        n_looks = 0;
        late_call = false;
        fake_qemu_has("", "");
}

/* ---- calls --------------------------------------------------------------------------------- */

static void tell_answer(const char *uuid)
{
        g_autofree char *disk = fake_guest_take_answer();

        if (!disk || !virt)
                return;
        if (fake_guest() == FAKE_GUEST_RELEASES)
                virt->events.device_removed(uuid, disk, virt->userdata);
        else
                virt->events.device_removal_failed(uuid, disk, virt->userdata);
}

static void carry_out(const DlVirtCall *call, FakeDomain *domain)
{
        if (strcmp(call->what, "start") == 0)
                fake_domain_run(domain, true);
        else if (strcmp(call->what, "start without") == 0)
                fake_domain_run_without(domain, call->text);
        else if (strcmp(call->what, "destroy") == 0)
                fake_domain_run(domain, false);
        else if (strcmp(call->what, "attach live") == 0)
                fake_domain_attach(domain, DL_VIRT_LIVE, call->text);
        else if (strcmp(call->what, "attach both") == 0)
                fake_domain_attach(domain, DL_VIRT_LIVE | DL_VIRT_CONFIG, call->text);
        else if (strcmp(call->what, "attach config") == 0)
                fake_domain_attach(domain, DL_VIRT_CONFIG, call->text);
        else if (strcmp(call->what, "update config") == 0)
                fake_domain_update(domain, call->text);
        else if (strcmp(call->what, "resize") == 0)
                fake_domain_resize(domain, call->text, call->bytes);
        else if (strcmp(call->what, "detach live") == 0)
                fake_domain_unplug(domain, call->text);
        else if (strcmp(call->what, "detach config") == 0)
                fake_domain_drop_disk(call->uuid, DL_VIRT_CONFIG, call->text);
        else if (strcmp(call->what, "metadata") == 0)
                fake_domain_write_metadata(domain, call->affect, call->text);
        else if (strcmp(call->what, "snapshot") == 0)
                fake_domain_snapshot(domain, call->text, call->images[0]);
        else if (strcmp(call->what, "set images") == 0)
                fake_domain_set_images(domain, call->text, (const char *const *)call->images);
        else if (strcmp(call->what, "commit") == 0)
                fake_domain_commit(call->images[0]);
        else if (strcmp(call->what, "end block job") == 0)
                fake_domain_end_block_job();
        else if (strcmp(call->what, "pivot") == 0)
                fake_domain_pivot(domain, call->text);
        else if (strcmp(call->what, "create image") == 0)
                g_hash_table_add(fake_images(), g_strdup(call->text));
        else if (strcmp(call->what, "delete image") == 0)
                g_hash_table_remove(fake_images(), call->text);
        (void)fake_virt_log();
        g_ptr_array_add(carried_out, g_strdup_printf("%s %s", call->what,
                                                     domain ? fake_domain_name(domain) : ""));
}

static void call_free(DlVirtCall *call)
{
        g_ptr_array_remove(calls, call);
        sd_event_source_disable_unref(call->answer);
        g_free(call->what);
        g_free(call->uuid);
        g_free(call->text);
        g_strfreev(call->images);
        g_free(call);
}

static GError *error_of(const DlVirtCall *call, const FakeDomain *domain, bool *effect)
{
        Plan *plan = plan_for(call->what);
        int code = plan->error;

        *effect = plan->effect;
        plan->error = 0;
        plan->effect = false;
        if (!virt->connected) {
                *effect = false;
                return g_error_new(DL_ERROR, DL_ERROR_LIBVIRT_ERROR, "no connection");
        }
        if (call->uuid && !domain) {
                *effect = false;
                return g_error_new(DL_ERROR, DL_ERROR_VM_NOT_FOUND, "no domain");
        }
        return code ? g_error_new(DL_ERROR, code, "%s fails", call->what) : NULL;
}

static void answer_look(const DlVirtCall *call, const FakeDomain *domain, const GError *error)
{
        DlVirtDomain *seen = error ? NULL : fake_domain_look(domain);

        n_looks++;
        call->got(seen, error, call->userdata);
        g_clear_pointer(&seen, fake_look_free);
}

static void answer_plug(const DlVirtCall *call, const FakeDomain *domain, const GError *error)
{
        Plan *plan = plan_for("look at plugged");
        DlVirtDomain *seen = error || plan->error ? NULL : fake_domain_look(domain);

        plan->error = 0;
        call->plugged(seen, error, call->userdata);
        g_clear_pointer(&seen, fake_look_free);
}

static void answer_list(const DlVirtCall *call, const GError *error)
{
        g_autoptr(GPtrArray) list = fake_domains_look();

        call->listed((DlVirtDomain *const *)list->pdata, error ? 0 : list->len, error,
                     call->userdata);
}

static void answer_sizes(const DlVirtCall *call, const FakeDomain *domain, const GError *error)
{
        g_autoptr(GPtrArray) sizes = domain ? fake_domain_sizes(domain) : g_ptr_array_new();

        call->got_sizes((DlVirtDiskSize *const *)sizes->pdata, error ? 0 : sizes->len, error,
                        call->userdata);
}

void fake_qemu_has(const char *devices, const char *nodes)
{
        qemu_devices = devices;
        qemu_nodes = nodes;
}

/* A guest that releases does so at once. */
static void answer_monitor(const DlVirtCall *call, const GError *error)
{
        bool lists_nodes = strstr(call->text, "query-named-block-nodes");
        bool lists = lists_nodes || strstr(call->text, "query-block");
        g_autofree char *reply = g_strdup_printf("{\"return\":[%s]}", lists_nodes ? qemu_nodes
                                                                      : lists     ? qemu_devices
                                                                                  : "");

        if (!lists)
                g_ptr_array_add((GPtrArray *)fake_virt_log(), g_strdup(call->text));
        if (strstr(call->text, "device_del") && fake_guest() == FAKE_GUEST_RELEASES)
                qemu_devices = "";
        call->answered(error ? NULL : reply, error, call->userdata);
}

static int on_answer(sd_event_source *source, void *userdata)
{
        DlVirtCall *call = userdata;
        DlVirtCall copy = *call;
        g_autofree char *what = g_strdup(call->what), *uuid = g_strdup(call->uuid);
        g_autofree char *text = g_strdup(call->text);
        FakeDomain *domain = uuid ? fake_domain_of(uuid) : NULL;
        bool effect, changes = (call->done || call->plugged) && uuid;
        g_autoptr(GError) error = error_of(call, domain, &effect);

        g_auto(GStrv) files = g_strdupv(call->images);

        copy.what = what;
        copy.images = files;
        copy.uuid = uuid;
        copy.text = text;
        call_free(call);
        if ((copy.done || copy.plugged) && (!error || effect))
                carry_out(&copy, domain);
        if (copy.plugged)
                answer_plug(&copy, domain, error);
        else if (copy.got)
                answer_look(&copy, domain, error);
        else if (copy.listed)
                answer_list(&copy, error);
        else if (copy.got_block_job)
                copy.got_block_job(error ? NULL : fake_domain_block_job(), error, copy.userdata);
        else if (copy.got_sizes)
                answer_sizes(&copy, domain, error);
        else if (copy.answered)
                answer_monitor(&copy, error);
        else
                copy.done(error, copy.userdata);
        tell_answer(uuid);
        if (changes && (!error || effect) && virt && virt->connected)
                fake_virt_tell(uuid);
        return 0;
}

static DlVirtCall *call_new(const char *what, const char *uuid, const char *text, void *userdata)
{
        DlVirtCall *call = g_new0(DlVirtCall, 1);

        *call = (DlVirtCall){
                .what = g_strdup(what),
                .uuid = g_strdup(uuid),
                .text = g_strdup(text),
                .userdata = userdata,
        };
        g_assert_cmpint(sd_event_add_defer(virt->event, &call->answer, on_answer, call), >=, 0);
        if (plan_for(what)->hold)
                (void)sd_event_source_set_enabled(call->answer, SD_EVENT_OFF);
        if (!calls)
                calls = g_ptr_array_new();
        g_ptr_array_add(calls, call);
        return call;
}

DlVirtCall *dl_virt_ask_qemu(DlVirt *v, const char *uuid, const char *command, DlVirtAnswered done,
                             void *userdata)
{
        DlVirtCall *call = call_new("qemu", uuid, command, userdata);

        call->answered = done;
        return call;
}

static DlVirtCall *change_new(const char *what, const char *uuid, const char *text, DlVirtDone done,
                              void *userdata)
{
        DlVirtCall *call = call_new(what, uuid, text, userdata);

        call->done = done;
        return call;
}

/* ---- the functions of virt.h --------------------------------------------------------------- */

static int on_connect(sd_event_source *source, void *userdata)
{
        fake_virt_connect();
        return 0;
}

int dl_virt_new(sd_event *event, DlWorkers *workers, const char *uri, const DlVirtEvents *events,
                void *userdata, DlVirt **ret)
{
        g_assert_null(virt);
        virt = g_new0(DlVirt, 1);
        virt->event = event;
        virt->events = *events;
        virt->userdata = userdata;
        g_assert_cmpint(sd_event_add_defer(event, &virt->connect, on_connect, NULL), >=, 0);
        *ret = virt;
        return 0;
}

void dl_virt_free(DlVirt *v)
{
        if (!v)
                return;
        while (fake_virt_in_flight() > 0)
                dl_virt_cancel(calls->pdata[0]);
        sd_event_source_disable_unref(v->connect);
        g_free(v);
        virt = NULL;
}

bool dl_virt_drain(uint64_t timeout_usec)
{
        return true;
}

bool dl_virt_has_late_call(const DlVirt *v, const char *uuid)
{
        return late_call;
}

bool dl_virt_is_connected(const DlVirt *v)
{
        return v->connected;
}

const char *dl_virt_state_name(DlVirtState state)
{
        return state == DL_VIRT_RUNNING ? "running" : "shutoff";
}

bool dl_virt_state_is_active(DlVirtState state)
{
        return state != DL_VIRT_SHUTOFF && state != DL_VIRT_CRASHED;
}

void dl_virt_cancel(DlVirtCall *call)
{
        if (call)
                call_free(call);
}

DlVirtCall *dl_virt_list_domains(DlVirt *v, DlVirtListed done, void *userdata)
{
        DlVirtCall *call = call_new("list", NULL, NULL, userdata);

        call->listed = done;
        return call;
}

DlVirtCall *dl_virt_find_domains(DlVirt *v, const char *const *texts, DlVirtListed done,
                                 void *userdata)
{
        DlVirtCall *call = call_new("find", NULL, NULL, userdata);

        call->listed = done;
        return call;
}

DlVirtCall *dl_virt_get_domain(DlVirt *v, const char *uuid, DlVirtGotDomain done, void *userdata)
{
        DlVirtCall *call = call_new("look", uuid, NULL, userdata);

        call->got = done;
        return call;
}

DlVirtCall *dl_virt_get_disk_sizes(DlVirt *v, const char *uuid, DlVirtGotSizes done, void *userdata)
{
        DlVirtCall *call = call_new("sizes", uuid, NULL, userdata);

        call->got_sizes = done;
        return call;
}

DlVirtCall *dl_virt_resize_disk(DlVirt *v, const char *uuid, const char *alias, uint64_t bytes,
                                DlVirtDone done, void *userdata)
{
        DlVirtCall *call = change_new("resize", uuid, alias, done, userdata);

        call->bytes = bytes;
        return call;
}

DlVirtCall *dl_virt_start(DlVirt *v, const char *uuid, uint64_t timeout_usec, DlVirtDone done,
                          void *userdata)
{
        return change_new("start", uuid, NULL, done, userdata);
}

DlVirtCall *dl_virt_start_without(DlVirt *v, const char *uuid, const char *const *aliases,
                                  uint64_t timeout_usec, DlVirtDone done, void *userdata)
{
        g_autofree char *joined = g_strjoinv("\n", (char **)aliases);

        return change_new("start without", uuid, joined, done, userdata);
}

DlVirtCall *dl_virt_shutdown(DlVirt *v, const char *uuid, DlVirtDone done, void *userdata)
{
        return change_new("shutdown", uuid, NULL, done, userdata);
}

DlVirtCall *dl_virt_destroy(DlVirt *v, const char *uuid, DlVirtDone done, void *userdata)
{
        return change_new("destroy", uuid, NULL, done, userdata);
}

static const char *const attach_names[] = {
        [DL_VIRT_LIVE] = "attach live",
        [DL_VIRT_CONFIG] = "attach config",
        [DL_VIRT_LIVE | DL_VIRT_CONFIG] = "attach both",
};

DlVirtCall *dl_virt_attach_device(DlVirt *v, const char *uuid, const char *xml, DlVirtAffect affect,
                                  uint64_t timeout_usec, DlVirtDone done, void *userdata)
{
        return change_new(attach_names[affect], uuid, xml, done, userdata);
}

DlVirtCall *dl_virt_plug_device(DlVirt *v, const char *uuid, const char *xml, DlVirtAffect affect,
                                uint64_t timeout_usec, DlVirtGotDomain done, void *userdata)
{
        DlVirtCall *call = call_new(attach_names[affect], uuid, xml, userdata);

        call->plugged = done;
        return call;
}

DlVirtCall *dl_virt_attach_boot_disk(DlVirt *v, const char *uuid, const char *xml, DlVirtDone done,
                                     void *userdata)
{
        return change_new("attach config", uuid, xml, done, userdata);
}

DlVirtCall *dl_virt_update_device(DlVirt *v, const char *uuid, const char *xml, DlVirtAffect affect,
                                  DlVirtDone done, void *userdata)
{
        g_assert_cmpint(affect, ==, DL_VIRT_CONFIG);
        return change_new("update config", uuid, xml, done, userdata);
}

DlVirtCall *dl_virt_wait_for_others(DlVirt *v, const char *uuid, DlVirtDone done, void *userdata)
{
        return change_new("wait", uuid, NULL, done, userdata);
}

DlVirtCall *dl_virt_detach_device(DlVirt *v, const char *uuid, const char *alias,
                                  DlVirtAffect affect, uint64_t timeout_usec, DlVirtDone done,
                                  void *userdata)
{
        return change_new(affect == DL_VIRT_LIVE ? "detach live" : "detach config", uuid, alias,
                          done, userdata);
}

DlVirtCall *dl_virt_set_metadata(DlVirt *v, const char *uuid, const char *xml, DlVirtAffect affect,
                                 DlVirtDone done, void *userdata)
{
        DlVirtCall *call = change_new("metadata", uuid, xml, done, userdata);

        call->affect = affect;
        return call;
}

DlVirtCall *dl_virt_set_secret(DlVirt *v, const char *secret_uuid, const char *usage,
                               struct DlSecret *value, DlVirtDone done, void *userdata)
{
        return change_new("secret", NULL, secret_uuid, done, userdata);
}

DlVirtCall *dl_virt_forget_secret(DlVirt *v, const char *secret_uuid, DlVirtDone done,
                                  void *userdata)
{
        return change_new("forget-secret", NULL, secret_uuid, done, userdata);
}

/* ---- images -------------------------------------------------------------------------------- */

DlVirtCall *dl_virt_create_image(DlVirt *v, const char *file, uint64_t bytes, uint64_t free_min,
                                 bool keep, DlVirtDone done, void *userdata)
{
        g_assert_true(keep || !g_hash_table_contains(fake_images(), file));
        return change_new("create image", NULL, file, done, userdata);
}

DlVirtCall *dl_virt_delete_image(DlVirt *v, const char *file, DlVirtDone done, void *userdata)
{
        return change_new("delete image", NULL, file, done, userdata);
}

DlVirtCall *dl_virt_snapshot(DlVirt *v, const char *uuid, const char *alias, const char *file,
                             unsigned agent_sec, uint64_t timeout_usec, DlVirtDone done,
                             void *userdata)
{
        DlVirtCall *call = change_new("snapshot", uuid, alias, done, userdata);

        call->images = g_strdupv((char *[]){(char *)file, NULL});
        return call;
}

DlVirtCall *dl_virt_set_images(DlVirt *v, const char *uuid, const char *alias,
                               const char *const *files, DlVirtDone done, void *userdata)
{
        DlVirtCall *call = change_new("set images", uuid, alias, done, userdata);

        call->images = g_strdupv((char **)files);
        return call;
}

DlVirtCall *dl_virt_end_block_job(DlVirt *v, const char *uuid, const char *alias, bool pivot,
                                  DlVirtDone done, void *userdata)
{
        return change_new(pivot ? "pivot" : "end block job", uuid, alias, done, userdata);
}

DlVirtCall *dl_virt_check_room(DlVirt *v, const char *file, DlVirtDone done, void *userdata)
{
        return change_new("check room", NULL, file, done, userdata);
}

DlVirtCall *dl_virt_commit_image(DlVirt *v, const char *uuid, const char *alias, const char *file,
                                 uint64_t bytes_per_sec, uint64_t timeout_usec, DlVirtDone done,
                                 void *userdata)
{
        DlVirtCall *call = change_new("commit", uuid, alias, done, userdata);

        call->images = g_strdupv((char *[]){(char *)file, NULL});
        return call;
}

DlVirtCall *dl_virt_get_block_job(DlVirt *v, const char *uuid, const char *alias,
                                  DlVirtGotBlockJob done, void *userdata)
{
        DlVirtCall *call = call_new("block job", uuid, alias, userdata);

        call->got_block_job = done;
        return call;
}
