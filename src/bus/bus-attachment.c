/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* org.ovirt.DirectLun.Attachment. Loop thread only. */

#include "bus/bus-call.h"
#include "bus/bus-reply.h"

typedef struct PlugArgs {
        const char *image; /* NULL: as it is */
} PlugArgs;

static bool parse_hot_plug(DlBusCall *call, void *args, GError **error)
{
        static const DlBusOption options[] = {
                {"image", 's', .offset = offsetof(PlugArgs, image)},
                {},
        };

        return dl_bus_options_read(call->message, options, args, &call->options, error);
}

static DlJob *start_hot_plug(DlBusCall *call, void *args, void *object, const DlRequest *request,
                             GError **error)
{
        const PlugArgs *a = args;

        return a->image ? dl_flow_plug_image(object, request, a->image, error)
                        : dl_flow_plug(object, request, error);
}

static int method_hot_plug(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
        static const DlBusMethod method = {
                .verb = "hot-plug",
                .args_size = sizeof(PlugArgs),
                .parse = parse_hot_plug,
                .action = DL_BUS_HOT_PLUG,
                .start = start_hot_plug,
        };

        return dl_bus_call_begin(m, userdata, &method);
}

static DlJob *start_hot_unplug(DlBusCall *call, void *args, void *object, const DlRequest *request,
                               GError **error)
{
        return dl_flow_unplug(object, request, error);
}

static int method_hot_unplug(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
        static const DlBusMethod method = {
                .verb = "hot-unplug",
                .parse = dl_bus_parse_options,
                .action = DL_BUS_HOT_PLUG,
                .start = start_hot_unplug,
        };

        return dl_bus_call_begin(m, userdata, &method);
}

static DlBusAction detach_actions(const DlBusCall *call, const void *args, const void *object)
{
        const DlAttachment *attachment = object;

        return attachment->plugged ? DL_BUS_HOT_PLUG : 0;
}

static DlJob *start_detach(DlBusCall *call, void *args, void *object, const DlRequest *request,
                           GError **error)
{
        return dl_flow_detach(object, request, error);
}

static int method_detach(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
        static const DlBusMethod method = {
                .verb = "detach",
                .parse = dl_bus_parse_options,
                .action = DL_BUS_ATTACH,
                .more_actions = detach_actions,
                .start = start_detach,
        };

        return dl_bus_call_begin(m, userdata, &method);
}

/* ---- properties ---------------------------------------------------------------------------- */

DL_BUS_GETTER(get_vdisk, DlAttachment, attachment, reply)
{
        return dl_bus_append_path(reply, dl_attachment_vdisk(attachment));
}

DL_BUS_GETTER(get_vm, DlAttachment, attachment, reply)
{
        return dl_bus_append_path(reply, attachment->vm);
}

DL_BUS_GETTER(get_guid, DlAttachment, attachment, reply)
{
        return dl_bus_append_text(reply, attachment->meta->guid);
}

DL_BUS_GETTER(get_plugged, DlAttachment, attachment, reply)
{
        return sd_bus_message_append(reply, "b", attachment->plugged);
}

DL_BUS_GETTER(get_left_out, DlAttachment, attachment, reply)
{
        return sd_bus_message_append(reply, "b", attachment->left_out);
}

DL_BUS_GETTER(get_iface, DlAttachment, attachment, reply)
{
        return dl_bus_append_text(reply, attachment->meta->iface);
}

DL_BUS_GETTER(get_device, DlAttachment, attachment, reply)
{
        return dl_bus_append_text(reply, attachment->meta->device);
}

DL_BUS_GETTER(get_index, DlAttachment, attachment, reply)
{
        return sd_bus_message_append(reply, "i", attachment->meta->index);
}

