/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What the tests of the initiator share: a loop with an initiator on it, operations whose results
 * are kept, and the portals that the driver (run-portals.py) has made and named in the environment.
 */

#include "iscsi/iscsi.h"
#include "util/error.h"

#include <systemd/sd-event.h>

#define INITIATOR "iqn.2026-11.org.example:initiator"
#define TARGET(x) "iqn.2026-11.org.example:" x

typedef struct World {
        sd_event *event;
        DlWorkers *workers;
        DlIscsi *iscsi;
} World;

/* Short deadlines for what is to fail in time, long ones for what is to go well. */
extern const DlIscsiLimits limits_short, limits_long;

void world_init(World *world, const DlIscsiLimits *limits);
void world_clear(World *world);

/* What CHAP needs; target_user and target_secret may be NULL. */
DlIscsiCredentials chap(const char *user, const char *secret, const char *target_user,
                        const char *target_secret);
void chap_clear(DlIscsiCredentials *credentials);

typedef struct Outcome {
        bool done;
        int code; /* -1: no error */
        char *message;
        uint64_t usec;  /* from the start of the operation */
        unsigned order; /* the how-manieth it was to end */

        char **targets; /* "iqn address:port,tpgt …" each */
        uint16_t tpgt;
        DlIscsiLun *luns; /* copies */
        size_t n_luns;

        GBytes **pieces;  /* of a read; NULL: that one failed */
        int *piece_codes; /* -1: no error */
        size_t n_pieces;

        DlIscsiOperation *operation; /* NULL once it is over */
        uint64_t started;
} Outcome;

/* name: of a portal of the driver. The outcome is cleared first. */
void discover(World *world, const char *name, const DlIscsiCredentials *credentials, Outcome *ret);
void inspect(World *world, const char *name, const char *iqn, const DlIscsiCredentials *credentials,
             const uint64_t *luns, size_t n_luns, Outcome *ret);
void read_luns(World *world, const char *name, const char *iqn, const DlIscsiExtent *extents,
               size_t n_extents, Outcome *ret);
void outcome_clear(Outcome *outcome);

/* Turns the loop until all are done; aborts the test after 20 s. */
void wait_for(World *world, Outcome *outcomes, size_t n);
void turn_for(World *world, uint64_t usec);

void assert_good(const Outcome *outcome);
void assert_error(const Outcome *outcome, DlErrorCode code);
const DlIscsiLun *lun_of(const Outcome *outcome, uint64_t number);

/* "address:port" of a portal of the driver */
DlIscsiPortal portal_of(const char *name, char ret_address[static 256]);

/* Asks the driver: "sessions" (logged in to tgtd now), "total NAME" (connections that a portal has
 * taken), "resume". */
long ask(const char *question);

/* Turns the loop until tgtd has no session any more: nobody may leave one behind. */
void assert_no_sessions(World *world);

/* One for each file of tests: adds them. */
void add_good_tests(void);
void add_bad_tests(void);
void add_life_tests(void);
