/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Claiming a LUN for a storage domain, and releasing it. Loop thread only. */

#include "core/model/attachment-index.h"
#include "core/model/contents.h"
#include "core/model/foreign-use.h"
#include "core/model/holders.h"
#include "core/model/storage-domain.h"
#include "core/steps/operation.h"

#include <string.h>

typedef struct DomainWork {
        char *guid, *domain;
} DomainWork;

static void work_free(void *p)
{
        DomainWork *work = p;

        g_free(work->guid);
        g_free(work->domain);
        g_free(work);
}

static bool check_id(const char *id, GError **error)
{
        bool good = *id && g_utf8_validate(id, -1, NULL);

        for (const char *c = id; good && *c; c++)
                good = !g_ascii_isspace(*c) && !g_ascii_iscntrl(*c) && *c != '/';
        if (!good)
                g_set_error(error, DL_ERROR, DL_ERROR_INVALID_ARGS,
                            "The id of a storage domain has no spaces and no slash");
        return good;
}

static DlJob *start(DlLun *lun, const char *operation, const DlRequest *request,
                    const DlStep *steps, unsigned n_steps, const char *domain, GError **error)
{
        DomainWork *work;
        DlOperation *op;

        if (!check_id(domain, error))
                return NULL;
        if (dl_lun_is_nameless(lun->object.id)) {
                g_set_error(error, DL_ERROR, DL_ERROR_LUN_NOT_FOUND,
                            "%s has no GUID by which it could be known again", lun->object.id);
                return NULL;
        }
        work = g_new(DomainWork, 1);
        *work = (DomainWork){g_strdup(lun->object.id), g_strdup(domain)};
        op = dl_op_new(lun->object.core, operation, request, steps, n_steps, 0, work, work_free,
                       error);
        if (op)
                dl_op_concerns(op, DL_KIND_LUN, lun->object.id);
        return (DlJob *)op;
}

static void on_written(const GError *error, void *userdata)
{
        if (error)
                dl_op_fail(userdata, g_error_copy(error));
        else
                dl_op_next(userdata);
}

/* NULL: the operation has failed. */
static DlLun *find(DlOperation *op)
{
        const DomainWork *work = op->data;
        DlLun *lun = DL_LOOKUP_LUN(op->core, work->guid);

        if (!lun)
                dl_op_failf(op, DL_ERROR_LUN_NOT_FOUND, "The LUN %s is not known any more",
                            work->guid);
        return lun;
}

/* ---- claim --------------------------------------------------------------------------------- */

static void check_claims(DlOperation *op)
{
        const DomainWork *work = op->data;
        DlCore *core = op->core;
        g_autoptr(GError) error = NULL;

        if (!dl_claim_check(core, work->guid, work->domain, &error))
                dl_op_fail(op, g_steal_pointer(&error));
        else if (dl_claim_of(core, work->guid))
                dl_op_finish(op); /* it has it */
        else
                dl_op_next(op);
}

static void look_for_others(DlOperation *op)
{
        const DlLun *lun = find(op);

        if (lun && !op->force)
                dl_foreign_use_look(op, lun);
        else if (lun)
                dl_op_next(op);
}

static void on_looked(void *userdata)
{
        dl_op_next(userdata);
}

static void look_at_content(DlOperation *op)
{
        DlLun *lun = find(op);

        if (lun && !op->force)
                dl_op_wait(op, dl_contents_wait(op->core, &lun, 1, on_looked, op),
                           (void (*)(void *))dl_contents_cancel);
        else if (lun)
                dl_op_next(op);
}

static bool check_attachments(const DlLun *lun, GError **error)
{
        g_autoptr(GPtrArray) attachments = dl_attachments_of(lun->object.core, DL_BELONGS_TO_LUN,
                                                             lun->object.id);

        if (attachments->len == 0)
                return true;
        g_set_error(error, DL_ERROR, DL_ERROR_IN_USE, "%s is attached to VM %s; detach it first",
                    lun->object.id, ((DlAttachment *)attachments->pdata[0])->vm->name);
        return false;
}

/* A domain finds its own volume group on its LUN; anything else is somebody's, a vDisk's data, too:
 * a storage domain would overwrite it. */
static bool check_content(const DlLun *lun, const char *domain, GError **error)
{
        const char *found = lun->content ? lun->content->storage_domain : NULL;

        if (found && strcmp(found, domain) == 0)
                return true;
        if (!found)
                return dl_lun_check_empty(lun, error);
        g_set_error(error, DL_ERROR, DL_ERROR_STORAGE_DOMAIN_CONFLICT,
                    "%s belongs to storage domain %s, as the tags of its volume group say; if that "
                    "is gone, erase it, or go ahead with force",
                    lun->object.id, found);
        return false;
}

static void check_claim(DlOperation *op)
{
        const DomainWork *work = op->data;
        const DlLun *lun = find(op);
        g_autoptr(GError) error = NULL;

        if (!lun)
                return;
        if (op->force || (check_attachments(lun, &error) && dl_foreign_use_check(lun, &error) &&
                          check_content(lun, work->domain, &error)))
                dl_op_next(op);
        else
                dl_op_fail(op, g_steal_pointer(&error));
}

static void claim(DlOperation *op)
{
        const DomainWork *work = op->data;

        dl_claim_write(op->core, work->guid, work->domain, on_written, op);
}

static void tell_claim(DlOperation *op)
{
        const DomainWork *work = op->data;

        dl_op_would(op, "claim %s for storage domain %s", work->guid, work->domain);
        dl_op_next(op);
}

static const DlStep claim_steps[] = {
        {"checking", check_claims, .dry = check_claims},
        {"checking", look_for_others, .dry = look_for_others},
        {"looking at the content", look_at_content, .dry = look_at_content},
        {"checking", check_claim, .dry = check_claim},
        {"claiming", claim, .firm = true, .dry = tell_claim},
};

DlJob *dl_flow_claim(DlLun *lun, const DlRequest *request, const char *domain, GError **error)
{
        return start(lun, "claim", request, claim_steps, G_N_ELEMENTS(claim_steps), domain, error);
}

/* ---- release ------------------------------------------------------------------------------- */

static void check_release(DlOperation *op)
{
        const DomainWork *work = op->data;
        DlCore *core = op->core;
        g_autoptr(GError) error = NULL;

        if (!dl_claim_of(core, work->guid))
                dl_op_finish(op); /* it has none */
        else if (op->force || dl_claim_check(core, work->guid, work->domain, &error))
                dl_op_next(op);
        else
                dl_op_fail(op, g_steal_pointer(&error));
}

static void release(DlOperation *op)
{
        const DomainWork *work = op->data;

        dl_claim_remove(op->core, work->guid, on_written, op);
}

static void tell_release(DlOperation *op)
{
        const DomainWork *work = op->data;

        dl_op_would(op, "release %s from storage domain %s", work->guid,
                    dl_claim_of(op->core, work->guid));
        dl_op_next(op);
}

static const DlStep release_steps[] = {
        {"checking", check_release, .dry = check_release},
        {"releasing", release, .firm = true, .dry = tell_release},
};

DlJob *dl_flow_release(DlLun *lun, const DlRequest *request, const char *domain, GError **error)
{
        return start(lun, "release", request, release_steps, G_N_ELEMENTS(release_steps), domain,
                     error);
}
