/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vDisks. Loop thread only. */

#include "core/model/attachment-index.h"
#include "util/uuid.h"

#include <string.h>

DlVDisk *dl_vdisk_new(DlCore *core, const char *guid, const char *alias, const char *description)
{
        DlVDisk *vdisk = g_new0(DlVDisk, 1);
        char id[DL_UUID_SIZE];

        dl_uuid_for_guid(guid, id);
        dl_object_init(&vdisk->object, core, DL_KIND_VDISK, id);
        vdisk->guid = g_strdup(guid);
        vdisk->alias = g_strdup(alias && alias[0] ? alias : guid);
        vdisk->description = g_strdup(description ? description : "");
        vdisk->images = dl_images_new();
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
        return dl_attachments_of(vdisk->object.core, DL_BELONGS_TO_VDISK, vdisk->object.id);
}

DlImage *dl_vdisk_find_image(const DlVDisk *vdisk, const char *uid, unsigned *ret_index)
{
        for (unsigned i = 0; i < vdisk->images->len; i++) {
                DlImage *image = vdisk->images->pdata[i];

                if (strcmp(image->uid, uid) != 0)
                        continue;
                if (ret_index)
                        *ret_index = i;
                return image;
        }
        return NULL;
}

const char **dl_vdisk_files(const DlVDisk *vdisk, const char *uid)
{
        unsigned n = vdisk->images->len;

        if (uid && !dl_vdisk_find_image(vdisk, uid, &n))
                n = 0; /* nothing can be told of it */
        return dl_images_files(vdisk->images, n);
}
