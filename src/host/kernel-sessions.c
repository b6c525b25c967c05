/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The kernel's iSCSI sessions. Their strings come from targets and are checked here. Any thread. */

#include "host/kernel-sessions.h"

#include "scsi/luns.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
        SESSIONS_MAX = 16384,
        DISKS_MAX = 16384,  /* of one session */
        CHANNELS_MAX = 256, /* folders of targets in one */
        TEXT_MAX = 256,
};

/* ---- sysfs --------------------------------------------------------------------------------- */

/* NULL if it cannot be read, is too long, or is not plain text. */
static char *read_text(const char *directory, const char *name)
{
        g_autofree char *path = g_build_filename(directory, name, NULL);
        g_autofree char *text = NULL;

        if (!g_file_get_contents(path, &text, NULL, NULL))
                return NULL;
        g_strstrip(text);
        for (const char *p = text; *p; p++)
                if (!g_ascii_isprint(*p) || p - text >= TEXT_MAX)
                        return NULL;
        return g_steal_pointer(&text);
}

/* The kernel says "<NULL>" or "(null)" where nothing was set. */
static char *read_set_text(const char *directory, const char *name)
{
        g_autofree char *text = read_text(directory, name);

        if (!text || g_str_equal(text, "<NULL>") || g_str_equal(text, "(null)"))
                return g_strdup("");
        return g_steal_pointer(&text);
}

static bool read_number(const char *directory, const char *name, uint64_t max, uint64_t *ret)
{
        g_autofree char *text = read_text(directory, name);

        return text && g_ascii_string_to_unsigned(text, 10, 0, max, ret, NULL);
}

/* ---- LUNs ---------------------------------------------------------------------------------- */

bool dl_kernel_lun_encode(uint64_t lun, uint64_t *ret)
{
        uint8_t wire[DL_SCSI_LUN_WIRE_SIZE];
        uint64_t number = 0;

        if (dl_scsi_lun_encode(lun, wire) < 0)
                return false;
        for (int i = DL_SCSI_LUN_WIRE_SIZE - 2; i >= 0; i -= 2)
                number = number << 16 | (uint64_t)wire[i] << 8 | wire[i + 1];
        *ret = number;
        return true;
}

bool dl_kernel_lun_decode(uint64_t kernel_lun, uint64_t *ret)
{
        uint8_t wire[DL_SCSI_LUN_WIRE_SIZE];
        DlScsiLun lun;

        for (int i = 0; i < DL_SCSI_LUN_WIRE_SIZE; i += 2, kernel_lun >>= 16) {
                wire[i] = (uint8_t)(kernel_lun >> 8);
                wire[i + 1] = (uint8_t)kernel_lun;
        }
        if (dl_scsi_lun_decode(wire, &lun) < 0)
                return false;
        *ret = lun.number;
        return true;
}

/* ---- sessions ------------------------------------------------------------------------------ */

static void session_free(void *p)
{
        DlKernelSession *session = p;

        g_free(session->iqn);
        g_free(session->address);
        g_free(session->iface);
        g_free(session);
}

static bool is_ours(const char *iface)
{
        size_t size = strlen(DL_KERNEL_IFACE);

        return g_str_has_prefix(iface, DL_KERNEL_IFACE) &&
               (iface[size] == '\0' || iface[size] == '-');
}

/* The device of the class is below that of the host: …/host3/session1/iscsi_session/session1. */
static bool read_host(const char *class_directory, unsigned *ret)
{
        g_autofree char *device = g_build_filename(class_directory, "device", NULL);
        char *real = realpath(device, NULL);
        const char *host = real ? g_strrstr(real, "/host") : NULL;
        bool found = host && sscanf(host, "/host%u/", ret) == 1;

        free(real); /* malloc()'s */
        return found;
}

static DlKernelSession *read_session(const char *sysfs, unsigned sid)
{
        g_autofree char *directory = g_strdup_printf("%s/class/iscsi_session/session%u", sysfs,
                                                     sid);
        g_autofree char *connection = g_strdup_printf("%s/class/iscsi_connection/connection%u:0",
                                                      sysfs, sid);
        DlKernelSession *session = g_new0(DlKernelSession, 1);
        g_autofree char *state = read_set_text(directory, "state");
        uint64_t port = 0, tpgt = 0, target_id = 0;

        session->sid = sid;
        session->iqn = read_set_text(directory, "targetname");
        session->iface = read_set_text(directory, "ifacename");
        session->address = read_set_text(connection, "persistent_address");
        if (!*session->iqn || !*session->address || !read_host(directory, &session->host) ||
            !read_number(connection, "persistent_port", UINT16_MAX, &port)) {
                session_free(session);
                return NULL;
        }
        (void)read_number(directory, "tpgt", UINT16_MAX, &tpgt);
        (void)read_number(directory, "target_id", INT32_MAX, &target_id);
        session->port = (uint16_t)port;
        session->tpgt = (uint16_t)tpgt;
        session->target_id = (unsigned)target_id;
        session->ours = is_ours(session->iface);
        session->up = g_str_equal(state, "LOGGED_IN");
        return session;
}

