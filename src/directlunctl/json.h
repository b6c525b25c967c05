/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * D-Bus values as JSON, and JSON as text: everything that is read from the service goes through
 * here, whether it ends in a table or in JSON. Nodes and objects belong to the caller. One thread.
 */

#include <json-glib/json-glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-bus.h>

/*
 * The next complete value of a message; negative errno. A variant is what is in it, a structure an
 * array, a dictionary an object, a number that is not finite null. An integer above 2⁶³ - 1 is a
 * string of digits, since readers of JSON would make another number of it.
 */
int ctl_json_read(sd_bus_message *m, JsonNode **ret);

JsonNode *ctl_json_from_uint64(uint64_t value);
JsonNode *ctl_json_from_double(double value);

/* Members that may be missing or of another type: then "" or 0 or false or NULL. */
const char *ctl_json_string(JsonObject *object, const char *name);
uint64_t ctl_json_uint(JsonObject *object, const char *name);
double ctl_json_double(JsonObject *object, const char *name);
bool ctl_json_bool(JsonObject *object, const char *name);
JsonArray *ctl_json_array(JsonObject *object, const char *name);
unsigned ctl_json_length(JsonObject *object, const char *name); /* of an array */

/* An element of an array: "" if it is no string. */
const char *ctl_json_element(JsonArray *array, unsigned n);
