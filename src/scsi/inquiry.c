/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The standard INQUIRY data. Pure; the caller owns the result; any thread. */

#include "scsi/inquiry.h"

#include "scsi/cursor.h"

#include <errno.h>

static bool is_padding(uint8_t byte)
{
        return byte == ' ' || byte == '\0';
}

/* Finds what is left of the text without its padding. */
static void trim(const uint8_t **data, size_t *size)
{
        while (*size > 0 && is_padding((*data)[*size - 1]))
                (*size)--;
        while (*size > 0 && is_padding(**data)) {
                (*data)++;
                (*size)--;
        }
}

/* dest has room for size + 1 bytes. */
static void copy_text(char *dest, const uint8_t *data, size_t size)
{
        trim(&data, &size);
        for (size_t i = 0; i < size; i++)
                dest[i] = g_ascii_isprint((char)data[i]) ? (char)data[i] : '?';
        dest[size] = '\0';
}

char *dl_scsi_text(const uint8_t *data, size_t size)
{
        char *text = g_malloc(size + 1);

        copy_text(text, data, size);
        return text;
}

int dl_scsi_inquiry_parse(const uint8_t *data, size_t size, DlScsiInquiry *ret)
{
        DlCursor c = dl_cursor(data, size);
        DlScsiInquiry inquiry = {0};
        uint8_t peripheral = dl_cursor_u8(&c);

        inquiry.qualifier = peripheral >> 5;
        inquiry.device_type = peripheral & 0x1f;
        inquiry.removable = dl_cursor_u8(&c) & 0x80;
        inquiry.version = dl_cursor_u8(&c);
        dl_cursor_skip(&c, 5);
        dl_cursor_copy(&c, inquiry.vendor_raw, sizeof(inquiry.vendor_raw));
        dl_cursor_copy(&c, inquiry.product_raw, sizeof(inquiry.product_raw));
        dl_cursor_copy(&c, inquiry.revision_raw, sizeof(inquiry.revision_raw));
        if (!dl_cursor_ok(&c))
                return -EBADMSG;

        copy_text(inquiry.vendor, inquiry.vendor_raw, sizeof(inquiry.vendor_raw));
        copy_text(inquiry.product, inquiry.product_raw, sizeof(inquiry.product_raw));
        copy_text(inquiry.revision, inquiry.revision_raw, sizeof(inquiry.revision_raw));
        *ret = inquiry;
        return 0;
}

bool dl_scsi_inquiry_is_disk(const DlScsiInquiry *inquiry)
{
        return inquiry->qualifier == DL_SCSI_QUALIFIER_CONNECTED &&
               (inquiry->device_type == DL_SCSI_TYPE_DISK ||
                inquiry->device_type == DL_SCSI_TYPE_RBC);
}
