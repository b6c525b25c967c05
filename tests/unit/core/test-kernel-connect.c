/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Targets by sessions of the kernel: what must be there before Connect answers. One thread. */

#include "core/model/explain.h"
#include "core/model/lun-kernel.h"
#include "core/steps/kernel-connect.h"
#include "fake-kernel.h"
#include "fakes.h"
#include "host/kernel-sessions.h"

#include <string.h>
#include <sys/sysmacros.h>

#define IQN  "iqn.2026-11.org.example:t"
#define GUID FAKE_KERNEL_GUID
#define VM   "6695eb01-f6a4-8304-79aa-97f2502e193f"
#define SIZE 4096

static const FakeLun luns[] = {{.number = 1, .guid = GUID, .serial = "s", .capacity = SIZE}};

typedef struct World {
        CoreFixture core;
        DlBlockDevice path, map;
        DlBlockLun kernel;
        DlTarget *target;
        DlConnectSpec spec;
        CoreResult result;
        bool mapped; /* multipath makes a map once */
} World;

static const char *const guids[] = {GUID, NULL};

static void begin(World *w, gconstpointer n_portals)
{
        core_fixture_open(&w->core);
        fake_kernel_prepare(&w->core);
        fake_domain_add(VM, "a", DL_VIRT_SHUTOFF, true);
        core_fixture_start(&w->core);
        fake_kernel_start(&w->core);
        w->target = dl_target_ensure(w->core.core, IQN, NULL);
        for (int i = 1; i <= GPOINTER_TO_INT(n_portals); i++) {
                g_autofree char *address = g_strdup_printf("192.0.2.%d", i);

                fake_portal_shows(address, luns, G_N_ELEMENTS(luns));
                dl_target_add_portal(w->target, address, 3260, 1);
        }
        w->path = fake_block_path("sda", GUID, makedev(8, 0));
        w->map = fake_block_path("dm-0", GUID, makedev(8, 0));
        w->kernel = (DlBlockLun){.guid = (char *)GUID,
                                 .paths = g_ptr_array_new(),
                                 .holders = g_new0(char *, 1),
                                 .node = ""};
        g_ptr_array_add(w->kernel.paths, &w->path);
        w->spec = (DlConnectSpec){.guids = guids, .data_path = "block"};
}

static void end(World *w, gconstpointer data)
{
        fake_kernel_end();
        core_fixture_close(&w->core);
        g_ptr_array_unref(w->kernel.paths);
        g_strfreev(w->kernel.holders);
        fake_iscsi_forget();
        fake_virt_forget();
        fake_block_forget();
}

static void ask(World *w)
{
        DlRequest request = core_request(&w->core, &w->result);
        g_autoptr(GError) error = NULL;

        g_assert_nonnull(dl_flow_connect(w->target, &request, &w->spec, &error));
}

/* What udev and multipath make of the LUN, and which device has the lasting name; NULL: none. */
static void show(World *w, bool map, const char *named)
{
        w->kernel.map = map ? &w->map : NULL;
        w->kernel.node = FAKE_KERNEL_NODE;
        fake_kernel_name(named);
        fake_block_shows(GUID, &w->kernel);
}

/* It is not answered so far. The looks now and then are waited for, too. */
static void assert_waits(World *w)
{
        uint64_t until = dl_now() + 600000;

        while (dl_now() < until) {
                g_assert_cmpint(sd_event_run(w->core.event, 50000), >=, 0);
                g_assert_cmpuint(w->result.n_done, ==, 0);
        }
}

/* ---- the lasting name ---------------------------------------------------------------------- */

static void test_name_of_map(World *w, gconstpointer data)
{
        ask(w);
        CORE_WAIT(&w->core, fake_kernel_n_disks() == 2);
        fake_kernel_map();
        assert_waits(w); /* nothing is known of it */
        show(w, true, NULL);
        assert_waits(w); /* udev is making the name */
        show(w, true, "sda");
        assert_waits(w); /* another has it */
        show(w, true, "dm-0");
        core_expect(&w->result, -1);
        g_assert_true(w->target->by_kernel);
        g_assert_cmpint(w->target->state, ==, DL_TARGET_CONNECTED);
}

