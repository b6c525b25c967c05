/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The flows on VMs, whole, with an initiator and a libvirt that fail where the test says: what is
 * there afterwards is either all or nothing. One thread.
 */

#include "core-fixture.h"
#include "core/records/journal.h"
#include "fakes.h"
#include "util/uuid.h"

#include <string.h>

#define VM_A  "6695eb01-f6a4-8304-79aa-97f2502e193f"
#define VM_B  "7795eb01-f6a4-8304-79aa-97f2502e193f"
#define IQN   "iqn.2026-11.org.example:t"
#define GUID  "360000000000000000e00000000010001"
#define OTHER "360000000000000000e00000000010002"

static const FakeLun luns[] = {{.number = 1, .guid = GUID}, {.number = 2, .guid = OTHER}};

static char *alias; /* of the disk of GUID */

static void begin(CoreFixture *f, gconstpointer data)
{
        char vdisk[DL_UUID_SIZE];
        CoreResult result;

        core_fixture_open(f);
        fake_domain_add(VM_A, "a", DL_VIRT_SHUTOFF, true);
        fake_domain_add(VM_B, "b", DL_VIRT_SHUTOFF, true);
        fake_portal_shows("p1", luns, G_N_ELEMENTS(luns));
        core_fixture_start(f);

        DlTarget *target = dl_target_ensure(f->core, IQN, NULL);
        DlRequest request = core_request(f, &result);
        dl_target_add_portal(target, "p1", 3260, 0);
        g_assert_nonnull(dl_flow_rescan(target, &request, NULL));
        core_expect(&result, -1);
        dl_uuid_for_guid(GUID, vdisk);
        alias = dl_disk_alias(vdisk);
}

/* Whatever happened: nothing of it is left. */
static void end(CoreFixture *f, gconstpointer data)
{
        if (f->core) {
                CORE_WAIT(f, g_hash_table_size(f->core->operations) == 0);
                core_fixture_settle(f);
                g_assert_cmpuint(g_hash_table_size(f->core->intents), ==, 0);
                g_assert_cmpuint(fake_virt_in_flight(), ==, 0);
                g_autoptr(GPtrArray) targets = dl_core_list(f->core, DL_KIND_TARGET);
                for (unsigned i = 0; i < targets->len; i++)
                        g_assert_cmpuint(((DlTarget *)targets->pdata[i])->n_jobs, ==, 0);
        }
        core_fixture_close(f);
        fake_iscsi_forget();
        fake_virt_forget();
        g_clear_pointer(&alias, g_free);
}

static DlVm *vm_a(CoreFixture *f)
{
        return DL_LOOKUP_VM(f->core, VM_A);
}

static void run_vm(CoreFixture *f, const char *uuid)
{
        fake_domain_set_state(uuid, DL_VIRT_RUNNING);
        fake_virt_tell(uuid);
        CORE_WAIT(f, dl_vm_is_active(DL_LOOKUP_VM(f->core, uuid)));
        core_fixture_settle(f);
}

static DlDeviceSpec spec_of(const char *guid)
{
        return (DlDeviceSpec){.guid = guid, .index = -1, .plug = -1};
}

static DlJob *attach_as(CoreFixture *f, const char *vm, const DlDeviceSpec *spec,
                        CoreResult *result)
{
        DlRequest request = core_request(f, result);
        g_autoptr(GError) error = NULL;
        DlJob *job = dl_flow_attach_disk(DL_LOOKUP_VM(f->core, vm), &request, spec, &error);

        g_assert_no_error(error);
        return job;
}

static void attach(CoreFixture *f, const char *vm, int code)
{
        DlDeviceSpec spec = spec_of(GUID);
        CoreResult result;

        attach_as(f, vm, &spec, &result);
        core_expect(&result, code);
}

static DlAttachment *attachment_of(CoreFixture *f, const char *vm)
{
        char vdisk[DL_UUID_SIZE], id[DL_UUID_SIZE];

        dl_uuid_for_guid(GUID, vdisk);
        dl_uuid_for_attachment(vm, vdisk, id);
        return DL_LOOKUP_ATTACHMENT(f->core, id);
}

static void expect_nothing(CoreFixture *f, const char *vm)
{
        core_fixture_settle(f);
        g_assert_null(attachment_of(f, vm));
        g_assert_null(fake_domain_metadata(vm));
        g_assert_null(fake_domain_disk(vm, DL_VIRT_CONFIG, alias));
        g_assert_null(fake_domain_disk(vm, DL_VIRT_LIVE, alias));
        g_assert_null(dl_vdisk_of_guid(f->core, GUID));
        g_assert_cmpint(DL_LOOKUP_LUN(f->core, GUID)->status, ==, DL_LUN_FREE);
}

