/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Files of one secret each. Any thread, one at a time for a name. Nothing here is kept. */

#include "state-file.h"
#include "error.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME_SIZE_MAX 200

static bool fail(GError **error, const char *what, const char *dir, const char *name, int code)
{
        g_set_error(error, DL_ERROR, DL_ERROR_ENGINE_UNAVAILABLE, "Cannot %s %s/%s: %s", what, dir,
                    name, g_strerror(code));
        return false;
}

static bool check_name(const char *name, GError **error)
{
        size_t size = strlen(name);

        if (size > 0 && size <= NAME_SIZE_MAX && *name != '.' &&
            strspn(name, G_CSET_A_2_Z G_CSET_a_2_z G_CSET_DIGITS "._-") == size)
                return true;
        g_set_error(error, DL_ERROR, DL_ERROR_INVALID_ARGS, "This cannot be the name of a secret");
        return false;
}

static int open_dir(const char *dir)
{
        int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

        return fd < 0 ? -errno : fd;
}

static int sync_dir(const char *dir)
{
        int fd = open_dir(dir), r = 0;

        if (fd < 0)
                return fd;
        if (fsync(fd) < 0)
                r = -errno;
        close(fd);
        return r;
}

/* A new folder is durable only once its parent is. */
static int make_dir(const char *dir)
{
        g_autofree char *parent = g_path_get_dirname(dir);

        if (mkdir(dir, 0700) < 0)
                return errno == EEXIST ? 0 : -errno;
        return sync_dir(parent);
}

static int write_all(int fd, const char *bytes, size_t size)
{
        while (size > 0) {
                ssize_t n = write(fd, bytes, size);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                bytes += n;
                size -= (size_t)n;
        }
        return 0;
}

static int write_new(int dir_fd, const char *name, const DlSecret *secret)
{
        int fd, r;

        /* What a crash may have left is of no use. */
        if (unlinkat(dir_fd, name, 0) < 0 && errno != ENOENT)
                return -errno;
        fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
                return -errno;
        r = write_all(fd, dl_secret_peek(secret), dl_secret_size(secret));
        if (r == 0 && fsync(fd) < 0)
                r = -errno;
        if (close(fd) < 0 && r == 0)
                r = -errno;
        if (r < 0)
                (void)unlinkat(dir_fd, name, 0);
        return r;
}

static int replace(int dir_fd, const char *name, const DlSecret *secret)
{
        g_autofree char *new_name = g_strconcat(".", name, ".new", NULL);
        int r = write_new(dir_fd, new_name, secret);

        if (r < 0)
                return r;
        if (renameat(dir_fd, new_name, dir_fd, name) < 0) {
                r = -errno;
                (void)unlinkat(dir_fd, new_name, 0);
                return r;
        }
        return fsync(dir_fd) < 0 ? -errno : 0;
}

bool dl_state_file_write(const char *dir, const char *name, const DlSecret *secret, GError **error)
{
        int dir_fd, r;

        if (!check_name(name, error))
                return false;
        r = make_dir(dir);
        if (r < 0)
                return fail(error, "make the folder of", dir, name, -r);
        dir_fd = open_dir(dir);
        if (dir_fd < 0)
                return fail(error, "open the folder of", dir, name, -dir_fd);
        r = replace(dir_fd, name, secret);
        close(dir_fd);
        return r == 0 || fail(error, "write", dir, name, -r);
}

/* The bytes of a regular file, at most size; negative errno. */
static ssize_t read_file(int dir_fd, const char *name, char *buffer, size_t size)
{
        size_t n = 0;
        struct stat st;
        int fd, r = 0;

        fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        if (fd < 0)
                return -errno;
        if (fstat(fd, &st) < 0)
                r = -errno;
        else if (!S_ISREG(st.st_mode))
                r = -EINVAL;
        while (r == 0 && n < size) {
                ssize_t k = read(fd, buffer + n, size - n);

                if (k == 0)
                        break;
                if (k > 0)
                        n += (size_t)k;
                else if (errno != EINTR)
                        r = -errno;
        }
        close(fd);
        return r < 0 ? r : (ssize_t)n;
}

bool dl_state_file_read(const char *dir, const char *name, DlSecret **ret, GError **error)
{
        char buffer[DL_SECRET_MAX + 1]; /* one more, to notice what is too long */
        DlSecret *secret = NULL;
        ssize_t n;
        int dir_fd;

        if (!check_name(name, error))
                return false;
        dir_fd = open_dir(dir);
        n = dir_fd < 0 ? dir_fd : read_file(dir_fd, name, buffer, sizeof buffer);
        if (dir_fd >= 0)
                close(dir_fd);
        if (n < 0 && n != -ENOENT) {
                explicit_bzero(buffer, sizeof buffer);
                return fail(error, "read", dir, name, (int)-n);
        }
        if (n >= 0) {
                secret = dl_secret_new(buffer, (size_t)n, NULL);
                explicit_bzero(buffer, sizeof buffer);
                if (!secret)
                        return fail(error, "use", dir, name, EBADMSG);
        }
        *ret = secret;
        return true;
}

static int delete_file(int dir_fd, const char *name)
{
        g_autofree char *new_name = g_strconcat(".", name, ".new", NULL);

        if (unlinkat(dir_fd, new_name, 0) < 0 && errno != ENOENT)
                return -errno;
        if (unlinkat(dir_fd, name, 0) < 0 && errno != ENOENT)
                return -errno;
        return fsync(dir_fd) < 0 ? -errno : 0;
}

bool dl_state_file_delete(const char *dir, const char *name, GError **error)
{
        int dir_fd, r;

        if (!check_name(name, error))
                return false;
        dir_fd = open_dir(dir);
        if (dir_fd == -ENOENT)
                return true;
        if (dir_fd < 0)
                return fail(error, "open the folder of", dir, name, -dir_fd);
        r = delete_file(dir_fd, name);
        close(dir_fd);
        return r == 0 || fail(error, "delete", dir, name, -r);
}
