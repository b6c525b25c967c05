/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What physical volumes say of each other. Loop thread only. */

#include "core/model/volume-groups.h"

#include <string.h>

static bool is_bare(const DlLun *lun)
{
        return lun->content && dl_content_is_bare_pv(lun->content);
}

/* Two groups that both want it (a LUN was copied): neither is believed. */
static void note(GHashTable *tellers, const char *pv, DlContent *teller)
{
        DlContent *other = NULL;
        gpointer found;

        if (g_hash_table_lookup_extended(tellers, pv, NULL, &found)) {
                other = found;
                if (!other || g_strcmp0(other->vg_uuid, teller->vg_uuid) != 0)
                        teller = NULL;
        }
        g_hash_table_insert(tellers, (gpointer)pv, teller);
}

/* PV → DlContent that names it, or NULL; both borrowed. */
static GHashTable *tellers_of(const GPtrArray *luns)
{
        GHashTable *tellers = g_hash_table_new(g_str_hash, g_str_equal);

        for (unsigned i = 0; i < luns->len; i++) {
                DlContent *content = ((DlLun *)luns->pdata[i])->content;

                for (GStrv pv = content ? content->vg_pvs : NULL; pv && *pv; pv++)
                        note(tellers, *pv, content);
        }
        return tellers;
}

static void tell(DlLun *lun, const DlContent *teller)
{
        g_autofree char *domain = g_strdup(dl_lun_storage_domain(lun));

        if (!dl_content_tell_group(lun->content, teller))
                return;
        if (strcmp(domain, dl_lun_storage_domain(lun)) != 0)
                dl_object_changed(&lun->object, "StorageDomain");
        dl_lun_update(lun);
}

void dl_volume_groups_update(DlCore *core)
{
        g_autoptr(GPtrArray) luns = dl_core_list(core, DL_KIND_LUN);
        g_autoptr(GHashTable) tellers = NULL;

        for (unsigned i = 0; i < luns->len; i++) {
                DlLun *lun = luns->pdata[i];

                if (!is_bare(lun))
                        continue;
                if (!tellers)
                        tellers = tellers_of(luns);
                tell(lun, g_hash_table_lookup(tellers, lun->content->pv_uuid));
        }
}
