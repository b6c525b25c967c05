/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What portals answer, merged into LUNs; and what is said of them. One thread. */

#include "core-fixture.h"
#include "core/steps/vdisk-create.h"
#include "fakes.h"
#include "util/uuid.h"

#include <string.h>

#define IQN "iqn.2026-11.org.example:t"
#define GIB (1024 * (uint64_t)1024 * 1024)
#define A   "3600000000000000000000000000000aa"
#define B   "3600000000000000000000000000000bb"
#define C   "3600000000000000000000000000000cc"
#define VM  "6695eb01-f6a4-8304-79aa-97f2502e193f"

typedef struct World {
        CoreFixture core;
        DlTarget *target;
        DlPortal *portals[2];
} World;

static void begin(World *w, gconstpointer data)
{
        static const char *const addresses[] = {"192.0.2.1", "192.0.2.2"};

        core_fixture_open(&w->core);
        core_fixture_start(&w->core);
        w->target = dl_target_ensure(w->core.core, IQN, NULL);
        dl_target_acquire(w->target); /* else what is seen is let go */
        for (unsigned i = 0; i < 2; i++) {
                dl_target_add_portal(w->target, addresses[i], 3260, 1);
                w->portals[i] = dl_target_find_portal(w->target, addresses[i], 3260);
                w->portals[i]->state = DL_TARGET_CONNECTED;
        }
        core_fixture_settle(&w->core);
        core_fixture_forget(&w->core);
}

static void end(World *w, gconstpointer data)
{
        core_fixture_close(&w->core);
        fake_iscsi_forget();
        fake_virt_forget();
}

static GError *not_visible, *io_error;

/* ---- what a portal answers ----------------------------------------------------------------- */

static DlIscsiLun lun_of(uint64_t number, const char *guid)
{
        return (DlIscsiLun){
                .lun = number,
                .guid = (char *)guid,
                .ready = true,
                .fingerprint = (char *)"f",
                .vendor = (char *)"V",
                .product = (char *)"P",
                .revision = (char *)"R",
                .serial = (char *)"s",
                .capacity = GIB,
                .logical_block_size = 512,
                .physical_block_size = 512,
        };
}

static DlIscsiLun bad_lun_of(uint64_t number, const char *guid, GError *error)
{
        DlIscsiLun lun = lun_of(number, guid);

        lun.error = error;
        return lun;
}

static void merge(World *w, unsigned portal, const DlIscsiLun *luns, size_t n_luns, bool full)
{
        DlIscsiInspection inspection = {.tpgt = 1, .luns = luns, .n_luns = n_luns};

        dl_luns_merge(w->target, w->portals[portal], &inspection, full);
}
#define MERGE(w, portal, full, ...)                                                                \
        merge(w, portal, (const DlIscsiLun[]){__VA_ARGS__},                                        \
              sizeof((const DlIscsiLun[]){__VA_ARGS__}) / sizeof(DlIscsiLun), full)

static DlLun *lun(World *w, const char *guid)
{
        return DL_LOOKUP_LUN(w->core.core, guid);
}

/* "A:1@192.0.2.1 …": the seen paths of all LUNs, by GUID. */
static void expect_paths(World *w, const char *expected)
{
        g_autoptr(GPtrArray) luns = dl_core_list(w->core.core, DL_KIND_LUN);
        g_autoptr(GString) seen = g_string_new(NULL);

        for (unsigned i = 0; i < luns->len; i++) {
                const DlLun *l = luns->pdata[i];

                for (unsigned k = 0; k < l->paths->len; k++) {
                        const DlPath *path = l->paths->pdata[k];

                        g_string_append_printf(seen, "%s%c:%u@%s%s", seen->len > 0 ? " " : "",
                                               g_ascii_toupper(l->object.id[32]),
                                               (unsigned)path->lun, path->address + 8,
                                               strcmp(dl_path_state(path), "active") == 0 ? ""
                                                                                          : "!");
                }
                if (l->paths->len == 0)
                        g_string_append_printf(seen, "%s%c:none", seen->len > 0 ? " " : "",
                                               g_ascii_toupper(l->object.id[32]));
        }
        g_assert_cmpstr(seen->str, ==, expected);
}

/* ---- numbers and GUIDs --------------------------------------------------------------------- */

