/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Finding targets: discovery, and targets named without it. Loop thread only. */

#include "core/steps/operation.h"

#include <string.h>

#define ADDRESS_MAX                                                                                \
        253 /* bytes of a host name (RFC 1035, 2.3.4); any numeric address is shorter              \
             */

bool dl_check_address(const char *address, uint16_t port, GError **error)
{
        size_t n = strlen(address);

        if (port == 0) {
                g_set_error(error, DL_ERROR, DL_ERROR_INVALID_ARGS,
                            "0 is no port; portals usually listen on 3260");
                return false;
        }
        for (const char *c = address; n <= ADDRESS_MAX && *c; c++)
                if (!g_ascii_isalnum(*c) && !strchr(".-_:[]%", *c))
                        n = ADDRESS_MAX + 1;
        if (n > 0 && n <= ADDRESS_MAX)
                return true;
        g_set_error(error, DL_ERROR, DL_ERROR_INVALID_ARGS,
                    "The address must be a host name, an IPv4 or an IPv6 address");
        return false;
}

bool dl_check_iqn(const char *iqn, GError **error)
{
        if (dl_iscsi_name_is_valid(iqn))
                return true;
        g_set_error(error, DL_ERROR, DL_ERROR_INVALID_ARGS,
                    "%s is no iSCSI name (iqn., eui. or naa.)", iqn);
        return false;
}

void dl_chap_copy(DlChap *chap, const DlChap *from)
{
        *chap = (DlChap){
                .user = g_strdup(from->user),
                .secret = dl_secret_ref(from->secret),
                .target_user = g_strdup(from->target_user),
                .target_secret = dl_secret_ref(from->target_secret),
        };
}

void dl_chap_clear(DlChap *chap)
{
        g_free((char *)chap->user);
        g_free((char *)chap->target_user);
        dl_secret_unref(chap->secret);
        dl_secret_unref(chap->target_secret);
        *chap = (DlChap){0};
}

/* ---- what the store did not take ------------------------------------------------------------ */

/* The target, which this operation is about to make known; made has those that are new. */
static DlTarget *ensure_target(DlCore *core, const char *iqn, GPtrArray *made, GError **error)
{
        bool is_new = !DL_LOOKUP_TARGET(core, iqn);
        DlTarget *target = dl_target_ensure(core, iqn, error);

        if (target && is_new)
                g_ptr_array_add(made, g_strdup(iqn));
        return target;
}

static void on_stored(const GError *error, void *userdata)
{
        if (error)
                dl_op_fail(userdata, g_error_copy(error));
        else
                dl_op_next(userdata);
}

static void store(DlOperation *op)
{
        dl_persist_wait_for_targets(op->core, on_stored, op);
}

/* Who asked is told that it failed, so they must not stay until the service ends. */
static void take_back(DlOperation *op, const GPtrArray *made)
{
        for (unsigned i = 0; i < made->len; i++) {
                DlTarget *target = DL_LOOKUP_TARGET(op->core, made->pdata[i]);

                if (target && target->n_jobs == 0 && !dl_target_is_managed(target))
                        dl_target_remove(target);
        }
        dl_op_next(op);
}

/* ---- discovery ----------------------------------------------------------------------------- */

typedef struct DiscoverWork {
        char *address;
        uint16_t port;
        DlChap chap;
        GPtrArray *made; /* IQNs */
} DiscoverWork;

static void work_free(void *p)
{
        DiscoverWork *work = p;

        g_free(work->address);
        dl_chap_clear(&work->chap);
        g_ptr_array_unref(work->made);
        g_free(work);
}

/* IPv4 and IPv6 that a target calls all its interfaces. */
static bool is_wildcard(const char *address)
{
        return strcmp(address, "0.0.0.0") == 0 || strcmp(address, "::") == 0;
}

static bool is_same(const char *user, const DlSecret *secret, const char *other_user,
                    const DlSecret *other_secret)
{
        return secret && other_secret && g_strcmp0(user, other_user) == 0 &&
               strcmp(dl_secret_peek(secret), dl_secret_peek(other_secret)) == 0;
}