static void expect_attached(CoreFixture *f, const char *vm, bool plugged)
{
        core_fixture_settle(f);
        g_assert_nonnull(attachment_of(f, vm));
        g_assert_cmpint(attachment_of(f, vm)->plugged, ==, plugged);
        g_assert_nonnull(fake_domain_metadata(vm));
        g_assert_nonnull(fake_domain_disk(vm, DL_VIRT_CONFIG, alias));
        g_assert_cmpint(fake_domain_disk(vm, DL_VIRT_LIVE, alias) != NULL, ==, plugged);
        g_assert_nonnull(dl_vdisk_of_guid(f->core, GUID));
        g_assert_cmpint(DL_LOOKUP_LUN(f->core, GUID)->status, ==, DL_LUN_USED);
        g_assert_cmpint(dl_target_is_managed(DL_LOOKUP_TARGET(f->core, IQN)), ==, plugged);
}

/* ---- attach -------------------------------------------------------------------------------- */

static void test_attach_config(CoreFixture *f, gconstpointer data)
{
        attach(f, VM_A, -1);
        expect_attached(f, VM_A, false);
        attach(f, VM_A, DL_ERROR_ALREADY_ATTACHED);
        attach(f, VM_B, DL_ERROR_NOT_SHAREABLE);
}

static void test_attach_live(CoreFixture *f, gconstpointer data)
{
        run_vm(f, VM_A);
        attach(f, VM_A, -1);
        expect_attached(f, VM_A, true);
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
                attach(f, VM_A, failures[i].code);
                CORE_WAIT(f, g_hash_table_size(f->core->intents) == 0);
                core_fixture_settle(f);
                CORE_WAIT(f, !dl_vdisk_of_guid(f->core, GUID));
                expect_nothing(f, VM_A);
        }
}

/* One call for the running domain and the configuration, where both get the same element. */
static void test_attach_both_fails(CoreFixture *f, gconstpointer data)
{
        static const Failure failures[] = {
                {"attach both", DL_ERROR_LIBVIRT_ERROR},
                {"attach both", DL_ERROR_TIMED_OUT},
        };

        run_vm(f, VM_A);
        fail_attaching(f, failures, G_N_ELEMENTS(failures));
        fake_virt_fail("attach both", DL_ERROR_TIMED_OUT, true);
        attach(f, VM_A, DL_ERROR_TIMED_OUT);
        CORE_WAIT(f, g_hash_table_size(f->core->intents) == 0);
        expect_attached(f, VM_A, true);
        g_assert_nonnull(fake_domain_disk(VM_A, DL_VIRT_CONFIG, alias));
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
        run_vm(f, VM_A);
        fail_attaching(f, failures, G_N_ELEMENTS(failures));
        fake_virt_fail("attach live", DL_ERROR_TIMED_OUT, true); /* it was late, but it was */
        attach(f, VM_A, DL_ERROR_TIMED_OUT);
        CORE_WAIT(f, g_hash_table_size(f->core->intents) == 0);
        expect_attached(f, VM_A, true);
}

static void test_undo_fails(CoreFixture *f, gconstpointer data)
{
        static const char *const undone[] = {"detach config", "metadata"};

        fake_portals_redirect(true);
        run_vm(f, VM_A);
        for (unsigned i = 0; i < G_N_ELEMENTS(undone); i++) {
                DlDeviceSpec spec = spec_of(GUID);
                CoreResult result;

                fake_virt_hold("attach live");
                attach_as(f, VM_A, &spec, &result);
                CORE_WAIT(f, fake_virt_is_held("attach live"));
                fake_virt_fail("attach live", DL_ERROR_LIBVIRT_ERROR, false);
                fake_virt_fail(undone[i], DL_ERROR_LIBVIRT_ERROR, false);
                fake_virt_let_go("attach live");
                core_expect(&result, DL_ERROR_LIBVIRT_ERROR);
                CORE_WAIT(f, g_hash_table_size(f->core->intents) == 0);
                CORE_WAIT(f, !dl_vdisk_of_guid(f->core, GUID));
                expect_nothing(f, VM_A);
        }
}

