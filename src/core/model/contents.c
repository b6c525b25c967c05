/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The queue of LUNs to be looked at, the looks under way, and who waits for them. Loop thread only.
 */

#include "core/model/contents.h"
#include "core/model/content-look.h"
#include "core/model/lun-kernel.h"
#include "core/model/volume-groups.h"

#include <string.h>

enum {
        LOOKS_MAX = 4,      /* at once: each has a session of the initiator's */
        LUNS_PER_LOOK = 16, /* bounds the memory, and how long one target keeps others waiting */
};

#define FRESH_USEC      (30 * G_USEC_PER_SEC)
#define BACKGROUND_USEC (1 * G_USEC_PER_SEC) /* all else goes first */

typedef struct Look {
        DlContents *contents;
        DlContentLook *look;
        char *iqn; /* NULL: of a device of this host */
        uint64_t since_usec;
        GPtrArray *guids; /* char * */
        bool urgent;      /* somebody waits for it */
} Look;

struct DlContents {
        DlCore *core;
        GQueue urgent, background; /* char *: GUIDs */
        GHashTable *queued;        /* GUID → the queue that it is in */
        GPtrArray *looks;          /* Look */
        GPtrArray *waits;          /* DlContentWait */
        sd_event_source *kick;     /* pending: for those who wait */
        sd_event_source *later;    /* pending: for the background */
};

struct DlContentWait {
        DlContents *contents;
        GHashTable *open; /* GUIDs that were not looked at yet */
        uint64_t since_usec;
        sd_event_source *over; /* pending once open is empty */
        void (*done)(void *userdata);
        void *userdata;
};

bool dl_contents_is_fresh(const DlLun *lun)
{
        return lun->content_usec > 0 && dl_now() - lun->content_usec < FRESH_USEC;
}

void dl_contents_outdate(DlLun *lun)
{
        lun->content_usec = 0;
}

bool dl_contents_is_busy(const DlContents *contents)
{
        return contents->looks->len > 0 || contents->urgent.length > 0 ||
               contents->background.length > 0;
}

/* ---- waits --------------------------------------------------------------------------------- */

static int on_over(sd_event_source *source, void *userdata)
{
        DlContentWait *wait = userdata;
        void (*done)(void *userdata) = wait->done;
        void *its = wait->userdata;

        dl_contents_cancel(wait);
        done(its);
        return 0;
}

static void check_over(DlContentWait *wait)
{
        if (g_hash_table_size(wait->open) == 0 && !wait->over)
                (void)sd_event_add_defer(wait->contents->core->event, &wait->over, on_over, wait);
}

/* The LUN was looked at, from then on; or it cannot be (UINT64_MAX). */
static void tell_waits(DlContents *contents, const char *guid, uint64_t since_usec)
{
        for (unsigned i = 0; i < contents->waits->len; i++) {
                DlContentWait *wait = contents->waits->pdata[i];

                if (since_usec >= wait->since_usec && g_hash_table_remove(wait->open, guid))
                        check_over(wait);
        }
}

void dl_contents_cancel(DlContentWait *wait)
{
        if (!wait)
                return;
        g_ptr_array_remove(wait->contents->waits, wait);
        sd_event_source_disable_unref(wait->over);
        g_hash_table_unref(wait->open);
        g_free(wait);
}

/* ---- the queue ----------------------------------------------------------------------------- */

static void kick(DlContents *contents, uint64_t background_usec);

static void dequeue(DlContents *contents, const char *guid)
{
        GQueue *queue = g_hash_table_lookup(contents->queued, guid);
        GList *link = queue ? g_queue_find_custom(queue, guid, (GCompareFunc)strcmp) : NULL;

        if (!link)
                return;
        g_hash_table_remove(contents->queued, guid);
        g_free(link->data);
        g_queue_delete_link(queue, link);
}

static void enqueue(DlContents *contents, GQueue *queue, const char *guid)
{
        char *own;

        if (g_hash_table_lookup(contents->queued, guid) == queue)
                return;
        dequeue(contents, guid);
        own = g_strdup(guid);
        g_queue_push_tail(queue, own);
        g_hash_table_insert(contents->queued, own, queue);
        kick(contents, BACKGROUND_USEC);
}

static bool is_being_looked_at(const DlContents *contents, const char *guid)
{
        for (unsigned i = 0; i < contents->looks->len; i++)
                if (g_ptr_array_find_with_equal_func(((Look *)contents->looks->pdata[i])->guids,
                                                     guid, g_str_equal, NULL))
                        return true;
        return false;
}

void dl_contents_want(DlLun *lun)
{
        DlContents *contents = lun->object.core->contents;

        if (!lun->object.core->original && !dl_contents_is_fresh(lun) &&
            !g_hash_table_contains(contents->queued, lun->object.id) &&
            !is_being_looked_at(contents, lun->object.id))
                enqueue(contents, &contents->background, lun->object.id);
}

