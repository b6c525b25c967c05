/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Cancelling each flow where it may wait long: it ends in Cancelled, says what it took back, and
 * all is as before; what comes late is made good. One thread.
 */

#include "core-fixture.h"
#include "fakes.h"
#include "util/uuid.h"

#include <string.h>

#define VM   "6695eb01-f6a4-8304-79aa-97f2502e193f"
#define IQN  "iqn.2026-11.org.example:t"
#define NEW  "iqn.2026-11.org.example:new"
#define GUID "360000000000000000e00000000010001"

static const FakeLun luns[] = {{.number = 1, .guid = GUID}};
static const char *const anywhere[] = {NULL};

static char *describe(CoreFixture *f)
{
        char *all = dl_core_describe(f->core), *jobs = strstr(all, "\"jobs\"");

        *jobs = 0;
        return all;
}

static void settle(CoreFixture *f)
{
        CORE_WAIT(f, f->core->n_writes == 0 && g_hash_table_size(f->core->operations) == 0);
        core_fixture_settle(f);
}

static DlTarget *target_of(CoreFixture *f)
{
        return DL_LOOKUP_TARGET(f->core, IQN);
}

static DlVm *vm_of(CoreFixture *f)
{
        return DL_LOOKUP_VM(f->core, VM);
}

static void begin(CoreFixture *f, gconstpointer data)
{
        CoreResult result;

        core_fixture_open(f);
        fake_domain_add(VM, "a", DL_VIRT_SHUTOFF, true);
        fake_portal_shows("p1", luns, G_N_ELEMENTS(luns));
        core_fixture_start(f);
        dl_target_add_portal(dl_target_ensure(f->core, IQN, NULL), "p1", 3260, 0);
        DlRequest request = core_request(f, &result);
        g_assert_nonnull(dl_flow_rescan(target_of(f), &request, NULL));
        core_expect(&result, -1);
        settle(f);
}

static void end(CoreFixture *f, gconstpointer data)
{
        settle(f);
        g_assert_cmpuint(g_hash_table_size(f->core->intents), ==, 0);
        g_assert_cmpuint(fake_virt_in_flight(), ==, 0);
        core_fixture_close(f);
        fake_iscsi_forget();
        fake_virt_forget();
}

/* Cancels the job when it waits; before: what the core knew. */
static void cancel(CoreFixture *f, DlJob *job, CoreResult *result, const char *before)
{
        g_assert_true(job->cancelable);
        g_assert_true(dl_job_cancel(job, NULL));
        g_assert_false(job->cancelable);
        core_expect(result, DL_ERROR_CANCELLED);
        g_assert_cmpint(job->state, ==, DL_JOB_CANCELLED);
        g_assert_cmpuint(fake_iscsi_in_flight(), ==, 0);
        settle(f);
        g_autofree char *after = describe(f);
        g_assert_cmpstr(after, ==, before);
}

static bool reports(const DlJob *job, const char *line)
{
        for (unsigned i = 0; i < job->report->len; i++)
                if (strcmp(job->report->pdata[i], line) == 0)
                        return true;
        return false;
}

static DlJob *attach(CoreFixture *f, CoreResult *result, const char *iqn)
{
        DlRequest request = core_request(f, result);
        DlDeviceSpec spec = {.guid = iqn ? NULL : GUID, .index = -1, .plug = -1};

        if (iqn) {
                spec.inline_lun.iqn = iqn;
                spec.inline_lun.address = "p2";
                spec.inline_lun.port = 3260;
                spec.inline_lun.guid = GUID;
        }
        return dl_flow_attach_disk(vm_of(f), &request, &spec, NULL);
}

static void run_vm(CoreFixture *f)
{
        fake_domain_set_state(VM, DL_VIRT_RUNNING);
        fake_virt_tell(VM);
        CORE_WAIT(f, dl_vm_is_active(vm_of(f)));
        settle(f);
}

static DlAttachment *attached(CoreFixture *f)
{
        char vdisk[DL_UUID_SIZE], id[DL_UUID_SIZE];
        CoreResult result;

        g_assert_nonnull(attach(f, &result, NULL));
        core_expect(&result, -1);
        settle(f);
        dl_uuid_for_guid(GUID, vdisk);
        dl_uuid_for_attachment(VM, vdisk, id);
        return DL_LOOKUP_ATTACHMENT(f->core, id);
}

/* ---- silent portals ------------------------------------------------------------------------ */

typedef DlJob *(*Start)(CoreFixture *f, const DlRequest *request);

static DlJob *discover(CoreFixture *f, const DlRequest *request)
{
        DlChap none = {0};

        return dl_flow_discover(f->core, request, "p1", 3260, &none, NULL);
}

static DlJob *connect_pinned(CoreFixture *f, const DlRequest *request)
{
        return dl_flow_connect(target_of(f), request, &(DlConnectSpec){.pin = true}, NULL);
}

static DlJob *rescan(CoreFixture *f, const DlRequest *request)
{
        return dl_flow_rescan(target_of(f), request, NULL);
}

