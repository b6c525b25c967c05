/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a block device of this host has to be before a VM gets it. Loop thread only. */

#include "core/steps/block-proof.h"

#include <string.h>

const DlBlockDevice *dl_block_active_path(const DlBlockLun *block)
{
        const DlBlockDevice *any = NULL;

        for (unsigned i = 0; i < block->paths->len; i++) {
                const DlBlockDevice *path = block->paths->pdata[i];

                if (!dl_block_device_is_active(path))
                        continue;
                if (path->transport == DL_BLOCK_ISCSI)
                        return path;
                any = any ? any : path;
        }
        return any;
}

bool dl_block_is_node(const DlLun *lun, const char *name)
{
        const DlBlockLun *block = lun ? dl_lun_kernel(lun) : NULL;

        if (!block || !name)
                return false;
        if (block->map && strcmp(block->map->node, name) == 0)
                return true;
        for (unsigned i = 0; i < block->paths->len; i++)
                if (strcmp(((const DlBlockDevice *)block->paths->pdata[i])->node, name) == 0)
                        return true;
        return false;
}

static bool check_device(const DlBlockLun *block, bool readonly, GError **error)
{
        const DlBlockDevice *path = dl_block_active_path(block);

        if (!path)
                g_set_error(error, DL_ERROR, DL_ERROR_LUN_NOT_VISIBLE,
                            "No path of this host to %s works; look at the links to the storage "
                            "array",
                            block->guid);
        else if (!block->map && block->paths->len > 1)
                g_set_error(error, DL_ERROR, DL_ERROR_PATHS_INCONSISTENT,
                            "This host has %u paths to %s and no map of multipath over them: let "
                            "multipathd take the LUN, or go by data path qemu",
                            block->paths->len, block->guid);
        else if (!*block->node)
                g_set_error(error, DL_ERROR, DL_ERROR_LUN_NOT_VISIBLE,
                            "%s is %s on this host and has no name that is sure to stay; see what "
                            "udev makes of it",
                            block->guid, path->name);
        else if ((path->read_only || (block->map && block->map->read_only)) && !readonly)
                g_set_error(error, DL_ERROR, DL_ERROR_INVALID_ARGS,
                            "%s is write-protected; it can only be attached with readonly",
                            block->guid);
        else
                return true;
        return false;
}

bool dl_block_check(const DlLun *lun, bool readonly, bool force, GError **error)
{
        return dl_lun_check_usable(lun, error) && (force || dl_lun_check_host_use(lun, error)) &&
               check_device(dl_lun_kernel(lun), readonly, error);
}
