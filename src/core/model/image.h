/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The stack of images of a vDisk. Entry 0 is the LUN itself. Each other one is the moment of a
 * snapshot, and the file that takes what has been written since (until the next one): so what the
 * vDisk was at the moment of entry k is what entries 0 to k - 1 hold, and only the last is written
 * to. Loop thread only.
 */

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct DlImage {
        uint64_t time_usec; /* CLOCK_REALTIME */
        char *uid;
        char *file;    /* absolute; NULL: the LUN itself */
        bool quiesced; /* the guest's file systems were frozen at the moment */
        bool spoiled;  /* a merge into what is below it has begun: the moment is lost */
} DlImage;

DlImage *dl_image_new(uint64_t time_usec, const char *uid, const char *file);
GPtrArray *dl_images_new(void); /* of DlImage */
GPtrArray *dl_images_copy(const GPtrArray *images);
/* The stack as it is after a revert to entry n, which gets a file (none for entry 0). */
GPtrArray *dl_images_reverted(const GPtrArray *images, unsigned n, const char *file);
/* The files of the first n, the uppermost first, NULL-terminated. Newly allocated, the strings are
 * borrowed. */
const char **dl_images_files(const GPtrArray *images, unsigned n);
