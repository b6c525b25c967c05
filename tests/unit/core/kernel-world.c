/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A target for the host's kernel. The caller owns the world. One thread: the test's. */

#include "kernel-world.h"

#include <sys/sysmacros.h>

#define SIZE 4096

static const FakeLun luns[] = {{.number = 1, .guid = GUID, .serial = "s", .capacity = SIZE}};

static const char *const guids[] = {GUID, NULL};

void kernel_world_begin(KernelWorld *w, gconstpointer n_portals)
{
        core_fixture_open(&w->core);
        fake_kernel_prepare(&w->core);
        fake_domain_add(VM, "a", DL_VIRT_SHUTOFF, true);
        core_fixture_start(&w->core);
        fake_kernel_start(&w->core);
        w->target = dl_target_ensure(w->core.core, IQN, NULL);
        for (int i = 1; i <= GPOINTER_TO_INT(n_portals); i++) {
                g_autofree char *address = g_strdup_printf("192.0.2.%d", i);

                fake_portal_shows(address, luns, G_N_ELEMENTS(luns));
                dl_target_add_portal(w->target, address, 3260, 1);
        }
        w->path = fake_block_path("sda", GUID, makedev(8, 0));
        w->map = fake_block_path("dm-0", GUID, makedev(8, 0));
        w->kernel = (DlBlockLun){.guid = (char *)GUID,
                                 .paths = g_ptr_array_new(),
                                 .holders = g_new0(char *, 1),
                                 .node = ""};
        g_ptr_array_add(w->kernel.paths, &w->path);
        w->spec = (DlConnectSpec){.guids = guids, .data_path = "block"};
}

void kernel_world_end(KernelWorld *w, gconstpointer data)
{
        fake_kernel_end();
        core_fixture_close(&w->core);
        g_ptr_array_unref(w->kernel.paths);
        g_strfreev(w->kernel.holders);
        fake_iscsi_forget();
        fake_virt_forget();
        fake_block_forget();
}

void kernel_world_connect(KernelWorld *w)
{
        DlRequest request = core_request(&w->core, &w->result);
        g_autoptr(GError) error = NULL;

        g_assert_nonnull(dl_flow_connect(w->target, &request, &w->spec, &error));
}

void kernel_world_show(KernelWorld *w, bool map, const char *named)
{
        w->kernel.map = map ? &w->map : NULL;
        w->kernel.node = FAKE_KERNEL_NODE;
        fake_kernel_name(named);
        fake_block_shows(GUID, &w->kernel);
}

void kernel_world_come(KernelWorld *w)
{
        CORE_WAIT(&w->core, fake_kernel_n_disks() == 2);
        fake_kernel_map();
        w->mapped = true;
        kernel_world_show(w, true, "dm-0");
        core_expect(&w->result, -1);
        g_assert_cmpstr(dl_target_data_path(w->target), ==, "block");
}