DlContentWait *dl_contents_wait(DlCore *core, DlLun *const *luns, size_t n_luns,
                                void (*done)(void *userdata), void *userdata)
{
        DlContents *contents = core->contents;
        DlContentWait *wait = g_new0(DlContentWait, 1);

        *wait = (DlContentWait){
                .contents = contents,
                .open = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL),
                .since_usec = dl_now(),
                .done = done,
                .userdata = userdata,
        };
        g_ptr_array_add(contents->waits, wait);
        for (size_t i = 0; i < n_luns; i++) {
                g_hash_table_add(wait->open, g_strdup(luns[i]->object.id));
                enqueue(contents, &contents->urgent, luns[i]->object.id);
        }
        check_over(wait);
        return wait;
}

/* ---- looks --------------------------------------------------------------------------------- */

static void look_free(gpointer p)
{
        Look *look = p;

        dl_content_look_free(look->look);
        g_ptr_array_unref(look->guids);
        g_free(look->iqn);
        g_free(look);
}

/* Whether volume groups may be others now. */
static bool take_over(Look *look, DlContentFound *found)
{
        DlLun *lun = DL_LOOKUP_LUN(look->contents->core, found->guid);
        bool lvm = false;

        if (!lun)
                return false;
        lun->content_usec = look->since_usec;
        dl_last_error_set(&lun->content_error, found->error);
        if (found->content && !dl_content_equal(found->content, lun->content)) {
                g_autofree char *before = g_strdup(dl_lun_storage_domain(lun));

                lvm = found->content->pv_uuid || (lun->content && lun->content->pv_uuid);
                dl_content_free(lun->content);
                lun->content = g_steal_pointer(&found->content);
                if (strcmp(before, dl_lun_storage_domain(lun)) != 0)
                        dl_object_changed(&lun->object, "StorageDomain");
        }
        dl_lun_update(lun);
        return lvm;
}

static void on_looked(DlContentFound *found, size_t n_found, void *userdata)
{
        Look *look = userdata;
        DlContents *contents = look->contents;
        bool lvm = false;

        for (size_t i = 0; i < n_found; i++) {
                lvm |= take_over(look, &found[i]);
                tell_waits(contents, found[i].guid, look->since_usec);
        }
        if (lvm)
                dl_volume_groups_update(contents->core);
        g_ptr_array_remove(contents->looks, look);
        kick(contents, 0);
}

static bool is_good(const DlPath *path)
{
        return path->seen && path->last_error.code < 0;
}

/* The path that answered last: a portal that did not may be silent by now. In the background only
 * one whose target is needed anyway. */
static DlPath *choose_path(const DlLun *lun, bool urgent)
{
        DlPath *best = NULL;

        for (unsigned i = 0; i < lun->paths->len; i++) {
                DlPath *path = lun->paths->pdata[i];
                const DlTarget *target = DL_LOOKUP_TARGET(lun->object.core, path->iqn);

                if (target && is_good(path) && (urgent || dl_target_is_needed(target)) &&
                    (!best || path->seen_usec > best->seen_usec))
                        best = path;
        }
        return best;
}

static DlPath *path_on(const DlLun *lun, const DlPath *portal)
{
        for (unsigned i = 0; i < lun->paths->len; i++) {
                DlPath *path = lun->paths->pdata[i];

                if (is_good(path) && path->port == portal->port &&
                    strcmp(path->address, portal->address) == 0 &&
                    strcmp(path->iqn, portal->iqn) == 0)
                        return path;
        }
        return NULL;
}

/* LUNs that wait for the same portal come along. */
static void gather(DlContents *contents, GQueue *queue, GPtrArray *luns, GPtrArray *paths)
{
        for (GList *link = queue->head, *next; link && luns->len < LUNS_PER_LOOK; link = next) {
                DlLun *lun = DL_LOOKUP_LUN(contents->core, link->data);
                DlPath *path = lun ? path_on(lun, paths->pdata[0]) : NULL;

                next = link->next;
                if (!path)
                        continue;
                g_ptr_array_add(luns, lun);
                g_ptr_array_add(paths, path);
                dequeue(contents, lun->object.id);
        }
}

static void start_look(DlContents *contents, GQueue *queue, DlLun *lun, DlPath *path)
{
        g_autoptr(GPtrArray) luns = g_ptr_array_new();
        g_autoptr(GPtrArray) paths = g_ptr_array_new();
        Look *look = g_new0(Look, 1);

        g_ptr_array_add(luns, lun);
        g_ptr_array_add(paths, path);
        gather(contents, queue, luns, paths);
        *look = (Look){
                .contents = contents,
                .iqn = g_strdup(path->iqn),
                .since_usec = dl_now(),
                .guids = g_ptr_array_new_with_free_func(g_free),
                .urgent = queue == &contents->urgent,
        };
        for (unsigned i = 0; i < luns->len; i++)
                g_ptr_array_add(look->guids, g_strdup(((DlLun *)luns->pdata[i])->object.id));
        g_ptr_array_add(contents->looks, look);
        look->look = dl_content_look_new(contents->core, (DlLun **)luns->pdata,
                                         (DlPath **)paths->pdata, luns->len, on_looked, look);
}

/* Of what the kernel sees, the map, or the first path that works. In the background only of who is
 * not known to be used. */
