/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the host's kernel sees, merged with what libiscsi sees of the same LUN. One thread. */

#include "core-fixture.h"
#include "core/model/lun-kernel.h"
#include "core/steps/vdisk-create.h"
#include "fakes.h"

#include <string.h>

#define IQN "iqn.2026-11.org.example:t"
#define GIB (1024 * (uint64_t)1024 * 1024)
#define A   "3600000000000000000000000000000aa"

typedef struct World {
        CoreFixture core;
        DlBlockDevice paths[2], map;
        DlBlockLun kernel;
} World;

static DlBlockDevice device_of(const char *name, DlBlockTransport transport)
{
        return (DlBlockDevice){
                .name = (char *)name,
                .guid = (char *)A,
                .transport = transport,
                .target = (char *)(transport == DL_BLOCK_ISCSI ? IQN : "0x50060160"),
                .address = (char *)"192.0.2.1",
                .port = 3260,
                .tpgt = 1,
                .lun = 1,
                .host = (char *)"host1",
                .hctl = (char *)"1:0:0:1",
                .size = GIB,
                .logical_block_size = 512,
                .physical_block_size = 4096,
                .vendor = (char *)"V",
                .product = (char *)"P",
                .revision = (char *)"R",
                .serial = (char *)"s",
                .fingerprint = (char *)"f",
                .state = (char *)"running",
                .map = (char *)"",
                .node = (char *)"",
        };
}

static void begin(World *w, gconstpointer data)
{
        core_fixture_open(&w->core);
        core_fixture_start(&w->core);
        w->paths[0] = device_of("sda", DL_BLOCK_ISCSI);
        w->paths[1] = device_of("sdb", DL_BLOCK_FC);
        w->map = device_of("dm-0", DL_BLOCK_LOCAL);
        w->kernel = (DlBlockLun){
                .guid = (char *)A,
                .paths = g_ptr_array_new(),
                .holders = g_new0(char *, 2),
                .node = "",
        };
}

static void end(World *w, gconstpointer data)
{
        core_fixture_close(&w->core);
        g_ptr_array_unref(w->kernel.paths);
        g_strfreev(w->kernel.holders);
        fake_iscsi_forget();
        fake_virt_forget();
        fake_block_forget();
}

/* With so many paths; 0: it is gone. */
static DlLun *show(World *w, unsigned n)
{
        g_ptr_array_set_size(w->kernel.paths, 0);
        for (unsigned i = 0; i < n; i++)
                g_ptr_array_add(w->kernel.paths, &w->paths[i]);
        fake_block_shows(A, n > 0 ? &w->kernel : NULL);
        core_fixture_settle(&w->core);
        return DL_LOOKUP_LUN(w->core.core, A);
}

/* libiscsi has seen it on this portal, too. */
static void merge(World *w, const char *address, uint64_t capacity, const char *fingerprint)
{
        DlTarget *target = dl_target_ensure(w->core.core, IQN, NULL);
        DlIscsiLun lun = {.lun = 1,
                          .guid = (char *)A,
                          .ready = true,
                          .fingerprint = (char *)fingerprint,
                          .vendor = (char *)"V",
                          .product = (char *)"P",
                          .revision = (char *)"R",
                          .serial = (char *)"s",
                          .capacity = capacity,
                          .logical_block_size = 512};
        DlIscsiInspection inspection = {.tpgt = 1, .luns = &lun, .n_luns = 1};

        if (target->n_jobs == 0)
                dl_target_acquire(target); /* else what is seen is let go */
        dl_target_add_portal(target, address, 3260, 1);
        DlPortal *portal = dl_target_find_portal(target, address, 3260);
        portal->state = DL_TARGET_CONNECTED;
        dl_luns_merge(target, portal, &inspection, true);
}

static void test_comes_and_goes(World *w, gconstpointer data)
{
        DlLun *lun = show(w, 1);

        g_assert_nonnull(lun);
        g_assert_cmpuint(lun->capacity, ==, GIB);
        g_assert_cmpuint(lun->physical_block_size, ==, 4096);
        g_assert_cmpstr(lun->vendor, ==, "V");
        g_assert_cmpstr(dl_lun_type(lun), ==, "iSCSI");
        g_assert_cmpuint(lun->status, ==, DL_LUN_FREE);
        g_assert_null(show(w, 0));

        g_autofree char *row = core_fixture_row(&w->core, "lun/" A);
        g_assert_null(row);
}

static void test_one_object(World *w, gconstpointer data)
{
        DlLun *lun = show(w, 2);
        g_autoptr(GArray) two = dl_lun_ways(lun);

        g_assert_cmpuint(two->len, ==, 2);
        g_assert_cmpstr(dl_lun_type(lun), ==, "MIXED");
        g_assert_true(dl_lun_is_of_type(lun, "iscsi") && dl_lun_is_of_type(lun, "fcp"));
        g_assert_true(dl_lun_is_of_type(lun, "mixed") && !dl_lun_is_of_type(lun, "local"));
        merge(w, "192.0.2.1", GIB, "f"); /* the session's portal */
        merge(w, "192.0.2.2", GIB, "f");
        g_assert_true(DL_LOOKUP_LUN(w->core.core, A) == lun);

        g_autoptr(GArray) three = dl_lun_ways(lun);
        g_assert_cmpuint(three->len, ==, 3);
        const DlWay *ways = &g_array_index(three, DlWay, 0);
        g_assert_nonnull(ways[0].path);
        g_assert_true(ways[0].device == &w->paths[0]);
        g_assert_null(ways[1].device);
        g_assert_true(!ways[2].path && ways[2].device == &w->paths[1]);
        g_assert_cmpstr(dl_way_type(&ways[2]), ==, "FCP");

        g_assert_true(show(w, 0) == lun); /* libiscsi has it still */
        g_assert_cmpstr(dl_lun_type(lun), ==, "iSCSI");
}

