/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who holds a LUN: what is on it, other domains, storage domains; and what that refuses. One
 * thread.
 */

#include "../content/lvm-image.h"
#include "core-fixture.h"
#include "core/model/contents.h"
#include "core/model/explain.h"
#include "core/model/storage-domain.h"
#include "fakes.h"

#include <string.h>

#define VM_A   "6695eb01-f6a4-8304-79aa-97f2502e193f"
#define VM_B   "7795eb01-f6a4-8304-79aa-97f2502e193f"
#define IQN    "iqn.2026-11.org.example:t"
#define BLANK  "360000000000000000e00000000010001"
#define TABLE  "360000000000000000e00000000010002"
#define BAD    "360000000000000000e00000000010003"
#define N_MANY 1000

static uint8_t table[512] = {
        [446] = 0x80, [450] = 0x83, [455] = 8, [459] = 8, [510] = 0x55, [511] = 0xaa};

static FakeLun luns[] = {
        {.number = 1, .guid = BLANK},
        {.number = 2, .guid = TABLE},
        {.number = 3, .guid = BAD, .read_error = true},
};

static DlTarget *connect_target(CoreFixture *f)
{
        DlTarget *target = dl_target_ensure(f->core, IQN, NULL);
        CoreResult result;
        DlRequest request = core_request(f, &result);

        dl_target_add_portal(target, "p1", 3260, 0);
        g_assert_nonnull(dl_flow_connect(target, &request, &(DlConnectSpec){.pin = true}, NULL));
        core_expect(&result, -1);
        return target;
}

static void begin(CoreFixture *f, gconstpointer data)
{
        core_fixture_open(f);
        luns[1].content = g_bytes_new_static(table, sizeof table);
        fake_domain_add(VM_A, "a", DL_VIRT_SHUTOFF, true);
        fake_domain_add(VM_B, "b", DL_VIRT_SHUTOFF, true);
        fake_portal_shows("p1", luns, G_N_ELEMENTS(luns));
        core_fixture_start(f);
        connect_target(f);
        CORE_WAIT(f, !dl_contents_is_busy(f->core->contents));
}

static void end(CoreFixture *f, gconstpointer data)
{
        core_fixture_close(f);
        fake_iscsi_forget();
        fake_virt_forget();
        g_clear_pointer(&luns[1].content, g_bytes_unref);
        luns[0].content = NULL;
}

static DlLun *lun(CoreFixture *f, const char *guid)
{
        return DL_LOOKUP_LUN(f->core, guid);
}

static void expect_lun(CoreFixture *f, const char *guid, DlLunStatus status, const char *holders)
{
        g_autofree char *list = g_strjoinv(" ", lun(f, guid)->holders);

        g_assert_cmpstr(list, ==, holders);
        g_assert_cmpint(lun(f, guid)->status, ==, status);
}

static void attach(CoreFixture *f, const char *vm, const char *guid, bool force, int code)
{
        DlDeviceSpec spec = {.guid = guid, .index = -1, .plug = -1};
        CoreResult result;
        DlRequest request = core_request(f, &result);

        request.force = force;
        g_assert_nonnull(dl_flow_attach_disk(DL_LOOKUP_VM(f->core, vm), &request, &spec, NULL));
        core_expect(&result, code);
}

static void detach_all(CoreFixture *f)
{
        g_autoptr(GPtrArray) all = dl_core_list(f->core, DL_KIND_ATTACHMENT);

        for (unsigned i = 0; i < all->len; i++) {
                CoreResult result;
                DlRequest request = core_request(f, &result);

                g_assert_nonnull(dl_flow_detach(all->pdata[i], &request, NULL));
                core_expect(&result, -1);
        }
}

/* ---- content ------------------------------------------------------------------------------- */