/* One-way CHAP in a discovery takes nothing from a target that has to prove itself. */
static bool is_known_for(const DlTarget *target, const DlChap *chap)
{
        return is_same(target->user, target->secret, chap->user, chap->secret) &&
               (!chap->target_user || is_same(target->target_user, target->target_secret,
                                              chap->target_user, chap->target_secret));
}

static bool take_over(DlOperation *op, const DlIscsiFoundTarget *found, GError **error)
{
        const DiscoverWork *work = op->data;
        DlTarget *target = ensure_target(op->core, found->iqn, work->made, error);

        if (!target)
                return false;
        for (size_t i = 0; i < found->n_portals; i++) {
                const DlIscsiFoundPortal *p = &found->portals[i];

                dl_target_add_portal(target, is_wildcard(p->address) ? work->address : p->address,
                                     p->port, p->tpgt);
        }
        if (found->n_portals == 0) /* RFC 7143, C.3: then it is where it was asked */
                dl_target_add_portal(target, work->address, work->port, 0);
        if (work->chap.user && !is_known_for(target, &work->chap)) {
                dl_target_set_credentials(target, work->chap.user, work->chap.secret,
                                          work->chap.target_user, work->chap.target_secret);
                dl_persist_secrets(target, NULL, NULL);
        }
        dl_op_concerns(op, DL_KIND_TARGET, target->object.id);
        dl_op_result(op, target);
        return true;
}

static void tell_found(DlOperation *op, const DlIscsiFoundTarget *found)
{
        const DiscoverWork *work = op->data;
        const DlTarget *target = DL_LOOKUP_TARGET(op->core, found->iqn);

        if (!target)
                dl_op_would(op, "add target %s", found->iqn);
        if (work->chap.user && (!target || !is_known_for(target, &work->chap)))
                dl_op_would(op, "keep the credentials given for target %s", found->iqn);
        dl_op_would_give(op, DL_KIND_TARGET, found->iqn);
}

/* All or none. */
static bool has_room(DlOperation *op, const DlIscsiFoundTarget *targets, size_t n_targets,
                     GError **error)
{
        DlCore *core = op->core;

        for (size_t i = 0; i < n_targets; i++)
                if (!DL_LOOKUP_TARGET(core, targets[i].iqn) &&
                    !dl_core_has_room(core, DL_KIND_TARGET, error))
                        return false;
        return true;
}

static void on_discovered(const DlIscsiFoundTarget *targets, size_t n_targets, const GError *error,
                          void *userdata)
{
        DlOperation *op = userdata;
        const DiscoverWork *work = op->data;
        g_autoptr(GError) refused = NULL;

        if (error) {
                dl_op_failf(op, (int)dl_error_code(error), "Portal %s:%u: %s", work->address,
                            work->port, error->message);
                return;
        }
        if (!has_room(op, targets, n_targets, &refused)) {
                dl_op_fail(op, g_steal_pointer(&refused));
                return;
        }
        for (size_t i = 0; i < n_targets; i++)
                if (op->job.dry_run)
                        tell_found(op, &targets[i]);
                else if (!take_over(op, &targets[i], &refused)) {
                        dl_op_fail(op, g_steal_pointer(&refused));
                        return;
                }
        dl_op_report(op, "The portal named %zu targets", n_targets);
        dl_op_next(op);
}

static void discover(DlOperation *op)
{
        const DiscoverWork *work = op->data;
        DlIscsiPortal portal = {.address = work->address, .port = work->port};
        DlIscsiCredentials credentials = {
                .user = work->chap.user,
                .secret = work->chap.secret,
                .target_user = work->chap.target_user,
                .target_secret = work->chap.target_secret,
        };

        dl_op_wait(op, dl_iscsi_discover(op->core->iscsi, &portal, &credentials, on_discovered, op),
                   (void (*)(void *))dl_iscsi_cancel);
}

static void undo_discover(DlOperation *op)
{
        take_back(op, ((DiscoverWork *)op->data)->made);
}

