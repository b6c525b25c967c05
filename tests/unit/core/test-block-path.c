/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Disks by the block devices of the host: which way is chosen, what is refused, and that the guest
 * cannot tell. One thread.
 */

#include "core-fixture.h"
#include "core/model/lun-kernel.h"
#include "core/steps/size-watch.h"
#include "fake-kernel.h"
#include "fakes.h"
#include "util/uuid.h"

#include <string.h>
#include <sys/sysmacros.h>

#define VM   "6695eb01-f6a4-8304-79aa-97f2502e193f"
#define IQN  "iqn.2026-11.org.example:t"
#define GUID "360000000000000000e00000000010001"
#define GIB  (1024 * (uint64_t)1024 * 1024)
#define NODE "/dev/disk/by-id/dm-uuid-mpath-" GUID

static const FakeLun luns[] = {{.number = 1, .guid = GUID, .serial = "s"}};

typedef struct World {
        CoreFixture core;
        char *alias;
        DlBlockDevice paths[2], map;
        DlBlockLun kernel;
        DlDeviceSpec spec;
} World;

static DlBlockDevice device_of(const char *name, const char *node)
{
        return (DlBlockDevice){
                .name = (char *)name,
                .devnum = makedev(8, 0),
                .guid = (char *)GUID,
                .transport = DL_BLOCK_ISCSI,
                .target = (char *)IQN,
                .address = (char *)"192.0.2.1",
                .port = 3260,
                .lun = 1,
                .host = (char *)"",
                .hctl = (char *)"",
                .size = GIB,
                .logical_block_size = 512,
                .physical_block_size = 512,
                .vendor = (char *)"",
                .product = (char *)"",
                .revision = (char *)"",
                .serial = (char *)"s",
                .fingerprint = (char *)"",
                .state = (char *)"running",
                .map = (char *)"",
                .node = (char *)node,
        };
}

static void begin(World *w, gconstpointer data)
{
        char vdisk[DL_UUID_SIZE];

        core_fixture_open(&w->core);
        fake_kernel_prepare(&w->core);
        fake_helper_does(DL_HELPER_READ, FAKE_ANSWER_FAILS, DL_ERROR_LUN_NOT_VISIBLE);
        fake_domain_add(VM, "a", DL_VIRT_SHUTOFF, true);
        fake_portal_shows("p1", luns, G_N_ELEMENTS(luns));
        core_fixture_start(&w->core);
        fake_kernel_start(&w->core);
        fake_host_has(false, false);
        w->paths[0] = device_of("sda", "/dev/disk/by-id/scsi-" GUID);
        w->paths[1] = device_of("sdb", "/dev/disk/by-id/scsi-" GUID);
        w->map = device_of("dm-0", NODE);
        w->kernel = (DlBlockLun){
                .guid = (char *)GUID,
                .map = &w->map,
                .paths = g_ptr_array_new(),
                .holders = g_new0(char *, 2),
                .node = NODE,
        };
        g_ptr_array_add(w->kernel.paths, &w->paths[0]);
        g_ptr_array_add(w->kernel.paths, &w->paths[1]);
        w->spec = (DlDeviceSpec){.guid = GUID, .index = -1, .plug = -1};
        dl_uuid_for_guid(GUID, vdisk);
        w->alias = dl_disk_alias(vdisk);
}

static void end(World *w, gconstpointer data)
{
        fake_kernel_end();
        core_fixture_close(&w->core);
        g_ptr_array_unref(w->kernel.paths);
        g_strfreev(w->kernel.holders);
        g_free(w->alias);
        fake_iscsi_forget();
        fake_virt_forget();
        fake_block_forget();
}

static void show(World *w, bool so)
{
        fake_block_shows(GUID, so ? &w->kernel : NULL);
        core_fixture_settle(&w->core);
}

/* By libiscsi. */
static void discover(World *w)
{
        CoreResult result;
        DlTarget *target = dl_target_ensure(w->core.core, IQN, NULL);
        DlRequest request = core_request(&w->core, &result);

        dl_target_add_portal(target, "p1", 3260, 0);
        g_assert_nonnull(dl_flow_rescan(target, &request, NULL));
        core_expect(&result, -1);
}

static DlVm *vm(World *w)
{
        return DL_LOOKUP_VM(w->core.core, VM);
}

static void attach_with(World *w, bool force, int code)
{
        CoreResult result;
        DlRequest request = core_request(&w->core, &result);
        g_autoptr(GError) error = NULL;

        request.force = force;
        g_assert_nonnull(dl_flow_attach_disk(vm(w), &request, &w->spec, &error));
        core_expect(&result, code);
        core_fixture_settle(&w->core);
}