static void test_content(CoreFixture *f, gconstpointer data)
{
        expect_lun(f, BLANK, DL_LUN_FREE, "");
        expect_lun(f, TABLE, DL_LUN_USED, "partition-table:dos");
        g_assert_cmpstr(lun(f, TABLE)->reason, ==,
                        "Used by partition-table:dos; it has a partition table (dos)");
        expect_lun(f, BAD, DL_LUN_FREE, "");
        g_assert_cmpint(lun(f, BAD)->content_error.code, ==, DL_ERROR_PROTOCOL_ERROR);

        attach(f, VM_A, BLANK, false, -1);
        attach(f, VM_A, TABLE, false, DL_ERROR_IN_USE);
        attach(f, VM_A, BAD, false, DL_ERROR_PROTOCOL_ERROR);
        g_assert_null(dl_lun_vdisk(lun(f, TABLE)));
        attach(f, VM_A, BAD, true, -1);
}

/* What somebody wrote since it was looked at counts. */
static void test_attach_looks_again(CoreFixture *f, gconstpointer data)
{
        luns[0].content = luns[1].content;
        expect_lun(f, BLANK, DL_LUN_FREE, "");
        attach(f, VM_A, BLANK, false, DL_ERROR_IN_USE);
        expect_lun(f, BLANK, DL_LUN_USED, "partition-table:dos");
}

/* A guest partitions its disk: the disk can be attached again. */
static void test_guest_writes(CoreFixture *f, gconstpointer data)
{
        CoreResult result;
        DlRequest request = core_request(f, &result);
        const char *const guids[] = {BLANK, NULL};

        attach(f, VM_A, BLANK, false, -1);
        luns[0].content = luns[1].content;
        detach_all(f);
        g_assert_false(dl_contents_is_fresh(lun(f, BLANK)));
        dl_flow_device_list(f->core, &request, guids, NULL, false, true, NULL);
        core_expect(&result, -1);
        expect_lun(f, BLANK, DL_LUN_FREE, "");
        g_assert_cmpstr(lun(f, BLANK)->reason, ==,
                        "It has a partition table (dos), the data of its vDisk");
        attach(f, VM_B, BLANK, false, -1);
        detach_all(f);

        /* without the vDisk nobody knows whose it is */
        request = core_request(f, &result);
        dl_flow_vdisk_delete(dl_lun_vdisk(lun(f, BLANK)), &request, NULL);
        core_expect(&result, -1);
        expect_lun(f, BLANK, DL_LUN_USED, "partition-table:dos");
        attach(f, VM_B, BLANK, false, DL_ERROR_IN_USE);
        attach(f, VM_B, BLANK, true, -1);
}

static void refresh(CoreFixture *f, const char *guid)
{
        CoreResult result;
        DlRequest request = core_request(f, &result);

        g_assert_nonnull(dl_flow_lun_refresh(lun(f, guid), &request, NULL));
        core_expect(&result, -1);
}

static GBytes *pv(const char *uuid, const char *text)
{
        LvmImage image = {.device_size = 64 * 1024, .pv = uuid, .text = text};

        return g_bytes_new_take(lvm_image_new(&image), LVM_IMAGE_SIZE);
}

/* A physical volume that says nothing of its group: another that is seen tells, whichever was
 * looked at first, and as long as it does. */
static void test_bare_pv(CoreFixture *f, gconstpointer data)
{
        g_autofree char *text = lvm_image_text_of_two("d0a1", "\"RHAT_storage_domain\"");
        g_autofree char *alone = lvm_image_text("d0a1", "\"RHAT_storage_domain\"");
        g_autoptr(GBytes) bare = pv(LVM_IMAGE_OTHER_PV, NULL);
        g_autoptr(GBytes) telling = pv(LVM_IMAGE_PV, text), shrunk = pv(LVM_IMAGE_PV, alone);

        luns[0].content = bare;
        refresh(f, BLANK);
        expect_lun(f, BLANK, DL_LUN_USED, "lvm:" LVM_IMAGE_OTHER_PV);
        g_bytes_unref(luns[1].content);
        luns[1].content = g_bytes_ref(telling);
        refresh(f, TABLE);
        expect_lun(f, TABLE, DL_LUN_USED, "storage-domain:d0a1");
        expect_lun(f, BLANK, DL_LUN_USED, "storage-domain:d0a1");
        g_assert_cmpstr(dl_lun_storage_domain(lun(f, BLANK)), ==, "d0a1");

        refresh(f, BLANK); /* its own bytes are as before */
        expect_lun(f, BLANK, DL_LUN_USED, "storage-domain:d0a1");
        attach(f, VM_A, BLANK, false, DL_ERROR_IN_USE);

        g_bytes_unref(luns[1].content);
        luns[1].content = g_bytes_ref(shrunk); /* vgreduce */
        refresh(f, TABLE);
        expect_lun(f, BLANK, DL_LUN_USED, "lvm:" LVM_IMAGE_OTHER_PV);
        g_assert_cmpstr(dl_lun_storage_domain(lun(f, BLANK)), ==, "");
}

