/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Targets: their state and who needs them; objects and how their changes are told; the flows that
 * need no VM. One thread.
 */

#include "core-fixture.h"
#include "core/steps/connect.h"
#include "fakes.h"
#include "util/uuid.h"

#include <string.h>

#define IQN  "iqn.2026-11.org.example:t"
#define GUID "3600000000000000000000000000000aa"
#define UUID "6695eb01-f6a4-8304-79aa-97f2502e193f"

static const FakeLun luns[] = {{.number = 1, .guid = GUID}};

static void begin(CoreFixture *f, gconstpointer data)
{
        core_fixture_open(f);
        core_fixture_start(f);
        core_fixture_settle(f);
        core_fixture_forget(f);
}

static void end(CoreFixture *f, gconstpointer data)
{
        core_fixture_close(f);
        fake_iscsi_forget();
        fake_virt_forget();
}

static DlTarget *make_target(CoreFixture *f, const char *const *portals)
{
        DlTarget *target = dl_target_ensure(f->core, IQN, NULL);

        for (; *portals; portals++)
                dl_target_add_portal(target, *portals, 3260, 0);
        return target;
}
#define MAKE_TARGET(f, ...) make_target(f, (const char *const[]){__VA_ARGS__, NULL})

static void connect_to(CoreFixture *f, DlTarget *target, bool pin, int code)
{
        CoreResult result;
        DlRequest request = core_request(f, &result);

        g_assert_nonnull(dl_flow_connect(target, &request, &(DlConnectSpec){.pin = pin}, NULL));
        core_expect(&result, code);
        g_assert_cmpuint(target->n_jobs, ==, 0);
}

static void unmanage(CoreFixture *f, DlTarget *target)
{
        CoreResult result;
        DlRequest request = core_request(f, &result);

        dl_flow_unmanage(target, &request, NULL);
        core_expect(&result, -1);
}

static void expect_state(const DlTarget *target, const char *state, bool managed)
{
        g_assert_cmpstr(dl_target_state_name(target->state), ==, state);
        g_assert_cmpint(dl_target_is_managed(target), ==, managed);
}

/* ---- objects ------------------------------------------------------------------------------- */

static void test_changes_are_batched(CoreFixture *f, gconstpointer data)
{
        DlTarget *target = dl_target_new(f->core, IQN);

        dl_object_changed(&target->object, "State"); /* not published: nobody is told */
        core_fixture_settle(f);
        g_assert_cmpuint(f->log->len, ==, 0);

        dl_object_publish(&target->object);
        dl_object_changed(&target->object, "State");
        dl_object_changed(&target->object, "Luns");
        dl_object_changed(&target->object, "State");
        g_assert_cmpuint(f->log->len, ==, 1); /* added, and nothing yet */
        core_fixture_settle(f);
        g_assert_cmpuint(f->log->len, ==, 2);
        g_assert_cmpstr(f->log->pdata[1], ==, "changed target " IQN " State,Luns");

        dl_object_changed(&target->object, "State");
        dl_core_flush(f->core);
        g_assert_cmpuint(f->log->len, ==, 3); /* at once */
        core_fixture_settle(f);
        g_assert_cmpuint(f->log->len, ==, 3);

        dl_object_changed(&target->object, "State");
        dl_object_unpublish(&target->object);
        core_fixture_settle(f);
        g_assert_cmpuint(f->log->len, ==, 4); /* who is gone does not change */
        g_assert_cmpstr(f->log->pdata[3], ==, "removed target " IQN);
        dl_object_unpublish(&target->object); /* twice is no harm */
        g_assert_cmpuint(f->log->len, ==, 4);
        dl_target_free(target);
}

static void test_list_is_sorted(CoreFixture *f, gconstpointer data)
{
        static const char *const iqns[] = {"iqn.c", "iqn.a", "iqn.b"};

        for (unsigned i = 0; i < 3; i++)
                g_assert_nonnull(dl_target_ensure(f->core, iqns[i], NULL));
        g_autoptr(GPtrArray) list = dl_core_list(f->core, DL_KIND_TARGET);
        g_assert_cmpuint(list->len, ==, 3);
        for (unsigned i = 0; i < 3; i++)
                g_assert_cmpint(((DlObject *)list->pdata[i])->id[4], ==, (int)('a' + i));
        g_assert_true(dl_target_ensure(f->core, "iqn.a", NULL) == list->pdata[0]);

        g_autoptr(GError) error = NULL;
        f->settings->objects_max = 3;
        g_assert_null(dl_target_ensure(f->core, "iqn.d", &error));
        g_assert_error(error, DL_ERROR, DL_ERROR_LIMITS_EXCEEDED);
}

