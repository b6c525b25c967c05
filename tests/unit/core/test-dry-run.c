/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Dry runs of the flows, whole, with an initiator and a libvirt of the test's: each tells what
 * would be done, and nothing of it is done, stored or announced. One thread.
 */

#include "core-fixture.h"
#include "core/records/journal.h"
#include "fakes.h"
#include "util/uuid.h"

#include <string.h>

#define VM     "6695eb01-f6a4-8304-79aa-97f2502e193f"
#define NEW_VM "6695eb01-f6a4-8304-79aa-97f2502e1940"
#define IQN    "iqn.2026-11.org.example:t"
#define NEW    "iqn.2026-11.org.example:new"
#define GUID   "360000000000000000e00000000010001"
#define OTHER  "360000000000000000e00000000010002"

static const FakeLun luns[] = {{.number = 1, .guid = GUID}, {.number = 2, .guid = OTHER}};

static char *before; /* what the core knew */

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

static void begin(CoreFixture *f, gconstpointer data)
{
        core_fixture_open(f);
        fake_domain_add(VM, "a", DL_VIRT_SHUTOFF, true);
        fake_portal_shows("p1", luns, G_N_ELEMENTS(luns));
        core_fixture_start(f);
        dl_target_add_portal(dl_target_ensure(f->core, IQN, NULL), "p1", 3260, 0);
        settle(f);
}

static void end(CoreFixture *f, gconstpointer data)
{
        core_fixture_close(f);
        fake_iscsi_forget();
        fake_virt_forget();
        g_clear_pointer(&before, g_free);
}

static DlTarget *target_of(CoreFixture *f)
{
        return DL_LOOKUP_TARGET(f->core, IQN);
}

static DlVm *vm_of(CoreFixture *f)
{
        return DL_LOOKUP_VM(f->core, VM);
}

static void rescan(CoreFixture *f)
{
        CoreResult result;
        DlRequest request = core_request(f, &result);

        g_assert_nonnull(dl_flow_rescan(target_of(f), &request, NULL));
        core_expect(&result, -1);
        settle(f);
}

static void run_vm(CoreFixture *f)
{
        fake_domain_set_state(VM, DL_VIRT_RUNNING);
        fake_virt_tell(VM);
        CORE_WAIT(f, dl_vm_is_active(vm_of(f)));
        settle(f);
}

static DlRequest dry_request(CoreFixture *f, CoreResult *result)
{
        DlRequest request = core_request(f, result);

        request.dry_run = true;
        settle(f);
        g_free(before);
        before = describe(f);
        core_fixture_forget(f);
        return request;
}

/* expected: lines of the report, each with its end; from the first "Would" on. */
static void expect(CoreFixture *f, DlJob *job, CoreResult *result, int code, const char *expected)
{
        g_autoptr(GString) report = g_string_new(NULL);
        unsigned n_calls = fake_virt_log()->len;

        g_assert_nonnull(job);
        core_expect(result, code);
        for (unsigned i = 0; i < job->report->len; i++)
                if (g_str_has_prefix(job->report->pdata[i], "Would "))
                        g_string_append_printf(report, "%s\n", (char *)job->report->pdata[i]);
        g_assert_cmpstr(report->str, ==, expected);
        g_assert_cmpuint(f->core->n_writes, ==, 0);
        settle(f);
        for (unsigned i = 0; i < f->log->len; i++)
                if (!strstr(f->log->pdata[i], " job "))
                        g_error("a dry run was announced: %s", (char *)f->log->pdata[i]);
        g_autofree char *after = describe(f);
        g_assert_cmpstr(after, ==, before);
        g_assert_cmpuint(fake_virt_log()->len, ==, n_calls);
        g_assert_cmpuint(fake_iscsi_in_flight(), ==, 0);
        g_assert_cmpuint(target_of(f)->n_jobs, ==, 0);
}

