/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Helpers around json-glib. Pure. */

#include "core/records/json.h"

#include "util/json-text.h"

/* Far deeper than any row; the parser calls itself for each level, as deep as the text says. */
#define DEPTH_MAX 32

static bool is_too_deep(const char *text)
{
        unsigned depth = 0;
        bool in_string = false;

        for (const char *c = text; *c; c++) {
                if (*c == '"')
                        in_string = !in_string;
                else if (in_string && *c == '\\' && c[1])
                        c++;
                else if (!in_string && (*c == '[' || *c == '{') && ++depth > DEPTH_MAX)
                        return true;
                else if (!in_string && (*c == ']' || *c == '}') && depth > 0)
                        depth--;
        }
        return false;
}

JsonNode *dl_json_parse(const char *text)
{
        JsonNode *node = is_too_deep(text) ? NULL : json_from_string(text, NULL);

        if (node && JSON_NODE_HOLDS_OBJECT(node))
                return node;
        g_clear_pointer(&node, json_node_unref);
        return NULL;
}

static JsonNode *value_of_type(JsonObject *object, const char *name, GType type)
{
        JsonNode *node = json_object_get_member(object, name);

        return node && JSON_NODE_HOLDS_VALUE(node) && json_node_get_value_type(node) == type ? node
                                                                                             : NULL;
}

const char *dl_json_string(JsonObject *object, const char *name, const char *otherwise)
{
        JsonNode *node = value_of_type(object, name, G_TYPE_STRING);

        return node ? json_node_get_string(node) : otherwise;
}

int64_t dl_json_int(JsonObject *object, const char *name, int64_t min, int64_t max,
                    int64_t otherwise)
{
        JsonNode *node = value_of_type(object, name, G_TYPE_INT64);
        int64_t value = node ? json_node_get_int(node) : otherwise;

        return value >= min && value <= max ? value : otherwise;
}

bool dl_json_bool(JsonObject *object, const char *name)
{
        JsonNode *node = value_of_type(object, name, G_TYPE_BOOLEAN);

        return node && json_node_get_boolean(node);
}

JsonArray *dl_json_array(JsonObject *object, const char *name)
{
        JsonNode *node = json_object_get_member(object, name);

        return node && JSON_NODE_HOLDS_ARRAY(node) ? json_node_get_array(node) : NULL;
}

JsonObject *dl_json_object(JsonObject *object, const char *name)
{
        JsonNode *node = json_object_get_member(object, name);

        return node && JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node) : NULL;
}

JsonObject *dl_json_element(JsonArray *array, unsigned i)
{
        JsonNode *node = json_array_get_element(array, i);

        return JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node) : NULL;
}

void dl_json_add_string(JsonBuilder *builder, const char *name, const char *value)
{
        if (!value)
                return;
        json_builder_set_member_name(builder, name);
        json_builder_add_string_value(builder, value);
}

void dl_json_add_int(JsonBuilder *builder, const char *name, int64_t value)
{
        json_builder_set_member_name(builder, name);
        json_builder_add_int_value(builder, value);
}

void dl_json_add_bool(JsonBuilder *builder, const char *name, bool value)
{
        json_builder_set_member_name(builder, name);
        json_builder_add_boolean_value(builder, value);
}

char *dl_json_finish(JsonBuilder *builder, bool pretty)
{
        g_autoptr(JsonNode) root = json_builder_get_root(builder);

        g_object_unref(builder);
        return dl_json_text(root, pretty);
}
