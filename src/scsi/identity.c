/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The GUID of a LUN. Pure; the caller owns the result; any thread. */

#include "scsi/identity.h"

#include "scsi/cursor.h"

#include <ctype.h>

enum {
        PAGE_MAX = 254,   /* what scsi_id asks for, and so all that it knows of a page */
        SERIAL_MAX = 255, /* characters that scsi_id has room for */
        ANY_NAA = -1,
};

/* scsi_id's order of preference */
static const struct rank {
        DlScsiDesignatorType type;
        int naa;
        DlScsiCodeSet code_set;
} ranks[] = {
        {DL_SCSI_DESIGNATOR_NAA, 6, DL_SCSI_CODE_BINARY},
        {DL_SCSI_DESIGNATOR_NAA, 6, DL_SCSI_CODE_ASCII},
        {DL_SCSI_DESIGNATOR_NAA, 5, DL_SCSI_CODE_BINARY},
        {DL_SCSI_DESIGNATOR_NAA, 5, DL_SCSI_CODE_ASCII},
        {DL_SCSI_DESIGNATOR_NAA, ANY_NAA, DL_SCSI_CODE_BINARY},
        {DL_SCSI_DESIGNATOR_NAA, ANY_NAA, DL_SCSI_CODE_ASCII},
        {DL_SCSI_DESIGNATOR_EUI64, ANY_NAA, DL_SCSI_CODE_BINARY},
        {DL_SCSI_DESIGNATOR_EUI64, ANY_NAA, DL_SCSI_CODE_ASCII},
        {DL_SCSI_DESIGNATOR_T10, ANY_NAA, DL_SCSI_CODE_BINARY},
        {DL_SCSI_DESIGNATOR_T10, ANY_NAA, DL_SCSI_CODE_ASCII},
        {DL_SCSI_DESIGNATOR_VENDOR, ANY_NAA, DL_SCSI_CODE_BINARY},
        {DL_SCSI_DESIGNATOR_VENDOR, ANY_NAA, DL_SCSI_CODE_ASCII},
};

/*
 * A page as scsi_id sees it: its first 254 bytes, zeros where the device sent less. The lengths in
 * it may point beyond what the device sent, and then mean those zeros.
 */
typedef struct Page {
        uint8_t bytes[PAGE_MAX];
} Page;

static bool page_open(Page *page, uint8_t code, const uint8_t *data, size_t size)
{
        DlCursor c = dl_cursor(data, size), header;

        *page = (Page){0};
        dl_cursor_copy(&c, page->bytes, MIN(dl_cursor_left(&c), sizeof(page->bytes)));
        header = dl_cursor(page->bytes, sizeof(page->bytes));
        dl_cursor_skip(&header, 1);
        return data && dl_cursor_u8(&header) == code;
}

/* ---- text ----------------------------------------------------------------------------------- */

static void append_hex(GString *s, const uint8_t *data, size_t size)
{
        for (size_t i = 0; i < size; i++)
                g_string_append_printf(s, "%02x", data[i]);
}

static void append_text(GString *s, const uint8_t *data, size_t size)
{
        g_string_append_len(s, (const char *)data, (gssize)strnlen((const char *)data, size));
}

/* The characters that udev leaves alone in the name of a device node */
static bool is_node_char(char c)
{
        return g_ascii_isalnum(c) || (c != '\0' && strchr("#+-.:=@_", c));
}

/* isspace() of the C locale; g_ascii_isspace() lacks the vertical tab */
static bool is_space(char c)
{
        return g_ascii_isspace(c) || c == '\v';
}

/* The length of the valid character of more than one byte at s; 0 if there is none. */
static size_t multibyte_length(const char *s)
{
        gunichar c = g_utf8_get_char_validated(s, -1);

        if (c == (gunichar)-1 || c == (gunichar)-2 || c < 0x80)
                return 0;
        if ((c >= 0xfdd0 && c <= 0xfdef) || (c & 0xfffe) == 0xfffe) /* noncharacters */
                return 0;
        return (size_t)g_unichar_to_utf8(c, NULL);
}

/* Trailing space goes, a run of it becomes one '_' */
static GString *squeeze_spaces(const char *s)
{
        GString *out = g_string_new(NULL);
        bool space = false;

        for (; *s; s++) {
                if (is_space(*s)) {
                        space = true;
                        continue;
                }
                if (space)
                        g_string_append_c(out, '_');
                space = false;
                g_string_append_c(out, *s);
        }
        return out;
}

static void replace_odd_bytes(char *s)
{
        while (*s) {
                size_t length = multibyte_length(s);

                if (length > 0)
                        s += length;
                else if (s[0] == '\\' && s[1] == 'x') /* udev takes it for its own escape */
                        s += 2;
                else {
                        if (!is_node_char(*s))
                                *s = '_';
                        s++;
                }
        }
}

