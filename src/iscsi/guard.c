/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The check of a target's PDUs (RFC 7143, section 11). A guard owns the beginning of the PDU that
 * has not come whole yet, which is at most one data segment; whole ones are copied to the caller's
 * array at once. Pure, any thread.
 */

#include "guard.h"

#include "scsi/cursor.h"
#include "util/error.h"

#include <string.h>

enum {
        HEADER_SIZE = 48,
        SEGMENT_MAX = 262144,     /* the MaxRecvDataSegmentLength that libiscsi declares */
        LOGIN_SEGMENT_MAX = 8192, /* before anything is negotiated (RFC 7143, 13.12) */
        LOGIN_PDUS_MAX = 16,      /* libiscsi gives up after 10 of its own */
        UNASKED_MAX = 64 * 1024,  /* bytes of pings and events in a session's short life */
        SENSE_SPACE = 512,        /* libiscsi reads so far in sense data, whatever came */
        CHAP_CHALLENGE_MAX = 1024 /* bytes; libiscsi's buffer */
};

enum {
        OP_NOP_IN = 0x20,
        OP_SCSI_RESPONSE = 0x21,
        OP_LOGIN_RESPONSE = 0x23,
        OP_TEXT_RESPONSE = 0x24,
        OP_DATA_IN = 0x25,
        OP_LOGOUT_RESPONSE = 0x26,
        OP_ASYNC = 0x32,
        OP_REJECT = 0x3f,
};

struct DlGuard {
        bool chap, mutual;
        GByteArray *partial;
        bool logged_in;
        unsigned login_pdus;
        bool challenged;   /* an earlier PDU had a challenge, so that we sent one ourselves */
        bool proven;       /* …and the target answered it */
        bool last_is_auth; /* see dl_guard_in_authentication() */
        uint16_t tpgt;
        char *redirect;
        bool text_expected;
        GHashTable *commands; /* tag → how many bytes of data may still come, plus 1 */
        size_t allowance;     /* of bytes that answer nothing */
};

DlGuard *dl_guard_new(bool chap, bool mutual)
{
        DlGuard *guard = g_new(DlGuard, 1);

        *guard = (DlGuard){
                .chap = chap,
                .mutual = mutual,
                .partial = g_byte_array_new(),
                .commands = g_hash_table_new(NULL, NULL),
                .allowance = UNASKED_MAX,
        };
        return guard;
}

void dl_guard_free(DlGuard *guard)
{
        if (!guard)
                return;
        g_byte_array_unref(guard->partial);
        g_hash_table_unref(guard->commands);
        g_free(guard->redirect);
        g_free(guard);
}

G_GNUC_PRINTF(2, 3)
static bool refuse(GError **error, const char *format, ...)
{
        va_list args;

        va_start(args, format);
        g_autofree char *reason = g_strdup_vprintf(format, args);
        va_end(args);
        g_set_error(error, DL_ERROR, DL_ERROR_PROTOCOL_ERROR,
                    "What the portal sends is not proper iSCSI: %s; check address and port",
                    reason);
        return false;
}

static size_t segment_size(const uint8_t *header)
{
        return (size_t)header[5] << 16 | (size_t)header[6] << 8 | header[7];
}

static gpointer tag_of(const uint8_t *header)
{
        uint32_t tag = (uint32_t)header[16] << 24 | (uint32_t)header[17] << 16 |
                       (uint32_t)header[18] << 8 | header[19];

        return GUINT_TO_POINTER(tag);
}

static size_t padded(size_t size)
{
        return (size + 3) & ~(size_t)3;
}

/* ---- login -------------------------------------------------------------------------------- */