/* ---- state --------------------------------------------------------------------------------- */

static void test_states(CoreFixture *f, gconstpointer data)
{
        DlTarget *target = MAKE_TARGET(f, "p1", "p2");

        expect_state(target, "disconnected", false);
        fake_portal_shows("p1", luns, 1);
        fake_portal_shows("p2", luns, 1);
        connect_to(f, target, true, -1);
        expect_state(target, "connected", true);
        g_assert_cmpuint(core_fixture_saw(f, "changed target " IQN), >, 0);
        g_assert_cmpuint(DL_LOOKUP_LUN(f->core, GUID)->paths->len, ==, 2);
        g_assert_cmpuint(((DlPortal *)target->portals->pdata[0])->tpgt, ==, 1); /* was told */

        fake_portal_fails("p1", DL_ERROR_PORTAL_UNREACHABLE);
        connect_to(f, target, true, -1); /* one is enough */
        expect_state(target, "degraded", true);
        DlPortal *portal = target->portals->pdata[0];
        g_assert_cmpstr(dl_last_error_name(&portal->last_error), ==, "PortalUnreachable");
        g_assert_cmpint(DL_LOOKUP_LUN(f->core, GUID)->status, ==, DL_LUN_FREE);

        fake_portal_fails("p2", DL_ERROR_AUTH_FAILED);
        connect_to(f, target, true, DL_ERROR_AUTH_FAILED); /* it says most */
        expect_state(target, "failed", true);
        g_assert_cmpstr(dl_last_error_name(&target->last_error), ==, "AuthFailed");
        g_assert_nonnull(strstr(dl_last_error_message(&target->last_error), "p2:3260"));
        g_assert_cmpint(DL_LOOKUP_LUN(f->core, GUID)->status, ==, DL_LUN_UNUSABLE);

        fake_portal_shows("p1", luns, 1);
        fake_portal_shows("p2", luns, 1);
        connect_to(f, target, true, -1);
        expect_state(target, "connected", true);
        g_assert_cmpstr(dl_last_error_name(&target->last_error), ==, "");

        unmanage(f, target);
        expect_state(target, "disconnected", false);
        unmanage(f, target); /* repeating is no error */
}

static void test_connecting(CoreFixture *f, gconstpointer data)
{
        DlTarget *target = MAKE_TARGET(f, "p1");
        CoreResult result;
        DlRequest request = core_request(f, &result);
        DlJob *job;

        fake_portal_is_silent("p1");
        job = dl_flow_connect(target, &request, &(DlConnectSpec){}, NULL);
        CORE_WAIT(f, fake_iscsi_in_flight() == 1);
        expect_state(target, "connecting", false);
        g_assert_true(dl_job_cancel(job, NULL));
        core_expect(&result, DL_ERROR_CANCELLED);
        g_assert_cmpuint(fake_iscsi_in_flight(), ==, 0);
        expect_state(target, "disconnected", false);
}

/* One that is silent does not hold up the good one, and counts when it answers after all. */
static void test_silent_portal(CoreFixture *f, gconstpointer data)
{
        DlTarget *target = MAKE_TARGET(f, "p1", "p2");

        fake_portal_shows("p1", luns, 1);
        fake_portal_is_silent("p2");
        connect_to(f, target, true, -1);
        expect_state(target, "degraded", true);
        fake_portal_shows("p2", luns, 1);
        CORE_WAIT(f, target->state == DL_TARGET_CONNECTED);
}

static void test_no_portal(CoreFixture *f, gconstpointer data)
{
        DlTarget *target = dl_target_ensure(f->core, IQN, NULL);

        connect_to(f, target, false, DL_ERROR_PORTAL_UNREACHABLE);
        expect_state(target, "disconnected", false);
}