static void test_attach_cancelled(CoreFixture *f, gconstpointer data)
{
        DlDeviceSpec spec = spec_of(GUID);
        CoreResult result;
        DlJob *job;

        fake_virt_hold("look");
        job = attach_as(f, VM_A, &spec, &result);
        CORE_WAIT(f, fake_virt_is_held("look"));
        g_assert_true(dl_job_cancel(job, NULL));
        core_expect(&result, DL_ERROR_CANCELLED);
        fake_virt_let_go("look");

        fake_portal_is_silent("p1");
        job = attach_as(f, VM_A, &spec, &result);
        CORE_WAIT(f, fake_iscsi_in_flight() > 0);
        g_assert_true(dl_job_cancel(job, NULL));
        core_expect(&result, DL_ERROR_CANCELLED);
        g_assert_cmpuint(fake_iscsi_in_flight(), ==, 0);
        fake_portal_shows("p1", luns, G_N_ELEMENTS(luns));
        g_assert_cmpuint(fake_virt_log()->len, ==, 0);

        fake_virt_hold("metadata");
        job = attach_as(f, VM_A, &spec, &result);
        CORE_WAIT(f, fake_virt_is_held("metadata"));
        g_assert_false(dl_job_cancel(job, NULL));
        fake_virt_let_go("metadata");
        core_expect(&result, -1);
        expect_attached(f, VM_A, false);
}

/* Both wait for the same proof: when it comes, one of them has to lose. */
static void test_attach_to_two_at_once(CoreFixture *f, gconstpointer data)
{
        DlDeviceSpec spec = spec_of(GUID);
        CoreResult first, second;

        fake_portal_is_silent("p1");
        attach_as(f, VM_A, &spec, &first);
        attach_as(f, VM_B, &spec, &second);
        CORE_WAIT(f, fake_iscsi_in_flight() == 2);
        fake_portal_shows("p1", luns, G_N_ELEMENTS(luns));
        CORE_WAIT(f, first.n_done && second.n_done);
        g_assert_true((first.code < 0) != (second.code < 0));
        int code = MAX(first.code, second.code);
        g_assert_true(code == DL_ERROR_NOT_SHAREABLE || code == DL_ERROR_BUSY);
        g_assert_true((fake_domain_disk(VM_A, DL_VIRT_CONFIG, alias) != NULL) !=
                      (fake_domain_disk(VM_B, DL_VIRT_CONFIG, alias) != NULL));
        expect_attached(f, first.code < 0 ? VM_A : VM_B, false);
        core_result_clear(&first);
        core_result_clear(&second);
}

/* What somebody else wrote and we do not understand is not ours to remove. */
static void test_broken_metadata_stays(CoreFixture *f, gconstpointer data)
{
        static const char broken[] = "<attachments xmlns='" DL_METADATA_URI
                                     "'><attachment id='of a later version'/></attachments>";
        DlDeviceSpec spec = spec_of(GUID);
        CoreResult result;

        fake_domain_set_metadata(VM_A, broken);
        fake_virt_tell(VM_A);
        core_fixture_settle(f);
        attach_as(f, VM_A, &spec, &result);
        CORE_WAIT(f, result.n_done);
        g_assert_cmpint(result.code, >=, 0);
        core_result_clear(&result);
        core_fixture_settle(f);
        g_assert_cmpstr(fake_domain_metadata(VM_A), ==, broken);
        g_assert_null(fake_domain_disk(VM_A, DL_VIRT_CONFIG, alias));
}

/* The result is an object: it must be there when it is told, and somebody else may remove it as
 * soon as libvirt has it. */
static void test_attachment_goes_before_the_end(CoreFixture *f, gconstpointer data)
{
        DlDeviceSpec spec = spec_of(GUID);
        CoreResult result;

        attach_as(f, VM_A, &spec, &result);
        while (!result.n_done) {
                if (fake_domain_disk(VM_A, DL_VIRT_CONFIG, alias)) {
                        fake_domain_set_metadata(VM_A, NULL);
                        fake_domain_drop_disk(VM_A, DL_VIRT_CONFIG, alias);
                        fake_virt_tell(VM_A);
                }
                core_fixture_turn(f);
        }
        g_assert_cmpint(result.code, ==, DL_ERROR_NOT_ATTACHED);
        core_result_clear(&result);
        core_fixture_settle(f);
        g_assert_null(attachment_of(f, VM_A));
}

