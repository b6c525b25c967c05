/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The configuration file. */

#include "config.h"
#include "util/settings.h"

#include <glib/gstdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#define SEC UINT64_C(1000000)

typedef struct Lab {
        char *root;
        char *file;
        char *drop_ins;
        DlSettings *settings;
        GPtrArray *warnings;
} Lab;

static void setup(Lab *lab, gconstpointer data)
{
        lab->root = g_dir_make_tmp("test-settings-XXXXXX", NULL);
        lab->file = g_build_filename(lab->root, "directlund.conf", NULL);
        lab->drop_ins = g_build_filename(lab->root, "directlund.conf.d", NULL);
}

static void clear(const char *dir)
{
        g_autoptr(GDir) d = g_dir_open(dir, 0, NULL);
        const char *name;

        while (d && (name = g_dir_read_name(d))) {
                g_autofree char *path = g_build_filename(dir, name, NULL);

                g_remove(path);
        }
}

static void forget(Lab *lab)
{
        g_clear_pointer(&lab->settings, dl_settings_free);
        g_clear_pointer(&lab->warnings, g_ptr_array_unref);
}

static void teardown(Lab *lab, gconstpointer data)
{
        forget(lab);
        clear(lab->drop_ins);
        clear(lab->root);
        g_assert_cmpint(g_rmdir(lab->root), ==, 0);
        g_free(lab->root);
        g_free(lab->file);
        g_free(lab->drop_ins);
}

static void load(Lab *lab)
{
        forget(lab);
        lab->settings = dl_settings_load(lab->file, &lab->warnings);
        g_assert_nonnull(lab->settings);
}

static void load_text(Lab *lab, const char *text)
{
        g_assert_true(g_file_set_contents(lab->file, text, -1, NULL));
        load(lab);
}

static void drop_in(Lab *lab, const char *name, const char *text)
{
        g_autofree char *path = g_build_filename(lab->drop_ins, name, NULL);

        g_mkdir(lab->drop_ins, 0700);
        g_assert_true(g_file_set_contents(path, text, -1, NULL));
}

static void expect_warning(Lab *lab, const char *part)
{
        for (guint i = 0; i < lab->warnings->len; i++)
                if (strstr(lab->warnings->pdata[i], part))
                        return;
        g_error("no warning with \"%s\"", part);
}

static void expect_defaults(const DlSettings *s)
{
        g_assert_cmpuint(s->idle_exit_usec, ==, 120 * SEC);
        g_assert_cmpuint(s->job_linger_usec, ==, 60 * SEC);
        g_assert_cmpuint(s->secret_timeout_usec, ==, 60 * SEC);
        g_assert_cmpint(s->log_level, ==, LOG_INFO);
        g_assert_cmpuint(s->worker_threads, ==, 8);
        g_assert_cmpuint(s->jobs_per_client_max, ==, 64);
        g_assert_cmpuint(s->jobs_max, ==, 1024);
        g_assert_cmpuint(s->objects_max, ==, 65536);
        g_assert_cmpstr(s->initiator_name, ==, "");
        g_assert_cmpuint(s->sessions_max, ==, 32);
        g_assert_cmpuint(s->commands_per_session_max, ==, 128);
        g_assert_cmpuint(s->luns_per_target_max, ==, 16384);
        g_assert_cmpuint(s->targets_per_discovery_max, ==, 4096);
        g_assert_cmpuint(s->resolve_timeout_usec, ==, 5 * SEC);
        g_assert_cmpuint(s->connect_timeout_usec, ==, 5 * SEC);
        g_assert_cmpuint(s->login_timeout_usec, ==, 10 * SEC);
        g_assert_cmpuint(s->command_timeout_usec, ==, 10 * SEC);
        g_assert_cmpuint(s->check_interval_usec, ==, 30 * SEC);
        g_assert_cmpuint(s->hold_timeout_usec, ==, 600 * SEC);
        g_assert_cmpstr(s->data_path, ==, "auto");
        g_assert_cmpstr(s->libvirt_uri, ==, "qemu:///system");
        g_assert_cmpuint(s->attach_timeout_usec, ==, 30 * SEC);
        g_assert_cmpuint(s->freeze_limit_usec, ==, SEC);
        g_assert_cmpuint(s->release_timeout_usec, ==, 30 * SEC);
        g_assert_cmpstr(s->state_directory, ==, DL_STATE_DIR);
        g_assert_cmpstr(s->initiator_name_file, ==, "/etc/iscsi/initiatorname.iscsi");
        g_assert_cmpstr(s->secret_directory, ==, "/run/directlun/secret");
        g_assert_cmpstr(s->helper_socket, ==, "/run/directlun-helper.sock");
}