static void test_cache(CoreFixture *f, gconstpointer data)
{
        unsigned reads = fake_iscsi_n_read("p1");
        CoreResult result;
        DlRequest request = core_request(f, &result);

        g_assert_cmpuint(reads, ==, 1); /* all three in one session */
        dl_flow_device_list(f->core, &request, NULL, NULL, false, true, NULL);
        core_expect(&result, -1);
        connect_target(f);
        core_fixture_settle(f);
        g_assert_cmpuint(fake_iscsi_n_read("p1"), ==, reads); /* it is fresh */
        request = core_request(f, &result);
        dl_flow_lun_refresh(lun(f, TABLE), &request, NULL);
        core_expect(&result, -1);
        g_assert_cmpuint(fake_iscsi_n_read("p1"), ==, reads + 1);
}

/* Nothing is sent to a target that nobody needs, and nothing of ours goes on there. */
static void test_let_go(CoreFixture *f, gconstpointer data)
{
        DlTarget *target = DL_LOOKUP_TARGET(f->core, IQN);
        CoreResult result;
        DlRequest request = core_request(f, &result);

        dl_contents_outdate(lun(f, BLANK));
        dl_contents_want(lun(f, BLANK));
        CORE_WAIT(f, fake_iscsi_in_flight() > 0);
        dl_flow_unmanage(target, &request, NULL);
        core_expect(&result, -1);
        g_assert_cmpuint(fake_iscsi_in_flight(), ==, 0);
        dl_contents_want(lun(f, BLANK));
        CORE_WAIT(f, !dl_contents_is_busy(f->core->contents));
        g_assert_cmpuint(fake_iscsi_n_read("p1"), ==, 2);
}

/* A thousand LUNs are listed before any of them was read, and read a few at a time. */
static void test_pain_15_list_does_not_wait(CoreFixture *f, gconstpointer data)
{
        g_autofree FakeLun *many = g_new0(FakeLun, N_MANY);
        g_autoptr(GPtrArray) guids = g_ptr_array_new_with_free_func(g_free);
        DlTarget *target = DL_LOOKUP_TARGET(f->core, IQN);
        CoreResult result;
        DlRequest request = core_request(f, &result);

        for (unsigned i = 0; i < N_MANY; i++) {
                g_ptr_array_add(guids, g_strdup_printf("36000000000000000%016x", i));
                many[i] = (FakeLun){.number = i,
                                    .guid = guids->pdata[i],
                                    .content = i % 2 ? luns[1].content : NULL};
        }
        fake_portal_shows("p1", many, N_MANY);
        dl_flow_rescan(target, &request, NULL);
        core_expect(&result, -1);
        request = core_request(f, &result);
        dl_flow_device_list(f->core, &request, NULL, NULL, false, false, NULL);
        CORE_WAIT(f, result.n_done > 0);
        g_assert_cmpuint(result.n_objects, ==, N_MANY);
        core_result_clear(&result);
        g_assert_true(dl_contents_is_busy(f->core->contents));
        g_assert_null(lun(f, guids->pdata[N_MANY - 1])->content);

        while (dl_contents_is_busy(f->core->contents)) {
                core_fixture_turn(f);
                g_assert_cmpuint(fake_iscsi_in_flight(), <=, 5);
        }
        expect_lun(f, guids->pdata[N_MANY - 1], DL_LUN_USED, "partition-table:dos");
        expect_lun(f, guids->pdata[N_MANY - 2], DL_LUN_FREE, "");
}

static void test_free_in_flight(CoreFixture *f, gconstpointer data)
{
        DlLun *all[] = {lun(f, BLANK), lun(f, TABLE)};

        dl_contents_wait(f->core, all, 2, NULL, NULL);
        for (unsigned turns = 0; turns < 2; turns++)
                core_fixture_turn(f);
}

