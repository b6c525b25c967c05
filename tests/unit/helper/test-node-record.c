/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Records of open-iscsi: their text, and their files in a folder of their own. One thread. */

#include "helper/node-record.h"
#include "util/error.h"

#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char conf[] = "# open-iscsi\n"
                           "iscsid.startup = /bin/false\n"
                           "node.startup = automatic\n"
                           "  node.session.timeo.replacement_timeout = 120\n"
                           "node.conn[0].iscsi.MaxRecvDataSegmentLength = 65536\n"
                           "node.session.auth.username = theirs\n"
                           "#node.session.queue_depth = 1\n";

static DlHelperRequest request_of(const char *user, const char *target_user)
{
        DlHelperRequest r = {.magic = DL_HELPER_MAGIC,
                             .verb = DL_HELPER_LOGIN,
                             .timeout_ms = 1000,
                             .port = 3260,
                             .tpgt = 2};

        g_assert_true(DL_HELPER_PUT(&r, iqn, "iqn.2026-01.org.example:a"));
        g_assert_true(DL_HELPER_PUT(&r, address, "192.0.2.1"));
        g_assert_true(DL_HELPER_PUT(&r, user, user));
        g_assert_true(DL_HELPER_PUT(&r, secret, user ? "the secret" : NULL));
        g_assert_true(DL_HELPER_PUT(&r, target_user, target_user));
        g_assert_true(DL_HELPER_PUT(&r, target_secret, target_user ? "its secret" : NULL));
        g_assert_true(dl_helper_request_check(&r));
        return r;
}

/* As open-iscsi reads it: the last line with the name counts. */
static char *value_of(const char *record, const char *name)
{
        g_autofree char *begin = g_strconcat(name, " = ", NULL);
        g_auto(GStrv) lines = g_strsplit(record, "\n", -1);
        char *value = NULL;

        for (GStrv line = lines; *line; line++)
                if (g_str_has_prefix(*line, begin)) {
                        g_free(value);
                        value = g_strdup(*line + strlen(begin));
                }
        return value;
}

static void assert_value(const GString *record, const char *name, const char *expected)
{
        g_autofree char *value = value_of(record->str, name);

        g_assert_cmpstr(value, ==, expected);
}

static void test_settings(void)
{
        DlHelperRequest r = request_of(NULL, NULL);
        GString *record = dl_node_record(&r, conf, NULL);

        assert_value(record, "node.name", "iqn.2026-01.org.example:a");
        assert_value(record, "node.tpgt", "2");
        assert_value(record, "node.conn[0].address", "192.0.2.1");
        assert_value(record, "node.conn[0].port", "3260");
        assert_value(record, "iface.iscsi_ifacename", "directlun");
        assert_value(record, "iface.transport_name", "tcp");
        /* ours, whatever the administrator's defaults are */
        assert_value(record, "node.startup", "manual");
        assert_value(record, "node.session.scan", "manual");
        assert_value(record, "node.session.timeo.replacement_timeout", "5");
        /* the administrator's */
        assert_value(record, "node.conn[0].iscsi.MaxRecvDataSegmentLength", "65536");
        assert_value(record, "node.session.auth.username", "theirs");
        assert_value(record, "node.session.queue_depth", NULL);
        assert_value(record, "iscsid.startup", NULL);
        assert_value(record, "node.session.auth.password", NULL);
        dl_node_record_free(record);
}

static void test_chap(void)
{
        DlHelperRequest one_way = request_of("me", NULL), mutual = request_of("me", "it");
        GString *record = dl_node_record(&one_way, conf, NULL);

        assert_value(record, "node.session.auth.authmethod", "CHAP");
        assert_value(record, "node.session.auth.username", "me");
        assert_value(record, "node.session.auth.password", "the secret");
        assert_value(record, "node.session.auth.username_in", NULL);
        g_assert_null(strstr(record->str, "theirs"));
        dl_node_record_free(record);

        record = dl_node_record(&mutual, NULL, NULL);
        assert_value(record, "node.session.auth.username_in", "it");
        assert_value(record, "node.session.auth.password_in", "its secret");
        dl_node_record_free(record);
}

static void test_interface(void)
{
        static const char iface[] = "# BEGIN RECORD 2.1.8\n"
                                    "iface.iscsi_ifacename = eth1\n"
                                    "iface.net_ifacename = eth1\n"
                                    "iface.transport_name = tcp\n";
        DlHelperRequest r = request_of(NULL, NULL);
        GString *record;

        g_assert_true(DL_HELPER_PUT(&r, iface, "eth1"));
        record = dl_node_record(&r, NULL, iface);
        assert_value(record, "iface.iscsi_ifacename", "directlun-eth1");
        assert_value(record, "iface.net_ifacename", "eth1");
        dl_node_record_free(record);
}

