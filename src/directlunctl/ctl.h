/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What all commands share: the settings of one run, the connection to the bus, and how a call of
 * the service is made. One thread; strings in Ctl are borrowed from the command line.
 */

#include "directlunctl/exit-code.h"
#include "directlunctl/json.h"
#include "directlunctl/table.h"

#include <glib.h>
#include <stdbool.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#define CTL_SERVICE "org.ovirt.DirectLun"
#define CTL_ROOT    "/org/ovirt/DirectLun"

typedef enum CtlFormat {
        CTL_TEXT,
        CTL_JSON_SHORT,
        CTL_JSON_PRETTY,
} CtlFormat;

typedef struct Ctl {
        CtlFormat format;
        bool legend;
        bool ask_password; /* also: interactive authorization */
        bool quiet;
        bool force;
        bool dry_run;
        uint32_t timeout_msec; /* 0: the service's own */
        pid_t agent;           /* pkttyagent; 0: none */
        sd_event *event;
        sd_bus *bus;
} Ctl;

/* Connects when it is first needed. */
bool ctl_connect(Ctl *ctl, GError **error);

/* ---- calls of the service ------------------------------------------------------------------ */

/* A call that is being put together; mistakes are told by ctl_call_run(). */
typedef struct CtlCall CtlCall;

/* interface is the last part of its name. NULL if there is no connection. */
CtlCall *ctl_call_new(Ctl *ctl, const char *path, const char *interface, const char *method,
                      GError **error);
void ctl_call_free(CtlCall *call);

void ctl_call_append(CtlCall *call, const char *types, ...);
void ctl_call_strings(CtlCall *call, const char *const *strings); /* as; NULL is empty */

/* A dictionary a{sv}, and entries of it. */
void ctl_call_open(CtlCall *call);
void ctl_call_entry(CtlCall *call, const char *name, const char *type, ...);
void ctl_call_entry_strings(CtlCall *call, const char *name, const char *const *strings);
void ctl_call_entry_pairs(CtlCall *call, const char *name, const char *const *pairs); /* a{ss} */
void ctl_call_entry_open(CtlCall *call, const char *name); /* a{sv}; closed by the next function */
void ctl_call_entry_close(CtlCall *call);
void ctl_call_close(CtlCall *call);

/*
 * Closes the dictionary that is open, which is that of the options; sends the call, shows how far
 * its job is, lets Ctrl-C cancel it, and waits for its end. The reply, or NULL: then the report of
 * what was rolled back has been shown; or, with CTL_ERROR_DRY_RUN, that of what would be done, and
 * the command has nothing left to do.
 */
sd_bus_message *ctl_call_run(CtlCall *call, GError **error);

/* After a call that succeeded: what its job reports, which failed portals may be part of. */
void ctl_call_tell_report(CtlCall *call);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(CtlCall, ctl_call_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(sd_bus_message, sd_bus_message_unref)

/* A call without a job, that is answered at once; types as for sd_bus_message_append(). */
sd_bus_message *ctl_ask(Ctl *ctl, const char *path, const char *interface, const char *method,
                        GError **error, const char *types, ...);

/* A reply that is not what it should be. */
bool ctl_read_ok(int r, GError **error);

/* ---- output -------------------------------------------------------------------------------- */

/* Columns of the terminal that is stdout; 0 if it is none. */
unsigned ctl_width(void);

void ctl_print_json(const Ctl *ctl, JsonNode *node);
void ctl_print_table(const Ctl *ctl, const CtlTable *table);

/* On stderr, unless quiet. */
void ctl_note(const Ctl *ctl, const char *format, ...) G_GNUC_PRINTF(2, 3);
void ctl_print_error(const GError *error);
