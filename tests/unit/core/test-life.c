/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How VMs begin and end when the storage or libvirt does not play along: disks that are left out,
 * ends that nobody tells. One thread.
 */

#include "core-fixture.h"
#include "fakes.h"
#include "util/uuid.h"

#include <string.h>

#define VM   "6695eb01-f6a4-8304-79aa-97f2502e193f"
#define IQN  "iqn.2026-11.org.example:t"
#define GUID "360000000000000000e00000000010001"

static const FakeLun luns[] = {{.number = 1, .guid = GUID}};

static char *alias;

static DlVm *vm(CoreFixture *f)
{
        return DL_LOOKUP_VM(f->core, VM);
}

static DlTarget *target(CoreFixture *f)
{
        return DL_LOOKUP_TARGET(f->core, IQN);
}

static DlAttachment *attachment(CoreFixture *f)
{
        char vdisk[DL_UUID_SIZE], id[DL_UUID_SIZE];

        dl_uuid_for_guid(GUID, vdisk);
        dl_uuid_for_attachment(VM, vdisk, id);
        return DL_LOOKUP_ATTACHMENT(f->core, id);
}

/* A VM that is off, with an optional disk. */
static void begin(CoreFixture *f, gconstpointer data)
{
        DlDeviceSpec spec = {.guid = GUID, .index = -1, .plug = -1, .optional = true};
        char vdisk[DL_UUID_SIZE];
        CoreResult result;

        core_fixture_open(f);
        f->settings->check_interval_usec = G_USEC_PER_SEC / 5;
        fake_domain_add(VM, "a", DL_VIRT_SHUTOFF, true);
        fake_portal_shows("p1", luns, G_N_ELEMENTS(luns));
        core_fixture_start(f);

        DlRequest request = core_request(f, &result);
        dl_target_add_portal(dl_target_ensure(f->core, IQN, NULL), "p1", 3260, 0);
        g_assert_nonnull(dl_flow_rescan(target(f), &request, NULL));
        core_expect(&result, -1);
        request = core_request(f, &result);
        g_assert_nonnull(dl_flow_attach_disk(vm(f), &request, &spec, NULL));
        core_expect(&result, -1);
        dl_uuid_for_guid(GUID, vdisk);
        alias = dl_disk_alias(vdisk);
}

static void end(CoreFixture *f, gconstpointer data)
{
        CORE_WAIT(f, g_hash_table_size(f->core->operations) == 0);
        core_fixture_settle(f);
        g_assert_cmpuint(g_hash_table_size(f->core->intents), ==, 0);
        core_fixture_close(f);
        fake_iscsi_forget();
        fake_virt_forget();
        g_clear_pointer(&alias, g_free);
}

static void run_without(CoreFixture *f)
{
        static const char *const anywhere[] = {NULL};
        CoreResult result;
        DlRequest request = core_request(f, &result);

        fake_portal_fails("p1", DL_ERROR_PORTAL_UNREACHABLE);
        g_assert_nonnull(dl_flow_run(vm(f), &request, anywhere, NULL));
        core_expect(&result, -1);
        g_assert_true(attachment(f)->left_out);
        g_assert_false(attachment(f)->plugged);
        g_assert_cmpint(attachment(f)->last_error.code, ==, DL_ERROR_PORTAL_UNREACHABLE);
        g_assert_null(fake_domain_disk(VM, DL_VIRT_LIVE, alias));
        g_assert_nonnull(fake_domain_disk(VM, DL_VIRT_CONFIG, alias));
        g_assert_true(dl_target_is_managed(target(f)));
        g_assert_false(dl_core_is_idle(f->core));
}

static void test_left_out(CoreFixture *f, gconstpointer data)
{
        run_without(f);
        fake_portal_shows("p1", luns, G_N_ELEMENTS(luns));
        CORE_WAIT(f, attachment(f)->plugged);
        CORE_WAIT(f, !attachment(f)->left_out);
        g_assert_cmpint(attachment(f)->last_error.code, <, 0);
}

