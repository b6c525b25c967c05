/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Addresses of devices: attribute names and values as libvirt writes them, but only those that a
 * disk can have, so that nothing else gets from one XML into another. The caller owns what is
 * returned.
 */

#include "address.h"

#include <string.h>

#include "util/error.h"
#include "xml.h"

/* What each type is made of, with the largest value of each number; 0: "on" or "off". */
static const struct {
        const char *type, *name;
        unsigned max;
} parts[] = {
        {"pci", "domain", 0xffff}, {"pci", "bus", 0xff},        {"pci", "slot", 0x1f},
        {"pci", "function", 7},    {"pci", "multifunction", 0}, {"drive", "controller", 255},
        {"drive", "bus", 255},     {"drive", "target", 255},    {"drive", "unit", 16383},
        {"ccw", "cssid", 0xff},    {"ccw", "ssid", 3},          {"ccw", "devno", 0xffff},
};

static bool is_known(const char *name)
{
        if (g_str_equal(name, "type"))
                return true;
        for (size_t i = 0; i < G_N_ELEMENTS(parts); i++)
                if (g_str_equal(parts[i].name, name))
                        return true;
        return false;
}

DlAddress *dl_address_new(void)
{
        return g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
}

DlAddress *dl_address_copy(const DlAddress *address)
{
        GHashTableIter iter;
        gpointer key, value;
        DlAddress *copy;

        if (!address)
                return NULL;
        copy = dl_address_new();
        g_hash_table_iter_init(&iter, (GHashTable *)address);
        while (g_hash_table_iter_next(&iter, &key, &value))
                g_hash_table_insert(copy, g_strdup(key), g_strdup(value));
        return copy;
}

static bool value_is_good(const char *value, unsigned max)
{
        bool hex = g_str_has_prefix(value, "0x");
        guint64 number;

        if (max == 0)
                return g_str_equal(value, "on") || g_str_equal(value, "off");
        return g_ascii_string_to_unsigned(value + (hex ? 2 : 0), hex ? 16 : 10, 0, max, &number,
                                          NULL);
}

static bool check_part(const char *type, const char *name, const char *value, GError **error)
{
        for (size_t i = 0; i < G_N_ELEMENTS(parts); i++) {
                if (!g_str_equal(parts[i].type, type) || !g_str_equal(parts[i].name, name))
                        continue;
                if (value_is_good(value, parts[i].max))
                        return true;
                g_set_error(error, DL_ERROR, DL_ERROR_INVALID_ARGS,
                            "address: '%s' is not a %s of a %s address", value, name, type);
                return false;
        }
        g_set_error(error, DL_ERROR, DL_ERROR_INVALID_ARGS,
                    "address: there is no '%s' in an address of type '%s' (known types: pci, "
                    "drive, ccw)",
                    name, type);
        return false;
}

bool dl_address_check(const DlAddress *address, GError **error)
{
        const char *type = g_hash_table_lookup((GHashTable *)address, "type");
        GHashTableIter iter;
        gpointer name, value;

        if (!type) {
                g_set_error(error, DL_ERROR, DL_ERROR_INVALID_ARGS, "address: 'type' is missing");
                return false;
        }
        g_hash_table_iter_init(&iter, (GHashTable *)address);
        while (g_hash_table_iter_next(&iter, &name, &value))
                if (!g_str_equal(name, "type") && !check_part(type, name, value, error))
                        return false;
        if (g_hash_table_size((GHashTable *)address) > 1)
                return true;
        g_set_error(error, DL_ERROR, DL_ERROR_INVALID_ARGS, "address: there is only a type in it");
        return false;
}

DlAddress *dl_address_from_node(const xmlNode *node)
{
        g_autoptr(GHashTable) address = dl_address_new();

        for (const xmlAttr *attribute = node ? node->properties : NULL; attribute;
             attribute = attribute->next) {
                const char *name = (const char *)attribute->name;

                if (!attribute->ns && is_known(name))
                        g_hash_table_insert(address, g_strdup(name), dl_xml_attribute(node, name));
        }
        return g_hash_table_size(address) ? g_steal_pointer(&address) : NULL;
}

unsigned dl_address_number(const DlAddress *address, const char *name)
{
        const char *value = address ? g_hash_table_lookup((GHashTable *)address, name) : NULL;
        bool hex = value && g_ascii_strncasecmp(value, "0x", 2) == 0;
        guint64 number = 0;

        if (value)
                (void)g_ascii_string_to_unsigned(value + (hex ? 2 : 0), hex ? 16 : 10, 0, G_MAXUINT,
                                                 &number, NULL);
        return (unsigned)number;
}

bool dl_address_is(const DlAddress *address, const char *type)
{
        return address && g_strcmp0(g_hash_table_lookup((GHashTable *)address, "type"), type) == 0;
}

bool dl_address_equal(const DlAddress *a, const DlAddress *b)
{
        const char *type = a && b ? g_hash_table_lookup((GHashTable *)a, "type") : NULL;

        if (!type)
                return a == b;
        if (!dl_address_is(b, type))
                return false;
        for (size_t i = 0; i < G_N_ELEMENTS(parts); i++)
                if (g_str_equal(parts[i].type, type) && parts[i].max > 0 &&
                    dl_address_number(a, parts[i].name) != dl_address_number(b, parts[i].name))
                        return false;
        return true;
}

char *dl_address_to_text(const DlAddress *address)
{
        if (dl_address_is(address, "pci"))
                return g_strdup_printf(
                        "pci %04x:%02x:%02x.%x", dl_address_number(address, "domain"),
                        dl_address_number(address, "bus"), dl_address_number(address, "slot"),
                        dl_address_number(address, "function"));
        if (dl_address_is(address, "drive"))
                return g_strdup_printf(
                        "drive %u:%u:%u:%u", dl_address_number(address, "controller"),
                        dl_address_number(address, "bus"), dl_address_number(address, "target"),
                        dl_address_number(address, "unit"));
        return g_strdup(address ? g_hash_table_lookup((GHashTable *)address, "type") : "none");
}

static int by_name(const void *a, const void *b)
{
        return strcmp(*(const char *const *)a, *(const char *const *)b);
}

void dl_address_append(GString *out, const char *element, const DlAddress *address)
{
        const char *type = address ? g_hash_table_lookup((GHashTable *)address, "type") : NULL;
        g_autofree const char **names = NULL;
        guint n;

        if (!type)
                return;
        names = (const char **)g_hash_table_get_keys_as_array((GHashTable *)address, &n);
        qsort(names, n, sizeof *names, by_name);

        g_string_append_printf(out, "<%s", element);
        dl_xml_append_attribute(out, "type", type);
        for (guint i = 0; i < n; i++)
                if (!g_str_equal(names[i], "type") && is_known(names[i]))
                        dl_xml_append_attribute(
                                out, names[i],
                                g_hash_table_lookup((GHashTable *)address, names[i]));
        g_string_append(out, "/>");
}