static const DlBlockDevice *choose_device(const DlLun *lun, bool urgent)
{
        const DlBlockLun *kernel = dl_lun_kernel(lun);

        if (!kernel || !lun->object.core->helper || (!urgent && kernel->holders[0]))
                return NULL;
        for (unsigned i = 0; i < kernel->paths->len; i++)
                if (dl_block_device_is_active(kernel->paths->pdata[i]))
                        return kernel->map ? kernel->map : kernel->paths->pdata[i];
        return NULL;
}

static void start_device_look(DlContents *contents, bool urgent, const DlLun *lun,
                              const DlBlockDevice *device)
{
        Look *look = g_new0(Look, 1);

        *look = (Look){
                .contents = contents,
                .since_usec = dl_now(),
                .guids = g_ptr_array_new_with_free_func(g_free),
                .urgent = urgent,
        };
        g_ptr_array_add(look->guids, g_strdup(lun->object.id));
        g_ptr_array_add(contents->looks, look);
        look->look = dl_content_look_new_device(contents->core, lun, device, on_looked, look);
}

static void start_next(DlContents *contents, GQueue *queue)
{
        g_autofree char *guid = g_strdup(g_queue_peek_head(queue));
        bool urgent = queue == &contents->urgent;
        DlLun *lun = DL_LOOKUP_LUN(contents->core, guid);
        DlPath *path = lun ? choose_path(lun, urgent) : NULL;
        const DlBlockDevice *device = lun && !path ? choose_device(lun, urgent) : NULL;

        dequeue(contents, guid);
        if (path)
                start_look(contents, queue, lun, path);
        else if (device)
                start_device_look(contents, urgent, lun, device);
        else if (urgent)
                tell_waits(contents, guid, UINT64_MAX);
}

static int on_kick(sd_event_source *source, void *userdata)
{
        DlContents *contents = userdata;

        while (contents->urgent.length > 0 && contents->looks->len < LOOKS_MAX)
                start_next(contents, &contents->urgent);
        return 0;
}

static bool is_target_being_asked(DlCore *core)
{
        GHashTableIter i;
        gpointer target;

        g_hash_table_iter_init(&i, core->objects[DL_KIND_TARGET]);
        while (g_hash_table_iter_next(&i, NULL, &target))
                if (((DlTarget *)target)->connects->len > 0)
                        return true;
        return false;
}

/* A client that connects lists what it has connected next, with the processor, the network and the
 * target for itself. */
static int on_later(sd_event_source *source, uint64_t usec, void *userdata)
{
        DlContents *contents = userdata;

        contents->later = sd_event_source_disable_unref(contents->later);
        if (is_target_being_asked(contents->core))
                kick(contents, BACKGROUND_USEC);
        else
                while (contents->background.length > 0 && contents->looks->len < LOOKS_MAX)
                        start_next(contents, &contents->background);
        return 0;
}

static void kick(DlContents *contents, uint64_t background_usec)
{
        if (!contents->kick)
                return; /* going away */
        if (contents->urgent.length > 0)
                (void)sd_event_source_set_enabled(contents->kick, SD_EVENT_ONESHOT);
        if (contents->background.length > 0 && !contents->later)
                (void)sd_event_add_time_relative(contents->core->event, &contents->later,
                                                 CLOCK_MONOTONIC, background_usec, 0, on_later,
                                                 contents);
}

void dl_contents_leave(DlCore *core, const char *iqn)
{
        DlContents *contents = core->contents;

        for (unsigned i = contents ? contents->looks->len : 0; i-- > 0;) {
                const Look *look = contents->looks->pdata[i];

                if (!look->urgent && g_strcmp0(look->iqn, iqn) == 0)
                        g_ptr_array_remove_index(contents->looks, i);
        }
        if (contents)
                kick(contents, BACKGROUND_USEC);
}

/* ---- life ---------------------------------------------------------------------------------- */

DlContents *dl_contents_new(DlCore *core)
{
        DlContents *contents = g_new0(DlContents, 1);

        *contents = (DlContents){
                .core = core,
                .urgent = G_QUEUE_INIT,
                .background = G_QUEUE_INIT,
                .queued = g_hash_table_new(g_str_hash, g_str_equal),
                .looks = g_ptr_array_new_with_free_func(look_free),
                .waits = g_ptr_array_new(),
        };
        if (sd_event_add_defer(core->event, &contents->kick, on_kick, contents) >= 0)
                (void)sd_event_source_set_enabled(contents->kick, SD_EVENT_OFF);
        return contents;
}

void dl_contents_free(DlContents *contents)
{
        if (!contents)
                return;
        contents->kick = sd_event_source_disable_unref(contents->kick);
        contents->later = sd_event_source_disable_unref(contents->later);
        while (contents->waits->len > 0)
                dl_contents_cancel(contents->waits->pdata[0]);
        g_ptr_array_unref(contents->waits);
        g_ptr_array_unref(contents->looks);
        g_hash_table_unref(contents->queued);
        g_queue_clear_full(&contents->urgent, g_free);
        g_queue_clear_full(&contents->background, g_free);
        g_free(contents);
}
