/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A flow on a VM that is cut short: libvirt goes away, or the service ends; and what the journal
 * says of it is settled. One thread.
 */

#include "flow-fixture.h"

/* ---- cut short ----------------------------------------------------------------------------- */

static void test_libvirt_lost_in_the_middle(CoreFixture *f, gconstpointer data)
{
        static const char *const where[] = {"metadata", "attach config", "attach live"};

        fake_portals_redirect(true);
        flow_run_vm(f, VM_A);
        for (unsigned i = 0; i < G_N_ELEMENTS(where); i++) {
                DlDeviceSpec spec = flow_spec_of(GUID);
                CoreResult result;

                fake_virt_hold(where[i]);
                flow_attach_as(f, VM_A, &spec, &result);
                CORE_WAIT(f, fake_virt_is_held(where[i]));
                fake_virt_disconnect();
                fake_virt_let_go(where[i]);
                core_expect(&result, DL_ERROR_LIBVIRT_ERROR);
                core_fixture_settle(f);
                g_assert_cmpuint(g_hash_table_size(f->core->intents), ==, 1);
                g_assert_false(dl_core_is_idle(f->core));
                fake_virt_connect();
                CORE_WAIT(f, g_hash_table_size(f->core->intents) == 0);
                core_fixture_settle(f);
                g_assert_null(dl_vdisk_of_guid(f->core, GUID));
                flow_expect_nothing(f, VM_A);
        }
}

/* The service dies at each call, having had its effect or not; the next start settles it. */
static void test_crash_anywhere(CoreFixture *f, gconstpointer data)
{
        static const char *const crashes[] = {"metadata", "attach config", "attach live", "look"};

        fake_portals_redirect(true);
        flow_run_vm(f, VM_A);
        for (unsigned i = 0; i < G_N_ELEMENTS(crashes); i++) {
                DlDeviceSpec spec = flow_spec_of(GUID);
                CoreResult result;

                if (i < 3)
                        fake_virt_hold(crashes[i]);
                else
                        fake_virt_fail("look at plugged", DL_ERROR_LIBVIRT_ERROR, false);
                flow_attach_as(f, VM_A, &spec, &result);
                CORE_WAIT(f, i < 3 ? fake_virt_is_held(crashes[i])
                                   : fake_domain_disk(VM_A, DL_VIRT_LIVE, flow_alias) != NULL);
                core_fixture_stop(f);
                fake_virt_let_go(crashes[i]);
                core_fixture_start(f);
                CORE_WAIT(f, g_hash_table_size(f->core->intents) == 0);
                core_fixture_settle(f);
                g_assert_cmpuint(result.n_done, ==, 0);
                if (i == 3) {
                        flow_expect_attached(f, VM_A, true);
                        break;
                }
                g_assert_null(flow_attachment_of(f, VM_A));
                g_assert_null(fake_domain_metadata(VM_A));
                g_assert_null(fake_domain_disk(VM_A, DL_VIRT_CONFIG, flow_alias));
        }
}

/* Whatever is in flight when the service ends: nothing is touched afterwards. */
static void test_free_in_flight(CoreFixture *f, gconstpointer data)
{
        static const char *const anywhere[] = {NULL};
        DlDeviceSpec spec = flow_spec_of(GUID), other = flow_spec_of(OTHER);
        CoreResult results[5];
        DlRequest requests[5];

        for (unsigned i = 0; i < 5; i++)
                requests[i] = core_request(f, &results[i]);
        flow_attach(f, VM_A, -1);
        fake_portal_is_silent("p1");
        dl_flow_run(flow_vm_a(f), &requests[0], anywhere, NULL);
        dl_flow_device_list(f->core, &requests[1], NULL, NULL, true, false, NULL);
        dl_flow_rescan(DL_LOOKUP_TARGET(f->core, IQN), &requests[2], NULL);
        dl_flow_attach_disk(DL_LOOKUP_VM(f->core, VM_B), &requests[3], &other, NULL);
        dl_flow_attach_disk(flow_vm_a(f), &requests[4], &spec, NULL);
        CORE_WAIT(f, fake_iscsi_in_flight() >= 4);
        core_fixture_stop(f);
        for (unsigned i = 0; i < 5; i++)
                g_assert_cmpuint(results[i].n_done, ==, 0);
}

/* ---- the journal --------------------------------------------------------------------------- */

#define UNKNOWN_VM "8895eb01-f6a4-8304-79aa-97f2502e193f"

static void test_intent_of_gone_vm(CoreFixture *f, gconstpointer data)
{
        static const char row[] = "{\"kind\":\"attach\",\"vm\":\"" UNKNOWN_VM
                                  "\",\"vdisk\":\"v\",\"in-config\":false}";

        core_fixture_put(f, "intent/" UNKNOWN_VM "/v", row);
        core_fixture_stop(f);
        core_fixture_start(f);
        core_fixture_settle(f);
        CORE_WAIT(f, f->core->n_writes == 0);
        g_assert_null(core_fixture_row(f, "intent/" UNKNOWN_VM "/v"));
}

