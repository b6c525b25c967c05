/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Two VMs and two LUNs, for the flows on VMs. The strings are its own. One thread: the test's. */

#include "flow-fixture.h"

#include "util/uuid.h"

const FakeLun flow_luns[2] = {{.number = 1, .guid = GUID}, {.number = 2, .guid = OTHER}};

char *flow_alias;

void flow_begin(CoreFixture *f, gconstpointer data)
{
        char vdisk[DL_UUID_SIZE];
        CoreResult result;

        core_fixture_open(f);
        fake_domain_add(VM_A, "a", DL_VIRT_SHUTOFF, true);
        fake_domain_add(VM_B, "b", DL_VIRT_SHUTOFF, true);
        fake_portal_shows("p1", flow_luns, G_N_ELEMENTS(flow_luns));
        core_fixture_start(f);

        DlTarget *target = dl_target_ensure(f->core, IQN, NULL);
        DlRequest request = core_request(f, &result);
        dl_target_add_portal(target, "p1", 3260, 0);
        g_assert_nonnull(dl_flow_rescan(target, &request, NULL));
        core_expect(&result, -1);
        dl_uuid_for_guid(GUID, vdisk);
        flow_alias = dl_disk_alias(vdisk);
}

void flow_end(CoreFixture *f, gconstpointer data)
{
        if (f->core) {
                CORE_WAIT(f, g_hash_table_size(f->core->operations) == 0);
                core_fixture_settle(f);
                g_assert_cmpuint(g_hash_table_size(f->core->intents), ==, 0);
                g_assert_cmpuint(fake_virt_in_flight(), ==, 0);
                g_autoptr(GPtrArray) targets = dl_core_list(f->core, DL_KIND_TARGET);
                for (unsigned i = 0; i < targets->len; i++)
                        g_assert_cmpuint(((DlTarget *)targets->pdata[i])->n_jobs, ==, 0);
        }
        core_fixture_close(f);
        fake_iscsi_forget();
        fake_virt_forget();
        g_clear_pointer(&flow_alias, g_free);
}

DlVm *flow_vm_a(CoreFixture *f)
{
        return DL_LOOKUP_VM(f->core, VM_A);
}

void flow_run_vm(CoreFixture *f, const char *uuid)
{
        fake_domain_set_state(uuid, DL_VIRT_RUNNING);
        fake_virt_tell(uuid);
        CORE_WAIT(f, dl_vm_is_active(DL_LOOKUP_VM(f->core, uuid)));
        core_fixture_settle(f);
}

DlDeviceSpec flow_spec_of(const char *guid)
{
        return (DlDeviceSpec){.guid = guid, .index = -1, .plug = -1};
}

DlJob *flow_attach_as(CoreFixture *f, const char *vm, const DlDeviceSpec *spec, CoreResult *result)
{
        DlRequest request = core_request(f, result);
        g_autoptr(GError) error = NULL;
        DlJob *job = dl_flow_attach_disk(DL_LOOKUP_VM(f->core, vm), &request, spec, &error);

        g_assert_no_error(error);
        return job;
}

void flow_attach(CoreFixture *f, const char *vm, int code)
{
        DlDeviceSpec spec = flow_spec_of(GUID);
        CoreResult result;

        flow_attach_as(f, vm, &spec, &result);
        core_expect(&result, code);
}

void flow_change(CoreFixture *f,
                 DlJob *(*flow)(DlAttachment *attachment, const DlRequest *request, GError **error),
                 int code)
{
        CoreResult result;
        DlRequest request = core_request(f, &result);

        g_assert_nonnull(flow(flow_attachment_of(f, VM_A), &request, NULL));
        core_expect(&result, code);
}

DlAttachment *flow_attachment_of(CoreFixture *f, const char *vm)
{
        char vdisk[DL_UUID_SIZE], id[DL_UUID_SIZE];

        dl_uuid_for_guid(GUID, vdisk);
        dl_uuid_for_attachment(vm, vdisk, id);
        return DL_LOOKUP_ATTACHMENT(f->core, id);
}

void flow_expect_nothing(CoreFixture *f, const char *vm)
{
        core_fixture_settle(f);
        g_assert_null(flow_attachment_of(f, vm));
        g_assert_null(fake_domain_metadata(vm));
        g_assert_null(fake_domain_disk(vm, DL_VIRT_CONFIG, flow_alias));
        g_assert_null(fake_domain_disk(vm, DL_VIRT_LIVE, flow_alias));
        g_assert_null(dl_vdisk_of_guid(f->core, GUID));
        g_assert_cmpint(DL_LOOKUP_LUN(f->core, GUID)->status, ==, DL_LUN_FREE);
}

void flow_expect_attached(CoreFixture *f, const char *vm, bool plugged)
{
        core_fixture_settle(f);
        g_assert_nonnull(flow_attachment_of(f, vm));
        g_assert_cmpint(flow_attachment_of(f, vm)->plugged, ==, plugged);
        g_assert_nonnull(fake_domain_metadata(vm));
        g_assert_nonnull(fake_domain_disk(vm, DL_VIRT_CONFIG, flow_alias));
        g_assert_cmpint(fake_domain_disk(vm, DL_VIRT_LIVE, flow_alias) != NULL, ==, plugged);
        g_assert_nonnull(dl_vdisk_of_guid(f->core, GUID));
        g_assert_cmpint(DL_LOOKUP_LUN(f->core, GUID)->status, ==, DL_LUN_USED);
        g_assert_cmpint(dl_target_is_managed(DL_LOOKUP_TARGET(f->core, IQN)), ==, plugged);
}