static void test_name_of_disk(World *w, gconstpointer data)
{
        fake_host_has(true, false);
        ask(w);
        CORE_WAIT(&w->core, fake_kernel_n_disks() == 1);
        show(w, false, NULL);
        assert_waits(w);
        show(w, false, "sda");
        core_expect(&w->result, -1);
}

/* The news of the device ends the wait, not the next look. */
static void test_by_event(World *w, gconstpointer data)
{
        ask(w);
        CORE_WAIT(&w->core, fake_kernel_n_disks() == 2);
        fake_kernel_map();
        core_fixture_settle(&w->core);
        uint64_t told = dl_now();
        show(w, true, "dm-0");
        core_expect(&w->result, -1);
        g_assert_cmpuint(dl_now() - told, <, 400000);
}

/* ---- auto ---------------------------------------------------------------------------------- */

/* It is the kernel: the sessions, the LUN, its map and its name are made. */
static void come_by_kernel(World *w)
{
        CORE_WAIT(&w->core, fake_kernel_n_disks() == 2);
        fake_kernel_map();
        w->mapped = true;
        show(w, true, "dm-0");
        core_expect(&w->result, -1);
        g_assert_cmpstr(dl_target_data_path(w->target), ==, "block");
}

static void assert_by_qemu(World *w, const char *why)
{
        core_expect(&w->result, -1);
        g_assert_cmpstr(dl_target_data_path(w->target), ==, "qemu");
        if (!strstr(w->target->data_path_why, why))
                g_error("not '%s' but '%s'", why, w->target->data_path_why);
        g_assert_cmpint(w->target->state, ==, DL_TARGET_CONNECTED);
        g_assert_cmpint(w->target->last_error.code, <, 0);
        CORE_WAIT(&w->core, fake_kernel_n_sessions() == 0);
}

static void set_default(World *w, const char *data_path)
{
        g_free(w->core.settings->data_path);
        w->core.settings->data_path = g_strdup(data_path);
}

static void test_auto(World *w, gconstpointer data)
{
        w->spec.data_path = NULL;
        ask(w);
        come_by_kernel(w);
        g_assert_cmpstr(w->target->data_path_why, ==, "this host has what it takes");
        g_assert_cmpuint(core_fixture_saw(&w->core, "changed target " IQN), >, 0);

        ask(w); /* what is there is used */
        core_expect(&w->result, -1);
        g_assert_cmpuint(fake_helper_n_asked(DL_HELPER_LOGIN), ==, 2);
}

static void test_setting(World *w, gconstpointer data)
{
        w->spec.data_path = "auto";
        set_default(w, "qemu");
        ask(w);
        assert_by_qemu(w, "setting DataPath");
        g_assert_cmpuint(fake_helper_n_asked(DL_HELPER_LOGIN), ==, 0);

        set_default(w, "block");
        ask(w);
        come_by_kernel(w);
        w->spec.data_path = "qemu"; /* somebody else needs the kernel's */
        ask(w);
        core_expect(&w->result, -1);
        g_assert_true(w->target->by_kernel);
}

static void test_lacks_means(World *w, gconstpointer data)
{
        w->spec.data_path = "auto";
        fake_host_has(false, true);
        ask(w);
        assert_by_qemu(w, "iscsid does not run");
        fake_host_has(true, false);
        ask(w);
        assert_by_qemu(w, "multipathd does not run");
        fake_host_has(true, true);
        g_free(w->core.settings->helper_socket);
        w->core.settings->helper_socket = g_strdup("/nonexistent/socket");
        ask(w);
        assert_by_qemu(w, "no directlun-helper.socket");
        g_assert_cmpuint(fake_helper_n_asked(DL_HELPER_LOGIN), ==, 0);
}

