/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Calls, errors and events against libvirt's test driver, and against nothing at all. */

#include "virt-fixture.h"

#include "util/error.h"
#include "util/secret.h"
#include "virt/domain-xml.h"

#define TEST_VM "6695eb01-f6a4-8304-79aa-97f2502e193f"
/* A file of one's own: what opens test:///default shares one state within the process. */
#define TEST_URI   "test://" DL_TEST_DIR "/test-driver.xml"
#define NO_VM      "00000000-0000-4000-8000-000000000000"
#define NO_LIBVIRT "qemu+unix:///system?socket=/nonexistent/libvirt-sock"

static void test_driver(void)
{
        DlDomainAttachment attachment = {
                .id = (char *)"a1",
                .vdisk = (char *)NO_VM,
                .guid = (char *)"36001405000000001",
                .iface = (char *)"scsi",
                .device = (char *)"disk",
                .data_path = (char *)"qemu",
        };
        DlDomainAttachment *attachments[] = {&attachment};
        g_autofree char *metadata = dl_metadata_to_xml(attachments, 1);
        g_autoptr(DlDomain) domain = NULL;
        guint cursor = 0;
        Fixture f;

        fixture_open(&f, TEST_URI);
        fixture_wait_event(&f, &cursor, "connected");
        g_assert_true(dl_virt_is_connected(f.virt));

        fixture_wait_ok(&f, dl_virt_list_domains(f.virt, on_listed, &f));
        g_assert_cmpuint(f.n_domains, ==, 1);
        fixture_wait_ok(&f, dl_virt_get_domain(f.virt, TEST_VM, on_domain, &f));
        g_assert_cmpstr(f.name, ==, "test");
        g_assert_cmpint(f.state, ==, DL_VIRT_RUNNING);
        g_assert_true(f.persistent && f.live_xml && f.inactive_xml);
        fixture_wait_error(&f, dl_virt_get_domain(f.virt, NO_VM, on_domain, &f),
                           DL_ERROR_VM_NOT_FOUND);
        fixture_wait_error(&f, dl_virt_get_domain(f.virt, "nonsense", on_domain, &f),
                           DL_ERROR_LIBVIRT_ERROR);
        g_assert_true(g_str_has_prefix(f.error->message, "libvirt: "));
        g_assert_nonnull(strstr(f.error->message, "(code 8)"));

        cursor = f.events->len;
        fixture_wait_ok(&f, dl_virt_set_metadata(f.virt, TEST_VM, metadata,
                                                 DL_VIRT_LIVE | DL_VIRT_CONFIG, on_done, &f));
        fixture_wait_event(&f, &cursor, "changed " TEST_VM);
        fixture_wait_ok(&f, dl_virt_get_domain(f.virt, TEST_VM, on_domain, &f));
        domain = dl_domain_parse(f.live_xml, NULL);
        g_assert_nonnull(domain);
        g_assert_false(domain->metadata_broken);
        g_assert_cmpuint(domain->attachments->len, ==, 1);

        cursor = f.events->len;
        fixture_wait_ok(&f, dl_virt_destroy(f.virt, TEST_VM, on_done, &f));
        fixture_wait_event(&f, &cursor, "changed " TEST_VM);
        fixture_wait_ok(&f, dl_virt_destroy(f.virt, TEST_VM, on_done, &f)); /* it is off */
        fixture_wait_error(&f, dl_virt_destroy(f.virt, NO_VM, on_done, &f), DL_ERROR_VM_NOT_FOUND);
        fixture_wait_ok(&f, dl_virt_start(f.virt, TEST_VM, G_USEC_PER_SEC, on_done, &f));
        fixture_close(&f);
}

static void test_no_libvirt(void)
{
        DlVirtCall *call;
        Fixture f;

        fixture_open(&f, NO_LIBVIRT);
        for (unsigned i = 0; i < 20; i++) /* through some attempts to connect */
                fixture_turn(&f);
        g_assert_false(dl_virt_is_connected(f.virt));

        call = dl_virt_get_domain(f.virt, TEST_VM, on_domain, &f);
        g_assert_false(f.ended); /* never from within the call */
        fixture_wait_error(&f, call, DL_ERROR_LIBVIRT_ERROR);
        fixture_wait_error(&f, dl_virt_list_domains(f.virt, on_listed, &f), DL_ERROR_LIBVIRT_ERROR);
        g_assert_nonnull(strstr(f.error->message, "/nonexistent/libvirt-sock"));
        fixture_close(&f);
}

