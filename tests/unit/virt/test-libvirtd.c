/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Against a real libvirtd with real QEMU guests (emulated, without an operating system: virtio-scsi
 * needs none to attach and detach) and iSCSI LUNs; with-libvirtd.py makes all of it and runs this.
 */

#include "virt-fixture.h"

#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>
#include <stdlib.h>
#include <unistd.h>

#include "util/error.h"
#include "util/secret.h"
#include "virt/domain-xml.h"

#define URI          "qemu:///system"
#define VM           "11111111-2222-4333-8444-555555555555"
#define TRANSIENT_VM "99999999-2222-4333-8444-555555555555"
#define NO_VM        "00000000-0000-4000-8000-000000000000"
#define VDISK        "22222222-2222-4333-8444-555555555555"
#define SECRET       "33333333-2222-4333-8444-555555555555"
#define PLAIN        "iqn.2026-11.org.example:plain"
#define CHAP         "iqn.2026-11.org.example:chap"
#define ALIAS        "ua-disk-1"
#define TIMEOUT      (30 * G_USEC_PER_SEC)
#define BOTH         (DL_VIRT_LIVE | DL_VIRT_CONFIG)

static const char vm_xml[] =
        "<domain type='qemu'><name>%s</name><uuid>%s</uuid><memory unit='MiB'>32</memory>"
        "<vcpu>1</vcpu><os><type arch='x86_64' machine='q35'>hvm</type></os>"
        "<devices><controller type='pci' model='pcie-root'/>"
        "<controller type='pci' model='pcie-root-port'/>"
        "<controller type='pci' model='pcie-root-port'/>"
        "<controller type='pci' model='pcie-root-port'/>"
        "<controller type='pci' model='pcie-root-port'/>"
        "<controller type='pci' model='pcie-root-port'/>"
        "<controller type='scsi' index='0' model='virtio-scsi'/>"
        /* with one per-device boot order libvirt adds no <os><boot>, which would exclude them */
        "<disk type='file' device='cdrom'><target dev='sdz' bus='sata'/><readonly/>"
        "<boot order='1'/></disk>"
        "<controller type='usb' model='none'/><memballoon model='none'/></devices></domain>";

/* A connection of the test's own, to look from outside. */
static virConnectPtr outside;

static void control(const char *command)
{
        int fd = atoi(g_getenv("DL_TEST_CONTROL"));
        char answer[4] = "";

        g_assert_cmpint(write(fd, command, strlen(command)), ==, (gssize)strlen(command));
        g_assert_cmpint(read(fd, answer, 3), ==, 3);
        g_assert_cmpstr(answer, ==, "ok\n");
}

static void open_outside(void)
{
        gint64 deadline = g_get_monotonic_time() + DEADLINE_SEC * G_USEC_PER_SEC;

        while (!(outside = virConnectOpen(URI))) {
                g_assert_cmpint(g_get_monotonic_time(), <, deadline);
                g_usleep(10 * 1000);
        }
}

static void define_vm(void)
{
        g_autofree char *xml = g_strdup_printf(vm_xml, "guest", VM);
        virDomainPtr domain = virDomainDefineXML(outside, xml);

        g_assert_nonnull(domain);
        virDomainFree(domain);
}

static void open_connected(Fixture *f, guint *cursor)
{
        fixture_open(f, URI);
        fixture_wait_event(f, cursor, "connected");
}

static DlDomain *read_vm(Fixture *f, const char *uuid, bool live)
{
        DlDomain *domain;
        GError *error = NULL;

        fixture_wait_ok(f, dl_virt_get_domain(f->virt, uuid, on_domain, f));
        domain = dl_domain_parse(live ? f->live_xml : f->inactive_xml, &error);
        g_assert_no_error(error);
        g_assert_cmpstr(domain->uuid, ==, uuid);
        return domain;
}

static DlDomainDisk *find_disk(DlDomain *domain, const char *alias)
{
        for (guint i = 0; i < domain->disks->len; i++) {
                DlDomainDisk *disk = g_ptr_array_index(domain->disks, i);

                if (g_strcmp0(disk->alias, alias) == 0)
                        return disk;
        }
        return NULL;
}

static DlDiskSpec plain_spec(void)
{
        return (DlDiskSpec){
                .alias = ALIAS,
                .device = "disk",
                .bus = "scsi",
                .target_dev = "sda",
                .serial = "a serial that is much longer than 20",
                .iqn = PLAIN,
                .lun = 1,
                .host_name = "127.0.0.1",
                .host_port = 3260,
                .initiator_name = "iqn.2026-11.org.example:host",
        };
}

