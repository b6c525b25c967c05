/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Targets: their portals, credentials and data path; how they come and go. Loop thread only. */

#include "core/model/attachment-index.h"
#include "core/records/target-rows.h"
#include "core/steps/kernel-connect.h"
#include "core/steps/kernel-leave.h"

#include <string.h>

const char *dl_target_state_name(DlTargetState state)
{
        static const char *const names[_DL_TARGET_STATE_MAX] = {
                [DL_TARGET_DISCONNECTED] = "disconnected",
                [DL_TARGET_CONNECTING] = "connecting",
                [DL_TARGET_CONNECTED] = "connected",
                [DL_TARGET_DEGRADED] = "degraded",
                [DL_TARGET_FAILED] = "failed",
        };

        return names[state];
}

/* ---- construction -------------------------------------------------------------------------- */

static void portal_free(gpointer p)
{
        DlPortal *portal = p;

        g_free(portal->address);
        g_strfreev(portal->way);
        dl_last_error_clear(&portal->last_error);
        g_free(portal);
}

DlTarget *dl_target_new(DlCore *core, const char *iqn)
{
        DlTarget *target = g_new0(DlTarget, 1);

        dl_object_init(&target->object, core, DL_KIND_TARGET, iqn);
        target->portals = g_ptr_array_new_with_free_func(portal_free);
        target->connects = g_ptr_array_new();
        target->kernel_connects = g_ptr_array_new();
        target->leavings = g_ptr_array_new();
        target->resized = g_array_new(FALSE, FALSE, sizeof(uint64_t));
        target->last_error.code = -1;
        return target;
}

void dl_target_free(DlTarget *target)
{
        while (target->connects->len > 0)
                dl_connect_cancel(target->connects->pdata[0]);
        g_ptr_array_unref(target->connects);
        while (target->kernel_connects->len > 0)
                dl_kernel_connect_cancel(target->kernel_connects->pdata[0]);
        g_ptr_array_unref(target->kernel_connects);
        dl_kernel_leave_drop(target);
        g_array_unref(target->resized);
        g_ptr_array_unref(target->portals);
        g_free(target->user);
        g_free(target->target_user);
        g_free(target->data_path_why);
        g_strfreev(target->interfaces);
        dl_secret_unref(target->secret);
        dl_secret_unref(target->target_secret);
        dl_last_error_clear(&target->last_error);
        dl_object_clear(&target->object);
        g_free(target);
}

bool dl_core_has_room(DlCore *core, DlKind kind, GError **error)
{
        if (g_hash_table_size(core->objects[kind]) < core->settings->objects_max)
                return true;
        g_set_error(error, DL_ERROR, DL_ERROR_LIMITS_EXCEEDED,
                    "There are %u objects of this kind already; forget some, or raise ObjectsMax",
                    core->settings->objects_max);
        return false;
}

DlTarget *dl_target_ensure(DlCore *core, const char *iqn, GError **error)
{
        DlTarget *target = DL_LOOKUP_TARGET(core, iqn);

        if (target)
                return target;
        if (!dl_core_has_room(core, DL_KIND_TARGET, error))
                return NULL;
        target = dl_target_new(core, iqn);
        dl_object_publish(&target->object);
        dl_host_targets_changed(core);
        dl_persist_target(target);
        return target;
}

static void replace_secret(DlSecret **secret, DlSecret *with)
{
        DlSecret *old = *secret;

        *secret = dl_secret_ref(with);
        dl_secret_unref(old);
}

typedef struct Removal {
        DlCore *core;
        char *iqn;
        DlPersisted done;
        void *userdata;
} Removal;

static void removal_free(void *p)
{
        Removal *removal = p;

        g_free(removal->iqn);
        g_free(removal);
}

static void drop(DlTarget *target)
{
        DlCore *core = target->object.core;

        dl_luns_remove_paths(target, NULL);
        dl_object_unpublish(&target->object);
        dl_host_targets_changed(core);
        dl_target_free(target);
}

void dl_target_remove(DlTarget *target)
{
        dl_persist_target_gone(target, NULL, NULL);
        if (target->user)
                dl_persist_delete_secrets(target->object.core, target->object.id, NULL, NULL);
        drop(target);
}

