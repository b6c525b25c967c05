/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Runs pkttyagent beside us. Its process is ours until ctl_agent_close(). One thread. */

#include "directlunctl/agent.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <systemd/sd-login.h>
#include <unistd.h>

#define REGISTER_MSEC 5000

/* A graphical agent of our session goes first. polkit asks such an agent nothing if there is no
 * session at all, so then ours must be a plain one. */
static bool have_session(void)
{
        return sd_pid_get_session(0, NULL) >= 0;
}

G_NORETURN static void run_agent(const char *program, int fd, pid_t parent)
{
        char number[16];
        sigset_t none;

        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        if (prctl(PR_SET_PDEATHSIG, SIGTERM) < 0 || getppid() != parent)
                _exit(EXIT_FAILURE);
        g_snprintf(number, sizeof number, "%d", fd);
        execl(program, program, "--notify-fd", number, have_session() ? "--fallback" : NULL,
              (char *)NULL);
        _exit(EXIT_FAILURE);
}

/* The agent closes its end when it is registered, or when it gives up. */
static void wait_registered(int fd)
{
        struct pollfd poll_fd = {.fd = fd};
        int r;

        do
                r = poll(&poll_fd, 1, REGISTER_MSEC);
        while (r < 0 && errno == EINTR);
}

void ctl_agent_open(Ctl *ctl)
{
        g_autofree char *program = NULL;
        pid_t self = getpid(), pid;
        int fds[2];

        if (ctl->agent > 0 || !ctl->ask_password || geteuid() == 0 || !isatty(STDIN_FILENO))
                return;
        program = g_find_program_in_path("pkttyagent");
        if (!program || pipe2(fds, O_CLOEXEC) < 0)
                return;
        pid = fork();
        if (pid == 0) {
                (void)fcntl(fds[1], F_SETFD, 0);
                run_agent(program, fds[1], self);
        }
        close(fds[1]);
        if (pid > 0) {
                ctl->agent = pid;
                wait_registered(fds[0]);
        }
        close(fds[0]);
}

void ctl_agent_close(Ctl *ctl)
{
        if (ctl->agent <= 0)
                return;
        kill(ctl->agent, SIGTERM);
        kill(ctl->agent, SIGCONT);
        while (waitpid(ctl->agent, NULL, 0) < 0 && errno == EINTR)
                ;
        ctl->agent = 0;
}
