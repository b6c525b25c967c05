/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The core with the real layers below it and a libvirt that is not there. One thread. */

#include "core-fixture.h"
#include "core/records/journal.h"

#include <glib/gstdio.h>
#include <string.h>

#define IQN  "iqn.2026-11.org.example:t"
#define GUID "3600000000000000000000000000000aa"
#define UUID "6695eb01-f6a4-8304-79aa-97f2502e193f"

static void begin(CoreFixture *f, gconstpointer data)
{
        core_fixture_open(f);
        f->settings->job_linger_usec = 1000;
}

static void end(CoreFixture *f, gconstpointer data)
{
        core_fixture_close(f);
}

/* Whoever asks before the store was read gets an answer, if an empty one. */
static void test_before_loaded(CoreFixture *f, gconstpointer data)
{
        g_autoptr(GError) error = NULL;

        core_fixture_start_early(f);
        g_autofree char *text = dl_core_describe(f->core);
        g_assert_nonnull(strstr(text, "\"libvirt\" : false"));
        g_assert_cmpstr(dl_host_state(dl_core_local_host(f->core)), ==, "degraded");
        g_assert_null(dl_core_find_vm(f->core, "vm", &error));
        g_assert_error(error, DL_ERROR, DL_ERROR_LIBVIRT_ERROR);
        g_assert_false(dl_core_is_idle(f->core));
        core_fixture_stop(f); /* ready never came */
        g_assert_false(f->ready);
}

static void test_reads_and_changes(CoreFixture *f, gconstpointer data)
{
        DlPortalArg portal = {"127.0.0.1", 1, 0};
        CoreResult result;
        DlRequest request;
        g_autoptr(GError) error = NULL;

        core_fixture_start(f);
        g_assert_cmpstr(dl_core_engine(f->core), ==, "sqlite");
        g_assert_cmpstr(dl_core_initiator_name(f->core), ==, "iqn.2026-11.org.example:initiator");
        CORE_WAIT(f, dl_core_is_idle(f->core));

        g_assert_null(dl_core_find_vm(f->core, "vm", &error));
        g_assert_error(error, DL_ERROR, DL_ERROR_LIBVIRT_ERROR);

        /* what needs no libvirt works */
        request = core_request(f, &result);
        dl_flow_add_target(f->core, &request, IQN, &portal, 1, NULL);
        core_expect(&result, -1);
        request = core_request(f, &result);
        dl_flow_connect(DL_LOOKUP_TARGET(f->core, IQN), &request, &(DlConnectSpec){.pin = true},
                        NULL);
        core_expect(&result, DL_ERROR_PORTAL_UNREACHABLE);
        request = core_request(f, &result);
        dl_flow_device_list(f->core, &request, NULL, NULL, false, false, NULL);
        core_expect(&result, -1);
        request = core_request(f, &result);
        dl_flow_forget(DL_LOOKUP_TARGET(f->core, IQN), &request, NULL);
        core_expect(&result, -1);
        CORE_WAIT(f, dl_core_is_idle(f->core));
}

/* A VM that is known from before; what would change it says that libvirt is not there. */
static void test_change_a_vm(CoreFixture *f, gconstpointer data)
{
        static const char *const anywhere[] = {NULL};
        DlVirtDomain domain = {.uuid = (char *)UUID, .name = (char *)"vm", .persistent = true};
        DlDeviceSpec spec = {.guid = GUID, .index = -1, .plug = -1};
        CoreResult results[3];
        DlRequest requests[3];
        DlVm *vm;

        core_fixture_start(f);
        vm = dl_vm_merge(f->core, &domain);
        for (unsigned i = 0; i < 3; i++)
                requests[i] = core_request(f, &results[i]);
        dl_flow_run(vm, &requests[0], anywhere, NULL);
        dl_flow_stop(vm, &requests[1], false, NULL);
        dl_flow_attach_disk(vm, &requests[2], &spec, NULL);
        for (unsigned i = 0; i < 3; i++)
                core_expect(&results[i], DL_ERROR_LIBVIRT_ERROR);
        g_assert_true(DL_LOOKUP_VM(f->core, UUID) == vm); /* it may well run on */
}

/* Jobs of every kind in flight: nothing of them is left, and nobody is called. */
static void test_free_in_flight(CoreFixture *f, gconstpointer data)
{
        DlPortalArg portal = {"localhost", 1, 0};
        DlVirtDomain domain = {.uuid = (char *)UUID, .name = (char *)"vm", .persistent = true};
        DlDeviceSpec spec = {.guid = GUID, .index = -1, .plug = -1};
        g_autoptr(DlSecret) secret = dl_secret_new("initiator pass", 14, NULL);
        CoreResult results[7];
        DlRequest requests[7];
        DlTarget *target;
        DlVm *vm;

        core_fixture_start(f);
        vm = dl_vm_merge(f->core, &domain);
        target = dl_target_ensure(f->core, IQN, NULL);
        dl_target_add_portal(target, "localhost", 1, 0);
        dl_object_publish(&dl_lun_new(f->core, GUID)->object);
        for (unsigned i = 0; i < 7; i++)
                requests[i] = core_request(f, &results[i]);
        dl_flow_discover(f->core, &requests[0], "localhost", 1, &(DlChap){0}, NULL);
        dl_flow_add_target(f->core, &requests[1], "iqn.2026-11.org.example:u", &portal, 1, NULL);
        dl_flow_connect(target, &requests[2], &(DlConnectSpec){.pin = true}, NULL);
        dl_flow_set_credentials(target, &requests[3], &(DlChap){.user = "u", .secret = secret},
                                NULL);
        dl_flow_create_vdisk(f->core, &requests[4], GUID, NULL, NULL, NULL);
        dl_flow_attach_disk(vm, &requests[5], &spec, NULL);
        dl_flow_device_list(f->core, &requests[6], NULL, NULL, true, false, NULL);
        dl_intent_write(
                f->core,
                &(DlIntent){.kind = DL_INTENT_PLUG, .vm = (char *)UUID, .vdisk = (char *)"v"}, NULL,
                NULL);
        for (unsigned turns = 0; turns < 9; turns++) /* some have begun, some have not */
                core_fixture_turn(f);
        unsigned n_done = 0;
        for (unsigned i = 0; i < 7; i++)
                n_done += results[i].n_done;
        core_fixture_stop(f);
        for (unsigned i = 0; i < 7; i++) {
                n_done -= results[i].n_done;
                core_result_clear(&results[i]);
        }
        g_assert_cmpuint(n_done, ==, 0);
}

/* A store that cannot be opened is said, and nothing is left. */
static void test_no_store(CoreFixture *f, gconstpointer data)
{
        DlCoreObserver observer = {0};
        g_autofree char *path = g_build_filename(f->directory, "directlun.db", NULL);
        g_autoptr(GError) error = NULL;

        g_assert_true(
                g_file_set_contents(path, "not a database, and long enough to see that", -1, NULL));
        g_assert_null(dl_core_new(f->event, f->settings, &observer, NULL, NULL, &error));
        g_assert_error(error, DL_ERROR, DL_ERROR_ENGINE_UNAVAILABLE);
}

int main(int argc, char *argv[])
{
        g_test_init(&argc, &argv, NULL);
#define TEST(name, function)                                                                       \
        g_test_add("/core/without-libvirt/" name, CoreFixture, NULL, begin, function, end)
        TEST("before-loaded", test_before_loaded);
        TEST("reads-and-changes", test_reads_and_changes);
        TEST("change-a-vm", test_change_a_vm);
        TEST("free-in-flight", test_free_in_flight);
        TEST("no-store", test_no_store);
        return g_test_run();
}