static void on_row_removed(const GError *error, void *userdata)
{
        Removal *removal = userdata;
        DlCore *core = removal->core;
        DlTarget *target = DL_LOOKUP_TARGET(core, removal->iqn);
        g_autoptr(GError) busy = NULL;

        dl_core_take_call(core, removal);
        if (!error && (!target->leaving ||
                       dl_attachments_has_any(core, DL_BELONGS_TO_TARGET, target->object.id))) {
                error = busy = g_error_new(DL_ERROR, DL_ERROR_BUSY,
                                           "Somebody has begun to use target %s; it stays",
                                           target->object.id);
                dl_persist_target(target);
        }
        target->leaving = false;
        bool has_secrets = target->user;
        if (!error)
                drop(target);
        if (!error && has_secrets)
                dl_persist_delete_secrets(core, removal->iqn, removal->done, removal->userdata);
        else
                removal->done(error, removal->userdata);
        removal_free(removal);
}

void dl_target_forget(DlTarget *target, DlPersisted done, void *userdata)
{
        Removal *removal = g_new(Removal, 1);

        *removal = (Removal){
                .core = target->object.core,
                .iqn = g_strdup(target->object.id),
                .done = done,
                .userdata = userdata,
        };
        dl_core_keep_call(removal->core, removal, removal_free);
        dl_persist_target_gone(target, on_row_removed, removal);
}

DlPortal *dl_target_find_portal(DlTarget *target, const char *address, uint16_t port)
{
        for (unsigned i = 0; i < target->portals->len; i++) {
                DlPortal *portal = target->portals->pdata[i];

                if (portal->port == port && strcmp(portal->address, address) == 0)
                        return portal;
        }
        return NULL;
}

DlPortal *dl_target_add_portal(DlTarget *target, const char *address, uint16_t port, uint16_t tpgt)
{
        DlPortal *portal = dl_target_find_portal(target, address, port);

        if (portal && (portal->tpgt == tpgt || tpgt == 0))
                return portal;
        if (!portal) {
                portal = g_new0(DlPortal, 1);
                portal->address = g_strdup(address);
                portal->port = port;
                portal->last_error.code = -1;
                g_ptr_array_add(target->portals, portal);
                dl_object_changed(&target->object, "PortalStates");
        }
        portal->tpgt = tpgt;
        dl_object_changed(&target->object, "Portals");
        dl_persist_target(target);
        return portal;
}

void dl_target_remove_portal(DlTarget *target, DlPortal *portal)
{
        dl_luns_remove_paths(target, portal);
        g_ptr_array_remove(target->portals, portal);
        dl_object_changed(&target->object, "Portals");
        dl_object_changed(&target->object, "PortalStates");
        dl_target_update(target);
        dl_persist_target(target);
}

/* ---- credentials --------------------------------------------------------------------------- */

bool dl_target_has_credentials(const DlTarget *target)
{
        return target->secret != NULL;
}

DlIscsiCredentials dl_target_credentials(const DlTarget *target)
{
        return (DlIscsiCredentials){
                .user = target->user,
                .secret = target->secret,
                .target_user = target->target_user,
                .target_secret = target->target_secret,
        };
}

void dl_target_set_credentials(DlTarget *target, const char *user, DlSecret *secret,
                               const char *target_user, DlSecret *target_secret)
{
        dl_set_string(&target->user, user);
        dl_set_string(&target->target_user, target_user);
        replace_secret(&target->secret, secret);
        replace_secret(&target->target_secret, target_secret);
        dl_object_changed(&target->object, "HasCredentials");
        dl_persist_target(target);
}

/* ---- how it is connected --------------------------------------------------------------------- */

const char *dl_target_data_path(const DlTarget *target)
{
        return target->by_kernel ? "block" : target->data_path_why ? "qemu" : "";
}

void dl_target_set_data_path(DlTarget *target, bool by_kernel, const char *why)
{
        const char *before = dl_target_data_path(target);
        bool is_new = target->by_kernel != by_kernel;

        target->by_kernel = by_kernel;
        if (dl_set_string(&target->data_path_why, why)) {
                dl_object_changed(&target->object, "DataPathReason");
                is_new = true;
        }
        if (dl_target_data_path(target) != before)
                dl_object_changed(&target->object, "DataPath");
        if (is_new && !target->leaving)
                dl_persist_target(target);
}

void dl_target_set_interfaces(DlTarget *target, const char *const *interfaces)
{
        if (interfaces && !*interfaces)
                interfaces = NULL;
        if (interfaces ? target->interfaces &&
                                 g_strv_equal(interfaces, (const char *const *)target->interfaces)
                       : !target->interfaces)
                return;
        g_strfreev(target->interfaces);
        target->interfaces = g_strdupv((char **)interfaces);
        if (!target->leaving)
                dl_persist_target(target);
}
