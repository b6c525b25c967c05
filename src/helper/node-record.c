/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Records of open-iscsi. Any process; what is written is replaced as a whole. */

#include "node-record.h"

#include "host/kernel-sessions.h"
#include "util/error.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Settings that are about what multipath is for: to fail soon where another path may work. */
static const char our_settings[] = "node.startup = manual\n"
                                   "node.leading_login = No\n"
                                   "node.session.scan = manual\n" /* only wanted LUNs appear */
                                   "node.session.nr_sessions = 1\n"
                                   "node.session.initial_login_retry_max = 1\n"
                                   "node.session.timeo.replacement_timeout = 5\n"
                                   "node.conn[0].startup = manual\n"
                                   "node.conn[0].timeo.login_timeout = 10\n"
                                   "node.conn[0].timeo.noop_out_interval = 5\n"
                                   "node.conn[0].timeo.noop_out_timeout = 5\n";

char *dl_node_iface(const DlHelperRequest *request)
{
        return *request->iface ? g_strconcat(DL_KERNEL_IFACE "-", request->iface, NULL)
                               : g_strdup(DL_KERNEL_IFACE);
}

/* ---- the text ------------------------------------------------------------------------------ */

/* Lines that begin with the prefix, but not with `except`. */
static void add_lines(GString *record, const char *text, const char *prefix, const char *except)
{
        g_auto(GStrv) lines = g_strsplit(text, "\n", -1);

        for (GStrv line = lines; *line; line++) {
                const char *setting = g_strstrip(*line);

                if (g_str_has_prefix(setting, prefix) &&
                    !(except && g_str_has_prefix(setting, except)))
                        g_string_append_printf(record, "%s\n", setting);
        }
}

static void add_chap(GString *record, const DlHelperRequest *r)
{
        if (!*r->user)
                return;
        g_string_append_printf(record,
                               "node.session.auth.authmethod = CHAP\n"
                               "node.session.auth.username = %s\n"
                               "node.session.auth.password = %s\n",
                               r->user, r->secret);
        if (*r->target_user)
                g_string_append_printf(record,
                                       "node.session.auth.username_in = %s\n"
                                       "node.session.auth.password_in = %s\n",
                                       r->target_user, r->target_secret);
}

GString *dl_node_record(const DlHelperRequest *request, const char *iscsid_conf,
                        const char *iface_text)
{
        GString *record = g_string_sized_new(16384); /* never moved: nothing to wipe behind it */
        g_autofree char *iface = dl_node_iface(request);

        g_string_append(record, "# BEGIN RECORD\n");
        if (iscsid_conf)
                add_lines(record, iscsid_conf, "node.",
                          *request->user ? "node.session.auth." : NULL);
        if (iface_text)
                add_lines(record, iface_text, "iface.", "iface.iscsi_ifacename");
        else
                g_string_append(record, "iface.transport_name = tcp\n");
        g_string_append_printf(record, "iface.iscsi_ifacename = %s\n", iface);
        g_string_append_printf(record,
                               "node.name = %s\n"
                               "node.tpgt = %u\n"
                               "node.discovery_type = static\n"
                               "node.conn[0].address = %s\n"
                               "node.conn[0].port = %u\n",
                               request->iqn, request->tpgt, request->address, request->port);
        g_string_append(record, our_settings);
        add_chap(record, request);
        g_string_append(record, "# END RECORD\n");
        return record;
}

void dl_node_record_free(GString *record)
{
        if (!record)
                return;
        explicit_bzero(record->str, record->allocated_len);
        g_string_free(record, TRUE);
}

/* ---- the file ------------------------------------------------------------------------------ */

/* As open-iscsi names them: nodes/IQN/ADDRESS,PORT,TPGT/IFACE. */
static char *portal_directory(const char *below, const DlHelperRequest *r, char **ret_target)
{
        *ret_target = g_build_filename(below, "nodes", r->iqn, NULL);
        return g_strdup_printf("%s/%s,%u,%u", *ret_target, r->address, r->port, r->tpgt);
}

/* The temporary file is outside of nodes/, where open-iscsi would take it for a record. */
static int replace(const char *below, const char *path, const char *text, size_t size)
{
        g_autofree char *temporary = g_strdup_printf("%s/.directlun.%d", below, getpid());
        int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        int r = 0;

        if (fd < 0)
                return -errno;
        if (write(fd, text, size) != (ssize_t)size || fsync(fd) < 0)
                r = errno ? -errno : -EIO;
        close(fd);
        if (r == 0 && rename(temporary, path) < 0)
                r = -errno;
        if (r < 0)
                (void)unlink(temporary);
        return r;
}

