/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A host whose block devices are what the test says. One thread. */

#include "fakes.h"

#include "host/block-device.h"

#include <string.h>

struct DlBlockDevices {
        DlBlockChanged changed;
        void *userdata;
        sd_event_source *source;
};

static DlBlockDevices *follower;
static GHashTable *shown;     /* GUID → const DlBlockLun */
static GPtrArray *to_be_told; /* GUIDs */

static int on_tell(sd_event_source *source, void *userdata)
{
        g_autoptr(GPtrArray) guids = g_steal_pointer(&to_be_told);

        follower->changed(guids ? (const char *const *)guids->pdata : NULL, guids ? guids->len : 0,
                          follower->userdata);
        return 0;
}

int dl_block_devices_new(sd_event *event, const DlBlockSources *sources, DlBlockChanged changed,
                         void *userdata, DlBlockDevices **ret)
{
        follower = g_new0(DlBlockDevices, 1);
        follower->changed = changed;
        follower->userdata = userdata;
        *ret = follower;
        return sd_event_add_defer(event, &follower->source, on_tell, NULL);
}

void dl_block_devices_free(DlBlockDevices *devices)
{
        if (!devices)
                return;
        sd_event_source_disable_unref(devices->source);
        g_free(devices);
        follower = NULL;
}

void dl_block_devices_look(DlBlockDevices *devices) {}

void dl_block_devices_look_at(DlBlockDevices *devices, const char *guid)
{
        if (to_be_told)
                (void)on_tell(NULL, NULL);
}

void fake_block_shows(const char *guid, const DlBlockLun *lun)
{
        if (!shown)
                shown = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
        if (!to_be_told)
                to_be_told = g_ptr_array_new_with_free_func(g_free);
        if (lun)
                g_hash_table_replace(shown, g_strdup(guid), (gpointer)lun);
        else
                g_hash_table_remove(shown, guid);
        g_ptr_array_add(to_be_told, g_strdup(guid));
        if (follower)
                (void)sd_event_source_set_enabled(follower->source, SD_EVENT_ONESHOT);
}

DlBlockDevice fake_block_path(const char *name, const char *guid, dev_t devnum)
{
        char *none = (char *)"";

        return (DlBlockDevice){
                .name = (char *)name,
                .devnum = devnum,
                .guid = (char *)guid,
                .transport = DL_BLOCK_ISCSI,
                .target = (char *)"iqn.2026-11.org.example:t",
                .address = (char *)"192.0.2.1",
                .port = 3260,
                .lun = 1,
                .host = none,
                .hctl = none,
                .size = 4096,
                .logical_block_size = 512,
                .physical_block_size = 512,
                .vendor = none,
                .product = none,
                .revision = none,
                .serial = (char *)"s",
                .fingerprint = none,
                .state = (char *)"running",
                .map = none,
                .node = none,
        };
}

void fake_block_forget(void)
{
        g_clear_pointer(&shown, g_hash_table_unref);
        g_clear_pointer(&to_be_told, g_ptr_array_unref);
}

const DlBlockLun *dl_block_devices_find(const DlBlockDevices *devices, const char *guid)
{
        return shown ? g_hash_table_lookup(shown, guid) : NULL;
}

const DlBlockDevice *dl_block_devices_find_name(const DlBlockDevices *devices, const char *name)
{
        GHashTableIter iter;
        gpointer lun;

        if (shown)
                g_hash_table_iter_init(&iter, shown);
        while (shown && g_hash_table_iter_next(&iter, NULL, &lun)) {
                const GPtrArray *paths = ((const DlBlockLun *)lun)->paths;

                for (unsigned i = 0; i < paths->len; i++)
                        if (strcmp(((const DlBlockDevice *)paths->pdata[i])->name, name) == 0)
                                return paths->pdata[i];
        }
        return NULL;
}

const char *dl_block_transport_name(DlBlockTransport transport)
{
        return transport == DL_BLOCK_ISCSI ? "iscsi" : "other";
}

bool dl_block_device_is_active(const DlBlockDevice *device)
{
        return !device->is_failed && strcmp(device->state, "running") == 0;
}
