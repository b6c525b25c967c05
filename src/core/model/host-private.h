/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The making of the local host, for core.c. */

#include "core/core-private.h"

void dl_host_add_local(DlCore *core);
void dl_host_free(DlHost *host);

/* As configured, else as open-iscsi's file says (which the service manager may pass as a
 * credential), else made from the machine's id. Newly allocated. */
char *dl_host_initiator_name(const DlSettings *settings);
