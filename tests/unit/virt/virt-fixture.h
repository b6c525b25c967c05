/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A loop with workers and a DlVirt whose events are written down. One thread: the test's. */

#include "virt/virt.h"

#define DEADLINE_SEC 60 /* for what should take a moment; slow sanitizers included */

typedef struct Fixture {
        sd_event *event;
        DlWorkers *workers;
        DlVirt *virt;
        GPtrArray *events; /* char*: "connected", "changed UUID", "removed UUID ALIAS" … */

        /* of the last call that ended */
        bool ended;
        GError *error;
        char *live_xml, *inactive_xml, *name;
        DlVirtState state;
        bool persistent;
        size_t n_domains;
} Fixture;

void fixture_open(Fixture *f, const char *uri);
void fixture_close(Fixture *f);

/* Runs the loop until there is such an event (prefix), from the one at *cursor on, and moves the
 * cursor behind it; fails the test after the deadline. */
void fixture_wait_event(Fixture *f, guint *cursor, const char *prefix);
bool fixture_has_event(const Fixture *f, guint from, const char *prefix);
/* Runs the loop for one turn of at most 50 ms. */
void fixture_turn(Fixture *f);
/* Runs the loop until the call that was just made has ended. */
void fixture_wait_end(Fixture *f, DlVirtCall *call);
void fixture_wait_ok(Fixture *f, DlVirtCall *call);
void fixture_wait_error(Fixture *f, DlVirtCall *call, int code);

/* Callbacks for calls; userdata is the fixture. */
void on_done(const GError *error, void *userdata);
void on_domain(const DlVirtDomain *domain, const GError *error, void *userdata);
void on_listed(DlVirtDomain *const *domains, size_t n_domains, const GError *error, void *userdata);
