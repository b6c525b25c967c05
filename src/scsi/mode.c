/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The mode parameter headers of a disk. Pure; plain values; any thread. */

#include "scsi/mode.h"

#include "scsi/cursor.h"

#include <errno.h>

/* Both headers: a length, the medium type, the DEVICE-SPECIFIC PARAMETER; then different things. */
static int parse_header(DlCursor c, size_t length_size, size_t header_size, DlScsiMode *ret)
{
        if (dl_cursor_left(&c) < header_size)
                return -EBADMSG;
        dl_cursor_skip(&c, length_size + 1);
        uint8_t parameter = dl_cursor_u8(&c);
        *ret = (DlScsiMode){.write_protected = parameter & 0x80, .fua = parameter & 0x10};
        return 0;
}

int dl_scsi_mode6_parse(const uint8_t *data, size_t size, DlScsiMode *ret)
{
        return parse_header(dl_cursor(data, size), 1, DL_SCSI_MODE6_HEADER_SIZE, ret);
}

int dl_scsi_mode10_parse(const uint8_t *data, size_t size, DlScsiMode *ret)
{
        return parse_header(dl_cursor(data, size), 2, DL_SCSI_MODE10_HEADER_SIZE, ret);
}
