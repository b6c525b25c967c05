/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Dictionaries and values that clients send. What is read belongs to the message, lists of strings
 * to the caller. Loop thread only.
 */

#include "bus/bus-options.h"

#include "util/error.h"

#include <string.h>

#define ENTRIES_MAX 64 /* of one dictionary */

bool dl_bus_read_ok(int r, const char *what, GError **error)
{
        if (r >= 0)
                return true;
        g_set_error(error, DL_ERROR, DL_ERROR_INVALID_ARGS, "%s cannot be read: %s", what,
                    g_strerror(-r));
        return false;
}

bool dl_bus_check_text(const char *what, const char *text, size_t min_length, size_t max_length,
                       GError **error)
{
        size_t length = strlen(text);

        if (length < min_length) {
                g_set_error(error, DL_ERROR, DL_ERROR_INVALID_ARGS, "'%s' must not be empty", what);
                return false;
        }
        if (length > max_length) {
                g_set_error(error, DL_ERROR, DL_ERROR_INVALID_ARGS, "'%s' is longer than %zu bytes",
                            what, max_length);
                return false;
        }
        return true;
}

bool dl_bus_check_port(unsigned port, GError **error)
{
        if (port >= 1 && port <= UINT16_MAX)
                return true;
        g_set_error(error, DL_ERROR, DL_ERROR_INVALID_ARGS, "the port must be between 1 and 65535");
        return false;
}

bool dl_bus_names_read(sd_bus_message *m, const char *what, GStrv *ret, GError **error)
{
        g_auto(GStrv) names = NULL;

        if (!dl_bus_read_ok(sd_bus_message_read_strv(m, &names), what, error))
                return false;
        if (!names) /* sd-bus' empty list */
                names = g_new0(char *, 1);
        if (g_strv_length(names) > DL_BUS_LIST_MAX) {
                g_set_error(error, DL_ERROR, DL_ERROR_INVALID_ARGS, "'%s' has more than %d entries",
                            what, DL_BUS_LIST_MAX);
                return false;
        }
        for (char **name = names; *name; name++)
                if (!dl_bus_check_text(what, *name, 1, DL_BUS_NAME_MAX, error))
                        return false;
        *ret = g_steal_pointer(&names);
        return true;
}

static bool read_entry(sd_bus_message *m, GHashTable *seen, DlBusEntry entry, void *userdata,
                       GError **error)
{
        const char *key, *contents;
        int r;

        r = sd_bus_message_read_basic(m, 's', &key);
        if (r >= 0)
                r = sd_bus_message_peek_type(m, NULL, &contents);
        if (!dl_bus_read_ok(r, "a dictionary", error))
                return false;
        if (!g_hash_table_add(seen, (char *)key) || g_hash_table_size(seen) > ENTRIES_MAX) {
                g_set_error(error, DL_ERROR, DL_ERROR_INVALID_ARGS,
                            "'%s' is given twice, or there "
                            "are more than %d entries",
                            key, ENTRIES_MAX);
                return false;
        }
        r = sd_bus_message_enter_container(m, 'v', contents);
        if (!dl_bus_read_ok(r, key, error) || !entry(m, key, contents, userdata, error))
                return false;
        return dl_bus_read_ok(sd_bus_message_exit_container(m), key, error);
}

bool dl_bus_dictionary_read(sd_bus_message *m, DlBusEntry entry, void *userdata, GError **error)
{
        g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);
        int r;

        r = sd_bus_message_enter_container(m, 'a', "{sv}");
        if (!dl_bus_read_ok(r, "a dictionary", error))
                return false;
        while ((r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
                if (!read_entry(m, seen, entry, userdata, error))
                        return false;
                r = sd_bus_message_exit_container(m);
                if (r < 0)
                        break;
        }
        if (r >= 0)
                r = sd_bus_message_exit_container(m);
        return dl_bus_read_ok(r, "a dictionary", error);
}

/* ---- options ------------------------------------------------------------------------------- */

static const DlBusOption common_options[] = {
        {"job-token", 's', .offset = offsetof(DlBusCommon, job_token)},
        {"timeout-ms", 'u', .offset = offsetof(DlBusCommon, timeout_ms)},
        {"force", 'b', .offset = offsetof(DlBusCommon, force)},
        {"dry-run", 'b', .offset = offsetof(DlBusCommon, dry_run)},
        {},
};

typedef struct Tables {
        const DlBusOption *options;
        void *values;
        DlBusCommon *common;
} Tables;

static const DlBusOption *find_option(const DlBusOption *options, const char *name)
{
        for (; options && options->name; options++)
                if (strcmp(options->name, name) == 0)
                        return options;
        return NULL;
}

static bool read_option_value(sd_bus_message *m, const DlBusOption *option, void *to,
                              GError **error)
{
        const char *string;
        int r;

        if (option->type == 'a') {
                GStrv *names = to;

                g_clear_pointer(names, g_strfreev);
                return dl_bus_names_read(m, option->name, names, error);
        }
        if (option->type != 's') {
                r = sd_bus_message_read_basic(m, option->type, to);
                return dl_bus_read_ok(r, option->name, error);
        }
        r = sd_bus_message_read_basic(m, 's', &string);
        if (!dl_bus_read_ok(r, option->name, error) ||
            !dl_bus_check_text(option->name, string, option->may_be_empty ? 0 : 1,
                               option->max ? option->max : DL_BUS_NAME_MAX, error))
                return false;
        *(const char **)to = string;
        return true;
}

