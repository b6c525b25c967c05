/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Words of the command line. Pure: no I/O, results belong to the caller. Errors are InvalidArgs. */

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#define CTL_ISCSI_PORT 3260

/* ADDRESS, ADDRESS:PORT, IPV6 or [IPV6]:PORT; the address comes without brackets. */
bool ctl_parse_portal(const char *text, char **ret_address, uint16_t *ret_port, GError **error);

bool ctl_parse_port(const char *text, uint16_t *ret, GError **error);

/* Decimal, whole. name is what the error calls it. */
bool ctl_parse_integer(const char *name, const char *text, int64_t min, int64_t max, int64_t *ret,
                       GError **error);

/* Seconds, with decimals; at most a day. In milliseconds, never 0. */
bool ctl_parse_timeout(const char *text, uint32_t *ret_msec, GError **error);

/*
 * KEY=VALUE,KEY=VALUE…: each key is one of those allowed and comes once; values are not empty. An
 * array of strings: key, value, key, value, NULL.
 */
bool ctl_parse_pairs(const char *name, const char *text, const char *const *allowed, GStrv *ret,
                     GError **error);

/* The value of a key of what ctl_parse_pairs() gave; NULL if it is not there. */
const char *ctl_pair(const char *const *pairs, const char *key);