static void test_types(World *w, gconstpointer data)
{
        w->paths[0] = device_of("sda", DL_BLOCK_FCOE);
        g_assert_cmpstr(dl_lun_type(show(w, 2)), ==, "FCP");
        w->paths[0] = device_of("sda", DL_BLOCK_LOCAL);
        g_assert_cmpstr(dl_lun_type(show(w, 1)), ==, "local");
}

static void test_health(World *w, gconstpointer data)
{
        DlLun *lun = show(w, 2);

        w->paths[0].is_failed = true;
        core_fixture_forget(&w->core);
        show(w, 2);
        g_autoptr(GArray) ways = dl_lun_ways(lun);
        g_assert_cmpstr(dl_way_state(&g_array_index(ways, DlWay, 0)), ==, "failed");
        g_assert_cmpstr(dl_way_state(&g_array_index(ways, DlWay, 1)), ==, "active");
        g_assert_cmpuint(lun->status, ==, DL_LUN_FREE);
        g_assert_cmpuint(w->core.log->len, >, 0);
        w->paths[1].state = (char *)"transport-offline";
        show(w, 2);
        g_assert_cmpuint(lun->status, ==, DL_LUN_UNUSABLE);
        g_assert_nonnull(strstr(lun->reason, "failed"));
}

static void test_differences(World *w, gconstpointer data)
{
        g_autoptr(GError) sizes = NULL, numbers = NULL, twins = NULL, both = NULL;
        DlLun *lun;

        w->paths[1].size = 2 * GIB;
        lun = show(w, 2);
        g_assert_false(dl_lun_check_usable(lun, &sizes));
        g_assert_error(sizes, DL_ERROR, DL_ERROR_PATHS_INCONSISTENT);
        w->paths[1].target = w->paths[0].target;
        w->paths[1].lun = 2;
        show(w, 2);
        g_assert_false(dl_lun_check_usable(lun, &numbers));
        g_assert_error(numbers, DL_ERROR, DL_ERROR_GUID_NOT_UNIQUE);
        w->paths[1].lun = 1;
        w->paths[1].size = GIB;
        w->paths[1].fingerprint = (char *)"g";
        show(w, 2);
        g_assert_cmpuint(lun->status, ==, DL_LUN_UNUSABLE);
        g_assert_false(dl_lun_check_usable(lun, &twins));
        g_assert_error(twins, DL_ERROR, DL_ERROR_GUID_NOT_UNIQUE);
        w->paths[1].fingerprint = (char *)"";
        show(w, 2);
        g_assert_cmpuint(lun->status, ==, DL_LUN_FREE);
        merge(w, "192.0.2.9", GIB, "other");
        g_assert_false(dl_lun_check_usable(lun, &both));
        g_assert_error(both, DL_ERROR, DL_ERROR_GUID_NOT_UNIQUE);
}

static void test_holders(World *w, gconstpointer data)
{
        g_autoptr(GError) used = NULL, system = NULL;
        DlLun *lun;

        w->kernel.holders[0] = g_strdup("mount:/srv");
        lun = show(w, 1);
        g_assert_cmpuint(lun->status, ==, DL_LUN_USED);
        g_assert_cmpstr(lun->holders[0], ==, "mount:/srv");
        g_assert_true(dl_lun_check_usable(lun, NULL));
        g_assert_false(dl_lun_check_host_use(lun, &used));
        g_assert_error(used, DL_ERROR, DL_ERROR_IN_USE);

        w->kernel.is_system = true;
        show(w, 1);
        g_assert_cmpuint(lun->status, ==, DL_LUN_UNUSABLE);
        g_assert_nonnull(strstr(lun->reason, "this host itself runs from"));
        g_assert_false(dl_lun_check_usable(lun, &system));
        g_assert_error(system, DL_ERROR, DL_ERROR_IN_USE);
}

/* A vDisk keeps its LUN when the kernel does not have it any more, also over a restart. */
static void test_vdisk_stays(World *w, gconstpointer data)
{
        CoreResult result = {0};
        DlRequest request = core_request(&w->core, &result);
        DlLun *lun = show(w, 1);

        g_assert_nonnull(dl_flow_create_vdisk(w->core.core, &request, A, NULL, NULL, NULL));
        core_expect(&result, -1);
        core_result_clear(&result);
        g_assert_true(show(w, 0) == lun);
        g_assert_cmpuint(lun->status, ==, DL_LUN_UNKNOWN);
        core_fixture_stop(&w->core);
        core_fixture_start(&w->core);
        lun = show(w, 1);
        g_assert_nonnull(lun);
        g_assert_nonnull(dl_lun_vdisk(lun));
}

int main(int argc, char **argv)
{
        g_test_init(&argc, &argv, NULL);
#define ADD(name, test) g_test_add("/lun-kernel/" name, World, NULL, begin, test, end)
        ADD("comes-and-goes", test_comes_and_goes);
        ADD("one-object", test_one_object);
        ADD("types", test_types);
        ADD("health", test_health);
        ADD("differences", test_differences);
        ADD("holders", test_holders);
        ADD("vdisk-stays", test_vdisk_stays);
#undef ADD
        return g_test_run();
}
