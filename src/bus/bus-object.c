/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The tree of objects. Each kind is a folder below the root; an object's path is the folder plus
 * its escaped id. sd-bus asks for objects by path, so nothing is registered for a single object,
 * and the core's tables stay the only truth. Signals are sent when the core tells of a change.
 * Loop thread only.
 */

#include "bus/bus-object.h"

#include "util/log.h"

#include <errno.h>
#include <string.h>

static const struct {
        const char *path, *interface;
        const sd_bus_vtable *vtable;
} folders[_DL_KIND_MAX] = {
        [DL_KIND_TARGET] = {DL_BUS_ROOT "/targets", DL_BUS_NAME ".Target", dl_bus_target_vtable},
        [DL_KIND_LUN] = {DL_BUS_ROOT "/luns", DL_BUS_NAME ".Lun", dl_bus_lun_vtable},
        [DL_KIND_VDISK] = {DL_BUS_ROOT "/vdisks", DL_BUS_NAME ".VDisk", dl_bus_vdisk_vtable},
        [DL_KIND_VM] = {DL_BUS_ROOT "/vms", DL_BUS_NAME ".Vm", dl_bus_vm_vtable},
        [DL_KIND_ATTACHMENT] = {DL_BUS_ROOT "/attachments", DL_BUS_NAME ".Attachment",
                                dl_bus_attachment_vtable},
        [DL_KIND_HOST] = {DL_BUS_ROOT "/hosts", DL_BUS_NAME ".Host", dl_bus_host_vtable},
        [DL_KIND_JOB] = {DL_BUS_ROOT "/jobs", DL_BUS_NAME ".Job", dl_bus_job_vtable},
};

char *dl_bus_path(DlKind kind, const char *id)
{
        char *path = NULL;

        if (sd_bus_path_encode(folders[kind].path, id, &path) < 0)
                g_error("out of memory");
        return path;
}

char *dl_bus_path_id(DlKind kind, const char *path)
{
        g_autofree char *id = NULL;
        g_autofree char *canonical = NULL;

        if (sd_bus_path_decode(path, folders[kind].path, &id) <= 0)
                return NULL;
        /* Decoding is lenient: an object answers to its one path only. */
        canonical = dl_bus_path(kind, id);
        return strcmp(canonical, path) == 0 ? g_steal_pointer(&id) : NULL;
}

const DlBusFolder *dl_bus_current_folder(sd_bus_message *call)
{
        sd_bus_slot *slot = sd_bus_get_current_slot(sd_bus_message_get_bus(call));

        return sd_bus_slot_get_userdata(slot);
}

static int find(sd_bus *connection, const char *path, const char *interface, void *userdata,
                void **ret_found, sd_bus_error *error)
{
        const DlBusFolder *folder = userdata;
        g_autofree char *id = dl_bus_path_id(folder->kind, path);
        DlObject *object = id ? dl_core_lookup(folder->bus->core, folder->kind, id) : NULL;

        if (!object)
                return 0;
        *ret_found = object;
        return 1;
}

static int enumerate(sd_bus *connection, const char *prefix, void *userdata, char ***ret_nodes,
                     sd_bus_error *error)
{
        const DlBusFolder *folder = userdata;
        g_autoptr(GPtrArray) objects = dl_core_list(folder->bus->core, folder->kind);
        char **nodes = g_new0(char *, objects->len + 1); /* sd-bus frees it */

        for (unsigned i = 0; i < objects->len; i++) {
                const DlObject *object = objects->pdata[i];

                nodes[i] = dl_bus_path(object->kind, object->id);
        }
        *ret_nodes = nodes;
        return 0;
}

static int register_folder(DlBus *bus, DlKind kind)
{
        sd_bus_slot *slot;
        int r;

        r = sd_bus_add_fallback_vtable(bus->connection, &slot, folders[kind].path,
                                       folders[kind].interface, folders[kind].vtable, find,
                                       &bus->folders[kind]);
        if (r < 0)
                return r;
        g_ptr_array_add(bus->slots, slot);
        r = sd_bus_add_node_enumerator(bus->connection, &slot, folders[kind].path, enumerate,
                                       &bus->folders[kind]);
        if (r >= 0)
                g_ptr_array_add(bus->slots, slot);
        return r;
}

int dl_bus_objects_register(DlBus *bus)
{
        sd_bus_slot *slot;
        int r;

        for (int kind = 0; kind <= _DL_KIND_MAX; kind++)
                bus->folders[kind] = (DlBusFolder){bus, (DlKind)kind};
        r = sd_bus_add_object_manager(bus->connection, &slot, DL_BUS_ROOT);
        if (r < 0)
                return r;
        g_ptr_array_add(bus->slots, slot);
        r = sd_bus_add_object_vtable(bus->connection, &slot, DL_BUS_ROOT, DL_BUS_NAME ".Manager",
                                     dl_bus_manager_vtable, &bus->folders[_DL_KIND_MAX]);
        if (r < 0)
                return r;
        g_ptr_array_add(bus->slots, slot);
        for (int kind = 0; kind < _DL_KIND_MAX && r >= 0; kind++)
                r = register_folder(bus, (DlKind)kind);
        return r;
}

/* ---- signals ------------------------------------------------------------------------------- */

/* A signal that cannot be sent (no memory, no connection) is no reason to fail what it is about. */
static void told(int r, const char *what, const char *path)
{
        if (r < 0 && r != -ENOTCONN)
                dl_warning("cannot announce %s of %s: %s", what, path, g_strerror(-r));
}

static void on_added(DlObject *object, void *userdata)
{
        DlBus *bus = userdata;
        g_autofree char *path = NULL;

        if (!bus->announcing)
                return;
        path = dl_bus_path(object->kind, object->id);
        told(sd_bus_emit_object_added(bus->connection, path), "the appearance", path);
}

static void on_removed(DlObject *object, void *userdata)
{
        DlBus *bus = userdata;
        g_autofree char *path = NULL;

        if (!bus->announcing)
                return;
        path = dl_bus_path(object->kind, object->id);
        told(sd_bus_emit_object_removed(bus->connection, path), "the end", path);
}

static void on_changed(DlObject *object, const char *const *properties, void *userdata)
{
        DlBus *bus = userdata;
        g_autofree char *path = NULL;

        if (!bus->announcing)
                return;
        path = dl_bus_path(object->kind, object->id);
        told(sd_bus_emit_properties_changed_strv(
                     bus->connection, path, folders[object->kind].interface, (char **)properties),
             "a change", path);
}

static void on_job_completed(DlJob *job, void *userdata)
{
        DlBus *bus = userdata;
        g_autofree char *path = NULL;
        g_autofree char *message = NULL;

        if (!bus->announcing)
                return;
        path = dl_bus_path(DL_KIND_JOB, job->object.id);
        message = g_utf8_make_valid(dl_last_error_message(&job->error), -1);
        told(sd_bus_emit_signal(bus->connection, path, folders[DL_KIND_JOB].interface, "Completed",
                                "bss", job->error.code < 0, dl_last_error_name(&job->error),
                                message),
             "the completion", path);
}

const DlCoreObserver dl_bus_observer = {
        .added = on_added,
        .removed = on_removed,
        .changed = on_changed,
        .job_completed = on_job_completed,
};
