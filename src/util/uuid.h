/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Ids that are computed, not drawn: UUID version 5 (RFC 9562, 5.5). Any thread. */

#include <glib.h>

#define DL_UUID_SIZE 37 /* 36 characters and the NUL */

/* The id of the vDisk whose backing LUN has this GUID, lower case; the same on every host. */
void dl_uuid_for_guid(const char *guid, char ret[static DL_UUID_SIZE]);

/* The id of the libvirt secret that holds the CHAP secret of a target. */
void dl_uuid_for_secret(const char *iqn, char ret[static DL_UUID_SIZE]);

/* The id of the attachment of a vDisk to a VM (both given by their UUIDs). */
void dl_uuid_for_attachment(const char *vm, const char *vdisk, char ret[static DL_UUID_SIZE]);
