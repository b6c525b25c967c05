/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A SCSI device that is a file, for a program that asks through ioctl(SG_IO): preloaded into it,
 * answers INQUIRY from the records of the file it has open. A record: EVPD, page code, two bytes of
 * length (big-endian), and so many bytes. A page that has no record is an illegal request.
 */

#include <errno.h>
#include <fcntl.h>
#include <linux/bsg.h>
#include <scsi/sg.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
        INQUIRY = 0x12,
        CHECK_CONDITION = 0x02,
};

static const uint8_t illegal_request[18] = {0x70, 0, 0x05, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x24};

/* The number of bytes of the answer, which go to data; -1 if there is no such page. */
static ssize_t answer(int fd, const uint8_t *cdb, uint8_t *data, size_t size)
{
        uint8_t header[4];

        for (off_t offset = 0; pread(fd, header, sizeof(header), offset) == sizeof(header);) {
                size_t length = (size_t)header[2] << 8 | header[3];

                offset += (off_t)sizeof(header);
                if (header[0] == cdb[1] && header[1] == cdb[2])
                        return pread(fd, data, length < size ? length : size, offset);
                offset += (off_t)length;
        }
        return -1;
}

static size_t put_sense(uint8_t *sense, size_t size)
{
        size_t n = size < sizeof(illegal_request) ? size : sizeof(illegal_request);

        memcpy(sense, illegal_request, n);
        return n;
}

static int ask_v4(int fd, struct sg_io_v4 *io)
{
        const uint8_t *cdb = (const uint8_t *)(uintptr_t)io->request;

        if (io->request_len < 6 || cdb[0] != INQUIRY)
                return -1;
        if (answer(fd, cdb, (uint8_t *)(uintptr_t)io->din_xferp, io->din_xfer_len) >= 0)
                return 0;
        io->device_status = CHECK_CONDITION;
        io->response_len = (uint32_t)put_sense((uint8_t *)(uintptr_t)io->response,
                                               io->max_response_len);
        return 0;
}

static int ask_v3(int fd, struct sg_io_hdr *io)
{
        if (io->cmd_len < 6 || io->cmdp[0] != INQUIRY)
                return -1;
        if (answer(fd, io->cmdp, io->dxferp, io->dxfer_len) >= 0)
                return 0;
        io->status = CHECK_CONDITION;
        io->sb_len_wr = (unsigned char)put_sense(io->sbp, io->mx_sb_len);
        return 0;
}

__attribute__((visibility("default"))) int ioctl(int fd, unsigned long request, ...)
{
        va_list ap;

        va_start(ap, request);
        void *argument = va_arg(ap, void *);
        va_end(ap);
        if (request != SG_IO)
                return (int)syscall(SYS_ioctl, fd, request, argument);

        int r = *(const int *)argument == 'Q' ? ask_v4(fd, argument) : ask_v3(fd, argument);
        if (r < 0)
                errno = EINVAL;
        return r;
}