static void test_defaults(Lab *lab, gconstpointer data)
{
        load(lab); /* no file */
        expect_defaults(lab->settings);
        g_assert_cmpuint(lab->warnings->len, ==, 0);
        load_text(lab, "");
        expect_defaults(lab->settings);
        g_assert_cmpuint(lab->warnings->len, ==, 0);
}

static void test_values(Lab *lab, gconstpointer data)
{
        load_text(lab, "# a comment\n"
                       "[Daemon]\nIdleExitSec=0\nLogLevel = debug \nWorkerThreads=3\n"
                       "[iSCSI]\nInitiatorName=iqn.2024-01.org.example:host-1\n"
                       "ConnectTimeoutSec=0.25\nCommandTimeoutSec=7.000001\n"
                       "[Libvirt]\nUri=test:///default\n"
                       "[Paths]\nStateDirectory=/tmp/a b\n");
        g_assert_cmpuint(lab->warnings->len, ==, 0);
        g_assert_cmpuint(lab->settings->idle_exit_usec, ==, 0);
        g_assert_cmpint(lab->settings->log_level, ==, LOG_DEBUG);
        g_assert_cmpuint(lab->settings->worker_threads, ==, 3);
        g_assert_cmpstr(lab->settings->initiator_name, ==, "iqn.2024-01.org.example:host-1");
        g_assert_cmpuint(lab->settings->connect_timeout_usec, ==, SEC / 4);
        g_assert_cmpuint(lab->settings->command_timeout_usec, ==, 7 * SEC + 1);
        g_assert_cmpstr(lab->settings->libvirt_uri, ==, "test:///default");
        g_assert_cmpstr(lab->settings->state_directory, ==, "/tmp/a b");
        g_assert_cmpuint(lab->settings->jobs_max, ==, 1024); /* the others keep their defaults */
}

static void test_unknown(Lab *lab, gconstpointer data)
{
        load_text(lab, "[Deamon]\nIdleExitSec=1\n[Daemon]\nIdleExit=1\nSessionsMax=2\n"
                       "JobsMax=7\n");
        g_assert_cmpuint(lab->warnings->len, ==, 3);
        expect_warning(lab, "[Deamon]");
        expect_warning(lab, "IdleExit;");
        expect_warning(lab, "SessionsMax"); /* of another group */
        g_assert_cmpuint(lab->settings->jobs_max, ==, 7);
}

