/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A JSON tree as text. Pure; any thread. */

#include "json-text.h"

#include <string.h>

char *dl_json_text(JsonNode *node, bool pretty)
{
        g_autofree char *text = json_to_string(node, pretty);
        const char *rest = text, *forgotten;
        GString *escaped;

        /* json-glib 1.6 escapes all control characters but this one */
        if (!strchr(text, 0x1f))
                return g_steal_pointer(&text);
        escaped = g_string_new(NULL);
        for (; (forgotten = strchr(rest, 0x1f)); rest = forgotten + 1) {
                g_string_append_len(escaped, rest, forgotten - rest);
                g_string_append(escaped, "\\u001f");
        }
        g_string_append(escaped, rest);
        return g_string_free(escaped, FALSE);
}
