/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The input is the text of a volume group; and, from a sector's beginning, a label. */

#include "fuzz.h"

#include "content/lvm.h"

#include <string.h>

static void check_vg(const char *text, size_t size)
{
        g_autoptr(DlLvmVg) vg = NULL;

        if (dl_lvm_vg_parse(text, size, &vg) < 0)
                return;
        g_assert_true(vg->name[0] && vg->uuid);
        g_assert_true(g_utf8_validate(vg->name, -1, NULL) && g_utf8_validate(vg->uuid, -1, NULL));
        for (GStrv tag = vg->tags; *tag; tag++)
                g_assert_true(g_utf8_validate(*tag, -1, NULL));
        for (GStrv pv = vg->pvs; *pv; pv++)
                g_assert_cmpuint(strlen(*pv), ==, DL_LVM_UUID_SIZE - 1);
        const char *domain = dl_lvm_vg_storage_domain(vg);
        g_assert_true(!domain || domain[0]);
}

static void check_pv(const uint8_t *data, size_t size)
{
        DlLvmPv pv;

        if (dl_lvm_pv_parse(data, size, &pv) < 0)
                return;
        g_assert_cmpuint(strlen(pv.uuid), ==, DL_LVM_UUID_SIZE - 1);
        g_assert_cmpuint(pv.text[0].size + pv.text[1].size, <=, DL_LVM_TEXT_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        check_vg((const char *)data, size);
        check_pv(data, size);
        return 0;
}
