/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a libvirtd that died has left in QEMU: what is asked of the monitor for which answers, some
 * of them nonsense. One thread.
 */

#include "core-fixture.h"
#include "core/steps/leftover.h"
#include "fakes.h"
#include "util/uuid.h"

#include <string.h>

#define VM    "6695eb01-f6a4-8304-79aa-97f2502e193f"
#define IQN   "iqn.2026-11.org.example:t"
#define GUID  "360000000000000000e00000000010001"
#define OTHER "360000000000000000e00000000010002"

#define NODE(name, file) "{\"node-name\":\"" name "\",\"file\":\"json:" file "\"}"
#define ISCSI(lun)                                                                                 \
        "{\\\"driver\\\":\\\"iscsi\\\",\\\"portal\\\":\\\"192.0.2.1:3260\\\",\\\"target\\\":"      \
        "\\\"" IQN "\\\",\\\"lun\\\":" lun "}"
#define RAW(lun) "{\\\"driver\\\":\\\"raw\\\",\\\"file\\\":" ISCSI(lun) "}"

static const FakeLun luns[] = {{.number = 1, .guid = GUID}, {.number = 2, .guid = OTHER}};

static char vdisk[DL_UUID_SIZE];

static void begin(CoreFixture *f, gconstpointer data)
{
        CoreResult result;

        core_fixture_open(f);
        fake_domain_add(VM, "a", DL_VIRT_RUNNING, true);
        fake_portal_shows("p1", luns, G_N_ELEMENTS(luns));
        core_fixture_start(f);
        DlTarget *target = dl_target_ensure(f->core, IQN, NULL);
        dl_target_add_portal(target, "p1", 3260, 0);
        DlRequest request = core_request(f, &result);
        g_assert_nonnull(dl_flow_rescan(target, &request, NULL));
        core_expect(&result, -1);
        request = core_request(f, &result);
        g_assert_nonnull(dl_flow_create_vdisk(f->core, &request, GUID, NULL, NULL, NULL));
        core_expect(&result, -1);
        dl_uuid_for_guid(GUID, vdisk);
}

static void end(CoreFixture *f, gconstpointer data)
{
        core_fixture_close(f);
        fake_iscsi_forget();
        fake_virt_forget();
}

typedef struct Outcome {
        bool done;
        int code; /* -1: well */
} Outcome;

static void on_done(const GError *error, void *userdata)
{
        *(Outcome *)userdata = (Outcome){true, error ? (int)dl_error_code(error) : -1};
}

/* What was asked for, but for questions, in one line. */
static char *remove_it(CoreFixture *f, int code)
{
        unsigned n = fake_virt_log()->len;
        g_autoptr(GString) asked = g_string_new(NULL);
        Outcome outcome = {};

        g_assert_nonnull(dl_leftover_remove(DL_LOOKUP_VM(f->core, VM), vdisk, on_done, &outcome));
        g_assert_false(outcome.done); /* never from within the call */
        CORE_WAIT(f, outcome.done);
        g_assert_cmpint(outcome.code, ==, code);
        for (unsigned i = n; i < fake_virt_log()->len; i++) {
                const char *command = fake_virt_log()->pdata[i];
                bool device = strstr(command, "device_del");
                const char *name = strstr(command, device ? "\"id\":\"" : "\"node-name\":\"");

                g_assert_true(device || strstr(command, "blockdev-del"));
                name += strlen(device ? "\"id\":\"" : "\"node-name\":\"");
                g_string_append_printf(asked, "-%.*s", (int)strcspn(name, "\""), name);
        }
        return g_string_free(g_steal_pointer(&asked), FALSE);
}

static void test_nothing(CoreFixture *f, gconstpointer data)
{
        g_autofree char *asked = remove_it(f, -1);

        g_assert_cmpstr(asked, ==, "");
}

