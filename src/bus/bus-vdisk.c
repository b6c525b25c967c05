/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* org.ovirt.DirectLun.VDisk. Loop thread only. */

#include "bus/bus-call.h"
#include "bus/bus-reply.h"

typedef struct UpdateArgs {
        const char *alias, *description; /* NULL: as it is */
} UpdateArgs;

static bool parse_update(DlBusCall *call, void *args, GError **error)
{
        static const DlBusOption options[] = {
                {"alias", 's', .offset = offsetof(UpdateArgs, alias)},
                {"description", 's', .may_be_empty = true, .max = DL_BUS_DESCRIPTION_MAX,
                 .offset = offsetof(UpdateArgs, description)},
                {},
        };

        return dl_bus_options_read(call->message, options, args, &call->options, error);
}

static DlJob *start_update(DlBusCall *call, void *args, void *object, const DlRequest *request,
                           GError **error)
{
        UpdateArgs *a = args;

        return dl_flow_vdisk_update(object, request, a->alias, a->description, error);
}

static int method_update(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
        static const DlBusMethod method = {
                .verb = "update",
                .args_size = sizeof(UpdateArgs),
                .parse = parse_update,
                .action = DL_BUS_MANAGE_VDISK,
                .start = start_update,
        };

        return dl_bus_call_begin(m, userdata, &method);
}

static DlJob *start_delete(DlBusCall *call, void *args, void *object, const DlRequest *request,
                           GError **error)
{
        return dl_flow_vdisk_delete(object, request, error);
}

static int method_delete(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
        static const DlBusMethod method = {
                .verb = "delete",
                .parse = dl_bus_parse_options,
                .action = DL_BUS_MANAGE_VDISK,
                .start = start_delete,
        };

        return dl_bus_call_begin(m, userdata, &method);
}

/* ---- images -------------------------------------------------------------------------------- */

typedef struct SnapshotArgs {
        int quiesce;
} SnapshotArgs;

static bool parse_snapshot(DlBusCall *call, void *args, GError **error)
{
        static const DlBusOption options[] = {
                {"quiesce", 'b', .offset = offsetof(SnapshotArgs, quiesce)},
                {},
        };

        return dl_bus_options_read(call->message, options, args, &call->options, error);
}

static DlJob *start_snapshot(DlBusCall *call, void *args, void *object, const DlRequest *request,
                             GError **error)
{
        return dl_flow_snapshot(object, request, ((SnapshotArgs *)args)->quiesce, error);
}

static int method_snapshot(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
        static const DlBusMethod method = {
                .verb = "snapshot",
                .args_size = sizeof(SnapshotArgs),
                .parse = parse_snapshot,
                .action = DL_BUS_MANAGE_VDISK,
                .start = start_snapshot,
                .reply = dl_bus_reply_string,
        };

        return dl_bus_call_begin(m, userdata, &method);
}

typedef struct ImageArgs {
        const char *uid;
        uint32_t bandwidth; /* of a merge, MiB/s; 0: no limit */
} ImageArgs;

static bool read_uid(DlBusCall *call, const char **ret, GError **error)
{
        const char *uid = NULL;
        int r;

        r = sd_bus_message_read(call->message, "s", &uid);
        if (!dl_bus_read_ok(r, "image_uid", error) ||
            !dl_bus_check_text("image_uid", uid, 1, DL_BUS_NAME_MAX, error))
                return false;
        dl_bus_call_detail(call, "image", uid);
        *ret = uid;
        return true;
}

static bool parse_merge(DlBusCall *call, void *args, GError **error)
{
        static const DlBusOption options[] = {
                {"bandwidth", 'u', .offset = offsetof(ImageArgs, bandwidth)},
                {},
        };

        return read_uid(call, &((ImageArgs *)args)->uid, error) &&
               dl_bus_options_read(call->message, options, args, &call->options, error);
}

static DlJob *start_merge(DlBusCall *call, void *args, void *object, const DlRequest *request,
                          GError **error)
{
        ImageArgs *a = args;

        return dl_flow_merge(object, request, a->uid, (uint64_t)a->bandwidth << 20, error);
}

static int method_merge(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
        static const DlBusMethod method = {
                .verb = "merge",
                .args_size = sizeof(ImageArgs),
                .parse = parse_merge,
                .action = DL_BUS_MANAGE_VDISK,
                .start = start_merge,
        };

        return dl_bus_call_begin(m, userdata, &method);
}