static void test_each_call_fails_at_once(void)
{
        g_autoptr(DlSecret) secret = dl_secret_new("x", 1, NULL);
        guint cursor = 0;
        Fixture f;

        fixture_open(&f, NO_LIBVIRT);
        fixture_wait_error(&f, dl_virt_get_domain(f.virt, NO_VM, on_domain, &f),
                           DL_ERROR_LIBVIRT_ERROR);
        fixture_wait_error(&f, dl_virt_start(f.virt, NO_VM, 1, on_done, &f),
                           DL_ERROR_LIBVIRT_ERROR);
        fixture_wait_error(&f, dl_virt_destroy(f.virt, NO_VM, on_done, &f), DL_ERROR_LIBVIRT_ERROR);
        fixture_wait_error(
                &f, dl_virt_attach_device(f.virt, NO_VM, "<disk/>", DL_VIRT_LIVE, 1, on_done, &f),
                DL_ERROR_LIBVIRT_ERROR);
        fixture_wait_error(
                &f, dl_virt_detach_device(f.virt, NO_VM, "ua-x", DL_VIRT_LIVE, 1, on_done, &f),
                DL_ERROR_LIBVIRT_ERROR);
        fixture_wait_error(&f, dl_virt_set_secret(f.virt, NO_VM, "u", secret, on_done, &f),
                           DL_ERROR_LIBVIRT_ERROR);
        fixture_wait_error(&f, dl_virt_forget_secret(f.virt, NO_VM, on_done, &f),
                           DL_ERROR_LIBVIRT_ERROR);
        fixture_wait_event(&f, &cursor, "disconnected"); /* said once, and nothing else */
        g_assert_cmpuint(f.events->len, ==, 1);
        fixture_close(&f);
}

static void test_cancel(void)
{
        guint cursor = 0;
        Fixture f;

        /* before it could fail */
        fixture_open(&f, NO_LIBVIRT);
        dl_virt_cancel(dl_virt_list_domains(f.virt, on_listed, &f));
        dl_virt_cancel(NULL);
        fixture_turn(&f);
        g_assert_false(f.ended);
        fixture_close(&f);

        /* at any moment of its life; and with the connection freed under calls that run */
        fixture_open(&f, TEST_URI);
        fixture_wait_event(&f, &cursor, "connected");
        for (unsigned i = 0; i < 50; i++) {
                DlVirtCall *call = dl_virt_get_domain(f.virt, TEST_VM, on_domain, &f);

                g_usleep(i * 10);
                dl_virt_cancel(call);
        }
        while (dl_workers_pending(f.workers) > 0)
                fixture_turn(&f);
        g_assert_false(f.ended);
        for (unsigned i = 0; i < 20; i++) {
                dl_virt_get_domain(f.virt, TEST_VM, on_domain, &f);
                dl_virt_destroy(f.virt, TEST_VM, on_done, &f);
        }
        fixture_close(&f);
        g_assert_false(f.ended);
}

static void test_free_while_connecting(void)
{
        for (unsigned i = 0; i < 20; i++) {
                Fixture f;

                fixture_open(&f, TEST_URI);
                if (i % 2)
                        fixture_turn(&f);
                fixture_close(&f);
        }
        dl_virt_free(NULL);
}

static void test_states(void)
{
        g_assert_cmpstr(dl_virt_state_name(DL_VIRT_SHUTOFF), ==, "shutoff");
        g_assert_cmpstr(dl_virt_state_name(DL_VIRT_SUSPENDED), ==, "suspended");
        g_assert_false(dl_virt_state_is_active(DL_VIRT_SHUTOFF));
        g_assert_true(dl_virt_state_is_active(DL_VIRT_PAUSED));
        for (int state = 0; state < _DL_VIRT_STATE_MAX; state++)
                g_assert_nonnull(dl_virt_state_name((DlVirtState)state));
}

int main(int argc, char **argv)
{
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/virt/states", test_states);
        g_test_add_func("/virt/test-driver", test_driver);
        g_test_add_func("/virt/no-libvirt", test_no_libvirt);
        g_test_add_func("/virt/each-call-fails-at-once", test_each_call_fails_at_once);
        g_test_add_func("/virt/cancel", test_cancel);
        g_test_add_func("/virt/free-while-connecting", test_free_while_connecting);
        return g_test_run();
}
