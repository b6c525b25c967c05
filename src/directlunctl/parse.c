/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reads addresses, numbers and key=value lists. Nothing is kept. Any thread. */

#include "directlunctl/parse.h"

#include "util/error.h"

#include <string.h>

#define TIMEOUT_MAX_SEC 86400 /* the service's own limit */

static bool refuse(GError **error, const char *format, ...) G_GNUC_PRINTF(2, 3);

static bool refuse(GError **error, const char *format, ...)
{
        va_list ap;

        va_start(ap, format);
        if (error)
                *error = g_error_new_valist(DL_ERROR, DL_ERROR_INVALID_ARGS, format, ap);
        va_end(ap);
        return false;
}

bool ctl_parse_integer(const char *name, const char *text, int64_t min, int64_t max, int64_t *ret,
                       GError **error)
{
        int64_t value = 0;

        if (!g_ascii_string_to_signed(text, 10, min, max, &value, NULL))
                return refuse(error,
                              "%s must be a number between %" G_GINT64_FORMAT
                              " and %" G_GINT64_FORMAT ", not '%s'",
                              name, min, max, text);
        *ret = value;
        return true;
}

bool ctl_parse_port(const char *text, uint16_t *ret, GError **error)
{
        int64_t value = 0;

        if (!ctl_parse_integer("the port", text, 1, UINT16_MAX, &value, error))
                return false;
        *ret = (uint16_t)value;
        return true;
}

bool ctl_parse_portal(const char *text, char **ret_address, uint16_t *ret_port, GError **error)
{
        const char *start = text, *end, *port = NULL;
        uint16_t number = CTL_ISCSI_PORT;
        const char *colon = strchr(text, ':');

        if (*text == '[') {
                start = text + 1;
                end = strchr(start, ']');
                if (!end || (end[1] && end[1] != ':'))
                        return refuse(error, "'%s' is no address: write [IPV6]:PORT", text);
                port = end[1] ? end + 2 : NULL;
        } else if (colon && !strchr(colon + 1, ':')) {
                end = colon;
                port = colon + 1;
        } else { /* a name, or IPv6 with its many colons */
                end = text + strlen(text);
        }
        if (start == end)
                return refuse(error, "'%s' has no address", text);
        if (port && !ctl_parse_port(port, &number, error))
                return false;
        *ret_address = g_strndup(start, (size_t)(end - start));
        *ret_port = number;
        return true;
}

bool ctl_parse_timeout(const char *text, uint32_t *ret_msec, GError **error)
{
        char *end;
        double seconds = g_ascii_strtod(text, &end);

        if (end == text || *end || !(seconds > 0) || seconds > TIMEOUT_MAX_SEC)
                return refuse(error,
                              "the timeout must be a number of seconds, more than 0 and at most "
                              "%d, not '%s'",
                              TIMEOUT_MAX_SEC, text);
        *ret_msec = (uint32_t)MAX(seconds * 1000, 1);
        return true;
}

static bool add_pair(const char *name, const char *part, const char *const *allowed,
                     GPtrArray *pairs, GError **error)
{
        const char *equals = strchr(part, '=');
        g_autofree char *key = NULL;

        if (!equals)
                return refuse(error, "%s is a list of KEY=VALUE, '%s' is none", name, part);
        key = g_strndup(part, (size_t)(equals - part));
        if (!g_strv_contains(allowed, key)) {
                g_autofree char *keys = g_strjoinv(", ", (char **)allowed);

                return refuse(error, "%s has no key '%s'; there are %s", name, key, keys);
        }
        if (!equals[1])
                return refuse(error, "%s: '%s' has no value", name, key);
        for (unsigned i = 0; i < pairs->len; i += 2)
                if (strcmp(pairs->pdata[i], key) == 0)
                        return refuse(error, "%s: '%s' is given twice", name, key);
        g_ptr_array_add(pairs, g_steal_pointer(&key));
        g_ptr_array_add(pairs, g_strdup(equals + 1));
        return true;
}

bool ctl_parse_pairs(const char *name, const char *text, const char *const *allowed, GStrv *ret,
                     GError **error)
{
        g_autoptr(GPtrArray) pairs = g_ptr_array_new_with_free_func(g_free);
        g_auto(GStrv) parts = g_strsplit(text, ",", -1);

        if (!*parts)
                return refuse(error, "%s is empty", name);
        for (char **part = parts; *part; part++)
                if (!add_pair(name, *part, allowed, pairs, error))
                        return false;
        g_ptr_array_add(pairs, NULL);
        *ret = (GStrv)g_ptr_array_steal(pairs, NULL);
        return true;
}

const char *ctl_pair(const char *const *pairs, const char *key)
{
        for (; pairs && pairs[0]; pairs += 2)
                if (strcmp(pairs[0], key) == 0)
                        return pairs[1];
        return NULL;
}
