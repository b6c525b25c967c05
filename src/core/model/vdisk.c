/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vDisks. Loop thread only. */

#include "core/core-private.h"
#include "util/uuid.h"

#include <string.h>

static void image_free(gpointer p)
{
        DlImage *image = p;

        g_free(image->uid);
        g_free(image);
}

DlVDisk *dl_vdisk_new(DlCore *core, const char *guid, const char *alias, const char *description)
{
        DlVDisk *vdisk = g_new0(DlVDisk, 1);
        char id[DL_UUID_SIZE];

        dl_uuid_for_guid(guid, id);
        dl_object_init(&vdisk->object, core, DL_KIND_VDISK, id);
        vdisk->guid = g_strdup(guid);
        vdisk->alias = g_strdup(alias && alias[0] ? alias : guid);
        vdisk->description = g_strdup(description ? description : "");
        vdisk->images = g_ptr_array_new_with_free_func(image_free);
        return vdisk;
}

void dl_vdisk_free(DlVDisk *vdisk)
{
        g_free(vdisk->guid);
        g_free(vdisk->alias);
        g_free(vdisk->description);
        g_ptr_array_unref(vdisk->images);
        dl_object_clear(&vdisk->object);
        g_free(vdisk);
}

DlVDisk *dl_vdisk_of_guid(DlCore *core, const char *guid)
{
        char id[DL_UUID_SIZE];

        dl_uuid_for_guid(guid, id);
        return DL_LOOKUP_VDISK(core, id);
}

DlLun *dl_vdisk_lun(const DlVDisk *vdisk)
{
        return DL_LOOKUP_LUN(vdisk->object.core, vdisk->guid);
}

GPtrArray *dl_vdisk_attachments(DlVDisk *vdisk)
{
        g_autoptr(GPtrArray) all = dl_core_list(vdisk->object.core, DL_KIND_ATTACHMENT);
        GPtrArray *attachments = g_ptr_array_new();

        for (unsigned i = 0; i < all->len; i++)
                if (strcmp(((DlAttachment *)all->pdata[i])->meta->vdisk, vdisk->object.id) == 0)
                        g_ptr_array_add(attachments, all->pdata[i]);
        return attachments;
}
