/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The flows on images, with a libvirt that fails where the test says: what is there afterwards is
 * either all or nothing, and no file is left over. One thread.
 */

#include "core-fixture.h"
#include "core/records/journal.h"
#include "core/steps/image-rules.h"
#include "fakes.h"
#include "util/uuid.h"

#include <string.h>

#define VM    "6695eb01-f6a4-8304-79aa-97f2502e193f"
#define OTHER "7795eb01-f6a4-8304-79aa-97f2502e193f"
#define IQN   "iqn.2026-11.org.example:t"
#define GUID  "360000000000000000e00000000010001"

static const FakeLun luns[] = {{.number = 1, .guid = GUID}};

static char *alias; /* of the disk */
static char *uid;   /* of the last snapshot */

static void begin(CoreFixture *f, gconstpointer running)
{
        char vdisk[DL_UUID_SIZE];
        CoreResult result;

        core_fixture_open(f);
        fake_domain_add(VM, "a", running ? DL_VIRT_RUNNING : DL_VIRT_SHUTOFF, true);
        fake_domain_add(OTHER, "b", DL_VIRT_SHUTOFF, true);
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

static void end(CoreFixture *f, gconstpointer running)
{
        CORE_WAIT(f, g_hash_table_size(f->core->operations) == 0);
        core_fixture_settle(f);
        g_assert_cmpuint(g_hash_table_size(f->core->intents), ==, 0);
        core_fixture_close(f);
        fake_iscsi_forget();
        fake_virt_forget();
        g_clear_pointer(&alias, g_free);
        g_clear_pointer(&uid, g_free);
}

static DlVDisk *the_vdisk(CoreFixture *f)
{
        return dl_vdisk_of_guid(f->core, GUID);
}

static int try_attach(CoreFixture *f, const char *vm, DlDeviceSpec spec)
{
        DlVm *to = DL_LOOKUP_VM(f->core, vm);
        CoreResult result;
        DlRequest request = core_request(f, &result);
        g_autoptr(GError) error = NULL;

        spec.guid = GUID;
        spec.index = -1;
        spec.plug = -1;
        if (!dl_flow_attach_disk(to, &request, &spec, &error))
                return error->code;
        CORE_WAIT(f, result.n_done > 0);
        int code = result.code;
        core_result_clear(&result);
        return code;
}

static void attach(CoreFixture *f)
{
        g_assert_cmpint(try_attach(f, VM, (DlDeviceSpec){}), ==, -1);
}

static int snapshot(CoreFixture *f)
{
        CoreResult result;
        DlRequest request = core_request(f, &result);
        g_autoptr(GError) error = NULL;

        if (!dl_flow_snapshot(the_vdisk(f), &request, false, &error))
                return error->code;
        CORE_WAIT(f, result.n_done > 0);
        int code = result.code;
        g_free(uid);
        uid = g_strdup(result.string);
        core_result_clear(&result);
        return code;
}

static int merge(CoreFixture *f)
{
        CoreResult result;
        DlRequest request = core_request(f, &result);
        g_autoptr(GError) error = NULL;

        if (!dl_flow_merge(the_vdisk(f), &request, uid, 0, &error))
                return error->code;
        CORE_WAIT(f, result.n_done > 0);
        int code = result.code;
        core_result_clear(&result);
        return code;
}

static int revert(CoreFixture *f, unsigned n)
{
        CoreResult result;
        DlRequest request = core_request(f, &result);
        g_autofree char *to = g_strdup(((DlImage *)the_vdisk(f)->images->pdata[n])->uid);
        g_autoptr(GError) error = NULL;

        if (!dl_flow_revert(the_vdisk(f), &request, to, &error))
                return error->code;
        CORE_WAIT(f, result.n_done > 0);
        int code = result.code;
        core_result_clear(&result);
        return code;
}

/* The recovery, too, has ended. */
static void settle(CoreFixture *f)
{
        CORE_WAIT(f, g_hash_table_size(f->core->operations) == 0 &&
                             g_hash_table_size(f->core->intents) == 0);
        core_fixture_settle(f);
}

/* So many images, in the store, the domains and the directory. */
static void expect(CoreFixture *f, unsigned n)
{
        const DlVDisk *vdisk = the_vdisk(f);
        const DlVm *vm = DL_LOOKUP_VM(f->core, VM);
        g_autofree const char **files = dl_vdisk_files(vdisk, NULL);
        const DlDomain *domains[] = {vm->live, vm->inactive};

        g_assert_cmpuint(vdisk->images->len, ==, n + 1);
        g_assert_cmpuint(g_hash_table_size(fake_images()), ==, n);
        for (unsigned i = 0; i < n; i++)
                g_assert_true(g_hash_table_contains(fake_images(), files[i]));
        for (unsigned d = 0; d < G_N_ELEMENTS(domains); d++) {
                const DlDomainDisk *disk = dl_vm_find_disk(domains[d], alias);

                if (disk)
                        g_assert_true(dl_image_chain_is(disk, files));
        }
}

static void test_all_of_it(CoreFixture *f, gconstpointer running)
{
        attach(f);
        g_assert_cmpint(snapshot(f), ==, -1);
        expect(f, 1);
        g_assert_cmpint(snapshot(f), ==, -1);
        expect(f, 2);
        if (running) {
                g_assert_cmpint(merge(f), ==, -1);
                expect(f, 1);
                g_assert_cmpint(revert(f, 0), ==, DL_ERROR_VM_RUNNING);
                return;
        }
        g_assert_cmpint(merge(f), ==, DL_ERROR_VM_NOT_RUNNING);
        expect(f, 2);
        g_assert_cmpint(revert(f, 1), ==, -1);
        expect(f, 1);
        g_assert_cmpint(revert(f, 0), ==, -1);
        expect(f, 0);
}

/* Each call fails: as it was. */
static void test_a_call_fails(CoreFixture *f, gconstpointer running)
{
        static const char *const calls[] = {"create image", "set images", "snapshot"};

        attach(f);
        for (unsigned i = 0; i < (running ? 3 : 2); i++) {
                fake_virt_fail(calls[i], DL_ERROR_LIBVIRT_ERROR, false);
                g_assert_cmpint(snapshot(f), ==, DL_ERROR_LIBVIRT_ERROR);
                settle(f);
                expect(f, 0);
        }
        g_assert_cmpint(snapshot(f), ==, -1);
        if (!running) {
                fake_virt_fail("set images", DL_ERROR_LIBVIRT_ERROR, false);
                g_assert_cmpint(revert(f, 0), ==, DL_ERROR_LIBVIRT_ERROR);
                expect(f, 1);
        }
}

/* No answer: what libvirt has made of it decides. */
static void test_no_answer(CoreFixture *f, gconstpointer running)
{
        attach(f);
        for (int effect = 0; effect < 2; effect++) {
                fake_virt_fail("snapshot", DL_ERROR_TIMED_OUT, effect);
                g_assert_cmpint(snapshot(f), ==, DL_ERROR_TIMED_OUT);
                settle(f);
                expect(f, (unsigned)effect);
        }
        fake_virt_fail("set images", DL_ERROR_TIMED_OUT, true);
        g_assert_cmpint(snapshot(f), ==, DL_ERROR_TIMED_OUT);
        settle(f);
        expect(f, 1);
}

/* A merge that fails leaves the image, whose moment is lost. */
static void test_merge_fails(CoreFixture *f, gconstpointer running)
{
        static const char *const calls[] = {"commit", "block job", "pivot"};

        attach(f);
        g_assert_cmpint(snapshot(f), ==, -1);
        for (unsigned i = 0; i < G_N_ELEMENTS(calls); i++) {
                fake_virt_fail(calls[i], DL_ERROR_LIBVIRT_ERROR, false);
                g_assert_cmpint(merge(f), ==, DL_ERROR_LIBVIRT_ERROR);
                settle(f);
                expect(f, 1);
                g_assert_true(((DlImage *)the_vdisk(f)->images->pdata[1])->spoiled);
        }
        g_assert_cmpint(revert(f, 1), ==, DL_ERROR_INVALID_ARGS);
        g_assert_cmpint(revert(f, 0), ==, DL_ERROR_INVALID_ARGS);
        for (int effect = 0; effect < 2; effect++) {
                fake_virt_fail("pivot", DL_ERROR_TIMED_OUT, effect);
                g_assert_cmpint(merge(f), ==, DL_ERROR_TIMED_OUT);
                settle(f);
                expect(f, effect ? 0 : 1);
        }
}

/* Nobody can tell whether it was written to: it stays. */
static void test_vm_goes(CoreFixture *f, gconstpointer running)
{
        attach(f);
        fake_virt_hold("snapshot");
        CoreResult result;
        DlRequest request = core_request(f, &result);
        g_assert_nonnull(dl_flow_snapshot(the_vdisk(f), &request, false, NULL));
        CORE_WAIT(f, fake_virt_is_held("snapshot"));
        fake_domain_remove(VM);
        fake_virt_let_go("snapshot");
        core_expect(&result, DL_ERROR_VM_NOT_FOUND);
        fake_virt_tell(VM);
        CORE_WAIT(f, !DL_LOOKUP_VM(f->core, VM));
        settle(f);
        g_assert_cmpuint(the_vdisk(f)->images->len, ==, 2);
        g_assert_cmpuint(g_hash_table_size(fake_images()), ==, 1);
}

static void test_readers(CoreFixture *f, gconstpointer running)
{
        DlDeviceSpec reader = {.readonly = true};

        attach(f);
        reader.image = the_vdisk(f)->object.id; /* the LUN, which is written to */
        g_assert_cmpint(try_attach(f, OTHER, reader), ==, DL_ERROR_INVALID_ARGS);
        g_assert_cmpint(snapshot(f), ==, -1);
        reader.image = uid;
        reader.readonly = false;
        g_assert_cmpint(try_attach(f, OTHER, reader), ==, DL_ERROR_INVALID_ARGS);
        reader.readonly = true;
        g_assert_cmpint(try_attach(f, OTHER, reader), ==, -1);
        g_assert_cmpint(merge(f), ==, DL_ERROR_IN_USE);
        g_assert_cmpint(revert(f, 0), ==, DL_ERROR_IN_USE);
        g_assert_cmpint(snapshot(f), ==, -1);
        g_assert_cmpint(merge(f), ==, -1);
        expect(f, 1);
}

int main(int argc, char **argv)
{
        g_test_init(&argc, &argv, NULL);
#define TEST(name, running, function)                                                              \
        g_test_add("/core/images/" name, CoreFixture, GINT_TO_POINTER(running), begin, function,   \
                   end)
        TEST("running", true, test_all_of_it);
        TEST("stopped", false, test_all_of_it);
        TEST("running/a-call-fails", true, test_a_call_fails);
        TEST("stopped/a-call-fails", false, test_a_call_fails);
        TEST("running/no-answer", true, test_no_answer);
        TEST("running/merge-fails", true, test_merge_fails);
        TEST("running/vm-goes", true, test_vm_goes);
        TEST("running/readers", true, test_readers);
        return g_test_run();
}