/* Where nobody can read what is on it: the helper cannot. */
static void attach_unread(World *w, int code)
{
        attach_with(w, true, code);
}

static void attach(World *w, int code)
{
        attach_with(w, false, code);
}

static DlAttachment *attachment(World *w)
{
        g_autoptr(GPtrArray) all = dl_vm_attachments(vm(w));

        return all->len > 0 ? all->pdata[0] : NULL;
}

static void detach(World *w)
{
        CoreResult result;
        DlRequest request = core_request(&w->core, &result);

        g_assert_nonnull(dl_flow_detach(attachment(w), &request, NULL));
        core_expect(&result, -1);
        core_fixture_settle(&w->core);
}

static void run(World *w, int code)
{
        static const char *const anywhere[] = {NULL};
        CoreResult result;
        DlRequest request = core_request(&w->core, &result);

        g_assert_nonnull(dl_flow_run(vm(w), &request, anywhere, NULL));
        core_expect(&result, code);
        core_fixture_settle(&w->core);
}

static void stop(World *w)
{
        CoreResult result;
        DlRequest request = core_request(&w->core, &result);

        g_assert_nonnull(dl_flow_stop(vm(w), &request, false, NULL));
        core_expect(&result, -1);
        core_fixture_settle(&w->core);
}

static const char *disk(World *w, DlVirtAffect where)
{
        return fake_domain_disk(VM, where, w->alias);
}

static void expect_way(World *w, DlVirtAffect where, bool by_block)
{
        const char *xml = disk(w, where);

        g_assert_nonnull(xml);
        g_assert_cmpint(strstr(xml, "<source dev='" NODE "'") != NULL, ==, by_block);
        g_assert_cmpint(strstr(xml, "protocol='iscsi'") != NULL, ==, !by_block);
        g_assert_null(strstr(xml, "/dev/sd"));
        g_assert_cmpint(attachment(w)->by_block, ==, by_block);
}

/* What the guest sees. */
static char *face(World *w, DlVirtAffect where)
{
        const char *xml = disk(w, where);
        const char *serial = strstr(xml, "<serial>"), *address = strstr(xml, "<address");

        g_assert_nonnull(serial);
        address = address ? address : ""; /* of virtio: real libvirt would choose one */
        return g_strdup_printf("%.*s %.*s", (int)strcspn(serial + 8, "<"), serial + 8,
                               (int)strcspn(address, ">"), address);
}

/* ---- the choice ---------------------------------------------------------------------------- */

static void test_auto(World *w, gconstpointer data)
{
        unsigned asked;

        discover(w);
        show(w, true);
        asked = fake_iscsi_n_asked("p1");
        attach(w, -1);
        expect_way(w, DL_VIRT_CONFIG, true);
        g_assert_cmpstr(attachment(w)->meta->data_path, ==, "auto");
        g_assert_cmpstr(attachment(w)->meta->iqn, ==, IQN); /* which it needs all the same */
        g_assert_cmpuint(fake_iscsi_n_asked("p1"), ==, asked);
        run(w, -1);
        expect_way(w, DL_VIRT_LIVE, true);
}

static void test_asked_for(World *w, gconstpointer data)
{
        discover(w);
        w->spec.data_path = "block";
        attach(w, DL_ERROR_LUN_NOT_VISIBLE);
        g_assert_null(attachment(w));
        g_assert_null(fake_domain_metadata(VM));
        show(w, true);
        w->spec.data_path = "qemu";
        attach(w, -1);
        expect_way(w, DL_VIRT_CONFIG, false);
        detach(w);
        w->spec.data_path = "block";
        attach(w, -1);
        expect_way(w, DL_VIRT_CONFIG, true);
        show(w, false);
        run(w, DL_ERROR_NO_HOST_AVAILABLE);
}

/* Of Fibre Channel, and one path only. */
static void test_no_target(World *w, gconstpointer data)
{
        w->paths[0].transport = DL_BLOCK_FC;
        w->paths[0].target = (char *)"0x50060160";
        g_ptr_array_set_size(w->kernel.paths, 1);
        w->kernel.map = NULL;
        w->kernel.node = w->paths[0].node;
        show(w, true);
        attach_unread(w, -1);
        g_assert_nonnull(
                strstr(disk(w, DL_VIRT_CONFIG), "<source dev='/dev/disk/by-id/scsi-" GUID "'"));
        g_assert_null(attachment(w)->meta->iqn);
        run(w, -1);
        g_assert_true(attachment(w)->plugged);
        stop(w);
        detach(w);
        w->spec.data_path = "qemu";
        attach_unread(w, DL_ERROR_LUN_NOT_FOUND);
}