/* ---- targets ------------------------------------------------------------------------------- */

static void test_discover(CoreFixture *f, gconstpointer data)
{
        static const char *const portals[] = {"p2", NULL};
        g_autoptr(DlSecret) secret = dl_secret_new("good password", 13, NULL);
        DlChap chap = {.user = "user", .secret = secret};
        CoreResult result;
        DlRequest request = dry_request(f, &result);

        fake_portal_names("p2", NEW, portals);
        DlJob *job = dl_flow_discover(f->core, &request, "p2", 3260, &chap, NULL);
        expect(f, job, &result, -1,
               "Would add target " NEW "\nWould keep the credentials given for target " NEW "\n");
        g_assert_cmpuint(job->would_give->len, ==, 1);
}

static void test_add_target(CoreFixture *f, gconstpointer data)
{
        DlPortalArg portals[] = {{.address = "p1", .port = 3260}, {.address = "p2", .port = 3260}};
        CoreResult result;
        DlRequest request = dry_request(f, &result);

        expect(f, dl_flow_add_target(f->core, &request, IQN, portals, 2, NULL), &result, -1,
               "Would add the portal p2:3260 of target " IQN "\n");
        request = dry_request(f, &result);
        expect(f, dl_flow_add_target(f->core, &request, NEW, portals, 1, NULL), &result, -1,
               "Would add the portal p1:3260 of target " NEW "\n");
}

static void test_connect(CoreFixture *f, gconstpointer data)
{
        static const char *const wanted[] = {OTHER, NULL}, *const missing[] = {"nothing", NULL};
        CoreResult result;
        DlRequest request = dry_request(f, &result);

        expect(f,
               dl_flow_connect(target_of(f), &request,
                               &(DlConnectSpec){.guids = wanted, .pin = true}, NULL),
               &result, -1, "Would pin target " IQN "\nWould keep target " IQN " connected\n");
        g_assert_cmpuint(fake_iscsi_n_asked("p1"), ==, 1); /* it was looked at */
        request = dry_request(f, &result);
        expect(f,
               dl_flow_connect(target_of(f), &request,
                               &(DlConnectSpec){.guids = missing, .pin = true}, NULL),
               &result, DL_ERROR_LUN_NOT_VISIBLE, "");
        fake_portal_fails("p1", DL_ERROR_AUTH_FAILED);
        request = dry_request(f, &result);
        expect(f, dl_flow_connect(target_of(f), &request, &(DlConnectSpec){}, NULL), &result,
               DL_ERROR_AUTH_FAILED, "");
}

/* Whoever waits for a silent portal can go, and nothing stays behind. */
static void test_connect_cancelled(CoreFixture *f, gconstpointer data)
{
        CoreResult result;
        DlRequest request = dry_request(f, &result);

        fake_portal_is_silent("p1");
        DlJob *job = dl_flow_connect(target_of(f), &request, &(DlConnectSpec){.pin = true}, NULL);
        CORE_WAIT(f, fake_iscsi_in_flight() > 0);
        g_assert_true(dl_job_cancel(job, NULL));
        expect(f, job, &result, DL_ERROR_CANCELLED, "");
}

static void test_the_core_goes(CoreFixture *f, gconstpointer data)
{
        CoreResult result;
        DlRequest request = dry_request(f, &result);

        fake_portal_is_silent("p1");
        g_assert_nonnull(
                dl_flow_connect(target_of(f), &request, &(DlConnectSpec){.pin = true}, NULL));
        CORE_WAIT(f, fake_iscsi_in_flight() > 0);
        core_fixture_stop(f);
        g_assert_cmpuint(result.n_done, ==, 0);
}

