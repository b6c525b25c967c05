/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Single block devices: SCSI disks that go, or have another size; the bytes of a disk or a map. The
 * device is named by its number, and must be what the request says by what the kernel has read of
 * it. A process of its own a verb.
 */

#include "verbs.h"

#include "host/block-name.h"
#include "util/error.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define GONE_SECONDS 10

/* ---- what verbs share ---------------------------------------------------------------------- */

int dl_helper_write_sysfs(const char *path, const char *text)
{
        int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
        int r = 0;

        if (fd < 0)
                return -errno;
        if (write(fd, text, strlen(text)) < 0)
                r = -errno;
        close(fd);
        return r;
}

bool dl_helper_has_holders(const char *directory)
{
        g_autofree char *path = g_build_filename(directory, "holders", NULL);
        g_autoptr(GDir) holders = g_dir_open(path, 0, NULL);

        return holders && g_dir_read_name(holders);
}

bool dl_helper_wait(bool (*gone)(const void *data), const void *data, unsigned seconds)
{
        for (unsigned i = 0; i < seconds * 50; i++) {
                if (gone(data))
                        return true;
                g_usleep(G_USEC_PER_SEC / 50);
        }
        return gone(data);
}

/* ---- which device -------------------------------------------------------------------------- */

static char *directory_of(const DlHelperRequest *r)
{
        return g_strdup_printf(DL_HELPER_SYSFS "/dev/block/%u:%u", r->major, r->minor);
}

/* "sda"; NULL if there is no such device. */
static char *name_of(const DlHelperRequest *r)
{
        g_autofree char *directory = directory_of(r);
        g_autofree char *link = g_file_read_link(directory, NULL);

        return link ? g_path_get_basename(link) : NULL;
}

char *dl_helper_device_name(const DlHelperRequest *request, GError **error)
{
        char *name = name_of(request);

        if (!name)
                g_set_error(error, DL_ERROR, DL_ERROR_LUN_NOT_VISIBLE,
                            "There is no block device %u:%u", request->major, request->minor);
        return name;
}

/* Its name, if it is a disk or a map of this LUN. */
static char *find(const DlHelperRequest *request, GError **error)
{
        g_autofree char *name = dl_helper_device_name(request, error);

        if (!name)
                return NULL;
        if (!dl_block_device_is(DL_HELPER_SYSFS, name, request->guid)) {
                g_set_error(error, DL_ERROR, DL_ERROR_GUID_MISMATCH, "%s is not %s", name,
                            request->guid);
                return NULL;
        }
        return g_steal_pointer(&name);
}

/* "…/device/delete" of a SCSI disk, not of a partition or a map; NULL if it has none. */
static char *scsi_file(const DlHelperRequest *request, const char *file)
{
        g_autofree char *directory = directory_of(request);
        g_autofree char *path = g_build_filename(directory, "device", file, NULL);

        return g_file_test(path, G_FILE_TEST_EXISTS) ? g_steal_pointer(&path) : NULL;
}

int dl_helper_open_device(const DlHelperRequest *request, const char *name, int flags)
{
        g_autofree char *path = g_build_filename("/dev", name, NULL);
        int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | flags);
        struct stat st;

        if (fd < 0)
                return -errno;
        if (fstat(fd, &st) < 0 || !S_ISBLK(st.st_mode) || major(st.st_rdev) != request->major ||
            minor(st.st_rdev) != request->minor) {
                close(fd);
                return -ENODEV;
        }
        return fd;
}

/* ---- SCSI disks ---------------------------------------------------------------------------- */

static bool write_scsi(const DlHelperRequest *request, const char *name, const char *file,
                       GError **error)
{
        g_autofree char *path = scsi_file(request, file);
        int r = path ? dl_helper_write_sysfs(path, "1") : -ENOENT;

        if (r < 0)
                g_set_error(error, DL_ERROR, DL_ERROR_FAILED, "The kernel does not %s %s: %s", file,
                            name, g_strerror(-r));
        return r >= 0;
}

bool dl_helper_rescan_path(DlHelperRequest *request, DlHelperReply *reply, int *ret_fd,
                           GError **error)
{
        g_autofree char *name = find(request, error);

        return name && write_scsi(request, name, "rescan", error);
}

