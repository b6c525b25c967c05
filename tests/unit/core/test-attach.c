/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Attaching a LUN to a VM: all of it or nothing, and only what is proven to be it. One thread. */

#include "flow-fixture.h"

#include <string.h>

/* ---- all or nothing ------------------------------------------------------------------------ */

static void test_attach_config(CoreFixture *f, gconstpointer data)
{
        flow_attach(f, VM_A, -1);
        flow_expect_attached(f, VM_A, false);
        flow_attach(f, VM_A, DL_ERROR_ALREADY_ATTACHED);
        flow_attach(f, VM_B, DL_ERROR_NOT_SHAREABLE);
}

static void test_attach_live(CoreFixture *f, gconstpointer data)
{
        flow_run_vm(f, VM_A);
        flow_attach(f, VM_A, -1);
        flow_expect_attached(f, VM_A, true);
}

typedef struct Failure {
        const char *what;
        int code;
        bool effect; /* and yet it is done */
        bool attached;
} Failure;

static void fail_attaching(CoreFixture *f, const Failure *failures, unsigned n)
{
        for (unsigned i = 0; i < n; i++) {
                fake_virt_fail(failures[i].what, failures[i].code, failures[i].effect);
                flow_attach(f, VM_A, failures[i].code);
                CORE_WAIT(f, g_hash_table_size(f->core->intents) == 0);
                core_fixture_settle(f);
                CORE_WAIT(f, !dl_vdisk_of_guid(f->core, GUID));
                flow_expect_nothing(f, VM_A);
        }
}

/* One call for the running domain and the configuration, where both get the same element. */
static void test_attach_both_fails(CoreFixture *f, gconstpointer data)
{
        static const Failure failures[] = {
                {"attach both", DL_ERROR_LIBVIRT_ERROR},
                {"attach both", DL_ERROR_TIMED_OUT},
        };

        flow_run_vm(f, VM_A);
        fail_attaching(f, failures, G_N_ELEMENTS(failures));
        fake_virt_fail("attach both", DL_ERROR_TIMED_OUT, true);
        flow_attach(f, VM_A, DL_ERROR_TIMED_OUT);
        CORE_WAIT(f, g_hash_table_size(f->core->intents) == 0);
        flow_expect_attached(f, VM_A, true);
        g_assert_nonnull(fake_domain_disk(VM_A, DL_VIRT_CONFIG, flow_alias));
}

static void test_attach_fails(CoreFixture *f, gconstpointer data)
{
        static const Failure failures[] = {
                {"look", DL_ERROR_LIBVIRT_ERROR},
                {"metadata", DL_ERROR_LIBVIRT_ERROR},
                {"metadata", DL_ERROR_TIMED_OUT},
                {"metadata", DL_ERROR_TIMED_OUT, true},
                {"attach config", DL_ERROR_LIBVIRT_ERROR},
                {"attach config", DL_ERROR_TIMED_OUT},
                {"attach config", DL_ERROR_TIMED_OUT, true},
                {"attach live", DL_ERROR_LIBVIRT_ERROR},
                {"attach live", DL_ERROR_TIMED_OUT},
        };

        fake_portals_redirect(true);
        flow_run_vm(f, VM_A);
        fail_attaching(f, failures, G_N_ELEMENTS(failures));
        fake_virt_fail("attach live", DL_ERROR_TIMED_OUT, true); /* it was late, but it was */
        flow_attach(f, VM_A, DL_ERROR_TIMED_OUT);
        CORE_WAIT(f, g_hash_table_size(f->core->intents) == 0);
        flow_expect_attached(f, VM_A, true);
}

static void test_undo_fails(CoreFixture *f, gconstpointer data)
{
        static const char *const undone[] = {"detach config", "metadata"};

        fake_portals_redirect(true);
        flow_run_vm(f, VM_A);
        for (unsigned i = 0; i < G_N_ELEMENTS(undone); i++) {
                DlDeviceSpec spec = flow_spec_of(GUID);
                CoreResult result;

                fake_virt_hold("attach live");
                flow_attach_as(f, VM_A, &spec, &result);
                CORE_WAIT(f, fake_virt_is_held("attach live"));
                fake_virt_fail("attach live", DL_ERROR_LIBVIRT_ERROR, false);
                fake_virt_fail(undone[i], DL_ERROR_LIBVIRT_ERROR, false);
                fake_virt_let_go("attach live");
                core_expect(&result, DL_ERROR_LIBVIRT_ERROR);
                CORE_WAIT(f, g_hash_table_size(f->core->intents) == 0);
                CORE_WAIT(f, !dl_vdisk_of_guid(f->core, GUID));
                flow_expect_nothing(f, VM_A);
        }
}