static void test_new(World *w, gconstpointer data)
{
        MERGE(w, 0, true, lun_of(1, A), lun_of(2, B));
        expect_paths(w, "A:1@1 B:2@1");
        g_assert_cmpint(lun(w, A)->status, ==, DL_LUN_FREE);
        g_assert_cmpstr(lun(w, A)->reason, ==, "");
        g_assert_cmpuint(lun(w, A)->capacity, ==, GIB);
        g_assert_cmpstr(lun(w, A)->vendor, ==, "V");
        g_assert_cmpuint(core_fixture_saw(&w->core, "added lun " A), ==, 1);
        core_fixture_settle(&w->core);
        g_assert_cmpuint(core_fixture_saw(&w->core, "changed target " IQN " Luns"), ==, 1);

        MERGE(w, 1, true, lun_of(1, A), lun_of(2, B));
        expect_paths(w, "A:1@1 A:1@2 B:2@1 B:2@2");
        g_assert_cmpuint(core_fixture_saw(&w->core, "added lun"), ==, 2);
}

static void test_again(World *w, gconstpointer data)
{
        MERGE(w, 0, true, lun_of(1, A));
        core_fixture_settle(&w->core);
        CORE_WAIT(&w->core, w->core.core->n_writes == 0);
        MERGE(w, 0, true, lun_of(1, A));
        expect_paths(w, "A:1@1");
        g_assert_cmpuint(w->core.core->n_writes, ==, 0); /* nothing new to write */
}

static void test_moved(World *w, gconstpointer data)
{
        MERGE(w, 0, true, lun_of(1, A), lun_of(2, B));
        MERGE(w, 0, true, lun_of(1, B), lun_of(2, A));
        expect_paths(w, "A:2@1 B:1@1");
        g_assert_cmpuint(core_fixture_saw(&w->core, "removed"), ==, 2); /* for a moment */
}

static void test_reused(World *w, gconstpointer data)
{
        MERGE(w, 0, true, lun_of(1, A));
        MERGE(w, 0, true, lun_of(1, B));
        expect_paths(w, "B:1@1");
        g_assert_cmpuint(core_fixture_saw(&w->core, "removed lun " A), ==, 1);
        g_assert_null(lun(w, A));
}

static void test_gone(World *w, gconstpointer data)
{
        MERGE(w, 0, true, lun_of(1, A), lun_of(2, B), lun_of(3, C));
        MERGE(w, 1, true, lun_of(1, A), lun_of(2, B));
        MERGE(w, 0, true, lun_of(2, B));
        expect_paths(w, "A:1@2 B:2@1 B:2@2"); /* the other portal still shows it */
        merge(w, 0, NULL, 0, true);
        merge(w, 1, NULL, 0, true);
        expect_paths(w, "");
}

static void test_not_asked_for(World *w, gconstpointer data)
{
        MERGE(w, 0, true, lun_of(1, A), lun_of(2, B));
        MERGE(w, 0, false, lun_of(2, B)); /* only this one */
        expect_paths(w, "A:1@1 B:2@1");
        MERGE(w, 0, false, bad_lun_of(2, NULL, not_visible));
        expect_paths(w, "A:1@1");
}

static void test_kept_with_vdisk(World *w, gconstpointer data)
{
        CoreResult result;
        DlRequest request = core_request(&w->core, &result);

        MERGE(w, 0, true, lun_of(1, A));
        dl_flow_create_vdisk(w->core.core, &request, A, NULL, NULL, NULL);
        core_expect(&result, -1);
        merge(w, 0, NULL, 0, true);
        expect_paths(w, "A:none");
        g_assert_cmpint(lun(w, A)->status, ==, DL_LUN_UNKNOWN);
        g_assert_cmpuint(core_fixture_saw(&w->core, "removed"), ==, 0);

        /* and goes with it */
        request = core_request(&w->core, &result);
        dl_flow_vdisk_delete(dl_vdisk_of_guid(w->core.core, A), &request, NULL);
        core_expect(&result, -1);
        g_assert_null(lun(w, A));
}

static void test_vdisk_before_lun(World *w, gconstpointer data)
{
        DlVDisk *vdisk = dl_vdisk_new(w->core.core, A, NULL, NULL);

        dl_object_publish(&vdisk->object);
        MERGE(w, 0, true, lun_of(1, A));
        core_fixture_settle(&w->core);
        g_assert_true(dl_vdisk_lun(vdisk) == lun(w, A));
        g_assert_cmpuint(core_fixture_saw(&w->core, "changed vdisk"), ==, 1);
}

/* ---- what is wrong with a LUN -------------------------------------------------------------- */

static void expect_unusable(World *w, const char *guid, int code)
{
        g_autoptr(GError) error = NULL;

        g_assert_false(dl_lun_check_usable(lun(w, guid), &error));
        g_assert_error(error, DL_ERROR, code);
        g_assert_cmpint(lun(w, guid)->status, ==, DL_LUN_UNUSABLE);
        g_assert_cmpstr(lun(w, guid)->reason, ==, error->message);
}

