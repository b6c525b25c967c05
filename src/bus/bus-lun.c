/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* org.ovirt.DirectLun.Lun. Loop thread only. */

#include "bus/bus-call.h"
#include "bus/bus-lun-explain.h"
#include "bus/bus-reply.h"
#include "core/model/lun-kernel.h"

static DlJob *start_refresh(DlBusCall *call, void *args, void *object, const DlRequest *request,
                            GError **error)
{
        return dl_flow_lun_refresh(object, request, error);
}

static int method_refresh(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
        static const DlBusMethod method = {
                .verb = "refresh",
                .parse = dl_bus_parse_options,
                .action = DL_BUS_CONNECT,
                .start = start_refresh,
        };

        return dl_bus_call_begin(m, userdata, &method);
}

static DlJob *start_remove_stale(DlBusCall *call, void *args, void *object,
                                 const DlRequest *request, GError **error)
{
        return dl_flow_remove_stale(object, request, error);
}

static int method_remove_stale(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
        static const DlBusMethod method = {
                .verb = "remove-stale",
                .parse = dl_bus_parse_options,
                .action = DL_BUS_UNMANAGE,
                .start = start_remove_stale,
        };

        return dl_bus_call_begin(m, userdata, &method);
}

/* ---- storage domains ----------------------------------------------------------------------- */

typedef struct DomainArgs {
        const char *id;
} DomainArgs;

static bool parse_domain(DlBusCall *call, void *args, GError **error)
{
        DomainArgs *a = args;
        int r = sd_bus_message_read(call->message, "s", &a->id);

        if (!dl_bus_read_ok(r, "id", error) ||
            !dl_bus_check_text("id", a->id, 1, DL_BUS_NAME_MAX, error))
                return false;
        dl_bus_call_detail(call, "storage-domain", a->id);
        return dl_bus_options_read(call->message, NULL, NULL, &call->options, error);
}

static DlJob *start_claim(DlBusCall *call, void *args, void *object, const DlRequest *request,
                          GError **error)
{
        return dl_flow_claim(object, request, ((const DomainArgs *)args)->id, error);
}

static int method_claim(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
        static const DlBusMethod method = {
                .verb = "claim-for-storage-domain",
                .args_size = sizeof(DomainArgs),
                .parse = parse_domain,
                .action = DL_BUS_STORAGE_DOMAIN,
                .start = start_claim,
        };

        return dl_bus_call_begin(m, userdata, &method);
}

static DlJob *start_release(DlBusCall *call, void *args, void *object, const DlRequest *request,
                            GError **error)
{
        return dl_flow_release(object, request, ((const DomainArgs *)args)->id, error);
}

static int method_release(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
        static const DlBusMethod method = {
                .verb = "release-storage-domain",
                .args_size = sizeof(DomainArgs),
                .parse = parse_domain,
                .action = DL_BUS_STORAGE_DOMAIN,
                .start = start_release,
        };

        return dl_bus_call_begin(m, userdata, &method);
}

/* ---- properties ---------------------------------------------------------------------------- */

DL_BUS_GETTER(get_guid, DlLun, lun, reply)
{
        return dl_bus_append_text(reply, lun->object.id);
}

DL_BUS_GETTER(get_status, DlLun, lun, reply)
{
        return sd_bus_message_append(reply, "s", dl_lun_status_name(lun->status));
}

DL_BUS_GETTER(get_reason, DlLun, lun, reply)
{
        return dl_bus_append_text(reply, lun->reason);
}

DL_BUS_GETTER(get_holders, DlLun, lun, reply)
{
        return dl_bus_append_strv(reply, (const char *const *)lun->holders);
}

DL_BUS_GETTER(get_type, DlLun, lun, reply)
{
        return sd_bus_message_append(reply, "s", dl_lun_type(lun));
}

DL_BUS_GETTER(get_capacity, DlLun, lun, reply)
{
        return sd_bus_message_append(reply, "t", lun->capacity);
}

DL_BUS_GETTER(get_vendor, DlLun, lun, reply)
{
        return dl_bus_append_text(reply, lun->vendor);
}

DL_BUS_GETTER(get_product, DlLun, lun, reply)
{
        return dl_bus_append_text(reply, lun->product);
}

DL_BUS_GETTER(get_serial, DlLun, lun, reply)
{
        return dl_bus_append_text(reply, lun->serial);
}

DL_BUS_GETTER(get_revision, DlLun, lun, reply)
{
        return dl_bus_append_text(reply, lun->revision);
}

DL_BUS_GETTER(get_logical_block_size, DlLun, lun, reply)
{
        return sd_bus_message_append(reply, "u", lun->logical_block_size);
}

DL_BUS_GETTER(get_physical_block_size, DlLun, lun, reply)
{
        return sd_bus_message_append(reply, "u", lun->physical_block_size);
}

DL_BUS_GETTER(get_discard_max_bytes, DlLun, lun, reply)
{
        return sd_bus_message_append(reply, "t", lun->discard_max_bytes);
}