static bool set_login_error(GError **error, unsigned status)
{
        static const struct {
                uint16_t status;
                DlErrorCode code;
                const char *text;
        } known[] = {
                {0x0201, DL_ERROR_AUTH_FAILED,
                 "The target refuses the login: wrong or missing CHAP user name or password"},
                {0x0202, DL_ERROR_AUTH_FAILED,
                 "The target does not let this initiator in; allow its name on the array"},
                {0x0203, DL_ERROR_TARGET_NOT_FOUND, "The portal has no such target"},
                {0x0204, DL_ERROR_TARGET_NOT_FOUND, "The target has been removed"},
                {0x0206, DL_ERROR_LIMITS_EXCEEDED, "The target has too many connections already"},
                {0x0301, DL_ERROR_PORTAL_UNREACHABLE,
                 "The target is not operational now; try again later"},
                {0x0302, DL_ERROR_PORTAL_UNREACHABLE,
                 "The target is out of resources; try again later"},
        };

        for (size_t i = 0; i < G_N_ELEMENTS(known); i++)
                if (known[i].status == status) {
                        g_set_error_literal(error, DL_ERROR, (int)known[i].code, known[i].text);
                        return false;
                }
        g_set_error(error, DL_ERROR,
                    status >> 8 == 3 ? DL_ERROR_PORTAL_UNREACHABLE : DL_ERROR_PROTOCOL_ERROR,
                    "The target refuses the login (status 0x%04x)", status);
        return false;
}

static bool set_unproven_error(GError **error)
{
        g_set_error_literal(error, DL_ERROR, DL_ERROR_AUTH_FAILED,
                            "The target does not prove who it is, though mutual CHAP is wanted; "
                            "check its outgoing account");
        return false;
}

static bool challenge_is_fine(const char *hex)
{
        size_t n = strspn(hex, "0123456789abcdefABCDEF");

        return n > 0 && n % 2 == 0 && hex[n] == '\0' && n / 2 <= CHAP_CHALLENGE_MAX;
}

/* One key=value of a login answer. libiscsi reads them too; what it gets wrong is refused here. */
static bool check_login_key(DlGuard *guard, const char *key, GError **error)
{
        const char *value = strchr(key, '=');

        if (!value)
                return refuse(error, "a login key without a value");
        value++;
        if (g_str_has_prefix(key, "TargetPortalGroupTag=")) {
                guard->tpgt = (uint16_t)MIN(g_ascii_strtoull(value, NULL, 10), UINT16_MAX);
        } else if (g_str_has_prefix(key, "TargetAddress=")) {
                g_free(guard->redirect);
                guard->redirect = g_strdup(value);
        } else if (g_str_has_prefix(key, "HeaderDigest=")) {
                if (!g_str_equal(value, "None"))
                        return refuse(error, "a header digest that was not offered");
        } else if (g_str_has_prefix(key, "InitiatorRecvDataSegmentLength=") ||
                   g_str_has_prefix(key, "TargetRecvDataSegmentLength=")) {
                return refuse(error, "an iSER key on a TCP connection");
        } else if (g_str_has_prefix(key, "AuthMethod=")) {
                guard->last_is_auth = true;
        } else if (g_str_has_prefix(key, "CHAP_")) {
                guard->last_is_auth = true;
                if (!guard->chap)
                        return refuse(error, "CHAP that was not offered");
                if (g_str_has_prefix(key, "CHAP_C=") &&
                    (!g_str_has_prefix(value, "0x") || !challenge_is_fine(value + 2)))
                        return refuse(error, "a malformed CHAP challenge");
                if (g_str_has_prefix(key, "CHAP_R=")) {
                        /* libiscsi compares it with zeros as long as it has not sent a challenge */
                        if (!guard->challenged)
                                return set_unproven_error(error);
                        guard->proven = true;
                }
        }
        return true;
}

static bool check_login_keys(DlGuard *guard, const uint8_t *data, size_t size, GError **error)
{
        bool challenge = false;

        guard->last_is_auth = false;
        while (size > 0 && *data != '\0') {
                const uint8_t *end = memchr(data, '\0', size);

                if (!end)
                        return refuse(error, "a login key that does not end");
                if (!check_login_key(guard, (const char *)data, error))
                        return false;
                challenge |= g_str_has_prefix((const char *)data, "CHAP_C=");
                size -= (size_t)(end + 1 - data);
                data = end + 1;
        }
        guard->challenged |= challenge;
        return true;
}

static bool check_login(DlGuard *guard, const uint8_t *header, const uint8_t *data, size_t size,
                        GError **error)
{
        bool transit = header[1] & 0x80;
        unsigned status = (unsigned)header[36] << 8 | header[37];

        if (guard->logged_in)
                return refuse(error, "a second login answer");
        if (++guard->login_pdus > LOGIN_PDUS_MAX)
                return refuse(error, "a login without an end");
        if (header[1] & 0x40)
                return refuse(error, "a login answer in pieces");
        g_clear_pointer(&guard->redirect, g_free);
        if (!check_login_keys(guard, data, size, error))
                return false;
        if (status >> 8 == 1) {
                if (!guard->redirect)
                        return refuse(error, "a redirect to nowhere");
                return true;
        }
        g_clear_pointer(&guard->redirect, g_free);
        if (status != 0)
                return set_login_error(error, status);
        if (transit && (header[1] & 0x03) == 3) {
                if (guard->mutual && !guard->proven)
                        return set_unproven_error(error);
                guard->logged_in = true;
        }
        return true;
}

