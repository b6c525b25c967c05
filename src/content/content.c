/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What was found on a device, in words. Pure; results are the caller's. Any thread. */

#include "content/content.h"

#include "content/content-private.h"

#include <string.h>

static void signature_free(gpointer p)
{
        DlSignature *signature = p;

        g_free(signature->type);
        g_free(signature->usage);
        g_free(signature->label);
        g_free(signature->uuid);
        g_free(signature);
}

DlContent *dl_content_new(void)
{
        DlContent *content = g_new0(DlContent, 1);

        content->signatures = g_ptr_array_new_with_free_func(signature_free);
        return content;
}

void dl_content_free(DlContent *content)
{
        if (!content)
                return;
        g_ptr_array_unref(content->signatures);
        g_free(content->pv_uuid);
        g_free(content->vg_name);
        g_free(content->vg_uuid);
        g_free(content->storage_domain);
        g_strfreev(content->vg_pvs);
        g_free(content);
}

static bool signatures_equal(const GPtrArray *a, const GPtrArray *b)
{
        if (a->len != b->len)
                return false;
        for (unsigned i = 0; i < a->len; i++) {
                const DlSignature *x = a->pdata[i], *y = b->pdata[i];

                if (strcmp(x->type, y->type) != 0 || strcmp(x->usage, y->usage) != 0 ||
                    strcmp(x->label, y->label) != 0 || strcmp(x->uuid, y->uuid) != 0)
                        return false;
        }
        return true;
}

static bool lists_equal(GStrv a, GStrv b)
{
        return a && b ? g_strv_equal((const char *const *)a, (const char *const *)b) : a == b;
}

/* What is on the device itself. */
static const char *own(const DlContent *content, const char *string)
{
        return content->vg_told ? NULL : string;
}

bool dl_content_equal(const DlContent *a, const DlContent *b)
{
        if (!a || !b)
                return a == b;
        return signatures_equal(a->signatures, b->signatures) && a->pv_size == b->pv_size &&
               g_strcmp0(a->pv_uuid, b->pv_uuid) == 0 &&
               g_strcmp0(own(a, a->vg_name), own(b, b->vg_name)) == 0 &&
               g_strcmp0(own(a, a->vg_uuid), own(b, b->vg_uuid)) == 0 &&
               g_strcmp0(own(a, a->storage_domain), own(b, b->storage_domain)) == 0 &&
               lists_equal(a->vg_pvs, b->vg_pvs);
}

bool dl_content_is_bare_pv(const DlContent *content)
{
        return content->pv_uuid && !own(content, content->vg_uuid);
}

static bool take_string(char **at, const char *value)
{
        if (g_strcmp0(*at, value) == 0)
                return false;
        g_free(*at);
        *at = g_strdup(value);
        return true;
}

bool dl_content_tell_group(DlContent *content, const DlContent *teller)
{
        bool changed = take_string(&content->vg_name, teller ? teller->vg_name : NULL);

        changed |= take_string(&content->vg_uuid, teller ? teller->vg_uuid : NULL);
        changed |= take_string(&content->storage_domain, teller ? teller->storage_domain : NULL);
        content->vg_told = teller != NULL;
        return changed;
}

bool dl_content_is_used(const DlContent *content)
{
        return content->signatures->len > 0 || content->pv_uuid;
}

char *dl_content_holder(const DlContent *content)
{
        const DlSignature *first;

        if (content->storage_domain)
                return g_strconcat("storage-domain:", content->storage_domain, NULL);
        if (content->pv_uuid)
                return g_strconcat("lvm:", content->vg_name ? content->vg_name : content->pv_uuid,
                                   NULL);
        if (content->signatures->len == 0)
                return NULL;
        first = content->signatures->pdata[0];
        if (strcmp(first->usage, "other") == 0)
                return g_strdup(first->type);
        return g_strdup_printf("%s:%s", first->usage, first->type);
}

static char *signature_to_text(const DlSignature *signature)
{
        static const struct {
                const char *usage, *format;
        } words[] = {
                {"filesystem", "a file system (%s)"},
                {"partition-table", "a partition table (%s)"},
                {"raid", "a member of a RAID or of a volume manager (%s)"},
                {"crypto", "an encrypted volume (%s)"},
        };

        for (size_t i = 0; i < G_N_ELEMENTS(words); i++)
                if (strcmp(signature->usage, words[i].usage) == 0) {
                        g_auto(GStrv) parts = g_strsplit(words[i].format, "%s", 2);

                        return g_strconcat(parts[0], signature->type, parts[1], NULL);
                }
        if (strcmp(signature->type, "swap") == 0)
                return g_strdup("swap space");
        return g_strdup(signature->type);
}

static char *lvm_to_text(const DlContent *content)
{
        if (content->storage_domain)
                return g_strdup_printf("the oVirt storage domain %s", content->storage_domain);
        if (content->vg_name)
                return g_strdup_printf("an LVM physical volume of volume group %s",
                                       content->vg_name);
        return g_strdup("an LVM physical volume");
}

char *dl_content_to_text(const DlContent *content)
{
        g_autoptr(GString) text = g_string_new(NULL);

        if (content->pv_uuid) {
                g_autofree char *lvm = lvm_to_text(content);

                g_string_append(text, lvm);
        }
        for (unsigned i = 0; i < content->signatures->len; i++) {
                const DlSignature *signature = content->signatures->pdata[i];
                g_autofree char *one = NULL;

                if (content->pv_uuid && strcmp(signature->type, "LVM2_member") == 0)
                        continue;
                one = signature_to_text(signature);
                if (text->len > 0)
                        g_string_append(text, " and ");
                g_string_append(text, one);
        }
        return g_string_free(g_steal_pointer(&text), FALSE);
}
