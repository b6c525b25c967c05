/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What libFuzzer, or replay.c in its place, calls with each input. The bytes are borrowed. A
 * property that does not hold aborts (g_assert), as does whatever the sanitizers find.
 */

#include <glib.h>
#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
