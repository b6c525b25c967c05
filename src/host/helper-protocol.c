/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a request to the helper must look like. The helper is root and does not trust the service:
 * every field is checked by the table here before anything is done. Pure; any thread.
 */

#include "host/helper-protocol.h"

#include "host/kernel-sessions.h"

#include "util/error.h"

#include <arpa/inet.h>
#include <stddef.h>
#include <string.h>

enum {
        TAKES_SID = 1 << 0,
        TAKES_DEVICE = 1 << 1,
        TAKES_RANGE = 1 << 2,
        TAKES_PORTAL = 1 << 3,
        TAKES_LUN = 1 << 4,
        TAKES_IQN = 1 << 5,
        TAKES_GUID = 1 << 6,
        TAKES_LOGIN = 1 << 7,
};

static const unsigned takes[_DL_HELPER_VERB_MAX] = {
        [DL_HELPER_LOGIN] = TAKES_IQN | TAKES_PORTAL | TAKES_LOGIN,
        [DL_HELPER_LOGOUT] = TAKES_SID | TAKES_IQN | TAKES_PORTAL,
        [DL_HELPER_SCAN] = TAKES_SID | TAKES_IQN | TAKES_LUN,
        [DL_HELPER_RESCAN_PATH] = TAKES_DEVICE | TAKES_GUID,
        [DL_HELPER_DELETE_PATH] = TAKES_DEVICE | TAKES_GUID,
        [DL_HELPER_FLUSH_MAP] = TAKES_GUID,
        [DL_HELPER_FAIL_QUEUED] = TAKES_GUID,
        [DL_HELPER_RESIZE_MAP] = TAKES_GUID,
        [DL_HELPER_READ] = TAKES_DEVICE | TAKES_GUID | TAKES_RANGE,
        [DL_HELPER_IDENTIFY] = TAKES_DEVICE | TAKES_GUID,
};

/* ---- values -------------------------------------------------------------------------------- */

static bool is_iqn(const char *s)
{
        static const char allowed[] = G_CSET_a_2_z G_CSET_A_2_Z G_CSET_DIGITS ".:-_";

        return strlen(s) > 4 && strspn(s, allowed) == strlen(s) && !strstr(s, "..") &&
               (g_str_has_prefix(s, "iqn.") || g_str_has_prefix(s, "eui.") ||
                g_str_has_prefix(s, "naa."));
}

static bool is_address(const char *s)
{
        uint8_t bytes[sizeof(struct in6_addr)];

        return inet_pton(AF_INET, s, bytes) == 1 || inet_pton(AF_INET6, s, bytes) == 1;
}

/* The name of a file in open-iscsi's folder, or nothing. */
static bool is_iface(const char *s)
{
        return strspn(s, G_CSET_a_2_z G_CSET_A_2_Z G_CSET_DIGITS ".:-_") == strlen(s) && *s != '.';
}

bool dl_helper_is_interface(const char *name)
{
        return *name && is_iface(name) && strlen(name) < sizeof((DlHelperRequest *)NULL)->iface &&
               !g_str_has_prefix(name, DL_KERNEL_IFACE);
}

/* As dl_scsi_guid() and the kernel make them; no quoting is needed anywhere. */
static bool is_guid(const char *s)
{
        for (const char *p = s; *p; p++)
                if (!g_ascii_isgraph(*p) || strchr("\"'\\/", *p))
                        return false;
        return *s;
}

/* What a line of open-iscsi's files can hold: no spaces around it, and nothing that ends it. */
static bool is_chap(const char *s)
{
        size_t size = strlen(s);

        for (const char *p = s; *p; p++)
                if ((unsigned char)*p < ' ' || *p == 0x7f)
                        return false;
        return size == 0 || (s[0] != ' ' && s[size - 1] != ' ');
}

/* ---- fields -------------------------------------------------------------------------------- */

typedef struct Field {
        size_t offset, size;
        unsigned taken; /* by verbs with one of these */
        bool (*is_valid)(const char *value);
} Field;

#define FIELD(name) offsetof(DlHelperRequest, name), sizeof(((DlHelperRequest *)NULL)->name)

