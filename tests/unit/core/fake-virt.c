/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The libvirt of the tests: domains that are strings. It owns them; one thread: the test's. */

#include "fakes.h"

#include "util/error.h"
#include "virt/domain-xml.h"

#include <string.h>

enum {
        LIVE,
        CONFIG,
};

typedef struct Disk {
        char *alias, *xml;
        uint64_t bytes; /* that the guest sees */
} Disk;

typedef struct Domain {
        char *uuid, *name;
        DlVirtState state;
        bool persistent;
        char *metadata[2];
        GPtrArray *disks[2]; /* Disk */
        GString *devices;
} Domain;

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
static GHashTable *domains; /* UUID → Domain */
static GHashTable *plans;   /* what → Plan */
static GPtrArray *calls;    /* in flight */
static GPtrArray *carried_out;
static GHashTable *images; /* files that there are */
static DlVirtBlockJob block_job;
static char *committing; /* the file that is */
static unsigned n_looks;
static FakeGuest guest;
static bool late_call;
static uint64_t size_of_luns = 1024 * 1024 * 1024;
static char *answered; /* alias of the disk that the guest has an answer for */

/* ---- domains ------------------------------------------------------------------------------- */

static void disk_free(gpointer p)
{
        Disk *disk = p;

        g_free(disk->alias);
        g_free(disk->xml);
        g_free(disk);
}

static void domain_free(gpointer p)
{
        Domain *domain = p;

        for (int i = 0; i < 2; i++) {
                g_free(domain->metadata[i]);
                g_ptr_array_unref(domain->disks[i]);
        }
        g_string_free(domain->devices, TRUE);
        g_free(domain->uuid);
        g_free(domain->name);
        g_free(domain);
}

static Domain *domain_of(const char *uuid)
{
        return domains ? g_hash_table_lookup(domains, uuid) : NULL;
}

void fake_domain_add(const char *uuid, const char *name, DlVirtState state, bool persistent)
{
        Domain *domain = g_new0(Domain, 1);

        *domain = (Domain){
                .uuid = g_strdup(uuid),
                .name = g_strdup(name),
                .state = state,
                .persistent = persistent,
                .disks = {g_ptr_array_new_with_free_func(disk_free),
                          g_ptr_array_new_with_free_func(disk_free)},
                .devices = g_string_new("<controller type='scsi' index='0' model='virtio-scsi'/>"),
        };
        if (!domains)
                domains = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, domain_free);
        g_hash_table_replace(domains, domain->uuid, domain);
}

void fake_domain_remove(const char *uuid)
{
        g_hash_table_remove(domains, uuid);
}

void fake_domain_set_state(const char *uuid, DlVirtState state)
{
        domain_of(uuid)->state = state;
}

static void set_metadata(Domain *domain, int where, const char *xml)
{
        g_free(domain->metadata[where]);
        domain->metadata[where] = g_strdup(xml);
}

/* What it starts with is what is defined; what it had live is gone when it stops. */
static void set_running(Domain *domain, bool running)
{
        domain->state = running ? DL_VIRT_RUNNING : DL_VIRT_SHUTOFF;
        g_ptr_array_set_size(domain->disks[LIVE], 0);
        set_metadata(domain, LIVE, running ? domain->metadata[CONFIG] : NULL);
        for (unsigned i = 0; running && i < domain->disks[CONFIG]->len; i++) {
                const Disk *from = domain->disks[CONFIG]->pdata[i];
                Disk *disk = g_new0(Disk, 1);

                disk->alias = g_strdup(from->alias);
                disk->xml = g_strdup(from->xml);
                disk->bytes = size_of_luns;
                g_ptr_array_add(domain->disks[LIVE], disk);
        }
}

void fake_domain_start_or_stop(const char *uuid)
{
        set_running(domain_of(uuid), !dl_virt_state_is_active(domain_of(uuid)->state));
}

void fake_domain_add_device(const char *uuid, const char *xml)
{
        g_string_append(domain_of(uuid)->devices, xml);
}

const char *fake_domain_metadata(const char *uuid)
{
        return domain_of(uuid)->metadata[domain_of(uuid)->persistent ? CONFIG : LIVE];
}

void fake_domain_set_metadata(const char *uuid, const char *xml)
{
        set_metadata(domain_of(uuid), LIVE, xml);
        set_metadata(domain_of(uuid), CONFIG, xml);
}

