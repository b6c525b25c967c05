/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The same questions as the service asks, and nothing else: discovery at a portal, then all targets
 * side by side, of each LUN TEST UNIT READY, INQUIRY and the supported VPD pages, then pages 0x83
 * and 0x80 where they are supported and READ CAPACITY(16), and, of a thin LUN, pages 0xb0 and 0xb2.
 * Plain libiscsi in one poll loop, as many commands in flight as the target's window allows,
 * nothing interpreted, kept or checked: what the service is measured against. One thread; all ends
 * with the process.
 *
 *     bare-inventory ADDRESS:PORT SESSIONS_MAX
 */

#include <iscsi/iscsi.h>
#include <iscsi/scsi-lowlevel.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TARGETS_MAX 4096
#define INITIATOR   "iqn.2026-11.org.ovirt.test:bare"

typedef struct Lun Lun;
typedef struct Session Session;

struct Lun {
        Session *session;
        int number;
        unsigned pending;
        bool disk, second;
        uint8_t pages[512];
        int n_pages;
};

struct Session {
        struct iscsi_context *iscsi;
        char *iqn; /* NULL: the discovery */
        Lun *luns;
        unsigned n_open; /* LUNs */
        bool over;
};

static const char *portal;
static Session sessions[TARGETS_MAX];
static unsigned n_sessions, n_commands, n_luns, isid;

static void must(bool good, Session *session, const char *what)
{
        if (good)
                return;
        fprintf(stderr, "%s %s: %s\n", session && session->iqn ? session->iqn : "", what,
                session ? iscsi_get_error(session->iscsi) : "");
        exit(1);
}

static void on_answer(struct iscsi_context *iscsi, int status, void *data, void *userdata);

static void ask(Lun *lun, const char *cdb, int cdb_size, int size)
{
        struct scsi_task *task = scsi_create_task(cdb_size, (unsigned char *)cdb,
                                                  size ? SCSI_XFER_READ : SCSI_XFER_NONE, size);

        lun->pending++;
        n_commands++;
        must(task && iscsi_scsi_command_async(lun->session->iscsi, lun->number, task, on_answer,
                                              NULL, lun) == 0,
             lun->session, "command");
}

static void ask_again(Lun *lun, const struct scsi_task *task)
{
        lun->pending--;
        n_commands--;
        ask(lun, (const char *)task->cdb, task->cdb_size, task->expxferlen);
}

static bool supports(const Lun *lun, uint8_t page)
{
        return lun->n_pages > 4 && memchr(lun->pages + 4, page, (size_t)lun->n_pages - 4);
}

static void ask_the_rest(Lun *lun)
{
        lun->second = true;
        if (supports(lun, 0x83))
                ask(lun, "\x12\x01\x83\x40\x00\x00", 6, 0x4000);
        if (supports(lun, 0x80))
                ask(lun, "\x12\x01\x80\x02\x00\x00", 6, 0x200);
        if (lun->disk)
                ask(lun, "\x9e\x10\0\0\0\0\0\0\0\0\0\0\0\x20\0\0", 16, 32);
}

static void ask_about_discard(Lun *lun)
{
        if (supports(lun, 0xb0))
                ask(lun, "\x12\x01\xb0\x02\x00\x00", 6, 0x200);
        if (supports(lun, 0xb2))
                ask(lun, "\x12\x01\xb2\x02\x00\x00", 6, 0x200);
}

static void keep(Lun *lun, const struct scsi_task *task)
{
        const unsigned char *data = task->datain.data;

        if (task->cdb[0] == 0x9e && task->datain.size >= 15 && (data[14] & 0x80))
                ask_about_discard(lun);
        if (task->cdb[0] != 0x12 || task->datain.size < 5)
                return;
        if (!(task->cdb[1] & 1)) {
                lun->disk = (data[0] & 0x1f) == 0;
        } else if (task->cdb[2] == 0) {
                lun->n_pages = task->datain.size < 512 ? task->datain.size : 512;
                memcpy(lun->pages, data, (size_t)lun->n_pages);
        }
}

static void on_answer(struct iscsi_context *iscsi, int status, void *data, void *userdata)
{
        Lun *lun = userdata;
        struct scsi_task *task = data;

        must(task && status != SCSI_STATUS_CANCELLED && status != SCSI_STATUS_TIMEOUT, lun->session,
             "command");
        if (status == SCSI_STATUS_CHECK_CONDITION && task->sense.key == SCSI_SENSE_UNIT_ATTENTION) {
                ask_again(lun, task);
        } else {
                keep(lun, task);
                lun->pending--;
        }
        scsi_free_scsi_task(task);
        if (lun->pending > 0)
                return;
        if (!lun->second)
                ask_the_rest(lun);
        if (lun->pending > 0)
                return;
        n_luns += lun->disk;
        if (--lun->session->n_open == 0)
                lun->session->over = true;
}