static void test_bad_values(Lab *lab, gconstpointer data)
{
        static const char *const bad[] = {
                "[Daemon]\nIdleExitSec=",
                "[Daemon]\nIdleExitSec=-1",
                "[Daemon]\nIdleExitSec=1e3",
                "[Daemon]\nIdleExitSec=0x10",
                "[Daemon]\nIdleExitSec=inf",
                "[Daemon]\nIdleExitSec=nan",
                "[Daemon]\nIdleExitSec=1.",
                "[Daemon]\nIdleExitSec=.5",
                "[Daemon]\nIdleExitSec=1.-5",
                "[Daemon]\nIdleExitSec=1.2.3",
                "[Daemon]\nIdleExitSec=1.0000001",
                "[Daemon]\nIdleExitSec=86401",
                "[Daemon]\nIdleExitSec=99999999999999999999",
                "[Daemon]\nIdleExitSec=two",
                "[Daemon]\nWorkerThreads=0",
                "[Daemon]\nWorkerThreads=65",
                "[Daemon]\nWorkerThreads=+4",
                "[Daemon]\nWorkerThreads=4294967300",
                "[Daemon]\nWorkerThreads=4;5",
                "[Daemon]\nLogLevel=loud",
                "[Daemon]\nLogLevel=",
                "[iSCSI]\nConnectTimeoutSec=0",
                "[iSCSI]\nInitiatorName=host",
                "[iSCSI]\nInitiatorName=iqn.2024-01.org.example:a b",
                "[iSCSI]\nInitiatorName=iqn.2024-01.org.example:a\\nb",
                "[iSCSI]\nInitiatorName=iqn.2024-01.org.example:\xc3\xa9",
                "[Libvirt]\nUri=",
                "[Libvirt]\nUri=system",
                "[Libvirt]\nUri=qemu:///a b",
                "[Paths]\nStateDirectory=relative",
                "[Paths]\nStateDirectory=",
                "[Paths]\nStateDirectory=/a\\nb",
                "[Paths]\nStateDirectory=/\xff",
        };

        for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
                load_text(lab, bad[i]);
                g_test_message("case %zu", i); /* not all of them are UTF-8 */
                g_assert_cmpuint(lab->warnings->len, ==, 1);
                expect_defaults(lab->settings);
        }
}

static void test_bad_value_keeps_the_former(Lab *lab, gconstpointer data)
{
        drop_in(lab, "x.conf", "[Daemon]\nJobsMax=many\n");
        load_text(lab, "[Daemon]\nJobsMax=7\n");
        g_assert_cmpuint(lab->settings->jobs_max, ==, 7);
        expect_warning(lab, "x.conf: [Daemon] JobsMax must be a number from 1 to 65536");
}

static void test_drop_ins(Lab *lab, gconstpointer data)
{
        drop_in(lab, "20-b.conf", "[Daemon]\nJobsMax=20\nObjectsMax=200\n");
        drop_in(lab, "10-a.conf", "[Daemon]\nJobsMax=10\nWorkerThreads=1\n");
        drop_in(lab, ".hidden.conf", "[Daemon]\nJobsMax=1\n");
        drop_in(lab, "30-c.conf~", "[Daemon]\nJobsMax=2\n");
        drop_in(lab, "30-c", "[Daemon]\nJobsMax=3\n");
        load(lab); /* also without the main file */
        g_assert_cmpuint(lab->settings->jobs_max, ==, 20);
        load_text(lab, "[Daemon]\nJobsMax=5\nJobLingerSec=5\n");
        g_assert_cmpuint(lab->warnings->len, ==, 0);
        g_assert_cmpuint(lab->settings->jobs_max, ==, 20);
        g_assert_cmpuint(lab->settings->worker_threads, ==, 1);
        g_assert_cmpuint(lab->settings->objects_max, ==, 200);
        g_assert_cmpuint(lab->settings->job_linger_usec, ==, 5 * SEC);
}

static void test_bad_files(Lab *lab, gconstpointer data)
{
        g_autofree char *big = g_strnfill(1024 * 1024 + 1, '#');

        load_text(lab, "this is no INI file\n[Daemon]\nJobsMax=5\n");
        g_assert_cmpuint(lab->warnings->len, ==, 1);
        expect_warning(lab, "the whole file is ignored");
        expect_defaults(lab->settings);
        load_text(lab, big);
        g_assert_cmpuint(lab->warnings->len, ==, 1);
        expect_defaults(lab->settings);

        g_assert_cmpint(unlink(lab->file), ==, 0);
        g_assert_cmpint(mkfifo(lab->file, 0600), ==, 0);
        load(lab); /* does not block */
        g_assert_cmpuint(lab->warnings->len, ==, 1);
        g_assert_cmpint(unlink(lab->file), ==, 0);
        g_assert_cmpint(mkdir(lab->file, 0700), ==, 0);
        load(lab);
        g_assert_cmpuint(lab->warnings->len, ==, 1);
        expect_defaults(lab->settings);
}