DL_BUS_GETTER(get_address, DlAttachment, attachment, reply)
{
        GHashTableIter i;
        void *key, *value;
        int r;

        r = sd_bus_message_open_container(reply, 'a', "{ss}");
        if (attachment->address) {
                g_hash_table_iter_init(&i, attachment->address);
                while (r >= 0 && g_hash_table_iter_next(&i, &key, &value))
                        r = sd_bus_message_append(reply, "{ss}", (const char *)key,
                                                  (const char *)value);
        }
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

DL_BUS_GETTER(get_boot_order, DlAttachment, attachment, reply)
{
        return sd_bus_message_append(reply, "u", attachment->meta->boot_order);
}

DL_BUS_GETTER(get_propagate_errors, DlAttachment, attachment, reply)
{
        return sd_bus_message_append(reply, "b", attachment->meta->propagate_errors);
}

DL_BUS_GETTER(get_shared, DlAttachment, attachment, reply)
{
        return sd_bus_message_append(reply, "b", attachment->meta->shared);
}

DL_BUS_GETTER(get_optional, DlAttachment, attachment, reply)
{
        return sd_bus_message_append(reply, "b", attachment->meta->optional);
}

DL_BUS_GETTER(get_read_only, DlAttachment, attachment, reply)
{
        return sd_bus_message_append(reply, "b", attachment->meta->readonly);
}

DL_BUS_GETTER(get_discard, DlAttachment, attachment, reply)
{
        return sd_bus_message_append(reply, "b", attachment->meta->discard);
}

DL_BUS_GETTER(get_reservations, DlAttachment, attachment, reply)
{
        return sd_bus_message_append(reply, "b", attachment->meta->reservations);
}

DL_BUS_GETTER(get_image, DlAttachment, attachment, reply)
{
        return dl_bus_append_text(reply, attachment->meta->image);
}

DL_BUS_GETTER(get_data_path, DlAttachment, attachment, reply)
{
        return dl_bus_append_text(reply, attachment->meta->data_path);
}

DL_BUS_GETTER(get_data_path_used, DlAttachment, attachment, reply)
{
        bool is_there = attachment->plugged || attachment->in_config;

        return sd_bus_message_append(reply, "s",
                                     !is_there              ? ""
                                     : attachment->by_block ? "block"
                                                            : "qemu");
}

DL_BUS_GETTER(get_target_dev, DlAttachment, attachment, reply)
{
        return dl_bus_append_text(reply, attachment->target_dev);
}

DL_BUS_GETTER(get_last_error, DlAttachment, attachment, reply)
{
        return dl_bus_append_last_error(reply, &attachment->last_error);
}

DL_BUS_GETTER(get_guest_capacity, DlAttachment, attachment, reply)
{
        return sd_bus_message_append(reply, "t", attachment->guest_capacity);
}

DL_BUS_GETTER(get_resize_pending, DlAttachment, attachment, reply)
{
        return sd_bus_message_append(reply, "s", attachment->resize_pending);
}

const sd_bus_vtable dl_bus_attachment_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD_WITH_ARGS("HotPlug", SD_BUS_ARGS("a{sv}", options), SD_BUS_NO_RESULT,
                                method_hot_plug, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("HotUnplug", SD_BUS_ARGS("a{sv}", options), SD_BUS_NO_RESULT,
                                method_hot_unplug, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Detach", SD_BUS_ARGS("a{sv}", options), SD_BUS_NO_RESULT,
                                method_detach, SD_BUS_VTABLE_UNPRIVILEGED),
        DL_BUS_CHANGES("VDisk", "o", get_vdisk),
        DL_BUS_CONST("Vm", "o", get_vm),
        DL_BUS_CONST("Guid", "s", get_guid),
        DL_BUS_CHANGES("Plugged", "b", get_plugged),
        DL_BUS_CHANGES("LeftOut", "b", get_left_out),
        DL_BUS_CHANGES("Iface", "s", get_iface),
        DL_BUS_CHANGES("Device", "s", get_device),
        DL_BUS_CHANGES("Index", "i", get_index),
        DL_BUS_CHANGES("Address", "a{ss}", get_address),
        DL_BUS_CHANGES("BootOrder", "u", get_boot_order),
        DL_BUS_CHANGES("PropagateErrors", "b", get_propagate_errors),
        DL_BUS_CHANGES("Shared", "b", get_shared),
        DL_BUS_CHANGES("Optional", "b", get_optional),
        DL_BUS_CHANGES("ReadOnly", "b", get_read_only),
        DL_BUS_CHANGES("Discard", "b", get_discard),
        DL_BUS_CHANGES("Reservations", "b", get_reservations),
        DL_BUS_CHANGES("DataPath", "s", get_data_path),
        DL_BUS_CHANGES("DataPathUsed", "s", get_data_path_used),
        DL_BUS_CHANGES("Image", "s", get_image),
        DL_BUS_CHANGES("TargetDev", "s", get_target_dev),
        DL_BUS_CHANGES("LastError", "(ss)", get_last_error),
        DL_BUS_CHANGES("GuestCapacity", "t", get_guest_capacity),
        DL_BUS_CHANGES("ResizePending", "s", get_resize_pending),
        SD_BUS_VTABLE_END,
};