static void test_attach_cancelled(CoreFixture *f, gconstpointer data)
{
        DlDeviceSpec spec = flow_spec_of(GUID);
        CoreResult result;
        DlJob *job;

        fake_virt_hold("look");
        job = flow_attach_as(f, VM_A, &spec, &result);
        CORE_WAIT(f, fake_virt_is_held("look"));
        g_assert_true(dl_job_cancel(job, NULL));
        core_expect(&result, DL_ERROR_CANCELLED);
        fake_virt_let_go("look");

        fake_portal_is_silent("p1");
        job = flow_attach_as(f, VM_A, &spec, &result);
        CORE_WAIT(f, fake_iscsi_in_flight() > 0);
        g_assert_true(dl_job_cancel(job, NULL));
        core_expect(&result, DL_ERROR_CANCELLED);
        g_assert_cmpuint(fake_iscsi_in_flight(), ==, 0);
        fake_portal_shows("p1", flow_luns, G_N_ELEMENTS(flow_luns));
        g_assert_cmpuint(fake_virt_log()->len, ==, 0);

        fake_virt_hold("metadata");
        job = flow_attach_as(f, VM_A, &spec, &result);
        CORE_WAIT(f, fake_virt_is_held("metadata"));
        g_assert_false(dl_job_cancel(job, NULL));
        fake_virt_let_go("metadata");
        core_expect(&result, -1);
        flow_expect_attached(f, VM_A, false);
}

/* Both wait for the same proof: when it comes, one of them has to lose. */
static void test_attach_to_two_at_once(CoreFixture *f, gconstpointer data)
{
        DlDeviceSpec spec = flow_spec_of(GUID);
        CoreResult first, second;

        fake_portal_is_silent("p1");
        flow_attach_as(f, VM_A, &spec, &first);
        flow_attach_as(f, VM_B, &spec, &second);
        CORE_WAIT(f, fake_iscsi_in_flight() == 2);
        fake_portal_shows("p1", flow_luns, G_N_ELEMENTS(flow_luns));
        CORE_WAIT(f, first.n_done && second.n_done);
        g_assert_true((first.code < 0) != (second.code < 0));
        int code = MAX(first.code, second.code);
        g_assert_true(code == DL_ERROR_NOT_SHAREABLE || code == DL_ERROR_BUSY);
        g_assert_true((fake_domain_disk(VM_A, DL_VIRT_CONFIG, flow_alias) != NULL) !=
                      (fake_domain_disk(VM_B, DL_VIRT_CONFIG, flow_alias) != NULL));
        flow_expect_attached(f, first.code < 0 ? VM_A : VM_B, false);
        core_result_clear(&first);
        core_result_clear(&second);
}

/* What somebody else wrote and we do not understand is not ours to remove. */
static void test_broken_metadata_stays(CoreFixture *f, gconstpointer data)
{
        static const char broken[] = "<attachments xmlns='" DL_METADATA_URI
                                     "'><attachment id='of a later version'/></attachments>";
        DlDeviceSpec spec = flow_spec_of(GUID);
        CoreResult result;

        fake_domain_set_metadata(VM_A, broken);
        fake_virt_tell(VM_A);
        core_fixture_settle(f);
        flow_attach_as(f, VM_A, &spec, &result);
        CORE_WAIT(f, result.n_done);
        g_assert_cmpint(result.code, >=, 0);
        core_result_clear(&result);
        core_fixture_settle(f);
        g_assert_cmpstr(fake_domain_metadata(VM_A), ==, broken);
        g_assert_null(fake_domain_disk(VM_A, DL_VIRT_CONFIG, flow_alias));
}

/* The result is an object: it must be there when it is told, and somebody else may remove it as
 * soon as libvirt has it. */
static void test_attachment_goes_before_the_end(CoreFixture *f, gconstpointer data)
{
        DlDeviceSpec spec = flow_spec_of(GUID);
        CoreResult result;

        flow_attach_as(f, VM_A, &spec, &result);
        while (!result.n_done) {
                if (fake_domain_disk(VM_A, DL_VIRT_CONFIG, flow_alias)) {
                        fake_domain_set_metadata(VM_A, NULL);
                        fake_domain_drop_disk(VM_A, DL_VIRT_CONFIG, flow_alias);
                        fake_virt_tell(VM_A);
                }
                core_fixture_turn(f);
        }
        g_assert_cmpint(result.code, ==, DL_ERROR_NOT_ATTACHED);
        core_result_clear(&result);
        core_fixture_settle(f);
        g_assert_null(flow_attachment_of(f, VM_A));
}

