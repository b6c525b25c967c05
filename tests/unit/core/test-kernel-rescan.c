/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A LUN that has grown: what the kernel is asked for, and in which order. One thread. */

#include "core/steps/kernel-rescan.h"

#include "fake-kernel.h"
#include "fakes.h"

#include <sys/sysmacros.h>

#define GUID FAKE_KERNEL_GUID

typedef struct World {
        CoreFixture core;
        DlBlockDevice paths[2], map;
        DlBlockLun lun;
        unsigned n_done;
        int code; /* -1: well */
} World;

static void begin(World *w, gconstpointer data)
{
        core_fixture_open(&w->core);
        fake_kernel_prepare(&w->core);
        core_fixture_start(&w->core);
        fake_kernel_start(&w->core);
        w->paths[0] = fake_block_path("sda", GUID, makedev(8, 0));
        w->paths[1] = fake_block_path("sdb", GUID, makedev(8, 16));
        w->map = fake_block_path("dm-0", GUID, makedev(254, 0));
        w->map.kind = DL_BLOCK_MAP;
        w->lun = (DlBlockLun){.guid = (char *)GUID,
                              .map = &w->map,
                              .paths = g_ptr_array_new(),
                              .holders = g_new0(char *, 1),
                              .node = ""};
        for (unsigned i = 0; i < G_N_ELEMENTS(w->paths); i++)
                g_ptr_array_add(w->lun.paths, &w->paths[i]);
        fake_block_shows(GUID, &w->lun);
        core_fixture_settle(&w->core);
}

static void end(World *w, gconstpointer data)
{
        fake_kernel_end();
        core_fixture_close(&w->core);
        g_ptr_array_unref(w->lun.paths);
        g_strfreev(w->lun.holders);
        fake_iscsi_forget();
        fake_virt_forget();
        fake_block_forget();
}

static void on_done(const GError *error, void *userdata)
{
        World *w = userdata;

        w->n_done++;
        w->code = error ? (int)dl_error_code(error) : -1;
}

static void expect(World *w, int code)
{
        unsigned n = w->n_done;

        g_assert_nonnull(dl_kernel_rescan_start(w->core.core, GUID, on_done, w));
        g_assert_cmpuint(w->n_done, ==, n); /* never from within */
        CORE_WAIT(&w->core, w->n_done > n);
        g_assert_cmpint(w->code, ==, code);
        core_fixture_settle(&w->core);
        g_assert_cmpuint(w->n_done, ==, n + 1);
}

static void assert_asked(unsigned n_paths, unsigned n_maps)
{
        g_assert_cmpuint(fake_helper_n_asked(DL_HELPER_RESCAN_PATH), ==, n_paths);
        g_assert_cmpuint(fake_helper_n_asked(DL_HELPER_RESIZE_MAP), ==, n_maps);
}

static void test_paths_then_map(World *w, gconstpointer data)
{
        expect(w, -1);
        assert_asked(2, 0); /* the map has their size */
        w->paths[0].size = w->paths[1].size = 8192;
        expect(w, -1);
        assert_asked(4, 1);
}

/* What works is looked at; the other would be waited for. */
static void test_path_that_is_down(World *w, gconstpointer data)
{
        w->paths[0].state = (char *)"transport-offline";
        w->paths[1].is_failed = true;
        expect(w, -1);
        assert_asked(0, 0);
        w->paths[1].is_failed = false;
        expect(w, -1);
        assert_asked(1, 0);
}

static void test_without_a_map(World *w, gconstpointer data)
{
        w->lun.map = NULL;
        w->paths[0].size = 8192;
        expect(w, -1);
        assert_asked(2, 0);
        fake_block_shows(GUID, NULL); /* nothing at all */
        core_fixture_settle(&w->core);
        expect(w, -1);
        assert_asked(2, 0);
}

/* One of which the kernel learns nothing keeps the others from nothing. */
static void test_errors(World *w, gconstpointer data)
{
        w->paths[0].size = 8192;
        fake_helper_does(DL_HELPER_RESCAN_PATH, FAKE_ANSWER_FAILS, DL_ERROR_TIMED_OUT);
        expect(w, DL_ERROR_TIMED_OUT);
        assert_asked(2, 1);
        fake_helper_does(DL_HELPER_RESCAN_PATH, FAKE_ANSWER_DOES, 0);
        fake_helper_does(DL_HELPER_RESIZE_MAP, FAKE_ANSWER_FAILS, DL_ERROR_PATHS_INCONSISTENT);
        expect(w, DL_ERROR_PATHS_INCONSISTENT);
        assert_asked(4, 2);
        fake_helper_does(DL_HELPER_RESIZE_MAP, FAKE_ANSWER_DIES, 0);
        expect(w, DL_ERROR_PROTOCOL_ERROR);
}

static void test_cancel(World *w, gconstpointer data)
{
        DlKernelRescan *rescan;

        fake_helper_does(DL_HELPER_RESCAN_PATH, FAKE_ANSWER_IS_SILENT, 0);
        rescan = dl_kernel_rescan_start(w->core.core, GUID, on_done, w);
        CORE_WAIT(&w->core, fake_helper_n_asked(DL_HELPER_RESCAN_PATH) == 2);
        dl_kernel_rescan_cancel(rescan);
        core_fixture_settle(&w->core);
        g_assert_cmpuint(w->n_done, ==, 0);
        dl_kernel_rescan_cancel(NULL);
}

/* By Refresh, and by nobody who only wants to know what it would do. */
static void test_refresh(World *w, gconstpointer data)
{
        DlLun *lun = DL_LOOKUP_LUN(w->core.core, GUID);
        CoreResult result;
        DlRequest request = core_request(&w->core, &result);

        request.dry_run = true;
        g_assert_nonnull(dl_flow_lun_refresh(lun, &request, NULL));
        core_expect(&result, -1);
        assert_asked(0, 0);

        request = core_request(&w->core, &result);
        w->paths[0].size = w->paths[1].size = 8192;
        g_assert_nonnull(dl_flow_lun_refresh(lun, &request, NULL));
        core_expect(&result, -1);
        assert_asked(2, 1);
}

static void list(World *w, const char *const *guids)
{
        CoreResult result;
        DlRequest request = core_request(&w->core, &result);

        g_assert_nonnull(
                dl_flow_device_list(w->core.core, &request, guids, NULL, true, false, NULL));
        core_expect(&result, -1);
}

/* Of all LUNs of a host only those are looked at that somebody has, or asks for. */
static void test_list(World *w, gconstpointer data)
{
        static const char *const guids[] = {GUID, NULL};

        list(w, NULL);
        assert_asked(0, 0);
        list(w, guids);
        assert_asked(2, 0);
}

int main(int argc, char **argv)
{
        g_test_init(&argc, &argv, NULL);
#define ADD(name, test) g_test_add("/kernel-rescan/" name, World, NULL, begin, test, end)
        ADD("paths-then-map", test_paths_then_map);
        ADD("path-that-is-down", test_path_that_is_down);
        ADD("without-a-map", test_without_a_map);
        ADD("errors", test_errors);
        ADD("cancel", test_cancel);
        ADD("refresh", test_refresh);
        ADD("list", test_list);
#undef ADD
        return g_test_run();
}