static void test_rescan_and_list(CoreFixture *f, gconstpointer data)
{
        CoreResult result;
        DlRequest request = dry_request(f, &result);

        expect(f, dl_flow_rescan(target_of(f), &request, NULL), &result, -1, "");
        g_assert_cmpuint(result.n_objects, ==, 2); /* what it would find is told all the same */
        request = dry_request(f, &result);
        expect(f, dl_flow_device_list(f->core, &request, NULL, NULL, true, false, NULL), &result,
               -1, "");
        g_assert_cmpuint(result.n_objects, ==, 2);
        rescan(f);
        request = dry_request(f, &result);
        expect(f, dl_flow_lun_refresh(DL_LOOKUP_LUN(f->core, GUID), &request, NULL), &result, -1,
               "");
}

static void test_unmanage_and_forget(CoreFixture *f, gconstpointer data)
{
        g_autoptr(DlSecret) secret = dl_secret_new("good password", 13, NULL);
        DlChap chap = {.user = "user", .secret = secret}, none = {0};
        CoreResult result;
        DlRequest request = core_request(f, &result);

        g_assert_nonnull(
                dl_flow_connect(target_of(f), &request, &(DlConnectSpec){.pin = true}, NULL));
        core_expect(&result, -1);
        request = dry_request(f, &result);
        expect(f, dl_flow_unmanage(target_of(f), &request, NULL), &result, -1,
               "Would let go of target " IQN "\n");
        request = dry_request(f, &result);
        expect(f, dl_flow_set_credentials(target_of(f), &request, &chap, NULL), &result, -1,
               "Would set the credentials of target " IQN "\n");
        request = dry_request(f, &result);
        expect(f, dl_flow_set_credentials(target_of(f), &request, &none, NULL), &result, -1,
               "Would remove the credentials of target " IQN "\n");
        request = dry_request(f, &result);
        expect(f, dl_flow_forget(target_of(f), &request, NULL), &result, -1,
               "Would forget target " IQN ", with its credentials and what only it showed\n");
}

/* ---- vDisks -------------------------------------------------------------------------------- */

static void test_vdisk(CoreFixture *f, gconstpointer data)
{
        char id[DL_UUID_SIZE];
        CoreResult result;
        DlRequest request;
        DlJob *job;

        rescan(f);
        dl_uuid_for_guid(GUID, id);
        request = dry_request(f, &result);
        job = dl_flow_create_vdisk(f->core, &request, GUID, NULL, NULL, NULL);
        g_autofree char *make = g_strdup_printf("Would make the vDisk %s of " GUID "\n", id);
        expect(f, job, &result, -1, make);
        g_assert_cmpstr(((DlObjectRef *)job->would_give->pdata[0])->id, ==, id);
        request = dry_request(f, &result);
        expect(f, dl_flow_create_vdisk(f->core, &request, "nothing", NULL, NULL, NULL), &result,
               DL_ERROR_LUN_NOT_FOUND, "");

        request = core_request(f, &result);
        g_assert_nonnull(dl_flow_create_vdisk(f->core, &request, GUID, NULL, NULL, NULL));
        core_expect(&result, -1);
        DlVDisk *vdisk = dl_vdisk_of_guid(f->core, GUID);
        request = dry_request(f, &result);
        g_autofree char *change = g_strdup_printf("Would change the alias of vDisk %s to 'new'\n",
                                                  id);
        expect(f, dl_flow_vdisk_update(vdisk, &request, "new", "", NULL), &result, -1, change);
        request = dry_request(f, &result);
        g_autofree char *delete = g_strdup_printf(
                "Would delete the vDisk %s; the data of its LUN stay\n", id);
        expect(f, dl_flow_vdisk_delete(vdisk, &request, NULL), &result, -1, delete);
}

/* ---- VMs ----------------------------------------------------------------------------------- */

static DlJob *attach(CoreFixture *f, const DlRequest *request, bool by_inline_lun)
{
        DlDeviceSpec spec = {.guid = by_inline_lun ? NULL : GUID, .index = -1, .plug = -1};

        if (by_inline_lun) {
                spec.inline_lun.iqn = NEW;
                spec.inline_lun.address = "p1";
                spec.inline_lun.port = 3260;
                spec.inline_lun.guid = GUID;
        }
        return dl_flow_attach_disk(vm_of(f), request, &spec, NULL);
}

