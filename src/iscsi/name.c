/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * iSCSI names, addresses and QEMU's way to write a LUN number. Pure, any thread.
 */

#include "iscsi/iscsi.h"
#include "name.h"

#include <string.h>

enum {
        NAME_MAX_SIZE = 223,
        LUN_FLAT = 0x4000,
        LUN_FLAT_FIRST = 256,
        LUN_FLAT_MAX = 0x3fff,
};

static bool all_in(const char *s, size_t n, const char *set)
{
        for (size_t i = 0; i < n; i++)
                if (!strchr(set, s[i]))
                        return false;
        return true;
}

static bool is_hex(const char *s)
{
        return all_in(s, strlen(s), "0123456789abcdefABCDEF");
}

/* "iqn.2001-04.com.example[:anything]" (RFC 7143, 4.2.7.4) */
static bool is_iqn(const char *s)
{
        const char *date = s + 4;

        if (strlen(date) < 9 || !all_in(date, 4, "0123456789") || date[4] != '-' ||
            !all_in(date + 5, 2, "0123456789") || date[7] != '.' || date[8] == ':')
                return false;
        int month = (date[5] - '0') * 10 + (date[6] - '0');
        return month >= 1 && month <= 12;
}

bool dl_iscsi_name_is_valid(const char *s)
{
        /* What is left of UTF-8 after the string preparation of RFC 3722: no control, no space, and
         * of ASCII's marks only these. Upper case is folded by preparation, yet names in upper case
         * are about and targets compare bytes: they are let through as they are. */
        if (!s || strlen(s) > NAME_MAX_SIZE || !g_utf8_validate(s, -1, NULL))
                return false;
        for (const char *p = s; *p; p = g_utf8_next_char(p)) {
                gunichar c = g_utf8_get_char(p);

                if (c < 0x80 ? !g_ascii_isalnum((gchar)c) && !strchr("-.:_", (int)c)
                             : !g_unichar_isgraph(c))
                        return false;
        }
        if (g_str_has_prefix(s, "iqn."))
                return is_iqn(s);
        if (g_str_has_prefix(s, "eui."))
                return strlen(s + 4) == 16 && is_hex(s + 4);
        if (g_str_has_prefix(s, "naa."))
                return (strlen(s + 4) == 16 || strlen(s + 4) == 32) && is_hex(s + 4);
        return false;
}

unsigned dl_iscsi_lun_for_qemu(uint64_t lun)
{
        g_return_val_if_fail(lun <= LUN_FLAT_MAX, 0);
        return lun < LUN_FLAT_FIRST ? (unsigned)lun : LUN_FLAT | (unsigned)lun;
}

uint64_t dl_iscsi_lun_from_qemu(unsigned n)
{
        return (n & 0xc000) == LUN_FLAT ? n & LUN_FLAT_MAX : n;
}

/* ---- addresses ---------------------------------------------------------------------------- */

static bool parse_number(const char *s, uint16_t min, uint16_t *ret)
{
        guint64 n;

        if (!g_ascii_string_to_unsigned(s, 10, min, UINT16_MAX, &n, NULL))
                return false;
        *ret = (uint16_t)n;
        return true;
}

char *dl_iscsi_host_normalize(const char *s)
{
        size_t n = s ? strlen(s) : 0;

        if (n >= 2 && s[0] == '[' && s[n - 1] == ']') {
                s++;
                n -= 2;
        }
        if (n == 0 || n > DL_ISCSI_HOST_MAX)
                return NULL;
        for (size_t i = 0; i < n; i++)
                if (!g_ascii_isalnum(s[i]) && !strchr("-._:%", s[i]))
                        return NULL;
        return g_strndup(s, n);
}

bool dl_iscsi_address_parse(const char *s, char **ret_host, uint16_t *ret_port, uint16_t *ret_tpgt)
{
        g_autofree char *copy = g_strdup(s), *host = NULL;
        uint16_t port = DL_ISCSI_PORT, tpgt = 0;
        char *comma = strrchr(copy, ','), *end, *colon;

        if (comma) {
                *comma = '\0';
                if (!parse_number(comma + 1, 0, &tpgt))
                        return false;
        }
        end = copy[0] == '[' ? strchr(copy, ']') : copy;
        if (!end)
                return false;
        colon = strchr(end, ':');
        /* some targets leave the brackets out, and then there is no port */
        if (colon && (copy[0] == '[' || !strchr(colon + 1, ':'))) {
                if (!parse_number(colon + 1, 1, &port))
                        return false;
                *colon = '\0';
        }
        if (copy[0] == '[' && end[1] != '\0')
                return false;
        host = dl_iscsi_host_normalize(copy);
        if (!host)
                return false;
        *ret_host = g_steal_pointer(&host);
        *ret_port = port;
        *ret_tpgt = tpgt;
        return true;
}