static void test_nodes(CoreFixture *f, gconstpointer data)
{
        fake_qemu_has(
                "",
                NODE("libvirt-3-storage", ISCSI("2")) "," NODE("libvirt-4-storage", ISCSI("1")) "," NODE(
                        "libvirt-4-format",
                        RAW("1")) "," NODE("libvirt-5-storage",
                                           ISCSI("\\\"1\\\"")) "," NODE("somebodys", ISCSI("1")));
        g_autofree char *asked = remove_it(f, -1);
        g_assert_cmpstr(asked, ==, "-libvirt-4-format-libvirt-4-storage-libvirt-5-storage");
}

static void test_device(CoreFixture *f, gconstpointer data)
{
        g_autofree char *device = g_strdup_printf(
                "{\"qdev\":\"/machine/peripheral/%s%s/virtio-backend\"}", DL_DISK_ALIAS_PREFIX,
                vdisk);
        g_autofree char *expected = g_strdup_printf("-%s%s-libvirt-4-storage", DL_DISK_ALIAS_PREFIX,
                                                    vdisk);

        fake_qemu_has(device, NODE("libvirt-4-storage", ISCSI("1")));
        g_autofree char *asked = remove_it(f, -1);
        g_assert_cmpstr(asked, ==, expected);
}

static void test_device_stays(CoreFixture *f, gconstpointer data)
{
        g_autofree char *device = g_strdup_printf("{\"qdev\":\"%s%s\"}", DL_DISK_ALIAS_PREFIX,
                                                  vdisk);

        fake_qemu_has(device, NODE("libvirt-4-storage", ISCSI("1")));
        fake_guest_does(FAKE_GUEST_IS_SILENT);
        g_autofree char *asked = remove_it(f, DL_ERROR_GUEST_DID_NOT_RELEASE);
        g_assert_null(strstr(asked, "libvirt-4"));
}

static void test_nonsense(CoreFixture *f, gconstpointer data)
{
        static const char *const lists[] = {
                "7",
                "null,[],{}",
                "{\"qdev\":null,\"node-name\":7,\"file\":[]}",
                "{\"node-name\":\"libvirt-1-storage\",\"file\":\"json:\"}",
                NODE("libvirt-1-storage", "[[[[[[[["),
                NODE("libvirt-1-storage", "{\\\"driver\\\":\\\"raw\\\",\\\"file\\\":7}"),
                NODE("libvirt-1\\\"}}", ISCSI("1")),
                "{", /* not JSON at all */
        };

        for (unsigned i = 0; i < G_N_ELEMENTS(lists); i++) {
                fake_qemu_has(lists[i], lists[i]);
                g_autofree char *asked = remove_it(f, -1);
                g_assert_cmpstr(asked, ==, "");
        }
}

static void test_fails(CoreFixture *f, gconstpointer data)
{
        fake_virt_fail("qemu", DL_ERROR_VM_NOT_RUNNING, false);
        g_free(remove_it(f, DL_ERROR_VM_NOT_RUNNING));
}

static void test_cancelled(CoreFixture *f, gconstpointer data)
{
        Outcome outcome = {};

        dl_leftover_cancel(dl_leftover_remove(DL_LOOKUP_VM(f->core, VM), vdisk, on_done, &outcome));
        core_fixture_settle(f);
        g_assert_false(outcome.done);
        g_assert_cmpuint(fake_virt_in_flight(), ==, 0);
        dl_leftover_cancel(NULL);
}

int main(int argc, char **argv)
{
        g_test_init(&argc, &argv, NULL);
#define TEST(name, function)                                                                       \
        g_test_add("/core/leftover/" name, CoreFixture, NULL, begin, function, end)
        TEST("nothing", test_nothing);
        TEST("nodes", test_nodes);
        TEST("device", test_device);
        TEST("device-stays", test_device_stays);
        TEST("nonsense", test_nonsense);
        TEST("fails", test_fails);
        TEST("cancelled", test_cancelled);
        return g_test_run();
}