static void ask_luns(Session *session);

static void on_luns(struct iscsi_context *iscsi, int status, void *data, void *userdata)
{
        Session *session = userdata;
        struct scsi_task *task = data;
        const unsigned char *list;
        unsigned n;

        if (status == SCSI_STATUS_CHECK_CONDITION && task &&
            task->sense.key == SCSI_SENSE_UNIT_ATTENTION) {
                scsi_free_scsi_task(task);
                ask_luns(session);
                return;
        }
        must(status == SCSI_STATUS_GOOD && task->datain.size >= 8, session, "REPORT LUNS");
        list = task->datain.data;
        n = (unsigned)task->datain.size / 8 - 1;
        session->luns = calloc(n + 1, sizeof *session->luns);
        session->n_open = n;
        session->over = n == 0;
        for (unsigned i = 0; i < n; i++) {
                const unsigned char *wire = list + 8 * (i + 1);
                Lun *lun = &session->luns[i];

                *lun = (Lun){.session = session, .number = wire[0] << 8 | wire[1]};
                ask(lun, "\0\0\0\0\0\0", 6, 0);
                ask(lun, "\x12\0\0\0\x60\0", 6, 96);
                ask(lun, "\x12\x01\0\x02\0\0", 6, 0x200);
        }
        scsi_free_scsi_task(task);
}

static void ask_luns(Session *session)
{
        must(iscsi_reportluns_task(session->iscsi, 0, 8 * 16385, on_luns, session), session,
             "REPORT LUNS");
}

static void on_targets(struct iscsi_context *iscsi, int status, void *data, void *userdata)
{
        Session *session = userdata;

        must(status == 0, session, "discovery");
        for (struct iscsi_discovery_address *a = data; a && n_sessions < TARGETS_MAX; a = a->next)
                sessions[n_sessions++].iqn = strdup(a->target_name);
        session->over = true;
}

static void on_login(struct iscsi_context *iscsi, int status, void *data, void *userdata)
{
        Session *session = userdata;

        must(status == 0, session, "login");
        if (session->iqn)
                ask_luns(session);
        else
                must(iscsi_discovery_async(iscsi, on_targets, session) == 0, session, "discovery");
}

static void start(Session *session)
{
        struct iscsi_context *iscsi = iscsi_create_context(INITIATOR);

        session->iscsi = iscsi;
        must(iscsi, NULL, "no memory");
        iscsi_set_noautoreconnect(iscsi, 1);
        /* not one of the sessions that the last run has left to the target to clean up */
        iscsi_set_isid_random(iscsi, (uint32_t)getpid(), ++isid);
        iscsi_set_header_digest(iscsi, ISCSI_HEADER_DIGEST_NONE);
        iscsi_set_session_type(iscsi,
                               session->iqn ? ISCSI_SESSION_NORMAL : ISCSI_SESSION_DISCOVERY);
        if (session->iqn)
                iscsi_set_targetname(iscsi, session->iqn);
        must(iscsi_full_connect_async(iscsi, portal, -1, on_login, session) == 0, session,
             "connect");
}

static void serve(unsigned first, unsigned n)
{
        struct pollfd fds[n];
        Session *of[n];
        nfds_t n_fds = 0;

        for (unsigned i = first; i < first + n; i++) {
                if (sessions[i].over)
                        continue;
                of[n_fds] = &sessions[i];
                fds[n_fds++] = (struct pollfd){
                        .fd = iscsi_get_fd(sessions[i].iscsi),
                        .events = (short)iscsi_which_events(sessions[i].iscsi)};
        }
        must(poll(fds, n_fds, 10000) > 0, NULL, "the target is silent");
        for (nfds_t i = 0; i < n_fds; i++)
                if (fds[i].revents)
                        must(iscsi_service(of[i]->iscsi, fds[i].revents) == 0, of[i], "service");
}

int main(int argc, char **argv)
{
        unsigned max, started = 0, first = 0;

        if (argc != 3)
                return 2;
        portal = argv[1];
        max = (unsigned)atoi(argv[2]);
        n_sessions = 1;
        while (first < n_sessions) {
                unsigned open = 0;

                for (unsigned i = first; i < started; i++)
                        open += !sessions[i].over;
                while (open < max && started < n_sessions) {
                        start(&sessions[started++]);
                        open++;
                }
                if (open > 0)
                        serve(first, started - first);
                while (first < started && sessions[first].over)
                        first++;
        }
        printf("%u %u %u\n", n_sessions - 1, n_luns, n_commands);
        return 0;
}