/* ---- what is refused ----------------------------------------------------------------------- */

/* Of the kernel's devices: auto goes by QEMU's own initiator then. */
static void expect_only_qemu(World *w, int code)
{
        show(w, true);
        w->spec.data_path = "block";
        attach(w, code);
        w->spec.data_path = NULL;
        attach(w, -1);
        expect_way(w, DL_VIRT_CONFIG, false);
        detach(w);
}

static void test_unusable_devices(World *w, gconstpointer data)
{
        discover(w);
        w->kernel.map = NULL;
        w->kernel.node = "";
        expect_only_qemu(w, DL_ERROR_PATHS_INCONSISTENT);
        g_ptr_array_set_size(w->kernel.paths, 1);
        expect_only_qemu(w, DL_ERROR_LUN_NOT_VISIBLE);
        w->kernel.node = w->paths[0].node;
        w->paths[0].is_failed = true;
        expect_only_qemu(w, DL_ERROR_LUN_NOT_VISIBLE);
}

/* What the kernel remembers of its paths is not what they say. */
static void test_paths_do_not_prove(World *w, gconstpointer data)
{
        discover(w);
        fake_helper_does(DL_HELPER_IDENTIFY, FAKE_ANSWER_FAILS, DL_ERROR_GUID_MISMATCH);
        expect_only_qemu(w, DL_ERROR_GUID_MISMATCH);
        g_assert_cmpuint(fake_helper_n_asked(DL_HELPER_IDENTIFY), >=, 4); /* each path, each time */
        fake_helper_does(DL_HELPER_IDENTIFY, FAKE_ANSWER_FAILS, DL_ERROR_LUN_NOT_VISIBLE);
        expect_only_qemu(w, DL_ERROR_LUN_NOT_VISIBLE);
        fake_helper_does(DL_HELPER_IDENTIFY, FAKE_ANSWER_DIES, 0);
        expect_only_qemu(w, DL_ERROR_PROTOCOL_ERROR);
}

/* One that says nothing is no proof against the other; one that says it is another LUN is. */
static void test_paths_disagree(World *w, gconstpointer data)
{
        w->spec.data_path = "block";
        show(w, true);
        fake_helper_fails_once(DL_HELPER_IDENTIFY, DL_ERROR_LUN_NOT_VISIBLE);
        attach_unread(w, -1);
        run(w, -1);
        stop(w);
        fake_helper_fails_once(DL_HELPER_IDENTIFY, DL_ERROR_GUID_MISMATCH);
        run(w, DL_ERROR_GUID_MISMATCH);
        run(w, -1);
}

/* Under a VM that runs. */
static void test_paths_lead_elsewhere(World *w, gconstpointer data)
{
        const DlLun *lun;

        show(w, true);
        attach_unread(w, -1);
        run(w, -1);
        lun = DL_LOOKUP_LUN(w->core.core, GUID);
        fake_helper_does(DL_HELPER_IDENTIFY, FAKE_ANSWER_FAILS, DL_ERROR_GUID_MISMATCH);
        show(w, true);
        CORE_WAIT(&w->core, attachment(w)->last_error.code == DL_ERROR_GUID_MISMATCH);
        g_assert_cmpint(lun->status, ==, DL_LUN_UNUSABLE);
        g_assert_cmpstr(lun->reason, ==, "The test says so");
        fake_helper_does(DL_HELPER_IDENTIFY, FAKE_ANSWER_DIES, 0); /* which proves nothing */
        show(w, true);
        g_assert_cmpint(attachment(w)->last_error.code, ==, DL_ERROR_GUID_MISMATCH);
        fake_helper_does(DL_HELPER_IDENTIFY, FAKE_ANSWER_DOES, 0);
        show(w, true);
        CORE_WAIT(&w->core, attachment(w)->last_error.code < 0);
        g_assert_cmpint(lun->status, ==, DL_LUN_USED);
}

/* Of the LUN: whatever the data path. */
static void test_held_by_host(World *w, gconstpointer data)
{
        static const char *const data_paths[] = {"auto", "qemu", "block"};

        discover(w);
        w->kernel.holders[0] = g_strdup("mount:/srv");
        show(w, true);
        for (unsigned i = 0; i < G_N_ELEMENTS(data_paths); i++) {
                w->spec.data_path = data_paths[i];
                attach(w, DL_ERROR_IN_USE);
                attach_with(w, true, -1);
                run(w, DL_ERROR_NO_HOST_AVAILABLE); /* which takes no force */
                detach(w);
        }
        w->kernel.is_system = true;
        show(w, true);
        attach_with(w, true, DL_ERROR_IN_USE);
        g_assert_null(attachment(w));
}

