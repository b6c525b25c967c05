/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sense data. */

#include "scsi/sense.h"

#include <errno.h>
#include <glib.h>

#define BYTES(s) (const uint8_t *)(s), sizeof(s) - 1

static void assert_sense(const uint8_t *data, size_t size, const char *expected)
{
        g_autofree uint8_t *copy = g_memdup2(data, size); /* exact, for the sanitizer */
        DlScsiSense sense;

        g_assert_cmpint(dl_scsi_sense_parse(copy, size, &sense), ==, 0);
        g_autofree char *text = dl_scsi_sense_to_string(&sense);
        g_assert_cmpstr(text, ==, expected);
}

static void test_formats(void)
{
        assert_sense(BYTES("\x70\0\2\0\0\0\0\x0a\0\0\0\0\4\x0b\0\0\0\0"),
                     "Not ready (2/04/0B): not accessible, target port in standby state");
        assert_sense(BYTES("\xf1\0\3\0\0\0\0\x0a\0\0\0\0\x11\1\0\0\0\0"),
                     "Medium error, deferred (3/11/01): unrecovered read error");
        assert_sense(BYTES("\x72\6\x29\0\0\0\0\0"), "Unit attention (6/29/00): power on or reset");
        assert_sense(BYTES("\x73\x0b\x47\3\0\0\0\0"),
                     "Aborted command, deferred (B/47/03): parity or checksum error");
        assert_sense(BYTES("\x70\0\x09\0\0\0\0\x0a\0\0\0\0\xee\xff"), "Vendor specific (9/EE/FF)");
}

/* What a short answer does not say is 0. */
static void test_short(void)
{
        assert_sense(BYTES("\x70\0\x25"), "Illegal request (5/00/00)");
        assert_sense(BYTES("\x70\0\x25\0\0\0\0\x0a\0\0\0\0\x24"),
                     "Illegal request (5/24/00): invalid field in the command");
        assert_sense(BYTES("\x70\0\5\0\0\0\0\4\0\0\0\0\x24\1"), "Illegal request (5/00/00)");
        assert_sense(BYTES("\x72\5"), "Illegal request (5/00/00)");

        DlScsiSense sense = {.asc = 77};
        g_assert_cmpint(dl_scsi_sense_parse(NULL, 0, &sense), ==, -EBADMSG);
        g_assert_cmpint(dl_scsi_sense_parse(BYTES("\x70\0"), &sense), ==, -EBADMSG);
        g_assert_cmpint(dl_scsi_sense_parse(BYTES("\x72"), &sense), ==, -EBADMSG);
        g_assert_cmpint(dl_scsi_sense_parse(BYTES("\0\0\5\0\0\0\0\0\0"), &sense), ==, -EBADMSG);
        g_assert_cmpint(dl_scsi_sense_parse(BYTES("\x7f\0\5\0\0\0\0\0\0"), &sense), ==, -EBADMSG);
        g_assert_cmpuint(sense.asc, ==, 77);
}

enum {
        ATTENTION = 1 << 0,
        LUNS = 1 << 1,
        CAPACITY = 1 << 2,
        TRANSIENT = 1 << 3,
        NO_MEDIUM = 1 << 4,
        NO_LUN = 1 << 5,
        UNSUPPORTED = 1 << 6,
        PROTECTED = 1 << 7,
};

static const struct {
        DlScsiSense sense;
        unsigned is;
} classes[] = {
        {{0x0, 0x00, 0x00}, 0},
        {{0x6, 0x29, 0x00}, ATTENTION},
        {{0x6, 0x3f, 0x0e}, ATTENTION | LUNS},
        {{0x6, 0x3f, 0x03}, ATTENTION},
        {{0x6, 0x2a, 0x09}, ATTENTION | CAPACITY},
        {{0x6, 0x04, 0x01}, ATTENTION},
        {{0x2, 0x04, 0x01}, TRANSIENT},
        {{0x2, 0x04, 0x0a}, TRANSIENT},
        {{0x2, 0x04, 0x00}, 0},
        {{0x2, 0x04, 0x02}, 0},
        {{0x2, 0x04, 0x03}, 0},
        {{0x2, 0x04, 0x0b}, 0},
        {{0x2, 0x3a, 0x00}, NO_MEDIUM},
        {{0x2, 0x3a, 0x02}, NO_MEDIUM},
        {{0x5, 0x25, 0x00}, NO_LUN},
        {{0x5, 0x20, 0x00}, UNSUPPORTED},
        {{0x5, 0x20, 0x02}, 0}, /* access denied */
        {{0x5, 0x24, 0x00}, UNSUPPORTED},
        {{0x5, 0x26, 0x00}, 0},
        {{0x7, 0x27, 0x00}, PROTECTED},
        {{0x7, 0x27, 0x02}, PROTECTED},
        {{0x7, 0x27, 0x07}, 0}, /* the thin pool is full */
};

static void test_classes(void)
{
        for (size_t i = 0; i < G_N_ELEMENTS(classes); i++) {
                const DlScsiSense *s = &classes[i].sense;
                unsigned is = 0;

                is |= dl_scsi_sense_is_unit_attention(s) ? ATTENTION : 0;
                is |= dl_scsi_sense_is_luns_changed(s) ? LUNS : 0;
                is |= dl_scsi_sense_is_capacity_changed(s) ? CAPACITY : 0;
                is |= dl_scsi_sense_is_transient(s) ? TRANSIENT : 0;
                is |= dl_scsi_sense_is_medium_not_present(s) ? NO_MEDIUM : 0;
                is |= dl_scsi_sense_is_no_such_lun(s) ? NO_LUN : 0;
                is |= dl_scsi_sense_is_not_supported(s) ? UNSUPPORTED : 0;
                is |= dl_scsi_sense_is_write_protected(s) ? PROTECTED : 0;
                g_assert_cmphex(is, ==, classes[i].is);
        }
}

int main(int argc, char **argv)
{
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/scsi/sense/formats", test_formats);
        g_test_add_func("/scsi/sense/short", test_short);
        g_test_add_func("/scsi/sense/classes", test_classes);
        return g_test_run();
}