static DlDeviceSpec inline_spec(const char *iqn, const char *address)
{
        DlDeviceSpec spec = spec_of(NULL);

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

        attach_as(f, VM_A, &spec, &result);
        core_expect(&result, DL_ERROR_PORTAL_UNREACHABLE);
        g_assert_null(DL_LOOKUP_TARGET(f->core, "iqn.2026-11.org.example:new"));

        dl_target_set_credentials(target, "user", good, NULL, NULL);
        fake_portal_fails("p1", DL_ERROR_AUTH_FAILED);
        spec = inline_spec(IQN, "nowhere");
        spec.inline_lun.chap = (DlChap){.user = "other", .secret = bad};
        attach_as(f, VM_A, &spec, &result);
        core_expect(&result, DL_ERROR_AUTH_FAILED);
        g_assert_cmpstr(target->user, ==, "user");
        g_assert_true(target->secret == good);
        g_assert_null(dl_target_find_portal(target, "nowhere", 3260));
        fake_portal_shows("p1", luns, G_N_ELEMENTS(luns));
}

static void test_inline_attach(CoreFixture *f, gconstpointer data)
{
        static const FakeLun new_luns[] = {{.number = 7, .guid = "3new"}};
        DlDeviceSpec spec = inline_spec("iqn.2026-11.org.example:new", "p2");
        CoreResult result;

        fake_portal_shows("p2", new_luns, 1);
        spec.inline_lun.guid = "3new";
        attach_as(f, VM_A, &spec, &result);
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
        attach(f, VM_A, -1);
        g_assert_cmpuint(attachment_of(f, VM_A)->meta->lun, ==, 9);
        g_assert_nonnull(strstr(fake_domain_disk(VM_A, DL_VIRT_CONFIG, alias), IQN "/9"));
}

static void test_number_reused(CoreFixture *f, gconstpointer data)
{
        static const FakeLun reused[] = {{.number = 1, .guid = OTHER}};

        fake_portal_shows("p1", reused, G_N_ELEMENTS(reused));
        attach(f, VM_A, DL_ERROR_GUID_MISMATCH);
        g_assert_cmpuint(fake_virt_log()->len, ==, 0);
}

static void test_write_protected(CoreFixture *f, gconstpointer data)
{
        static const FakeLun protected[] = {{.number = 1, .guid = GUID, .write_protected = true}};
        DlDeviceSpec spec = spec_of(GUID);
        CoreResult result;

        fake_portal_shows("p1", protected, 1);
        attach(f, VM_A, DL_ERROR_INVALID_ARGS);
        spec.readonly = true;
        attach_as(f, VM_A, &spec, &result);
        core_expect(&result, -1);
        g_assert_nonnull(strstr(fake_domain_disk(VM_A, DL_VIRT_CONFIG, alias), "readonly"));
}

/* All numbers are looked at to find it, and that is not all that is asked of what is used. */
static void test_moved_and_write_protected(CoreFixture *f, gconstpointer data)
{
        static const FakeLun moved[] = {{.number = 9, .guid = GUID, .write_protected = true}};

        fake_portal_shows("p1", moved, 1);
        attach(f, VM_A, DL_ERROR_INVALID_ARGS);
        g_assert_cmpuint(fake_virt_log()->len, ==, 0);
}

static void test_not_ready(CoreFixture *f, gconstpointer data)
{
        static const FakeLun offline[] = {{.number = 1, .guid = GUID, .not_ready = true}};

        fake_portal_shows("p1", offline, 1);
        attach(f, VM_A, DL_ERROR_LUN_NOT_VISIBLE);
        g_assert_cmpuint(fake_virt_log()->len, ==, 0);
        g_assert_cmpint(DL_LOOKUP_LUN(f->core, GUID)->status, ==, DL_LUN_UNUSABLE);
}

/* A portal that was good and is silent now proves nothing. */
static void test_silent_portal_is_no_proof(CoreFixture *f, gconstpointer data)
{
        DlTarget *target = DL_LOOKUP_TARGET(f->core, IQN);
        CoreResult result;
        DlRequest request = core_request(f, &result);

        fake_portal_shows("p2", luns, G_N_ELEMENTS(luns));
        dl_target_add_portal(target, "p2", 3260, 0);
        dl_flow_connect(target, &request, &(DlConnectSpec){.pin = true}, NULL);
        core_expect(&result, -1);
        g_assert_cmpint(target->state, ==, DL_TARGET_CONNECTED);

        fake_portal_is_silent("p1");
        attach(f, VM_A, -1);
        g_assert_nonnull(strstr(fake_domain_disk(VM_A, DL_VIRT_CONFIG, alias), "p2"));
        g_assert_null(strstr(fake_domain_disk(VM_A, DL_VIRT_CONFIG, alias), "p1"));
        fake_portal_fails("p1", DL_ERROR_TIMED_OUT);
        CORE_WAIT(f, target->state == DL_TARGET_DEGRADED);
}

