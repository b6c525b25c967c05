/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A Unix stream socket that takes one secret, once, from a process of one user: for who can write
 * to a socket but cannot pass a descriptor. The secret ends where the writer shuts its side down;
 * until then it is left in the kernel. The answer is the end of the connection, when the secret has
 * been read. How long all that may take is for the owner to limit.
 *
 * All functions: loop thread only.
 */

#include "util/secret.h"

#include <stdbool.h>

#include <sys/types.h>
#include <systemd/sd-event.h>

typedef struct DlSecretSocket DlSecretSocket;

/* Listens at the path, where nothing must be; anybody may connect as far as the directories allow
 * it, only the user is read. NULL with an error if it cannot. */
DlSecretSocket *dl_secret_socket_new(sd_event *event, const char *path, uid_t uid, GError **error);

/* Takes NULL. The path goes, if it is still there. */
void dl_secret_socket_free(DlSecretSocket *socket);

/* A reference. NULL with InvalidArgs, if nothing has come so far or it is no secret; in the second
 * case *ret_final is true. */
DlSecret *dl_secret_socket_take(DlSecretSocket *socket, bool *ret_final, GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(DlSecretSocket, dl_secret_socket_free)