/* That it lacks them turns out only when they are used. */
static void test_host_fails(World *w, gconstpointer data)
{
        w->spec.data_path = "auto";
        for (FakeAnswer answer = FAKE_ANSWER_FAILS; answer <= FAKE_ANSWER_IS_LONG; answer++) {
                if (answer == FAKE_ANSWER_IS_SILENT) /* takes its time: see the bus tier */
                        continue;
                fake_helper_does(DL_HELPER_LOGIN, answer, DL_ERROR_FAILED);
                ask(w);
                assert_by_qemu(w, "this host's kernel could not: ");
        }
}

static void test_target_fails(World *w, gconstpointer data)
{
        static const int codes[] = {DL_ERROR_AUTH_FAILED, DL_ERROR_PORTAL_UNREACHABLE,
                                    DL_ERROR_TARGET_NOT_FOUND};

        w->spec.data_path = "auto";
        for (size_t i = 0; i < G_N_ELEMENTS(codes); i++) {
                fake_helper_does(DL_HELPER_LOGIN, FAKE_ANSWER_FAILS, codes[i]);
                ask(w);
                core_expect(&w->result, codes[i]);
                g_assert_false(w->target->by_kernel);
        }
        fake_portal_fails("192.0.2.1", DL_ERROR_PORTAL_UNREACHABLE);
        fake_portal_fails("192.0.2.2", DL_ERROR_PORTAL_UNREACHABLE);
        ask(w);
        core_expect(&w->result, DL_ERROR_PORTAL_UNREACHABLE);
        g_assert_cmpuint(fake_helper_n_asked(DL_HELPER_LOGIN), ==, 6);
}

/* ---- who needs a connection that is not there ----------------------------------------------- */

static void look_at_portals(World *w)
{
        CoreResult result;
        DlRequest request = core_request(&w->core, &result);

        g_assert_nonnull(dl_flow_rescan(w->target, &request, NULL));
        core_expect(&result, -1);
}

static void attach(World *w, const char *data_path)
{
        DlDeviceSpec device = {.guid = GUID, .index = -1, .plug = -1, .data_path = data_path};
        DlRequest request = core_request(&w->core, &w->result);
        g_autoptr(GError) error = NULL;

        request.force = true; /* nobody can read what is on it */
        g_assert_nonnull(
                dl_flow_attach_disk(DL_LOOKUP_VM(w->core.core, VM), &request, &device, &error));
}

static bool goes_by_block(World *w)
{
        g_autoptr(GPtrArray) all = dl_core_list(w->core.core, DL_KIND_ATTACHMENT);

        core_fixture_settle(&w->core);
        g_assert_cmpuint(all->len, ==, 1);
        return ((const DlAttachment *)all->pdata[0])->by_block;
}

static void attach_by_kernel(World *w)
{
        look_at_portals(w);
        attach(w, w->spec.data_path);
        come_by_kernel(w);
        g_assert_true(goes_by_block(w));
        g_assert_true(dl_target_is_managed(w->target)); /* until its user runs, or none comes */
}

static void test_attach_block(World *w, gconstpointer data)
{
        attach_by_kernel(w);
}

/* What Explain says that a disk would go by. */
static void expect_explained(World *w, const char *data_path)
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

static void test_attach_auto(World *w, gconstpointer data)
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
static void test_attach_by_qemu(World *w, gconstpointer data)
{
        w->spec.data_path = "qemu";
        ask(w);
        core_expect(&w->result, -1);
        expect_explained(w, "qemu");
        attach(w, NULL);
        core_expect(&w->result, -1);
        g_assert_false(goes_by_block(w));
        g_assert_cmpuint(fake_helper_n_asked(DL_HELPER_LOGIN), ==, 0);
}

/* ---- interfaces ---------------------------------------------------------------------------- */