static void test_wanted_guids(CoreFixture *f, gconstpointer data)
{
        static const char *const there[] = {GUID, NULL}, *const missing[] = {GUID, "3bb", NULL};
        DlTarget *target = MAKE_TARGET(f, "p1");
        CoreResult result;
        DlRequest request = core_request(f, &result);

        fake_portal_shows("p1", luns, 1);
        dl_flow_connect(target, &request, &(DlConnectSpec){.guids = missing, .pin = true}, NULL);
        core_expect(&result, DL_ERROR_LUN_NOT_VISIBLE);
        expect_state(target, "disconnected", false); /* nothing of it stays */
        request = core_request(f, &result);
        dl_flow_connect(target, &request, &(DlConnectSpec){.guids = there, .pin = false}, NULL);
        core_expect(&result, -1);
        expect_state(target, "connected", true);
}

/* ---- who needs it -------------------------------------------------------------------------- */

static void test_hold(CoreFixture *f, gconstpointer data)
{
        DlTarget *target = MAKE_TARGET(f, "p1");

        fake_portal_shows("p1", luns, 1);
        f->settings->hold_timeout_usec = 50 * 1000;
        connect_to(f, target, false, -1);
        expect_state(target, "connected", true);
        g_assert_false(dl_core_is_idle(f->core));
        CORE_WAIT(f, !dl_target_is_managed(target)); /* nobody came */
        expect_state(target, "disconnected", false);
}

static void set_vm(CoreFixture *f, bool plugged)
{
        static const char format[] = "<domain><name>vm</name><uuid>" UUID
                                     "</uuid><metadata>%s</metadata>"
                                     "<devices>%s</devices></domain>";
        char vdisk[37], id[37];
        g_autofree char *disk = NULL, *metadata = NULL, *xml = NULL;

        dl_uuid_for_guid(GUID, vdisk);
        dl_uuid_for_attachment(UUID, vdisk, id);
        DlDomainAttachment attachment = {
                .id = id,
                .vdisk = vdisk,
                .guid = (char *)GUID,
                .iface = (char *)"virtio",
                .device = (char *)"disk",
                .iqn = (char *)IQN,
                .lun = 1,
                .data_path = (char *)"auto",
        };
        metadata = dl_metadata_to_xml((DlDomainAttachment *const[]){&attachment}, 1);
        disk = g_strdup_printf("<disk type='network' device='disk'>"
                               "<source protocol='iscsi' name='" IQN "/1'/>"
                               "<target dev='vda' bus='virtio'/>"
                               "<alias name='ua-directlun-%s'/></disk>",
                               vdisk);
        xml = g_strdup_printf(format, metadata, plugged ? disk : "");
        DlVirtDomain domain = {
                .uuid = (char *)UUID,
                .name = (char *)"vm",
                .state = DL_VIRT_RUNNING,
                .persistent = true,
                .live_xml = xml,
                .inactive_xml = xml,
        };
        dl_vm_merge(f->core, &domain);
}

static void test_users(CoreFixture *f, gconstpointer data)
{
        DlTarget *target = MAKE_TARGET(f, "p1");
        CoreResult result;
        DlRequest request;

        fake_portal_shows("p1", luns, 1);
        connect_to(f, target, false, -1); /* held */
        set_vm(f, true);
        g_autoptr(GPtrArray) users = dl_target_users(target);
        g_assert_cmpuint(users->len, ==, 1);
        g_assert_true(target->was_used);

        request = core_request(f, &result);
        dl_flow_unmanage(target, &request, NULL);
        core_expect(&result, DL_ERROR_IN_USE);
        request = core_request(f, &result);
        dl_flow_forget(target, &request, NULL);
        core_expect(&result, DL_ERROR_IN_USE);
        expect_state(target, "connected", true);

        core_fixture_settle(f);
        core_fixture_forget(f);
        set_vm(f, false); /* the last user goes, and with it the hold */
        expect_state(target, "disconnected", false);
        core_fixture_settle(f);
        unsigned i = core_fixture_when(f, "changed target " IQN " ");
        g_assert_nonnull(strstr(f->log->pdata[i], "Managed"));
        CORE_WAIT(f, f->core->n_writes == 0);
        dl_vm_gone(DL_LOOKUP_VM(f->core, UUID));
}

