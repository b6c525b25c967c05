/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The kernel's sessions, in a sysfs made of plain files. One thread. */

#include "host/kernel-sessions.h"

#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#define IQN "iqn.2026-01.org.example:a"

typedef struct Sysfs {
        char *path;
} Sysfs;

static void put(const Sysfs *s, const char *text, const char *format, ...) G_GNUC_PRINTF(3, 4);

static void put(const Sysfs *s, const char *text, const char *format, ...)
{
        va_list arguments;
        g_autofree char *file = NULL, *path = NULL, *directory = NULL;

        va_start(arguments, format);
        file = g_strdup_vprintf(format, arguments);
        va_end(arguments);
        path = g_build_filename(s->path, file, NULL);
        directory = g_path_get_dirname(path);
        g_assert_cmpint(g_mkdir_with_parents(directory, 0700), ==, 0);
        g_assert_true(g_file_set_contents(path, text, -1, NULL));
}

/* As the kernel has it: below its host, and a link in each class. */
static void add_session(const Sysfs *s, unsigned sid, unsigned host, const char *iqn,
                        const char *address, const char *iface, const char *state)
{
        g_autofree char *device = g_strdup_printf("devices/platform/host%u/session%u", host, sid);
        g_autofree char *own = g_strdup_printf("%s/iscsi_session/session%u", device, sid);
        g_autofree char *to = g_strdup_printf("../../%s", own);
        g_autofree char *link = g_strdup_printf("%s/class/iscsi_session/session%u", s->path, sid);
        g_autofree char *back = g_strdup_printf("%s/%s/device", s->path, own);

        put(s, iqn, "%s/targetname", own);
        put(s, iface, "%s/ifacename", own);
        put(s, state, "%s/state", own);
        put(s, "1\n", "%s/tpgt", own);
        put(s, "0\n", "%s/target_id", own);
        put(s, address, "class/iscsi_connection/connection%u:0/persistent_address", sid);
        put(s, "3260\n", "class/iscsi_connection/connection%u:0/persistent_port", sid);
        g_assert_cmpint(symlink("../../../session", back), ==, 0);
        g_assert_cmpint(unlink(back), ==, 0);
        g_autofree char *up = g_strdup_printf("../../../session%u", sid);
        g_assert_cmpint(symlink(up, back), ==, 0);
        g_autofree char *classes = g_build_filename(s->path, "class/iscsi_session", NULL);
        g_assert_cmpint(g_mkdir_with_parents(classes, 0700), ==, 0);
        g_assert_cmpint(symlink(to, link), ==, 0);
}

static void begin(Sysfs *s, gconstpointer data)
{
        s->path = g_dir_make_tmp("directlun-sysfs-XXXXXX", NULL);
}

static void finish(Sysfs *s, gconstpointer data)
{
        const char *argv[] = {"rm", "-rf", s->path, NULL};

        g_assert_true(g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL,
                                   NULL, NULL, NULL));
        g_free(s->path);
}

static void test_none(Sysfs *s, gconstpointer data)
{
        g_autoptr(GPtrArray) sessions = dl_kernel_sessions(s->path, NULL);

        g_assert_cmpuint(sessions->len, ==, 0);
}