static Disk *find_disk(const Domain *domain, int where, const char *alias)
{
        for (unsigned i = 0; i < domain->disks[where]->len; i++) {
                Disk *disk = domain->disks[where]->pdata[i];

                if (strcmp(disk->alias, alias) == 0)
                        return disk;
        }
        return NULL;
}

const char *fake_domain_disk(const char *uuid, DlVirtAffect where, const char *alias)
{
        Disk *disk = find_disk(domain_of(uuid), where == DL_VIRT_LIVE ? LIVE : CONFIG, alias);

        return disk ? disk->xml : NULL;
}

void fake_domain_drop_disk(const char *uuid, DlVirtAffect where, const char *alias)
{
        Domain *domain = domain_of(uuid);
        int i = where == DL_VIRT_LIVE ? LIVE : CONFIG;
        Disk *disk = find_disk(domain, i, alias);

        if (disk)
                g_ptr_array_remove(domain->disks[i], disk);
}

void fake_guest_sees(uint64_t bytes)
{
        size_of_luns = bytes;
}

void fake_guest_does(FakeGuest does)
{
        guest = does;
}

static char *domain_xml(const Domain *domain, int where)
{
        GString *xml = g_string_new("<domain type='kvm'>");

        g_string_append_printf(xml, "<name>%s</name><uuid>%s</uuid>", domain->name, domain->uuid);
        if (domain->metadata[where])
                g_string_append_printf(xml, "<metadata>%s</metadata>", domain->metadata[where]);
        g_string_append_printf(xml, "<devices>%s", domain->devices->str);
        for (unsigned i = 0; i < domain->disks[where]->len; i++)
                g_string_append(xml, ((Disk *)domain->disks[where]->pdata[i])->xml);
        g_string_append(xml, "</devices></domain>");
        return g_string_free(xml, FALSE);
}

static DlVirtDomain *look_at(const Domain *domain)
{
        DlVirtDomain *d = g_new0(DlVirtDomain, 1);

        *d = (DlVirtDomain){
                .uuid = g_strdup(domain->uuid),
                .name = g_strdup(domain->name),
                .state = domain->state,
                .persistent = domain->persistent,
                .live_xml = dl_virt_state_is_active(domain->state) ? domain_xml(domain, LIVE)
                                                                   : NULL,
                .inactive_xml = domain->persistent ? domain_xml(domain, CONFIG) : NULL,
        };
        return d;
}

static void seen_free(gpointer p)
{
        DlVirtDomain *d = p;

        g_free(d->uuid);
        g_free(d->name);
        g_free(d->live_xml);
        g_free(d->inactive_xml);
        g_free(d);
}

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
        g_clear_pointer(&domains, g_hash_table_unref);
        g_clear_pointer(&plans, g_hash_table_unref);
        g_clear_pointer(&calls, g_ptr_array_unref);
        g_clear_pointer(&carried_out, g_ptr_array_unref);
        g_clear_pointer(&images, g_hash_table_unref);
        g_clear_pointer(&committing, g_free);
        block_job = (DlVirtBlockJob){};
        n_looks = 0;
        guest = FAKE_GUEST_RELEASES;
        size_of_luns = 1024 * 1024 * 1024;
        late_call = false;
        fake_qemu_has("", "");
}

/* ---- effects ------------------------------------------------------------------------------- */

static Disk *parse_disk(const Domain *domain, const char *xml)
{
        g_autofree char *whole = g_strdup_printf("<domain><name>x</name><uuid>%s</uuid><devices>%s"
                                                 "</devices></domain>",
                                                 domain->uuid, xml);
        g_autoptr(GError) error = NULL;
        g_autoptr(DlDomain) parsed = dl_domain_parse(whole, &error);
        Disk *disk = g_new0(Disk, 1);

        g_assert_no_error(error);
        g_assert_cmpuint(parsed->disks->len, ==, 1);
        disk->alias = g_strdup(((DlDomainDisk *)parsed->disks->pdata[0])->alias);
        disk->xml = g_strdup(xml);
        return disk;
}

static void attach(Domain *domain, int where, const char *xml)
{
        Disk *disk = parse_disk(domain, xml);

        g_assert_null(find_disk(domain, where, disk->alias));
        disk->bytes = size_of_luns;
        g_ptr_array_add(domain->disks[where], disk);
}

static void update_config(Domain *domain, const char *xml)
{
        Disk *disk = parse_disk(domain, xml);

        g_assert_nonnull(find_disk(domain, CONFIG, disk->alias));
        fake_domain_drop_disk(domain->uuid, DL_VIRT_CONFIG, disk->alias);
        g_ptr_array_add(domain->disks[CONFIG], disk);
}

