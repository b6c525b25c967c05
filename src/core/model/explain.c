/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The facts behind a LUN's status, and what releasing its targets would do. Loop thread only. */

#include "core/model/explain.h"
#include "core/model/attachment-index.h"
#include "core/model/foreign-use.h"
#include "core/model/lun-kernel.h"
#include "core/model/storage-domain.h"
#include "core/steps/block-proof.h"
#include "core/steps/kernel-choice.h"

#include <string.h>

static void fact_free(gpointer p)
{
        DlFact *fact = p;

        g_free(fact->name);
        g_free(fact->text);
        g_free(fact);
}

static DlFact *add(GPtrArray *facts, const char *about, const char *name, char *text)
{
        DlFact *fact = g_new0(DlFact, 1);

        *fact = (DlFact){.about = about, .name = g_strdup(name), .text = text};
        g_ptr_array_add(facts, fact);
        return fact;
}

/* ---- status and holders -------------------------------------------------------------------- */

static void explain_status(const DlLun *lun, GPtrArray *facts)
{
        const char *reason = lun->reason;

        if (*reason == '\0')
                reason = lun->content ? "Nothing uses it" : "Nothing is known that uses it";
        add(facts, "status", dl_lun_status_name(lun->status), g_strdup(reason));
}

static const DlVm *find_vm(DlCore *core, const char *name)
{
        GHashTableIter iter;
        gpointer vm;

        g_hash_table_iter_init(&iter, core->objects[DL_KIND_VM]);
        while (g_hash_table_iter_next(&iter, NULL, &vm))
                if (strcmp(((DlVm *)vm)->name, name) == 0)
                        return vm;
        return NULL;
}

static const DlAttachment *find_attachment(const DlLun *lun, const DlVm *vm)
{
        g_autoptr(GPtrArray) attachments = dl_attachments_of(lun->object.core, DL_BELONGS_TO_LUN,
                                                             lun->object.id);

        for (unsigned i = 0; i < attachments->len; i++)
                if (((DlAttachment *)attachments->pdata[i])->vm == vm)
                        return attachments->pdata[i];
        return NULL;
}

static bool has_by_mistake(const DlLun *lun, const DlVm *vm)
{
        g_autoptr(GPtrArray)
                attachments = dl_attachments_of(lun->object.core, DL_BELONGS_TO_VM, vm->object.id);

        for (unsigned i = 0; i < attachments->len; i++)
                if (g_strcmp0(((DlAttachment *)attachments->pdata[i])->shown, lun->object.id) == 0)
                        return true;
        return false;
}

/* VMs whose disks may or may not be on it. */
static void explain_unknown(const DlLun *lun, GPtrArray *facts)
{
        g_autoptr(GPtrArray) vms = dl_core_list(lun->object.core, DL_KIND_VM);

        for (unsigned i = 0; i < vms->len; i++) {
                const DlVm *vm = vms->pdata[i];
                const char *volume = dl_foreign_use_unknown(vm);

                if (volume)
                        add(facts, "unknown", vm->name,
                            g_strdup_printf("VM %s has a disk from the storage pool volume %s, and "
                                            "libvirt cannot tell whether that is this LUN; define "
                                            "or start the pool",
                                            vm->name, volume))
                                ->object = &vm->object;
        }
}

static void explain_vm(const DlLun *lun, const char *holder, GPtrArray *facts)
{
        const char *name = holder + strlen("vm:");
        const DlVm *vm = find_vm(lun->object.core, name);
        const DlAttachment *a = vm ? find_attachment(lun, vm) : NULL;
        DlFact *fact;
        char *text;

        if (a)
                text = g_strdup_printf("It is attached to VM %s, which %s", name,
                                       a->plugged ? "has it plugged" : "does not have it plugged");
        else if (vm && has_by_mistake(lun, vm))
                text = g_strdup_printf("VM %s reads and writes it by mistake: the number that its "
                                       "disk had on the target is this LUN's now",
                                       name);
        else
                text = g_strdup_printf("VM %s has a disk on it that this service does not manage",
                                       name);
        fact = add(facts, "holder", holder, text);
        fact->object = vm ? &vm->object : NULL;
}

static void explain_holders(const DlLun *lun, GPtrArray *facts)
{
        const char *domain = dl_claim_of(lun->object.core, lun->object.id);
        const DlBlockLun *kernel = dl_lun_kernel(lun);

        for (GStrv holder = lun->holders; *holder; holder++) {
                const char *name = strchr(*holder, ':') ? strchr(*holder, ':') + 1 : *holder;

                if (g_str_has_prefix(*holder, "vm:"))
                        explain_vm(lun, *holder, facts);
                else if (domain && g_str_has_prefix(*holder, "storage-domain:") &&
                         strcmp(name, domain) == 0)
                        add(facts, "holder", *holder,
                            g_strdup_printf("Storage domain %s has claimed it", domain));
                else if (kernel && g_strv_contains((const char *const *)kernel->holders, *holder))
                        add(facts, "holder", *holder,
                            g_strdup(kernel->is_system
                                             ? "This host runs from it"
                                             : "This host uses it: unmount, deactivate or stop "
                                               "that before it is given to a VM"));
                else
                        add(facts, "holder", *holder,
                            g_strdup("What is on it says so, and it is no vDisk; with force it can "
                                     "be used all the same"));
        }
}

/* ---- content ------------------------------------------------------------------------------- */