static bool read_option(sd_bus_message *m, const char *key, const char *contents, void *userdata,
                        GError **error)
{
        const Tables *t = userdata;
        const DlBusOption *option = find_option(t->options, key);
        char *base = t->values;
        const char *signature;

        if (!option && t->common) {
                option = find_option(common_options, key);
                base = (char *)t->common;
        }
        if (!option) {
                g_set_error(error, DL_ERROR, DL_ERROR_INVALID_ARGS, "unknown option '%s'", key);
                return false;
        }
        signature = option->type == 'a' ? "as" : (const char[]){option->type, 0};
        if (strcmp(signature, contents) != 0) {
                g_set_error(error, DL_ERROR, DL_ERROR_INVALID_ARGS,
                            "option '%s' must be of type '%s', not '%s'", key, signature, contents);
                return false;
        }
        return read_option_value(m, option, base + option->offset, error);
}

bool dl_bus_options_read(sd_bus_message *m, const DlBusOption *options, void *values,
                         DlBusCommon *common, GError **error)
{
        DlBusCommon given = {};
        Tables tables = {options, values, common ? &given : NULL};

        if (!dl_bus_dictionary_read(m, read_option, &tables, error))
                return false;
        if (given.timeout_ms > DL_BUS_TIMEOUT_MS_MAX) {
                g_set_error(error, DL_ERROR, DL_ERROR_INVALID_ARGS,
                            "option 'timeout-ms' must not be more than %u", DL_BUS_TIMEOUT_MS_MAX);
                return false;
        }
        if (common)
                *common = given;
        return true;
}

/* ---- values -------------------------------------------------------------------------------- */

/* Reads an integer of any size. */
static int read_integer(sd_bus_message *m, char type, int64_t *ret)
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
        *ret = type == 'y'   ? v.y
               : type == 'n' ? v.n
               : type == 'q' ? v.q
               : type == 'i' ? v.i
               : type == 'u' ? (int64_t)v.u
               : type == 'x' ? v.x
                             : (int64_t)MIN(v.t, (uint64_t)INT64_MAX);
        return r;
}

bool dl_bus_value_read(sd_bus_message *m, const char *key, const char *contents,
                       DlBusValue *ret_value, GError **error)
{
        DlBusValue value = {.name = key, .fd = -1};
        char type = contents[1] == 0 ? contents[0] : 0;
        int b, r;

        switch (type) {
        case 's':
        case 'o':
        case 'g':
                value.type = 's';
                r = sd_bus_message_read_basic(m, type, &value.string);
                break;
        case 'b':
                value.type = 'b';
                r = sd_bus_message_read_basic(m, type, &b);
                value.boolean = r >= 0 && b;
                break;
        case 'h':
                value.type = 'h';
                r = sd_bus_message_read_basic(m, type, &value.fd);
                break;
        case 'y':
        case 'n':
        case 'q':
        case 'i':
        case 'u':
        case 'x':
        case 't':
                value.type = 'i';
                r = read_integer(m, type, &value.integer);
                break;
        default:
                g_set_error(error, DL_ERROR, DL_ERROR_INVALID_ARGS,
                            "'%s' cannot have a value of type '%s'", key, contents);
                return false;
        }
        if (!dl_bus_read_ok(r, key, error))
                return false;
        *ret_value = value;
        return true;
}

bool dl_bus_value_to_bool(const DlBusValue *value, bool *ret, GError **error)
{
        static const char *const words[2][3] = {{"false", "off", "0"}, {"true", "on", "1"}};

        if (value->type == 'b') {
                *ret = value->boolean;
                return true;
        }
        if (value->type == 'i' && (value->integer == 0 || value->integer == 1)) {
                *ret = value->integer == 1;
                return true;
        }
        for (int b = 0; value->type == 's' && b < 2; b++)
                for (unsigned i = 0; i < G_N_ELEMENTS(words[b]); i++)
                        if (g_ascii_strcasecmp(value->string, words[b][i]) == 0) {
                                *ret = b;
                                return true;
                        }
        g_set_error(error, DL_ERROR, DL_ERROR_INVALID_ARGS,
                    "'%s' must be a boolean, 'true', 'false', 'on' or 'off'", value->name);
        return false;
}

bool dl_bus_value_to_integer(const DlBusValue *value, int64_t min, int64_t max, int64_t *ret,
                             GError **error)
{
        int64_t integer = value->integer;

        if (value->type == 'i'
                    ? integer >= min && integer <= max
                    : value->type == 's' && g_ascii_string_to_signed(value->string, 10, min, max,
                                                                     &integer, NULL)) {
                *ret = integer;
                return true;
        }
        g_set_error(error, DL_ERROR, DL_ERROR_INVALID_ARGS,
                    "'%s' must be an integer between %" G_GINT64_FORMAT " and %" G_GINT64_FORMAT,
                    value->name, min, max);
        return false;
}

bool dl_bus_value_to_name(const DlBusValue *value, const char **ret, GError **error)
{
        if (value->type != 's') {
                g_set_error(error, DL_ERROR, DL_ERROR_INVALID_ARGS, "'%s' must be a string",
                            value->name);
                return false;
        }
        if (!dl_bus_check_text(value->name, value->string, 1, DL_BUS_NAME_MAX, error))
                return false;
        *ret = value->string;
        return true;
}
