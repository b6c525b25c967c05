/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Sessions of the kernel's initiator, by open-iscsi. Only sessions that were made here, which their
 * interface's name tells, are ever ended. A process of its own a verb.
 */

#include "node-record.h"
#include "verbs.h"

#include "host/kernel-sessions.h"
#include "util/error.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define ISCSI_DIRECTORY "/etc/iscsi"
#define GONE_SECONDS    10

/* ---- iscsiadm ------------------------------------------------------------------------------ */

/* open-iscsi's include/iscsi_err.h, as its man page has them. */
enum {
        ISCSIADM_SUCCESS = 0,
        ISCSIADM_TRANSPORT = 4,
        ISCSIADM_LOGIN = 5,
        ISCSIADM_TIMEOUT = 8,
        ISCSIADM_PDU_TIMEOUT = 11,
        ISCSIADM_EXISTS = 15,
        ISCSIADM_FATAL_LOGIN = 19,
        ISCSIADM_AUTH_FAILED = 24,
        ISCSIADM_BUSY = 28,
};

static DlErrorCode code_of(int status)
{
        switch (status) {
        case ISCSIADM_TRANSPORT:
        case ISCSIADM_TIMEOUT:
                return DL_ERROR_PORTAL_UNREACHABLE;
        case ISCSIADM_PDU_TIMEOUT:
                return DL_ERROR_TIMED_OUT;
        case ISCSIADM_AUTH_FAILED:
                return DL_ERROR_AUTH_FAILED;
        case ISCSIADM_LOGIN:
        case ISCSIADM_FATAL_LOGIN:
                return DL_ERROR_TARGET_NOT_FOUND;
        case ISCSIADM_BUSY:
                return DL_ERROR_IN_USE;
        default:
                return DL_ERROR_FAILED;
        }
}

/* What a person is told: of what iscsiadm has to say the line with the reason, else the last one,
 * as plain text. */
static char *reason_of(const char *output)
{
        g_auto(GStrv) lines = g_strsplit(output, "\n", -1);
        const char *reason = "";

        for (GStrv line = lines; *line && !strstr(reason, "reported error"); line++)
                if (*g_strstrip(*line))
                        reason = *line;
        return g_str_to_ascii(reason, "C");
}