static void explain_content(const DlLun *lun, GPtrArray *facts)
{
        const DlContent *content = lun->content;

        if (lun->content_error.code >= 0)
                add(facts, "content", "error",
                    g_strdup_printf("It could not be looked at: %s",
                                    dl_last_error_message(&lun->content_error)));
        if (!content) {
                if (lun->content_error.code < 0)
                        add(facts, "content", "unknown",
                            g_strdup("What is on it was not looked at yet; refresh the LUN"));
                return;
        }
        if (!dl_content_is_used(content)) {
                add(facts, "content", "nothing", g_strdup("Nothing was recognised on it"));
                return;
        }
        g_autofree char *text = dl_content_to_text(content);
        for (unsigned i = 0; i < content->signatures->len; i++) {
                const DlSignature *signature = content->signatures->pdata[i];

                add(facts, "content", signature->type,
                    g_strdup_printf("It has %s%s", text,
                                    dl_lun_vdisk(lun) ? ", the data of its vDisk" : ""))
                        ->signature = signature;
        }
}

/* ---- data path ----------------------------------------------------------------------------- */

/* Of its target. */
static bool is_first_of(const DlLun *lun, unsigned index)
{
        for (unsigned i = 0; i < index; i++)
                if (strcmp(((const DlPath *)lun->paths->pdata[i])->iqn,
                           ((const DlPath *)lun->paths->pdata[index])->iqn) == 0)
                        return false;
        return true;
}

static const DlTarget *target_for_kernel(const DlLun *lun)
{
        for (unsigned i = 0; i < lun->paths->len; i++) {
                const DlPath *path = lun->paths->pdata[i];
                const DlTarget *target = DL_LOOKUP_TARGET(lun->object.core, path->iqn);

                if (target && dl_kernel_is_auto(target))
                        return target;
        }
        return NULL;
}

/* How its targets are connected, and what "auto" would choose for a disk now. */
static void explain_data_path(const DlLun *lun, GPtrArray *facts)
{
        const DlBlockLun *kernel = dl_lun_kernel(lun);
        g_autoptr(GError) error = NULL;

        for (unsigned i = 0; i < lun->paths->len; i++) {
                const DlPath *path = lun->paths->pdata[i];
                const DlTarget *target = DL_LOOKUP_TARGET(lun->object.core, path->iqn);

                if (target && target->data_path_why && is_first_of(lun, i))
                        add(facts, "connection", target->object.id,
                            g_strdup_printf("Target %s is connected by data path %s: %s", path->iqn,
                                            dl_target_data_path(target), target->data_path_why));
        }
        if (kernel && dl_block_check(lun, true, false, &error))
                add(facts, "data-path", "block",
                    g_strdup_printf("This host's kernel has it: VMs get it as %s, unless data path "
                                    "qemu is asked for",
                                    kernel->node));
        else if (!kernel && target_for_kernel(lun))
                add(facts, "data-path", "block",
                    g_strdup_printf("This host's kernel does not have it yet: it is logged in to "
                                    "target %s for the VM that needs it, unless data path qemu is "
                                    "asked for",
                                    target_for_kernel(lun)->object.id));
        else if (lun->paths->len > 0)
                add(facts, "data-path", "qemu",
                    kernel ? g_strdup_printf("This host's kernel has it, but not so that VMs could "
                                             "have it that way: %s",
                                             error->message)
                           : g_strdup("This host's kernel does not have it: VMs get it through "
                                      "QEMU's own initiator"));
        else if (kernel)
                add(facts, "data-path", "none", g_strdup(error->message));
}

/* ---- unmanage ------------------------------------------------------------------------------ */

static char *unmanage_text(DlTarget *target, bool *ret_refused)
{
        g_autoptr(GPtrArray) users = dl_target_users(target);
        g_autoptr(GString) names = g_string_new(NULL);

        *ret_refused = users->len > 0;
        for (unsigned i = 0; i < users->len && i < 8; i++)
                g_string_append_printf(names, "%s%s", i ? ", " : "",
                                       ((DlAttachment *)users->pdata[i])->vm->name);
        if (users->len > 8)
                g_string_append(names, " and others");
        if (users->len > 0)
                return g_strdup_printf(
                        "Would be refused: used by running VMs (%s). With force it "
                        "would not be checked any more; their own sessions would stay",
                        names->str);
        if (dl_target_is_managed(target))
                return g_strdup("Would let go of it: it would not be checked any more. Nothing "
                                "would be logged out, since nobody else's session is touched and "
                                "none of ours stays open");
        return g_strdup("Would change nothing: it is not managed");
}

static void explain_unmanage(const DlLun *lun, GPtrArray *facts)
{
        g_autoptr(GHashTable) told = g_hash_table_new(g_str_hash, g_str_equal);

        for (unsigned i = 0; i < lun->paths->len; i++) {
                const DlPath *path = lun->paths->pdata[i];
                DlTarget *target = DL_LOOKUP_TARGET(lun->object.core, path->iqn);
                bool refused;

                if (!target || !g_hash_table_add(told, path->iqn))
                        continue;
                char *text = unmanage_text(target, &refused);
                DlFact *fact = add(facts, "unmanage", path->iqn, text);
                fact->object = &target->object;
                fact->refused = refused;
        }
}

GPtrArray *dl_lun_explain(const DlLun *lun)
{
        GPtrArray *facts = g_ptr_array_new_with_free_func(fact_free);

        explain_status(lun, facts);
        explain_holders(lun, facts);
        explain_unknown(lun, facts);
        explain_content(lun, facts);
        explain_data_path(lun, facts);
        explain_unmanage(lun, facts);
        return facts;
}
