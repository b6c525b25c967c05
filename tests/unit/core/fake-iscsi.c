/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The initiator of the tests. It owns its portals; one thread: the test's. */

#include "fakes.h"

#include "util/error.h"

#include <string.h>
#include <systemd/sd-event.h>

typedef struct Portal {
        const FakeLun *luns;
        size_t n_luns;
        int error; /* 0: none */
        bool silent;
        char *names;
        GStrv named_portals;
        unsigned n_asked, n_read;
} Portal;

struct DlIscsi {
        sd_event *event;
        DlIscsiResized resized;
        void *resized_userdata;
};

struct DlIscsiOperation {
        char *address;
        sd_event_source *answer;
        GArray *wanted; /* NULL: all */
        DlIscsiInspected inspected;
        DlIscsiDiscovered discovered;
        DlIscsiRead read;
        GArray *extents; /* DlIscsiExtent */
        void *userdata;
};

const DlIscsiLimits dl_iscsi_limits_default = {.sessions_max = 1};

static DlIscsi *initiator;    /* the last that was made */
static GHashTable *portals;   /* address → Portal */
static GPtrArray *operations; /* in flight */

static void portal_free(gpointer p)
{
        Portal *portal = p;

        g_free(portal->names);
        g_strfreev(portal->named_portals);
        g_free(portal);
}

static Portal *portal_at(const char *address)
{
        Portal *portal;

        if (!portals)
                portals = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, portal_free);
        portal = g_hash_table_lookup(portals, address);
        if (!portal) {
                portal = g_new0(Portal, 1);
                portal->error = DL_ERROR_PORTAL_UNREACHABLE;
                g_hash_table_insert(portals, g_strdup(address), portal);
        }
        return portal;
}

/* ---- what the test says -------------------------------------------------------------------- */

static void set(const char *address, const FakeLun *luns, size_t n_luns, int error, bool silent)
{
        Portal *portal = portal_at(address);

        portal->luns = luns;
        portal->n_luns = n_luns;
        portal->error = error;
        portal->silent = silent;
        for (unsigned i = 0; operations && i < operations->len; i++) {
                DlIscsiOperation *o = operations->pdata[i];

                if (strcmp(o->address, address) == 0)
                        (void)sd_event_source_set_enabled(o->answer,
                                                          silent ? SD_EVENT_OFF : SD_EVENT_ONESHOT);
        }
}

void fake_portal_shows(const char *address, const FakeLun *luns, size_t n_luns)
{
        set(address, luns, n_luns, 0, false);
}

void fake_portal_fails(const char *address, int code)
{
        set(address, NULL, 0, code, false);
}

void fake_portal_is_silent(const char *address)
{
        set(address, NULL, 0, 0, true);
}

void fake_portal_names(const char *address, const char *iqn, const char *const *named)
{
        Portal *portal = portal_at(address);

        portal->error = 0;
        g_free(portal->names);
        portal->names = g_strdup(iqn);
        g_strfreev(portal->named_portals);
        portal->named_portals = g_strdupv((char **)named);
}

void fake_iscsi_tell_resized(const char *iqn, uint64_t lun)
{
        initiator->resized(iqn, lun, initiator->resized_userdata);
}

unsigned fake_iscsi_in_flight(void)
{
        return operations ? operations->len : 0;
}

unsigned fake_iscsi_n_asked(const char *address)
{
        return portal_at(address)->n_asked;
}

unsigned fake_iscsi_n_read(const char *address)
{
        return portal_at(address)->n_read;
}

static bool redirects;

void fake_iscsi_forget(void)
{
        redirects = false;
        g_assert_cmpuint(fake_iscsi_in_flight(), ==, 0);
        g_clear_pointer(&portals, g_hash_table_unref);
        g_clear_pointer(&operations, g_ptr_array_unref);
}

/* ---- answers ------------------------------------------------------------------------------- */

static void operation_free(DlIscsiOperation *o)
{
        g_ptr_array_remove(operations, o);
        sd_event_source_disable_unref(o->answer);
        g_clear_pointer(&o->wanted, g_array_unref);
        g_clear_pointer(&o->extents, g_array_unref);
        g_free(o->address);
        g_free(o);
}

static void lun_clear(gpointer p)
{
        DlIscsiLun *lun = p;

        g_clear_error(&lun->error);
        g_free(lun->guid);
        g_free(lun->fingerprint);
        g_free(lun->vendor);
        g_free(lun->product);
        g_free(lun->revision);
        g_free(lun->serial);
}

