/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* D-Bus values as JSON: types, escaping, numbers that JSON cannot have. */

#include "directlunctl/json.h"
#include "util/json-text.h"

#include <math.h>
#include <sys/socket.h>
#include <unistd.h>

static sd_bus *bus; /* never connected: messages need one */

/* A sealed message to read from. */
static sd_bus_message *message(const char *types, ...)
{
        sd_bus_message *m = NULL;
        va_list ap;

        g_assert_cmpint(sd_bus_message_new_signal(bus, &m, "/x", "x.Y", "Z"), >=, 0);
        va_start(ap, types);
        g_assert_cmpint(sd_bus_message_appendv(m, types, ap), >=, 0);
        va_end(ap);
        g_assert_cmpint(sd_bus_message_seal(m, 1, 0), >=, 0);
        return m;
}

/* Takes the message. */
static void assert_json(sd_bus_message *m, const char *expected)
{
        g_autofree char *text = NULL;
        g_autoptr(JsonNode) node = NULL;
        g_autoptr(JsonNode) more = NULL;

        g_assert_cmpint(ctl_json_read(m, &node), >=, 0);
        text = dl_json_text(node, false);
        g_assert_cmpstr(text, ==, expected);
        g_assert_cmpint(ctl_json_read(m, &more), <, 0); /* nothing is left */
        sd_bus_message_unref(m);
}

/* What was written is read again as the same. */
static void assert_round_trip(const char *string)
{
        g_autoptr(JsonNode) node = json_node_init_string(json_node_alloc(), string);

        for (int pretty = 0; pretty < 2; pretty++) {
                g_autofree char *text = dl_json_text(node, pretty);
                g_autoptr(GError) error = NULL;
                g_autoptr(JsonNode) again = json_from_string(text, &error);

                g_assert_no_error(error);
                g_assert_cmpstr(json_node_get_string(again), ==, string);
                for (const char *c = text; *c; c++) /* no raw control character, no newline */
                        g_assert_cmpint((unsigned char)*c, >=, 0x20);
        }
}

static void test_basic(void)
{
        assert_json(message("s", "text"), "\"text\"");
        assert_json(message("o", "/a/b"), "\"/a/b\"");
        assert_json(message("g", "a{sv}"), "\"a{sv}\"");
        assert_json(message("b", 1), "true");
        assert_json(message("b", 0), "false");
        assert_json(message("y", 255), "255");
        assert_json(message("n", -32768), "-32768");
        assert_json(message("q", 65535), "65535");
        assert_json(message("i", INT32_MIN), "-2147483648");
        assert_json(message("u", UINT32_MAX), "4294967295");
        assert_json(message("x", INT64_MIN), "-9223372036854775808");
        assert_json(message("t", (uint64_t)INT64_MAX), "9223372036854775807");
        assert_json(message("t", UINT64_MAX), "\"18446744073709551615\"");
        assert_json(message("d", 0.5), "0.5");
        assert_json(message("d", (double)NAN), "null");
        assert_json(message("d", (double)-INFINITY), "null");
}

static void test_containers(void)
{
        assert_json(message("as", 0), "[]");
        assert_json(message("as", 2, "a", "b"), "[\"a\",\"b\"]");
        assert_json(message("a{sv}", 0), "{}");
        assert_json(message("a{sv}", 2, "n", "u", 1, "l", "as", 1, "x"), "{\"n\":1,\"l\":[\"x\"]}");
        assert_json(message("a{ss}", 1, "k", "v"), "{\"k\":\"v\"}");
        assert_json(message("a{us}", 1, 7, "v"), "{\"7\":\"v\"}");
        assert_json(message("a(sqq)", 1, "192.0.2.1", 3260, 1), "[[\"192.0.2.1\",3260,1]]");
        assert_json(message("(ss)", "", ""), "[\"\",\"\"]");
        assert_json(message("v", "v", "s", "deep"), "\"deep\"");
        assert_json(message("aa{sv}", 2, 1, "a", "b", 1, 0), "[{\"a\":true},{}]");
}

static void test_escaping(void)
{
        assert_round_trip("");
        assert_round_trip("\"quoted\" \\ / back");
        assert_round_trip("\b\f\n\r\t\001\037\033[0m");
        assert_round_trip("\177 größe 磁盘 \360\237\222\276 \342\200\250 \342\200\251");
        assert_round_trip("</script>");
}

static void test_keys_are_escaped(void)
{
        g_autoptr(JsonObject) object = json_object_new();
        g_autoptr(JsonNode) node = NULL, again = NULL;
        g_autofree char *text = NULL;

        json_object_set_boolean_member(object, "a\"b\n\\", true);
        node = json_node_init_object(json_node_alloc(), object);
        text = dl_json_text(node, false);
        again = json_from_string(text, NULL);
        g_assert_nonnull(again);
        g_assert_true(ctl_json_bool(json_node_get_object(again), "a\"b\n\\"));
}

static void test_members(void)
{
        g_autoptr(JsonNode) node = json_from_string(
                "{\"s\":\"x\",\"n\":7,\"m\":-7,\"b\":true,\"d\":0.5,\"a\":[\"y\",1,[]],\"o\":{},"
                "\"big\":\"18446744073709551615\",\"null\":null}",
                NULL);
        JsonObject *o = json_node_get_object(node);

        g_assert_cmpstr(ctl_json_string(o, "s"), ==, "x");
        g_assert_cmpstr(ctl_json_string(o, "n"), ==, "");
        g_assert_cmpstr(ctl_json_string(o, "o"), ==, "");
        g_assert_cmpstr(ctl_json_string(o, "null"), ==, "");
        g_assert_cmpstr(ctl_json_string(o, "missing"), ==, "");
        g_assert_cmpuint(ctl_json_uint(o, "n"), ==, 7);
        g_assert_cmpuint(ctl_json_uint(o, "m"), ==, 0);
        g_assert_cmpuint(ctl_json_uint(o, "big"), ==, UINT64_MAX);
        g_assert_cmpuint(ctl_json_uint(o, "a"), ==, 0);
        g_assert_true(ctl_json_bool(o, "b"));
        g_assert_false(ctl_json_bool(o, "missing"));
        g_assert_true(ctl_json_double(o, "d") > 0.4 && ctl_json_double(o, "d") < 0.6);
        g_assert_cmpuint(ctl_json_length(o, "a"), ==, 3);
        g_assert_cmpuint(ctl_json_length(o, "s"), ==, 0);
        g_assert_null(ctl_json_array(o, "o"));
        g_assert_cmpstr(ctl_json_element(ctl_json_array(o, "a"), 0), ==, "y");
        g_assert_cmpstr(ctl_json_element(ctl_json_array(o, "a"), 1), ==, "");
        g_assert_cmpstr(ctl_json_element(ctl_json_array(o, "a"), 2), ==, "");
}

int main(int argc, char *argv[])
{
        int fds[2], r;

        g_test_init(&argc, &argv, NULL);
        g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), ==, 0);
        g_assert_cmpint(sd_bus_new(&bus), >=, 0);
        g_assert_cmpint(sd_bus_set_fd(bus, fds[0], fds[0]), >=, 0);
        g_assert_cmpint(sd_bus_start(bus), >=, 0);
        g_test_add_func("/json/basic", test_basic);
        g_test_add_func("/json/containers", test_containers);
        g_test_add_func("/json/escaping", test_escaping);
        g_test_add_func("/json/keys-are-escaped", test_keys_are_escaped);
        g_test_add_func("/json/members", test_members);
        r = g_test_run();
        sd_bus_close_unref(bus);
        close(fds[1]);
        return r;
}