/*
 * Whether nothing but space comes after the first n characters: what is there does not tell this
 * LUN from others.
 */
static bool is_blank_after(const GString *s, size_t n)
{
        for (; n < s->len; n++)
                if (!is_space(s->str[n]))
                        return false;
        return true;
}

/* Takes raw, as put together by the rules; NULL if its identifier, from own on, is blank. */
static char *finish(GString *raw, size_t own)
{
        g_autoptr(GString) serial = raw;

        g_string_truncate(serial, MIN(serial->len, SERIAL_MAX));
        if (is_blank_after(serial, own))
                return NULL;
        g_autoptr(GString) squeezed = squeeze_spaces(serial->str);
        replace_odd_bytes(squeezed->str);
        return g_strdup(squeezed->str);
}

/* Vendor and product go in with their padding. A NUL in them is a device that scsi_id gives up on.
 */
static bool append_vendor_product(GString *s, const DlScsiInquiry *inquiry)
{
        if (memchr(inquiry->vendor_raw, 0, sizeof(inquiry->vendor_raw)) ||
            memchr(inquiry->product_raw, 0, sizeof(inquiry->product_raw)))
                return false;
        append_text(s, inquiry->vendor_raw, sizeof(inquiry->vendor_raw));
        append_text(s, inquiry->product_raw, sizeof(inquiry->product_raw));
        return true;
}

/* ---- page 0x83 ------------------------------------------------------------------------------ */

/* Whether byte 6, reserved in the first designator since SPC-2, is in use: then there are no
 * designators but one binary name after the header. */
static bool is_pre_spc3(const Page *page)
{
        DlCursor c = dl_cursor(page->bytes, sizeof(page->bytes));

        dl_cursor_skip(&c, 6);
        return dl_cursor_u8(&c) != 0;
}

static char *guid_pre_spc3(const Page *page)
{
        DlCursor c = dl_cursor(page->bytes, sizeof(page->bytes));
        GString *s = g_string_new("3");

        dl_cursor_skip(&c, 3); /* the length is one byte here */
        size_t length = dl_cursor_u8(&c), size = MIN(length, (SERIAL_MAX - 2) / 2);
        append_hex(s, dl_cursor_bytes(&c, size), size);
        return finish(s, 1);
}

/* The next designator that begins within the page's length; false at the end. Not that of vpd.h,
 * which is right where scsi_id is lax: here a designator may be longer than its page. */
static bool next_designator(DlCursor *c, size_t end, DlScsiDesignator *ret)
{
        if (c->pos >= end)
                return false;
        uint8_t code = dl_cursor_u8(c);
        uint8_t type = dl_cursor_u8(c);
        dl_cursor_skip(c, 1);
        size_t size = dl_cursor_u8(c);
        const uint8_t *data = dl_cursor_bytes(c, size);
        if (!data)
                return false;
        *ret = (DlScsiDesignator){
                .code_set = code & 0x0f,
                .association = type >> 4 & 0x03,
                .type = type & 0x0f,
                .data = data,
                .size = size,
        };
        return true;
}

static bool matches(const struct rank *rank, const DlScsiDesignator *d)
{
        return d->association == DL_SCSI_ASSOCIATION_LUN && d->type == rank->type &&
               d->code_set == rank->code_set && d->size > 0 &&
               (rank->naa == ANY_NAA || rank->naa == d->data[0] >> 4);
}

/* NULL if the designator cannot be used: blank, too long for scsi_id, or without a vendor. */
static char *guid_of_designator(const DlScsiDesignator *d, const DlScsiInquiry *inquiry)
{
        size_t length = d->code_set == DL_SCSI_CODE_ASCII ? d->size : 2 * d->size;
        size_t own = 1;

        if (d->type == DL_SCSI_DESIGNATOR_VENDOR)
                own += DL_SCSI_VENDOR_SIZE + DL_SCSI_PRODUCT_SIZE;
        if (own + length > SERIAL_MAX)
                return NULL;

        g_autoptr(GString) s = g_string_new(NULL);
        g_string_append_printf(s, "%x", d->type);
        if (d->type == DL_SCSI_DESIGNATOR_VENDOR && !append_vendor_product(s, inquiry))
                return NULL;
        if (d->code_set == DL_SCSI_CODE_ASCII)
                append_text(s, d->data, d->size);
        else
                append_hex(s, d->data, d->size);
        return finish(g_steal_pointer(&s), own);
}

/* Takes guid, which may be NULL. */
static void add_name(GPtrArray *names, char *guid)
{
        g_autofree char *name = guid;

        if (name && !g_ptr_array_find_with_equal_func(names, name, g_str_equal, NULL))
                g_ptr_array_add(names, g_steal_pointer(&name));
}

