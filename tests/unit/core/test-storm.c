/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Everything at once, in an order that no person would think of, but the same in every run: jobs
 * that meet, are cancelled and fail, VMs that come and go, a libvirt and portals that do, and the
 * service that ends in the middle. When it is over nothing is left half done. One thread.
 */

#include "core-fixture.h"
#include "core/records/journal.h"
#include "fakes.h"
#include "util/uuid.h"

#include <string.h>

#define N_VMS     3
#define N_TARGETS 2
#define N_LUNS    4
#define JOBS_MAX  512

static const char *const vms[N_VMS] = {"00000000-0000-4000-8000-00000000000a",
                                       "00000000-0000-4000-8000-00000000000b",
                                       "00000000-0000-4000-8000-00000000000c"};
static const char *const iqns[N_TARGETS] = {"iqn.2026-11.org.example:s",
                                            "iqn.2026-11.org.example:t"};
static const char *const portals[N_TARGETS][2] = {{"s1", "s2"}, {"t1", "t2"}};
static const char *const guids[N_LUNS] = {"3aa", "3bb", "3cc", "3dd"};
static const FakeLun before[] = {{.number = 1, .guid = "3aa"},
                                 {.number = 2, .guid = "3bb"},
                                 {.number = 3, .guid = "3cc"},
                                 {.number = 4, .guid = "3dd"}};
static const FakeLun after[] = {{.number = 1, .guid = "3bb"},
                                {.number = 2, .guid = "3aa"},
                                {.number = 3, .guid = "3cc"},
                                {.number = 9, .guid = "3dd"}};

typedef struct Storm {
        CoreFixture core;
        GRand *rand;
        bool connected;
        unsigned n_jobs; /* started */
        unsigned n_done;
} Storm;

static unsigned any(Storm *s, unsigned n)
{
        return (unsigned)g_rand_int_range(s->rand, 0, (gint32)n);
}

/* ---- jobs ---------------------------------------------------------------------------------- */

static void on_done(DlJob *job, const GError *error, void *userdata)
{
        Storm *s = userdata;

        s->n_done++;
        for (unsigned i = 0; i < job->result_objects->len; i++) /* each is alive */
                g_assert_nonnull(((DlObject *)job->result_objects->pdata[i])->id);
        if (error)
                g_assert_true(error->domain == DL_ERROR);
}

static DlRequest ask(Storm *s)
{
        return (DlRequest){.uid = any(s, 3),
                           .force = any(s, 8) == 0,
                           .timeout_usec = any(s, 8) == 0 ? 1000 : 0,
                           .done = on_done,
                           .userdata = s};
}

static void *any_object(Storm *s, DlKind kind)
{
        g_autoptr(GPtrArray) all = dl_core_list(s->core.core, kind);

        return all->len > 0 ? all->pdata[any(s, all->len)] : NULL;
}

static DlJob *attach(Storm *s, DlVm *vm, const DlRequest *request)
{
        unsigned target = any(s, N_TARGETS);
        DlDeviceSpec spec = {.index = -1, .plug = (int)any(s, 3) - 1, .shared = any(s, 2)};

        if (any(s, 3) > 0) {
                spec.guid = guids[any(s, N_LUNS)];
                return dl_flow_attach_disk(vm, request, &spec, NULL);
        }
        spec.inline_lun.iqn = iqns[target];
        spec.inline_lun.address = portals[target][any(s, 2)];
        spec.inline_lun.port = 3260;
        spec.inline_lun.guid = guids[any(s, N_LUNS)];
        return dl_flow_attach_disk(vm, request, &spec, NULL);
}

static DlJob *start_with_vm(Storm *s)
{
        static const char *const anywhere[] = {NULL};
        DlVm *vm = any_object(s, DL_KIND_VM);
        DlRequest request = ask(s);

        if (!vm)
                return NULL;
        switch (any(s, 4)) {
        case 0:
                return dl_flow_run(vm, &request, anywhere, NULL);
        case 1:
                return dl_flow_stop(vm, &request, any(s, 2), NULL);
        default:
                return attach(s, vm, &request);
        }
}

static DlJob *start_with_attachment(Storm *s)
{
        DlAttachment *a = any_object(s, DL_KIND_ATTACHMENT);
        DlRequest request = ask(s);

        if (!a)
                return NULL;
        switch (any(s, 3)) {
        case 0:
                return dl_flow_plug(a, &request, NULL);
        case 1:
                return dl_flow_unplug(a, &request, NULL);
        default:
                return dl_flow_detach(a, &request, NULL);
        }
}