/* Somebody uses it: it is looked at again and again; nobody does: never. */
static void test_checks(CoreFixture *f, gconstpointer data)
{
        DlTarget *target = MAKE_TARGET(f, "p1");

        fake_portal_shows("p1", luns, 1);
        f->settings->check_interval_usec = 10 * 1000;
        connect_to(f, target, true, -1);
        CORE_WAIT(f, fake_iscsi_n_asked("p1") >= 3);
        g_assert_cmpuint(target->n_jobs, <=, 1);
        fake_portal_fails("p1", DL_ERROR_PORTAL_UNREACHABLE);
        CORE_WAIT(f, target->state == DL_TARGET_FAILED);
        fake_portal_shows("p1", luns, 1);
        CORE_WAIT(f, target->state == DL_TARGET_CONNECTED);
        CORE_WAIT(f, !target->checking);
        unmanage(f, target);
        core_fixture_settle(f);
        g_assert_cmpuint(target->n_jobs, ==, 0);
        g_assert_cmpuint(target->next_check_usec, ==, 0);
}

/* A LUN that says that it has grown is looked at before the next check, in use or not; one that
 * says so all the time, or of a target that nobody needs, causes no flood. */
static void test_resized(CoreFixture *f, gconstpointer data)
{
        const uint64_t grown = 2ULL << 30;
        static FakeLun own[] = {{.number = 1, .guid = GUID}, {.number = 2, .guid = GUID "b"}};
        DlTarget *target = MAKE_TARGET(f, "p1");

        fake_portal_shows("p1", own, 2);
        f->settings->check_interval_usec = 3600ULL * G_USEC_PER_SEC;
        fake_iscsi_tell_resized("iqn.2026-11.org.example:nobody", 1);
        connect_to(f, target, true, -1);
        const DlLun *lun = DL_LOOKUP_LUN(f->core, own[1].guid);
        unsigned n_asked = fake_iscsi_n_asked("p1");

        own[1].capacity = grown;
        for (unsigned i = 0; i < 1000; i++)
                fake_iscsi_tell_resized(IQN, 2);
        core_fixture_settle(f);
        g_assert_cmpuint(fake_iscsi_n_asked("p1"), ==, n_asked);
        CORE_WAIT(f, lun->capacity == grown);
        g_assert_cmpuint(fake_iscsi_n_asked("p1"), ==, n_asked + 1);
        CORE_WAIT(f, !target->checking);

        for (unsigned i = 0; i < 1000; i++)
                fake_iscsi_tell_resized(IQN, i);
        unmanage(f, target);
        fake_iscsi_tell_resized(IQN, 1);
        core_fixture_settle(f);
        g_assert_cmpuint(target->next_check_usec, ==, 0);
        g_assert_cmpuint(fake_iscsi_n_asked("p1"), ==, n_asked + 1);
}

/* ---- portals and credentials --------------------------------------------------------------- */

static void test_portals(CoreFixture *f, gconstpointer data)
{
        DlTarget *target = MAKE_TARGET(f, "p1");

        g_assert_true(dl_target_add_portal(target, "p1", 3260, 4) == target->portals->pdata[0]);
        g_assert_cmpuint(((DlPortal *)target->portals->pdata[0])->tpgt, ==, 4); /* completed */
        dl_target_add_portal(target, "p1", 3260, 0); /* not known any better */
        g_assert_cmpuint(((DlPortal *)target->portals->pdata[0])->tpgt, ==, 4);
        dl_target_add_portal(target, "p1", 3261, 0);
        g_assert_cmpuint(target->portals->len, ==, 2);
        g_assert_null(dl_target_find_portal(target, "p2", 3260));
}

