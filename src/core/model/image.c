/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Stacks of images. Loop thread only. */

#include "core/model/image.h"

static void image_free(gpointer p)
{
        DlImage *image = p;

        g_free(image->uid);
        g_free(image->file);
        g_free(image);
}

DlImage *dl_image_new(uint64_t time_usec, const char *uid, const char *file)
{
        DlImage *image = g_new0(DlImage, 1);

        image->time_usec = time_usec;
        image->uid = g_strdup(uid);
        image->file = g_strdup(file);
        return image;
}

GPtrArray *dl_images_new(void)
{
        return g_ptr_array_new_with_free_func(image_free);
}

GPtrArray *dl_images_copy(const GPtrArray *images)
{
        GPtrArray *copy = dl_images_new();

        for (unsigned i = 0; i < images->len; i++) {
                const DlImage *from = images->pdata[i];
                DlImage *to = dl_image_new(from->time_usec, from->uid, from->file);

                to->quiesced = from->quiesced;
                to->spoiled = from->spoiled;
                g_ptr_array_add(copy, to);
        }
        return copy;
}

const char **dl_images_files(const GPtrArray *images, unsigned n)
{
        g_autoptr(GPtrArray) files = g_ptr_array_new();

        while (n-- > 1)
                g_ptr_array_add(files, ((DlImage *)images->pdata[n])->file);
        g_ptr_array_add(files, NULL);
        return (const char **)g_ptr_array_free(g_steal_pointer(&files), FALSE);
}

GPtrArray *dl_images_reverted(const GPtrArray *images, unsigned n, const char *file)
{
        GPtrArray *reverted = dl_images_copy(images);
        DlImage *last = reverted->pdata[n];

        g_ptr_array_set_size(reverted, (int)n + 1);
        g_free(last->file);
        last->file = g_strdup(file);
        return reverted;
}
