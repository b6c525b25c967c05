/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a LUN must have before "connected" is said of it. Owns nothing. Loop thread only. */

#include "core/steps/kernel-usable.h"

#include "core/model/lun-kernel.h"
#include "core/steps/kernel-choice.h"
#include "core/steps/kernel-connect.h"
#include "host/kernel-lun.h"

/* The disks that the sessions have at the numbers of this LUN, DlKernelDisk. */
static GPtrArray *disks_of(const DlTarget *target, const DlLun *lun, unsigned *ret_wanted)
{
        const char *sysfs = target->object.core->sysfs;
        g_autoptr(GPtrArray) sessions = dl_kernel_sessions(sysfs, target->object.id);
        GPtrArray *found = g_ptr_array_new_with_free_func(dl_kernel_disk_free);

        *ret_wanted = 0;
        for (unsigned i = 0; i < sessions->len; i++) {
                const DlKernelSession *session = sessions->pdata[i];
                const DlPortal *portal = dl_kernel_portal_of(target, session);
                const DlPath *path = portal && lun
                                             ? dl_lun_find_path(lun, target->object.id, portal)
                                             : NULL;
                g_autoptr(GPtrArray) disks = NULL;

                if (!path || !session->up)
                        continue;
                ++*ret_wanted;
                disks = dl_kernel_session_disks(sysfs, session);
                for (unsigned j = disks->len; j-- > 0;)
                        if (((DlKernelDisk *)disks->pdata[j])->lun == path->lun)
                                g_ptr_array_add(found, g_ptr_array_steal_index(disks, j));
        }
        return found;
}

static bool is_consistent(const char *guid, const DlKernelLun *kernel, GError **error)
{
        if (kernel->wrong)
                g_set_error(error, DL_ERROR, DL_ERROR_PATHS_INCONSISTENT,
                            "The kernel has another LUN at the number of %s, as %s; remove what is "
                            "stale first (RemoveStale)",
                            guid, kernel->wrong);
        else if (kernel->sizes_differ)
                g_set_error(error, DL_ERROR, DL_ERROR_PATHS_INCONSISTENT,
                            "The paths of %s differ in size; refresh it, or see to the array",
                            guid);
        return !kernel->wrong && !kernel->sizes_differ;
}

/* The map that is complete, or the only disk of what multipath does not take; else NULL, and what
 * is missing. */
static const char *whole_of(const DlCore *core, const char *guid, const DlKernelLun *kernel,
                            unsigned wanted, GError **error)
{
        if (kernel->n_paths >= wanted && kernel->n_mapped >= wanted && kernel->map_ready &&
            !kernel->map_resizes)
                return kernel->map;
        if (kernel->n_paths == 1 && wanted == 1 && !kernel->map &&
            (!kernel->is_claimed || !dl_kernel_has_multipath(core)))
                return kernel->name;
        g_set_error(error, DL_ERROR, DL_ERROR_TIMED_OUT,
                    "%s has %u of %u paths in the kernel, %u of them in a map of multipath%s; see "
                    "multipath -ll",
                    guid, kernel->n_paths, wanted, kernel->n_mapped,
                    dl_kernel_has_multipath(core) ? "" : ", whose daemon does not run");
        return NULL;
}

/* The name that a guest is given, as this service has read it, must be one that udev's record has
 * now. (The links themselves are not seen from the service's own /dev.) */
static bool is_named(const DlLun *lun, const char *whole, GError **error)
{
        const DlCore *core = lun->object.core;
        const DlBlockLun *block = dl_lun_kernel(lun);
        const char *node = block ? block->node : "";

        if (*node && dl_kernel_has_link(core->sysfs, core->udev, whole, node))
                return true;
        g_set_error(error, DL_ERROR, DL_ERROR_TIMED_OUT,
                    "%s is %s on this host, and udev has not made the name that stays (%s); see "
                    "udevadm info /dev/%s",
                    lun->object.id, whole, *node ? node : "/dev/disk/by-id", whole);
        return false;
}

int dl_kernel_usable(const DlTarget *target, const char *guid, unsigned n_paths, GError **error)
{
        DlCore *core = target->object.core;
        const DlLun *lun = DL_LOOKUP_LUN(core, guid);
        unsigned wanted;
        g_autoptr(GPtrArray) disks = disks_of(target, lun, &wanted);
        g_auto(DlKernelLun) kernel = {};
        const char *whole;

        if (wanted == 0) {
                g_set_error(error, DL_ERROR, DL_ERROR_LUN_NOT_VISIBLE,
                            "No session with %s shows %s", target->object.id, guid);
                return -1;
        }
        if (n_paths > wanted) { /* logins are over: no path will come */
                g_set_error(error, DL_ERROR, DL_ERROR_PORTAL_UNREACHABLE,
                            "%s is to have %u paths, and the kernel is logged in to %s at %u "
                            "portals that show it; see its PortalStates",
                            guid, n_paths, target->object.id, wanted);
                return -1;
        }
        dl_kernel_lun_look(core->sysfs, core->udev, guid, disks, &kernel);
        if (!is_consistent(guid, &kernel, error))
                return -1;
        whole = whole_of(core, guid, &kernel, n_paths > 0 ? n_paths : wanted, error);
        return whole && is_named(lun, whole, error);
}