static void test_two_luns_one_guid(World *w, gconstpointer data)
{
        DlIscsiLun other = lun_of(2, A);

        other.serial = (char *)"other";
        MERGE(w, 0, true, lun_of(1, A), other);
        expect_unusable(w, A, DL_ERROR_GUID_NOT_UNIQUE);

        other = lun_of(2, A);
        other.fingerprint = (char *)"other";
        MERGE(w, 0, true, lun_of(1, A), other);
        expect_unusable(w, A, DL_ERROR_GUID_NOT_UNIQUE);

        other.fingerprint = NULL;
        MERGE(w, 0, true, lun_of(1, A), other);
        expect_unusable(w, A, DL_ERROR_GUID_NOT_UNIQUE);

        MERGE(w, 0, true, lun_of(1, A), lun_of(2, A)); /* twice the same: two numbers of one LUN */
        g_assert_cmpint(lun(w, A)->status, ==, DL_LUN_FREE);
        g_assert_cmpstr(lun(w, A)->reason, ==, "");
}

static void test_sizes_differ(World *w, gconstpointer data)
{
        DlIscsiLun grown = lun_of(1, A);

        grown.capacity = 2 * GIB;
        MERGE(w, 0, true, lun_of(1, A));
        MERGE(w, 1, true, grown);
        expect_unusable(w, A, DL_ERROR_PATHS_INCONSISTENT);
        MERGE(w, 0, true, grown); /* a rescan heals it */
        g_assert_cmpint(lun(w, A)->status, ==, DL_LUN_FREE);
        g_assert_cmpuint(lun(w, A)->capacity, ==, 2 * GIB);

        grown.capacity = 0;
        MERGE(w, 0, true, grown);
        MERGE(w, 1, true, grown);
        expect_unusable(w, A, DL_ERROR_LUN_NOT_VISIBLE);
}

static void test_without_guid(World *w, gconstpointer data)
{
        MERGE(w, 0, true, lun_of(1, NULL), bad_lun_of(2, NULL, io_error));
        g_assert_cmpint(lun(w, IQN "/2")->status, ==, DL_LUN_UNUSABLE);
        g_assert_cmpstr(lun(w, IQN "/2")->reason, ==, io_error->message);
        /* it has no error, but nobody could ever prove it */
        g_assert_cmpint(lun(w, IQN "/1")->status, ==, DL_LUN_UNUSABLE);
        g_assert_cmpstr(lun(w, IQN "/1")->reason, !=, "");

        MERGE(w, 0, true, lun_of(1, A), lun_of(2, B));
        expect_paths(w, "A:1@1 B:2@1");
}

/* What could not be told for a moment leaves nothing behind. */
static void test_placeholder_goes(World *w, gconstpointer data)
{
        MERGE(w, 0, true, bad_lun_of(1, NULL, io_error));
        g_assert_nonnull(lun(w, IQN "/1"));
        MERGE(w, 1, true, lun_of(1, A)); /* the other portal may not be asked again for long */
        expect_paths(w, "A:1@2");
        g_assert_null(lun(w, IQN "/1"));

        MERGE(w, 0, true, bad_lun_of(1, NULL, io_error)); /* the number is known to be A's */
        g_assert_null(lun(w, IQN "/1"));
        g_assert_cmpint(lun(w, A)->status, ==, DL_LUN_FREE);
        CORE_WAIT(&w->core, w->core.core->n_writes == 0);
        g_autofree char *row = core_fixture_row(&w->core, "lun/" IQN "/1");
        g_assert_null(row);
}

/* One target, one GUID, two numbers, two sizes: these are two LUNs. */
static void test_sizes_of_twins_differ(World *w, gconstpointer data)
{
        DlIscsiLun twin = lun_of(2, A);

        twin.capacity = 2 * GIB;
        MERGE(w, 0, true, lun_of(1, A), twin);
        expect_unusable(w, A, DL_ERROR_GUID_NOT_UNIQUE);
}

