/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A loop with workers and a DlVirt whose events are written down. One thread: the test's. */

#include "virt-fixture.h"

#include "util/error.h"

static void note(Fixture *f, char *text)
{
        g_ptr_array_add(f->events, text);
}

static void on_connected(void *userdata)
{
        note(userdata, g_strdup("connected"));
}

static void on_disconnected(void *userdata)
{
        note(userdata, g_strdup("disconnected"));
}

static void on_changed(const char *uuid, void *userdata)
{
        note(userdata, g_strdup_printf("changed %s", uuid));
}

static void on_removed(const char *uuid, const char *alias, void *userdata)
{
        note(userdata, g_strdup_printf("removed %s %s", uuid, alias));
}

static void on_removal_failed(const char *uuid, const char *alias, void *userdata)
{
        note(userdata, g_strdup_printf("removal-failed %s %s", uuid, alias));
}

static void on_io_error(const char *uuid, const char *alias, const char *action, void *userdata)
{
        note(userdata, g_strdup_printf("io-error %s %s %s", uuid, alias, action));
}

void fixture_open(Fixture *f, const char *uri)
{
        static const DlVirtEvents events = {
                .connected = on_connected,
                .disconnected = on_disconnected,
                .domain_changed = on_changed,
                .device_removed = on_removed,
                .device_removal_failed = on_removal_failed,
                .io_error = on_io_error,
        };

        *f = (Fixture){.events = g_ptr_array_new_with_free_func(g_free)};
        g_assert_cmpint(sd_event_new(&f->event), >=, 0);
        g_assert_cmpint(dl_workers_new(f->event, 4, &f->workers), ==, 0);
        g_assert_cmpint(dl_virt_new(f->event, f->workers, uri, &events, f, &f->virt), ==, 0);
        g_assert_false(dl_virt_is_connected(f->virt));
}

static void forget_result(Fixture *f)
{
        g_clear_error(&f->error);
        g_clear_pointer(&f->live_xml, g_free);
        g_clear_pointer(&f->inactive_xml, g_free);
        g_clear_pointer(&f->name, g_free);
        f->ended = false;
}

void fixture_close(Fixture *f)
{
        dl_virt_free(f->virt);
        dl_workers_free(f->workers);
        g_assert_true(dl_virt_drain(DEADLINE_SEC * G_USEC_PER_SEC));
        sd_event_unref(f->event);
        g_ptr_array_unref(f->events);
        forget_result(f);
}

void fixture_turn(Fixture *f)
{
        g_assert_cmpint(sd_event_run(f->event, 50 * 1000), >=, 0);
}

static bool find_event(const Fixture *f, guint from, const char *prefix, guint *ret)
{
        for (guint i = from; i < f->events->len; i++)
                if (g_str_has_prefix(g_ptr_array_index(f->events, i), prefix)) {
                        *ret = i;
                        return true;
                }
        return false;
}

bool fixture_has_event(const Fixture *f, guint from, const char *prefix)
{
        guint found;

        return find_event(f, from, prefix, &found);
}

/* With what did come: which event is lost depends on the moment, and is hard to see again. */
static void fail_without(const Fixture *f, guint from, const char *prefix)
{
        g_autoptr(GString) others = g_string_new(NULL);

        for (guint i = 0; i < f->events->len; i++)
                g_string_append_printf(others, "%s\n  %s", i == from ? " |" : "",
                                       (const char *)f->events->pdata[i]);
        g_error("no event '%s'; before that and since: %s", prefix, others->str);
}

void fixture_wait_event(Fixture *f, guint *cursor, const char *prefix)
{
        gint64 deadline = g_get_monotonic_time() + DEADLINE_SEC * G_USEC_PER_SEC;
        guint found;

        while (!find_event(f, *cursor, prefix, &found)) {
                if (g_get_monotonic_time() > deadline)
                        fail_without(f, *cursor, prefix);
                fixture_turn(f);
        }
        *cursor = found + 1;
}

void fixture_wait_end(Fixture *f, DlVirtCall *call)
{
        gint64 deadline = g_get_monotonic_time() + DEADLINE_SEC * G_USEC_PER_SEC;

        g_assert_nonnull(call);
        forget_result(f);
        while (!f->ended) {
                g_assert_cmpint(g_get_monotonic_time(), <, deadline);
                fixture_turn(f);
        }
}

void fixture_wait_ok(Fixture *f, DlVirtCall *call)
{
        fixture_wait_end(f, call);
        g_assert_no_error(f->error);
}

void fixture_wait_error(Fixture *f, DlVirtCall *call, int code)
{
        fixture_wait_end(f, call);
        g_assert_error(f->error, DL_ERROR, code);
}

void on_done(const GError *error, void *userdata)
{
        Fixture *f = userdata;

        g_assert_false(f->ended);
        f->ended = true;
        f->error = error ? g_error_copy(error) : NULL;
}

void on_domain(const DlVirtDomain *domain, const GError *error, void *userdata)
{
        Fixture *f = userdata;

        g_assert_true(!domain == !!error);
        on_done(error, f);
        if (!domain)
                return;
        f->name = g_strdup(domain->name);
        f->state = domain->state;
        f->persistent = domain->persistent;
        f->live_xml = g_strdup(domain->live_xml);
        f->inactive_xml = g_strdup(domain->inactive_xml);
}

void on_listed(DlVirtDomain *const *domains, size_t n_domains, const GError *error, void *userdata)
{
        Fixture *f = userdata;

        on_done(error, f);
        f->n_domains = n_domains;
        for (size_t i = 0; i < n_domains; i++) {
                g_assert_nonnull(domains[i]->uuid);
                g_assert_nonnull(domains[i]->name);
                g_assert_true(!domains[i]->live_xml == !dl_virt_state_is_active(domains[i]->state));
                g_assert_true(!domains[i]->inactive_xml == !domains[i]->persistent);
        }
}
