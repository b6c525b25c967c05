/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Objects from what D-Bus tells, and by which words they are found. */

#include "directlunctl/objects.h"

static JsonObject *object_from(const char *path, const char *interfaces)
{
        g_autoptr(JsonNode) node = json_from_string(interfaces, NULL);

        g_assert_nonnull(node);
        return ctl_object_new(path, json_node_get_object(node));
}

static void test_paths(void)
{
        static const struct {
                const char *path, *kind, *id; /* no kind: none of ours */
        } cases[] = {
                {CTL_ROOT "/targets/iqn_2e2026_2d11_3aone", "target", "iqn.2026-11:one"},
                {CTL_ROOT "/luns/_33600", "lun", "3600"},
                {CTL_ROOT "/jobs/_312", "job", "12"},
                {CTL_ROOT "/hosts/web", "host", "web"},
                {CTL_ROOT, NULL, NULL},
                {CTL_ROOT "/targets", NULL, NULL},
                {CTL_ROOT "/targets/a/b", NULL, NULL},
                {CTL_ROOT "/others/a", NULL, NULL},
                {"/", NULL, NULL},
        };

        for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
                g_autofree char *id = NULL;
                const char *kind = NULL;

                g_test_message("%s", cases[i].path);
                g_assert_cmpint(ctl_path_parse(cases[i].path, &kind, &id), ==,
                                cases[i].kind != NULL);
                g_assert_cmpstr(kind, ==, cases[i].kind);
                g_assert_cmpstr(id, ==, cases[i].id);
        }
}

static void test_object(void)
{
        g_autoptr(JsonObject) vdisk = object_from(
                CTL_ROOT "/vdisks/_37",
                "{\"org.freedesktop.DBus.Peer\":{},"
                "\"org.ovirt.DirectLun.VDisk\":{\"Id\":\"7\",\"Guid\":\"3600\",\"Alias\":\"data\"}}");

        g_assert_nonnull(vdisk);
        g_assert_cmpstr(ctl_json_string(vdisk, "kind"), ==, "vdisk");
        g_assert_cmpstr(ctl_json_string(vdisk, "id"), ==, "7");
        g_assert_cmpstr(ctl_json_string(vdisk, "Alias"), ==, "data");
        g_assert_true(ctl_object_is(vdisk, CTL_ROOT "/vdisks/_37"));
        g_assert_true(ctl_object_is(vdisk, "7"));
        g_assert_true(ctl_object_is(vdisk, "3600"));
        g_assert_true(ctl_object_is(vdisk, "data"));
        g_assert_false(ctl_object_is(vdisk, "dat"));
        g_assert_false(ctl_object_is(vdisk, "DATA"));
        g_assert_false(ctl_object_is(vdisk, ""));
}

static void test_not_ours(void)
{
        g_assert_null(object_from(CTL_ROOT "/vdisks/_37", "{}"));
        g_assert_null(object_from(CTL_ROOT "/vdisks/_37", "{\"org.ovirt.DirectLun.Lun\":{}}"));
        g_assert_null(object_from(CTL_ROOT "/vdisks/_37", "{\"org.ovirt.DirectLun.VDisk\":7}"));
        g_assert_null(object_from(CTL_ROOT, "{\"org.ovirt.DirectLun.VDisk\":{}}"));
}

int main(int argc, char *argv[])
{
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/objects/paths", test_paths);
        g_test_add_func("/objects/object", test_object);
        g_test_add_func("/objects/not-ours", test_not_ours);
        return g_test_run();
}
