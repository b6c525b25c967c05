/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Volumes of storage pools. An active pool tells the path of a volume; of an iSCSI pool that is not
 * active, the target is in its definition and the number of the LUN in the volume's name. On a
 * worker, but for what is pure.
 */

#include "volumes.h"

#include "domain-xml.h"
#include "xml.h"

#include <libvirt/virterror.h>
#include <string.h>

typedef virStoragePool Pool;
typedef virStorageVol Volume;
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Pool, virStoragePoolFree)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Volume, virStorageVolFree)

/* "unit:0:0:7" */
static bool unit_of(const char *volume, guint64 *ret)
{
        const char *number = strrchr(volume, ':');

        return g_str_has_prefix(volume, "unit:") && number &&
               g_ascii_string_to_unsigned(number + 1, 10, 0, G_MAXUINT32, ret, NULL);
}

char *dl_volumes_path_in_pool(const char *pool_xml, const char *volume)
{
        g_autoptr(xmlDoc) document = dl_xml_parse(pool_xml, NULL);
        const xmlNode *pool = document ? xmlDocGetRootElement(document) : NULL;
        const xmlNode *source = dl_xml_child(pool, "source");
        g_autofree char *type = pool ? dl_xml_attribute(pool, "type") : NULL;
        g_autofree char *host = dl_xml_attribute(dl_xml_child(source, "host"), "name");
        g_autofree char *iqn = dl_xml_attribute(dl_xml_child(source, "device"), "path");
        guint64 unit;

        if (!type || !g_str_has_prefix(type, "iscsi") || !iqn || !unit_of(volume, &unit))
                return NULL;
        return g_strdup_printf("/dev/disk/by-path/ip-%s-iscsi-%s-lun-%" G_GUINT64_FORMAT,
                               host ? host : "", iqn, unit);
}

/* NULL: libvirt cannot tell. */
static char *path_of(virConnectPtr conn, const char *pool_name, const char *volume_name)
{
        g_autoptr(Pool) pool = virStoragePoolLookupByName(conn, pool_name);
        g_autoptr(Volume) volume = NULL;
        char *text, *path;

        if (!pool)
                return NULL;
        if (virStoragePoolIsActive(pool) == 1)
                volume = virStorageVolLookupByName(pool, volume_name);
        text = volume ? virStorageVolGetPath(volume) : virStoragePoolGetXMLDesc(pool, 0);
        if (!text)
                return NULL;
        path = volume ? g_strdup(text) : dl_volumes_path_in_pool(text, volume_name);
        free(text); /* libvirt's is malloc()ed */
        return path;
}

static void add_volumes(virConnectPtr conn, const char *xml, GHashTable **volumes)
{
        g_autoptr(DlDomain) domain = xml && strstr(xml, "volume") ? dl_domain_parse(xml, NULL)
                                                                  : NULL;

        for (unsigned i = 0; domain && i < domain->disks->len; i++) {
                const DlDomainDisk *disk = domain->disks->pdata[i];
                g_autofree char *key = dl_domain_volume_key(disk);

                if (!key)
                        continue;
                if (!*volumes)
                        *volumes = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
                if (!g_hash_table_contains(*volumes, key))
                        g_hash_table_insert(*volumes, g_strdup(key),
                                            path_of(conn, disk->pool, disk->source));
        }
}

void dl_volumes_resolve(virConnectPtr conn, DlVirtDomain *domain)
{
        add_volumes(conn, domain->live_xml, &domain->volumes);
        add_volumes(conn, domain->inactive_xml, &domain->volumes);
}