static const Field strings[] = {
        {FIELD(iqn), TAKES_IQN, is_iqn},
        {FIELD(address), TAKES_PORTAL, is_address},
        {FIELD(iface), TAKES_LOGIN, is_iface},
        {FIELD(guid), TAKES_GUID, is_guid},
        {FIELD(user), TAKES_LOGIN, is_chap},
        {FIELD(secret), TAKES_LOGIN, is_chap},
        {FIELD(target_user), TAKES_LOGIN, is_chap},
        {FIELD(target_secret), TAKES_LOGIN, is_chap},
};

static bool is_zero(const char *bytes, size_t size)
{
        for (size_t i = 0; i < size; i++)
                if (bytes[i])
                        return false;
        return true;
}

static bool check_string(const DlHelperRequest *request, const Field *field, unsigned taken)
{
        const char *value = (const char *)request + field->offset;
        const char *end = memchr(value, 0, field->size);

        return end && is_zero(end, field->size - (size_t)(end - value)) &&
               (field->taken & taken ? field->is_valid(value) : *value == '\0');
}

static bool check_numbers(const DlHelperRequest *r, unsigned taken)
{
        return (taken & TAKES_SID ? r->sid > 0 && r->sid <= INT32_MAX : r->sid == 0) &&
               (taken & TAKES_DEVICE ? r->major > 0 : r->major == 0 && r->minor == 0) &&
               (taken & TAKES_RANGE ? r->size > 0 && r->size <= DL_HELPER_READ_MAX &&
                                              r->offset <= (uint64_t)INT64_MAX - r->size
                                    : r->size == 0 && r->offset == 0) &&
               (taken & TAKES_PORTAL ? r->port > 0 : r->port == 0) &&
               (taken & TAKES_LOGIN || r->tpgt == 0) && (taken & TAKES_LUN || r->lun == 0);
}

/* Half of a pair proves nothing, and mutual CHAP needs the other direction. */
static bool check_chap(const DlHelperRequest *r)
{
        return !*r->user == !*r->secret && !*r->target_user == !*r->target_secret &&
               (*r->user || !*r->target_user);
}

bool dl_helper_request_check(const DlHelperRequest *request)
{
        if (request->magic != DL_HELPER_MAGIC || request->verb == 0 ||
            request->verb >= _DL_HELPER_VERB_MAX || request->timeout_ms == 0 ||
            request->timeout_ms > DL_HELPER_TIMEOUT_MAX)
                return false;
        for (unsigned i = 0; i < G_N_ELEMENTS(strings); i++)
                if (!check_string(request, &strings[i], takes[request->verb]))
                        return false;
        return check_numbers(request, takes[request->verb]) && check_chap(request);
}

bool dl_helper_request_parse(const void *bytes, size_t size, DlHelperRequest *ret)
{
        DlHelperRequest request;
        bool good;

        if (size != sizeof request)
                return false;
        memcpy(&request, bytes, sizeof request);
        good = dl_helper_request_check(&request);
        if (good)
                *ret = request;
        explicit_bzero(&request, sizeof request);
        return good;
}

bool dl_helper_put(char *field, size_t size, const char *value)
{
        return !value || g_strlcpy(field, value, size) < size;
}

/* ---- answers ------------------------------------------------------------------------------- */

GError *dl_helper_reply_error(const void *bytes, size_t size)
{
        DlHelperReply reply;

        if (size == sizeof reply)
                memcpy(&reply, bytes, sizeof reply);
        if (size != sizeof reply || reply.magic != DL_HELPER_MAGIC ||
            (reply.code != DL_HELPER_OK && reply.code >= _DL_ERROR_MAX) ||
            !memchr(reply.message, 0, sizeof reply.message) ||
            !g_utf8_validate(reply.message, -1, NULL))
                return g_error_new(DL_ERROR, DL_ERROR_PROTOCOL_ERROR,
                                   "The helper does not answer as it should; see the journal of "
                                   "directlun-helper.service");
        if (reply.code == DL_HELPER_OK)
                return NULL;
        return g_error_new_literal(DL_ERROR, (int)reply.code, reply.message);
}
