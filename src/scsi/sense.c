/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sense data. Pure; plain values, the text is the caller's; any thread. */

#include "scsi/sense.h"

#include "scsi/cursor.h"

#include <errno.h>
#include <glib.h>

static const char *const keys[16] = {
        "No sense",       "Recovered error", "Not ready",      "Medium error",
        "Hardware error", "Illegal request", "Unit attention", "Data protect",
        "Blank check",    "Vendor specific", "Copy aborted",   "Aborted command",
        "Reserved",       "Volume overflow", "Miscompare",     "Completed",
};

enum {
        ANY = -1
};

/* What is met when LUNs are probed and used; the first match counts. */
static const struct {
        uint8_t asc;
        int ascq; /* or ANY */
        const char *text;
} meanings[] = {
        {0x04, 0x01, "becoming ready"},
        {0x04, 0x02, "needs a start command"},
        {0x04, 0x03, "not ready, manual intervention required"},
        {0x04, 0x04, "format in progress"},
        {0x04, 0x07, "operation in progress"},
        {0x04, 0x09, "self-test in progress"},
        {0x04, 0x0a, "not accessible, asymmetric access state transition"},
        {0x04, 0x0b, "not accessible, target port in standby state"},
        {0x04, 0x0c, "not accessible, target port in unavailable state"},
        {0x04, 0x12, "not ready, offline"},
        {0x04, 0x14, "space allocation in progress"},
        {0x04, ANY, "logical unit not ready"},
        {0x08, ANY, "logical unit communication failure"},
        {0x20, 0x00, "command not supported"},
        {0x20, ANY, "access denied"},
        {0x21, 0x00, "block address out of range"},
        {0x24, ANY, "invalid field in the command"},
        {0x25, ANY, "no such logical unit"},
        {0x26, ANY, "invalid field in the parameters"},
        {0x27, 0x07, "no space left in the thin pool"},
        {0x27, ANY, "write protected"},
        {0x28, ANY, "medium may have changed"},
        {0x29, ANY, "power on or reset"},
        {0x2a, 0x01, "mode parameters changed"},
        {0x2a, 0x03, "reservations preempted"},
        {0x2a, 0x04, "reservations released"},
        {0x2a, 0x05, "registrations preempted"},
        {0x2a, 0x06, "asymmetric access state changed"},
        {0x2a, 0x09, "capacity changed"},
        {0x2a, ANY, "parameters changed"},
        {0x2f, ANY, "commands cleared by another initiator"},
        {0x31, ANY, "medium format corrupted"},
        {0x38, 0x07, "thin provisioning soft threshold reached"},
        {0x39, ANY, "saving parameters not supported"},
        {0x3a, ANY, "medium not present"},
        {0x3f, 0x03, "inquiry data changed"},
        {0x3f, 0x0e, "list of logical units changed"},
        {0x3f, ANY, "operating conditions changed"},
        {0x44, ANY, "internal target failure"},
        {0x47, ANY, "parity or checksum error"},
        {0x4b, ANY, "data phase error"},
        {0x4e, ANY, "overlapped commands"},
        {0x55, ANY, "out of target resources"},
        {0x11, ANY, "unrecovered read error"},
        {0x0c, ANY, "write error"},
};

int dl_scsi_sense_parse(const uint8_t *data, size_t size, DlScsiSense *ret)
{
        DlCursor c = dl_cursor(data, size);
        DlScsiSense sense = {0};
        uint8_t code = dl_cursor_u8(&c) & 0x7f;
        bool fixed = code == 0x70 || code == 0x71;

        if (!fixed && code != 0x72 && code != 0x73)
                return -EBADMSG;
        sense.deferred = code & 0x01;
        if (fixed)
                dl_cursor_skip(&c, 1);
        sense.key = dl_cursor_u8(&c) & 0x0f;
        if (!dl_cursor_ok(&c))
                return -EBADMSG;

        if (fixed) {
                dl_cursor_skip(&c, 4); /* INFORMATION */
                uint8_t additional = dl_cursor_u8(&c);
                c = dl_cursor_sub(&c, MIN((size_t)additional, dl_cursor_left(&c)));
                dl_cursor_skip(&c, 4); /* COMMAND-SPECIFIC INFORMATION */
        }
        /* a device may send less than its sense code: a cursor at its end reads zeros */
        sense.asc = dl_cursor_u8(&c);
        sense.ascq = dl_cursor_u8(&c);
        *ret = sense;
        return 0;
}

static bool is_code(const DlScsiSense *sense, uint8_t asc, int ascq)
{
        return sense->asc == asc && (ascq == ANY || sense->ascq == ascq);
}

bool dl_scsi_sense_is_unit_attention(const DlScsiSense *sense)
{
        return sense->key == DL_SCSI_SENSE_UNIT_ATTENTION;
}

bool dl_scsi_sense_is_luns_changed(const DlScsiSense *sense)
{
        return dl_scsi_sense_is_unit_attention(sense) && is_code(sense, 0x3f, 0x0e);
}

bool dl_scsi_sense_is_capacity_changed(const DlScsiSense *sense)
{
        return dl_scsi_sense_is_unit_attention(sense) && is_code(sense, 0x2a, 0x09);
}

bool dl_scsi_sense_is_transient(const DlScsiSense *sense)
{
        static const uint8_t passing[] = {0x01, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a, 0x14};

        if (sense->key != DL_SCSI_SENSE_NOT_READY || sense->asc != 0x04)
                return false;
        return memchr(passing, sense->ascq, sizeof(passing)) != NULL;
}

bool dl_scsi_sense_is_medium_not_present(const DlScsiSense *sense)
{
        return is_code(sense, 0x3a, ANY);
}

bool dl_scsi_sense_is_no_such_lun(const DlScsiSense *sense)
{
        return is_code(sense, 0x25, 0x00);
}

bool dl_scsi_sense_is_not_supported(const DlScsiSense *sense)
{
        return sense->key == DL_SCSI_SENSE_ILLEGAL_REQUEST &&
               (is_code(sense, 0x20, 0x00) || is_code(sense, 0x24, 0x00));
}

bool dl_scsi_sense_is_write_protected(const DlScsiSense *sense)
{
        /* 27/07 is a full thin pool: not the same trouble, though the same additional code */
        return sense->key == DL_SCSI_SENSE_DATA_PROTECT && sense->asc == 0x27 &&
               sense->ascq != 0x07;
}

char *dl_scsi_sense_to_string(const DlScsiSense *sense)
{
        const char *meaning = NULL;

        for (size_t i = 0; !meaning && i < G_N_ELEMENTS(meanings); i++)
                if (is_code(sense, meanings[i].asc, meanings[i].ascq))
                        meaning = meanings[i].text;
        return g_strdup_printf("%s%s (%X/%02X/%02X)%s%s", keys[sense->key & 0x0f],
                               sense->deferred ? ", deferred" : "", sense->key & 0x0fu, sense->asc,
                               sense->ascq, meaning ? ": " : "", meaning ? meaning : "");
}