static void test_delete_of_what_is_being_attached(CoreFixture *f, gconstpointer data)
{
        DlDeviceSpec spec = flow_spec_of(GUID);
        CoreResult attaching, deleting;
        DlRequest request = core_request(f, &deleting);

        fake_virt_hold("metadata");
        flow_attach_as(f, VM_A, &spec, &attaching);
        CORE_WAIT(f, fake_virt_is_held("metadata"));
        dl_flow_vdisk_delete(dl_vdisk_of_guid(f->core, GUID), &request, NULL);
        core_expect(&deleting, DL_ERROR_BUSY);
        fake_virt_let_go("metadata");
        core_expect(&attaching, -1);
        flow_expect_attached(f, VM_A, false);
}

static DlDeviceSpec inline_spec(const char *iqn, const char *address)
{
        DlDeviceSpec spec = flow_spec_of(NULL);

        spec.inline_lun.iqn = iqn;
        spec.inline_lun.address = address;
        spec.inline_lun.port = 3260;
        spec.inline_lun.guid = GUID;
        return spec;
}

/* What was brought along goes again, and what was there is as it was. */
static void test_inline_is_undone(CoreFixture *f, gconstpointer data)
{
        DlTarget *target = DL_LOOKUP_TARGET(f->core, IQN);
        g_autoptr(DlSecret) good = dl_secret_new("good password", 13, NULL);
        g_autoptr(DlSecret) bad = dl_secret_new("bad password!", 13, NULL);
        DlDeviceSpec spec = inline_spec("iqn.2026-11.org.example:new", "nowhere");
        CoreResult result;

        flow_attach_as(f, VM_A, &spec, &result);
        core_expect(&result, DL_ERROR_PORTAL_UNREACHABLE);
        g_assert_null(DL_LOOKUP_TARGET(f->core, "iqn.2026-11.org.example:new"));

        dl_target_set_credentials(target, "user", good, NULL, NULL);
        fake_portal_fails("p1", DL_ERROR_AUTH_FAILED);
        spec = inline_spec(IQN, "nowhere");
        spec.inline_lun.chap = (DlChap){.user = "other", .secret = bad};
        flow_attach_as(f, VM_A, &spec, &result);
        core_expect(&result, DL_ERROR_AUTH_FAILED);
        g_assert_cmpstr(target->user, ==, "user");
        g_assert_true(target->secret == good);
        g_assert_null(dl_target_find_portal(target, "nowhere", 3260));
        fake_portal_shows("p1", flow_luns, G_N_ELEMENTS(flow_luns));
}

static void test_inline_attach(CoreFixture *f, gconstpointer data)
{
        static const FakeLun new_luns[] = {{.number = 7, .guid = "3new"}};
        DlDeviceSpec spec = inline_spec("iqn.2026-11.org.example:new", "p2");
        CoreResult result;

        fake_portal_shows("p2", new_luns, 1);
        spec.inline_lun.guid = "3new";
        flow_attach_as(f, VM_A, &spec, &result);
        core_expect(&result, -1);
        g_assert_nonnull(DL_LOOKUP_TARGET(f->core, "iqn.2026-11.org.example:new"));
        g_assert_nonnull(dl_vdisk_of_guid(f->core, "3new"));
        g_assert_cmpstr(DL_LOOKUP_LUN(f->core, "3new")->holders[0], ==, "vm:a");
}

/* ---- proof --------------------------------------------------------------------------------- */

static void test_lun_moved(CoreFixture *f, gconstpointer data)
{
        static const FakeLun moved[] = {{.number = 1, .guid = OTHER}, {.number = 9, .guid = GUID}};

        fake_portal_shows("p1", moved, G_N_ELEMENTS(moved));
        flow_attach(f, VM_A, -1);
        g_assert_cmpuint(flow_attachment_of(f, VM_A)->meta->lun, ==, 9);
        g_assert_nonnull(strstr(fake_domain_disk(VM_A, DL_VIRT_CONFIG, flow_alias), IQN "/9"));
}