static DlJob *start_with_target(Storm *s)
{
        DlTarget *target = any_object(s, DL_KIND_TARGET);
        DlRequest request = ask(s);
        unsigned n = any(s, N_TARGETS);
        DlPortalArg args[] = {{portals[n][0], 3260, 0}, {portals[n][1], 3260, 0}};

        if (!target)
                return dl_flow_add_target(s->core.core, &request, iqns[n], args, 2, NULL);
        switch (any(s, 6)) {
        case 0:
                return dl_flow_connect(target, &request, &(DlConnectSpec){.pin = any(s, 2)}, NULL);
        case 1:
                return dl_flow_unmanage(target, &request, NULL);
        case 2:
                return dl_flow_rescan(target, &request, NULL);
        case 3:
                return any(s, 4) ? NULL : dl_flow_forget(target, &request, NULL);
        case 4:
                return dl_flow_device_list(s->core.core, &request, NULL, NULL, any(s, 2), false,
                                           NULL);
        default:
                return dl_flow_add_target(s->core.core, &request, iqns[n], args, 2, NULL);
        }
}

static DlJob *start_with_vdisk(Storm *s)
{
        DlVDisk *vdisk = any_object(s, DL_KIND_VDISK);
        DlRequest request = ask(s);

        if (!vdisk || any(s, 3) == 0)
                return dl_flow_create_vdisk(s->core.core, &request, guids[any(s, N_LUNS)], NULL,
                                            NULL, NULL);
        return any(s, 2) ? dl_flow_vdisk_update(vdisk, &request, "name", NULL, NULL)
                         : dl_flow_vdisk_delete(vdisk, &request, NULL);
}

static void start_job(Storm *s)
{
        static DlJob *(*const starts[])(Storm * s) = {start_with_vm, start_with_attachment,
                                                      start_with_target, start_with_vdisk};
        unsigned kind = any(s, 8);

        if (starts[kind < 4 ? 0 : kind - 4](s))
                s->n_jobs++;
}

static void cancel_job(Storm *s)
{
        DlJob *job = any_object(s, DL_KIND_JOB);

        if (job)
                (void)dl_job_cancel(job, NULL);
}

/* ---- the world ----------------------------------------------------------------------------- */

static void change_portal(Storm *s)
{
        const char *portal = portals[any(s, N_TARGETS)][any(s, 2)];

        switch (any(s, 5)) {
        case 0:
                fake_portal_fails(portal, DL_ERROR_PORTAL_UNREACHABLE);
                break;
        case 1:
                fake_portal_is_silent(portal);
                break;
        case 2:
                fake_portal_shows(portal, after, G_N_ELEMENTS(after));
                break;
        default:
                fake_portal_shows(portal, before, G_N_ELEMENTS(before));
        }
}

static void change_domain(Storm *s)
{
        const char *vm = vms[any(s, N_VMS)];

        switch (any(s, 8)) {
        case 0: /* undefined, and (or not) defined anew without anything of ours */
                fake_domain_remove(vm);
                if (any(s, 2) && s->connected)
                        fake_virt_tell(vm);
                fake_domain_add(vm, vm + 35, any(s, 2) ? DL_VIRT_RUNNING : DL_VIRT_SHUTOFF, true);
                break;
        case 1:
        case 2:
                fake_domain_start_or_stop(vm);
                break;
        default: /* an event for nothing */
                break;
        }
        if (s->connected)
                fake_virt_tell(vm);
}

static void change_libvirt(Storm *s)
{
        static const char *const calls[] = {
                "look",        "start",         "destroy",     "attach config", "attach live",
                "attach both", "detach config", "detach live", "metadata",      "list"};
        bool late = any(s, 2);

        switch (any(s, 8)) {
        case 0:
                if (s->connected)
                        fake_virt_disconnect();
                else
                        fake_virt_connect();
                s->connected = !s->connected;
                break;
        case 1:
                fake_guest_does(any(s, 3));
                break;
        default:
                fake_virt_fail(calls[any(s, G_N_ELEMENTS(calls))],
                               late ? DL_ERROR_TIMED_OUT : DL_ERROR_LIBVIRT_ERROR,
                               late && any(s, 2));
        }
}

static void restart(Storm *s)
{
        s->n_jobs = s->n_done = 0;
        core_fixture_stop(&s->core);
        core_fixture_start(&s->core);
        s->connected = true;
}

static void step(Storm *s)
{
        switch (any(s, 40)) {
        case 0:
                if (any(s, 10) == 0)
                        restart(s);
                break;
        case 1:
        case 2:
                change_domain(s);
                break;
        case 3:
        case 4:
                change_portal(s);
                break;
        case 5:
        case 6:
        case 7:
                change_libvirt(s);
                break;
        case 8:
                cancel_job(s);
                break;
        case 9:
        case 10:
        case 11:
                start_job(s);
                break;
        default:
                g_assert_cmpint(sd_event_run(s->core.event, 0), >=, 0);
        }
}

/* ---- afterwards ---------------------------------------------------------------------------- */

