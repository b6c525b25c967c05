/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a VM that runs has of its disks: plug and unplug, run and stop, their sizes. One thread. */

#include "flow-fixture.h"

#include <string.h>

/* ---- plug, unplug, detach ------------------------------------------------------------------ */

static void test_unplug_and_plug(CoreFixture *f, gconstpointer data)
{
        flow_run_vm(f, VM_A);
        flow_attach(f, VM_A, -1);
        flow_change(f, dl_flow_plug, -1); /* repeating is no error */
        flow_change(f, dl_flow_unplug, -1);
        g_assert_false(flow_attachment_of(f, VM_A)->plugged);
        g_assert_null(fake_domain_disk(VM_A, DL_VIRT_CONFIG, flow_alias));
        g_assert_false(dl_target_is_managed(DL_LOOKUP_TARGET(f->core, IQN)));
        flow_change(f, dl_flow_unplug, -1);
        flow_change(f, dl_flow_plug, -1);
        flow_expect_attached(f, VM_A, true);
        flow_change(f, dl_flow_detach, -1);
        g_assert_null(flow_attachment_of(f, VM_A));
        g_assert_null(fake_domain_metadata(VM_A));
}

static void test_guest_refuses(CoreFixture *f, gconstpointer data)
{
        flow_run_vm(f, VM_A);
        flow_attach(f, VM_A, -1);
        fake_guest_does(FAKE_GUEST_REFUSES);
        flow_change(f, dl_flow_unplug, DL_ERROR_GUEST_DID_NOT_RELEASE);
        flow_expect_attached(f, VM_A, true);
        f->settings->release_timeout_usec = 1000;
        fake_guest_does(FAKE_GUEST_IS_SILENT);
        flow_change(f, dl_flow_detach, DL_ERROR_GUEST_DID_NOT_RELEASE);
        flow_expect_attached(f, VM_A, true);
}

/* The request was not answered, but it had an effect. */
static void test_unplug_times_out(CoreFixture *f, gconstpointer data)
{
        flow_run_vm(f, VM_A);
        flow_attach(f, VM_A, -1);
        fake_guest_does(FAKE_GUEST_IS_SILENT);
        fake_virt_fail("detach live", DL_ERROR_TIMED_OUT, false);
        fake_virt_has_late_call(true);
        flow_change(f, dl_flow_unplug, DL_ERROR_TIMED_OUT);
        core_fixture_settle(f);
        fake_virt_has_late_call(false);
        fake_domain_drop_disk(VM_A, DL_VIRT_LIVE, flow_alias); /* late */
        fake_virt_tell(VM_A);
        CORE_WAIT(f, g_hash_table_size(f->core->intents) == 0);
        core_fixture_settle(f);
        g_assert_false(flow_attachment_of(f, VM_A)->plugged);
        g_assert_null(fake_domain_disk(VM_A, DL_VIRT_CONFIG, flow_alias));
}

static void test_vm_goes_while_unplugging(CoreFixture *f, gconstpointer data)
{
        CoreResult result;
        DlRequest request = core_request(f, &result);

        flow_run_vm(f, VM_A);
        flow_attach(f, VM_A, -1);
        fake_guest_does(FAKE_GUEST_IS_SILENT);
        dl_flow_unplug(flow_attachment_of(f, VM_A), &request, NULL);
        CORE_WAIT(f, flow_vm_a(f)->releasing);
        core_fixture_settle(f);
        fake_domain_remove(VM_A);
        fake_virt_tell(VM_A); /* no need to wait for the guest's deadline: there is no guest */
        core_expect(&result, DL_ERROR_VM_NOT_FOUND);
}

/* XML that cannot be parsed does not say that a disk is gone. */
static void test_unreadable_is_not_released(CoreFixture *f, gconstpointer data)
{
        CoreResult result;
        DlRequest request = core_request(f, &result);

        flow_run_vm(f, VM_A);
        flow_attach(f, VM_A, -1);
        f->settings->release_timeout_usec = G_USEC_PER_SEC / 4;
        fake_guest_does(FAKE_GUEST_IS_SILENT);
        dl_flow_unplug(flow_attachment_of(f, VM_A), &request, NULL);
        CORE_WAIT(f, flow_vm_a(f)->releasing);
        fake_domain_add_device(VM_A, "<unclosed>");
        fake_virt_tell(VM_A);
        CORE_WAIT(f, flow_vm_a(f)->unreadable);
        g_assert_true(flow_attachment_of(f, VM_A)->plugged);
        core_expect(&result, DL_ERROR_GUEST_DID_NOT_RELEASE);
        g_assert_nonnull(fake_domain_disk(VM_A, DL_VIRT_LIVE, flow_alias));
}

/* ---- run and stop -------------------------------------------------------------------------- */

static void run(CoreFixture *f, int code)
{
        static const char *const anywhere[] = {NULL};
        CoreResult result;
        DlRequest request = core_request(f, &result);

        dl_flow_run(flow_vm_a(f), &request, anywhere, NULL);
        core_expect(&result, code);
        core_fixture_settle(f);
}