static void attach(Fixture *f, const DlDiskSpec *spec, unsigned affect)
{
        g_autofree char *xml = dl_disk_spec_to_xml(spec);

        fixture_wait_ok(f, dl_virt_attach_device(f->virt, VM, xml, (DlVirtAffect)affect, TIMEOUT,
                                                 on_done, f));
}

static void detach(Fixture *f, const char *alias, unsigned affect)
{
        g_autofree char *event = g_strdup_printf("removed " VM " %s", alias);
        guint cursor = f->events->len;

        fixture_wait_ok(f, dl_virt_detach_device(f->virt, VM, alias, (DlVirtAffect)affect, TIMEOUT,
                                                 on_done, f));
        if (affect & DL_VIRT_LIVE) {
                fixture_wait_event(f, &cursor, event);
                fixture_wait_event(f, &cursor, "changed " VM);
        }
}

static void test_life(void)
{
        guint cursor = 0;
        Fixture f;

        open_connected(&f, &cursor);
        fixture_wait_ok(&f, dl_virt_list_domains(f.virt, on_listed, &f));
        g_assert_cmpuint(f.n_domains, ==, 0);
        define_vm();
        fixture_wait_event(&f, &cursor, "changed " VM);
        fixture_wait_ok(&f, dl_virt_list_domains(f.virt, on_listed, &f));
        g_assert_cmpuint(f.n_domains, ==, 1);

        fixture_wait_error(&f, dl_virt_shutdown(f.virt, VM, on_done, &f), DL_ERROR_VM_NOT_RUNNING);
        fixture_wait_error(&f, dl_virt_start(f.virt, NO_VM, TIMEOUT, on_done, &f),
                           DL_ERROR_VM_NOT_FOUND);
        cursor = f.events->len;
        fixture_wait_ok(&f, dl_virt_start(f.virt, VM, TIMEOUT, on_done, &f));
        fixture_wait_event(&f, &cursor, "changed " VM);
        fixture_wait_ok(&f, dl_virt_get_domain(f.virt, VM, on_domain, &f));
        g_assert_cmpint(f.state, ==, DL_VIRT_RUNNING);
        g_assert_true(f.persistent && f.live_xml && f.inactive_xml);
        fixture_wait_error(&f, dl_virt_start(f.virt, VM, TIMEOUT, on_done, &f),
                           DL_ERROR_VM_RUNNING);
        fixture_wait_ok(&f, dl_virt_shutdown(f.virt, VM, on_done, &f)); /* nobody listens */

        cursor = f.events->len;
        fixture_wait_ok(&f, dl_virt_destroy(f.virt, VM, on_done, &f));
        fixture_wait_event(&f, &cursor, "changed " VM);
        fixture_wait_ok(&f, dl_virt_destroy(f.virt, VM, on_done, &f));
        fixture_wait_ok(&f, dl_virt_get_domain(f.virt, VM, on_domain, &f));
        g_assert_cmpint(f.state, ==, DL_VIRT_SHUTOFF);
        g_assert_null(f.live_xml);
        fixture_close(&f);
}

static void test_attach_config(void)
{
        DlDiskSpec spec = plain_spec();
        g_autofree char *xml = dl_disk_spec_to_xml(&spec);
        g_autoptr(DlDomain) with = NULL, without = NULL;
        guint cursor = 0;
        Fixture f;

        open_connected(&f, &cursor);
        fixture_wait_error(
                &f, dl_virt_attach_device(f.virt, VM, xml, DL_VIRT_LIVE, TIMEOUT, on_done, &f),
                DL_ERROR_VM_NOT_RUNNING);
        attach(&f, &spec, DL_VIRT_CONFIG);
        with = read_vm(&f, VM, false);
        g_assert_nonnull(find_disk(with, ALIAS)); /* user aliases last while it is off */
        detach(&f, ALIAS, DL_VIRT_CONFIG);
        without = read_vm(&f, VM, false);
        g_assert_null(find_disk(without, ALIAS));
        fixture_wait_error(
                &f, dl_virt_detach_device(f.virt, VM, ALIAS, DL_VIRT_CONFIG, TIMEOUT, on_done, &f),
                DL_ERROR_NOT_ATTACHED);
        fixture_close(&f);
}

