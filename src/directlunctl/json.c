/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* From D-Bus to JSON. Nothing is kept. One thread. */

#include "directlunctl/json.h"

#include "util/json-text.h"

#include <errno.h>
#include <math.h>
#include <string.h>

JsonNode *ctl_json_from_uint64(uint64_t value)
{
        g_autofree char *digits = NULL;

        if (value <= INT64_MAX)
                return json_node_init_int(json_node_alloc(), (gint64)value);
        digits = g_strdup_printf("%" G_GUINT64_FORMAT, value);
        return json_node_init_string(json_node_alloc(), digits);
}

JsonNode *ctl_json_from_double(double value)
{
        if (!isfinite(value))
                return json_node_init_null(json_node_alloc());
        return json_node_init_double(json_node_alloc(), value);
}

static int read_integer(sd_bus_message *m, char type, JsonNode **ret)
{
        union {
                uint8_t y;
                int16_t n;
                uint16_t q;
                int32_t i;
                uint32_t u;
                int64_t x;
                uint64_t t;
        } v;
        int r = sd_bus_message_read_basic(m, type, &v);

        if (r < 0)
                return r;
        if (type == 't') {
                *ret = ctl_json_from_uint64(v.t);
                return r;
        }
        *ret = json_node_init_int(json_node_alloc(), type == 'y'   ? v.y
                                                     : type == 'n' ? v.n
                                                     : type == 'q' ? v.q
                                                     : type == 'i' ? v.i
                                                     : type == 'u' ? (gint64)v.u
                                                                   : v.x);
        return r;
}

static int read_basic(sd_bus_message *m, char type, JsonNode **ret)
{
        const char *s;
        double d;
        int b, r;

        switch (type) {
        case 's':
        case 'o':
        case 'g':
                r = sd_bus_message_read_basic(m, type, &s);
                if (r >= 0)
                        *ret = json_node_init_string(json_node_alloc(), s);
                return r;
        case 'b':
                r = sd_bus_message_read_basic(m, type, &b);
                if (r >= 0)
                        *ret = json_node_init_boolean(json_node_alloc(), b);
                return r;
        case 'd':
                r = sd_bus_message_read_basic(m, type, &d);
                if (r >= 0)
                        *ret = ctl_json_from_double(d);
                return r;
        case 'h':
                r = sd_bus_message_skip(m, "h");
                if (r >= 0)
                        *ret = json_node_init_null(json_node_alloc());
                return r;
        default:
                return read_integer(m, type, ret);
        }
}

static int read_key(sd_bus_message *m, char **ret)
{
        g_autoptr(JsonNode) key = NULL;
        int r = ctl_json_read(m, &key);

        if (r < 0)
                return r;
        *ret = JSON_NODE_HOLDS_VALUE(key) && json_node_get_value_type(key) == G_TYPE_STRING
                       ? json_node_dup_string(key)
                       : dl_json_text(key, false);
        return 0;
}

static int read_entry(sd_bus_message *m, JsonObject *object)
{
        g_autofree char *key = NULL;
        JsonNode *value;
        int r;

        r = read_key(m, &key);
        if (r >= 0)
                r = ctl_json_read(m, &value);
        if (r < 0)
                return r;
        json_object_set_member(object, key, value);
        return sd_bus_message_exit_container(m);
}

static int read_dictionary(sd_bus_message *m, const char *contents, JsonNode **ret)
{
        g_autoptr(JsonObject) object = json_object_new();
        g_autofree char *entry = g_strndup(contents + 1, strlen(contents) - 2);
        int r;

        r = sd_bus_message_enter_container(m, 'a', contents);
        while (r >= 0 && (r = sd_bus_message_enter_container(m, 'e', entry)) > 0)
                r = read_entry(m, object);
        if (r >= 0)
                r = sd_bus_message_exit_container(m);
        if (r < 0)
                return r;
        *ret = json_node_init_object(json_node_alloc(), object);
        return 0;
}

static int read_elements(sd_bus_message *m, char type, const char *contents, JsonNode **ret)
{
        g_autoptr(JsonArray) array = json_array_new();
        JsonNode *element;
        int r;

        r = sd_bus_message_enter_container(m, type, contents);
        while (r >= 0 && (r = sd_bus_message_at_end(m, false)) == 0) {
                r = ctl_json_read(m, &element);
                if (r >= 0)
                        json_array_add_element(array, element);
        }
        if (r >= 0)
                r = sd_bus_message_exit_container(m);
        if (r < 0)
                return r;
        *ret = json_node_init_array(json_node_alloc(), array);
        return 0;
}

int ctl_json_read(sd_bus_message *m, JsonNode **ret)
{
        const char *contents;
        JsonNode *node;
        char type;
        int r;

        r = sd_bus_message_peek_type(m, &type, &contents);
        if (r < 0)
                return r;
        if (r == 0)
                return -ENODATA;
        if (type == 'v') {
                r = sd_bus_message_enter_container(m, 'v', contents);
                if (r >= 0)
                        r = ctl_json_read(m, &node);
                if (r < 0)
                        return r;
                r = sd_bus_message_exit_container(m);
                if (r < 0)
                        json_node_unref(node);
                else
                        *ret = node;
                return r;
        }
        if (type == 'a' && contents[0] == '{')
                return read_dictionary(m, contents, ret);
        if (type == 'a' || type == 'r')
                return read_elements(m, type, contents, ret);
        return read_basic(m, type, ret);
}

/* ---- members ------------------------------------------------------------------------------- */

static JsonNode *scalar(JsonObject *object, const char *name)
{
        JsonNode *node = json_object_get_member(object, name);

        return node && JSON_NODE_HOLDS_VALUE(node) ? node : NULL;
}

const char *ctl_json_string(JsonObject *object, const char *name)
{
        JsonNode *node = scalar(object, name);
        const char *s = node ? json_node_get_string(node) : NULL;

        return s ? s : "";
}

uint64_t ctl_json_uint(JsonObject *object, const char *name)
{
        JsonNode *node = scalar(object, name);

        if (!node)
                return 0;
        if (json_node_get_value_type(node) == G_TYPE_STRING)
                return g_ascii_strtoull(json_node_get_string(node), NULL, 10);
        return (uint64_t)MAX(json_node_get_int(node), 0);
}

double ctl_json_double(JsonObject *object, const char *name)
{
        JsonNode *node = scalar(object, name);

        return node ? json_node_get_double(node) : 0;
}

bool ctl_json_bool(JsonObject *object, const char *name)
{
        JsonNode *node = scalar(object, name);

        return node && json_node_get_boolean(node);
}

JsonArray *ctl_json_array(JsonObject *object, const char *name)
{
        JsonNode *node = json_object_get_member(object, name);

        return node && JSON_NODE_HOLDS_ARRAY(node) ? json_node_get_array(node) : NULL;
}

unsigned ctl_json_length(JsonObject *object, const char *name)
{
        JsonArray *array = ctl_json_array(object, name);

        return array ? json_array_get_length(array) : 0;
}

const char *ctl_json_element(JsonArray *array, unsigned n)
{
        JsonNode *node = json_array_get_element(array, n);
        const char *s = JSON_NODE_HOLDS_VALUE(node) ? json_node_get_string(node) : NULL;

        return s ? s : "";
}