/* The target is there and the LUN is not; then it is. */
static void test_lun_comes_later(CoreFixture *f, gconstpointer data)
{
        run_without(f);
        dl_last_error_set(&attachment(f)->last_error, NULL);
        fake_portal_shows("p1", luns, 0);
        CORE_WAIT(f, attachment(f)->last_error.code == DL_ERROR_LUN_NOT_VISIBLE);
        fake_portal_shows("p1", luns, G_N_ELEMENTS(luns));
        CORE_WAIT(f, attachment(f)->plugged);
}

/* A plug that fails is tried again, and says why meanwhile. */
static void test_plug_fails_once(CoreFixture *f, gconstpointer data)
{
        run_without(f);
        fake_virt_fail("attach live", DL_ERROR_LIBVIRT_ERROR, false);
        fake_portal_shows("p1", luns, G_N_ELEMENTS(luns));
        CORE_WAIT(f, attachment(f)->last_error.code == DL_ERROR_LIBVIRT_ERROR);
        g_assert_true(attachment(f)->left_out);
        CORE_WAIT(f, attachment(f)->plugged);
}

/* A VM stands still for a moment at each try: they become rare. */
static void test_plug_fails_again(CoreFixture *f, gconstpointer data)
{
        uint64_t pause = f->settings->check_interval_usec / 2;

        run_without(f);
        for (unsigned i = 0; i < 4; i++, pause *= 2) {
                fake_virt_fail("attach live", DL_ERROR_LIBVIRT_ERROR, false);
                fake_portal_shows("p1", luns, G_N_ELEMENTS(luns));
                CORE_WAIT(f, attachment(f)->retry_pause_usec == pause);
                g_assert_cmpuint(attachment(f)->retry_usec, >, dl_now() + pause / 2);
        }
        CORE_WAIT(f, attachment(f)->plugged);
        CORE_WAIT(f, attachment(f)->retry_pause_usec == 0);
}

/* What a restart finds is what the domain says. */
static void test_restart(CoreFixture *f, gconstpointer data)
{
        run_without(f);
        CORE_WAIT(f, g_hash_table_size(f->core->operations) == 0);
        core_fixture_stop(f);
        core_fixture_start(f);
        g_assert_true(attachment(f)->left_out);
        fake_portal_shows("p1", luns, G_N_ELEMENTS(luns));
        CORE_WAIT(f, attachment(f)->plugged);
}

static void test_end_of_the_vm(CoreFixture *f, gconstpointer data)
{
        run_without(f);
        fake_domain_start_or_stop(VM);
        CORE_WAIT(f, !dl_vm_is_active(vm(f)));
        g_assert_false(attachment(f)->left_out);
        g_assert_false(dl_target_is_managed(target(f)));
        CORE_WAIT(f, target(f)->state == DL_TARGET_DISCONNECTED);
}

/* libvirt has listed it as running, and does not tell that it ended. */
static void test_end_that_nobody_tells(CoreFixture *f, gconstpointer data)
{
        fake_domain_start_or_stop(VM);
        CORE_WAIT(f, attachment(f)->plugged);
        fake_virt_disconnect();
        fake_virt_connect();
        CORE_WAIT(f, fake_virt_in_flight() == 0);
        fake_domain_set_state(VM, DL_VIRT_SHUTOFF);
        CORE_WAIT(f, !dl_vm_is_active(vm(f)));
        CORE_WAIT(f, !dl_target_is_managed(target(f)));
}

int main(int argc, char *argv[])
{
        g_test_init(&argc, &argv, NULL);
#define ADD(name, function) g_test_add("/core/life/" name, CoreFixture, NULL, begin, function, end)
        ADD("left-out", test_left_out);
        ADD("lun-comes-later", test_lun_comes_later);
        ADD("plug-fails-once", test_plug_fails_once);
        ADD("plug-fails-again", test_plug_fails_again);
        ADD("restart", test_restart);
        ADD("end-of-the-vm", test_end_of_the_vm);
        ADD("end-that-nobody-tells", test_end_that_nobody_tells);
        return g_test_run();
}