static const char *const two_interfaces[] = {"one", "two", NULL};

static void test_interfaces(World *w, gconstpointer data)
{
        w->spec.interfaces = two_interfaces;
        w->spec.data_path = NULL; /* QEMU knows nothing of them */
        ask(w);
        CORE_WAIT(&w->core, fake_kernel_n_disks() == 4);
        g_assert_cmpuint(fake_kernel_n_sessions(), ==, 4);
        g_assert_cmpstr(fake_helper_iface(), ==, "two");
        fake_kernel_map();
        show(w, true, "dm-0");
        core_expect(&w->result, -1);
        g_assert_true(dl_kernel_is_complete(w->target));
        g_autofree char *row = core_fixture_row(&w->core, "target/" IQN);
        g_assert_nonnull(strstr(row, "\"interfaces\":\"one two\""));

        w->spec.interfaces = NULL; /* they stay, for whoever has asked for them */
        ask(w);
        core_expect(&w->result, -1);
        g_assert_cmpuint(fake_kernel_n_sessions(), ==, 4);
        fake_kernel_drop_sessions();
        g_assert_false(dl_kernel_is_complete(w->target));
        fake_kernel_add_session("one", IQN, "192.0.2.1"); /* whoever makes it */
        ask(w);
        CORE_WAIT(&w->core, fake_kernel_n_sessions() == 4);
        g_assert_cmpuint(fake_helper_n_asked(DL_HELPER_LOGIN), ==, 7);
}

static void test_no_such_interface(World *w, gconstpointer data)
{
        w->spec.interfaces = two_interfaces;
        w->spec.data_path = NULL;
        fake_kernel_add_session("default", IQN, "192.0.2.1"); /* which is no way out */
        fake_helper_does(DL_HELPER_LOGIN, FAKE_ANSWER_FAILS, DL_ERROR_INVALID_ARGS);
        ask(w);
        core_expect(&w->result, DL_ERROR_INVALID_ARGS);
        g_assert_null(w->target->interfaces);
        g_assert_false(w->target->by_kernel);
}

/* ---- what is refused ------------------------------------------------------------------------ */

static void test_paths_differ(World *w, gconstpointer data)
{
        fake_kernel_next_disk(true, 0);
        ask(w);
        core_expect(&w->result, DL_ERROR_PATHS_INCONSISTENT);
        CORE_WAIT(&w->core, fake_kernel_n_sessions() == 0);
        fake_kernel_next_disk(false, 16);
        ask(w);
        core_expect(&w->result, DL_ERROR_PATHS_INCONSISTENT);
        CORE_WAIT(&w->core, fake_kernel_n_sessions() == 0);
        g_assert_cmpuint(fake_kernel_n_disks(), ==, 0);
}

/* The kernel was logged in for it, and has it so that it is not given to a VM. */
static void attach_in_vain(World *w, int code)
{
        look_at_portals(w);
        attach(w, w->spec.data_path);
        CORE_WAIT(&w->core, fake_kernel_n_disks() == 2);
        fake_kernel_map();
        w->mapped = true;
        show(w, true, "dm-0");
        core_expect(&w->result, code);
}

static void assert_not_attached(World *w)
{
        g_autoptr(GPtrArray) all = dl_core_list(w->core.core, DL_KIND_ATTACHMENT);

        g_assert_cmpuint(all->len, ==, 0);
        g_assert_null(fake_domain_metadata(VM));
        CORE_WAIT(&w->core, g_hash_table_size(w->core.core->intents) == 0);
}

static void test_attach_without_path(World *w, gconstpointer data)
{
        w->path.is_failed = true;
        attach_in_vain(w, DL_ERROR_LUN_NOT_VISIBLE);
        assert_not_attached(w);
}

static void test_attach_auto_without_path(World *w, gconstpointer data)
{
        w->spec.data_path = NULL;
        w->path.is_failed = true;
        attach_in_vain(w, -1);
        g_assert_false(goes_by_block(w));
}