static char *attachment_id(void)
{
        char vdisk[DL_UUID_SIZE], id[DL_UUID_SIZE];

        dl_uuid_for_guid(GUID, vdisk);
        dl_uuid_for_attachment(VM, vdisk, id);
        return g_strdup(id);
}

static char *attach_report(const char *first, bool plugs)
{
        char vdisk[DL_UUID_SIZE];
        g_autofree char *id = attachment_id();

        dl_uuid_for_guid(GUID, vdisk);
        return g_strdup_printf("%sWould make the vDisk %s of " GUID "\n"
                               "Would write the attachment %s into the metadata of VM a\n"
                               "Would add " GUID " to the configuration of VM a as vda (virtio)\n"
                               "%s",
                               first, vdisk, id,
                               plugs ? "Would plug " GUID " into the running VM a as vda (virtio)\n"
                                     : "");
}

static void test_attach(CoreFixture *f, gconstpointer data)
{
        g_autofree char *id = attachment_id(), *off = attach_report("", false),
                        *on = attach_report("", true);
        CoreResult result;
        DlRequest request = dry_request(f, &result);

        expect(f, attach(f, &request, false), &result, DL_ERROR_LUN_NOT_FOUND, "");
        rescan(f);
        request = dry_request(f, &result);
        DlJob *job = attach(f, &request, false);
        expect(f, job, &result, -1, off);
        g_assert_cmpstr(((DlObjectRef *)job->would_give->pdata[0])->id, ==, id);
        run_vm(f);
        request = dry_request(f, &result);
        expect(f, attach(f, &request, false), &result, -1, on);
}

/* The target is not known before, nor afterwards; and yet its LUN is proven. */
static void test_attach_inline(CoreFixture *f, gconstpointer data)
{
        g_autofree char *would = attach_report("Would add the portal p1:3260 of target " NEW "\n",
                                               false);
        CoreResult result;
        DlRequest request = dry_request(f, &result);

        expect(f, attach(f, &request, true), &result, -1, would);
        g_assert_cmpuint(fake_iscsi_n_asked("p1"), >, 0);
        fake_portal_fails("p1", DL_ERROR_PORTAL_UNREACHABLE);
        request = dry_request(f, &result);
        expect(f, attach(f, &request, true), &result, DL_ERROR_PORTAL_UNREACHABLE,
               "Would add the portal p1:3260 of target " NEW "\n");
}

static void test_attachment(CoreFixture *f, gconstpointer data)
{
        g_autofree char *id = attachment_id();
        CoreResult result;
        DlRequest request = core_request(f, &result);

        rescan(f);
        run_vm(f);
        g_assert_nonnull(attach(f, &request, false));
        core_expect(&result, -1);
        DlAttachment *a = DL_LOOKUP_ATTACHMENT(f->core, id);

        request = dry_request(f, &result);
        expect(f, dl_flow_plug(a, &request, NULL), &result, -1, ""); /* it is plugged */
        request = dry_request(f, &result);
        expect(f, dl_flow_unplug(a, &request, NULL), &result, -1,
               "Would ask the guest of VM a to release " GUID ", and wait for it\n"
               "Would remove " GUID " from the configuration of VM a\n");
        g_autofree char *detach = g_strdup_printf(
                "Would ask the guest of VM a to release " GUID ", and wait for it\n"
                "Would remove " GUID " from the configuration of VM a\n"
                "Would remove the attachment %s from the metadata of VM a\n",
                id);
        request = dry_request(f, &result);
        expect(f, dl_flow_detach(a, &request, NULL), &result, -1, detach);

        request = core_request(f, &result);
        g_assert_nonnull(dl_flow_unplug(a, &request, NULL));
        core_expect(&result, -1);
        request = dry_request(f, &result);
        expect(f, dl_flow_plug(a, &request, NULL), &result, -1,
               "Would add " GUID " to the configuration of VM a as vda (virtio)\n"
               "Would plug " GUID " into the running VM a as vda (virtio)\n");
}

