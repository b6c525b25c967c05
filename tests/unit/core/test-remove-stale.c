/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* RemoveStale: what is asked, what goes and what stays. One thread. */

#include "fake-kernel.h"
#include "fakes.h"

#include <sys/sysmacros.h>

#define GUID FAKE_KERNEL_GUID

typedef struct World {
        CoreFixture core;
        DlBlockDevice path, map;
        DlBlockLun lun;
} World;

static void begin(World *w, gconstpointer data)
{
        core_fixture_open(&w->core);
        fake_kernel_prepare(&w->core);
        core_fixture_start(&w->core);
        fake_kernel_start(&w->core);
        w->path = fake_block_path("sda", GUID, makedev(8, 0));
        w->map = fake_block_path("dm-0", GUID, makedev(254, 0));
        w->map.kind = DL_BLOCK_MAP;
        w->lun = (DlBlockLun){.guid = (char *)GUID,
                              .paths = g_ptr_array_new(),
                              .holders = g_new0(char *, 1),
                              .node = ""};
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

static void show(World *w, bool map, bool path)
{
        w->lun.map = map ? &w->map : NULL;
        g_ptr_array_set_size(w->lun.paths, 0);
        if (path)
                g_ptr_array_add(w->lun.paths, &w->path);
        fake_block_shows(GUID, &w->lun);
        core_fixture_settle(&w->core);
}

static void remove_stale(World *w, bool dry_run, int code)
{
        CoreResult result;
        DlRequest request = core_request(&w->core, &result);

        request.dry_run = dry_run;
        g_assert_nonnull(dl_flow_remove_stale(DL_LOOKUP_LUN(w->core.core, GUID), &request, NULL));
        core_expect(&result, code);
}

static void assert_asked(unsigned n_asked, unsigned n_flushed)
{
        g_assert_cmpuint(fake_helper_n_asked(DL_HELPER_RESCAN_PATH), ==, n_asked);
        g_assert_cmpuint(fake_helper_n_asked(DL_HELPER_FLUSH_MAP), ==, n_flushed);
}

/* Whoever asks a disk whose way is down waits for the way. */
static void test_way_is_down(World *w, gconstpointer data)
{
        show(w, false, true);
        w->path.state = (char *)"blocked";
        remove_stale(w, false, -1);
        w->path.state = (char *)"running";
        w->path.session = 7; /* there is none */
        remove_stale(w, false, -1);
        assert_asked(0, 0);
        w->path.session = 0;
        remove_stale(w, false, -1);
        assert_asked(1, 0);
}

static void test_map_without_a_path(World *w, gconstpointer data)
{
        show(w, true, false);
        remove_stale(w, true, -1);
        assert_asked(0, 0);
        fake_helper_does(DL_HELPER_FLUSH_MAP, FAKE_ANSWER_FAILS, DL_ERROR_IN_USE);
        remove_stale(w, false, DL_ERROR_IN_USE);
        fake_helper_does(DL_HELPER_FLUSH_MAP, FAKE_ANSWER_DOES, 0);
        remove_stale(w, false, -1);
        assert_asked(0, 2);
}

/* "Nothing is stale" would not be true. */
static void test_too_early(World *w, gconstpointer data)
{
        show(w, true, false);
        w->core.core->are_devices_known = false;
        remove_stale(w, false, DL_ERROR_BUSY);
        w->core.core->are_devices_known = true;
        remove_stale(w, false, -1);
        assert_asked(0, 1);
}

int main(int argc, char **argv)
{
        g_test_init(&argc, &argv, NULL);
#define ADD(name, test) g_test_add("/remove-stale/" name, World, NULL, begin, test, end)
        ADD("way-is-down", test_way_is_down);
        ADD("map-without-a-path", test_map_without_a_path);
        ADD("too-early", test_too_early);
#undef ADD
        return g_test_run();
}