static void test_number_reused(CoreFixture *f, gconstpointer data)
{
        static const FakeLun reused[] = {{.number = 1, .guid = OTHER}};

        fake_portal_shows("p1", reused, G_N_ELEMENTS(reused));
        flow_attach(f, VM_A, DL_ERROR_GUID_MISMATCH);
        g_assert_cmpuint(fake_virt_log()->len, ==, 0);
}

static void test_write_protected(CoreFixture *f, gconstpointer data)
{
        static const FakeLun protected[] = {{.number = 1, .guid = GUID, .write_protected = true}};
        DlDeviceSpec spec = flow_spec_of(GUID);
        CoreResult result;

        fake_portal_shows("p1", protected, 1);
        flow_attach(f, VM_A, DL_ERROR_INVALID_ARGS);
        spec.readonly = true;
        flow_attach_as(f, VM_A, &spec, &result);
        core_expect(&result, -1);
        g_assert_nonnull(strstr(fake_domain_disk(VM_A, DL_VIRT_CONFIG, flow_alias), "readonly"));
}

/* All numbers are looked at to find it, and that is not all that is asked of what is used. */
static void test_moved_and_write_protected(CoreFixture *f, gconstpointer data)
{
        static const FakeLun moved[] = {{.number = 9, .guid = GUID, .write_protected = true}};

        fake_portal_shows("p1", moved, 1);
        flow_attach(f, VM_A, DL_ERROR_INVALID_ARGS);
        g_assert_cmpuint(fake_virt_log()->len, ==, 0);
}

static void test_not_ready(CoreFixture *f, gconstpointer data)
{
        static const FakeLun offline[] = {{.number = 1, .guid = GUID, .not_ready = true}};

        fake_portal_shows("p1", offline, 1);
        flow_attach(f, VM_A, DL_ERROR_LUN_NOT_VISIBLE);
        g_assert_cmpuint(fake_virt_log()->len, ==, 0);
        g_assert_cmpint(DL_LOOKUP_LUN(f->core, GUID)->status, ==, DL_LUN_UNUSABLE);
}

/* A portal that was good and is silent now proves nothing. */
static void test_silent_portal_is_no_proof(CoreFixture *f, gconstpointer data)
{
        DlTarget *target = DL_LOOKUP_TARGET(f->core, IQN);
        CoreResult result;
        DlRequest request = core_request(f, &result);

        fake_portal_shows("p2", flow_luns, G_N_ELEMENTS(flow_luns));
        dl_target_add_portal(target, "p2", 3260, 0);
        dl_flow_connect(target, &request, &(DlConnectSpec){.pin = true}, NULL);
        core_expect(&result, -1);
        g_assert_cmpint(target->state, ==, DL_TARGET_CONNECTED);

        fake_portal_is_silent("p1");
        flow_attach(f, VM_A, -1);
        g_assert_nonnull(strstr(fake_domain_disk(VM_A, DL_VIRT_CONFIG, flow_alias), "p2"));
        g_assert_null(strstr(fake_domain_disk(VM_A, DL_VIRT_CONFIG, flow_alias), "p1"));
        fake_portal_fails("p1", DL_ERROR_TIMED_OUT);
        CORE_WAIT(f, target->state == DL_TARGET_DEGRADED);
}

int main(int argc, char *argv[])
{
        g_test_init(&argc, &argv, NULL);
#define TEST(name, function)                                                                       \
        g_test_add("/core/attach/" name, CoreFixture, NULL, flow_begin, function, flow_end)
        TEST("attach-config", test_attach_config);
        TEST("attach-live", test_attach_live);
        TEST("attach-fails", test_attach_fails);
        TEST("attach-both-fails", test_attach_both_fails);
        TEST("undo-fails", test_undo_fails);
        TEST("attach-cancelled", test_attach_cancelled);
        TEST("attach-to-two-at-once", test_attach_to_two_at_once);
        TEST("broken-metadata-stays", test_broken_metadata_stays);
        TEST("attachment-goes-before-the-end", test_attachment_goes_before_the_end);
        TEST("delete-of-what-is-being-attached", test_delete_of_what_is_being_attached);
        TEST("inline-is-undone", test_inline_is_undone);
        TEST("inline-attach", test_inline_attach);
        TEST("lun-moved", test_lun_moved);
        TEST("number-reused", test_number_reused);
        TEST("write-protected", test_write_protected);
        TEST("not-ready", test_not_ready);
        TEST("moved-and-write-protected", test_moved_and_write_protected);
        TEST("silent-portal-is-no-proof", test_silent_portal_is_no_proof);
        return g_test_run();
}