/* That is the LUN's own, whichever way. */
static void test_attach_auto_write_protected(World *w, gconstpointer data)
{
        w->spec.data_path = NULL;
        w->map.read_only = true;
        attach_in_vain(w, DL_ERROR_INVALID_ARGS);
        assert_not_attached(w);
}

static void expect_unmanage(World *w, int code)
{
        DlRequest request = core_request(&w->core, &w->result);

        g_assert_nonnull(dl_flow_unmanage(w->target, &request, NULL));
        core_expect(&w->result, code);
}

/* Something on this host has it, as the helper finds out. */
static void test_leave_in_use(World *w, gconstpointer data)
{
        ask(w);
        come_by_kernel(w);
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
static void test_leave_under_vm(World *w, gconstpointer data)
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

/* ---- the service dies ----------------------------------------------------------------------- */

#define FOREIGN_IQN "iqn.2026-11.org.example:of-others"

/* The next one, of the same host. */
static void die_and_start(World *w)
{
        core_fixture_stop(&w->core);
        core_fixture_start_early(&w->core);
        fake_kernel_start(&w->core);
        CORE_WAIT(&w->core, w->core.ready);
        w->target = DL_LOOKUP_TARGET(w->core.core, IQN);
        w->result = (CoreResult){};
}

/* multipath and udev do their part as soon as they can. */
static void turn(World *w)
{
        if (fake_kernel_n_disks() == 2 && !w->mapped) {
                w->mapped = true;
                fake_kernel_map();
                show(w, true, "dm-0");
        }
        g_assert_cmpint(sd_event_run(w->core.event, 20000), >=, 0);
}

/* Whether it was over before its so-many-th turn. */
static bool die_after(World *w, unsigned n_turns)
{
        bool over = false;

        for (unsigned i = 0; i < n_turns && !over; i++) {
                turn(w);
                over = w->result.n_done > 0;
        }
        if (over)
                core_result_clear(&w->result);
        die_and_start(w);
        return over;
}

static bool is_as_before(World *w)
{
        return fake_kernel_n_sessions() == 1 && fake_kernel_n_disks() == 0 &&
               !fake_kernel_has_map() &&
               (!w->target || (w->target->state == DL_TARGET_DISCONNECTED && !w->target->pinned));
}

static bool is_pinned(World *w)
{
        return fake_kernel_n_sessions() == 3 && w->target && w->target->pinned &&
               w->target->by_kernel && w->target->state == DL_TARGET_CONNECTED;
}

static void assert_settled(World *w, bool pinned)
{
        CORE_WAIT(&w->core, pinned ? is_pinned(w) : is_as_before(w));
        core_fixture_settle(&w->core);
        g_assert_cmpuint(g_hash_table_size(w->core.core->intents), ==, 0);
        g_assert_null(DL_LOOKUP_TARGET(w->core.core, FOREIGN_IQN));
}

typedef void (*Begin)(World *w);

/* Every turn of the loop. A promise that was kept in the store holds: what is pinned comes back. */
static void walk(Begin operation, bool pin, bool was_connected)
{
        bool over = false;
        unsigned n_turns, n_kept = 0;

        for (n_turns = 0; !over; n_turns++) {
                World w = {};

                begin(&w, GINT_TO_POINTER(2));
                fake_kernel_add_session("default", FOREIGN_IQN, "192.0.2.9");
                w.spec.pin = pin;
                if (was_connected) {
                        ask(&w);
                        come_by_kernel(&w);
                }
                operation(&w);
                over = die_after(&w, n_turns);
                n_kept += w.target && w.target->pinned;
                assert_settled(&w, w.target && w.target->pinned);
                end(&w, NULL);
        }
        g_test_message("%u turns, after %u of them it was pinned", n_turns, n_kept);
        g_assert_cmpuint(n_turns, >, 5);
        g_assert_cmpuint(n_kept > 0, ==, pin);
        g_assert_cmpuint(n_kept, <, n_turns);
}

static void begin_unmanage(World *w)
{
        DlRequest request = core_request(&w->core, &w->result);

        g_assert_nonnull(dl_flow_unmanage(w->target, &request, NULL));
}

static void ask_in_vain(World *w)
{
        w->spec.n_paths = 3; /* when all that can be is there */
        ask(w);
}

static void test_killed_connect(void)
{
        walk(ask, false, false);
}

static void test_killed_connect_pinned(void)
{
        walk(ask, true, false);
}

static void test_killed_undo(void)
{
        walk(ask_in_vain, false, false);
}

static void test_killed_unmanage(void)
{
        walk(begin_unmanage, true, true);
}

/* What open-iscsi's daemon was asked for comes although nobody waits for it any more. */
static void expect_late_login_to_end(World *w, bool cancelled)
{
        fake_helper_does(DL_HELPER_LOGIN, FAKE_ANSWER_IS_SILENT, 0);
        ask(w);
        CORE_WAIT(&w->core, fake_helper_n_asked(DL_HELPER_LOGIN) == 1);
        if (cancelled) {
                g_autoptr(GPtrArray) jobs = dl_core_list(w->core.core, DL_KIND_JOB);

                g_assert_true(dl_job_cancel(jobs->pdata[0], NULL));
                core_expect(&w->result, DL_ERROR_CANCELLED);
        } else {
                die_and_start(w);
        }
        fake_kernel_add_session(DL_KERNEL_IFACE, IQN, "192.0.2.1");
        CORE_WAIT(&w->core, fake_kernel_n_sessions() == 0);
}

static void test_late_login_of_cancelled(World *w, gconstpointer data)
{
        expect_late_login_to_end(w, true);
}

static void test_late_login_of_killed(World *w, gconstpointer data)
{
        expect_late_login_to_end(w, false);
}

int main(int argc, char **argv)
{
        g_test_init(&argc, &argv, NULL);
#define ADD(name, n_portals, test)                                                                 \
        g_test_add("/kernel-connect/" name, World, GINT_TO_POINTER(n_portals), begin, test, end)
        ADD("name-of-map", 2, test_name_of_map);
        ADD("name-of-disk", 1, test_name_of_disk);
        ADD("by-event", 2, test_by_event);
        ADD("auto", 2, test_auto);
        ADD("setting", 2, test_setting);
        ADD("lacks-means", 2, test_lacks_means);
        ADD("host-fails", 2, test_host_fails);
        ADD("target-fails", 2, test_target_fails);
        ADD("attach-block", 2, test_attach_block);
        ADD("attach-auto", 2, test_attach_auto);
        ADD("attach-by-qemu", 2, test_attach_by_qemu);
        ADD("paths-differ", 2, test_paths_differ);
        ADD("attach-without-path", 2, test_attach_without_path);
        ADD("attach-auto-without-path", 2, test_attach_auto_without_path);
        ADD("attach-auto-write-protected", 2, test_attach_auto_write_protected);
        ADD("leave-in-use", 2, test_leave_in_use);
        ADD("leave-under-vm", 2, test_leave_under_vm);
        ADD("interfaces", 2, test_interfaces);
        ADD("no-such-interface", 2, test_no_such_interface);
        g_test_add_func("/kernel-connect/killed", test_killed_connect);
        g_test_add_func("/kernel-connect/killed-pinned", test_killed_connect_pinned);
        g_test_add_func("/kernel-connect/killed-undo", test_killed_undo);
        g_test_add_func("/kernel-connect/killed-unmanage", test_killed_unmanage);
        ADD("late-login-of-cancelled", 1, test_late_login_of_cancelled);
        ADD("late-login-of-killed", 1, test_late_login_of_killed);
        return g_test_run();
}
