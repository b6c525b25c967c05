/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The ids must never change, so here they are. They were computed by another implementation of
 * UUID version 5: Python's uuid.uuid5(UUID("8d4f1b62-5e0a-4c39-9d27-31c87a55e094"), name).
 */

#include "util/uuid.h"

#include <string.h>

static void test_vdisk(void)
{
        static const struct {
                const char *guid, *uuid;
        } known[] = {
                {"3600140541f7d2c6a8b94e3d9c1a5f7e2", "432101de-7e0f-5ea0-82d7-8006c13e8e01"},
                {"360000000000000000e00000000010001", "35403a64-0db0-5615-8216-2b00e801522e"},
                {"1IET     00010001", "313174e4-e27e-5ad8-8453-5c7df3d7b521"},
                {"SQEMU    QEMU HARDDISK   drive-scsi0-0-0-0",
                 "461ddcf6-d603-5814-bba8-5250f3fbf160"},
                {"2001122334455667788", "1a8d8b57-391e-5165-ac74-ae9d348b0554"},
        };

        for (size_t i = 0; i < G_N_ELEMENTS(known); i++) {
                char uuid[DL_UUID_SIZE];

                dl_uuid_for_guid(known[i].guid, uuid);
                g_assert_cmpstr(uuid, ==, known[i].uuid);
        }
}

/* The name is "attachment:", the VM, "/", the vDisk. */
static void test_attachment(void)
{
        static const char vm[] = "6a0f5f0e-0c0b-4c9c-8f4e-0d7f1a2b3c4d";
        static const char vdisk[] = "35403a64-0db0-5615-8216-2b00e801522e";
        char uuid[DL_UUID_SIZE], swapped[DL_UUID_SIZE];

        dl_uuid_for_attachment(vm, vdisk, uuid);
        g_assert_cmpstr(uuid, ==, "1330830c-86c5-54e7-b45f-cd329db1472b");
        dl_uuid_for_attachment(vdisk, vm, swapped);
        g_assert_cmpstr(swapped, !=, uuid);
}

static void test_form(void)
{
        for (unsigned i = 0; i < 1000; i++) {
                g_autofree char *guid = g_strdup_printf("3%032x", i);
                char uuid[DL_UUID_SIZE];

                dl_uuid_for_guid(guid, uuid);
                g_assert_true(g_uuid_string_is_valid(uuid));
                g_assert_cmpint(uuid[14], ==, '5');
                g_assert_nonnull(strchr("89ab", uuid[19]));
        }
}

int main(int argc, char *argv[])
{
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/uuid/vdisk", test_vdisk);
        g_test_add_func("/uuid/attachment", test_attachment);
        g_test_add_func("/uuid/form", test_form);
        return g_test_run();
}