static void test_write_protected(World *w, gconstpointer data)
{
        w->map.read_only = true;
        show(w, true);
        attach_unread(w, DL_ERROR_INVALID_ARGS);
        w->spec.readonly = true;
        attach_unread(w, -1);
        g_assert_nonnull(strstr(disk(w, DL_VIRT_CONFIG), "<readonly/>"));
}

/* ---- the guest does not see it ------------------------------------------------------------- */

static void test_either_way(World *w, gconstpointer data)
{
        static const char *const ifaces[] = {"virtio", "scsi"};

        discover(w);
        for (unsigned i = 0; i < G_N_ELEMENTS(ifaces); i++) {
                w->spec.iface = ifaces[i];
                attach(w, -1);
                run(w, -1);
                expect_way(w, DL_VIRT_LIVE, false);
                g_autofree char *by_qemu = face(w, DL_VIRT_LIVE);
                stop(w);
                show(w, true);
                run(w, -1);
                expect_way(w, DL_VIRT_LIVE, true);
                g_autofree char *by_block = face(w, DL_VIRT_LIVE);
                g_assert_cmpstr(by_block, ==, by_qemu);
                stop(w);
                show(w, false);
                run(w, -1);
                expect_way(w, DL_VIRT_LIVE, false);
                g_autofree char *again = face(w, DL_VIRT_LIVE);
                g_assert_cmpstr(again, ==, by_qemu);
                stop(w);
                detach(w);
        }
}

/* It is left out, and comes when the kernel has it. */
static void test_optional(World *w, gconstpointer data)
{
        show(w, true);
        w->spec.optional = true;
        attach_unread(w, -1);
        show(w, false);
        run(w, -1);
        g_assert_true(attachment(w)->left_out);
        show(w, true);
        CORE_WAIT(&w->core, attachment(w)->plugged);
        core_fixture_settle(&w->core);
        expect_way(w, DL_VIRT_LIVE, true);
        g_assert_false(attachment(w)->left_out);
}

static void test_grows(World *w, gconstpointer data)
{
        show(w, true);
        attach_unread(w, -1);
        run(w, -1);
        CORE_WAIT(&w->core, attachment(w)->guest_capacity == GIB);
        w->map.size = w->paths[0].size = w->paths[1].size = 2 * GIB;
        fake_guest_sees(2 * GIB);
        show(w, true);
        CORE_WAIT(&w->core, attachment(w)->guest_capacity == 2 * GIB);
        g_assert_cmpstr(attachment(w)->resize_pending, ==, "");
}

/* Its target says that the size is another one: the paths are asked, once for all that is said
 * within a second. */
static void test_size_is_told(World *w, gconstpointer data)
{
        show(w, true);
        dl_sizes_on_told("sda", w->core.core); /* nobody has it */
        attach_unread(w, -1);
        core_fixture_settle(&w->core);
        g_assert_cmpuint(fake_helper_n_asked(DL_HELPER_RESCAN_PATH), ==, 0);

        dl_sizes_on_told("sdz", w->core.core);
        dl_sizes_on_told("sdb", w->core.core);
        dl_sizes_on_told("sda", w->core.core);
        dl_sizes_on_told(NULL, w->core.core);
        CORE_WAIT(&w->core, fake_helper_n_asked(DL_HELPER_RESCAN_PATH) == 4);
        CORE_WAIT(&w->core, !DL_LOOKUP_LUN(w->core.core, GUID)->size_watch);
        g_assert_cmpuint(fake_helper_n_asked(DL_HELPER_RESCAN_PATH), ==, 4);

        dl_sizes_on_told(NULL, w->core.core);
        CORE_WAIT(&w->core, fake_helper_n_asked(DL_HELPER_RESCAN_PATH) == 6);
        dl_sizes_on_told("sda", w->core.core); /* the end comes first */
}

int main(int argc, char **argv)
{
        g_test_init(&argc, &argv, NULL);
#define TEST(name, function) g_test_add("/core/block-path/" name, World, NULL, begin, function, end)
        TEST("auto", test_auto);
        TEST("asked-for", test_asked_for);
        TEST("no-target", test_no_target);
        TEST("unusable-devices", test_unusable_devices);
        TEST("paths-do-not-prove", test_paths_do_not_prove);
        TEST("paths-disagree", test_paths_disagree);
        TEST("paths-lead-elsewhere", test_paths_lead_elsewhere);
        TEST("held-by-host", test_held_by_host);
        TEST("write-protected", test_write_protected);
        TEST("either-way", test_either_way);
        TEST("optional", test_optional);
        TEST("grows", test_grows);
        TEST("size-is-told", test_size_is_told);
        return g_test_run();
}