static void test_sessions(Sysfs *s, gconstpointer data)
{
        add_session(s, 10, 4, IQN "\n", "2001:db8::1\n", "directlun-eth1\n", "FAILED\n");
        add_session(s, 2, 3, IQN "\n", "192.0.2.1\n", "directlun\n", "LOGGED_IN\n");
        add_session(s, 3, 5, "iqn.other\n", "192.0.2.2\n", "default\n", "LOGGED_IN\n");
        add_session(s, 4, 6, IQN "\n", "192.0.2.2\n", "directluns\n", "LOGGED_IN\n");
        add_session(s, 5, 7, "\n", "192.0.2.2\n", "default\n", "FREE\n");        /* being made */
        add_session(s, 6, 8, "iqn.x\n", "(null)\n", "default\n", "LOGGED_IN\n"); /* going away */
        add_session(s, 7, 9, "iqn.\x1b[1m\n", "192.0.2.2\n", "default\n", "LOGGED_IN\n");
        put(s, "x", "class/iscsi_session/sessionx");

        g_autoptr(GPtrArray) all = dl_kernel_sessions(s->path, NULL);
        g_autoptr(GPtrArray) one = dl_kernel_sessions(s->path, IQN);
        const DlKernelSession *session = one->pdata[0];

        g_assert_cmpuint(all->len, ==, 4);
        g_assert_cmpuint(one->len, ==, 3);
        g_assert_cmpuint(session->sid, ==, 2);
        g_assert_cmpuint(session->host, ==, 3);
        g_assert_cmpuint(session->port, ==, 3260);
        g_assert_cmpuint(session->tpgt, ==, 1);
        g_assert_cmpstr(session->address, ==, "192.0.2.1");
        g_assert_true(session->ours && session->up);
        session = one->pdata[1];
        g_assert_false(session->ours); /* its name only begins like ours */
        session = one->pdata[2];
        g_assert_cmpuint(session->sid, ==, 10);
        g_assert_true(session->ours && !session->up);
        g_assert_cmpstr(session->address, ==, "2001:db8::1");
}

static void test_disks(Sysfs *s, gconstpointer data)
{
        static const char target[] = "devices/platform/host3/session2/target3:0:0";

        add_session(s, 2, 3, IQN "\n", "192.0.2.1\n", "directlun\n", "LOGGED_IN\n");
        put(s, "8:16\n", "%s/3:0:0:5/block/sdb/dev", target);
        put(s, "8:0\n", "%s/3:0:0:1/block/sda/dev", target);
        put(s, "65:32\n", "%s/3:0:0:16684/block/sds/dev", target); /* flat: 300 */
        put(s, "x", "%s/3:0:0:2/type", target);                    /* an enclosure */
        put(s, "0\n", "%s/power/control", target);

        g_autoptr(GPtrArray) sessions = dl_kernel_sessions(s->path, IQN);
        g_autoptr(GPtrArray) disks = dl_kernel_session_disks(s->path, sessions->pdata[0]);
        const DlKernelDisk *disk = disks->pdata[0];

        g_assert_cmpuint(disks->len, ==, 3);
        g_assert_cmpstr(disk->name, ==, "sda");
        g_assert_cmpuint(disk->lun, ==, 1);
        g_assert_true(disk->major == 8 && disk->minor == 0);
        disk = disks->pdata[2];
        g_assert_cmpuint(disk->lun, ==, 300);
        g_assert_true(disk->major == 65 && disk->minor == 32);
}

static void test_luns(void)
{
        static const uint64_t pairs[][2] = {{0, 0},        {1, 1},       {255, 255},
                                            {256, 0x4100}, {300, 16684}, {16383, 0x7fff}};
        uint64_t n;

        for (unsigned i = 0; i < G_N_ELEMENTS(pairs); i++) {
                g_assert_true(dl_kernel_lun_encode(pairs[i][0], &n));
                g_assert_cmpuint(n, ==, pairs[i][1]);
                g_assert_true(dl_kernel_lun_decode(n, &n));
                g_assert_cmpuint(n, ==, pairs[i][0]);
        }
        g_assert_false(dl_kernel_lun_decode(UINT64_MAX, &n));
        g_assert_false(dl_kernel_lun_encode(UINT64_MAX, &n));
}

int main(int argc, char **argv)
{
        g_test_init(&argc, &argv, NULL);
        g_test_add("/kernel-sessions/none", Sysfs, NULL, begin, test_none, finish);
        g_test_add("/kernel-sessions/sessions", Sysfs, NULL, begin, test_sessions, finish);
        g_test_add("/kernel-sessions/disks", Sysfs, NULL, begin, test_disks, finish);
        g_test_add_func("/kernel-sessions/luns", test_luns);
        return g_test_run();
}
