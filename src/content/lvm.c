/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * LVM2 on disk (lib/format_text/layout.h, lib/label/label.h of LVM2): little endian. Pure; results
 * are the caller's. Any thread.
 */

#include "content/lvm.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

enum {
        SECTOR = 512,
        LABEL_SECTORS = 4, /* the label is in one of the first */
        LABEL_SIZE = 32,   /* id, sector, crc, offset of the PV header, type */
        CRC_FROM = 20,     /* of the label's sector: behind the crc itself */
        PV_HEADER_SIZE = 40,
        LOCATION_SIZE = 16, /* of an area: offset, size */
        AREAS_MAX = 16,
        MDA_HEADER_SIZE = 512,
        MDA_LOCATIONS = 40, /* checksum, magic, version, start, size */
        RAW_LOCATION_IGNORED = 1,
        UUID_CHARS = 32,
        NAME_MAX_SIZE = 128, /* LVM's limit on a name and on a tag is less than 1024 */
        TAG_MAX_SIZE = 1024,
        TAGS_MAX = 1024,
        PVS_MAX = 1024,
};

static uint32_t le32(const uint8_t *p)
{
        return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint64_t le64(const uint8_t *p)
{
        return le32(p) | (uint64_t)le32(p + 4) << 32;
}

/* CRC-32 with LVM's start value, and without the final inversion. */
static uint32_t checksum(const uint8_t *data, size_t size)
{
        uint32_t crc = 0xf597a6cf;

        for (size_t i = 0; i < size; i++) {
                crc ^= data[i];
                for (int bit = 0; bit < 8; bit++)
                        crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
        }
        return crc;
}

/* ---- the physical volume ------------------------------------------------------------------- */

static bool format_uuid(const uint8_t *raw, char *ret)
{
        char *at = ret;

        for (unsigned i = 0; i < UUID_CHARS; i++) {
                if (!g_ascii_isalnum(raw[i]) && raw[i] != '!' && raw[i] != '#')
                        return false;
                if (i == 6 || i == 10 || i == 14 || i == 18 || i == 22 || i == 26)
                        *at++ = '-';
                *at++ = (char)raw[i];
        }
        *at = '\0';
        return true;
}

static const uint8_t *find_label(const uint8_t *head, size_t size)
{
        for (size_t sector = 0; sector < LABEL_SECTORS && (sector + 1) * SECTOR <= size; sector++) {
                const uint8_t *label = head + sector * SECTOR;

                if (memcmp(label, "LABELONE", 8) == 0 && memcmp(label + 24, "LVM2 001", 8) == 0 &&
                    le64(label + 8) == sector)
                        return label;
        }
        return NULL;
}

/* The text is a piece of the ring behind the area's header. */
static void find_text(const uint8_t *area, uint64_t area_offset, uint64_t area_size, DlLvmPv *pv)
{
        const uint8_t *location = area + MDA_LOCATIONS;
        uint64_t offset = le64(location), size = le64(location + 8);
        size_t wanted;

        if (memcmp(area + 4, " LVM2 x[5A%r0N*>", 16) != 0 || le32(area + 20) != 1 ||
            checksum(area + 4, MDA_HEADER_SIZE - 4) != le32(area))
                return;
        if (le64(area + 24) != area_offset || offset < MDA_HEADER_SIZE || offset >= area_size ||
            size > area_size - MDA_HEADER_SIZE || (le32(location + 20) & RAW_LOCATION_IGNORED))
                return;
        wanted = (size_t)MIN(size, DL_LVM_TEXT_MAX);
        pv->text[0].offset = area_offset + offset;
        pv->text[0].size = (size_t)MIN(wanted, area_size - offset);
        pv->text[1].offset = area_offset + MDA_HEADER_SIZE;
        pv->text[1].size = wanted - pv->text[0].size;
}

/* Two lists, each ended by zeros: data areas, then metadata areas. */
static void find_areas(const uint8_t *head, size_t size, const uint8_t *label, size_t at,
                       DlLvmPv *pv)
{
        bool is_metadata = false;

        for (unsigned n = 0; n < AREAS_MAX && at + LOCATION_SIZE <= SECTOR; n++) {
                uint64_t offset = le64(label + at), length = le64(label + at + 8);

                at += LOCATION_SIZE;
                if (offset == 0 && is_metadata)
                        return;
                if (offset == 0) {
                        is_metadata = true;
                        continue;
                }
                if (!is_metadata || pv->text[0].size > 0 || offset > size ||
                    size - offset < MDA_HEADER_SIZE || length < MDA_HEADER_SIZE ||
                    length > UINT64_MAX - offset)
                        continue;
                find_text(head + offset, offset, length, pv);
        }
}

int dl_lvm_pv_parse(const uint8_t *head, size_t size, DlLvmPv *ret)
{
        const uint8_t *label = find_label(head, size);
        DlLvmPv pv = {0};
        uint32_t header;

        if (!label)
                return -ENODATA;
        if (checksum(label + CRC_FROM, SECTOR - CRC_FROM) != le32(label + 16))
                return -EBADMSG;
        header = le32(label + CRC_FROM);
        if (header < LABEL_SIZE || header > SECTOR - PV_HEADER_SIZE ||
            !format_uuid(label + header, pv.uuid))
                return -EBADMSG;
        pv.size = le64(label + header + UUID_CHARS);
        find_areas(head, size, label, header + PV_HEADER_SIZE, &pv);
        *ret = pv;
        return 0;
}

/* ---- the volume group ---------------------------------------------------------------------- */

typedef struct Text {
        const char *at, *end;
} Text;

static void skip_space(Text *text)
{
        while (text->at < text->end && (g_ascii_isspace(*text->at) || *text->at == '#')) {
                if (*text->at == '#')
                        while (text->at < text->end && *text->at != '\n')
                                text->at++;
                else
                        text->at++;
        }
}

static bool take(Text *text, char c)
{
        skip_space(text);
        if (text->at == text->end || *text->at != c)
                return false;
        text->at++;
        return true;
}

static bool is_name_char(char c)
{
        return g_ascii_isalnum(c) || strchr("_+.-", c);
}

/* A name of a section or of a value; NULL if there is none. */
static char *take_name(Text *text)
{
        const char *from;

        skip_space(text);
        from = text->at;
        while (text->at < text->end && *text->at && is_name_char(*text->at))
                text->at++;
        if (text->at == from || text->at == text->end || text->at - from > NAME_MAX_SIZE)
                return NULL;
        return g_strndup(from, (gsize)(text->at - from));
}

/* "…", with \" and \\ in it; NULL if there is none, or if it is not printable. */
static char *take_string(Text *text)
{
        g_autoptr(GString) string = NULL;

        if (!take(text, '"'))
                return NULL;
        string = g_string_new(NULL);
        for (; text->at < text->end && string->len < TAG_MAX_SIZE; text->at++) {
                if (*text->at == '"') {
                        text->at++;
                        return g_string_free(g_steal_pointer(&string), FALSE);
                }
                if (*text->at == '\\' && ++text->at == text->end)
                        break;
                if (!g_ascii_isprint(*text->at))
                        break;
                g_string_append_c(string, *text->at);
        }
        return NULL;
}

/* [ "…", … ] */
static GStrv take_strings(Text *text)
{
        g_autoptr(GPtrArray) list = g_ptr_array_new_with_free_func(g_free);
        char *string;

        if (!take(text, '['))
                return NULL;
        while (list->len < TAGS_MAX && (string = take_string(text))) {
                g_ptr_array_add(list, string);
                if (!take(text, ','))
                        break;
        }
        if (!take(text, ']'))
                return NULL;
        g_ptr_array_set_free_func(list, NULL);
        g_ptr_array_add(list, NULL);
        return (GStrv)g_ptr_array_free(g_steal_pointer(&list), FALSE);
}

/* Of any kind: a string, strings, or a number. */
static bool skip_value(Text *text)
{
        g_autofree char *string = NULL;
        g_auto(GStrv) strings = NULL;

        skip_space(text);
        if (text->at == text->end)
                return false;
        if (*text->at == '"')
                return (string = take_string(text)) != NULL;
        if (*text->at == '[')
                return (strings = take_strings(text)) != NULL;
        return (string = take_name(text)) != NULL;
}

/* A physical volume, up to its end. */
static bool take_pv(Text *text, GPtrArray *pvs)
{
        while (!take(text, '}')) {
                g_autofree char *name = take_name(text);

                if (!name || !take(text, '='))
                        return false;
                if (strcmp(name, "id") == 0) {
                        g_autofree char *uuid = take_string(text);

                        if (!uuid || strlen(uuid) != DL_LVM_UUID_SIZE - 1)
                                return false;
                        g_ptr_array_add(pvs, g_steal_pointer(&uuid));
                } else if (!skip_value(text))
                        return false;
        }
        return true;
}

/* pv0 { id = "…" … } pv1 { … } … */
static void take_pvs(Text *text, DlLvmVg *vg)
{
        g_autoptr(GPtrArray) pvs = g_ptr_array_new();

        while (pvs->len < PVS_MAX) {
                g_autofree char *name = take_name(text);

                if (!name || !take(text, '{') || !take_pv(text, pvs))
                        break;
        }
        g_ptr_array_add(pvs, NULL);
        g_strfreev(vg->pvs);
        vg->pvs = (GStrv)g_ptr_array_free(g_steal_pointer(&pvs), FALSE);
}

/* What the group says of itself comes before its sections, and the first of them are its PVs. */
static void take_values(Text *text, DlLvmVg *vg)
{
        for (;;) {
                g_autofree char *name = take_name(text);

                if (!name)
                        return;
                if (!take(text, '=')) {
                        if (strcmp(name, "physical_volumes") == 0 && take(text, '{'))
                                take_pvs(text, vg);
                        return;
                }
                if (strcmp(name, "id") == 0 && !vg->uuid) {
                        vg->uuid = take_string(text);
                        if (!vg->uuid)
                                return;
                } else if (strcmp(name, "tags") == 0) {
                        GStrv tags = take_strings(text);

                        if (!tags)
                                return;
                        g_strfreev(vg->tags);
                        vg->tags = tags;
                } else if (!skip_value(text))
                        return;
        }
}

int dl_lvm_vg_parse(const char *text, size_t size, DlLvmVg **ret)
{
        Text at = {text, text + size};
        g_autofree char *name = take_name(&at);
        g_autoptr(DlLvmVg) vg = NULL;

        if (!name || !take(&at, '{'))
                return -EBADMSG;
        vg = g_new0(DlLvmVg, 1);
        vg->name = g_steal_pointer(&name);
        vg->tags = g_new0(char *, 1);
        vg->pvs = g_new0(char *, 1);
        take_values(&at, vg);
        if (!vg->uuid)
                return -EBADMSG;
        *ret = g_steal_pointer(&vg);
        return 0;
}

void dl_lvm_vg_free(DlLvmVg *vg)
{
        if (!vg)
                return;
        g_free(vg->name);
        g_free(vg->uuid);
        g_strfreev(vg->tags);
        g_strfreev(vg->pvs);
        g_free(vg);
}

const char *dl_lvm_vg_storage_domain(const DlLvmVg *vg)
{
        bool marked = false;

        for (GStrv tag = vg->tags; *tag; tag++) {
                if (g_str_has_prefix(*tag, "MDT_SDUUID=") && (*tag)[strlen("MDT_SDUUID=")])
                        return *tag + strlen("MDT_SDUUID=");
                marked = marked || g_str_has_prefix(*tag, "RHAT_storage_domain");
        }
        return marked ? vg->name : NULL;
}
