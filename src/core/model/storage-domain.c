/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Claims: the rows domain/GUID, and what is known of them. The core owns the table. Loop thread
 * only. */

#include "core/model/storage-domain.h"
#include "core/records/json.h"
#include "core/steps/kill-point.h"

#include <string.h>

typedef struct Claim {
        char *domain;
        int64_t revision; /* of its row */
} Claim;

typedef struct Call {
        DlCore *core;
        char *guid, *domain; /* domain NULL: it is removed */
        DlPersisted done;
        void *userdata;
} Call;

static void claim_free(gpointer p)
{
        Claim *claim = p;

        g_free(claim->domain);
        g_free(claim);
}

GHashTable *dl_claims_new(void)
{
        return g_hash_table_new_full(g_str_hash, g_str_equal, g_free, claim_free);
}

const char *dl_claim_of(DlCore *core, const char *guid)
{
        const Claim *claim = g_hash_table_lookup(core->claims, guid);

        return claim ? claim->domain : NULL;
}

const char *dl_lun_storage_domain(const DlLun *lun)
{
        const char *claimed = dl_claim_of(lun->object.core, lun->object.id);

        if (claimed)
                return claimed;
        return lun->content && lun->content->storage_domain ? lun->content->storage_domain : "";
}

/* ---- checks -------------------------------------------------------------------------------- */

bool dl_claim_check(DlCore *core, const char *guid, const char *domain, GError **error)
{
        const char *other = dl_claim_of(core, guid);

        if (!other || strcmp(other, domain) == 0)
                return true;
        g_set_error(error, DL_ERROR, DL_ERROR_STORAGE_DOMAIN_CONFLICT,
                    "%s is claimed by storage domain %s; that has to release it first", guid,
                    other);
        return false;
}

bool dl_claim_check_unclaimed(const DlLun *lun, GError **error)
{
        const char *domain = dl_claim_of(lun->object.core, lun->object.id);

        if (!domain)
                return true;
        g_set_error(error, DL_ERROR, DL_ERROR_IN_USE,
                    "%s is claimed by storage domain %s; release it there, or use it all the same "
                    "with force",
                    lun->object.id, domain);
        return false;
}

/* ---- what is known ------------------------------------------------------------------------- */

/* domain NULL: there is no claim. */
static void set(DlCore *core, const char *guid, const char *domain, int64_t revision)
{
        DlLun *lun = DL_LOOKUP_LUN(core, guid);
        Claim *claim;

        if (domain) {
                claim = g_new(Claim, 1);
                *claim = (Claim){g_strdup(domain), revision};
                g_hash_table_replace(core->claims, g_strdup(guid), claim);
        } else {
                g_hash_table_remove(core->claims, guid);
        }
        if (!lun)
                return;
        dl_object_changed(&lun->object, "StorageDomain");
        dl_lun_remove_if_unneeded(lun);
}

void dl_claim_load(DlCore *core, const char *guid, JsonObject *row, int64_t revision)
{
        set(core, guid, dl_json_string(row, "domain", NULL), revision);
}

void dl_claims_complete(DlCore *core)
{
        GHashTableIter iter;
        gpointer guid;

        g_hash_table_iter_init(&iter, core->claims);
        while (g_hash_table_iter_next(&iter, &guid, NULL)) {
                DlLun *lun;

                if (DL_LOOKUP_LUN(core, guid))
                        continue;
                lun = dl_lun_new(core, guid);
                dl_lun_update(lun);
                dl_object_publish(&lun->object);
        }
}

/* ---- transactions -------------------------------------------------------------------------- */

static char *key_of(const char *guid)
{
        return g_strconcat("domain/", guid, NULL);
}

static void call_free(void *p) /* with the core too, if the callback never came */
{
        Call *call = p;

        g_free(call->guid);
        g_free(call->domain);
        g_free(call);
}

static Call *call_new(DlCore *core, const char *guid, const char *domain, DlPersisted done,
                      void *userdata)
{
        Call *call = g_new(Call, 1);

        *call = (Call){core, g_strdup(guid), g_strdup(domain), done, userdata};
        dl_core_keep_call(core, call, call_free);
        core->n_writes++;
        return call;
}

static void call_end(Call *call, const GError *error)
{
        dl_core_take_call(call->core, call);
        call->core->n_writes--;
        call->done(error, call->userdata);
        call_free(call);
}

/* Somebody else was faster: what he wrote counts. */
static void on_read(const DlStoreEntry *entries, size_t n_entries, int64_t revision,
                    const GError *error, void *userdata)
{
        Call *call = userdata;
        g_autoptr(JsonNode) node = n_entries > 0 ? dl_json_parse(entries[0].value) : NULL;
        JsonObject *row = node ? json_node_get_object(node) : NULL;
        g_autoptr(GError) own = NULL;

        if (!error && row)
                dl_claim_load(call->core, call->guid, row, entries[0].mod_revision);
        else if (!error)
                set(call->core, call->guid, NULL, 0);
        if (!error && call->domain)
                (void)dl_claim_check(call->core, call->guid, call->domain, &own);
        if (!error && !own && g_strcmp0(call->domain, dl_claim_of(call->core, call->guid)) != 0)
                own = g_error_new(DL_ERROR, DL_ERROR_BUSY,
                                  "The claim on %s was changed by somebody else; try again",
                                  call->guid);
        call_end(call, error ? error : own);
}

static void on_committed(bool succeeded, int64_t revision, const GError *error, void *userdata)
{
        Call *call = userdata;

        dl_kill_point("domain", 0, "committed");
        if (!error && !succeeded) {
                g_autofree char *key = key_of(call->guid);

                dl_store_get(call->core->store, key, on_read, call);
                return;
        }
        if (!error)
                set(call->core, call->guid, call->domain, revision);
        call_end(call, error);
}

static void submit(Call *call, int64_t expected, const char *value)
{
        g_autofree char *key = key_of(call->guid);
        DlStoreCompare compare = {.key = key, .mod_revision = expected};
        DlStoreOp op = {.key = key, .value = value};

        dl_store_txn(call->core->store, &compare, 1, &op, 1, on_committed, call);
        dl_kill_point("domain", 0, "submitted");
}

void dl_claim_write(DlCore *core, const char *guid, const char *domain, DlPersisted done,
                    void *userdata)
{
        JsonBuilder *b = json_builder_new();

        json_builder_begin_object(b);
        dl_json_add_string(b, "domain", domain);
        json_builder_end_object(b);
        g_autofree char *value = dl_json_finish(b, false);
        submit(call_new(core, guid, domain, done, userdata), 0, value);
}

void dl_claim_remove(DlCore *core, const char *guid, DlPersisted done, void *userdata)
{
        const Claim *claim = g_hash_table_lookup(core->claims, guid);

        submit(call_new(core, guid, NULL, done, userdata), claim ? claim->revision : 0, NULL);
}