static void test_run_and_stop(CoreFixture *f, gconstpointer data)
{
        CoreResult result;
        DlRequest request = core_request(f, &result);

        flow_attach(f, VM_A, -1);
        fake_portal_fails("p1", DL_ERROR_PORTAL_UNREACHABLE);
        run(f, DL_ERROR_NO_HOST_AVAILABLE);
        g_assert_false(dl_vm_is_active(flow_vm_a(f)));
        fake_portal_shows("p1", flow_luns, G_N_ELEMENTS(flow_luns));
        run(f, -1);
        g_assert_true(dl_vm_is_active(flow_vm_a(f)));
        run(f, DL_ERROR_VM_RUNNING);

        dl_flow_stop(flow_vm_a(f), &request, false, NULL);
        core_expect(&result, -1);
        g_assert_false(dl_vm_is_active(flow_vm_a(f)));
        request = core_request(f, &result);
        dl_flow_stop(flow_vm_a(f), &request, false, NULL);
        core_expect(&result, -1);
}

static void test_stop_gracefully(CoreFixture *f, gconstpointer data)
{
        CoreResult result;
        DlRequest request = core_request(f, &result);

        flow_run_vm(f, VM_A);
        dl_flow_stop(flow_vm_a(f), &request, true, NULL);
        CORE_WAIT(f, flow_vm_a(f)->stopped);
        g_assert_cmpuint(result.n_done, ==, 0);
        fake_domain_set_state(VM_A, DL_VIRT_SHUTOFF);
        fake_virt_tell(VM_A);
        core_expect(&result, -1);

        flow_run_vm(f, VM_A);
        request = core_request(f, &result);
        request.timeout_usec = 100 * 1000;
        dl_flow_stop(flow_vm_a(f), &request, true, NULL);
        core_expect(&result, DL_ERROR_TIMED_OUT);
        g_assert_null(flow_vm_a(f)->stopped);
}

/* A LUN that moved is where it is now in the persistent domain, and in no moment without a disk. */
static void test_run_after_move(CoreFixture *f, gconstpointer data)
{
        static const FakeLun moved[] = {{.number = 9, .guid = GUID}};

        flow_attach(f, VM_A, -1);
        fake_portal_shows("p1", moved, 1);
        run(f, -1);
        g_assert_nonnull(strstr(fake_domain_disk(VM_A, DL_VIRT_CONFIG, flow_alias), IQN "/9"));
}

/* ---- sizes --------------------------------------------------------------------------------- */

static void refresh(CoreFixture *f)
{
        CoreResult result;
        DlRequest request = core_request(f, &result);

        g_assert_nonnull(dl_flow_lun_refresh(DL_LOOKUP_LUN(f->core, GUID), &request, NULL));
        core_expect(&result, -1);
        core_fixture_settle(f);
}

static unsigned n_carried_out(const char *what)
{
        const GPtrArray *log = fake_virt_log();
        unsigned n = 0;

        for (unsigned i = 0; i < log->len; i++)
                n += strcmp(log->pdata[i], what) == 0;
        return n;
}

static void test_resize(CoreFixture *f, gconstpointer data)
{
        FakeLun lun = flow_luns[0];
        DlAttachment *a;

        flow_run_vm(f, VM_A);
        flow_attach(f, VM_A, -1);
        core_fixture_settle(f);
        a = flow_attachment_of(f, VM_A);
        g_assert_cmpuint(a->guest_capacity, ==, 1 << 30);
        g_assert_cmpstr(a->resize_pending, ==, "");

        lun.capacity = UINT64_C(2) << 30;
        fake_portal_shows("p1", &lun, 1);
        fake_virt_fail("resize", DL_ERROR_LIBVIRT_ERROR, false);
        DlTarget *target = DL_LOOKUP_TARGET(f->core, IQN);
        CoreResult result;
        DlRequest request = core_request(f, &result);
        dl_flow_rescan(target, &request, NULL);
        core_expect(&result, -1);
        CORE_WAIT(f, strcmp(a->resize_pending, "replug") == 0);
        refresh(f); /* who asks has it tried again */
        g_assert_cmpuint(n_carried_out("resize a"), ==, 1);
        g_assert_cmpuint(a->guest_capacity, ==, UINT64_C(2) << 30);
        g_assert_cmpstr(a->resize_pending, ==, "");
        g_assert_cmpuint(core_fixture_saw(f, "changed attachment"), >, 0);

        lun.capacity = UINT64_C(1) << 30;
        fake_portal_shows("p1", &lun, 1);
        refresh(f);
        g_assert_cmpuint(n_carried_out("resize a"), ==, 1);
        g_assert_cmpint(DL_LOOKUP_LUN(f->core, GUID)->status, ==, DL_LUN_UNUSABLE);
        g_assert_cmpint(a->last_error.code, ==, DL_ERROR_LUN_SHRUNK);
        lun.capacity = UINT64_C(2) << 30;
        fake_portal_shows("p1", &lun, 1);
        refresh(f);
        g_assert_cmpint(a->last_error.code, ==, -1);
}

int main(int argc, char *argv[])
{
        g_test_init(&argc, &argv, NULL);
#define TEST(name, function)                                                                       \
        g_test_add("/core/vm-runs/" name, CoreFixture, NULL, flow_begin, function, flow_end)
        TEST("unplug-and-plug", test_unplug_and_plug);
        TEST("guest-refuses", test_guest_refuses);
        TEST("unplug-times-out", test_unplug_times_out);
        TEST("vm-goes-while-unplugging", test_vm_goes_while_unplugging);
        TEST("unreadable-is-not-released", test_unreadable_is_not_released);
        TEST("run-and-stop", test_run_and_stop);
        TEST("stop-gracefully", test_stop_gracefully);
        TEST("run-after-move", test_run_after_move);
        TEST("resize", test_resize);
        return g_test_run();
}
