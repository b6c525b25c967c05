/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Appending what many members show, to replies and properties. All return negative errno. Loop
 * thread only. */

#include "core/job.h"

#include <systemd/sd-bus.h>

/* o: the path of an object; NULL: "/" */
int dl_bus_append_path(sd_bus_message *m, const void *object);
/* ao: of DlObjects */
int dl_bus_append_paths(sd_bus_message *m, const GPtrArray *objects);
/* o, ao: the result of a job, the first or all; of a dry run: what it would be, "/" if it cannot
 * tell
 */
int dl_bus_append_result(sd_bus_message *m, const DlJob *job);
int dl_bus_append_results(sd_bus_message *m, const DlJob *job);
/* (ss): error name and message; empty if there is none */
int dl_bus_append_last_error(sd_bus_message *m, const DlLastError *e);
/* s: of text that may not be UTF-8, and NULL */
int dl_bus_append_text(sd_bus_message *m, const char *text);
/* as: NULL-terminated, may be NULL */
int dl_bus_append_strv(sd_bus_message *m, const char *const *strv);

/* {sv} entries of an open a{sv}: a basic type; text as above */
int dl_bus_append_entry(sd_bus_message *m, const char *key, const char *signature, ...);
int dl_bus_append_text_entry(sd_bus_message *m, const char *key, const char *text);
/* {sv}: an object path */
int dl_bus_append_path_entry(sd_bus_message *m, const char *key, const void *object);
