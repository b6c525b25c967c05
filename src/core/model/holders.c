/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who holds a LUN, put together from who knows. Loop thread only. */

#include "core/model/holders.h"
#include "core/model/attachment-index.h"
#include "core/model/foreign-use.h"
#include "core/model/lun-kernel.h"
#include "core/model/storage-domain.h"

#include <string.h>

static bool content_counts(const DlLun *lun)
{
        return lun->content && dl_content_is_used(lun->content) && !dl_lun_vdisk(lun);
}

bool dl_lun_check_empty(const DlLun *lun, GError **error)
{
        g_autofree char *text = NULL;

        if (lun->content_error.code >= 0) {
                g_set_error(error, DL_ERROR, lun->content_error.code,
                            "Whether %s is in use cannot be told: %s", lun->object.id,
                            dl_last_error_message(&lun->content_error));
                return false;
        }
        if (!lun->content || !dl_content_is_used(lun->content))
                return true;
        text = dl_content_to_text(lun->content);
        g_set_error(error, DL_ERROR, DL_ERROR_IN_USE,
                    "%s has %s; if nobody needs that, erase it, or go ahead with force",
                    lun->object.id, text);
        return false;
}

bool dl_lun_check_content(const DlLun *lun, GError **error)
{
        return dl_lun_vdisk(lun) || dl_lun_check_empty(lun, error);
}

GPtrArray *dl_lun_users(const DlLun *lun)
{
        g_autoptr(GPtrArray) attachments = dl_attachments_of(lun->object.core, DL_BELONGS_TO_LUN,
                                                             lun->object.id);
        const char *domain = dl_claim_of(lun->object.core, lun->object.id);
        GPtrArray *users = g_ptr_array_new_with_free_func(g_free);

        for (unsigned i = 0; i < attachments->len; i++)
                g_ptr_array_add(users,
                                g_strdup_printf("vm:%s",
                                                ((DlAttachment *)attachments->pdata[i])->vm->name));
        dl_foreign_use_list(lun, users);
        if (domain)
                g_ptr_array_add(users, g_strconcat("storage-domain:", domain, NULL));
        return users;
}

/* A domain that has claimed it finds its own volume group there. */
GStrv dl_lun_holders(const DlLun *lun)
{
        g_autoptr(GPtrArray) holders = dl_lun_users(lun);
        const DlBlockLun *kernel = dl_lun_kernel(lun);
        g_autofree char *content = content_counts(lun) ? dl_content_holder(lun->content) : NULL;

        for (GStrv use = kernel ? kernel->holders : NULL; use && *use; use++)
                g_ptr_array_add(holders, g_strdup(*use));
        if (content && !g_ptr_array_find_with_equal_func(holders, content, g_str_equal, NULL))
                g_ptr_array_add(holders, g_steal_pointer(&content));
        g_ptr_array_set_free_func(holders, NULL);
        g_ptr_array_add(holders, NULL);
        return (GStrv)g_ptr_array_free(g_steal_pointer(&holders), FALSE);
}