/* All is well in the world, and it gets quiet. */
static void calm_down(Storm *s)
{
        CoreFixture *f = &s->core;

        fake_virt_forget_plans();
        fake_guest_does(FAKE_GUEST_RELEASES);
        for (unsigned t = 0; t < N_TARGETS; t++)
                for (unsigned p = 0; p < 2; p++)
                        fake_portal_shows(portals[t][p], before, G_N_ELEMENTS(before));
        if (!s->connected)
                fake_virt_connect();
        for (unsigned i = 0; i < N_VMS; i++)
                fake_virt_tell(vms[i]);
        g_autoptr(GPtrArray) jobs = dl_core_list(f->core, DL_KIND_JOB);
        for (unsigned i = 0; i < jobs->len; i++) /* a guest that nobody shuts down */
                (void)dl_job_cancel(jobs->pdata[i], NULL);
        CORE_WAIT(f, g_hash_table_size(f->core->operations) == 0 && fake_iscsi_in_flight() == 0);
        core_fixture_settle(f);
        for (unsigned i = 0; i < N_VMS; i++) /* what was left to be settled is, after a look */
                fake_virt_tell(vms[i]);
        CORE_WAIT(f, g_hash_table_size(f->core->operations) == 0 &&
                             g_hash_table_size(f->core->intents) == 0 && f->core->n_writes == 0);
        core_fixture_settle(f);
}

static void expect_no_half(Storm *s, const char *uuid)
{
        DlVm *vm = DL_LOOKUP_VM(s->core.core, uuid);

        g_assert_nonnull(vm);
        g_assert_true(g_queue_is_empty(&vm->queue));
        g_assert_null(vm->releasing);
        g_assert_null(vm->stopped);
        for (unsigned i = 0; i < N_LUNS; i++) {
                char vdisk[DL_UUID_SIZE], id[DL_UUID_SIZE];
                g_autofree char *alias = NULL;

                dl_uuid_for_guid(guids[i], vdisk);
                dl_uuid_for_attachment(uuid, vdisk, id);
                alias = dl_disk_alias(vdisk);
                const DlAttachment *a = DL_LOOKUP_ATTACHMENT(s->core.core, id);
                bool live = fake_domain_disk(uuid, DL_VIRT_LIVE, alias),
                     config = fake_domain_disk(uuid, DL_VIRT_CONFIG, alias);

                if ((live || config) && !a)
                        g_error("VM %s has a disk of %s without an attachment", uuid, guids[i]);
                if (a && dl_vm_is_active(vm))
                        g_assert_cmpint(a->plugged, ==, live);
                if (a)
                        g_assert_cmpint(a->in_config, ==, config);
        }
}

/* A LUN in two VMs only if both attachments say that it is shared. */
static void expect_no_sharing(Storm *s)
{
        g_autoptr(GPtrArray) all = dl_core_list(s->core.core, DL_KIND_ATTACHMENT);

        for (unsigned i = 0; i < all->len; i++)
                for (unsigned k = i + 1; k < all->len; k++) {
                        const DlDomainAttachment *a = ((DlAttachment *)all->pdata[i])->meta,
                                                 *b = ((DlAttachment *)all->pdata[k])->meta;

                        if (strcmp(a->guid, b->guid) == 0 && !(a->shared && b->shared))
                                g_error("%s is in two VMs", a->guid);
                }
}

static void run_storm(gconstpointer seed)
{
        Storm s = {.rand = g_rand_new_with_seed(GPOINTER_TO_UINT(seed)), .connected = true};
        CoreFixture *f = &s.core;

        core_fixture_open(f);
        f->settings->job_linger_usec = 1000;
        f->settings->release_timeout_usec = 2000;
        f->settings->check_interval_usec = 5000;
        f->settings->hold_timeout_usec = 5000;
        for (unsigned i = 0; i < N_VMS; i++)
                fake_domain_add(vms[i], vms[i] + 35, i ? DL_VIRT_RUNNING : DL_VIRT_SHUTOFF, true);
        for (unsigned t = 0; t < N_TARGETS; t++)
                for (unsigned p = 0; p < 2; p++)
                        fake_portal_shows(portals[t][p], before, G_N_ELEMENTS(before));
        core_fixture_start(f);
        for (unsigned i = 0; i < 4000; i++)
                step(&s);
        calm_down(&s);
        g_assert_cmpuint(s.n_done, ==, s.n_jobs);
        for (unsigned i = 0; i < N_VMS; i++)
                expect_no_half(&s, vms[i]);
        expect_no_sharing(&s);
        g_autoptr(GPtrArray) targets = dl_core_list(f->core, DL_KIND_TARGET);
        for (unsigned i = 0; i < targets->len; i++)
                g_assert_cmpuint(((DlTarget *)targets->pdata[i])->n_jobs, <=, 1); /* a check */

        core_fixture_close(f);
        fake_iscsi_forget();
        fake_virt_forget();
        g_rand_free(s.rand);
}

int main(int argc, char *argv[])
{
        unsigned n = 8;

        if (g_getenv("DL_TEST_STORMS"))
                n = (unsigned)g_ascii_strtoull(g_getenv("DL_TEST_STORMS"), NULL, 10);
        g_test_init(&argc, &argv, NULL);
        for (unsigned i = 1; i <= n; i++) {
                g_autofree char *path = g_strdup_printf("/core/storm/%u", i);

                g_test_add_data_func(path, GUINT_TO_POINTER(i), run_storm);
        }
        return g_test_run();
}
