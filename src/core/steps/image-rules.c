/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Rules for images. Loop thread only. */

#include "core/steps/image-rules.h"

#include <string.h>

bool dl_image_is_lost(const DlVDisk *vdisk, unsigned index)
{
        unsigned moment = MAX(index, 1); /* the LUN itself is what it was at the first one */

        return moment < vdisk->images->len && ((DlImage *)vdisk->images->pdata[moment])->spoiled;
}

bool dl_image_writer(DlVDisk *vdisk, DlAttachment **ret, GError **error)
{
        g_autoptr(GPtrArray) attachments = dl_vdisk_attachments(vdisk);
        DlAttachment *writer = NULL;

        for (unsigned i = 0; i < attachments->len; i++) {
                DlAttachment *a = attachments->pdata[i];

                if (a->meta->image)
                        continue;
                if (writer || a->meta->shared) {
                        g_set_error(error, DL_ERROR, DL_ERROR_NOT_SHAREABLE,
                                    "vDisk %s is shared, by VM %s: what one VM writes to an image "
                                    "others do not see. Detach it from all VMs but one first, and "
                                    "attach it there without shared",
                                    vdisk->alias, a->vm->name);
                        return false;
                }
                writer = a;
        }
        *ret = writer;
        return true;
}

bool dl_image_check_readers(DlVDisk *vdisk, unsigned first, GError **error)
{
        g_autoptr(GPtrArray) attachments = dl_vdisk_attachments(vdisk);

        for (unsigned i = 0; i < attachments->len; i++) {
                const DlAttachment *a = attachments->pdata[i];
                unsigned index = 0;

                if (!a->meta->image)
                        continue;
                (void)dl_vdisk_find_image(vdisk, a->meta->image, &index);
                if (MAX(index, 1) <= first) /* it reads the entries below its own */
                        continue;
                g_set_error(error, DL_ERROR, DL_ERROR_IN_USE,
                            "VM %s has image %s of vDisk %s; detach it there first", a->vm->name,
                            a->meta->image, vdisk->alias);
                return false;
        }
        return true;
}

void dl_image_normalize(DlVDisk *vdisk, DlDomainAttachment *meta)
{
        DlAttachment *writer = NULL;
        unsigned index = 0;

        if (meta->image && !meta->readonly && vdisk &&
            dl_vdisk_find_image(vdisk, meta->image, &index) && index + 1 == vdisk->images->len &&
            dl_image_writer(vdisk, &writer, NULL) &&
            (!writer || g_strcmp0(writer->object.id, meta->id) == 0))
                g_clear_pointer(&meta->image, g_free);
}

/* What was there at the moment, for reading. */
static bool check_reader(const DlVDisk *vdisk, const DlDomainAttachment *meta, GError **error)
{
        const char *problem = NULL;
        unsigned index = 0;

        if (!vdisk || !dl_vdisk_find_image(vdisk, meta->image, &index))
                problem = "is none of this vDisk; see its Images";
        else if (!meta->readonly || meta->shared)
                problem =
                        "can only be read by this VM: attach it with readonly, and without shared. "
                        "To write from its moment on, revert the vDisk to it, and attach that "
                        "without image";
        else if (vdisk->images->len == 1)
                problem = "is the LUN itself, which is written to; take a snapshot first";
        else if (dl_image_is_lost(vdisk, index))
                problem = "is lost: a merge into what was there then has been begun";
        if (problem)
                g_set_error(error, DL_ERROR, DL_ERROR_INVALID_ARGS, "Image %s %s", meta->image,
                            problem);
        return !problem;
}

bool dl_image_check_attach(const DlVDisk *vdisk, const DlDomainAttachment *meta, GError **error)
{
        bool has_images = vdisk && vdisk->images->len > 1;

        if (meta->image && !check_reader(vdisk, meta, error))
                return false;
        if (has_images && meta->shared) {
                g_set_error(error, DL_ERROR, DL_ERROR_NOT_SHAREABLE,
                            "vDisk %s has images, which one VM can write to: merge them first, or "
                            "attach it without shared",
                            vdisk->alias);
                return false;
        }
        if (has_images && strcmp(meta->device, "lun") == 0) {
                g_set_error(error, DL_ERROR, DL_ERROR_UNSUPPORTED_INTERFACE,
                            "vDisk %s has images, and device lun would go past them: merge them "
                            "first, or attach it as device disk",
                            vdisk->alias);
                return false;
        }
        return true;
}

bool dl_image_chain_is(const DlDomainDisk *disk, const char *const *files)
{
        unsigned n = g_strv_length((char **)files);

        for (unsigned i = 0; i < n && i < disk->images->len; i++)
                if (g_strcmp0(((DlDomainImage *)disk->images->pdata[i])->file, files[i]) != 0)
                        return false;
        return disk->images->len == n;
}

bool dl_image_chain_has(const DlDomainDisk *disk, const char *file)
{
        for (unsigned i = 0; i < disk->images->len; i++)
                if (g_strcmp0(((DlDomainImage *)disk->images->pdata[i])->file, file) == 0)
                        return true;
        return false;
}

bool dl_image_check_known(const DlVm *vm, const DlDomainAttachment *meta, const DlDomainDisk *disk,
                          GError **error)
{
        const DlVDisk *vdisk = DL_LOOKUP_VDISK(vm->object.core, meta->vdisk);
        g_autofree const char **files = vdisk ? dl_vdisk_files(vdisk, meta->image) : NULL;

        if (!disk || !vdisk || dl_image_chain_is(disk, files))
                return true;
        g_set_error(error, DL_ERROR, DL_ERROR_IN_USE,
                    "The disk of vDisk %s in VM %s has other images over it than this service has "
                    "made; merge them, by what made them, first",
                    vdisk->alias, vm->name);
        return false;
}