static void test_files(void)
{
        g_autofree char *below = g_dir_make_tmp("directlun-iscsi-XXXXXX", NULL);
        g_autofree char *portal = g_build_filename(
                below, "nodes/iqn.2026-01.org.example:a/192.0.2.1,3260,2", NULL);
        g_autofree char *path = g_build_filename(portal, "directlun", NULL);
        g_autofree char *others = g_build_filename(portal, "default", NULL);
        g_autofree char *nodes = g_build_filename(below, "nodes", NULL);
        g_autofree char *text = NULL;
        g_autoptr(GError) error = NULL;
        DlHelperRequest r = request_of("me", NULL);
        struct stat st;

        g_assert_true(dl_node_record_write(below, &r, &error));
        g_assert_cmpint(stat(path, &st), ==, 0);
        g_assert_cmpuint(st.st_mode & 0777, ==, 0600);
        g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
        g_assert_nonnull(strstr(text, "the secret"));

        /* replaced, with nothing beside it */
        memset(r.user, 0, sizeof r.user);
        memset(r.secret, 0, sizeof r.secret);
        g_assert_true(dl_node_record_write(below, &r, &error));
        g_clear_pointer(&text, g_free);
        g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
        g_assert_null(strstr(text, "secret"));

        /* somebody else's record stays */
        g_assert_true(g_file_set_contents(others, "# theirs\n", -1, NULL));
        dl_node_record_remove(below, &r, "directlun");
        g_assert_cmpint(access(path, F_OK), ==, -1);
        g_assert_cmpint(unlink(others), ==, 0);
        dl_node_record_remove(below, &r, "directlun");
        g_assert_cmpint(rmdir(nodes), ==, 0); /* empty */

        /* what iscsiadm is told of our interface is not enough for anybody else to use it */
        g_autofree char *ifaces = g_build_filename(below, "ifaces", NULL);
        g_autofree char *ours = g_build_filename(ifaces, "directlun", NULL);
        g_assert_true(dl_node_iface_write(below, "directlun", &error));
        g_clear_pointer(&text, g_free);
        g_assert_true(g_file_get_contents(ours, &text, NULL, NULL));
        g_assert_nonnull(strstr(text, "iface.iscsi_ifacename = directlun\n"));
        g_assert_null(strstr(text, "transport"));
        g_assert_cmpint(unlink(ours), ==, 0);
        g_assert_cmpint(rmdir(ifaces), ==, 0);

        /* an interface that is not there */
        g_assert_true(DL_HELPER_PUT(&r, iface, "eth7"));
        g_assert_false(dl_node_record_write(below, &r, &error));
        g_assert_error(error, DL_ERROR, DL_ERROR_INVALID_ARGS);
        g_assert_cmpint(rmdir(below), ==, 0);
}

/* The helper was killed before it could take them out again. */
static void test_forgets_secrets(void)
{
        g_autofree char *below = g_dir_make_tmp("directlun-iscsi-XXXXXX", NULL);
        g_autofree char *nodes = g_build_filename(below, "nodes", NULL);
        g_autofree char *target = g_build_filename(nodes, "iqn.2026-01.org.example:a", NULL);
        g_autofree char *portal = g_build_filename(target, "192.0.2.1,3260,2", NULL);
        g_autofree char *ours = g_build_filename(portal, "directlun", NULL);
        g_autofree char *others = g_build_filename(portal, "default", NULL);
        DlHelperRequest chap = request_of("me", "it"), plain = request_of(NULL, NULL);

        dl_node_records_forget_secrets(below); /* there is nothing yet */
        g_assert_true(dl_node_record_write(below, &chap, NULL));
        g_assert_cmpint(rename(ours, others), ==, 0);
        g_assert_true(dl_node_record_write(below, &plain, NULL));
        dl_node_records_forget_secrets(below);
        g_assert_cmpint(access(others, F_OK), ==, 0);
        g_assert_cmpint(access(ours, F_OK), ==, 0);
        g_assert_true(dl_node_record_write(below, &chap, NULL));
        dl_node_records_forget_secrets(below);
        g_assert_cmpint(access(others, F_OK), ==, 0);
        g_assert_cmpint(access(ours, F_OK), ==, -1);
        g_assert_cmpint(unlink(others), ==, 0);
        g_assert_cmpint(rmdir(portal), ==, 0);
        g_assert_cmpint(rmdir(target), ==, 0);

        g_assert_true(dl_node_record_write(below, &chap, NULL));
        dl_node_records_forget_secrets(below);
        g_assert_cmpint(rmdir(nodes), ==, 0); /* empty */
        g_assert_cmpint(rmdir(below), ==, 0);
}

int main(int argc, char **argv)
{
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/node-record/settings", test_settings);
        g_test_add_func("/node-record/chap", test_chap);
        g_test_add_func("/node-record/interface", test_interface);
        g_test_add_func("/node-record/files", test_files);
        g_test_add_func("/node-record/forgets-secrets", test_forgets_secrets);
        return g_test_run();
}