static int compare_sessions(gconstpointer a, gconstpointer b)
{
        const DlKernelSession *x = *(DlKernelSession *const *)a, *y = *(DlKernelSession *const *)b;

        return x->sid < y->sid ? -1 : x->sid > y->sid;
}

GPtrArray *dl_kernel_sessions(const char *sysfs, const char *iqn)
{
        g_autofree char *path = g_build_filename(sysfs, "class/iscsi_session", NULL);
        g_autoptr(GDir) directory = g_dir_open(path, 0, NULL);
        GPtrArray *sessions = g_ptr_array_new_with_free_func(session_free);
        const char *name;

        while (directory && sessions->len < SESSIONS_MAX && (name = g_dir_read_name(directory))) {
                DlKernelSession *session;
                guint64 sid;

                if (!g_str_has_prefix(name, "session") ||
                    !g_ascii_string_to_unsigned(name + 7, 10, 1, INT32_MAX, &sid, NULL))
                        continue;
                session = read_session(sysfs, (unsigned)sid);
                if (session && (!iqn || g_str_equal(session->iqn, iqn)))
                        g_ptr_array_add(sessions, session);
                else if (session)
                        session_free(session);
        }
        g_ptr_array_sort(sessions, compare_sessions);
        return sessions;
}

/* ---- disks --------------------------------------------------------------------------------- */

void dl_kernel_disk_free(void *p)
{
        DlKernelDisk *disk = p;

        g_free(disk->name);
        g_free(disk);
}

/* The disk of a SCSI device "3:0:0:5", if it is one. */
static void add_disk(GPtrArray *disks, const char *target, const char *hctl, uint64_t kernel_lun)
{
        g_autofree char *path = g_build_filename(target, hctl, "block", NULL);
        g_autoptr(GDir) directory = g_dir_open(path, 0, NULL);
        const char *name = directory ? g_dir_read_name(directory) : NULL;
        g_autofree char *block = name ? g_build_filename(path, name, NULL) : NULL;
        g_autofree char *dev = block ? read_text(block, "dev") : NULL;
        DlKernelDisk disk = {};

        if (!dev || sscanf(dev, "%u:%u", &disk.major, &disk.minor) != 2 ||
            !dl_kernel_lun_decode(kernel_lun, &disk.lun))
                return;
        disk.name = g_strdup(name);
        g_ptr_array_add(disks, g_memdup2(&disk, sizeof disk));
}

static void add_disks(GPtrArray *disks, const char *target)
{
        g_autoptr(GDir) directory = g_dir_open(target, 0, NULL);
        const char *name;

        while (directory && disks->len < DISKS_MAX && (name = g_dir_read_name(directory))) {
                unsigned host, channel, id;
                guint64 lun;
                int size = 0;

                if (sscanf(name, "%u:%u:%u:%" G_GUINT64_FORMAT "%n", &host, &channel, &id, &lun,
                           &size) == 4 &&
                    name[size] == '\0')
                        add_disk(disks, target, name, lun);
        }
}

static int compare_disks(gconstpointer a, gconstpointer b)
{
        const DlKernelDisk *x = *(DlKernelDisk *const *)a, *y = *(DlKernelDisk *const *)b;

        return x->lun < y->lun ? -1 : x->lun > y->lun;
}

GPtrArray *dl_kernel_session_disks(const char *sysfs, const DlKernelSession *session)
{
        g_autofree char *path = g_strdup_printf("%s/class/iscsi_session/session%u/device", sysfs,
                                                session->sid);
        g_autoptr(GDir) directory = g_dir_open(path, 0, NULL);
        GPtrArray *disks = g_ptr_array_new_with_free_func(dl_kernel_disk_free);
        const char *name;

        for (unsigned n = 0; directory && n < CHANNELS_MAX && (name = g_dir_read_name(directory));
             n++) {
                g_autofree char *target = g_build_filename(path, name, NULL);

                if (g_str_has_prefix(name, "target"))
                        add_disks(disks, target);
        }
        g_ptr_array_sort(disks, compare_disks);
        return disks;
}
