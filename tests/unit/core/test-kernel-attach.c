/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Targets by sessions of the kernel: who needs a connection that is not there, and who keeps one
 * from being ended. One thread.
 */

#include "core/model/explain.h"
#include "kernel-world.h"

#include <string.h>

static void look_at_portals(KernelWorld *w)
{
        CoreResult result;
        DlRequest request = core_request(&w->core, &result);

        g_assert_nonnull(dl_flow_rescan(w->target, &request, NULL));
        core_expect(&result, -1);
}

static void attach(KernelWorld *w, const char *data_path)
{
        DlDeviceSpec device = {.guid = GUID, .index = -1, .plug = -1, .data_path = data_path};
        DlRequest request = core_request(&w->core, &w->result);
        g_autoptr(GError) error = NULL;

        request.force = true; /* nobody can read what is on it */
        g_assert_nonnull(
                dl_flow_attach_disk(DL_LOOKUP_VM(w->core.core, VM), &request, &device, &error));
}

static bool goes_by_block(KernelWorld *w)
{
        g_autoptr(GPtrArray) all = dl_core_list(w->core.core, DL_KIND_ATTACHMENT);

        core_fixture_settle(&w->core);
        g_assert_cmpuint(all->len, ==, 1);
        return ((const DlAttachment *)all->pdata[0])->by_block;
}

static void attach_by_kernel(KernelWorld *w)
{
        look_at_portals(w);
        attach(w, w->spec.data_path);
        kernel_world_come(w);
        g_assert_true(goes_by_block(w));
        g_assert_true(dl_target_is_managed(w->target)); /* until its user runs, or none comes */
}

/* What Explain says that a disk would go by. */
static void expect_explained(KernelWorld *w, const char *data_path)
{
        g_autoptr(GPtrArray) facts = dl_lun_explain(DL_LOOKUP_LUN(w->core.core, GUID));

        for (unsigned i = 0; i < facts->len; i++) {
                const DlFact *fact = facts->pdata[i];

                if (strcmp(fact->about, "data-path") == 0) {
                        g_assert_cmpstr(fact->name, ==, data_path);
                        return;
                }
        }
        g_assert_not_reached();
}

static void test_attach_block(KernelWorld *w, gconstpointer data)
{
        attach_by_kernel(w);
}

static void test_attach_auto(KernelWorld *w, gconstpointer data)
{
        w->spec.data_path = NULL;
        look_at_portals(w);
        expect_explained(w, "block"); /* before the kernel has it */
        fake_host_has(false, true);
        expect_explained(w, "qemu");
        fake_host_has(true, true);
        attach_by_kernel(w);
        expect_explained(w, "block");
}

/* Somebody has connected it for QEMU: it stays so. */
static void test_attach_by_qemu(KernelWorld *w, gconstpointer data)
{
        w->spec.data_path = "qemu";
        kernel_world_connect(w);
        core_expect(&w->result, -1);
        expect_explained(w, "qemu");
        attach(w, NULL);
        core_expect(&w->result, -1);
        g_assert_false(goes_by_block(w));
        g_assert_cmpuint(fake_helper_n_asked(DL_HELPER_LOGIN), ==, 0);
}

/* ---- what is refused ----------------------------------------------------------------------- */

/* The kernel was logged in for it, and has it so that it is not given to a VM. */
static void attach_in_vain(KernelWorld *w, int code)
{
        look_at_portals(w);
        attach(w, w->spec.data_path);
        CORE_WAIT(&w->core, fake_kernel_n_disks() == 2);
        fake_kernel_map();
        w->mapped = true;
        kernel_world_show(w, true, "dm-0");
        core_expect(&w->result, code);
}

static void assert_not_attached(KernelWorld *w)
{
        g_autoptr(GPtrArray) all = dl_core_list(w->core.core, DL_KIND_ATTACHMENT);

        g_assert_cmpuint(all->len, ==, 0);
        g_assert_null(fake_domain_metadata(VM));
        CORE_WAIT(&w->core, g_hash_table_size(w->core.core->intents) == 0);
}