/* Many LUNs, many attachments: what happens to one must not cost a look at all. */
static void test_many_attachments(World *w, gconstpointer data)
{
        enum {
                N_LUNS = 2000,
                N_ATTACHMENTS = 2000
        };
        g_autofree DlIscsiLun *luns = g_new0(DlIscsiLun, N_LUNS);
        g_autoptr(GPtrArray) guids = g_ptr_array_new_with_free_func(g_free);
        g_autoptr(GString) metadata = g_string_new(NULL);
        g_autoptr(GPtrArray)
                list = g_ptr_array_new_with_free_func((GDestroyNotify)dl_domain_attachment_free);
        g_autofree char *xml = NULL;
        int64_t began;

        for (unsigned i = 0; i < N_LUNS; i++) {
                g_ptr_array_add(guids, g_strdup_printf("36000000000000000%016x", i));
                luns[i] = lun_of(i, guids->pdata[i]);
        }
        for (unsigned i = 0; i < N_ATTACHMENTS; i++) {
                DlDomainAttachment *a = g_new0(DlDomainAttachment, 1);
                char vdisk[DL_UUID_SIZE], id[DL_UUID_SIZE];

                dl_uuid_for_guid(guids->pdata[i], vdisk);
                dl_uuid_for_attachment(VM, vdisk, id);
                *a = (DlDomainAttachment){
                        .id = g_strdup(id),
                        .vdisk = g_strdup(vdisk),
                        .guid = g_strdup(guids->pdata[i]),
                        .iface = g_strdup("scsi"),
                        .device = g_strdup("disk"),
                        .iqn = g_strdup(IQN),
                        .lun = i,
                        .index = (int)i,
                        .data_path = g_strdup("auto"),
                };
                g_ptr_array_add(list, a);
        }
        xml = dl_metadata_to_xml((DlDomainAttachment *const *)list->pdata, list->len);
        g_string_append(metadata, xml);
        g_string_replace(metadata, "<directlun:attachments",
                         "<directlun:attachments xmlns:directlun='" DL_METADATA_URI "'", 1);
        fake_domain_add(VM, "many", DL_VIRT_SHUTOFF, true);
        fake_domain_set_metadata(VM, strstr(xml, "xmlns") ? xml : metadata->str);
        fake_virt_tell(VM);
        CORE_WAIT(&w->core,
                  g_hash_table_size(w->core.core->objects[DL_KIND_ATTACHMENT]) == N_ATTACHMENTS);
        core_fixture_settle(&w->core);

        began = g_get_monotonic_time();
        merge(w, 0, luns, N_LUNS, true);
        for (unsigned i = 0; i < 1000; i++)
                dl_target_update(w->target);
        /* under valgrind, too */
        g_assert_cmpint(g_get_monotonic_time() - began, <, 30 * G_USEC_PER_SEC);
        g_assert_cmpint(lun(w, guids->pdata[1])->status, ==, DL_LUN_USED);
}

static void test_fails_for_now(World *w, gconstpointer data)
{
        MERGE(w, 0, true, lun_of(1, A));
        MERGE(w, 1, true, lun_of(1, A));
        MERGE(w, 0, true, bad_lun_of(1, A, io_error));
        g_assert_cmpint(lun(w, A)->status, ==, DL_LUN_FREE); /* there is another path */
        MERGE(w, 1, true, bad_lun_of(1, A, io_error));
        g_assert_cmpint(lun(w, A)->status, ==, DL_LUN_UNUSABLE);
        g_assert_cmpuint(lun(w, A)->capacity, ==, GIB); /* what was known stays */
        MERGE(w, 0, true, lun_of(1, A));
        g_assert_cmpint(lun(w, A)->status, ==, DL_LUN_FREE);
}

static void test_no_disks(World *w, gconstpointer data)
{
        DlIscsiLun controller = lun_of(0, B), tape = lun_of(3, C), zoned = lun_of(4, A);

        controller.device_type = 0x0c;
        tape.device_type = 0x01;
        zoned.device_type = 0x14;
        MERGE(w, 0, true, controller, tape, zoned);
        expect_paths(w, "A:4@1");
        expect_unusable(w, A, DL_ERROR_LUN_NOT_VISIBLE); /* QEMU would take it for a disk */
}

static void test_unseen(World *w, gconstpointer data)
{
        MERGE(w, 0, true, lun_of(1, A));
        MERGE(w, 1, true, lun_of(1, A));
        dl_luns_unsee(w->target, w->portals[0], io_error);
        expect_paths(w, "A:1@1! A:1@2");
        g_assert_cmpint(lun(w, A)->status, ==, DL_LUN_FREE);
        dl_luns_unsee(w->target, NULL, io_error);
        expect_paths(w, "A:1@1! A:1@2!");
        g_assert_cmpint(lun(w, A)->status, ==, DL_LUN_UNUSABLE);
        g_assert_cmpstr(lun(w, A)->reason, ==, io_error->message);
}

/* ---- holders ------------------------------------------------------------------------------- */

#define UUID "6695eb01-f6a4-8304-79aa-97f2502e193f"