/* A mount, a map, LVM or RAID has a device for itself alone; what QEMU has open cannot be told
 * here: the service knows. */
static bool check_unused(const DlHelperRequest *request, const char *name, GError **error)
{
        g_autofree char *directory = directory_of(request);
        int fd = -1;

        if (!dl_helper_has_holders(directory))
                fd = dl_helper_open_device(request, name, O_EXCL | O_NONBLOCK);
        else
                fd = -EBUSY;
        if (fd >= 0)
                close(fd);
        if (fd == -EBUSY) /* any other error: it is dead, which is why it is to go */
                g_set_error(error, DL_ERROR, DL_ERROR_IN_USE, "%s is in use; see lsblk /dev/%s",
                            name, name);
        return fd != -EBUSY;
}

static bool device_is_gone(const void *data)
{
        g_autofree char *name = name_of(data);

        return !name;
}

bool dl_helper_delete_path(DlHelperRequest *request, DlHelperReply *reply, int *ret_fd,
                           GError **error)
{
        g_autofree char *name = NULL;

        if (device_is_gone(request))
                return true;
        name = find(request, error);
        if (!name || !dl_helper_leave_map(name, error) || !check_unused(request, name, error) ||
            !write_scsi(request, name, "delete", error))
                return false;
        if (dl_helper_wait(device_is_gone, request, GONE_SECONDS))
                return true;
        g_set_error(error, DL_ERROR, DL_ERROR_BUSY, "%s was deleted, and is still there", name);
        return false;
}

/* ---- reading ------------------------------------------------------------------------------- */

/* Around the page cache, where an old copy may be; whole blocks of any size do, up to this. */
#define ALIGNMENT 4096u

static bool fail_read(const char *name, int code, GError **error)
{
        g_set_error(error, DL_ERROR, DL_ERROR_LUN_NOT_VISIBLE, "%s cannot be read: %s", name,
                    g_strerror(code));
        return false;
}

/* Sealed: whoever reads it can neither be made to wait nor to fault. */
static int make_memfd(const void *bytes, size_t size)
{
        int fd = memfd_create("directlun-read", MFD_CLOEXEC | MFD_ALLOW_SEALING);

        if (fd < 0)
                return -errno;
        if (write(fd, bytes, size) == (ssize_t)size &&
            fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) == 0)
                return fd;
        close(fd);
        return -EIO;
}

/* Returns how many bytes there are from the offset on. */
static ssize_t read_range(int fd, uint8_t *buffer, const DlHelperRequest *r, size_t *ret_skip)
{
        uint64_t begin = r->offset / ALIGNMENT * ALIGNMENT;
        size_t skip = (size_t)(r->offset - begin);
        size_t size = (skip + r->size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
        size_t n = 0;

        while (n < size) {
                ssize_t k = pread(fd, buffer + n, size - n, (off_t)(begin + n));

                if (k < 0)
                        return -errno;
                if (k == 0)
                        break;
                n += (size_t)k;
        }
        *ret_skip = skip;
        return n < skip ? 0 : (ssize_t)(n - skip);
}

bool dl_helper_read(DlHelperRequest *request, DlHelperReply *reply, int *ret_fd, GError **error)
{
        g_autofree char *name = find(request, error);
        void *buffer = NULL;
        size_t skip = 0;
        ssize_t n;
        int fd;

        if (!name)
                return false;
        fd = dl_helper_open_device(request, name, O_DIRECT);
        if (fd < 0)
                return fail_read(name, -fd, error);
        if (posix_memalign(&buffer, ALIGNMENT, DL_HELPER_READ_MAX + 2 * ALIGNMENT) != 0)
                return fail_read(name, ENOMEM, error);
        n = read_range(fd, buffer, request, &skip);
        close(fd);
        if (n < (ssize_t)request->size)
                fd = n < 0 ? (int)n : -ENXIO;
        else
                fd = make_memfd((uint8_t *)buffer + skip, request->size);
        free(buffer);
        if (fd < 0)
                return fail_read(name, -fd, error);
        reply->size = request->size;
        *ret_fd = fd;
        return true;
}