static int append_where(sd_bus_message *m, const DlWay *way)
{
        DlWayPlace place = dl_way_place(way);
        int r;

        r = sd_bus_message_append(m, "{sv}", "transport", "s", dl_way_transport(way));
        if (r >= 0)
                r = dl_bus_append_text_entry(m, "iqn", place.iqn);
        if (r >= 0)
                r = dl_bus_append_text_entry(m, "address", place.address);
        if (r >= 0)
                r = dl_bus_append_entry(m, "port", "q", place.port);
        if (r >= 0)
                r = dl_bus_append_entry(m, "tpgt", "q", place.tpgt);
        if (r >= 0)
                r = dl_bus_append_entry(m, "lun", "t", place.lun);
        return r;
}

/* The device that the host's kernel has for it. */
static int append_device(sd_bus_message *m, const DlBlockDevice *device)
{
        int r;

        r = dl_bus_append_text_entry(m, "device", device->name);
        if (r >= 0)
                r = dl_bus_append_text_entry(m, "host", device->host);
        if (r >= 0)
                r = dl_bus_append_text_entry(m, "hctl", device->hctl);
        if (r >= 0)
                r = dl_bus_append_text_entry(m, "target", device->target);
        if (r >= 0)
                r = dl_bus_append_text_entry(m, "device-state", device->state);
        if (r >= 0)
                r = dl_bus_append_text_entry(m, "map", device->map);
        return r;
}

static int append_way(sd_bus_message *m, const DlWay *way)
{
        static const DlLastError none = {.code = -1};
        const DlLastError *error = way->path ? &way->path->last_error : &none;
        int r;

        r = sd_bus_message_open_container(m, 'a', "{sv}");
        if (r >= 0)
                r = append_where(m, way);
        if (r >= 0 && way->device)
                r = append_device(m, way->device);
        if (r >= 0)
                r = dl_bus_append_entry(m, "capacity", "t", dl_way_capacity(way));
        if (r >= 0)
                r = dl_bus_append_entry(m, "state", "s", dl_way_state(way));
        if (r >= 0)
                r = dl_bus_append_entry(m, "error", "s", dl_last_error_name(error));
        if (r >= 0)
                r = dl_bus_append_text_entry(m, "message", dl_last_error_message(error));
        return r < 0 ? r : sd_bus_message_close_container(m);
}

DL_BUS_GETTER(get_paths, DlLun, lun, reply)
{
        g_autoptr(GArray) ways = dl_lun_ways(lun);
        int r = sd_bus_message_open_container(reply, 'a', "a{sv}");

        for (unsigned i = 0; r >= 0 && i < ways->len; i++)
                r = append_way(reply, &g_array_index(ways, DlWay, i));
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

DL_BUS_GETTER(get_vdisk, DlLun, lun, reply)
{
        return dl_bus_append_path(reply, dl_lun_vdisk(lun));
}

DL_BUS_GETTER(get_storage_domain, DlLun, lun, reply)
{
        return dl_bus_append_text(reply, dl_lun_storage_domain(lun));
}

const sd_bus_vtable dl_bus_lun_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD_WITH_ARGS("Refresh", SD_BUS_ARGS("a{sv}", options), SD_BUS_NO_RESULT,
                                method_refresh, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("RemoveStale", SD_BUS_ARGS("a{sv}", options), SD_BUS_NO_RESULT,
                                method_remove_stale, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("ClaimForStorageDomain", SD_BUS_ARGS("s", id, "a{sv}", options),
                                SD_BUS_NO_RESULT, method_claim, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("ReleaseStorageDomain", SD_BUS_ARGS("s", id, "a{sv}", options),
                                SD_BUS_NO_RESULT, method_release, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Explain", SD_BUS_ARGS("a{sv}", options),
                                SD_BUS_RESULT("aa{sv}", facts), dl_bus_lun_explain,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        DL_BUS_CONST("Guid", "s", get_guid),
        DL_BUS_CHANGES("Status", "s", get_status),
        DL_BUS_CHANGES("Reason", "s", get_reason),
        DL_BUS_CHANGES("Holders", "as", get_holders),
        DL_BUS_CHANGES("Type", "s", get_type),
        DL_BUS_CHANGES("Capacity", "t", get_capacity),
        DL_BUS_CHANGES("Vendor", "s", get_vendor),
        DL_BUS_CHANGES("Product", "s", get_product),
        DL_BUS_CHANGES("Serial", "s", get_serial),
        DL_BUS_CHANGES("Revision", "s", get_revision),
        DL_BUS_CHANGES("LogicalBlockSize", "u", get_logical_block_size),
        DL_BUS_CHANGES("PhysicalBlockSize", "u", get_physical_block_size),
        DL_BUS_CHANGES("DiscardMaxBytes", "t", get_discard_max_bytes),
        DL_BUS_CHANGES("Paths", "aa{sv}", get_paths),
        DL_BUS_CHANGES("VDisk", "o", get_vdisk),
        DL_BUS_CHANGES("StorageDomain", "s", get_storage_domain),
        SD_BUS_VTABLE_END,
};
