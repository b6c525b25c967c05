/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Targets by sessions of the kernel: what must be there before Connect answers. One thread. */

#include "core/model/lun-kernel.h"
#include "core/steps/kernel-connect.h"
#include "host/kernel-sessions.h"
#include "kernel-world.h"

#include <string.h>

/* It is not answered so far. The looks now and then are waited for, too. */
static void assert_waits(KernelWorld *w)
{
        uint64_t until = dl_now() + 600000;

        while (dl_now() < until) {
                g_assert_cmpint(sd_event_run(w->core.event, 50000), >=, 0);
                g_assert_cmpuint(w->result.n_done, ==, 0);
        }
}

/* ---- the lasting name ---------------------------------------------------------------------- */

static void test_name_of_map(KernelWorld *w, gconstpointer data)
{
        kernel_world_connect(w);
        CORE_WAIT(&w->core, fake_kernel_n_disks() == 2);
        fake_kernel_map();
        assert_waits(w); /* nothing is known of it */
        kernel_world_show(w, true, NULL);
        assert_waits(w); /* udev is making the name */
        kernel_world_show(w, true, "sda");
        assert_waits(w); /* another has it */
        kernel_world_show(w, true, "dm-0");
        core_expect(&w->result, -1);
        g_assert_true(w->target->by_kernel);
        g_assert_cmpint(w->target->state, ==, DL_TARGET_CONNECTED);
}

static void test_name_of_disk(KernelWorld *w, gconstpointer data)
{
        fake_host_has(true, false);
        kernel_world_connect(w);
        CORE_WAIT(&w->core, fake_kernel_n_disks() == 1);
        kernel_world_show(w, false, NULL);
        assert_waits(w);
        kernel_world_show(w, false, "sda");
        core_expect(&w->result, -1);
}

/* The news of the device ends the wait, not the next look. */
static void test_by_event(KernelWorld *w, gconstpointer data)
{
        kernel_world_connect(w);
        CORE_WAIT(&w->core, fake_kernel_n_disks() == 2);
        fake_kernel_map();
        core_fixture_settle(&w->core);
        uint64_t told = dl_now();
        kernel_world_show(w, true, "dm-0");
        core_expect(&w->result, -1);
        g_assert_cmpuint(dl_now() - told, <, 400000);
}

/* ---- auto ---------------------------------------------------------------------------------- */

static void assert_by_qemu(KernelWorld *w, const char *why)
{
        core_expect(&w->result, -1);
        g_assert_cmpstr(dl_target_data_path(w->target), ==, "qemu");
        if (!strstr(w->target->data_path_why, why))
                g_error("not '%s' but '%s'", why, w->target->data_path_why);
        g_assert_cmpint(w->target->state, ==, DL_TARGET_CONNECTED);
        g_assert_cmpint(w->target->last_error.code, <, 0);
        CORE_WAIT(&w->core, fake_kernel_n_sessions() == 0);
}

static void set_default(KernelWorld *w, const char *data_path)
{
        g_free(w->core.settings->data_path);
        w->core.settings->data_path = g_strdup(data_path);
}

static void test_auto(KernelWorld *w, gconstpointer data)
{
        w->spec.data_path = NULL;
        kernel_world_connect(w);
        kernel_world_come(w);
        g_assert_cmpstr(w->target->data_path_why, ==, "this host has what it takes");
        g_assert_cmpuint(core_fixture_saw(&w->core, "changed target " IQN), >, 0);

        kernel_world_connect(w); /* what is there is used */
        core_expect(&w->result, -1);
        g_assert_cmpuint(fake_helper_n_asked(DL_HELPER_LOGIN), ==, 2);
}

static void test_setting(KernelWorld *w, gconstpointer data)
{
        w->spec.data_path = "auto";
        set_default(w, "qemu");
        kernel_world_connect(w);
        assert_by_qemu(w, "setting DataPath");
        g_assert_cmpuint(fake_helper_n_asked(DL_HELPER_LOGIN), ==, 0);

        set_default(w, "block");
        kernel_world_connect(w);
        kernel_world_come(w);
        w->spec.data_path = "qemu"; /* somebody else needs the kernel's */
        kernel_world_connect(w);
        core_expect(&w->result, -1);
        g_assert_true(w->target->by_kernel);
}

static void test_lacks_means(KernelWorld *w, gconstpointer data)
{
        w->spec.data_path = "auto";
        fake_host_has(false, true);
        kernel_world_connect(w);
        assert_by_qemu(w, "iscsid does not run");
        fake_host_has(true, false);
        kernel_world_connect(w);
        assert_by_qemu(w, "multipathd does not run");
        fake_host_has(true, true);
        g_free(w->core.settings->helper_socket);
        w->core.settings->helper_socket = g_strdup("/nonexistent/socket");
        kernel_world_connect(w);
        assert_by_qemu(w, "no directlun-helper.socket");
        g_assert_cmpuint(fake_helper_n_asked(DL_HELPER_LOGIN), ==, 0);
}