static void add_lun(GArray *luns, uint64_t number, const FakeLun *from)
{
        DlIscsiLun lun = {
                .lun = number,
                .vendor = g_strdup(from ? "VENDOR" : ""),
                .product = g_strdup(from ? "PRODUCT" : ""),
                .revision = g_strdup(from ? "1.0" : ""),
                .serial = g_strdup(from && from->serial ? from->serial : ""),
        };
        int error = from ? from->error : DL_ERROR_LUN_NOT_VISIBLE;

        if (from) {
                lun.guid = g_strdup(from->guid);
                lun.device_type = from->device_type;
        }
        if (error)
                lun.error = g_error_new(DL_ERROR, error, "LUN %u cannot be inspected",
                                        (unsigned)number);
        else {
                lun.ready = !from->not_ready;
                lun.told_protection = true;
                lun.write_protected = from->write_protected;
                lun.fingerprint = g_strdup(from->fingerprint);
                lun.capacity = from->capacity ? from->capacity : 1024 * 1024 * 1024;
                lun.logical_block_size = 512;
                lun.physical_block_size = 4096;
        }
        g_array_append_val(luns, lun);
}

static const FakeLun *find_lun(const Portal *portal, uint64_t number)
{
        for (size_t i = 0; i < portal->n_luns; i++)
                if (portal->luns[i].number == number)
                        return &portal->luns[i];
        return NULL;
}

static int compare_numbers(gconstpointer a, gconstpointer b)
{
        uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

        return x < y ? -1 : x > y;
}

void fake_portals_redirect(bool so)
{
        redirects = so;
}

static GArray *inspect(const Portal *portal, const GArray *wanted)
{
        GArray *luns = g_array_new(FALSE, FALSE, sizeof(DlIscsiLun));

        g_array_set_clear_func(luns, lun_clear);
        for (size_t i = 0; !wanted && i < portal->n_luns; i++)
                add_lun(luns, portal->luns[i].number, &portal->luns[i]);
        for (guint i = 0; wanted && i < wanted->len; i++) {
                uint64_t number = g_array_index(wanted, uint64_t, i);

                if (i == 0 || number != g_array_index(wanted, uint64_t, i - 1))
                        add_lun(luns, number, find_lun(portal, number));
        }
        for (guint i = 0; !wanted && i < luns->len; i++) { /* as of many at once */
                g_array_index(luns, DlIscsiLun, i).told_protection = false;
                g_array_index(luns, DlIscsiLun, i).write_protected = false;
        }
        return luns;
}

static void answer_inspection(const DlIscsiOperation *o, const Portal *portal, const GError *error)
{
        g_autoptr(GArray) luns = inspect(portal, o->wanted);
        static const char *const elsewhere[] = {"192.0.2.9:3260", NULL};
        DlIscsiInspection inspection = {
                .tpgt = 1,
                .way = redirects ? elsewhere : NULL,
                .luns = (DlIscsiLun *)(void *)luns->data,
                .n_luns = luns->len,
        };

        o->inspected(error ? NULL : &inspection, error, o->userdata);
}

static void answer_discovery(const DlIscsiOperation *o, const Portal *portal, const GError *error)
{
        g_autofree DlIscsiFoundPortal *found = NULL;
        size_t n = portal->named_portals ? g_strv_length(portal->named_portals) : 0;

        found = g_new0(DlIscsiFoundPortal, n + 1);
        for (size_t i = 0; i < n; i++)
                found[i] = (DlIscsiFoundPortal){portal->named_portals[i], 3260, 1};

        DlIscsiFoundTarget target = {portal->names, found, n};
        o->discovered(error ? NULL : &target, error || !portal->names ? 0 : 1, error, o->userdata);
}

/* Zeros, but for what the LUN has at its beginning. */
static GBytes *content_of(const FakeLun *lun, const DlIscsiExtent *extent)
{
        uint8_t *data = g_malloc0(extent->size);
        gsize size;
        const uint8_t *content = lun->content ? g_bytes_get_data(lun->content, &size) : NULL;

        if (content && extent->offset < size)
                memcpy(data, content + extent->offset, MIN(extent->size, size - extent->offset));
        return g_bytes_new_take(data, extent->size);
}

static void answer_read(const DlIscsiOperation *o, const Portal *portal, const GError *error)
{
        g_autofree DlIscsiPiece *pieces = g_new0(DlIscsiPiece, o->extents->len);

        for (unsigned i = 0; i < o->extents->len; i++) {
                const DlIscsiExtent *extent = &g_array_index(o->extents, DlIscsiExtent, i);
                const FakeLun *lun = find_lun(portal, extent->lun);

                if (lun && !lun->read_error)
                        pieces[i].data = content_of(lun, extent);
                else
                        pieces[i].error = g_error_new_literal(DL_ERROR, DL_ERROR_PROTOCOL_ERROR,
                                                              "It cannot be read");
        }
        o->read(error ? NULL : pieces, error ? 0 : o->extents->len, error, o->userdata);
        for (unsigned i = 0; i < o->extents->len; i++) {
                g_bytes_unref(pieces[i].data);
                g_clear_error(&pieces[i].error);
        }
}