/* ---- plug, unplug, detach ------------------------------------------------------------------ */

static void change(CoreFixture *f,
                   DlJob *(*flow)(DlAttachment *attachment, const DlRequest *request,
                                  GError **error),
                   int code)
{
        CoreResult result;
        DlRequest request = core_request(f, &result);

        g_assert_nonnull(flow(attachment_of(f, VM_A), &request, NULL));
        core_expect(&result, code);
}

static void test_unplug_and_plug(CoreFixture *f, gconstpointer data)
{
        run_vm(f, VM_A);
        attach(f, VM_A, -1);
        change(f, dl_flow_plug, -1); /* repeating is no error */
        change(f, dl_flow_unplug, -1);
        g_assert_false(attachment_of(f, VM_A)->plugged);
        g_assert_null(fake_domain_disk(VM_A, DL_VIRT_CONFIG, alias));
        g_assert_false(dl_target_is_managed(DL_LOOKUP_TARGET(f->core, IQN)));
        change(f, dl_flow_unplug, -1);
        change(f, dl_flow_plug, -1);
        expect_attached(f, VM_A, true);
        change(f, dl_flow_detach, -1);
        g_assert_null(attachment_of(f, VM_A));
        g_assert_null(fake_domain_metadata(VM_A));
}

static void test_guest_refuses(CoreFixture *f, gconstpointer data)
{
        run_vm(f, VM_A);
        attach(f, VM_A, -1);
        fake_guest_does(FAKE_GUEST_REFUSES);
        change(f, dl_flow_unplug, DL_ERROR_GUEST_DID_NOT_RELEASE);
        expect_attached(f, VM_A, true);
        f->settings->release_timeout_usec = 1000;
        fake_guest_does(FAKE_GUEST_IS_SILENT);
        change(f, dl_flow_detach, DL_ERROR_GUEST_DID_NOT_RELEASE);
        expect_attached(f, VM_A, true);
}

/* The request was not answered, but it had an effect. */
static void test_unplug_times_out(CoreFixture *f, gconstpointer data)
{
        run_vm(f, VM_A);
        attach(f, VM_A, -1);
        fake_guest_does(FAKE_GUEST_IS_SILENT);
        fake_virt_fail("detach live", DL_ERROR_TIMED_OUT, false);
        fake_virt_has_late_call(true);
        change(f, dl_flow_unplug, DL_ERROR_TIMED_OUT);
        core_fixture_settle(f);
        fake_virt_has_late_call(false);
        fake_domain_drop_disk(VM_A, DL_VIRT_LIVE, alias); /* late */
        fake_virt_tell(VM_A);
        CORE_WAIT(f, g_hash_table_size(f->core->intents) == 0);
        core_fixture_settle(f);
        g_assert_false(attachment_of(f, VM_A)->plugged);
        g_assert_null(fake_domain_disk(VM_A, DL_VIRT_CONFIG, alias));
}

static void test_vm_goes_while_unplugging(CoreFixture *f, gconstpointer data)
{
        CoreResult result;
        DlRequest request = core_request(f, &result);

        run_vm(f, VM_A);
        attach(f, VM_A, -1);
        fake_guest_does(FAKE_GUEST_IS_SILENT);
        dl_flow_unplug(attachment_of(f, VM_A), &request, NULL);
        CORE_WAIT(f, vm_a(f)->releasing);
        core_fixture_settle(f);
        fake_domain_remove(VM_A);
        fake_virt_tell(VM_A); /* no need to wait for the guest's deadline: there is no guest */
        core_expect(&result, DL_ERROR_VM_NOT_FOUND);
}

/* ---- libvirt goes away --------------------------------------------------------------------- */

static void test_libvirt_lost_in_the_middle(CoreFixture *f, gconstpointer data)
{
        static const char *const where[] = {"metadata", "attach config", "attach live"};

        fake_portals_redirect(true);
        run_vm(f, VM_A);
        for (unsigned i = 0; i < G_N_ELEMENTS(where); i++) {
                DlDeviceSpec spec = spec_of(GUID);
                CoreResult result;

                fake_virt_hold(where[i]);
                attach_as(f, VM_A, &spec, &result);
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
                expect_nothing(f, VM_A);
        }
}

