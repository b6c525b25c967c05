/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* See harness.h. An Outcome owns what it holds; one thread. */

#include "harness.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

const DlIscsiLimits limits_short = {
        .sessions_max = 64,
        .commands_max = 32,
        .luns_max = 1024,
        .targets_max = 256,
        .resolve_usec = 400000,
        .connect_usec = 500000,
        .login_usec = 600000,
        .command_usec = 600000,
};

const DlIscsiLimits limits_long = {
        .sessions_max = 64,
        .commands_max = 32,
        .luns_max = 1024,
        .targets_max = 256,
        .resolve_usec = 5000000,
        .connect_usec = 5000000,
        .login_usec = 10000000,
        .command_usec = 10000000,
};

static unsigned order;

void world_init(World *world, const DlIscsiLimits *limits)
{
        *world = (World){0};
        g_assert_cmpint(sd_event_new(&world->event), >=, 0);
        g_assert_cmpint(dl_workers_new(world->event, 8, &world->workers), >=, 0);
        g_assert_cmpint(
                dl_iscsi_new(world->event, world->workers, INITIATOR, limits, &world->iscsi), >=,
                0);
}

void world_clear(World *world)
{
        dl_iscsi_free(world->iscsi);
        dl_workers_free(world->workers);
        sd_event_unref(world->event);
}

DlIscsiCredentials chap(const char *user, const char *secret, const char *target_user,
                        const char *target_secret)
{
        DlIscsiCredentials c = {.user = user, .target_user = target_user};

        c.secret = dl_secret_new(secret, strlen(secret), NULL);
        if (target_secret)
                c.target_secret = dl_secret_new(target_secret, strlen(target_secret), NULL);
        return c;
}

void chap_clear(DlIscsiCredentials *c)
{
        dl_secret_unref(c->secret);
        dl_secret_unref(c->target_secret);
}

DlIscsiPortal portal_of(const char *name, char ret_address[static 256])
{
        g_autofree char *variable = g_strconcat("DL_PORTAL_", name, NULL);
        const char *value = getenv(variable);
        char *colon;

        g_assert_nonnull(value);
        g_strlcpy(ret_address, value, 256);
        colon = strrchr(ret_address, ':');
        *colon = '\0';
        return (DlIscsiPortal){.address = ret_address, .port = (uint16_t)atoi(colon + 1)};
}

static void outcome_end(Outcome *outcome, const GError *error)
{
        g_assert_false(outcome->done);
        outcome->done = true;
        outcome->order = order++;
        outcome->operation = NULL;
        outcome->usec = (uint64_t)g_get_monotonic_time() - outcome->started;
        outcome->code = -1;
        if (!error)
                return;
        g_assert_true(error->domain == DL_ERROR);
        outcome->code = error->code;
        outcome->message = g_strdup(error->message);
        g_test_message("%s: %s", dl_error_name(error->code), error->message);
}

static void on_discovered(const DlIscsiFoundTarget *targets, size_t n_targets, const GError *error,
                          void *userdata)
{
        Outcome *outcome = userdata;
        g_autoptr(GPtrArray) lines = g_ptr_array_new();

        outcome_end(outcome, error);
        g_assert_true(!error || !targets);
        for (size_t i = 0; i < n_targets; i++) {
                GString *line = g_string_new(targets[i].iqn);

                for (size_t j = 0; j < targets[i].n_portals; j++) {
                        const DlIscsiFoundPortal *p = &targets[i].portals[j];

                        g_string_append_printf(line, " %s:%u,%u", p->address, p->port, p->tpgt);
                }
                g_ptr_array_add(lines, g_string_free(line, FALSE));
        }
        g_ptr_array_add(lines, NULL);
        outcome->targets = (char **)g_ptr_array_steal(lines, NULL);
}

static void on_inspected(const DlIscsiInspection *inspection, const GError *error, void *userdata)
{
        Outcome *outcome = userdata;

        outcome_end(outcome, error);
        g_assert_true(!inspection == !!error);
        if (!inspection)
                return;
        outcome->tpgt = inspection->tpgt;
        outcome->n_luns = inspection->n_luns;
        outcome->luns = g_new0(DlIscsiLun, inspection->n_luns);
        for (size_t i = 0; i < inspection->n_luns; i++) {
                const DlIscsiLun *from = &inspection->luns[i];
                DlIscsiLun *to = &outcome->luns[i];

                g_assert_true(i == 0 || from->lun > from[-1].lun);
                *to = *from;
                to->error = from->error ? g_error_copy(from->error) : NULL;
                to->guid = g_strdup(from->guid);
                to->fingerprint = g_strdup(from->fingerprint);
                to->vendor = g_strdup(from->vendor);
                to->product = g_strdup(from->product);
                to->revision = g_strdup(from->revision);
                to->serial = g_strdup(from->serial);
        }
}