static void test_discover(CoreFixture *f, gconstpointer data)
{
        static const char *const wildcard[] = {"0.0.0.0", "192.0.2.7", NULL};
        g_autoptr(DlSecret) secret = dl_secret_new("initiator pass", 14, NULL);
        g_autoptr(DlSecret) target_secret = dl_secret_new("targets pass!!", 14, NULL);
        DlChap chap = {.user = "user", .secret = secret};
        CoreResult result;
        DlRequest request = core_request(f, &result);
        g_autoptr(GError) error = NULL;

        fake_portal_names("p1", IQN, wildcard);
        dl_flow_discover(f->core, &request, "p1", 3260, &chap, NULL);
        CORE_WAIT(f, result.n_done);
        g_assert_cmpstr(result.id, ==, IQN);
        core_expect(&result, -1);
        DlTarget *target = DL_LOOKUP_TARGET(f->core, IQN);
        g_assert_nonnull(dl_target_find_portal(target, "p1", 3260)); /* where it was asked */
        g_assert_nonnull(dl_target_find_portal(target, "192.0.2.7", 3260));
        g_assert_null(dl_target_find_portal(target, "0.0.0.0", 3260));
        g_assert_cmpstr(target->user, ==, "user");

        /* from now on the target has to prove itself, too */
        chap.target_user = "target";
        chap.target_secret = target_secret;
        request = core_request(f, &result);
        dl_flow_discover(f->core, &request, "p1", 3260, &chap, NULL);
        core_expect(&result, -1);
        g_assert_cmpstr(target->target_user, ==, "target");
        g_assert_true(target->target_secret == target_secret);

        fake_portal_fails("p1", DL_ERROR_PORTAL_UNREACHABLE);
        request = core_request(f, &result);
        dl_flow_discover(f->core, &request, "p1", 3260, &(DlChap){0}, NULL);
        core_expect(&result, DL_ERROR_PORTAL_UNREACHABLE);

        static const struct {
                const char *address;
                uint16_t port;
        } refused[] = {{"", 3260}, {"p1", 0}, {"a b", 3260}, {"$(reboot)", 3260}, {"a\n", 3260}};
        for (unsigned i = 0; i < G_N_ELEMENTS(refused); i++) {
                request = core_request(f, &result);
                g_assert_null(dl_flow_discover(f->core, &request, refused[i].address,
                                               refused[i].port, &(DlChap){0}, &error));
                g_assert_error(error, DL_ERROR, DL_ERROR_INVALID_ARGS);
                g_clear_error(&error);
        }
}

static void test_add_target(CoreFixture *f, gconstpointer data)
{
        DlPortalArg portals[] = {{"p1", 3260, 0}, {"p2", 3260, 1}};
        CoreResult result;
        DlRequest request = core_request(f, &result);
        g_autoptr(GError) error = NULL;

        g_assert_null(dl_flow_add_target(f->core, &request, "no name", portals, 2, &error));
        g_assert_error(error, DL_ERROR, DL_ERROR_INVALID_ARGS);
        dl_flow_add_target(f->core, &request, IQN, portals, 2, NULL);
        core_expect(&result, -1);
        g_assert_cmpuint(DL_LOOKUP_TARGET(f->core, IQN)->portals->len, ==, 2);
        request = core_request(f, &result);
        dl_flow_add_target(f->core, &request, IQN, portals, 1, NULL); /* again: no error */
        core_expect(&result, -1);
        g_assert_cmpuint(core_fixture_saw(f, "added target"), ==, 1);
}

/* ---- forget, list -------------------------------------------------------------------------- */

static void test_forget(CoreFixture *f, gconstpointer data)
{
        DlTarget *target = MAKE_TARGET(f, "p1", "p2");
        CoreResult result, other;
        DlRequest request = core_request(f, &result);

        /* a silent portal goes on being asked in the background; that keeps nobody */
        fake_portal_shows("p1", luns, 1);
        fake_portal_is_silent("p2");
        connect_to(f, target, true, -1);
        g_assert_cmpuint(fake_iscsi_in_flight(), ==, 1);

        request = core_request(f, &other);
        dl_flow_rescan(target, &request, NULL);
        CORE_WAIT(f, fake_iscsi_in_flight() > 1);
        request = core_request(f, &result);
        dl_flow_forget(target, &request, NULL);
        core_expect(&result, DL_ERROR_BUSY);
        core_expect(&other, -1);

        request = core_request(f, &result);
        dl_flow_forget(target, &request, NULL);
        core_expect(&result, -1);
        g_assert_cmpuint(fake_iscsi_in_flight(), ==, 0);
        g_assert_null(DL_LOOKUP_TARGET(f->core, IQN));
        g_assert_null(DL_LOOKUP_LUN(f->core, GUID));
        core_fixture_settle(f);
}