/* ---- other domains ------------------------------------------------------------------------- */

static void test_foreign_spellings(CoreFixture *f, gconstpointer data)
{
        static const char *const sources[] = {
                "<disk type='network'><source protocol='iscsi' name='" IQN "/1'><host name='h'/>"
                "</source>",
                "<disk type='block'><source dev='/dev/disk/by-id/scsi-" BLANK "'/>",
                "<disk type='block'><source dev='/dev/disk/by-id/wwn-0x60000000000000000e00000000010"
                "001-part1'/>",
                "<disk type='block'><source dev='/dev/disk/by-id/dm-uuid-mpath-" BLANK "'/>",
                "<disk type='block'><source dev='/dev/mapper/" BLANK "'/>",
                "<disk type='block'><source dev='/dev/disk/by-path/ip-192.0.2.1:3260-iscsi-" IQN
                "-lun-1'/>",
                "<disk type='file'><source file='/dev/mapper/" BLANK "'/>",
        };

        for (size_t i = 0; i < G_N_ELEMENTS(sources); i++) {
                g_autofree char *uuid = g_strdup_printf("%08x-f6a4-8304-79aa-97f2502e193f",
                                                        (unsigned)i + 1);
                g_autofree char *xml = g_strconcat(sources[i],
                                                   "<target dev='vda' bus='virtio'/></disk>", NULL);

                fake_domain_add(uuid, "foreign", DL_VIRT_SHUTOFF, true);
                fake_domain_add_device(uuid, xml);
                attach(f, VM_A, BLANK, false, DL_ERROR_IN_USE); /* looks for it */
                expect_lun(f, BLANK, DL_LUN_USED, "vm:foreign");
                fake_domain_remove(uuid);
                fake_virt_tell(uuid);
                CORE_WAIT(f, !DL_LOOKUP_VM(f->core, uuid));
                expect_lun(f, BLANK, DL_LUN_FREE, "");
        }
        attach(f, VM_A, BLANK, false, -1);
}

static void put_file(CoreFixture *f, const char *name, const char *text)
{
        g_autofree char *path = g_build_filename(f->directory, name, NULL);
        g_autofree char *folder = g_path_get_dirname(path);

        g_assert_cmpint(g_mkdir_with_parents(folder, 0700), ==, 0);
        g_assert_true(g_file_set_contents(path, text, -1, NULL));
}

/* A volume that is activated after its VM was seen: the VM's domain says nothing new then. */
static void test_foreign_device_comes(CoreFixture *f, gconstpointer data)
{
        static const char uuid[] = "00000001-f6a4-8304-79aa-97f2502e193f";
        g_autofree char *sysfs = g_build_filename(f->directory, "sys", NULL);
        g_autofree char *udev = g_build_filename(f->directory, "udev", NULL);

        f->core->sysfs = sysfs;
        f->core->udev = udev;
        fake_domain_add(uuid, "foreign", DL_VIRT_SHUTOFF, true);
        fake_domain_add_device(uuid, "<disk type='block'><source dev='/dev/vg0/data'/><target "
                                     "dev='vda' bus='virtio'/></disk>");
        fake_virt_tell(uuid);
        CORE_WAIT(f, DL_LOOKUP_VM(f->core, uuid));
        expect_lun(f, BLANK, DL_LUN_FREE, "");

        put_file(f, "udev/links/vg0\\x2fdata/b253:0", "");
        put_file(f, "sys/dev/block/253:0/dm/uuid", "mpath-" BLANK "\n");
        fake_block_shows(TABLE, NULL);
        core_fixture_settle(f);
        expect_lun(f, BLANK, DL_LUN_USED, "vm:foreign");
}

/* ---- storage domains ----------------------------------------------------------------------- */

static void claim(CoreFixture *f, const char *guid, const char *domain, bool force, int code)
{
        CoreResult result;
        DlRequest request = core_request(f, &result);

        request.force = force;
        g_assert_nonnull(dl_flow_claim(lun(f, guid), &request, domain, NULL));
        core_expect(&result, code);
}