/* ---- full feature phase ------------------------------------------------------------------- */

static bool check_text(DlGuard *guard, const uint8_t *header, GError **error)
{
        if (!guard->text_expected)
                return refuse(error, "text that was not asked for");
        if (header[1] != 0x80) {
                g_set_error(error, DL_ERROR, DL_ERROR_LIMITS_EXCEEDED,
                            "The list of targets is longer than %d bytes; connect to a target by "
                            "its name instead",
                            SEGMENT_MAX);
                return false;
        }
        guard->text_expected = false;
        return true;
}

static bool check_async(uint8_t *header, GError **error)
{
        uint8_t event = header[36];

        if (event >= 1 && event <= 4) {
                g_set_error(error, DL_ERROR, DL_ERROR_PORTAL_UNREACHABLE,
                            "The target ends the session (event %u); try again", event);
                return false;
        }
        header[36] = 0; /* libiscsi drops the connection at an event it does not know */
        return true;
}

static bool check_reject(DlGuard *guard, const uint8_t *header, const uint8_t *data, size_t size,
                         GError **error)
{
        if (header[2] == 0x0c) { /* waiting for logout */
                g_set_error_literal(error, DL_ERROR, DL_ERROR_PORTAL_UNREACHABLE,
                                    "The target ends the session; try again");
                return false;
        }
        if (size < HEADER_SIZE)
                return refuse(error, "a reject without the rejected header");
        g_hash_table_remove(guard->commands, tag_of(data));
        return true;
}

static bool check_response(DlGuard *guard, uint8_t *header, GError **error)
{
        if (!g_hash_table_remove(guard->commands, tag_of(header)))
                return refuse(error, "an answer to no command");
        if (header[2] != 0) { /* not completed at the target: the rest says nothing */
                header[1] = 0x80;
                header[2] = 0;
                header[3] = 0x40; /* TASK ABORTED */
        }
        return true;
}

static bool check_data(DlGuard *guard, uint8_t *header, size_t size, GError **error)
{
        size_t left = GPOINTER_TO_SIZE(g_hash_table_lookup(guard->commands, tag_of(header)));
        bool last = (header[1] & 0x81) == 0x81; /* final, with the status */

        if (left == 0)
                return refuse(error, "data for no command");
        if (size >= left)
                return refuse(error, "more data than was asked for");
        if (size == 0 && !last)
                return refuse(error, "data without data");
        if (size == 0) { /* libiscsi takes that for an error: it gets the same as an answer */
                header[0] = OP_SCSI_RESPONSE;
                header[1] = 0x80 | (header[1] & 0x06);
                header[2] = 0;
        }
        if (last)
                g_hash_table_remove(guard->commands, tag_of(header));
        else
                g_hash_table_insert(guard->commands, tag_of(header), GSIZE_TO_POINTER(left - size));
        return true;
}

static bool check_unasked(DlGuard *guard, size_t size, GError **error)
{
        if (HEADER_SIZE + size > guard->allowance)
                return refuse(error, "more than was asked for");
        guard->allowance -= HEADER_SIZE + size;
        return true;
}

/* header is a copy that may be changed: libiscsi gets what is left in it */
static bool check_pdu(DlGuard *guard, uint8_t *header, const uint8_t *data, size_t size,
                      GError **error)
{
        switch (header[0]) {
        case OP_LOGIN_RESPONSE:
                return check_login(guard, header, data, size, error);
        case OP_TEXT_RESPONSE:
                return check_text(guard, header, error);
        case OP_SCSI_RESPONSE:
                return check_response(guard, header, error);
        case OP_DATA_IN:
                return check_data(guard, header, size, error);
        case OP_ASYNC:
                return check_unasked(guard, size, error) && check_async(header, error);
        case OP_REJECT:
                return check_unasked(guard, size, error) &&
                       check_reject(guard, header, data, size, error);
        default:
                return check_unasked(guard, size, error);
        }
}