static void check_attached(Fixture *f, const DlDiskSpec *spec, const char *source)
{
        g_autoptr(DlDomain) domain = NULL;
        const DlDomainDisk *disk;

        attach(f, spec, DL_VIRT_LIVE);
        domain = read_vm(f, VM, true);
        disk = find_disk(domain, spec->alias);
        g_assert_nonnull(disk);
        g_assert_cmpstr(disk->type, ==, "network");
        g_assert_cmpstr(disk->protocol, ==, "iscsi");
        g_assert_cmpstr(disk->source, ==, source);
        g_assert_cmpstr(disk->host_name, ==, spec->host_name);
        g_assert_cmpuint(disk->host_port, ==, 3260);
        g_assert_cmpstr(disk->device, ==, spec->device);
        g_assert_cmpstr(disk->bus, ==, spec->bus);
        g_assert_cmpstr(disk->target_dev, ==, spec->target_dev);
        g_assert_cmpstr(disk->serial, ==, spec->serial);
        g_assert_true(disk->shareable == spec->shareable);
        g_assert_true(disk->readonly == spec->readonly);
        g_assert_cmpuint(disk->boot_order, ==, spec->boot_order);
        g_assert_nonnull(disk->address);
        g_assert_true(dl_address_check(disk->address, NULL));
}

static void test_attach_live(void)
{
        g_autoptr(GHashTable) address = dl_address_new();
        guint cursor = 0;
        DlDiskSpec spec;
        Fixture f;

        open_connected(&f, &cursor);
        fixture_wait_ok(&f, dl_virt_start(f.virt, VM, TIMEOUT, on_done, &f));

        spec = plain_spec();
        check_attached(&f, &spec, PLAIN "/1");
        detach(&f, ALIAS, DL_VIRT_LIVE);

        /* everything that may be asked for, at once; and over IPv6 */
        spec = plain_spec();
        spec.host_name = "::1";
        spec.propagate_errors = spec.shareable = spec.discard = true;
        spec.boot_order = 3;
        g_hash_table_insert(address, g_strdup("type"), g_strdup("drive"));
        g_hash_table_insert(address, g_strdup("controller"), g_strdup("0"));
        g_hash_table_insert(address, g_strdup("bus"), g_strdup("0"));
        g_hash_table_insert(address, g_strdup("target"), g_strdup("0"));
        g_hash_table_insert(address, g_strdup("unit"), g_strdup("17"));
        spec.address = address;
        check_attached(&f, &spec, PLAIN "/1");
        detach(&f, ALIAS, DL_VIRT_LIVE);

        spec = plain_spec();
        spec.readonly = true;
        check_attached(&f, &spec, PLAIN "/1");
        detach(&f, ALIAS, DL_VIRT_LIVE);

        /* passthrough, with either policy */
        for (int i = 0; i < 2; i++) {
                spec = plain_spec();
                spec.device = "lun";
                spec.serial = NULL;
                spec.propagate_errors = spec.shareable = i;
                check_attached(&f, &spec, PLAIN "/1");
                detach(&f, ALIAS, DL_VIRT_LIVE);
        }

        /* LUN 300 only answers if its number was encoded */
        spec = plain_spec();
        spec.lun = 300;
        check_attached(&f, &spec, PLAIN "/16684");
        detach(&f, ALIAS, DL_VIRT_LIVE);
        fixture_close(&f);
}

static void test_attach_virtio(void)
{
        DlDiskSpec spec = plain_spec();
        guint cursor = 0;
        Fixture f;

        open_connected(&f, &cursor);
        spec.bus = "virtio";
        spec.target_dev = "vda";
        spec.alias = "ua-virtio";
        spec.serial = "12345678901234567890";
        check_attached(&f, &spec, PLAIN "/1");
        /* it stays until the guest, that is not there, lets go: destroyed with it */
        fixture_wait_ok(&f, dl_virt_destroy(f.virt, VM, on_done, &f));
        fixture_wait_ok(&f, dl_virt_start(f.virt, VM, TIMEOUT, on_done, &f));
        fixture_close(&f);
}

