/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Reading JSON (rows of the store, what QEMU answers) without trusting it: what is missing, or of
 * another type, has the default. Pure. */

#include <json-glib/json-glib.h>
#include <stdbool.h>
#include <stdint.h>

/* NULL if it is not a JSON object. */
JsonNode *dl_json_parse(const char *text);

const char *dl_json_string(JsonObject *object, const char *name, const char *otherwise);
int64_t dl_json_int(JsonObject *object, const char *name, int64_t min, int64_t max,
                    int64_t otherwise);
bool dl_json_bool(JsonObject *object, const char *name);
/* NULL, or the array; borrowed. */
JsonArray *dl_json_array(JsonObject *object, const char *name);
/* NULL, or the object; borrowed. */
JsonObject *dl_json_object(JsonObject *object, const char *name);
/* The element if it is an object, else NULL; borrowed. */
JsonObject *dl_json_element(JsonArray *array, unsigned i);

/* Writing: a member of the object that the builder has open; a NULL string is left out. */
void dl_json_add_string(JsonBuilder *builder, const char *name, const char *value);
void dl_json_add_int(JsonBuilder *builder, const char *name, int64_t value);
void dl_json_add_bool(JsonBuilder *builder, const char *name, bool value);
/* The text of what was built; frees the builder. */
char *dl_json_finish(JsonBuilder *builder, bool pretty);