/* What is found is only told in a dry run. */
static const DlStep discover_steps[] = {
        {"discovering", discover, undo_discover, .dry = discover},
        {"writing", store, .firm = true, .dry = dl_op_next},
};

DlJob *dl_flow_discover(DlCore *core, const DlRequest *request, const char *address, uint16_t port,
                        const DlChap *chap, GError **error)
{
        DiscoverWork *work;

        if (!dl_check_address(address, port, error))
                return NULL;
        work = g_new0(DiscoverWork, 1);
        work->made = g_ptr_array_new_with_free_func(g_free);
        work->address = g_strdup(address);
        work->port = port;
        dl_chap_copy(&work->chap, chap);
        return (DlJob *)DL_OP_NEW(core, "discover", request, discover_steps, 0, work, work_free,
                                  error);
}

/* ---- static targets ------------------------------------------------------------------------ */

typedef struct AddWork {
        char *iqn;
        DlPortalArg *portals; /* own copies */
        size_t n_portals;
        GPtrArray *made; /* IQNs */
} AddWork;

static void add_work_free(void *p)
{
        AddWork *work = p;

        for (size_t i = 0; i < work->n_portals; i++)
                g_free((char *)work->portals[i].address);
        g_free(work->portals);
        g_free(work->iqn);
        g_ptr_array_unref(work->made);
        g_free(work);
}

static void add(DlOperation *op)
{
        const AddWork *work = op->data;
        g_autoptr(GError) error = NULL;
        DlTarget *target = ensure_target(op->core, work->iqn, work->made, &error);

        if (!target) {
                dl_op_fail(op, g_steal_pointer(&error));
                return;
        }
        for (size_t i = 0; i < work->n_portals; i++)
                dl_target_add_portal(target, work->portals[i].address, work->portals[i].port,
                                     work->portals[i].tpgt);
        dl_op_concerns(op, DL_KIND_TARGET, target->object.id);
        dl_op_result(op, target);
        dl_op_next(op);
}

static void tell_add(DlOperation *op)
{
        const AddWork *work = op->data;
        DlCore *core = op->core;
        DlTarget *target = DL_LOOKUP_TARGET(core, work->iqn);
        g_autoptr(GError) error = NULL;

        if (!target && !dl_core_has_room(core, DL_KIND_TARGET, &error)) {
                dl_op_fail(op, g_steal_pointer(&error));
                return;
        }
        for (size_t i = 0; i < work->n_portals; i++) {
                const DlPortalArg *p = &work->portals[i];

                if (!target || !dl_target_find_portal(target, p->address, p->port))
                        dl_op_would(op, "add the portal %s:%u of target %s", p->address, p->port,
                                    work->iqn);
        }
        dl_op_would_give(op, DL_KIND_TARGET, work->iqn);
        dl_op_next(op);
}

static void undo_add(DlOperation *op)
{
        take_back(op, ((AddWork *)op->data)->made);
}

static const DlStep add_target_steps[] = {
        {"adding", add, undo_add, .dry = tell_add},
        {"writing", store, .firm = true, .dry = dl_op_next},
};

DlJob *dl_flow_add_target(DlCore *core, const DlRequest *request, const char *iqn,
                          const DlPortalArg *portals, size_t n_portals, GError **error)
{
        AddWork *work;

        if (!dl_check_iqn(iqn, error))
                return NULL;
        for (size_t i = 0; i < n_portals; i++)
                if (!dl_check_address(portals[i].address, portals[i].port, error))
                        return NULL;
        work = g_new0(AddWork, 1);
        work->made = g_ptr_array_new_with_free_func(g_free);
        work->iqn = g_strdup(iqn);
        work->portals = g_memdup2(portals, n_portals * sizeof *portals);
        work->n_portals = n_portals;
        for (size_t i = 0; i < n_portals; i++)
                work->portals[i].address = g_strdup(portals[i].address);
        return (DlJob *)DL_OP_NEW(core, "add-target", request, add_target_steps, 0, work,
                                  add_work_free, error);
}