static void release(CoreFixture *f, const char *guid, const char *domain, bool force, int code)
{
        CoreResult result;
        DlRequest request = core_request(f, &result);

        request.force = force;
        g_assert_nonnull(dl_flow_release(lun(f, guid), &request, domain, NULL));
        core_expect(&result, code);
}

static void test_claim(CoreFixture *f, gconstpointer data)
{
        claim(f, BLANK, "d1", false, -1);
        claim(f, BLANK, "d1", false, -1);
        claim(f, BLANK, "d2", false, DL_ERROR_STORAGE_DOMAIN_CONFLICT);
        claim(f, BLANK, "d2", true, DL_ERROR_STORAGE_DOMAIN_CONFLICT);
        expect_lun(f, BLANK, DL_LUN_USED, "storage-domain:d1");
        g_assert_cmpstr(dl_lun_storage_domain(lun(f, BLANK)), ==, "d1");
        g_assert_cmpuint(core_fixture_saw(f, "changed lun " BLANK " StorageDomain"), ==, 1);

        attach(f, VM_A, BLANK, false, DL_ERROR_IN_USE);
        attach(f, VM_A, BLANK, true, -1);
        expect_lun(f, BLANK, DL_LUN_USED, "vm:a storage-domain:d1");
        attach(f, VM_B, BLANK, false, DL_ERROR_NOT_SHAREABLE);

        release(f, BLANK, "d2", false, DL_ERROR_STORAGE_DOMAIN_CONFLICT);
        release(f, BLANK, "d1", false, -1);
        release(f, BLANK, "d1", false, -1);
        g_assert_cmpstr(dl_lun_storage_domain(lun(f, BLANK)), ==, "");
        claim(f, BLANK, "d2", false, DL_ERROR_IN_USE); /* the attachment */
        detach_all(f);
        claim(f, BLANK, "d2", false, -1);
        release(f, BLANK, "d1", true, -1);

        claim(f, TABLE, "d1", false, DL_ERROR_IN_USE);
        claim(f, TABLE, "d1", true, -1);
        expect_lun(f, TABLE, DL_LUN_USED, "storage-domain:d1 partition-table:dos");

        DlRequest request = {0};
        g_autoptr(GError) error = NULL;
        g_assert_null(dl_flow_claim(lun(f, BLANK), &request, "a b", &error));
        g_assert_error(error, DL_ERROR, DL_ERROR_INVALID_ARGS);
}

/* Two ask at once: one wins, and the other is told. */
static void test_claim_race(CoreFixture *f, gconstpointer data)
{
        CoreResult results[3];
        DlRequest requests[3];
        static const char *const domains[] = {"d1", "d2", "d1"};
        unsigned n_good = 0;

        for (unsigned i = 0; i < 3; i++) {
                requests[i] = core_request(f, &results[i]);
                g_assert_nonnull(dl_flow_claim(lun(f, BLANK), &requests[i], domains[i], NULL));
        }
        for (unsigned i = 0; i < 3; i++) {
                CORE_WAIT(f, results[i].n_done > 0);
                bool won = strcmp(dl_lun_storage_domain(lun(f, BLANK)), domains[i]) == 0;

                g_assert_cmpint(results[i].code, ==, won ? -1 : DL_ERROR_STORAGE_DOMAIN_CONFLICT);
                n_good += won;
                core_result_clear(&results[i]);
        }
        g_assert_cmpuint(n_good, ==, strcmp(dl_lun_storage_domain(lun(f, BLANK)), "d1") ? 1 : 2);
}

/* Somebody else wrote the row behind our back. */
static void test_claim_lost_in_the_store(CoreFixture *f, gconstpointer data)
{
        core_fixture_put(f, "domain/" BLANK, "{\"domain\":\"d9\"}");
        claim(f, BLANK, "d1", false, DL_ERROR_STORAGE_DOMAIN_CONFLICT);
        g_assert_cmpstr(dl_lun_storage_domain(lun(f, BLANK)), ==, "d9");
        claim(f, BLANK, "d9", false, -1);
}