/* Returns iscsiadm's exit status; negative if it could not be run. */
static int run_iscsiadm(const char *const *argv, char **ret_words, GError **error)
{
        static const char *const environment[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C",
                                                  NULL};
        g_autofree char *output = NULL, *errors = NULL;
        g_autoptr(GError) failed = NULL;
        int status = 0;

        if (!g_spawn_sync("/", (char **)argv, (char **)environment, G_SPAWN_SEARCH_PATH_FROM_ENVP,
                          NULL, NULL, &output, &errors, &status, &failed)) {
                g_set_error(error, DL_ERROR, DL_ERROR_FAILED,
                            "iscsiadm cannot be run (%s); install open-iscsi", failed->message);
                return -1;
        }
        *ret_words = reason_of(errors);
        return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

/* ---- finding sessions ---------------------------------------------------------------------- */

static bool is_at_portal(const DlKernelSession *session, const DlHelperRequest *request)
{
        return g_str_equal(session->address, request->address) && session->port == request->port;
}

static const DlKernelSession *find_own(GPtrArray *sessions, const DlHelperRequest *request)
{
        g_autofree char *iface = dl_node_iface(request);

        for (unsigned i = 0; i < sessions->len; i++) {
                const DlKernelSession *session = sessions->pdata[i];

                if (g_str_equal(session->iface, iface) && is_at_portal(session, request))
                        return session;
        }
        return NULL;
}

static const DlKernelSession *find_sid(GPtrArray *sessions, unsigned sid)
{
        for (unsigned i = 0; i < sessions->len; i++)
                if (((DlKernelSession *)sessions->pdata[i])->sid == sid)
                        return sessions->pdata[i];
        return NULL;
}

/* ---- login --------------------------------------------------------------------------------- */

static bool run_login(const DlHelperRequest *request, GError **error)
{
        g_autofree char *iface = dl_node_iface(request), *words = NULL;
        g_autofree char *portal = g_strdup_printf(strchr(request->address, ':') ? "[%s]:%u,%u"
                                                                                : "%s:%u,%u",
                                                  request->address, request->port, request->tpgt);
        const char *argv[] = {"iscsiadm", "-m", "node", "-T",      request->iqn, "-p",
                              portal,     "-I", iface,  "--login", NULL};
        int status = run_iscsiadm(argv, &words, error);

        if (status == ISCSIADM_SUCCESS || status == ISCSIADM_EXISTS)
                return true;
        if (status > 0)
                g_set_error(error, DL_ERROR, (int)code_of(status),
                            "open-iscsi cannot log in to %s at %s: %s", request->iqn, portal,
                            words);
        return false;
}

static bool find_login(const DlHelperRequest *request, DlHelperReply *reply)
{
        g_autoptr(GPtrArray) sessions = dl_kernel_sessions(DL_HELPER_SYSFS, request->iqn);
        const DlKernelSession *own = find_own(sessions, request);

        if (own)
                reply->sid = own->sid;
        return own;
}

/* The secrets stay on the disk only until the kernel has them: iscsid finds them there again. */
bool dl_helper_login(DlHelperRequest *request, DlHelperReply *reply, int *ret_fd, GError **error)
{
        g_autofree char *iface = dl_node_iface(request);
        bool good;

        if (find_login(request, reply))
                return true;
        good = dl_node_iface_write(ISCSI_DIRECTORY, iface, error) &&
               dl_node_record_write(ISCSI_DIRECTORY, request, error) && run_login(request, error);
        memset(request->user, 0, sizeof request->user);
        memset(request->target_user, 0, sizeof request->target_user);
        explicit_bzero(request->secret, sizeof request->secret);
        explicit_bzero(request->target_secret, sizeof request->target_secret);
        if (good && !find_login(request, reply)) {
                g_set_error(error, DL_ERROR, DL_ERROR_PORTAL_UNREACHABLE,
                            "The session with %s was there and is gone again", request->iqn);
                good = false;
        }
        if (!good || !dl_node_record_write(ISCSI_DIRECTORY, request, NULL))
                dl_node_record_remove(ISCSI_DIRECTORY, request, iface);
        return good;
}

void dl_helper_forget_login(const DlHelperRequest *request)
{
        g_autofree char *iface = dl_node_iface(request);

        dl_node_record_remove(ISCSI_DIRECTORY, request, iface);
}

void dl_helper_forget_secrets(void)
{
        dl_node_records_forget_secrets(ISCSI_DIRECTORY);
}

/* ---- logout -------------------------------------------------------------------------------- */

/* Whether something other than multipath's daemon and udev has it open for himself: a mount, a map,
 * LVM. (What QEMU has open cannot be told here; the service knows.) */
static bool disk_is_used(const DlKernelDisk *disk)
{
        g_autofree char *directory = g_build_filename(DL_HELPER_SYSFS, "class/block", disk->name,
                                                      NULL);
        g_autofree char *node = g_build_filename("/dev", disk->name, NULL);
        bool busy;
        int fd;

        if (dl_helper_has_holders(directory))
                return true;
        fd = open(node, O_RDONLY | O_EXCL | O_NONBLOCK | O_CLOEXEC);
        busy = fd < 0 && errno == EBUSY;
        if (fd >= 0)
                close(fd);
        return busy;
}

static bool check_unused(const DlKernelSession *session, GError **error)
{
        g_autoptr(GPtrArray) disks = dl_kernel_session_disks(DL_HELPER_SYSFS, session);

        for (unsigned i = 0; i < disks->len; i++) {
                const DlKernelDisk *disk = disks->pdata[i];

                if (disk_is_used(disk)) {
                        g_set_error(error, DL_ERROR, DL_ERROR_IN_USE,
                                    "%s of session %u is in use; see lsblk /dev/%s", disk->name,
                                    session->sid, disk->name);
                        return false;
                }
        }
        return true;
}

static bool session_is_gone(const void *data)
{
        g_autoptr(GPtrArray) sessions = dl_kernel_sessions(DL_HELPER_SYSFS, NULL);

        return !find_sid(sessions, *(const unsigned *)data);
}

static bool run_logout(unsigned sid, GError **error)
{
        g_autofree char *number = g_strdup_printf("%u", sid), *words = NULL;
        const char *argv[] = {"iscsiadm", "-m", "session", "-r", number, "--logout", NULL};
        int status = run_iscsiadm(argv, &words, error);

        if (status < 0)
                return false;
        if (status == ISCSIADM_SUCCESS || session_is_gone(&sid))
                return true;
        g_set_error(error, DL_ERROR, (int)code_of(status), "open-iscsi cannot end session %u: %s",
                    sid, words);
        return false;
}

bool dl_helper_logout(DlHelperRequest *request, DlHelperReply *reply, int *ret_fd, GError **error)
{
        g_autoptr(GPtrArray) sessions = dl_kernel_sessions(DL_HELPER_SYSFS, NULL);
        const DlKernelSession *session = find_sid(sessions, request->sid);

        if (!session)
                return true;
        if (!session->ours || !g_str_equal(session->iqn, request->iqn) ||
            !is_at_portal(session, request)) {
                g_set_error(error, DL_ERROR, DL_ERROR_IN_USE,
                            "Session %u is not one that this service made for %s at %s",
                            request->sid, request->iqn, request->address);
                return false;
        }
        if (!check_unused(session, error) ||
            !dl_node_iface_write(ISCSI_DIRECTORY, session->iface, error) ||
            !run_logout(session->sid, error))
                return false;
        request->tpgt = session->tpgt;
        dl_node_record_remove(ISCSI_DIRECTORY, request, session->iface);
        if (dl_helper_wait(session_is_gone, &request->sid, GONE_SECONDS))
                return true;
        g_set_error(error, DL_ERROR, DL_ERROR_BUSY, "Session %u was ended, and is still there",
                    request->sid);
        return false;
}

/* ---- scan ---------------------------------------------------------------------------------- */

bool dl_helper_scan(DlHelperRequest *request, DlHelperReply *reply, int *ret_fd, GError **error)
{
        g_autoptr(GPtrArray) sessions = dl_kernel_sessions(DL_HELPER_SYSFS, request->iqn);
        const DlKernelSession *session = find_sid(sessions, request->sid);
        g_autofree char *path = NULL, *what = NULL;
        uint64_t lun;
        int r;

        if (!session || !dl_kernel_lun_encode(request->lun, &lun)) {
                g_set_error(error, DL_ERROR, DL_ERROR_LUN_NOT_VISIBLE,
                            "There is no session %u with %s", request->sid, request->iqn);
                return false;
        }
        path = g_strdup_printf(DL_HELPER_SYSFS "/class/scsi_host/host%u/scan", session->host);
        what = g_strdup_printf("0 %u %" G_GUINT64_FORMAT, session->target_id, lun);
        r = dl_helper_write_sysfs(path, what);
        if (r < 0)
                g_set_error(error, DL_ERROR, DL_ERROR_LUN_NOT_VISIBLE,
                            "The kernel cannot look for LUN %" G_GUINT64_FORMAT " of %s: %s",
                            request->lun, request->iqn, g_strerror(-r));
        return r >= 0;
}