void outcome_clear(Outcome *outcome)
{
        for (size_t i = 0; i < outcome->n_luns; i++) {
                DlIscsiLun *lun = &outcome->luns[i];

                g_clear_error(&lun->error);
                g_free(lun->guid);
                g_free(lun->fingerprint);
                g_free(lun->vendor);
                g_free(lun->product);
                g_free(lun->revision);
                g_free(lun->serial);
        }
        g_free(outcome->luns);
        for (size_t i = 0; i < outcome->n_pieces; i++)
                g_bytes_unref(outcome->pieces[i]);
        g_free(outcome->pieces);
        g_free(outcome->piece_codes);
        g_strfreev(outcome->targets);
        g_free(outcome->message);
        *outcome = (Outcome){0};
}

void discover(World *world, const char *name, const DlIscsiCredentials *credentials, Outcome *ret)
{
        char address[256];
        DlIscsiPortal portal = portal_of(name, address);

        outcome_clear(ret);
        ret->started = (uint64_t)g_get_monotonic_time();
        ret->operation = dl_iscsi_discover(world->iscsi, &portal, credentials, on_discovered, ret);
        g_assert_false(ret->done);
}

static void on_read(const DlIscsiPiece *pieces, size_t n_pieces, const GError *error,
                    void *userdata)
{
        Outcome *outcome = userdata;

        outcome_end(outcome, error);
        g_assert_true(!error || (!pieces && n_pieces == 0));
        outcome->n_pieces = n_pieces;
        outcome->pieces = g_new0(GBytes *, n_pieces);
        outcome->piece_codes = g_new0(int, n_pieces);
        for (size_t i = 0; i < n_pieces; i++) {
                g_assert_true(!pieces[i].data == !!pieces[i].error);
                outcome->pieces[i] = pieces[i].data ? g_bytes_ref(pieces[i].data) : NULL;
                outcome->piece_codes[i] = pieces[i].error ? (int)dl_error_code(pieces[i].error)
                                                          : -1;
        }
}

void read_luns(World *world, const char *name, const char *iqn, const DlIscsiExtent *extents,
               size_t n_extents, Outcome *ret)
{
        char address[256];
        DlIscsiPortal portal = portal_of(name, address);

        outcome_clear(ret);
        ret->started = (uint64_t)g_get_monotonic_time();
        ret->operation = dl_iscsi_read(world->iscsi, iqn, &portal, NULL, extents, n_extents,
                                       on_read, ret);
        g_assert_false(ret->done);
}

void inspect(World *world, const char *name, const char *iqn, const DlIscsiCredentials *credentials,
             const uint64_t *luns, size_t n_luns, Outcome *ret)
{
        char address[256];
        DlIscsiPortal portal = portal_of(name, address);

        outcome_clear(ret);
        ret->started = (uint64_t)g_get_monotonic_time();
        ret->operation = dl_iscsi_inspect(world->iscsi, iqn, &portal, credentials, luns, n_luns,
                                          on_inspected, ret);
        g_assert_false(ret->done);
}

void wait_for(World *world, Outcome *outcomes, size_t n)
{
        gint64 deadline = g_get_monotonic_time() + 20 * G_USEC_PER_SEC;

        for (size_t i = 0; i < n; i++)
                while (!outcomes[i].done) {
                        g_assert_cmpint(g_get_monotonic_time(), <, deadline);
                        g_assert_cmpint(sd_event_run(world->event, 1000000), >=, 0);
                }
}

void turn_for(World *world, uint64_t usec)
{
        uint64_t end = (uint64_t)g_get_monotonic_time() + usec, now;

        while ((now = (uint64_t)g_get_monotonic_time()) < end)
                g_assert_cmpint(sd_event_run(world->event, end - now), >=, 0);
}

void assert_good(const Outcome *outcome)
{
        g_assert_true(outcome->done);
        if (outcome->code != -1)
                g_error("%s: %s", dl_error_name(outcome->code), outcome->message);
}

void assert_error(const Outcome *outcome, DlErrorCode code)
{
        g_assert_true(outcome->done);
        g_assert_cmpstr(outcome->code < 0 ? "good" : dl_error_name(outcome->code), ==,
                        dl_error_name((int)code));
        g_assert_cmpstr(outcome->message, !=, "");
}

const DlIscsiLun *lun_of(const Outcome *outcome, uint64_t number)
{
        for (size_t i = 0; i < outcome->n_luns; i++)
                if (outcome->luns[i].lun == number)
                        return &outcome->luns[i];
        g_error("no LUN %" G_GUINT64_FORMAT, number);
}

long ask(const char *question)
{
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        char answer[64] = "";
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        g_assert_cmpint(fd, >=, 0);
        g_strlcpy(address.sun_path, getenv("DL_CONTROL"), sizeof address.sun_path);
        g_assert_cmpint(connect(fd, (struct sockaddr *)&address, sizeof address), ==, 0);
        g_assert_cmpint(write(fd, question, strlen(question)), ==, (gssize)strlen(question));
        g_assert_cmpint(shutdown(fd, SHUT_WR), ==, 0);
        g_assert_cmpint(read(fd, answer, sizeof answer - 1), >, 0);
        close(fd);
        return atol(answer);
}

void assert_no_sessions(World *world)
{
        gint64 deadline = g_get_monotonic_time() + 3 * G_USEC_PER_SEC;

        while (ask("sessions") > 0) {
                g_assert_cmpint(g_get_monotonic_time(), <, deadline);
                turn_for(world, 20000);
        }
}