/* The service dies at each call, having had its effect or not; the next start settles it. */
static void test_crash_anywhere(CoreFixture *f, gconstpointer data)
{
        static const Failure crashes[] = {
                {"metadata", 0},
                {"attach config", 0},
                {"attach live", 0},
                {"look", 0},
        };

        fake_portals_redirect(true);
        run_vm(f, VM_A);
        for (unsigned i = 0; i < G_N_ELEMENTS(crashes); i++) {
                DlDeviceSpec spec = spec_of(GUID);
                CoreResult result;

                if (i < 3)
                        fake_virt_hold(crashes[i].what);
                else
                        fake_virt_fail("look at plugged", DL_ERROR_LIBVIRT_ERROR, false);
                attach_as(f, VM_A, &spec, &result);
                CORE_WAIT(f, i < 3 ? fake_virt_is_held(crashes[i].what)
                                   : fake_domain_disk(VM_A, DL_VIRT_LIVE, alias) != NULL);
                core_fixture_stop(f);
                fake_virt_let_go(crashes[i].what);
                core_fixture_start(f);
                CORE_WAIT(f, g_hash_table_size(f->core->intents) == 0);
                core_fixture_settle(f);
                g_assert_cmpuint(result.n_done, ==, 0);
                if (i == 3) {
                        expect_attached(f, VM_A, true);
                        break;
                }
                g_assert_null(attachment_of(f, VM_A));
                g_assert_null(fake_domain_metadata(VM_A));
                g_assert_null(fake_domain_disk(VM_A, DL_VIRT_CONFIG, alias));
        }
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
        DlDeviceSpec spec = spec_of(GUID);
        CoreResult result;

        fake_virt_has_late_call(true);
        fake_virt_fail("attach config", DL_ERROR_TIMED_OUT, false);
        attach_as(f, VM_A, &spec, &result);
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
        DlDeviceSpec spec = spec_of(GUID);
        CoreResult first, second;

        fake_virt_hold("attach config");
        attach_as(f, VM_A, &spec, &first);
        CORE_WAIT(f, fake_virt_is_held("attach config"));
        attach_as(f, VM_A, &spec, &second); /* queued behind it */
        fake_virt_fail("attach config", DL_ERROR_TIMED_OUT, false);
        fake_virt_let_go("attach config");
        core_expect(&first, DL_ERROR_TIMED_OUT);
        CORE_WAIT(f, second.n_done);
        core_result_clear(&second);
        CORE_WAIT(f, g_hash_table_size(f->core->intents) == 0);
        core_fixture_settle(f);
        /* one or the other, and all of it */
        g_assert_cmpint(fake_domain_metadata(VM_A) != NULL, ==,
                        fake_domain_disk(VM_A, DL_VIRT_CONFIG, alias) != NULL);
}

/* The same with a plug, which is proven while the recovery is queued behind it. */
static void test_plug_before_recovery(CoreFixture *f, gconstpointer data)
{
        DlDeviceSpec spec = spec_of(GUID);
        CoreResult first, second;
        DlRequest request;

        fake_portals_redirect(true);
        run_vm(f, VM_A);
        spec.plug = 0;
        attach_as(f, VM_A, &spec, &first);
        core_expect(&first, -1);

        fake_virt_fail("attach live", DL_ERROR_TIMED_OUT, false);
        request = core_request(f, &first);
        dl_flow_plug(attachment_of(f, VM_A), &request, NULL);
        request = core_request(f, &second);
        dl_flow_plug(attachment_of(f, VM_A), &request, NULL);
        core_expect(&first, DL_ERROR_TIMED_OUT);
        fake_portal_is_silent("p1");
        CORE_WAIT(f, fake_iscsi_in_flight() > 0);
        CORE_WAIT(f, g_queue_get_length(&vm_a(f)->queue) > 1);
        fake_portal_shows("p1", luns, G_N_ELEMENTS(luns));
        core_expect(&second, DL_ERROR_BUSY);
        CORE_WAIT(f, g_hash_table_size(f->core->operations) == 0);
        change(f, dl_flow_plug, -1);
        expect_attached(f, VM_A, true);
}