static void test_foreign_vm(World *w, gconstpointer data)
{
        DlVirtDomain domain = {
                .uuid = (char *)UUID,
                .name = (char *)"other",
                .persistent = true,
                .inactive_xml = (char *)"<domain><name>other</name><uuid>" UUID "</uuid><devices>"
                                        "<disk type='network' device='disk'>"
                                        "<source protocol='iscsi' name='" IQN "/1'/>"
                                        "<target dev='vda' bus='virtio'/></disk>"
                                        "</devices></domain>",
        };

        MERGE(w, 0, true, lun_of(1, A), lun_of(2, B));
        dl_vm_merge(w->core.core, &domain);
        g_assert_cmpint(lun(w, A)->status, ==, DL_LUN_USED);
        g_assert_cmpstr(lun(w, A)->holders[0], ==, "vm:other");
        g_assert_cmpstr(lun(w, A)->reason, ==, "Used by vm:other");
        g_assert_cmpint(lun(w, B)->status, ==, DL_LUN_FREE);
        dl_vm_gone(DL_LOOKUP_VM(w->core.core, UUID));
        g_assert_cmpint(lun(w, A)->status, ==, DL_LUN_FREE);
}

/* ---- many ---------------------------------------------------------------------------------- */

static void test_limit(World *w, gconstpointer data)
{
        w->core.settings->objects_max = 2;
        MERGE(w, 0, true, lun_of(1, A), lun_of(2, B), lun_of(3, C));
        expect_paths(w, "A:1@1 B:2@1");
        MERGE(w, 0, true, lun_of(2, B), lun_of(3, C)); /* one went: there is room */
        expect_paths(w, "B:2@1 C:3@1");
}

/* What is as it was costs nobody anything. */
static void test_many(World *w, gconstpointer data)
{
        enum {
                N = 2000
        };
        g_autofree DlIscsiLun *luns = g_new0(DlIscsiLun, N);
        g_autoptr(GPtrArray) guids = g_ptr_array_new_with_free_func(g_free);

        for (unsigned i = 0; i < N; i++) {
                g_ptr_array_add(guids, g_strdup_printf("3600%028x", i * 7919));
                luns[i] = lun_of(i, guids->pdata[i]);
        }
        merge(w, 0, luns, N, true);
        merge(w, 1, luns, N, true);
        CORE_WAIT(&w->core, w->core.core->n_writes == 0);
        core_fixture_settle(&w->core);
        g_assert_cmpuint(core_fixture_saw(&w->core, "added lun"), ==, N);
        core_fixture_forget(&w->core);

        merge(w, 0, luns, N, true);
        merge(w, 1, luns, N, true);
        core_fixture_settle(&w->core);
        g_assert_cmpuint(core_fixture_saw(&w->core, "changed lun"), ==, 0);
        g_assert_cmpuint(w->core.core->n_writes, ==, 0);

        merge(w, 0, NULL, 0, true);
        merge(w, 1, NULL, 0, true);
        g_assert_cmpuint(core_fixture_saw(&w->core, "removed lun"), ==, N);
        expect_paths(w, "");
}

int main(int argc, char *argv[])
{
        g_test_init(&argc, &argv, NULL);
        io_error = g_error_new(DL_ERROR, DL_ERROR_PROTOCOL_ERROR, "medium error");
        not_visible = g_error_new(DL_ERROR, DL_ERROR_LUN_NOT_VISIBLE, "no such LUN");
#define TEST(name, function) g_test_add("/core/lun/" name, World, NULL, begin, function, end)
        TEST("new", test_new);
        TEST("again", test_again);
        TEST("moved", test_moved);
        TEST("reused", test_reused);
        TEST("gone", test_gone);
        TEST("not-asked-for", test_not_asked_for);
        TEST("kept-with-vdisk", test_kept_with_vdisk);
        TEST("vdisk-before-lun", test_vdisk_before_lun);
        TEST("two-luns-one-guid", test_two_luns_one_guid);
        TEST("sizes-differ", test_sizes_differ);
        TEST("without-guid", test_without_guid);
        TEST("placeholder-goes", test_placeholder_goes);
        TEST("sizes-of-twins-differ", test_sizes_of_twins_differ);
        TEST("many-attachments", test_many_attachments);
        TEST("fails-for-now", test_fails_for_now);
        TEST("no-disks", test_no_disks);
        TEST("unseen", test_unseen);
        TEST("foreign-vm", test_foreign_vm);
        TEST("limit", test_limit);
        TEST("many", test_many);
        int r = g_test_run();
        g_clear_error(&io_error);
        g_clear_error(&not_visible);
        return r;
}