static bool read_settings(const char *below, const DlHelperRequest *request, char **ret_conf,
                          char **ret_iface, GError **error)
{
        g_autofree char *conf = g_build_filename(below, "iscsid.conf", NULL);
        g_autofree char *iface = g_build_filename(below, "ifaces", request->iface, NULL);

        if (*request->iface && !g_file_get_contents(iface, ret_iface, NULL, NULL)) {
                g_set_error(error, DL_ERROR, DL_ERROR_INVALID_ARGS,
                            "open-iscsi has no interface %s; see iscsiadm -m iface",
                            request->iface);
                return false;
        }
        (void)g_file_get_contents(conf, ret_conf, NULL, NULL);
        return true;
}

bool dl_node_record_write(const char *below, const DlHelperRequest *request, GError **error)
{
        g_autofree char *conf = NULL, *iface_text = NULL, *target = NULL;
        g_autofree char *portal = portal_directory(below, request, &target);
        g_autofree char *iface = dl_node_iface(request);
        g_autofree char *path = g_build_filename(portal, iface, NULL);
        GString *record;
        int r;

        if (!read_settings(below, request, &conf, &iface_text, error))
                return false;
        record = dl_node_record(request, conf, iface_text);
        if (conf) /* it may have secrets, too */
                explicit_bzero(conf, strlen(conf));
        r = g_mkdir_with_parents(portal, 0700) < 0 ? -errno
                                                   : replace(below, path, record->str, record->len);
        dl_node_record_free(record);
        if (r < 0)
                g_set_error(error, DL_ERROR, DL_ERROR_FAILED,
                            "open-iscsi's record %s cannot be written: %s", path, g_strerror(-r));
        return r >= 0;
}

/* iscsiadm wants a file for each interface that it is told of, a session's too. One without a
 * transport is enough for that, and is not used by the discovery of an administrator, which would
 * otherwise make records that look like ours. */
bool dl_node_iface_write(const char *below, const char *iface, GError **error)
{
        g_autofree char *path = g_build_filename(below, "ifaces", iface, NULL);
        g_autofree char *directory = g_path_get_dirname(path);
        g_autofree char *text = g_strdup_printf("# Of directlun-helper(8), for its own sessions.\n"
                                                "iface.iscsi_ifacename = %s\n",
                                                iface);
        int r;

        if (g_file_test(path, G_FILE_TEST_EXISTS))
                return true;
        r = g_mkdir_with_parents(directory, 0755) < 0 ? -errno
                                                      : replace(below, path, text, strlen(text));
        if (r < 0)
                g_set_error(error, DL_ERROR, DL_ERROR_FAILED,
                            "open-iscsi's interface %s cannot be written: %s", path,
                            g_strerror(-r));
        return r >= 0;
}

void dl_node_record_remove(const char *below, const DlHelperRequest *request, const char *iface)
{
        g_autofree char *target = NULL;
        g_autofree char *portal = portal_directory(below, request, &target);
        g_autofree char *path = g_build_filename(portal, iface, NULL);

        (void)unlink(path);
        (void)rmdir(portal); /* unless there are records of others */
        (void)rmdir(target);
}

/* ---- what a crash has left ----------------------------------------------------------------- */

static void forget_secret(const char *path)
{
        g_autofree char *record = NULL;
        gsize size = 0;

        if (!g_file_get_contents(path, &record, &size, NULL))
                return;
        if (strstr(record, "node.session.auth.password"))
                (void)unlink(path);
        explicit_bzero(record, size);
}

/* Below a folder, so many levels down; folders that are empty then go. */
static void forget_below(const char *path, unsigned levels)
{
        g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
        const char *name;

        while (dir && (name = g_dir_read_name(dir))) {
                g_autofree char *child = g_build_filename(path, name, NULL);

                if (levels > 0) {
                        forget_below(child, levels - 1);
                        (void)rmdir(child);
                } else if (g_str_has_prefix(name, DL_KERNEL_IFACE)) {
                        forget_secret(child);
                }
        }
}

void dl_node_records_forget_secrets(const char *below)
{
        g_autofree char *nodes = g_build_filename(below, "nodes", NULL);

        forget_below(nodes, 2);
}