static void test_attach_errors(void)
{
        DlDiskSpec spec = plain_spec();
        g_autofree char *no_lun = NULL;
        guint cursor = 0;
        Fixture f;

        open_connected(&f, &cursor);
        spec.lun = 77;
        no_lun = dl_disk_spec_to_xml(&spec);
        fixture_wait_error(
                &f, dl_virt_attach_device(f.virt, VM, no_lun, DL_VIRT_LIVE, TIMEOUT, on_done, &f),
                DL_ERROR_LIBVIRT_ERROR);
        g_assert_true(g_str_has_prefix(f.error->message, "libvirt: "));
        fixture_wait_error(
                &f,
                dl_virt_attach_device(f.virt, VM, "<nonsense", DL_VIRT_LIVE, TIMEOUT, on_done, &f),
                DL_ERROR_LIBVIRT_ERROR);
        fixture_wait_error(
                &f, dl_virt_detach_device(f.virt, VM, ALIAS, DL_VIRT_LIVE, TIMEOUT, on_done, &f),
                DL_ERROR_NOT_ATTACHED);
        fixture_close(&f);
}

static void test_secret(void)
{
        g_autoptr(DlSecret) wrong = dl_secret_new("wrong", 5, NULL);
        g_autoptr(DlSecret) right = dl_secret_new("correct horse", 13, NULL);
        g_autofree char *xml = NULL;
        virSecretPtr secret;
        DlDiskSpec spec = plain_spec();
        guint cursor = 0;
        size_t size;
        Fixture f;

        spec.iqn = CHAP;
        spec.chap_user = "alice";
        spec.secret_uuid = SECRET;
        xml = dl_disk_spec_to_xml(&spec);

        open_connected(&f, &cursor);
        fixture_wait_ok(&f, dl_virt_set_secret(f.virt, SECRET, CHAP, wrong, on_done, &f));
        fixture_wait_error(
                &f, dl_virt_attach_device(f.virt, VM, xml, DL_VIRT_LIVE, TIMEOUT, on_done, &f),
                DL_ERROR_LIBVIRT_ERROR);
        g_assert_null(strstr(f.error->message, "wrong"));

        fixture_wait_ok(&f, dl_virt_set_secret(f.virt, SECRET, CHAP, right, on_done, &f));
        check_attached(&f, &spec, CHAP "/1");
        detach(&f, ALIAS, DL_VIRT_LIVE);

        secret = virSecretLookupByUUIDString(outside, SECRET);
        g_assert_nonnull(secret);
        g_assert_null(virSecretGetValue(secret, &size, 0));
        g_assert_cmpint(virGetLastErrorCode(), ==, VIR_ERR_INVALID_SECRET);
        virSecretFree(secret);
        g_assert_false(g_file_test("/etc/libvirt/secrets/" SECRET ".xml", G_FILE_TEST_EXISTS));

        fixture_wait_ok(&f, dl_virt_forget_secret(f.virt, SECRET, on_done, &f));
        fixture_wait_ok(&f, dl_virt_forget_secret(f.virt, SECRET, on_done, &f));
        g_assert_null(virSecretLookupByUUIDString(outside, SECRET));
        fixture_close(&f);
}

static char *metadata(const char *guid)
{
        g_autoptr(GHashTable) address = dl_address_new();
        DlDomainAttachment attachment = {
                .id = (char *)"a1",
                .vdisk = (char *)VDISK,
                .guid = (char *)guid,
                .iface = (char *)"scsi",
                .device = (char *)"disk",
                .data_path = (char *)"auto",
                .address = address,
        };
        DlDomainAttachment *attachments[] = {&attachment};

        g_hash_table_insert(address, g_strdup("type"), g_strdup("drive"));
        g_hash_table_insert(address, g_strdup("unit"), g_strdup("2"));
        return dl_metadata_to_xml(attachments, 1);
}

static void check_metadata(Fixture *f, const char *uuid, bool live, const char *guid)
{
        g_autoptr(DlDomain) domain = read_vm(f, uuid, live);
        const DlDomainAttachment *attachment;

        g_assert_false(domain->metadata_broken);
        g_assert_cmpuint(domain->attachments->len, ==, guid ? 1 : 0);
        if (!guid)
                return;
        attachment = g_ptr_array_index(domain->attachments, 0);
        g_assert_cmpstr(attachment->guid, ==, guid);
        g_assert_cmpstr(g_hash_table_lookup(attachment->address, "unit"), ==, "2");
}