/* A recovery that fails is tried again after the next look. */
static void test_recovery_fails(CoreFixture *f, gconstpointer data)
{
        static const char *const calls[] = {"detach config", "metadata"};

        fake_portals_redirect(true);
        run_vm(f, VM_A);
        for (unsigned i = 0; i < G_N_ELEMENTS(calls); i++) {
                fake_virt_has_late_call(true);
                fake_virt_fail("attach live", DL_ERROR_TIMED_OUT, false);
                attach(f, VM_A, DL_ERROR_TIMED_OUT);
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
                expect_nothing(f, VM_A);
        }
}

/* ---- run and stop -------------------------------------------------------------------------- */

static void run(CoreFixture *f, int code)
{
        static const char *const anywhere[] = {NULL};
        CoreResult result;
        DlRequest request = core_request(f, &result);

        dl_flow_run(vm_a(f), &request, anywhere, NULL);
        core_expect(&result, code);
        core_fixture_settle(f);
}

static void test_run_and_stop(CoreFixture *f, gconstpointer data)
{
        CoreResult result;
        DlRequest request = core_request(f, &result);

        attach(f, VM_A, -1);
        fake_portal_fails("p1", DL_ERROR_PORTAL_UNREACHABLE);
        run(f, DL_ERROR_NO_HOST_AVAILABLE);
        g_assert_false(dl_vm_is_active(vm_a(f)));
        fake_portal_shows("p1", luns, G_N_ELEMENTS(luns));
        run(f, -1);
        g_assert_true(dl_vm_is_active(vm_a(f)));
        run(f, DL_ERROR_VM_RUNNING);

        dl_flow_stop(vm_a(f), &request, false, NULL);
        core_expect(&result, -1);
        g_assert_false(dl_vm_is_active(vm_a(f)));
        request = core_request(f, &result);
        dl_flow_stop(vm_a(f), &request, false, NULL);
        core_expect(&result, -1);
}

static void test_stop_gracefully(CoreFixture *f, gconstpointer data)
{
        CoreResult result;
        DlRequest request = core_request(f, &result);

        run_vm(f, VM_A);
        dl_flow_stop(vm_a(f), &request, true, NULL);
        CORE_WAIT(f, vm_a(f)->stopped);
        g_assert_cmpuint(result.n_done, ==, 0);
        fake_domain_set_state(VM_A, DL_VIRT_SHUTOFF);
        fake_virt_tell(VM_A);
        core_expect(&result, -1);

        run_vm(f, VM_A);
        request = core_request(f, &result);
        request.timeout_usec = 100 * 1000;
        dl_flow_stop(vm_a(f), &request, true, NULL);
        core_expect(&result, DL_ERROR_TIMED_OUT);
        g_assert_null(vm_a(f)->stopped);
}