static bool parse_revert(DlBusCall *call, void *args, GError **error)
{
        return read_uid(call, &((ImageArgs *)args)->uid, error) &&
               dl_bus_parse_options(call, args, error);
}

static DlJob *start_revert(DlBusCall *call, void *args, void *object, const DlRequest *request,
                           GError **error)
{
        return dl_flow_revert(object, request, ((ImageArgs *)args)->uid, error);
}

static int method_revert(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
        static const DlBusMethod method = {
                .verb = "revert",
                .args_size = sizeof(ImageArgs),
                .parse = parse_revert,
                .action = DL_BUS_MANAGE_VDISK,
                .start = start_revert,
        };

        return dl_bus_call_begin(m, userdata, &method);
}

/* ---- properties ---------------------------------------------------------------------------- */

DL_BUS_GETTER(get_id, DlVDisk, vdisk, reply)
{
        return sd_bus_message_append(reply, "s", vdisk->object.id);
}

DL_BUS_GETTER(get_guid, DlVDisk, vdisk, reply)
{
        return dl_bus_append_text(reply, vdisk->guid);
}

DL_BUS_GETTER(get_alias, DlVDisk, vdisk, reply)
{
        return dl_bus_append_text(reply, vdisk->alias);
}

DL_BUS_GETTER(get_description, DlVDisk, vdisk, reply)
{
        return dl_bus_append_text(reply, vdisk->description);
}

DL_BUS_GETTER(get_lun, DlVDisk, vdisk, reply)
{
        return dl_bus_append_path(reply, dl_vdisk_lun(vdisk));
}

static int append_image(sd_bus_message *reply, const DlVDisk *vdisk, unsigned i)
{
        const DlImage *image = vdisk->images->pdata[i];
        const char *parent = i > 0 ? ((DlImage *)vdisk->images->pdata[i - 1])->uid : "";
        int current = i + 1 == vdisk->images->len;

        if (!image->file)
                return sd_bus_message_append(reply, "(tsa{sv})", image->time_usec, image->uid, 2,
                                             "format", "s", "raw", "current", "b", current);
        return sd_bus_message_append(reply, "(tsa{sv})", image->time_usec, image->uid, 6, "format",
                                     "s", "qcow2", "current", "b", current, "file", "s",
                                     image->file, "parent", "s", parent, "quiesced", "b",
                                     image->quiesced, "spoiled", "b", image->spoiled);
}

DL_BUS_GETTER(get_images, DlVDisk, vdisk, reply)
{
        int r = sd_bus_message_open_container(reply, 'a', "(tsa{sv})");

        for (unsigned i = 0; r >= 0 && i < vdisk->images->len; i++)
                r = append_image(reply, vdisk, i);
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

DL_BUS_GETTER(get_attachments, DlVDisk, vdisk, reply)
{
        g_autoptr(GPtrArray) attachments = dl_vdisk_attachments((DlVDisk *)vdisk);

        return dl_bus_append_paths(reply, attachments);
}

const sd_bus_vtable dl_bus_vdisk_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD_WITH_ARGS("Update", SD_BUS_ARGS("a{sv}", options), SD_BUS_NO_RESULT,
                                method_update, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Delete", SD_BUS_ARGS("a{sv}", options), SD_BUS_NO_RESULT,
                                method_delete, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Snapshot", SD_BUS_ARGS("a{sv}", options),
                                SD_BUS_RESULT("s", image_uid), method_snapshot,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Merge", SD_BUS_ARGS("s", image_uid, "a{sv}", options),
                                SD_BUS_NO_RESULT, method_merge, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Revert", SD_BUS_ARGS("s", image_uid, "a{sv}", options),
                                SD_BUS_NO_RESULT, method_revert, SD_BUS_VTABLE_UNPRIVILEGED),
        DL_BUS_CONST("Id", "s", get_id),
        DL_BUS_CONST("Guid", "s", get_guid),
        DL_BUS_CHANGES("Alias", "s", get_alias),
        DL_BUS_CHANGES("Description", "s", get_description),
        DL_BUS_CHANGES("Lun", "o", get_lun),
        DL_BUS_CHANGES("Images", "a(tsa{sv})", get_images),
        DL_BUS_CHANGES("Attachments", "ao", get_attachments),
        SD_BUS_VTABLE_END,
};
