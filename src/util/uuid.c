/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* UUID version 5. Any thread. */

#include "uuid.h"

#include <stdint.h>
#include <string.h>

/* Drawn once for this project. It is part of every vDisk's identity and must never change. */
static const uint8_t namespace_directlun[16] = {
        0x8d, 0x4f, 0x1b, 0x62, 0x5e, 0x0a, 0x4c, 0x39,
        0x9d, 0x27, 0x31, 0xc8, 0x7a, 0x55, 0xe0, 0x94,
};

static void uuid5(const char *kind, const char *name, char ret[static DL_UUID_SIZE])
{
        g_autoptr(GChecksum) sum = g_checksum_new(G_CHECKSUM_SHA1);
        uint8_t d[20];
        gsize size = sizeof d;

        g_checksum_update(sum, namespace_directlun, sizeof namespace_directlun);
        g_checksum_update(sum, (const guchar *)kind, -1);
        g_checksum_update(sum, (const guchar *)name, -1);
        g_checksum_get_digest(sum, d, &size);

        d[6] = (uint8_t)((d[6] & 0x0f) | 0x50); /* version 5 */
        d[8] = (uint8_t)((d[8] & 0x3f) | 0x80); /* variant of RFC 9562 */
        g_snprintf(ret, DL_UUID_SIZE,
                   "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", d[0],
                   d[1], d[2], d[3], d[4], d[5], d[6], d[7], d[8], d[9], d[10], d[11], d[12], d[13],
                   d[14], d[15]);
}

void dl_uuid_for_guid(const char *guid, char ret[static DL_UUID_SIZE])
{
        uuid5("", guid, ret);
}

void dl_uuid_for_secret(const char *iqn, char ret[static DL_UUID_SIZE])
{
        uuid5("secret:", iqn, ret);
}

void dl_uuid_for_attachment(const char *vm, const char *vdisk, char ret[static DL_UUID_SIZE])
{
        g_autofree char *name = g_strconcat(vm, "/", vdisk, NULL);

        uuid5("attachment:", name, ret);
}
