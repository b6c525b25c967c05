/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Rows as JSON: what is read of one that somebody else may have written, and what is. One thread.
 */

#include "core/records/json.h"

#include <string.h>

static void test_json(void)
{
        g_autoptr(JsonNode) node = dl_json_parse(
                "{\"s\":\"x\",\"i\":5,\"big\":9223372036854775807,\"d\":1.5,\"b\":true,"
                "\"n\":null,\"a\":[{},1,null],\"o\":{}}");
        JsonObject *o = json_node_get_object(node);

        g_assert_cmpstr(dl_json_string(o, "s", "no"), ==, "x");
        for (const char *const *name = (const char *const[]){"i", "n", "a", "o", "gone", NULL};
             *name; name++)
                g_assert_cmpstr(dl_json_string(o, *name, "no"), ==, "no");
        g_assert_null(dl_json_string(o, "gone", NULL));

        g_assert_cmpint(dl_json_int(o, "i", 0, 10, 1), ==, 5);
        g_assert_cmpint(dl_json_int(o, "i", 6, 10, 1), ==, 1);
        g_assert_cmpint(dl_json_int(o, "i", 0, 4, 1), ==, 1);
        g_assert_cmpint(dl_json_int(o, "big", 0, INT64_MAX, 1), ==, INT64_MAX);
        g_assert_cmpint(dl_json_int(o, "d", 0, 10, 1), ==, 1);
        g_assert_cmpint(dl_json_int(o, "s", 0, 10, 1), ==, 1);
        g_assert_cmpint(dl_json_int(o, "gone", 0, 10, 1), ==, 1);

        g_assert_true(dl_json_bool(o, "b"));
        g_assert_false(dl_json_bool(o, "i"));
        g_assert_false(dl_json_bool(o, "gone"));

        JsonArray *a = dl_json_array(o, "a");
        g_assert_cmpuint(json_array_get_length(a), ==, 3);
        g_assert_nonnull(dl_json_element(a, 0));
        g_assert_null(dl_json_element(a, 1));
        g_assert_null(dl_json_element(a, 2));
        g_assert_null(dl_json_array(o, "o"));
        g_assert_null(dl_json_array(o, "gone"));
}

static void test_json_not_an_object(void)
{
        static const char *const texts[] = {"",  " ",        "[]",  "7",          "\"{}\"", "null",
                                            "{", "{\"a\":}", "{}}", "{\"a\":1,}", "\xff"};

        for (unsigned i = 0; i < G_N_ELEMENTS(texts); i++) {
                g_autoptr(JsonNode) node = dl_json_parse(texts[i]);

                if (node)
                        g_error("taken for an object: %s", texts[i]);
        }
}

/* As deep as a row can be. */
static void test_json_deep(void)
{
        g_autofree char *text = g_malloc(1024 * 1024 + 1);
        g_autoptr(JsonNode) node = NULL;

        memset(text, '[', 1024 * 1024);
        text[1024 * 1024] = 0;
        memcpy(text, "{\"a\":", 5);
        node = dl_json_parse(text);
        g_assert_null(node);
        /* what looks like an opening of a string, or of a level, inside a string is none */
        memcpy(text, "{\"a\\\"[\":\"", 9);
        memcpy(text + 1024, "\"}", 3);
        node = dl_json_parse(text);
        g_assert_nonnull(node);
}

static void test_json_write(void)
{
        JsonBuilder *b = json_builder_new();

        json_builder_begin_object(b);
        dl_json_add_string(b, "s", "a\"b\\\n\x01\x1f\x7f\x1fü");
        dl_json_add_string(b, "left out", NULL);
        dl_json_add_int(b, "i", INT64_MIN);
        dl_json_add_bool(b, "b", false);
        json_builder_end_object(b);
        g_autofree char *text = dl_json_finish(b, false);
        for (const char *c = text; *c; c++)
                g_assert_cmpint((unsigned char)*c, >=, ' ');
        g_autoptr(JsonNode) node = dl_json_parse(text);
        JsonObject *o = json_node_get_object(node);

        g_assert_cmpuint(json_object_get_size(o), ==, 3);
        g_assert_cmpstr(dl_json_string(o, "s", NULL), ==, "a\"b\\\n\x01\x1f\x7f\x1fü");
        g_assert_cmpint(dl_json_int(o, "i", INT64_MIN, 0, 0), ==, INT64_MIN);
}

int main(int argc, char *argv[])
{
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/core/json/read", test_json);
        g_test_add_func("/core/json/not-an-object", test_json_not_an_object);
        g_test_add_func("/core/json/deep", test_json_deep);
        g_test_add_func("/core/json/write", test_json_write);
        return g_test_run();
}