/* A VM that goes takes with it what was left to be settled. */
static void test_intent_of_going_vm(CoreFixture *f, gconstpointer data)
{
        DlDeviceSpec spec = flow_spec_of(GUID);
        CoreResult result;

        fake_virt_has_late_call(true);
        fake_virt_fail("attach config", DL_ERROR_TIMED_OUT, false);
        flow_attach_as(f, VM_A, &spec, &result);
        core_expect(&result, DL_ERROR_TIMED_OUT);
        core_fixture_settle(f);
        g_assert_cmpuint(g_hash_table_size(f->core->intents), ==, 1);
        fake_virt_has_late_call(false);
        fake_domain_remove(VM_A);
        fake_virt_tell(VM_A);
        core_fixture_settle(f);
        g_assert_cmpuint(g_hash_table_size(f->core->intents), ==, 0);
}

/* What is not settled yet is not overtaken. */
static void test_operation_before_recovery(CoreFixture *f, gconstpointer data)
{
        DlDeviceSpec spec = flow_spec_of(GUID);
        CoreResult first, second;

        fake_virt_hold("attach config");
        flow_attach_as(f, VM_A, &spec, &first);
        CORE_WAIT(f, fake_virt_is_held("attach config"));
        flow_attach_as(f, VM_A, &spec, &second); /* queued behind it */
        fake_virt_fail("attach config", DL_ERROR_TIMED_OUT, false);
        fake_virt_let_go("attach config");
        core_expect(&first, DL_ERROR_TIMED_OUT);
        CORE_WAIT(f, second.n_done);
        core_result_clear(&second);
        CORE_WAIT(f, g_hash_table_size(f->core->intents) == 0);
        core_fixture_settle(f);
        /* one or the other, and all of it */
        g_assert_cmpint(fake_domain_metadata(VM_A) != NULL, ==,
                        fake_domain_disk(VM_A, DL_VIRT_CONFIG, flow_alias) != NULL);
}

/* The same with a plug, which is proven while the recovery is queued behind it. */
static void test_plug_before_recovery(CoreFixture *f, gconstpointer data)
{
        DlDeviceSpec spec = flow_spec_of(GUID);
        CoreResult first, second;
        DlRequest request;

        fake_portals_redirect(true);
        flow_run_vm(f, VM_A);
        spec.plug = 0;
        flow_attach_as(f, VM_A, &spec, &first);
        core_expect(&first, -1);

        fake_virt_fail("attach live", DL_ERROR_TIMED_OUT, false);
        request = core_request(f, &first);
        dl_flow_plug(flow_attachment_of(f, VM_A), &request, NULL);
        request = core_request(f, &second);
        dl_flow_plug(flow_attachment_of(f, VM_A), &request, NULL);
        core_expect(&first, DL_ERROR_TIMED_OUT);
        fake_portal_is_silent("p1");
        CORE_WAIT(f, fake_iscsi_in_flight() > 0);
        CORE_WAIT(f, g_queue_get_length(&flow_vm_a(f)->queue) > 1);
        fake_portal_shows("p1", flow_luns, G_N_ELEMENTS(flow_luns));
        core_expect(&second, DL_ERROR_BUSY);
        CORE_WAIT(f, g_hash_table_size(f->core->operations) == 0);
        flow_change(f, dl_flow_plug, -1);
        flow_expect_attached(f, VM_A, true);
}

/* A recovery that fails is tried again after the next look. */
static void test_recovery_fails(CoreFixture *f, gconstpointer data)
{
        static const char *const calls[] = {"detach config", "metadata"};

        fake_portals_redirect(true);
        flow_run_vm(f, VM_A);
        for (unsigned i = 0; i < G_N_ELEMENTS(calls); i++) {
                fake_virt_has_late_call(true);
                fake_virt_fail("attach live", DL_ERROR_TIMED_OUT, false);
                flow_attach(f, VM_A, DL_ERROR_TIMED_OUT);
                core_fixture_settle(f);
                g_assert_cmpuint(g_hash_table_size(f->core->intents), ==, 1);
                fake_virt_has_late_call(false);
                fake_virt_fail(calls[i], DL_ERROR_LIBVIRT_ERROR, false);
                fake_virt_tell(VM_A);
                core_fixture_settle(f);
                CORE_WAIT(f, g_hash_table_size(f->core->operations) == 0);
                fake_virt_tell(VM_A);
                CORE_WAIT(f, g_hash_table_size(f->core->intents) == 0);
                CORE_WAIT(f, !dl_vdisk_of_guid(f->core, GUID));
                flow_expect_nothing(f, VM_A);
        }
}

int main(int argc, char *argv[])
{
        g_test_init(&argc, &argv, NULL);
#define TEST(name, function)                                                                       \
        g_test_add("/core/recovery/" name, CoreFixture, NULL, flow_begin, function, flow_end)
        TEST("libvirt-lost-in-the-middle", test_libvirt_lost_in_the_middle);
        TEST("crash-anywhere", test_crash_anywhere);
        TEST("free-in-flight", test_free_in_flight);
        TEST("intent-of-gone-vm", test_intent_of_gone_vm);
        TEST("intent-of-going-vm", test_intent_of_going_vm);
        TEST("operation-before-recovery", test_operation_before_recovery);
        TEST("plug-before-recovery", test_plug_before_recovery);
        TEST("recovery-fails", test_recovery_fails);
        return g_test_run();
}