/* Claims outlive the service, and the target. */
static void test_claim_stays(CoreFixture *f, gconstpointer data)
{
        CoreResult result;
        DlRequest request = core_request(f, &result);

        claim(f, BLANK, "d1", false, -1);
        dl_flow_unmanage(DL_LOOKUP_TARGET(f->core, IQN), &request, NULL);
        core_expect(&result, -1);
        request = core_request(f, &result);
        dl_flow_forget(DL_LOOKUP_TARGET(f->core, IQN), &request, NULL);
        core_expect(&result, -1);
        g_assert_null(lun(f, TABLE));
        g_assert_nonnull(lun(f, BLANK));
        CORE_WAIT(f, f->core->n_writes == 0);
        core_fixture_put(f, "lun/" BLANK, NULL);
        core_fixture_put(f, "domain/" BAD, "{\"no\":\"domain\"}");
        core_fixture_stop(f);
        core_fixture_start(f);
        g_assert_cmpstr(dl_claim_of(f->core, BLANK), ==, "d1");
        g_assert_cmpstr(dl_lun_storage_domain(lun(f, BLANK)), ==, "d1");
        g_assert_null(lun(f, BAD));
        release(f, BLANK, "d1", false, -1);
        g_assert_null(lun(f, BLANK));
}

/* ---- explain ------------------------------------------------------------------------------- */

static const DlFact *find_fact(const GPtrArray *facts, const char *about, const char *name)
{
        for (unsigned i = 0; i < facts->len; i++) {
                const DlFact *fact = facts->pdata[i];

                g_assert_true(fact->text[0]);
                if (strcmp(fact->about, about) == 0 && strcmp(fact->name, name) == 0)
                        return fact;
        }
        return NULL;
}

static void test_explain(CoreFixture *f, gconstpointer data)
{
        g_autoptr(GPtrArray) blank = dl_lun_explain(lun(f, BLANK));
        g_assert_nonnull(find_fact(blank, "status", "free"));
        g_assert_nonnull(find_fact(blank, "content", "nothing"));
        g_assert_false(find_fact(blank, "unmanage", IQN)->refused);
        g_assert_nonnull(find_fact(blank, "data-path", "qemu"));
        g_assert_nonnull(find_fact(blank, "connection", IQN));
        g_assert_cmpuint(blank->len, ==, 5);

        g_autoptr(GPtrArray) used = dl_lun_explain(lun(f, TABLE));
        g_assert_nonnull(find_fact(used, "holder", "partition-table:dos"));
        g_assert_cmpstr(find_fact(used, "content", "dos")->signature->usage, ==, "partition-table");
        g_autoptr(GPtrArray) bad = dl_lun_explain(lun(f, BAD));
        g_assert_nonnull(find_fact(bad, "content", "error"));

        claim(f, BLANK, "d1", false, -1);
        attach(f, VM_A, BLANK, true, -1);
        fake_domain_set_state(VM_A, DL_VIRT_RUNNING);
        fake_virt_tell(VM_A);
        CORE_WAIT(f, dl_vm_is_active(DL_LOOKUP_VM(f->core, VM_A)));
        g_autoptr(GPtrArray) running = dl_lun_explain(lun(f, BLANK));
        g_assert_nonnull(find_fact(running, "holder", "storage-domain:d1"));
        g_assert_true(find_fact(running, "holder", "vm:a")->object ==
                      &DL_LOOKUP_VM(f->core, VM_A)->object);
}

int main(int argc, char **argv)
{
        g_test_init(&argc, &argv, NULL);
#define TEST(name, function)                                                                       \
        g_test_add("/core/in-use/" name, CoreFixture, NULL, begin, function, end)
        TEST("content", test_content);
        TEST("attach-looks-again", test_attach_looks_again);
        TEST("guest-writes", test_guest_writes);
        TEST("bare-pv", test_bare_pv);
        TEST("cache", test_cache);
        TEST("let-go", test_let_go);
        TEST("pain-15-list-does-not-wait", test_pain_15_list_does_not_wait);
        TEST("free-in-flight", test_free_in_flight);
        TEST("foreign-spellings", test_foreign_spellings);
        TEST("foreign-device-comes", test_foreign_device_comes);
        TEST("claim", test_claim);
        TEST("claim-race", test_claim_race);
        TEST("claim-lost-in-the-store", test_claim_lost_in_the_store);
        TEST("claim-stays", test_claim_stays);
        TEST("explain", test_explain);
        return g_test_run();
}
