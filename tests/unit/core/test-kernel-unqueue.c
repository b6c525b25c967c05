/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A VM that is powered off while its LUN has no path. One thread. */

#include "core/steps/kernel-unqueue.h"

#include "fake-kernel.h"
#include "fakes.h"

#include <string.h>
#include <sys/sysmacros.h>

#define GUID  FAKE_KERNEL_GUID
#define VM    "6695eb01-f6a4-8304-79aa-97f2502e193f"
#define OTHER "7695eb01-f6a4-8304-79aa-97f2502e193f"
#define SIZE  ((uint64_t)1 << 30)

typedef struct World {
        CoreFixture core;
        DlBlockDevice path, map;
        DlBlockLun lun;
} World;

static void begin(World *w, gconstpointer data)
{
        core_fixture_open(&w->core);
        fake_kernel_prepare(&w->core);
        fake_domain_add(VM, "a", DL_VIRT_RUNNING, true);
        fake_domain_add(OTHER, "b", DL_VIRT_RUNNING, true);
        core_fixture_start(&w->core);
        fake_kernel_start(&w->core);
        w->path = fake_block_path("sda", GUID, makedev(8, 0));
        w->map = fake_block_path("dm-0", GUID, makedev(254, 0));
        w->map.kind = DL_BLOCK_MAP;
        w->path.size = w->map.size = SIZE;
        w->map.node = (char *)FAKE_KERNEL_NODE;
        w->lun = (DlBlockLun){.guid = (char *)GUID,
                              .map = &w->map,
                              .paths = g_ptr_array_new(),
                              .holders = g_new0(char *, 1),
                              .node = FAKE_KERNEL_NODE};
        g_ptr_array_add(w->lun.paths, &w->path);
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

static DlVm *vm(World *w, const char *id)
{
        return DL_LOOKUP_VM(w->core.core, id);
}

static void attach(World *w, const char *id)
{
        DlDeviceSpec device = {.guid = GUID, .index = -1, .plug = 1, .shared = true};
        CoreResult result;
        DlRequest request = core_request(&w->core, &result);
        g_autoptr(GError) error = NULL;

        request.force = true; /* nobody can read what is on it */
        g_assert_nonnull(dl_flow_attach_disk(vm(w, id), &request, &device, &error));
        core_expect(&result, -1);
        core_fixture_settle(&w->core);
}

static void stop(World *w, const char *id, bool dry_run, int code)
{
        CoreResult result;
        DlRequest request = core_request(&w->core, &result);

        request.dry_run = dry_run;
        g_assert_nonnull(dl_flow_stop(vm(w, id), &request, false, NULL));
        core_expect(&result, code);
        core_fixture_settle(&w->core);
}

static void assert_asked(unsigned n)
{
        g_assert_cmpuint(fake_helper_n_asked(DL_HELPER_FAIL_QUEUED), ==, n);
}

static void test_dead(World *w, gconstpointer data)
{
        attach(w, VM);
        w->path.is_failed = true;
        stop(w, VM, true, -1);
        assert_asked(0);
        g_assert_true(dl_vm_is_active(vm(w, VM)));
        stop(w, VM, false, -1);
        assert_asked(1);
        g_assert_false(dl_vm_is_active(vm(w, VM)));
}

/* Nothing waits in it for long. */
static void test_alive(World *w, gconstpointer data)
{
        attach(w, VM);
        stop(w, VM, false, -1);
        assert_asked(0);
}

/* What the other one has written must not fail. */
static void test_shared(World *w, gconstpointer data)
{
        attach(w, VM);
        attach(w, OTHER);
        w->path.is_failed = true;
        stop(w, VM, false, -1);
        assert_asked(0);
        stop(w, OTHER, false, -1);
        assert_asked(1);
}

/* QEMU may end all the same; and if it does not, that is the error. */
static void test_fails(World *w, gconstpointer data)
{
        attach(w, VM);
        w->path.is_failed = true;
        fake_helper_does(DL_HELPER_FAIL_QUEUED, FAKE_ANSWER_FAILS, DL_ERROR_IN_USE);
        fake_virt_fail("destroy", DL_ERROR_LIBVIRT_ERROR, false);
        stop(w, VM, false, DL_ERROR_LIBVIRT_ERROR);
        stop(w, VM, false, -1);
        assert_asked(2);
}

/* The service ends in between. */
static void test_dropped(World *w, gconstpointer data)
{
        CoreResult result;
        DlRequest request = core_request(&w->core, &result);

        attach(w, VM);
        w->path.is_failed = true;
        fake_helper_does(DL_HELPER_FAIL_QUEUED, FAKE_ANSWER_IS_SILENT, 0);
        request = core_request(&w->core, &result);
        g_assert_nonnull(dl_flow_stop(vm(w, VM), &request, false, NULL));
        CORE_WAIT(&w->core, fake_helper_n_asked(DL_HELPER_FAIL_QUEUED) == 1);
        core_fixture_stop(&w->core);
        core_result_clear(&result);
}

int main(int argc, char **argv)
{
        g_test_init(&argc, &argv, NULL);
#define ADD(name, test) g_test_add("/kernel-unqueue/" name, World, NULL, begin, test, end)
        ADD("dead", test_dead);
        ADD("alive", test_alive);
        ADD("shared", test_shared);
        ADD("fails", test_fails);
        ADD("dropped", test_dropped);
#undef ADD
        return g_test_run();
}
