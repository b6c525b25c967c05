/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Reading the arguments that clients send: dictionaries a{sv}, whose keys are all known or the call
 * is refused, and checks of ranges and lengths. What is read is borrowed from the message, unless
 * said otherwise. Everything fails with InvalidArgs, naming what is wrong. Loop thread only.
 */

#include "util/secret.h"

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-bus.h>

#define DL_BUS_NAME_MAX        255  /* bytes: addresses, users, IQNs, GUIDs, tokens, aliases */
#define DL_BUS_DESCRIPTION_MAX 4096 /* bytes */
#define DL_BUS_LIST_MAX        4096 /* GUIDs in a list */
#define DL_BUS_PORTALS_MAX     64

/* One option of a method. type and what offset points to: 's' const char *, 'b' int, 'u' uint32_t,
 * 'h' int, 'a' (as) GStrv, owned. What is not given is left as it is. Ends with a NULL name. */
typedef struct DlBusOption {
        const char *name;
        char type;
        bool may_be_empty; /* a string */
        size_t max;        /* bytes of a string (0: DL_BUS_NAME_MAX) */
        size_t offset;
} DlBusOption;

/* Options that every method with a job takes. */
typedef struct DlBusCommon {
        const char *job_token; /* NULL: none */
        uint32_t timeout_ms;   /* 0: the default */
        int force;
        int dry_run;
} DlBusCommon;

#define DL_BUS_TIMEOUT_MS_MAX (24u * 3600 * 1000)

/* common NULL: those are not known either. options may be NULL. */
bool dl_bus_options_read(sd_bus_message *m, const DlBusOption *options, void *values,
                         DlBusCommon *common, GError **error);

/* Enters the dictionary a{sv} that comes next and calls entry() within each variant, whose type is
 * contents; entry() reads the value, whole. No key comes twice. */
typedef bool (*DlBusEntry)(sd_bus_message *m, const char *key, const char *contents, void *userdata,
                           GError **error);
bool dl_bus_dictionary_read(sd_bus_message *m, DlBusEntry entry, void *userdata, GError **error);

/* A basic value, in whatever D-Bus type it came. */
typedef struct DlBusValue {
        const char *name; /* of the key, for messages */
        char type;        /* 's' (and 'o', 'g'), 'b', 'h', 'i' for every integer */
        const char *string;
        bool boolean;
        int fd;
        int64_t integer; /* beyond its range: INT64_MAX */
} DlBusValue;

bool dl_bus_value_read(sd_bus_message *m, const char *key, const char *contents,
                       DlBusValue *ret_value, GError **error);
/* Booleans, integers 0 and 1, and "true", "on", "false", "off" in any case. */
bool dl_bus_value_to_bool(const DlBusValue *value, bool *ret, GError **error);
/* Integers, and strings of decimal digits. */
bool dl_bus_value_to_integer(const DlBusValue *value, int64_t min, int64_t max, int64_t *ret,
                             GError **error);
/* A string that is not empty nor too long. */
bool dl_bus_value_to_name(const DlBusValue *value, const char **ret, GError **error);

/* min_length 0 or 1. */
bool dl_bus_check_text(const char *what, const char *text, size_t min_length, size_t max_length,
                       GError **error);
bool dl_bus_check_port(unsigned port, GError **error);

/* A list of names, none empty; freed by the caller. */
bool dl_bus_names_read(sd_bus_message *m, const char *what, GStrv *ret, GError **error);

/* Turns a negative errno of sd-bus' reading functions into InvalidArgs; returns whether it is
 * none. */
bool dl_bus_read_ok(int r, const char *what, GError **error);
