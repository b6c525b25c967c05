/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The device list in the words of oVirt's API, with our objects added. It names the user of CHAP,
 * and has no place for a secret. Nothing is owned. Loop thread only.
 */

#include "bus/bus-lun-list.h"

#include "bus/bus-reply.h"
#include "core/core.h"
#include "core/model/lun-kernel.h"

static int append_connection(sd_bus_message *m, const DlLun *lun, const DlWay *way)
{
        DlWayPlace place = dl_way_place(way);
        int r;

        r = sd_bus_message_open_container(m, 'a', "{sv}");
        if (r >= 0)
                r = dl_bus_append_text_entry(m, "connection", place.address);
        if (r >= 0)
                r = dl_bus_append_entry(m, "port", "q", place.port);
        if (r >= 0)
                r = dl_bus_append_text_entry(m, "iqn", place.iqn);
        if (r >= 0)
                r = dl_bus_append_entry(m, "tpgt", "q", place.tpgt);
        if (r >= 0)
                r = dl_bus_append_entry(m, "lun", "t", place.lun);
        if (r >= 0)
                r = dl_bus_append_text_entry(m, "initiatorname",
                                             dl_core_initiator_name(lun->object.core));
        if (r >= 0)
                r = dl_bus_append_text_entry(m, "user", dl_path_user(lun, place.iqn));
        return r < 0 ? r : sd_bus_message_close_container(m);
}

static int append_status(sd_bus_message *m, const DlLun *lun, const DlWay *way)
{
        int r;

        r = sd_bus_message_open_container(m, 'a', "{sv}");
        if (r >= 0) /* QEMU's own initiator makes no device on the host */
                r = dl_bus_append_text_entry(m, "physdev", way->device ? way->device->name : "");
        if (r >= 0)
                r = dl_bus_append_entry(m, "lun", "t", dl_way_place(way).lun);
        if (r >= 0)
                r = dl_bus_append_entry(m, "capacity", "t", dl_way_capacity(way));
        if (r >= 0)
                r = dl_bus_append_text_entry(m, "type", dl_way_type(way));
        if (r >= 0)
                r = dl_bus_append_text_entry(m, "state", dl_way_state(way));
        return r < 0 ? r : sd_bus_message_close_container(m);
}

static bool is_iscsi(const DlWay *way)
{
        return *dl_way_place(way).iqn;
}

static bool is_any(const DlWay *way)
{
        return true;
}

/* {sv}: a list with an entry for each way that belongs there. */
static int append_ways(sd_bus_message *m, const char *key, const DlLun *lun,
                       bool (*belongs)(const DlWay *way),
                       int (*append)(sd_bus_message *m, const DlLun *lun, const DlWay *way))
{
        g_autoptr(GArray) ways = dl_lun_ways(lun);
        int r;

        r = sd_bus_message_open_container(m, 'e', "sv");
        if (r >= 0)
                r = sd_bus_message_append(m, "s", key);
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'v', "aa{sv}");
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'a', "a{sv}");
        for (unsigned i = 0; r >= 0 && i < ways->len; i++)
                if (belongs(&g_array_index(ways, DlWay, i)))
                        r = append(m, lun, &g_array_index(ways, DlWay, i));
        for (int i = 0; r >= 0 && i < 3; i++)
                r = sd_bus_message_close_container(m);
        return r;
}

static int append_identity(sd_bus_message *m, const DlLun *lun)
{
        int r;

        r = dl_bus_append_text_entry(m, "GUID", lun->object.id);
        if (r >= 0)
                r = dl_bus_append_text_entry(m, "status", dl_lun_status_name(lun->status));
        if (r >= 0)
                r = dl_bus_append_text_entry(m, "vendorID", lun->vendor);
        if (r >= 0)
                r = dl_bus_append_text_entry(m, "productID", lun->product);
        if (r >= 0)
                r = dl_bus_append_text_entry(m, "serial", lun->serial);
        if (r >= 0)
                r = dl_bus_append_text_entry(m, "fwrev", lun->revision);
        if (r >= 0)
                r = dl_bus_append_text_entry(m, "devtype", dl_lun_type(lun));
        return r;
}

static int append_sizes(sd_bus_message *m, const DlLun *lun)
{
        int r;

        r = dl_bus_append_entry(m, "capacity", "t", lun->capacity);
        if (r >= 0)
                r = dl_bus_append_entry(m, "logicalblocksize", "u", lun->logical_block_size);
        if (r >= 0)
                r = dl_bus_append_entry(m, "physicalblocksize", "u", lun->physical_block_size);
        if (r >= 0)
                r = dl_bus_append_entry(m, "discard_max_bytes", "t", lun->discard_max_bytes);
        return r;
}

/* LVM's view of the LUN, as far as its content was looked at. */
static int append_lvm(sd_bus_message *m, const DlLun *lun)
{
        const DlContent *content = lun->content;
        int r;

        r = dl_bus_append_text_entry(m, "pvUUID",
                                     content && content->pv_uuid ? content->pv_uuid : "");
        if (r >= 0)
                r = dl_bus_append_text_entry(m, "vgUUID",
                                             content && content->vg_uuid ? content->vg_uuid : "");
        if (r >= 0)
                r = dl_bus_append_entry(m, "pvsize", "t", content ? content->pv_size : UINT64_C(0));
        return r;
}

static int append_lun(sd_bus_message *m, const DlLun *lun)
{
        int r;

        r = sd_bus_message_open_container(m, 'a', "{sv}");
        if (r >= 0)
                r = append_identity(m, lun);
        if (r >= 0)
                r = append_sizes(m, lun);
        if (r >= 0)
                r = append_lvm(m, lun);
        if (r >= 0)
                r = dl_bus_append_path_entry(m, "lun", lun);
        if (r >= 0)
                r = dl_bus_append_path_entry(m, "vdisk", dl_lun_vdisk(lun));
        if (r >= 0)
                r = append_ways(m, "pathlist", lun, is_iscsi, append_connection);
        if (r >= 0)
                r = append_ways(m, "pathstatus", lun, is_any, append_status);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

int dl_bus_append_luns(sd_bus_message *m, const GPtrArray *luns)
{
        int r = sd_bus_message_open_container(m, 'a', "a{sv}");

        for (unsigned i = 0; r >= 0 && i < luns->len; i++)
                r = append_lun(m, luns->pdata[i]);
        return r < 0 ? r : sd_bus_message_close_container(m);
}