static void detach_live(Domain *domain, const char *alias)
{
        switch (guest) {
        case FAKE_GUEST_RELEASES:
                fake_domain_drop_disk(domain->uuid, DL_VIRT_LIVE, alias);
                answered = g_strdup(alias);
                break;
        case FAKE_GUEST_REFUSES:
                answered = g_strdup(alias);
                break;
        case FAKE_GUEST_IS_SILENT:
                break;
        }
}

static void tell_answer(const char *uuid)
{
        g_autofree char *disk = g_steal_pointer(&answered);

        if (!disk || !virt)
                return;
        if (guest == FAKE_GUEST_RELEASES)
                virt->events.device_removed(uuid, disk, virt->userdata);
        else
                virt->events.device_removal_failed(uuid, disk, virt->userdata);
}

/* The files over the disk, the uppermost first. */
static GPtrArray *images_of(const char *domain_xml, const char *alias)
{
        g_autoptr(DlDomain) domain = dl_domain_parse(domain_xml, NULL);
        GPtrArray *files = g_ptr_array_new_with_free_func(g_free);

        for (unsigned i = 0; i < domain->disks->len; i++) {
                const DlDomainDisk *disk = domain->disks->pdata[i];

                for (unsigned k = 0; g_strcmp0(disk->alias, alias) == 0 && k < disk->images->len;
                     k++)
                        g_ptr_array_add(files,
                                        g_strdup(((DlDomainImage *)disk->images->pdata[k])->file));
        }
        return files;
}

static void set_images(Domain *domain, int where, const char *alias, const char *const *files)
{
        DlVirtDomain *seen = look_at(domain);
        g_autofree char *xml = dl_disk_with_images(
                where == LIVE ? seen->live_xml : seen->inactive_xml, alias, files, NULL);

        g_assert_nonnull(xml);
        fake_domain_drop_disk(domain->uuid, where == LIVE ? DL_VIRT_LIVE : DL_VIRT_CONFIG, alias);
        attach(domain, where, xml);
        seen_free(seen);
}

static void snapshot(Domain *domain, const char *alias, const char *file)
{
        DlVirtDomain *seen = look_at(domain);
        g_autoptr(GPtrArray) files = images_of(seen->live_xml, alias);

        g_assert_true(g_hash_table_contains(fake_images(), file));
        g_ptr_array_insert(files, 0, g_strdup(file));
        g_ptr_array_add(files, NULL);
        set_images(domain, LIVE, alias, (const char *const *)files->pdata);
        seen_free(seen);
}

static void start_commit(const char *file)
{
        g_free(committing);
        committing = g_strdup(file);
        block_job = (DlVirtBlockJob){.running = true, .ready = true, .done = 1, .total = 1};
}

static void pivot(Domain *domain, const char *alias)
{
        DlVirtDomain *seen = look_at(domain);
        g_autoptr(GPtrArray) files = images_of(seen->live_xml, alias);

        g_assert_true(block_job.ready);
        g_assert_cmpstr(files->pdata[0], ==, committing);
        g_ptr_array_remove_index(files, 0);
        g_ptr_array_add(files, NULL);
        set_images(domain, LIVE, alias, (const char *const *)files->pdata);
        block_job = (DlVirtBlockJob){};
        seen_free(seen);
}

GHashTable *fake_images(void)
{
        if (!images)
                images = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
        return images;
}

static void start_without(Domain *domain, const char *joined)
{
        g_auto(GStrv) aliases = g_strsplit(joined, "\n", 0);
        g_autoptr(GString) metadata = g_string_new(domain->metadata[CONFIG]);

        set_running(domain, true);
        for (unsigned i = 0; aliases[i]; i++) {
                const char *vdisk = aliases[i] + strlen("ua-directlun-");
                g_autofree char *from = g_strdup_printf(" vdisk='%s'", vdisk);
                g_autofree char *to = g_strdup_printf(" left-out='yes' vdisk='%s'", vdisk);

                fake_domain_drop_disk(domain->uuid, DL_VIRT_LIVE, aliases[i]);
                g_string_replace(metadata, from, to, 1);
        }
        set_metadata(domain, LIVE, metadata->str);
}