static void test_run_and_stop(CoreFixture *f, gconstpointer data)
{
        static const char *const any[] = {NULL};
        CoreResult result;
        DlRequest request = core_request(f, &result);

        rescan(f);
        g_assert_nonnull(attach(f, &request, false));
        core_expect(&result, -1);
        request = dry_request(f, &result);
        g_autofree char *start = g_strdup_printf("Would start VM a on host %s\n",
                                                 dl_core_local_host(f->core)->object.id);
        expect(f, dl_flow_run(vm_of(f), &request, any, NULL), &result, -1, start);
        request = dry_request(f, &result);
        expect(f, dl_flow_stop(vm_of(f), &request, false, NULL), &result, -1, "");

        fake_portal_fails("p1", DL_ERROR_PORTAL_UNREACHABLE);
        request = dry_request(f, &result);
        expect(f, dl_flow_run(vm_of(f), &request, any, NULL), &result, DL_ERROR_NO_HOST_AVAILABLE,
               "");

        run_vm(f);
        request = dry_request(f, &result);
        expect(f, dl_flow_stop(vm_of(f), &request, false, NULL), &result, -1,
               "Would power off VM a\n");
        request = dry_request(f, &result);
        expect(f, dl_flow_stop(vm_of(f), &request, true, NULL), &result, -1,
               "Would ask the guest of VM a to shut down, and wait for it\n");
}

/* ---- starts of others ---------------------------------------------------------------------- */

/* What the definition alone knows is looked at, and forgotten again. */
static void test_prepare_start(CoreFixture *f, gconstpointer data)
{
        static const char *const xml =
                "<domain type='kvm'><name>b</name><uuid>" NEW_VM "</uuid><metadata>"
                "<d:attachments xmlns:d='" DL_METADATA_URI "'><d:attachment id='x' vdisk='" NEW_VM
                "' guid='" GUID "' iqn='" NEW "' lun='1' iface='virtio' device='disk'"
                " data-path='qemu'/></d:attachments></metadata><devices>"
                "<disk type='network'><source protocol='iscsi' name='" NEW "/1'>"
                "<host name='p2' port='3260'/></source><target dev='vda' bus='virtio'/>"
                "<alias name='" DL_DISK_ALIAS_PREFIX NEW_VM "'/></disk></devices></domain>";
        CoreResult result;
        DlRequest request = dry_request(f, &result);

        fake_portal_shows("p2", luns, G_N_ELEMENTS(luns));
        expect(f, dl_flow_prepare_start(f->core, &request, xml, NULL), &result, -1, "");
        g_assert_cmpuint(fake_iscsi_n_asked("p2"), >, 0);
}

int main(int argc, char **argv)
{
        g_test_init(&argc, &argv, NULL);
#define TEST(name, function)                                                                       \
        g_test_add("/core/dry-run/" name, CoreFixture, NULL, begin, function, end)
        TEST("discover", test_discover);
        TEST("add-target", test_add_target);
        TEST("connect", test_connect);
        TEST("connect-cancelled", test_connect_cancelled);
        TEST("the-core-goes", test_the_core_goes);
        TEST("rescan-and-list", test_rescan_and_list);
        TEST("unmanage-and-forget", test_unmanage_and_forget);
        TEST("vdisk", test_vdisk);
        TEST("attach", test_attach);
        TEST("attach-inline", test_attach_inline);
        TEST("attachment", test_attachment);
        TEST("run-and-stop", test_run_and_stop);
        TEST("prepare-start", test_prepare_start);
        return g_test_run();
}