static void test_metadata(void)
{
        g_autofree char *one = metadata("one"), *two = metadata("two & <three>");
        guint cursor = 0;
        Fixture f;

        open_connected(&f, &cursor);
        fixture_wait_ok(&f, dl_virt_set_metadata(f.virt, VM, one, BOTH, on_done, &f));
        fixture_wait_event(&f, &cursor, "changed " VM);
        check_metadata(&f, VM, true, "one");
        check_metadata(&f, VM, false, "one");
        fixture_wait_ok(&f, dl_virt_set_metadata(f.virt, VM, two, DL_VIRT_CONFIG, on_done, &f));
        check_metadata(&f, VM, true, "one");
        check_metadata(&f, VM, false, "two & <three>");
        fixture_wait_ok(&f, dl_virt_set_metadata(f.virt, VM, NULL, BOTH, on_done, &f));
        check_metadata(&f, VM, true, NULL);
        check_metadata(&f, VM, false, NULL);
        fixture_wait_ok(&f, dl_virt_set_metadata(f.virt, VM, NULL, BOTH, on_done, &f));

        fixture_wait_ok(&f, dl_virt_destroy(f.virt, VM, on_done, &f));
        fixture_wait_error(&f, dl_virt_set_metadata(f.virt, VM, one, DL_VIRT_LIVE, on_done, &f),
                           DL_ERROR_VM_NOT_RUNNING);
        fixture_wait_ok(&f, dl_virt_set_metadata(f.virt, VM, one, BOTH, on_done, &f));
        check_metadata(&f, VM, false, "one");
        fixture_close(&f);
}

static void test_transient(void)
{
        g_autofree char *xml = g_strdup_printf(vm_xml, "transient", TRANSIENT_VM);
        g_autofree char *one = metadata("one");
        virDomainPtr domain;
        guint cursor = 0;
        Fixture f;

        open_connected(&f, &cursor);
        domain = virDomainCreateXML(outside, xml, 0);
        g_assert_nonnull(domain);
        virDomainFree(domain);
        fixture_wait_event(&f, &cursor, "changed " TRANSIENT_VM);
        fixture_wait_ok(&f, dl_virt_set_metadata(f.virt, TRANSIENT_VM, one, BOTH, on_done, &f));
        check_metadata(&f, TRANSIENT_VM, true, "one");
        g_assert_false(f.persistent);
        g_assert_null(f.inactive_xml);
        fixture_wait_ok(&f, dl_virt_destroy(f.virt, TRANSIENT_VM, on_done, &f));
        fixture_wait_error(&f, dl_virt_get_domain(f.virt, TRANSIENT_VM, on_domain, &f),
                           DL_ERROR_VM_NOT_FOUND);
        fixture_close(&f);
}

static void test_restart(void)
{
        guint cursor = 0;
        Fixture f;

        open_connected(&f, &cursor);
        fixture_wait_ok(&f, dl_virt_start(f.virt, VM, TIMEOUT, on_done, &f));

        virConnectClose(outside);
        control("kill\n");
        fixture_wait_event(&f, &cursor, "disconnected");
        g_assert_false(dl_virt_is_connected(f.virt));
        fixture_wait_error(&f, dl_virt_get_domain(f.virt, VM, on_domain, &f),
                           DL_ERROR_LIBVIRT_ERROR);
        control("start\n");
        fixture_wait_event(&f, &cursor, "connected");
        g_assert_true(dl_virt_is_connected(f.virt));
        open_outside();

        /* the guest went on, and its events come again */
        fixture_wait_ok(&f, dl_virt_get_domain(f.virt, VM, on_domain, &f));
        g_assert_cmpint(f.state, ==, DL_VIRT_RUNNING);
        /* A change waits until libvirtd has taken the guest over again; a destroy does not, and one
         * that comes in the middle of that ends the guest without an event. */
        fixture_wait_ok(&f, dl_virt_set_metadata(f.virt, VM, NULL, DL_VIRT_LIVE, on_done, &f));
        cursor = f.events->len;
        fixture_wait_ok(&f, dl_virt_destroy(f.virt, VM, on_done, &f));
        fixture_wait_event(&f, &cursor, "changed " VM);
        fixture_close(&f);
}