/* Somebody begins to use the target while its secrets are being removed: it is all there still. */
static void test_forget_meets_another(CoreFixture *f, gconstpointer data)
{
        DlTarget *target = MAKE_TARGET(f, "p1");
        g_autoptr(DlSecret) secret = dl_secret_new("initiator pass", 14, NULL);
        CoreResult result;
        DlRequest request = core_request(f, &result);
        DlJob *job;

        dl_target_set_credentials(target, "user", secret, NULL, NULL);
        job = dl_flow_forget(target, &request, NULL);
        CORE_WAIT(f, !job->cancelable || result.n_done);
        target = DL_LOOKUP_TARGET(f->core, IQN);
        if (target)
                dl_target_acquire(target);
        CORE_WAIT(f, result.n_done);
        if (target) {
                g_assert_cmpint(result.code, ==, DL_ERROR_BUSY);
                g_assert_true(DL_LOOKUP_TARGET(f->core, IQN) == target);
                g_assert_cmpstr(target->user, ==, "user");
                dl_target_release(target);
        }
        core_result_clear(&result);
}

static void test_device_list(CoreFixture *f, gconstpointer data)
{
        static const char *const unknown[] = {"3bb", NULL}, *const known[] = {GUID, NULL};
        CoreResult result;
        DlRequest request = core_request(f, &result);

        MAKE_TARGET(f, "p1");
        fake_portal_shows("p1", luns, 1);
        dl_flow_device_list(f->core, &request, NULL, NULL, false, false, NULL);
        CORE_WAIT(f, result.n_done);
        g_assert_cmpuint(result.n_objects, ==, 0); /* nobody has looked yet */
        core_expect(&result, -1);

        request = core_request(f, &result);
        dl_flow_device_list(f->core, &request, NULL, "iscsi", true, false, NULL);
        CORE_WAIT(f, result.n_done);
        g_assert_cmpuint(result.n_objects, ==, 1);
        core_expect(&result, -1);

        request = core_request(f, &result);
        dl_flow_device_list(f->core, &request, known, "FCP", false, false, NULL);
        CORE_WAIT(f, result.n_done);
        g_assert_cmpuint(result.n_objects, ==, 0);
        core_expect(&result, -1);

        request = core_request(f, &result);
        dl_flow_device_list(f->core, &request, unknown, NULL, false, false, NULL);
        core_expect(&result, DL_ERROR_LUN_NOT_FOUND);

        fake_portal_fails("p1", DL_ERROR_PORTAL_UNREACHABLE);
        request = core_request(f, &result);
        dl_flow_lun_refresh(DL_LOOKUP_LUN(f->core, GUID), &request, NULL);
        CORE_WAIT(f, result.n_done);
        g_assert_cmpuint(result.n_objects, ==, 1); /* its status says what is wrong */
        core_expect(&result, -1);
        g_assert_cmpint(DL_LOOKUP_LUN(f->core, GUID)->status, ==, DL_LUN_UNUSABLE);

        fake_portal_is_silent("p1");
        request = core_request(f, &result);
        DlJob *job = dl_flow_device_list(f->core, &request, NULL, NULL, true, false, NULL);
        CORE_WAIT(f, fake_iscsi_in_flight() == 1);
        g_assert_true(dl_job_cancel(job, NULL));
        core_expect(&result, DL_ERROR_CANCELLED);
        g_assert_cmpuint(fake_iscsi_in_flight(), ==, 0);
}

int main(int argc, char *argv[])
{
        g_test_init(&argc, &argv, NULL);
#define TEST(name, function)                                                                       \
        g_test_add("/core/target/" name, CoreFixture, NULL, begin, function, end)
        TEST("changes-are-batched", test_changes_are_batched);
        TEST("list-is-sorted", test_list_is_sorted);
        TEST("states", test_states);
        TEST("connecting", test_connecting);
        TEST("silent-portal", test_silent_portal);
        TEST("no-portal", test_no_portal);
        TEST("wanted-guids", test_wanted_guids);
        TEST("hold", test_hold);
        TEST("users", test_users);
        TEST("checks", test_checks);
        TEST("resized", test_resized);
        TEST("portals", test_portals);
        TEST("discover", test_discover);
        TEST("add-target", test_add_target);
        TEST("forget", test_forget);
        TEST("forget-meets-another", test_forget_meets_another);
        TEST("device-list", test_device_list);
        return g_test_run();
}
