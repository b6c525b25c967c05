/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * open-iscsi's record of a node: how to log in to one target at one portal through one interface.
 * iscsiadm is told secrets by no other way that is not seen in its arguments, so the helper writes
 * the record itself, as open-iscsi reads it: a line a setting, the last one wins.
 */

#include "host/helper-protocol.h"

/*
 * The text of a record (newly allocated, to be wiped): the settings of iscsid.conf (its text, or
 * NULL), then those of the interface with that name (its text, or NULL for no binding), then what
 * the request says, and what multipath wants. Pure.
 */
GString *dl_node_record(const DlHelperRequest *request, const char *iscsid_conf,
                        const char *iface_text);

/* The name of the interface of a request's session. */
char *dl_node_iface(const DlHelperRequest *request);

/* Makes the interface known to iscsiadm. below: "/etc/iscsi". */
bool dl_node_iface_write(const char *below, const char *iface, GError **error);

void dl_node_record_free(GString *record); /* wipes it */

/* Writes it, with or without the secrets; and removes it. below: "/etc/iscsi". */
bool dl_node_record_write(const char *below, const DlHelperRequest *request, GError **error);
void dl_node_record_remove(const char *below, const DlHelperRequest *request, const char *iface);

/* Removes those of ours that have secrets: what made them was killed. */
void dl_node_records_forget_secrets(const char *below);
