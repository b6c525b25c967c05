/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Passwords in wiped, undumpable memory. Any thread. */

#include "secret.h"
#include "error.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

struct DlSecret {
        gint n_ref;
        size_t mapped; /* bytes of the mapping that starts with this struct */
        size_t size;
        char bytes[];
};

DlSecret *dl_secret_new(const void *bytes, size_t size, GError **error)
{
        if (size == 0 || size > DL_SECRET_MAX || memchr(bytes, 0, size)) {
                g_set_error(error, DL_ERROR, DL_ERROR_INVALID_ARGS,
                            "A secret must have 1 to %d bytes, none of them NUL", DL_SECRET_MAX);
                return NULL;
        }

        size_t mapped = sizeof(DlSecret) + size + 1;
        DlSecret *s = mmap(NULL, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                           0);
        if (s == MAP_FAILED) {
                g_set_error(error, DL_ERROR, DL_ERROR_FAILED, "No memory for a secret");
                return NULL;
        }
        (void)madvise(s, mapped, MADV_DONTDUMP);
        (void)madvise(s, mapped, MADV_WIPEONFORK);
        (void)mlock(s, mapped); /* best effort: RLIMIT_MEMLOCK may be small */

        s->n_ref = 1;
        s->mapped = mapped;
        s->size = size;
        memcpy(s->bytes, bytes, size);
        s->bytes[size] = 0;
        return s;
}

/* File systems in memory or on local disks: a read of a few bytes from them ends soon. One from a
 * network, or from another process (FUSE), may never end. */
static bool is_local(int fd)
{
        static const long local[] = {TMPFS_MAGIC,       EXT4_SUPER_MAGIC, XFS_SUPER_MAGIC,
                                     BTRFS_SUPER_MAGIC, RAMFS_MAGIC,      OVERLAYFS_SUPER_MAGIC};
        struct statfs st;

        for (size_t i = 0; fstatfs(fd, &st) == 0 && i < G_N_ELEMENTS(local); i++)
                if ((long)st.f_type == local[i])
                        return true;
        return false;
}

/* As RWF_NOWAIT, for kernels that do not have it for pipes (before 6.4): what is there moves into a
 * pipe that only we have. */
static ssize_t read_pipe(int fd, char *buffer, size_t size)
{
        int own[2];
        ssize_t n;

        if (pipe2(own, O_CLOEXEC | O_NONBLOCK) < 0)
                return -errno;
        n = splice(fd, NULL, own[1], NULL, size, SPLICE_F_NONBLOCK);
        if (n > 0)
                n = read(own[0], buffer, (size_t)n);
        n = n < 0 ? -errno : n;
        close(own[0]);
        close(own[1]);
        return n;
}

/*
 * One read that cannot wait for long, whatever the sender of the descriptor does meanwhile with its
 * own copy: RWF_NOWAIT is per call, unlike O_NONBLOCK, which the sender could clear again. offset
 * -1: a pipe.
 */
static ssize_t read_nowait(int fd, char *buffer, size_t size, off_t offset)
{
        struct iovec v = {.iov_base = buffer, .iov_len = size};
        ssize_t n = preadv2(fd, &v, 1, offset, RWF_NOWAIT);

        if (n < 0 && (errno == EOPNOTSUPP || errno == EAGAIN) && offset >= 0 && is_local(fd))
                n = pread(fd, buffer, size, offset);
        if (n < 0 && errno == EOPNOTSUPP && offset < 0)
                return read_pipe(fd, buffer, size);
        return n < 0 ? -errno : n;
}

/* How many bytes the descriptor had to its end, at most size; negative errno. A file is read from
 * its start, wherever its writer has left the position. */
static ssize_t read_to_end(int fd, bool seekable, char *buffer, size_t size)
{
        size_t n = 0;

        while (n < size) {
                ssize_t k = read_nowait(fd, buffer + n, size - n, seekable ? (off_t)n : -1);

                if (k == -EINTR)
                        continue;
                if (k < 0)
                        return k;
                if (k == 0)
                        break;
                n += (size_t)k;
        }
        return (ssize_t)n;
}

/* What was read: n bytes, or a negative errno. */
static DlSecret *secret_of(const char *buffer, ssize_t n, GError **error)
{
        if (n == -EAGAIN)
                g_set_error(error, DL_ERROR, DL_ERROR_INVALID_ARGS,
                            "The secret must be written, and the pipe closed, before the call");
        else if (n < 0)
                g_set_error(error, DL_ERROR, DL_ERROR_INVALID_ARGS, "Reading the secret failed: %s",
                            g_strerror((int)-n));
        if (n < 0)
                return NULL;
        if (n > 0 && buffer[n - 1] == '\n')
                n--;
        return dl_secret_new(buffer, (size_t)n, error);
}

#define BUFFER_SIZE (DL_SECRET_MAX + 2) /* one for a newline, one to notice what is too long */

DlSecret *dl_secret_read(int fd, GError **error)
{
        char buffer[BUFFER_SIZE];
        struct stat st;
        DlSecret *secret;

        if (fstat(fd, &st) < 0 || !(S_ISREG(st.st_mode) || S_ISFIFO(st.st_mode))) {
                g_set_error(error, DL_ERROR, DL_ERROR_INVALID_ARGS,
                            "A secret is passed as a memfd, the reading end of a pipe, or a file");
                return NULL;
        }
        ssize_t n = read_to_end(fd, S_ISREG(st.st_mode), buffer, sizeof buffer);
        secret = secret_of(buffer, n, error);
        explicit_bzero(buffer, sizeof buffer);
        return secret;
}

DlSecret *dl_secret_receive(int fd, GError **error)
{
        char buffer[BUFFER_SIZE];
        size_t n = 0;
        ssize_t k;
        DlSecret *secret;

        do {
                k = recv(fd, buffer + n, sizeof buffer - n, MSG_DONTWAIT);
                n += k > 0 ? (size_t)k : 0;
        } while ((k > 0 && n < sizeof buffer) || (k < 0 && errno == EINTR));
        secret = secret_of(buffer, k < 0 ? -errno : (ssize_t)n, error);
        explicit_bzero(buffer, sizeof buffer);
        return secret;
}

DlSecret *dl_secret_ref(DlSecret *secret)
{
        if (secret)
                g_atomic_int_inc(&secret->n_ref);
        return secret;
}

void dl_secret_unref(DlSecret *secret)
{
        if (!secret || !g_atomic_int_dec_and_test(&secret->n_ref))
                return;
        explicit_bzero(secret->bytes, secret->size);
        munmap(secret, secret->mapped);
}

const char *dl_secret_peek(const DlSecret *secret)
{
        return secret->bytes;
}

size_t dl_secret_size(const DlSecret *secret)
{
        return secret->size;
}
