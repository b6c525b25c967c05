/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The initiator against real tgtd targets and against portals that misbehave. Run by
 * run-portals.py, which makes them in namespaces of its own.
 */

#include "harness.h"

int main(int argc, char *argv[])
{
        g_test_init(&argc, &argv, NULL);
        add_good_tests();
        add_life_tests();
        add_bad_tests();
        return g_test_run();
}
