/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A JSON tree as text. Pure; any thread. */

#include <json-glib/json-glib.h>
#include <stdbool.h>

/* RFC 8259; pretty: with line breaks and indents. */
char *dl_json_text(JsonNode *node, bool pretty);
