/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A password held so that it does not leak: in pages of its own that are kept out of swap (if the
 * limit allows) and out of core dumps, wiped when the last reference goes. Immutable, reference
 * counted, any thread.
 */

#include <glib.h>

typedef struct DlSecret DlSecret;

#define DL_SECRET_MAX 256 /* bytes; RFC 7143, 12.1.4 lets a CHAP secret have up to 128 */

/* Takes a copy. NULL with InvalidArgs if it is empty, too long or has a NUL inside. */
DlSecret *dl_secret_new(const void *bytes, size_t size, GError **error);

/*
 * Reads a secret from a file descriptor to its end, without blocking the caller: what is not there
 * yet is an error (InvalidArgs), as is anything but a regular file, a pipe or a memfd. One trailing
 * newline is not part of the secret. The descriptor stays the caller's.
 */
DlSecret *dl_secret_read(int fd, GError **error);

/* The same from a stream socket of ours whose other end has been shut down. */
DlSecret *dl_secret_receive(int fd, GError **error);

DlSecret *dl_secret_ref(DlSecret *secret);
void dl_secret_unref(DlSecret *secret); /* takes NULL */

/* NUL-terminated, never empty, valid as long as the reference. */
const char *dl_secret_peek(const DlSecret *secret);
size_t dl_secret_size(const DlSecret *secret);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(DlSecret, dl_secret_unref)