static void add_of_rank(const Page *page, const struct rank *rank, const DlScsiInquiry *inquiry,
                        GPtrArray *names)
{
        DlCursor c = dl_cursor(page->bytes, sizeof(page->bytes));
        DlScsiDesignator d;

        dl_cursor_skip(&c, 2);
        size_t end = DL_SCSI_VPD_HEADER_SIZE + (size_t)dl_cursor_u16(&c);
        while (next_designator(&c, end, &d))
                if (matches(rank, &d))
                        add_name(names, guid_of_designator(&d, inquiry));
}

static void add_of_page83(const Page *page, const DlScsiInquiry *inquiry, GPtrArray *names)
{
        if (is_pre_spc3(page))
                add_name(names, guid_pre_spc3(page));
        else
                for (size_t i = 0; i < G_N_ELEMENTS(ranks); i++)
                        if (names->len == 0 || ranks[i].type != DL_SCSI_DESIGNATOR_VENDOR)
                                add_of_rank(page, &ranks[i], inquiry, names);
}

/* ---- page 0x80 ------------------------------------------------------------------------------ */

static char *guid_of_page80(const Page *page, const DlScsiInquiry *inquiry)
{
        DlCursor c = dl_cursor(page->bytes, sizeof(page->bytes));
        g_autoptr(GString) s = g_string_new("S");

        dl_cursor_skip(&c, 3); /* the length is one byte here, as in SCSI-2 */
        size_t size = dl_cursor_u8(&c);
        if (!append_vendor_product(s, inquiry))
                return NULL;
        size_t own = s->len;
        if (own + size > SERIAL_MAX + 1)
                return NULL;
        append_text(s, dl_cursor_bytes(&c, size), size);
        return finish(g_steal_pointer(&s), own);
}

/* ---- the SCSI name string ------------------------------------------------------------------- */

static char *guid_of_name(const DlScsiDesignator *d)
{
        static const struct {
                const char *format;
                char prefix;
        } formats[] = {{"iqn.", '8'}, {"eui.", '2'}, {"naa.", '3'}};
        g_autofree char *name = g_strndup((const char *)d->data, d->size);

        for (size_t i = 0; i < G_N_ELEMENTS(formats); i++) {
                if (!g_str_has_prefix(name, formats[i].format))
                        continue;
                GString *s = g_string_new(name + strlen(formats[i].format));
                if (formats[i].prefix != '8')
                        g_string_ascii_down(s);
                g_string_prepend_c(s, formats[i].prefix);
                return finish(s, 1);
        }
        return NULL;
}

static void add_of_names(const Page *page, GPtrArray *names)
{
        DlCursor c = dl_cursor(page->bytes, sizeof(page->bytes));
        DlScsiDesignator d;

        if (is_pre_spc3(page))
                return;
        dl_cursor_skip(&c, 2);
        size_t end = DL_SCSI_VPD_HEADER_SIZE + (size_t)dl_cursor_u16(&c);
        while (next_designator(&c, end, &d))
                if (d.association == DL_SCSI_ASSOCIATION_LUN && d.type == DL_SCSI_DESIGNATOR_NAME)
                        add_name(names, guid_of_name(&d));
}

GPtrArray *dl_scsi_names(const DlScsiInquiry *inquiry, const uint8_t *page83, size_t page83_size,
                         const uint8_t *page80, size_t page80_size)
{
        GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
        Page p83, p80;
        bool have83 = page_open(&p83, DL_SCSI_VPD_IDENTIFICATION, page83, page83_size);

        if (have83)
                add_of_page83(&p83, inquiry, names);
        if (names->len == 0 && page_open(&p80, DL_SCSI_VPD_SERIAL, page80, page80_size))
                add_name(names, guid_of_page80(&p80, inquiry));
        if (have83)
                add_of_names(&p83, names);
        return names;
}

char *dl_scsi_guid(const DlScsiInquiry *inquiry, const uint8_t *page83, size_t page83_size,
                   const uint8_t *page80, size_t page80_size)
{
        g_autoptr(GPtrArray)
                names = dl_scsi_names(inquiry, page83, page83_size, page80, page80_size);

        return names->len > 0 ? g_strdup(names->pdata[0]) : NULL;
}

char *dl_scsi_fingerprint(const uint8_t *page83, size_t size)
{
        g_autoptr(GChecksum) checksum = g_checksum_new(G_CHECKSUM_SHA256);
        DlScsiDesignators designators;
        DlScsiDesignator d;

        if (!page83 || dl_scsi_designators_init(&designators, page83, size) < 0)
                return NULL;
        while (dl_scsi_designators_next(&designators, &d) > 0) {
                const uint8_t head[] = {d.code_set, d.type, (uint8_t)d.size};

                if (d.association != DL_SCSI_ASSOCIATION_LUN)
                        continue;
                g_checksum_update(checksum, head, sizeof head);
                g_checksum_update(checksum, d.data, (gssize)d.size);
        }
        return g_strdup(g_checksum_get_string(checksum));
}