/* Libvirtd dies while it is asked: the call ends with an error, long before its deadline. */
static void test_killed_under_a_call(void)
{
        guint cursor = 0;
        Fixture f;

        open_connected(&f, &cursor);
        virConnectClose(outside);
        control("stop\n");
        dl_virt_get_domain(f.virt, VM, on_domain, &f);
        fixture_turn(&f); /* a worker has taken it, most likely; it is the same if not */
        g_assert_false(f.ended);
        control("kill\n");
        while (!f.ended)
                fixture_turn(&f);
        g_assert_error(f.error, DL_ERROR, DL_ERROR_LIBVIRT_ERROR);
        fixture_wait_event(&f, &cursor, "disconnected");
        control("start\n");
        fixture_wait_event(&f, &cursor, "connected");
        open_outside();
        fixture_close(&f);
}

static void test_stopped(void)
{
        guint cursor = 0, before;
        gint64 begin;
        Fixture f;

        open_connected(&f, &cursor);
        virConnectClose(outside);
        control("stop\n");

        /* one call hangs on a worker; the one behind it never begins */
        begin = g_get_monotonic_time();
        dl_virt_start(f.virt, VM, G_USEC_PER_SEC / 2, on_done, &f);
        fixture_turn(&f); /* the loop lives */
        g_assert_cmpint(g_get_monotonic_time() - begin, <, G_USEC_PER_SEC / 2);
        while (!f.ended)
                fixture_turn(&f);
        g_assert_error(f.error, DL_ERROR, DL_ERROR_TIMED_OUT);
        g_assert_cmpint(g_get_monotonic_time() - begin, <, 5 * G_USEC_PER_SEC);
        fixture_wait_error(&f,
                           dl_virt_detach_device(f.virt, VM, "ua-none", DL_VIRT_CONFIG,
                                                 G_USEC_PER_SEC / 10, on_done, &f),
                           DL_ERROR_TIMED_OUT);
        before = f.events->len;
        g_assert_false(fixture_has_event(&f, 0, "changed"));

        /* it comes to itself: the start takes effect late, and that is said */
        control("cont\n");
        fixture_wait_event(&f, &before, "changed " VM);
        while (dl_workers_pending(f.workers) > 0)
                fixture_turn(&f);
        open_outside();
        fixture_wait_ok(&f, dl_virt_get_domain(f.virt, VM, on_domain, &f));
        g_assert_cmpint(f.state, ==, DL_VIRT_RUNNING);
        fixture_wait_ok(&f, dl_virt_destroy(f.virt, VM, on_done, &f));
        fixture_close(&f);
}

/* A libvirtd that is stopped for good is found out by keepalive; freeing waits no longer than that,
 * and a new connection comes up when it goes on. */
static void test_keepalive(void)
{
        guint cursor = 0;
        Fixture f;

        open_connected(&f, &cursor);
        virConnectClose(outside);
        control("stop\n");
        dl_virt_get_domain(f.virt, VM, on_domain, &f);
        fixture_wait_event(&f, &cursor, "disconnected");
        while (!f.ended)
                fixture_turn(&f);
        g_assert_error(f.error, DL_ERROR, DL_ERROR_LIBVIRT_ERROR);
        for (unsigned i = 0; i < 10; i++) /* it is connecting, in vain */
                fixture_turn(&f);
        g_assert_false(dl_virt_is_connected(f.virt));
        control("cont\n");
        fixture_wait_event(&f, &cursor, "connected");
        open_outside();
        fixture_close(&f);
}

int main(int argc, char **argv)
{
        int r;

        g_test_init(&argc, &argv, NULL);
        if (!g_getenv("DL_TEST_CONTROL")) {
                g_printerr("run it by with-libvirtd.py\n");
                return EXIT_FAILURE;
        }
        open_outside();
        /* In this order: the later ones use the VM that the first defines. */
        g_test_add_func("/libvirtd/life", test_life);
        g_test_add_func("/libvirtd/attach-config", test_attach_config);
        g_test_add_func("/libvirtd/attach-live", test_attach_live);
        g_test_add_func("/libvirtd/attach-virtio", test_attach_virtio);
        g_test_add_func("/libvirtd/attach-errors", test_attach_errors);
        g_test_add_func("/libvirtd/secret", test_secret);
        g_test_add_func("/libvirtd/metadata", test_metadata);
        g_test_add_func("/libvirtd/transient", test_transient);
        g_test_add_func("/libvirtd/restart", test_restart);
        g_test_add_func("/libvirtd/killed-under-a-call", test_killed_under_a_call);
        g_test_add_func("/libvirtd/stopped", test_stopped);
        g_test_add_func("/libvirtd/keepalive", test_keepalive);
        r = g_test_run();
        virConnectClose(outside);
        return r;
}