/* That it lacks them turns out only when they are used. */
static void test_host_fails(KernelWorld *w, gconstpointer data)
{
        w->spec.data_path = "auto";
        for (FakeAnswer answer = FAKE_ANSWER_FAILS; answer <= FAKE_ANSWER_IS_LONG; answer++) {
                if (answer == FAKE_ANSWER_IS_SILENT) /* takes its time: see the bus tier */
                        continue;
                fake_helper_does(DL_HELPER_LOGIN, answer, DL_ERROR_FAILED);
                kernel_world_connect(w);
                assert_by_qemu(w, "this host's kernel could not: ");
        }
}

static void test_target_fails(KernelWorld *w, gconstpointer data)
{
        static const int codes[] = {DL_ERROR_AUTH_FAILED, DL_ERROR_PORTAL_UNREACHABLE,
                                    DL_ERROR_TARGET_NOT_FOUND};

        w->spec.data_path = "auto";
        for (size_t i = 0; i < G_N_ELEMENTS(codes); i++) {
                fake_helper_does(DL_HELPER_LOGIN, FAKE_ANSWER_FAILS, codes[i]);
                kernel_world_connect(w);
                core_expect(&w->result, codes[i]);
                g_assert_false(w->target->by_kernel);
        }
        fake_portal_fails("192.0.2.1", DL_ERROR_PORTAL_UNREACHABLE);
        fake_portal_fails("192.0.2.2", DL_ERROR_PORTAL_UNREACHABLE);
        kernel_world_connect(w);
        core_expect(&w->result, DL_ERROR_PORTAL_UNREACHABLE);
        g_assert_cmpuint(fake_helper_n_asked(DL_HELPER_LOGIN), ==, 6);
}

/* ---- interfaces ---------------------------------------------------------------------------- */

static const char *const two_interfaces[] = {"one", "two", NULL};

static void test_interfaces(KernelWorld *w, gconstpointer data)
{
        w->spec.interfaces = two_interfaces;
        w->spec.data_path = NULL; /* QEMU knows nothing of them */
        kernel_world_connect(w);
        CORE_WAIT(&w->core, fake_kernel_n_disks() == 4);
        g_assert_cmpuint(fake_kernel_n_sessions(), ==, 4);
        g_assert_cmpstr(fake_helper_iface(), ==, "two");
        fake_kernel_map();
        kernel_world_show(w, true, "dm-0");
        core_expect(&w->result, -1);
        g_assert_true(dl_kernel_is_complete(w->target));
        g_autofree char *row = core_fixture_row(&w->core, "target/" IQN);
        g_assert_nonnull(strstr(row, "\"interfaces\":\"one two\""));

        w->spec.interfaces = NULL; /* they stay, for whoever has asked for them */
        kernel_world_connect(w);
        core_expect(&w->result, -1);
        g_assert_cmpuint(fake_kernel_n_sessions(), ==, 4);
        fake_kernel_drop_sessions();
        g_assert_false(dl_kernel_is_complete(w->target));
        fake_kernel_add_session("one", IQN, "192.0.2.1"); /* whoever makes it */
        kernel_world_connect(w);
        CORE_WAIT(&w->core, fake_kernel_n_sessions() == 4);
        g_assert_cmpuint(fake_helper_n_asked(DL_HELPER_LOGIN), ==, 7);
}

static void test_no_such_interface(KernelWorld *w, gconstpointer data)
{
        w->spec.interfaces = two_interfaces;
        w->spec.data_path = NULL;
        fake_kernel_add_session("default", IQN, "192.0.2.1"); /* which is no way out */
        fake_helper_does(DL_HELPER_LOGIN, FAKE_ANSWER_FAILS, DL_ERROR_INVALID_ARGS);
        kernel_world_connect(w);
        core_expect(&w->result, DL_ERROR_INVALID_ARGS);
        g_assert_null(w->target->interfaces);
        g_assert_false(w->target->by_kernel);
}

/* ---- what is refused ----------------------------------------------------------------------- */

static void test_paths_differ(KernelWorld *w, gconstpointer data)
{
        fake_kernel_next_disk(true, 0);
        kernel_world_connect(w);
        core_expect(&w->result, DL_ERROR_PATHS_INCONSISTENT);
        CORE_WAIT(&w->core, fake_kernel_n_sessions() == 0);
        fake_kernel_next_disk(false, 16);
        kernel_world_connect(w);
        core_expect(&w->result, DL_ERROR_PATHS_INCONSISTENT);
        CORE_WAIT(&w->core, fake_kernel_n_sessions() == 0);
        g_assert_cmpuint(fake_kernel_n_disks(), ==, 0);
}

int main(int argc, char **argv)
{
        g_test_init(&argc, &argv, NULL);
#define ADD(name, n_portals, test)                                                                 \
        g_test_add("/kernel-connect/" name, KernelWorld, GINT_TO_POINTER(n_portals),               \
                   kernel_world_begin, test, kernel_world_end)
        ADD("name-of-map", 2, test_name_of_map);
        ADD("name-of-disk", 1, test_name_of_disk);
        ADD("by-event", 2, test_by_event);
        ADD("auto", 2, test_auto);
        ADD("setting", 2, test_setting);
        ADD("lacks-means", 2, test_lacks_means);
        ADD("host-fails", 2, test_host_fails);
        ADD("target-fails", 2, test_target_fails);
        ADD("interfaces", 2, test_interfaces);
        ADD("no-such-interface", 2, test_no_such_interface);
        ADD("paths-differ", 2, test_paths_differ);
        return g_test_run();
}
