/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* How iSCSI writes addresses. Pure, any thread. */

#include <stdbool.h>
#include <stdint.h>

enum {
        DL_ISCSI_PORT = 3260,
        DL_ISCSI_HOST_MAX = 255, /* bytes of a host name or a numeric address */
};

/*
 * A TargetAddress: host[:port][,tpgt], an IPv6 address in brackets (RFC 7143, 13.8). The host is
 * newly allocated and without brackets; port and tpgt are 3260 and 0 if not told. False if it is
 * not such an address.
 */
bool dl_iscsi_address_parse(const char *s, char **ret_host, uint16_t *ret_port, uint16_t *ret_tpgt);

/* A host as a person may write it: printable, no spaces, brackets only around all of it. Newly
 * allocated, without brackets; NULL if it is none. */
char *dl_iscsi_host_normalize(const char *s);