static int on_answer(sd_event_source *source, void *userdata)
{
        DlIscsiOperation *o = userdata;
        const Portal *portal = portal_at(o->address);
        g_autoptr(GError) error = portal->error
                                          ? g_error_new(DL_ERROR, portal->error, "The portal fails")
                                          : NULL;
        DlIscsiOperation copy = *o;

        copy.address = NULL;
        copy.wanted = g_steal_pointer(&o->wanted);
        copy.extents = g_steal_pointer(&o->extents);
        operation_free(o);
        if (copy.inspected)
                answer_inspection(&copy, portal, error);
        else if (copy.read)
                answer_read(&copy, portal, error);
        else
                answer_discovery(&copy, portal, error);
        g_clear_pointer(&copy.wanted, g_array_unref);
        g_clear_pointer(&copy.extents, g_array_unref);
        return 0;
}

static DlIscsiOperation *operation_new(DlIscsi *iscsi, const DlIscsiPortal *where, void *userdata)
{
        DlIscsiOperation *o = g_new0(DlIscsiOperation, 1);
        Portal *portal = portal_at(where->address);

        o->address = g_strdup(where->address);
        o->userdata = userdata;
        g_assert_cmpint(sd_event_add_defer(iscsi->event, &o->answer, on_answer, o), >=, 0);
        (void)sd_event_source_set_enabled(o->answer,
                                          portal->silent ? SD_EVENT_OFF : SD_EVENT_ONESHOT);
        portal->n_asked++;
        if (!operations)
                operations = g_ptr_array_new();
        g_ptr_array_add(operations, o);
        return o;
}

/* ---- the functions of iscsi.h -------------------------------------------------------------- */

int dl_iscsi_new(sd_event *event, DlWorkers *workers, const char *initiator_name,
                 const DlIscsiLimits *limits, DlIscsi **ret)
{
        *ret = g_new0(DlIscsi, 1);
        (*ret)->event = event;
        initiator = *ret;
        return 0;
}

void dl_iscsi_watch_sizes(DlIscsi *iscsi, DlIscsiResized resized, void *userdata)
{
        iscsi->resized = resized;
        iscsi->resized_userdata = userdata;
}

void dl_iscsi_free(DlIscsi *iscsi)
{
        if (iscsi)
                g_assert_cmpuint(fake_iscsi_in_flight(), ==, 0); /* the core cancels its own */
        g_free(iscsi);
}

void dl_iscsi_cancel(DlIscsiOperation *operation)
{
        if (operation)
                operation_free(operation);
}

DlIscsiOperation *dl_iscsi_inspect(DlIscsi *iscsi, const char *iqn, const DlIscsiPortal *portal,
                                   const DlIscsiCredentials *credentials, const uint64_t *luns,
                                   size_t n_luns, DlIscsiInspected done, void *userdata)
{
        DlIscsiOperation *o = operation_new(iscsi, portal, userdata);

        g_assert_true(dl_iscsi_name_is_valid(iqn));
        g_assert_true((luns == NULL) == (n_luns == 0));
        if (n_luns > 0) {
                o->wanted = g_array_new(FALSE, FALSE, sizeof(uint64_t));
                g_array_append_vals(o->wanted, luns, (guint)n_luns);
                g_array_sort(o->wanted, compare_numbers);
        }
        o->inspected = done;
        return o;
}

DlIscsiOperation *dl_iscsi_discover(DlIscsi *iscsi, const DlIscsiPortal *portal,
                                    const DlIscsiCredentials *credentials, DlIscsiDiscovered done,
                                    void *userdata)
{
        DlIscsiOperation *o = operation_new(iscsi, portal, userdata);

        o->discovered = done;
        return o;
}

DlIscsiOperation *dl_iscsi_read(DlIscsi *iscsi, const char *iqn, const DlIscsiPortal *portal,
                                const DlIscsiCredentials *credentials, const DlIscsiExtent *extents,
                                size_t n_extents, DlIscsiRead done, void *userdata)
{
        DlIscsiOperation *o = operation_new(iscsi, portal, userdata);

        portal_at(portal->address)->n_asked--; /* that counts looks at LUNs */
        portal_at(portal->address)->n_read++;
        o->extents = g_array_new(FALSE, FALSE, sizeof(DlIscsiExtent));
        g_array_append_vals(o->extents, extents, (guint)n_extents);
        o->read = done;
        return o;
}

bool dl_iscsi_name_is_valid(const char *s)
{
        return g_str_has_prefix(s, "iqn.");
}

unsigned dl_iscsi_lun_for_qemu(uint64_t lun)
{
        return (unsigned)(lun < 256 ? lun : 0x4000 | lun);
}

uint64_t dl_iscsi_lun_from_qemu(unsigned n)
{
        return n & 0x3fff;
}