static void carry_out(const DlVirtCall *call, Domain *domain)
{
        if (strcmp(call->what, "start") == 0)
                set_running(domain, true);
        else if (strcmp(call->what, "start without") == 0)
                start_without(domain, call->text);
        else if (strcmp(call->what, "destroy") == 0)
                set_running(domain, false);
        else if (strcmp(call->what, "attach live") == 0)
                attach(domain, LIVE, call->text);
        else if (strcmp(call->what, "attach both") == 0) {
                attach(domain, LIVE, call->text);
                attach(domain, CONFIG, call->text);
        } else if (strcmp(call->what, "attach config") == 0)
                attach(domain, CONFIG, call->text);
        else if (strcmp(call->what, "update config") == 0)
                update_config(domain, call->text);
        else if (strcmp(call->what, "resize") == 0)
                find_disk(domain, LIVE, call->text)->bytes = call->bytes;
        else if (strcmp(call->what, "detach live") == 0)
                detach_live(domain, call->text);
        else if (strcmp(call->what, "detach config") == 0)
                fake_domain_drop_disk(domain->uuid, DL_VIRT_CONFIG, call->text);
        else if (strcmp(call->what, "metadata") == 0) {
                if (call->affect & DL_VIRT_LIVE)
                        set_metadata(domain, LIVE, call->text);
                if (call->affect & DL_VIRT_CONFIG)
                        set_metadata(domain, CONFIG, call->text);
        } else if (strcmp(call->what, "snapshot") == 0)
                snapshot(domain, call->text, call->images[0]);
        else if (strcmp(call->what, "set images") == 0)
                set_images(domain, CONFIG, call->text, (const char *const *)call->images);
        else if (strcmp(call->what, "commit") == 0)
                start_commit(call->images[0]);
        else if (strcmp(call->what, "end block job") == 0)
                block_job = (DlVirtBlockJob){};
        else if (strcmp(call->what, "pivot") == 0)
                pivot(domain, call->text);
        else if (strcmp(call->what, "create image") == 0)
                g_hash_table_add(fake_images(), g_strdup(call->text));
        else if (strcmp(call->what, "delete image") == 0)
                g_hash_table_remove(fake_images(), call->text);
        (void)fake_virt_log();
        g_ptr_array_add(carried_out,
                        g_strdup_printf("%s %s", call->what, domain ? domain->name : ""));
}

/* ---- calls --------------------------------------------------------------------------------- */

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

static GError *error_of(const DlVirtCall *call, const Domain *domain, bool *effect)
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

static void answer_look(const DlVirtCall *call, const Domain *domain, const GError *error)
{
        DlVirtDomain *seen = error ? NULL : look_at(domain);

        n_looks++;
        call->got(seen, error, call->userdata);
        g_clear_pointer(&seen, seen_free);
}

static void answer_plug(const DlVirtCall *call, const Domain *domain, const GError *error)
{
        Plan *plan = plan_for("look at plugged");
        DlVirtDomain *seen = error || plan->error ? NULL : look_at(domain);

        plan->error = 0;
        call->plugged(seen, error, call->userdata);
        g_clear_pointer(&seen, seen_free);
}

static void answer_list(const DlVirtCall *call, const GError *error)
{
        g_autoptr(GPtrArray) list = g_ptr_array_new_with_free_func(seen_free);
        GHashTableIter iter;
        gpointer domain;

        if (domains) {
                g_hash_table_iter_init(&iter, domains);
                while (g_hash_table_iter_next(&iter, NULL, &domain))
                        g_ptr_array_add(list, look_at(domain));
        }
        call->listed((DlVirtDomain *const *)list->pdata, error ? 0 : list->len, error,
                     call->userdata);
}

static void answer_sizes(const DlVirtCall *call, const Domain *domain, const GError *error)
{
        g_autoptr(GPtrArray) sizes = g_ptr_array_new_with_free_func(g_free);

        for (unsigned i = 0; domain && i < domain->disks[LIVE]->len; i++) {
                const Disk *disk = domain->disks[LIVE]->pdata[i];
                DlVirtDiskSize *size = g_new(DlVirtDiskSize, 1);

                *size = (DlVirtDiskSize){disk->alias, disk->bytes};
                g_ptr_array_add(sizes, size);
        }
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
        if (strstr(call->text, "device_del") && guest == FAKE_GUEST_RELEASES)
                qemu_devices = "";
        call->answered(error ? NULL : reply, error, call->userdata);
}

static int on_answer(sd_event_source *source, void *userdata)
{
        DlVirtCall *call = userdata;
        DlVirtCall copy = *call;
        g_autofree char *what = g_strdup(call->what), *uuid = g_strdup(call->uuid);
        g_autofree char *text = g_strdup(call->text);
        Domain *domain = uuid ? domain_of(uuid) : NULL;
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
                copy.got_block_job(error ? NULL : &block_job, error, copy.userdata);
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
