/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reads secrets into one buffer that is wiped, and puts them into a memfd that nobody can change.
 * One thread; while it asks, the handlers of the signals that end us are its own.
 */

#include "directlunctl/secret-input.h"

#include "util/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <termios.h>
#include <unistd.h>

/* With its newline, and one byte more to see that it is too long. */
typedef struct Buffer {
        char bytes[DL_SECRET_MAX + 2];
        size_t size;
} Buffer;

static bool refuse(GError **error, const char *message)
{
        g_set_error_literal(error, DL_ERROR, DL_ERROR_INVALID_ARGS, message);
        return false;
}

static bool refuse_errno(GError **error, const char *what)
{
        int saved = errno;

        g_set_error(error, DL_ERROR, DL_ERROR_INVALID_ARGS, "%s: %s", what, g_strerror(saved));
        return false;
}

/* ---- from a descriptor --------------------------------------------------------------------- */

static bool read_fd(int fd, Buffer *buffer, GError **error)
{
        while (buffer->size < sizeof buffer->bytes) {
                ssize_t n = read(fd, buffer->bytes + buffer->size,
                                 sizeof buffer->bytes - buffer->size);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return refuse_errno(error, "the secret cannot be read");
                if (n == 0)
                        break;
                buffer->size += (size_t)n;
        }
        return true;
}

static bool read_file(const char *file, Buffer *buffer, GError **error)
{
        bool ok;
        int fd;

        if (strcmp(file, "-") == 0)
                return read_fd(STDIN_FILENO, buffer, error);
        fd = open(file, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        if (fd < 0)
                return refuse_errno(error, file);
        ok = read_fd(fd, buffer, error);
        close(fd);
        return ok;
}

/* ---- from a person ------------------------------------------------------------------------- */

static volatile sig_atomic_t caught;

static void on_signal(int number)
{
        caught = number;
}

static const int ending_signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};

/* One line, in which the terminal lets people correct themselves. */
static bool read_line(int tty, const sigset_t *unblocked, Buffer *buffer, GError **error)
{
        struct pollfd poll_fd = {.fd = tty, .events = POLLIN};

        while (buffer->size < sizeof buffer->bytes) {
                ssize_t n;

                if (ppoll(&poll_fd, 1, NULL, unblocked) < 0 && errno != EINTR)
                        return refuse_errno(error, "the terminal cannot be read");
                if (caught) {
                        g_set_error_literal(error, DL_ERROR, DL_ERROR_CANCELLED,
                                            "cancelled before anything was done");
                        return false;
                }
                n = read(tty, buffer->bytes + buffer->size, sizeof buffer->bytes - buffer->size);
                if (n < 0 && (errno == EINTR || errno == EAGAIN))
                        continue;
                if (n < 0)
                        return refuse_errno(error, "the terminal cannot be read");
                buffer->size += (size_t)n;
                if (n == 0 || buffer->bytes[buffer->size - 1] == '\n')
                        break;
        }
        return true;
}

/* With the echo off; the signals that would leave it so wait until it is on again. */
static bool read_hidden(int tty, const char *prompt, Buffer *buffer, GError **error)
{
        struct sigaction action = {.sa_handler = on_signal}, old[G_N_ELEMENTS(ending_signals)];
        struct termios before, hidden;
        sigset_t blocked, unblocked;
        bool ok;

        if (tcgetattr(tty, &before) < 0)
                return refuse_errno(error, "the terminal cannot hide what is typed");
        sigemptyset(&blocked);
        for (unsigned i = 0; i < G_N_ELEMENTS(ending_signals); i++)
                sigaddset(&blocked, ending_signals[i]);
        sigprocmask(SIG_BLOCK, &blocked, &unblocked);
        for (unsigned i = 0; i < G_N_ELEMENTS(ending_signals); i++)
                sigaction(ending_signals[i], &action, &old[i]);

        hidden = before;
        hidden.c_lflag &= ~(tcflag_t)ECHO;
        hidden.c_lflag |= ECHONL | ICANON;
        tcsetattr(tty, TCSAFLUSH, &hidden);
        dprintf(tty, "%s", prompt); /* from now on somebody types */
        ok = read_line(tty, &unblocked, buffer, error);
        tcsetattr(tty, TCSAFLUSH, &before);

        for (unsigned i = 0; i < G_N_ELEMENTS(ending_signals); i++)
                sigaction(ending_signals[i], &old[i], NULL);
        sigprocmask(SIG_SETMASK, &unblocked, NULL);
        return ok;
}

static bool ask(const Ctl *ctl, const char *user, Buffer *buffer, GError **error)
{
        g_autofree char *name = ctl_text_clean(user);
        g_autofree char *prompt = g_strdup_printf("CHAP secret of %s: ", name);
        bool ok;
        int tty;

        if (!ctl->ask_password)
                return refuse(error, "the secret must be given with a file or a descriptor: "
                                     "--no-ask-password forbids to ask for it");
        tty = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
        if (tty < 0)
                return refuse(error, "there is no terminal to ask for the secret at: give it with "
                                     "a file or a descriptor");
        ok = read_hidden(tty, prompt, buffer, error);
        close(tty);
        return ok;
}

/* ---- to the service ------------------------------------------------------------------------ */

static bool check(Buffer *buffer, GError **error)
{
        if (buffer->size > 0 && buffer->bytes[buffer->size - 1] == '\n')
                buffer->size--;
        if (buffer->size == 0)
                return refuse(error, "the secret is empty");
        if (buffer->size > DL_SECRET_MAX)
                return refuse(error, "the secret is longer than 256 bytes");
        return true;
}

static bool seal(const Buffer *buffer, int *ret_fd, GError **error)
{
        int fd = memfd_create("secret", MFD_CLOEXEC | MFD_ALLOW_SEALING);

        if (fd < 0)
                return refuse_errno(error, "no memory for the secret");
        if (write(fd, buffer->bytes, buffer->size) != (ssize_t)buffer->size ||
            lseek(fd, 0, SEEK_SET) < 0 ||
            fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) < 0) {
                refuse_errno(error, "no memory for the secret");
                close(fd);
                return false;
        }
        *ret_fd = fd;
        return true;
}

static bool check_source(const CtlSecretSource *source, GError **error)
{
        int given = !!source->file + (source->fd >= 0) + !!source->ask;

        if (given > 1)
                return refuse(error, "the secret can come from one place only");
        if (given > 0 && !source->user)
                return refuse(error, "a secret needs the name of the CHAP user too");
        return true;
}

static bool obtain(Ctl *ctl, const CtlSecretSource *source, Buffer *buffer, GError **error)
{
        bool ok = source->file      ? read_file(source->file, buffer, error)
                  : source->fd >= 0 ? read_fd(source->fd, buffer, error)
                                    : ask(ctl, source->user, buffer, error);

        return ok && check(buffer, error);
}

bool ctl_secret_open(Ctl *ctl, const CtlSecretSource *source, int *ret_fd, GError **error)
{
        Buffer buffer = {};
        bool ok;

        if (!check_source(source, error))
                return false;
        if (!source->user) {
                *ret_fd = -1;
                return true;
        }
        (void)mlock(&buffer, sizeof buffer); /* as far as the limit goes */
        ok = obtain(ctl, source, &buffer, error) && seal(&buffer, ret_fd, error);
        explicit_bzero(&buffer, sizeof buffer);
        (void)munlock(&buffer, sizeof buffer);
        return ok;
}