/* No bytes whatsoever do more than warn. */
static void test_noise(Lab *lab, gconstpointer data)
{
        static const char text[] = "[Daemon]\nIdleExitSec=1.5\nLogLevel=err\n[iSCSI]\n"
                                   "InitiatorName=iqn.2024-01.org.example:x\n[Paths]\n"
                                   "StateDirectory=/a\\tb\n";

        for (unsigned i = 0; i < 2000; i++) {
                char copy[sizeof text];

                memcpy(copy, text, sizeof text);
                for (unsigned k = 0; k < 4; k++)
                        copy[g_test_rand_int_range(0, sizeof text - 1)] = (char)
                                g_test_rand_int_range(0, 256);
                g_assert_true(g_file_set_contents_full(lab->file, copy, sizeof text - 1,
                                                       G_FILE_SET_CONTENTS_NONE, 0600, NULL));
                load(lab);
                g_assert_cmpuint(lab->settings->worker_threads, ==, 8);
        }
}

static void test_environment(Lab *lab, gconstpointer data)
{
        g_unsetenv("DIRECTLUND_CONFIG");
        g_assert_cmpstr(dl_settings_path(), ==, DL_CONFIG_FILE);
        g_setenv("DIRECTLUND_CONFIG", "", TRUE);
        g_assert_cmpstr(dl_settings_path(), ==, DL_CONFIG_FILE);
        g_setenv("DIRECTLUND_CONFIG", lab->file, TRUE);
        g_assert_cmpstr(dl_settings_path(), ==, lab->file);
        load_text(lab, "[Daemon]\nJobsMax=5\n");
        forget(lab);
        lab->settings = dl_settings_load(NULL, &lab->warnings);
        g_assert_cmpuint(lab->settings->jobs_max, ==, 5);
        g_unsetenv("DIRECTLUND_CONFIG");
}

/* The example documents every setting with its default, all commented out; without the comment
 * signs it is a valid file with the same meaning. */
static void count_in_example(const char *group, const char *name, const char *default_value,
                             const char *documentation, void *userdata)
{
        g_autofree char *line = g_strdup_printf("\n#%s=%s\n", name, default_value);
        g_autofree char *doc = g_strdup_printf("\n# %s\n", documentation);
        g_autofree char *header = g_strdup_printf("\n[%s]\n", group);
        const char **text = userdata;
        const char *place = strstr(*text, line);

        g_assert_nonnull(place);
        g_assert_nonnull(strstr(*text, doc));
        g_assert_nonnull(strstr(*text, header));
        g_assert_null(strstr(place + 1, line));
        g_assert_cmpuint(strlen(documentation), <=, 98);
}

static void test_example(Lab *lab, gconstpointer data)
{
        g_autofree char *example = dl_settings_example();
        g_auto(GStrv) lines = g_strsplit(example, "\n", -1);
        GString *active = g_string_new(NULL);
        const char *text = example;

        dl_settings_foreach(count_in_example, &text);
        load_text(lab, example);
        g_assert_cmpuint(lab->warnings->len, ==, 0);
        expect_defaults(lab->settings);

        for (char **line = lines; *line; line++)
                g_string_append_printf(active, "%s\n",
                                       g_ascii_isalpha((*line)[0] ? (*line)[1] : 0) &&
                                                       (*line)[0] == '#'
                                               ? *line + 1
                                               : *line);
        load_text(lab, active->str);
        g_assert_cmpuint(lab->warnings->len, ==, 0);
        expect_defaults(lab->settings);
        g_string_free(active, TRUE);
}

#define ADD(name, test) g_test_add("/settings/" name, Lab, NULL, setup, test, teardown)

int main(int argc, char *argv[])
{
        g_test_init(&argc, &argv, NULL);
        ADD("defaults", test_defaults);
        ADD("values", test_values);
        ADD("unknown", test_unknown);
        ADD("bad-values", test_bad_values);
        ADD("bad-value-keeps-the-former", test_bad_value_keeps_the_former);
        ADD("drop-ins", test_drop_ins);
        ADD("bad-files", test_bad_files);
        ADD("noise", test_noise);
        ADD("environment", test_environment);
        ADD("example", test_example);
        return g_test_run();
}
