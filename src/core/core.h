/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The root: owns every managed object and the layers below (store, initiator, libvirt), loads what
 * was stored, follows libvirt, and tells an observer about every change. Loop thread only.
 */

#include "core/model/object.h"
#include "util/settings.h"

#include <systemd/sd-event.h>

/*
 * Reads the store (blocks, a local file) and starts to connect to libvirt. ready() is called once,
 * from the loop, when the first look at libvirt ended, well or not, or took too long: from then on
 * answers are complete.
 */
DlCore *dl_core_new(sd_event *event, const DlSettings *settings, const DlCoreObserver *observer,
                    void (*ready)(void *userdata), void *userdata, GError **error);
void dl_core_free(
        DlCore *core); /* takes NULL; running jobs are dropped, their callbacks not called */

/* Delivers what is to be announced now. */
void dl_core_flush(DlCore *core);

/* Nothing would be lost if the service exited now: no job (a lingering one counts), no connection
 * that somebody uses, nothing to write. */
bool dl_core_is_idle(DlCore *core);

/* Properties of the Manager. */
const char *dl_core_engine(DlCore *core); /* "sqlite" */
const char *dl_core_initiator_name(DlCore *core);
const char *const *dl_core_features(DlCore *core); /* NULL-terminated */

/* The whole state as JSON (newly allocated): for reports and for people, not an interface. */
char *dl_core_describe(DlCore *core);
