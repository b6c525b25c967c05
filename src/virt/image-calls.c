/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Images in a directory, by libvirt's storage driver. The directory is a pool of libvirt's:
 * somebody's, if one has it, else one that is made here and goes with libvirtd. The run_…()
 * functions are on a worker, the rest is on the loop thread.
 */

#include "virt-private.h"

#include "util/error.h"
#include "xml.h"

typedef virStoragePool Pool;
typedef virStorageVol Volume;
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Pool, virStoragePoolFree)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Volume, virStorageVolFree)

/* What changes the directory, one at a time: a file is not deleted before it is made. */
#define KEY "images"

static char *pool_to_xml(const char *directory)
{
        g_autofree char *digest = g_compute_checksum_for_string(G_CHECKSUM_SHA256, directory, -1);
        g_autofree char *name = g_strdup_printf("directlun-%.12s", digest);
        g_autoptr(GString) out = g_string_new("<pool type='dir'>");

        dl_xml_append_element(out, "name", name);
        g_string_append(out, "<target>");
        dl_xml_append_element(out, "path", directory);
        g_string_append(out, "<permissions><mode>0711</mode></permissions></target></pool>");
        return g_string_free(g_steal_pointer(&out), FALSE);
}

/* The pool of the directory, which is made if need be, and as it is now. */
static Pool *open_pool(virConnectPtr conn, const char *directory)
{
        g_autoptr(Pool) pool = virStoragePoolLookupByTargetPath(conn, directory);

        if (!pool) {
                g_autofree char *xml = pool_to_xml(directory);

                pool = virStoragePoolCreateXML(conn, xml, VIR_STORAGE_POOL_CREATE_WITH_BUILD);
                return g_steal_pointer(&pool);
        }
        if (virStoragePoolIsActive(pool) == 0 && virStoragePoolCreate(pool, 0) < 0)
                return NULL;
        return virStoragePoolRefresh(pool, 0) < 0 ? NULL : g_steal_pointer(&pool);
}

static char *volume_to_xml(const char *file, uint64_t bytes)
{
        g_autofree char *name = g_path_get_basename(file);
        g_autoptr(GString) out = g_string_new("<volume>");

        dl_xml_append_element(out, "name", name);
        g_string_append_printf(out, "<capacity unit='bytes'>%" G_GUINT64_FORMAT "</capacity>",
                               bytes);
        g_string_append(out, "<target><format type='qcow2'/><permissions><mode>0600</mode>"
                             "</permissions><compat>1.1</compat></target></volume>");
        return g_string_free(g_steal_pointer(&out), FALSE);
}

static bool has_room(Pool *pool, const char *directory, uint64_t wanted, GError **error)
{
        virStoragePoolInfo info;

        if (virStoragePoolGetInfo(pool, &info) < 0) {
                dl_virt_set_error(error);
                return false;
        }
        if (info.available >= wanted)
                return true;
        g_set_error(error, DL_ERROR, DL_ERROR_LIMITS_EXCEEDED,
                    "%s has %llu MiB free, and %" G_GUINT64_FORMAT
                    " MiB are wanted for an image; make room there",
                    directory, info.available >> 20, wanted >> 20);
        return false;
}

static void run_create(DlVirtJob *job)
{
        g_autofree char *directory = g_path_get_dirname(job->text);
        g_autofree char *xml = volume_to_xml(job->text, job->bytes[0]);
        g_autoptr(Pool) pool = open_pool(job->conn->ptr, directory);

        if (!pool) {
                dl_virt_set_error(&job->error);
                return;
        }
        if (!has_room(pool, directory, job->bytes[1], &job->error))
                return;

        g_autoptr(Volume) volume = virStorageVolCreateXML(pool, xml, 0);
        if (!volume && (!job->flag || virGetLastErrorCode() != VIR_ERR_STORAGE_VOL_EXIST))
                dl_virt_set_error(&job->error);
}

static DlVirtCall *submit(DlVirt *virt, DlVirtJob *job, DlVirtDone done, void *userdata)
{
        return dl_virt_submit(virt, job, KEY, DL_VIRT_TIMEOUT_USEC,
                              (DlVirtAnswer){.done = done, .userdata = userdata});
}

DlVirtCall *dl_virt_create_image(DlVirt *virt, const char *file, uint64_t bytes, uint64_t free_min,
                                 bool keep, DlVirtDone done, void *userdata)
{
        DlVirtJob *job = dl_virt_job_new(run_create, NULL, file);

        job->bytes[0] = bytes;
        job->bytes[1] = free_min;
        job->flag = keep;
        return submit(virt, job, done, userdata);
}

static void run_check_room(DlVirtJob *job)
{
        g_autofree char *directory = g_path_get_dirname(job->text);
        g_autofree char *name = g_path_get_basename(job->text);
        g_autoptr(Pool) pool = open_pool(job->conn->ptr, directory);
        g_autoptr(Volume) volume = pool ? virStorageVolLookupByName(pool, name) : NULL;
        virStorageVolInfo info;

        if (!volume || virStorageVolGetInfo(volume, &info) < 0)
                dl_virt_set_error(&job->error);
        else
                (void)has_room(pool, directory, info.allocation, &job->error);
}

DlVirtCall *dl_virt_check_room(DlVirt *virt, const char *file, DlVirtDone done, void *userdata)
{
        return submit(virt, dl_virt_job_new(run_check_room, NULL, file), done, userdata);
}

static void run_delete(DlVirtJob *job)
{
        g_autofree char *directory = g_path_get_dirname(job->text);
        g_autofree char *name = g_path_get_basename(job->text);
        g_autoptr(Pool) pool = open_pool(job->conn->ptr, directory);
        g_autoptr(Volume) volume = pool ? virStorageVolLookupByName(pool, name) : NULL;

        if (volume && virStorageVolDelete(volume, 0) == 0)
                return;
        if (!pool || virGetLastErrorCode() != VIR_ERR_NO_STORAGE_VOL)
                dl_virt_set_error(&job->error);
}

DlVirtCall *dl_virt_delete_image(DlVirt *virt, const char *file, DlVirtDone done, void *userdata)
{
        return submit(virt, dl_virt_job_new(run_delete, NULL, file), done, userdata);
}