/* What can be said of a PDU before it is whole, so that nobody's 16 MB are waited for. */
static bool check_beginning(const DlGuard *guard, const uint8_t *header, size_t size,
                            GError **error)
{
        static const uint8_t opcodes[] = {OP_NOP_IN,  OP_SCSI_RESPONSE,   OP_TEXT_RESPONSE,
                                          OP_DATA_IN, OP_LOGOUT_RESPONSE, OP_ASYNC};

        if (size < 1)
                return true;
        if (header[0] != OP_LOGIN_RESPONSE && header[0] != OP_REJECT &&
            !(guard->logged_in && memchr(opcodes, header[0], sizeof opcodes)))
                return refuse(error, "a packet of type 0x%02x", header[0]);
        if (size < 8)
                return true;
        if (header[4] != 0)
                return refuse(error, "an additional header");
        if (segment_size(header) > (guard->logged_in ? SEGMENT_MAX : LOGIN_SEGMENT_MAX))
                return refuse(error, "a packet of %zu bytes", segment_size(header));
        return true;
}

static void forward(const uint8_t *header, const uint8_t *data, size_t size, GByteArray *out)
{
        static const uint8_t zeros[SENSE_SPACE];
        uint8_t copy[HEADER_SIZE];
        size_t filled = padded(size);

        memcpy(copy, header, sizeof copy);
        if (copy[0] == OP_SCSI_RESPONSE && filled < SENSE_SPACE) {
                filled = SENSE_SPACE;
                copy[6] = SENSE_SPACE >> 8;
                copy[7] = SENSE_SPACE & 0xff;
        }
        g_byte_array_append(out, copy, sizeof copy);
        if (size > 0)
                g_byte_array_append(out, data, (guint)size);
        if (filled > size)
                g_byte_array_append(out, zeros, (guint)(filled - size));
}

/* Takes one PDU off the front. 1: taken; 0: it is not whole yet; negative: refused. */
static int take_pdu(DlGuard *guard, DlCursor *c, GByteArray *out, GError **error)
{
        DlCursor ahead = *c;
        uint8_t header[HEADER_SIZE];
        const uint8_t *data;
        size_t size;

        if (!check_beginning(guard, c->data + c->pos, dl_cursor_left(c), error))
                return -1;
        dl_cursor_copy(&ahead, header, sizeof header);
        size = segment_size(header);
        data = dl_cursor_bytes(&ahead, padded(size));
        if (!dl_cursor_ok(&ahead))
                return 0;
        if (!check_pdu(guard, header, data, size, error))
                return -1;
        *c = ahead;
        if (guard->redirect)
                return 0;
        forward(header, data, size, out);
        return 1;
}

bool dl_guard_feed(DlGuard *guard, const uint8_t *data, size_t size, GByteArray *out,
                   GError **error)
{
        DlCursor c;
        int r;

        if (size > 0)
                g_byte_array_append(guard->partial, data, (guint)size);
        c = dl_cursor(guard->partial->data, guard->partial->len);
        do
                r = dl_cursor_left(&c) > 0 ? take_pdu(guard, &c, out, error) : 0;
        while (r > 0);
        if (c.pos > 0)
                g_byte_array_remove_range(guard->partial, 0, (guint)c.pos);
        return r >= 0;
}

void dl_guard_expect_command(DlGuard *guard, uint32_t tag, size_t size)
{
        g_hash_table_insert(guard->commands, GUINT_TO_POINTER(tag), GSIZE_TO_POINTER(size + 1));
}

void dl_guard_expect_text(DlGuard *guard)
{
        guard->text_expected = true;
}

const char *dl_guard_redirect(const DlGuard *guard)
{
        return guard->redirect;
}

uint16_t dl_guard_tpgt(const DlGuard *guard)
{
        return guard->tpgt;
}

bool dl_guard_in_authentication(const DlGuard *guard)
{
        return !guard->logged_in && guard->last_is_auth;
}

GError *dl_guard_end_error(const DlGuard *guard)
{
        GError *error = NULL;

        if (guard->partial->len > 0)
                refuse(&error, "it ends in the middle of a packet");
        else
                g_set_error_literal(&error, DL_ERROR, DL_ERROR_PORTAL_UNREACHABLE,
                                    "The portal closed the connection; check that it serves iSCSI "
                                    "and try again");
        return error;
}