/* A LUN that moved is where it is now in the persistent domain, and in no moment without a disk. */
static void test_run_after_move(CoreFixture *f, gconstpointer data)
{
        static const FakeLun moved[] = {{.number = 9, .guid = GUID}};

        attach(f, VM_A, -1);
        fake_portal_shows("p1", moved, 1);
        run(f, -1);
        g_assert_nonnull(strstr(fake_domain_disk(VM_A, DL_VIRT_CONFIG, alias), IQN "/9"));
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
        FakeLun lun = luns[0];
        DlAttachment *a;

        run_vm(f, VM_A);
        attach(f, VM_A, -1);
        core_fixture_settle(f);
        a = attachment_of(f, VM_A);
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

/* ---- what cannot be understood, what is not settled ------------------------------------------ */

/* XML that cannot be parsed does not say that a disk is gone. */
static void test_unreadable_is_not_released(CoreFixture *f, gconstpointer data)
{
        CoreResult result;
        DlRequest request = core_request(f, &result);

        run_vm(f, VM_A);
        attach(f, VM_A, -1);
        f->settings->release_timeout_usec = G_USEC_PER_SEC / 4;
        fake_guest_does(FAKE_GUEST_IS_SILENT);
        dl_flow_unplug(attachment_of(f, VM_A), &request, NULL);
        CORE_WAIT(f, vm_a(f)->releasing);
        fake_domain_add_device(VM_A, "<unclosed>");
        fake_virt_tell(VM_A);
        CORE_WAIT(f, vm_a(f)->unreadable);
        g_assert_true(attachment_of(f, VM_A)->plugged);
        core_expect(&result, DL_ERROR_GUEST_DID_NOT_RELEASE);
        g_assert_nonnull(fake_domain_disk(VM_A, DL_VIRT_LIVE, alias));
}

static void test_delete_of_what_is_being_attached(CoreFixture *f, gconstpointer data)
{
        DlDeviceSpec spec = spec_of(GUID);
        CoreResult attaching, deleting;
        DlRequest request = core_request(f, &deleting);

        fake_virt_hold("metadata");
        attach_as(f, VM_A, &spec, &attaching);
        CORE_WAIT(f, fake_virt_is_held("metadata"));
        dl_flow_vdisk_delete(dl_vdisk_of_guid(f->core, GUID), &request, NULL);
        core_expect(&deleting, DL_ERROR_BUSY);
        fake_virt_let_go("metadata");
        core_expect(&attaching, -1);
        expect_attached(f, VM_A, false);
}

/* Whatever is in flight when the service ends: nothing is touched afterwards. */
static void test_free_in_flight(CoreFixture *f, gconstpointer data)
{
        static const char *const anywhere[] = {NULL};
        DlDeviceSpec spec = spec_of(GUID), other = spec_of(OTHER);
        CoreResult results[5];
        DlRequest requests[5];

        for (unsigned i = 0; i < 5; i++)
                requests[i] = core_request(f, &results[i]);
        attach(f, VM_A, -1);
        fake_portal_is_silent("p1");
        dl_flow_run(vm_a(f), &requests[0], anywhere, NULL);
        dl_flow_device_list(f->core, &requests[1], NULL, NULL, true, false, NULL);
        dl_flow_rescan(DL_LOOKUP_TARGET(f->core, IQN), &requests[2], NULL);
        dl_flow_attach_disk(DL_LOOKUP_VM(f->core, VM_B), &requests[3], &other, NULL);
        dl_flow_attach_disk(vm_a(f), &requests[4], &spec, NULL);
        CORE_WAIT(f, fake_iscsi_in_flight() >= 4);
        core_fixture_stop(f);
        for (unsigned i = 0; i < 5; i++)
                g_assert_cmpuint(results[i].n_done, ==, 0);
}

int main(int argc, char *argv[])
{
        g_test_init(&argc, &argv, NULL);
#define TEST(name, function)                                                                       \
        g_test_add("/core/flows/" name, CoreFixture, NULL, begin, function, end)
        TEST("attach-config", test_attach_config);
        TEST("attach-live", test_attach_live);
        TEST("attach-fails", test_attach_fails);
        TEST("attach-both-fails", test_attach_both_fails);
        TEST("undo-fails", test_undo_fails);
        TEST("attach-cancelled", test_attach_cancelled);
        TEST("attach-to-two-at-once", test_attach_to_two_at_once);
        TEST("broken-metadata-stays", test_broken_metadata_stays);
        TEST("attachment-goes-before-the-end", test_attachment_goes_before_the_end);
        TEST("inline-is-undone", test_inline_is_undone);
        TEST("inline-attach", test_inline_attach);
        TEST("lun-moved", test_lun_moved);
        TEST("number-reused", test_number_reused);
        TEST("write-protected", test_write_protected);
        TEST("not-ready", test_not_ready);
        TEST("moved-and-write-protected", test_moved_and_write_protected);
        TEST("silent-portal-is-no-proof", test_silent_portal_is_no_proof);
        TEST("unplug-and-plug", test_unplug_and_plug);
        TEST("guest-refuses", test_guest_refuses);
        TEST("unplug-times-out", test_unplug_times_out);
        TEST("vm-goes-while-unplugging", test_vm_goes_while_unplugging);
        TEST("libvirt-lost-in-the-middle", test_libvirt_lost_in_the_middle);
        TEST("crash-anywhere", test_crash_anywhere);
        TEST("intent-of-gone-vm", test_intent_of_gone_vm);
        TEST("intent-of-going-vm", test_intent_of_going_vm);
        TEST("operation-before-recovery", test_operation_before_recovery);
        TEST("plug-before-recovery", test_plug_before_recovery);
        TEST("recovery-fails", test_recovery_fails);
        TEST("run-and-stop", test_run_and_stop);
        TEST("stop-gracefully", test_stop_gracefully);
        TEST("run-after-move", test_run_after_move);
        TEST("resize", test_resize);
        TEST("unreadable-is-not-released", test_unreadable_is_not_released);
        TEST("delete-of-what-is-being-attached", test_delete_of_what_is_being_attached);
        TEST("free-in-flight", test_free_in_flight);
        return g_test_run();
}
