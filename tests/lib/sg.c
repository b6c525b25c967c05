/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * sg DEVICE CDB [DATA-OUT | -LENGTH]: sends one SCSI command (hex) to a disk of the guest, with
 * data (hex), or reading that many bytes, and prints "status S" and the data that came in hex. For
 * the test's guest, which has no libc: builds with -nostdlib -static on x86-64.
 */

#include <fcntl.h>
#include <scsi/sg.h>
#include <sys/syscall.h>

static unsigned char cdb[16], data[4096], sense[64];
static char text[2 * sizeof data + 32];

static long call3(long number, long a, long b, long c)
{
        long result;

        __asm__ volatile("syscall"
                         : "=a"(result)
                         : "a"(number), "D"(a), "S"(b), "d"(c)
                         : "rcx", "r11", "memory");
        return result;
}

static unsigned digit(char c)
{
        return c <= '9' ? (unsigned)(c - '0') : (unsigned)(c - 'a') + 10;
}

static unsigned from_hex(const char *hex, unsigned char *out, unsigned max)
{
        unsigned n = 0;

        for (; hex[0] && hex[1] && n < max; hex += 2)
                out[n++] = (unsigned char)(digit(hex[0]) << 4 | digit(hex[1]));
        return n;
}

static unsigned from_decimal(const char *text_in)
{
        unsigned n = 0;

        for (; *text_in; text_in++)
                n = n * 10 + (unsigned)(*text_in - '0');
        return n < sizeof data ? n : sizeof data;
}

static char *to_hex(char *out, const unsigned char *in, unsigned n)
{
        for (unsigned i = 0; i < n; i++) {
                *out++ = "0123456789abcdef"[in[i] >> 4];
                *out++ = "0123456789abcdef"[in[i] & 15];
        }
        return out;
}

static int run(int argc, char **argv)
{
        static const char status_is[] = "status ";
        sg_io_hdr_t io = {
                .interface_id = 'S',
                .cmdp = cdb,
                .dxfer_direction = SG_DXFER_NONE,
                .dxferp = data,
                .sbp = sense,
                .mx_sb_len = sizeof sense,
                .timeout = 20000,
        };
        char *end = text;
        long fd;

        if (argc < 3)
                return 2;
        io.cmd_len = (unsigned char)from_hex(argv[2], cdb, sizeof cdb);
        if (argc > 3) {
                io.dxfer_direction = argv[3][0] == '-' ? SG_DXFER_FROM_DEV : SG_DXFER_TO_DEV;
                io.dxfer_len = argv[3][0] == '-' ? from_decimal(argv[3] + 1)
                                                 : from_hex(argv[3], data, sizeof data);
        }
        fd = call3(SYS_open, (long)argv[1], O_RDONLY | O_NONBLOCK, 0);
        if (fd < 0 || call3(SYS_ioctl, fd, SG_IO, (long)&io) < 0)
                return 1;
        for (const char *c = status_is; *c; c++)
                *end++ = *c;
        end = to_hex(end, &io.status, 1);
        *end++ = ' ';
        if (io.dxfer_direction == SG_DXFER_FROM_DEV && io.status == 0)
                end = to_hex(end, data, io.dxfer_len - (unsigned)io.resid);
        *end++ = '\n';
        call3(SYS_write, 1, (long)text, end - text);
        return 0;
}

__attribute__((used, noreturn)) static void begin(long *stack)
{
        call3(SYS_exit_group, run((int)stack[0], (char **)(stack + 1)), 0, 0);
        __builtin_unreachable();
}

__asm__(".globl _start\n_start:\n\tmov %rsp, %rdi\n\tand $-16, %rsp\n\tcall begin\n");
