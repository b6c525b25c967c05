/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Stands in for libFuzzer in a normal build: runs a fuzz target over each file of its corpus
 * directory (the argument), over each beginning of it, and over it with each byte in turn replaced
 * by 0 and by 0xff. A TAP test a file.
 */

#include "fuzz.h"

#include <string.h>

/* From a copy of exactly the size, so that a sanitizer sees a read beyond it. */
static void run(const uint8_t *data, size_t size)
{
        g_autofree uint8_t *copy = g_memdup2(data, size);

        g_assert_cmpint(LLVMFuzzerTestOneInput(copy, size), ==, 0);
}

static void replay_file(gconstpointer path)
{
        g_autoptr(GError) error = NULL;
        g_autofree char *contents = NULL;
        size_t size;

        g_file_get_contents(path, &contents, &size, &error);
        g_assert_no_error(error);
        uint8_t *data = (uint8_t *)contents;

        for (size_t cut = 0; cut <= size; cut++)
                run(data, cut);
        for (size_t i = 0; i < size; i++) {
                uint8_t byte = data[i];

                data[i] = 0;
                run(data, size);
                data[i] = 0xff;
                run(data, size);
                data[i] = byte;
        }
}

int main(int argc, char **argv)
{
        g_autoptr(GError) error = NULL;
        g_autoptr(GPtrArray) paths = g_ptr_array_new_with_free_func(g_free);
        const char *name;

        g_test_init(&argc, &argv, NULL);
        g_assert_cmpint(argc, ==, 2);
        g_autoptr(GDir) dir = g_dir_open(argv[1], 0, &error);
        g_assert_no_error(error);
        while ((name = g_dir_read_name(dir))) {
                g_autofree char *test = g_strdup_printf("/fuzz/%s", name);
                char *path = g_build_filename(argv[1], name, NULL);

                g_ptr_array_add(paths, path);
                g_test_add_data_func(test, path, replay_file);
        }
        g_assert_cmpuint(paths->len, >, 0); /* a corpus that got lost is no success */
        return g_test_run();
}