static DlJob *refresh(CoreFixture *f, const DlRequest *request)
{
        return dl_flow_lun_refresh(DL_LOOKUP_LUN(f->core, GUID), request, NULL);
}

static DlJob *run(CoreFixture *f, const DlRequest *request)
{
        return dl_flow_run(vm_of(f), request, anywhere, NULL);
}

static void test_silent_portal(CoreFixture *f, gconstpointer data)
{
        static const Start starts[] = {discover, connect_pinned, rescan, refresh, run};

        attached(f);
        fake_portal_is_silent("p1");
        for (unsigned i = 0; i < G_N_ELEMENTS(starts); i++) {
                g_autofree char *before = describe(f);
                CoreResult result;
                DlRequest request = core_request(f, &result);
                DlJob *job = starts[i](f, &request);

                g_assert_nonnull(job);
                CORE_WAIT(f, fake_iscsi_in_flight() > 0);
                cancel(f, job, &result, before);
        }
}

static void test_attach_inline(CoreFixture *f, gconstpointer data)
{
        g_autofree char *before = describe(f);
        CoreResult result;

        fake_portal_is_silent("p2");
        DlJob *job = attach(f, &result, NEW);
        CORE_WAIT(f, fake_iscsi_in_flight() > 0);
        cancel(f, job, &result, before);
        g_assert_true(reports(job, "Forgot target " NEW " again"));

        job = attach(f, &result, IQN);
        CORE_WAIT(f, fake_iscsi_in_flight() > 0);
        cancel(f, job, &result, before);
        g_assert_true(reports(job, "Removed the portal p2:3260 of target " IQN " again"));
}

/* ---- guests -------------------------------------------------------------------------------- */

static void test_unplug(CoreFixture *f, gconstpointer data)
{
        DlJob *(*const flows[])(DlAttachment * a, const DlRequest *request,
                                GError **error) = {dl_flow_unplug, dl_flow_detach};
        char vdisk[DL_UUID_SIZE];

        run_vm(f);
        DlAttachment *a = attached(f);
        dl_uuid_for_guid(GUID, vdisk);
        g_autofree char *alias = dl_disk_alias(vdisk);
        fake_guest_does(FAKE_GUEST_IS_SILENT);
        for (unsigned i = 0; i < G_N_ELEMENTS(flows); i++) {
                g_autofree char *before = describe(f);
                CoreResult result;
                DlRequest request = core_request(f, &result);

                core_fixture_forget(f);
                DlJob *job = flows[i](a, &request, NULL);
                CORE_WAIT(f, vm_of(f)->releasing);
                core_fixture_settle(f);
                cancel(f, job, &result, before);
                g_assert_true(reports(job, "The guest of VM a was asked to release " GUID
                                           "; if it does so yet, the disk is plugged in again"));
        }
        /* it does so yet */
        fake_domain_drop_disk(VM, DL_VIRT_LIVE, alias);
        dl_vm_events.device_removed(VM, alias, f->core);
        CORE_WAIT(f, fake_domain_disk(VM, DL_VIRT_LIVE, alias));
        settle(f);
        g_assert_true(a->plugged);
}

static void test_stop(CoreFixture *f, gconstpointer data)
{
        CoreResult result;
        DlRequest request = core_request(f, &result);

        run_vm(f);
        g_autofree char *before = describe(f);
        DlJob *job = dl_flow_stop(vm_of(f), &request, true, NULL);
        CORE_WAIT(f, vm_of(f)->stopped);
        cancel(f, job, &result, before);
        g_assert_null(vm_of(f)->stopped);
        g_assert_true(reports(job, "The guest of VM a was asked to shut down, and may do so yet"));

        /* nobody can take back that it is powered off */
        fake_virt_hold("destroy");
        request = core_request(f, &result);
        job = dl_flow_stop(vm_of(f), &request, false, NULL);
        CORE_WAIT(f, fake_virt_is_held("destroy"));
        g_assert_false(job->cancelable);
        g_assert_false(dl_job_cancel(job, NULL));
        fake_virt_let_go("destroy");
        core_expect(&result, -1);
}

/* One that waits for its turn goes at once, and the other is not disturbed. */
static void test_queued(CoreFixture *f, gconstpointer data)
{
        CoreResult first, second;

        fake_virt_hold("look");
        attach(f, &first, NULL);
        CORE_WAIT(f, fake_virt_is_held("look"));
        DlJob *job = attach(f, &second, NULL);
        g_assert_true(dl_job_cancel(job, NULL));
        core_expect(&second, DL_ERROR_CANCELLED);
        g_assert_cmpuint(first.n_done, ==, 0);
        fake_virt_let_go("look");
        core_expect(&first, -1);
}

int main(int argc, char **argv)
{
        g_test_init(&argc, &argv, NULL);
#define TEST(name, function)                                                                       \
        g_test_add("/core/cancel/" name, CoreFixture, NULL, begin, function, end)
        TEST("silent-portal", test_silent_portal);
        TEST("attach-inline", test_attach_inline);
        TEST("unplug", test_unplug);
        TEST("stop", test_stop);
        TEST("queued", test_queued);
        return g_test_run();
}
