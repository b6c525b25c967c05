/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* CHAP secrets from where they are safe (a file, a descriptor, a person) to the service. They never
 * stand in an argument, and pass the bus as a sealed memfd. One thread. */

#include "directlunctl/ctl.h"

/* What was said on the command line; strings are GOption's. */
typedef struct CtlSecretSource {
        char *user;
        char *file; /* "-": standard input */
        int fd;     /* -1: none */
        gboolean ask;
} CtlSecretSource;

#define CTL_SECRET_SOURCE_NONE                                                                     \
        {                                                                                          \
                .fd = -1                                                                           \
        }

/*
 * ret_fd: a sealed memfd with the secret, which the caller closes; -1 if no user is given. Asks at
 * the terminal if a user is given without a source.
 */
bool ctl_secret_open(Ctl *ctl, const CtlSecretSource *source, int *ret_fd, GError **error);