static void test_attach_without_path(KernelWorld *w, gconstpointer data)
{
        w->path.is_failed = true;
        attach_in_vain(w, DL_ERROR_LUN_NOT_VISIBLE);
        assert_not_attached(w);
}

static void test_attach_auto_without_path(KernelWorld *w, gconstpointer data)
{
        w->spec.data_path = NULL;
        w->path.is_failed = true;
        attach_in_vain(w, -1);
        g_assert_false(goes_by_block(w));
}

/* That is the LUN's own, whichever way. */
static void test_attach_auto_write_protected(KernelWorld *w, gconstpointer data)
{
        w->spec.data_path = NULL;
        w->map.read_only = true;
        attach_in_vain(w, DL_ERROR_INVALID_ARGS);
        assert_not_attached(w);
}

/* ---- the end of a connection --------------------------------------------------------------- */

static void expect_unmanage(KernelWorld *w, int code)
{
        DlRequest request = core_request(&w->core, &w->result);

        g_assert_nonnull(dl_flow_unmanage(w->target, &request, NULL));
        core_expect(&w->result, code);
}

/* Something on this host has it, as the helper finds out. */
static void test_leave_in_use(KernelWorld *w, gconstpointer data)
{
        kernel_world_connect(w);
        kernel_world_come(w);
        fake_helper_does(DL_HELPER_FLUSH_MAP, FAKE_ANSWER_FAILS, DL_ERROR_IN_USE);
        expect_unmanage(w, DL_ERROR_IN_USE);
        g_assert_cmpint(w->target->last_error.code, ==, DL_ERROR_IN_USE);
        g_assert_cmpuint(fake_kernel_n_sessions(), ==, 2);
        g_assert_cmpuint(fake_kernel_n_disks(), ==, 2);
        fake_helper_does(DL_HELPER_FLUSH_MAP, FAKE_ANSWER_DOES, 0);
        expect_unmanage(w, -1);
        g_assert_cmpuint(fake_kernel_n_sessions(), ==, 0);
}

/* The helper cannot tell what QEMU has: it is not even asked. */
static void test_leave_under_vm(KernelWorld *w, gconstpointer data)
{
        static const char *const anywhere[] = {NULL};
        DlRequest request = core_request(&w->core, &w->result);

        attach_by_kernel(w);
        request = core_request(&w->core, &w->result);
        g_assert_nonnull(dl_flow_run(DL_LOOKUP_VM(w->core.core, VM), &request, anywhere, NULL));
        core_expect(&w->result, -1);
        core_fixture_settle(&w->core);
        expect_unmanage(w, DL_ERROR_IN_USE);
        request = core_request(&w->core, &w->result);
        request.force = true;
        g_assert_nonnull(dl_flow_unmanage(w->target, &request, NULL));
        core_expect(&w->result, -1); /* who runs needs it all the same */
        g_assert_cmpuint(fake_helper_n_asked(DL_HELPER_FLUSH_MAP), ==, 0);
        g_assert_cmpuint(fake_helper_n_asked(DL_HELPER_LOGOUT), ==, 0);
        g_assert_cmpuint(fake_kernel_n_sessions(), ==, 2);
}

int main(int argc, char **argv)
{
        g_test_init(&argc, &argv, NULL);
#define ADD(name, n_portals, test)                                                                 \
        g_test_add("/kernel-attach/" name, KernelWorld, GINT_TO_POINTER(n_portals),                \
                   kernel_world_begin, test, kernel_world_end)
        ADD("attach-block", 2, test_attach_block);
        ADD("attach-auto", 2, test_attach_auto);
        ADD("attach-by-qemu", 2, test_attach_by_qemu);
        ADD("attach-without-path", 2, test_attach_without_path);
        ADD("attach-auto-without-path", 2, test_attach_auto_without_path);
        ADD("attach-auto-write-protected", 2, test_attach_auto_write_protected);
        ADD("leave-in-use", 2, test_leave_in_use);
        ADD("leave-under-vm", 2, test_leave_under_vm);
        return g_test_run();
}
