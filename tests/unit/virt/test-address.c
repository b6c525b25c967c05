/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Addresses of devices: which are one, and which can be. */

#include "xml-fixture.h"

#include "util/error.h"

static void check_equal(bool equal, DlAddress *a, DlAddress *b)
{
        g_assert_true(dl_address_equal(a, b) == equal);
        g_clear_pointer(&a, g_hash_table_unref);
        g_clear_pointer(&b, g_hash_table_unref);
}

static void test_address_equal(void)
{
        check_equal(true, NULL, NULL);
        check_equal(false, NULL, address_of("type", "pci", "bus", "1", NULL));
        check_equal(true, address_of("type", "pci", "bus", "0x0A", NULL),
                    address_of("type", "pci", "bus", "10", "slot", "0x00", NULL));
        check_equal(false, address_of("type", "pci", "bus", "1", NULL),
                    address_of("type", "pci", "bus", "1", "function", "1", NULL));
        check_equal(false, address_of("type", "pci", "bus", "1", NULL),
                    address_of("type", "drive", "bus", "1", NULL));
}

static void check_address(bool good, DlAddress *address)
{
        g_autoptr(GError) error = NULL;

        g_assert_true(dl_address_check(address, &error) == good);
        if (!good)
                g_assert_error(error, DL_ERROR, DL_ERROR_INVALID_ARGS);
        g_hash_table_unref(address);
}

static void test_address(void)
{
        check_address(true, address_of("type", "pci", "domain", "0x0000", "bus", "0x00", "slot",
                                       "0x1f", "function", "0x7", "multifunction", "on", NULL));
        check_address(true, address_of("type", "drive", "controller", "0", "bus", "0", "target",
                                       "0", "unit", "16383", NULL));
        check_address(true, address_of("type", "ccw", "cssid", "0xfe", "ssid", "0x0", "devno",
                                       "0x0001", NULL));
        check_address(false, dl_address_new());
        check_address(false, address_of("slot", "0x1", NULL));
        check_address(false, address_of("type", "pci", NULL));
        check_address(false, address_of("type", "usb", "port", "1", NULL));
        check_address(false, address_of("type", "pci", "unit", "1", NULL));
        check_address(false, address_of("type", "pci", "slot", "0x20", NULL));
        check_address(false, address_of("type", "pci", "slot", "", NULL));
        check_address(false, address_of("type", "pci", "slot", "0x", NULL));
        check_address(false, address_of("type", "pci", "slot", "-1", NULL));
        check_address(false, address_of("type", "pci", "slot", " 1", NULL));
        check_address(false, address_of("type", "pci", "multifunction", "1", NULL));
        check_address(false, address_of("type", "drive", "unit", "99999999999999999999", NULL));
        g_assert_null(dl_address_copy(NULL));
}

int main(int argc, char **argv)
{
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/address/address", test_address);
        g_test_add_func("/address/address-equal", test_address_equal);
        return g_test_run();
}
