/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * SendTargets discovery. The operation owns the targets that it found until its report is over.
 */

#include "name.h"
#include "operation.h"
#include "util/error.h"
#include "util/log.h"

typedef struct Discovery {
        DlIscsiOperation operation;
        DlIscsiDiscovered done;
        GArray *targets; /* of DlIscsiFoundTarget */
        GHashTable *seen; /* iqn → its index in targets + 1; some targets name one in two records */
} Discovery;

static void target_clear(void *data)
{
        DlIscsiFoundTarget *target = data;

        for (size_t i = 0; i < target->n_portals; i++)
                g_free(target->portals[i].address);
        g_free(target->portals);
        g_free(target->iqn);
}

static void discovery_ready(DlIscsiOperation *operation)
{
        dl_session_send_targets(operation->session);
}

/* libiscsi puts each portal at the front of the list; the target's order is the other one. */
static void add_portals(DlIscsiFoundTarget *target, const struct iscsi_target_portal *portals)
{
        g_autoptr(GArray) found = g_array_new(FALSE, FALSE, sizeof(DlIscsiFoundPortal));

        g_array_append_vals(found, target->portals, (guint)target->n_portals);
        g_free(target->portals);
        for (const struct iscsi_target_portal *p = portals; p; p = p->next) {
                DlIscsiFoundPortal portal;

                /* one bad address does not harm the others */
                if (!dl_iscsi_address_parse(p->portal, &portal.address, &portal.port, &portal.tpgt))
                        dl_debug("A portal of %s is no address", target->iqn);
                else
                        g_array_insert_val(found, target->n_portals, portal);
        }
        target->portals = g_array_steal(found, &target->n_portals);
}

/* A record without an address is a target of the portal that was asked (RFC 7143, appendix C). */
static void add_own_portal(Discovery *discovery, DlIscsiFoundTarget *target)
{
        target->portals = g_new(DlIscsiFoundPortal, 1);
        target->portals[0] = (DlIscsiFoundPortal){
                .address = g_strdup(discovery->operation.host),
                .port = discovery->operation.port,
        };
        target->n_portals = 1;
}

static void add_target(Discovery *discovery, const struct iscsi_discovery_address *record)
{
        guint index = GPOINTER_TO_UINT(g_hash_table_lookup(discovery->seen, record->target_name));
        DlIscsiFoundTarget *target;

        if (!dl_iscsi_name_is_valid(record->target_name)) {
                dl_debug("The portal %s names a target that has no iSCSI name",
                         discovery->operation.host);
                return;
        }
        if (index == 0) {
                DlIscsiFoundTarget new = {.iqn = g_strdup(record->target_name)};

                g_array_append_val(discovery->targets, new);
                index = discovery->targets->len;
                g_hash_table_insert(discovery->seen, new.iqn, GUINT_TO_POINTER(index));
        }
        target = &g_array_index(discovery->targets, DlIscsiFoundTarget, index - 1);
        if (record->portals)
                add_portals(target, record->portals);
        else if (target->n_portals == 0)
                add_own_portal(discovery, target);
}

static void discovery_targets(DlIscsiOperation *operation,
                              const struct iscsi_discovery_address *targets)
{
        Discovery *discovery = (Discovery *)operation;
        unsigned max = dl_operation_limits(operation)->targets_max;
        g_autoptr(GPtrArray) records = g_ptr_array_new();
        GError *error = NULL;

        for (const struct iscsi_discovery_address *t = targets; t; t = t->next)
                g_ptr_array_add(records, (void *)t);
        if (records->len > max)
                error = g_error_new(DL_ERROR, DL_ERROR_LIMITS_EXCEEDED,
                                    "The portal has %u targets, more than the limit of %u; raise "
                                    "it, or connect to a target by its name",
                                    records->len, max);
        /* libiscsi's list begins with the last one */
        for (guint i = error ? 0 : records->len; i > 0; i--)
                add_target(discovery, records->pdata[i - 1]);
        dl_operation_finish(operation, error);
}

static void discovery_report(DlIscsiOperation *operation, const GError *error)
{
        Discovery *discovery = (Discovery *)operation;

        if (error)
                discovery->done(NULL, 0, error, operation->userdata);
        else
                discovery->done((const DlIscsiFoundTarget *)(void *)discovery->targets->data,
                                discovery->targets->len, NULL, operation->userdata);
}

static void discovery_clear(DlIscsiOperation *operation)
{
        Discovery *discovery = (Discovery *)operation;

        g_hash_table_unref(discovery->seen);
        g_array_unref(discovery->targets);
}

static const DlOperationKind discovery_kind = {
        .size = sizeof(Discovery),
        .ready = discovery_ready,
        .targets = discovery_targets,
        .report = discovery_report,
        .clear = discovery_clear,
};

DlIscsiOperation *dl_iscsi_discover(DlIscsi *iscsi, const DlIscsiPortal *portal,
                                    const DlIscsiCredentials *credentials, DlIscsiDiscovered done,
                                    void *userdata)
{
        DlIscsiOperation *operation = dl_operation_new(iscsi, &discovery_kind, NULL, portal,
                                                       credentials, userdata);
        Discovery *discovery = (Discovery *)operation;

        discovery->done = done;
        discovery->targets = g_array_new(FALSE, FALSE, sizeof(DlIscsiFoundTarget));
        g_array_set_clear_func(discovery->targets, target_clear);
        discovery->seen = g_hash_table_new(g_str_hash, g_str_equal);
        return operation;
}
