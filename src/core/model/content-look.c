/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reading and recognising. Loop thread only, but for recognise(), which runs on a worker. */

#include "core/model/content-look.h"
#include "host/helper.h"

#include <string.h>
#include <sys/sysmacros.h>

enum {
        PIECES_MAX = 4, /* head, tail, two of LVM's text */
        BLOCK_SIZE_MAX = 64 * 1024,
        READ_MSEC = 10000, /* a disk may be busy, or have lost its paths */
};

/* One LUN. While the worker has it nobody else touches it. */
typedef struct Item {
        char *guid;
        uint64_t lun, capacity;
        uint32_t block_size;
        DlContentPiece pieces[PIECES_MAX];
        size_t n_pieces;
        DlContent *content;
        GError *error;
} Item;

struct DlContentLook {
        DlCore *core;
        char *iqn, *address;
        uint16_t port;
        GPtrArray *items;  /* Item; the worker has a reference, too */
        GArray *extents;   /* DlIscsiExtent: being read, */
        GPtrArray *owners; /* and for which Item */
        bool has_texts;
        DlIscsiOperation *operation;
        dev_t devnum;       /* of a device of this host, which the helper reads; else 0 */
        DlHelperCall *call; /* for the first of the extents */
        DlWork *work;
        DlContentLooked done;
        void *userdata;
};

static void item_free(gpointer p)
{
        Item *item = p;

        for (size_t i = 0; i < item->n_pieces; i++)
                g_bytes_unref(item->pieces[i].data);
        dl_content_free(item->content);
        g_clear_error(&item->error);
        g_free(item->guid);
        g_free(item);
}

void dl_content_look_free(DlContentLook *look)
{
        if (!look)
                return;
        dl_iscsi_cancel(look->operation);
        dl_helper_cancel(look->call);
        dl_work_cancel(look->work);
        g_ptr_array_unref(look->items);
        g_array_unref(look->extents);
        g_ptr_array_unref(look->owners);
        g_free(look->iqn);
        g_free(look->address);
        g_free(look);
}

/* ---- recognising --------------------------------------------------------------------------- */

typedef struct Recognition {
        DlContentLook *look; /* for the loop; gone if it was cancelled, and then not looked at */
        GPtrArray *items;
} Recognition;

static void recognition_free(void *data)
{
        Recognition *recognition = data;

        g_ptr_array_unref(recognition->items);
        g_free(recognition);
}

static void recognise(void *data)
{
        GPtrArray *items = ((Recognition *)data)->items;

        for (unsigned i = 0; i < items->len; i++) {
                Item *item = items->pdata[i];

                if (!item->error)
                        item->content = dl_content_probe(item->pieces, item->n_pieces,
                                                         item->capacity, item->block_size,
                                                         &item->error);
        }
}

/* The last thing that a look does: done() frees it. */
static void finish(DlContentLook *look)
{
        g_autoptr(GPtrArray) items = g_ptr_array_ref(look->items);
        g_autofree DlContentFound *found = g_new0(DlContentFound, items->len);

        for (unsigned i = 0; i < items->len; i++) {
                Item *item = items->pdata[i];

                found[i] = (DlContentFound){item->guid, g_steal_pointer(&item->content),
                                            item->error};
        }
        look->done(found, items->len, look->userdata);
        for (unsigned i = 0; i < items->len; i++)
                dl_content_free(found[i].content);
}

static void on_recognised(void *data)
{
        DlContentLook *look = ((Recognition *)data)->look;

        look->work = NULL;
        finish(look);
}

static void start_recognition(DlContentLook *look)
{
        Recognition *recognition = g_new(Recognition, 1);

        *recognition = (Recognition){look, g_ptr_array_ref(look->items)};
        look->work = dl_workers_submit(look->core->content_workers, NULL, recognise, on_recognised,
                                       recognition, recognition_free);
}

/* ---- reading ------------------------------------------------------------------------------- */

/* Widened to whole blocks; what is not on the LUN is left out. */
static void want(DlContentLook *look, Item *item, uint64_t offset, uint64_t size)
{
        uint64_t block = item->block_size, device = item->capacity - item->capacity % block,
                 from = offset - offset % block, to = MIN(offset + size, device);
        DlIscsiExtent extent = {item->lun, item->block_size, from, 0};

        to = MIN(to + (block - to % block) % block, device);
        if (from >= to)
                return;
        extent.size = (uint32_t)MIN(to - from, DL_ISCSI_EXTENT_MAX);
        g_array_append_val(look->extents, extent);
        g_ptr_array_add(look->owners, item);
}

static void want_ends(DlContentLook *look, Item *item)
{
        want(look, item, 0, DL_CONTENT_HEAD);
        if (item->capacity > DL_CONTENT_HEAD)
                want(look, item, item->capacity - MIN(item->capacity, DL_CONTENT_TAIL),
                     DL_CONTENT_TAIL);
}

static void want_texts(DlContentLook *look)
{
        for (unsigned i = 0; i < look->items->len; i++) {
                Item *item = look->items->pdata[i];
                gsize size;
                DlLvmPv pv;

                if (item->error || item->n_pieces == 0)
                        continue;
                const uint8_t *head = g_bytes_get_data(item->pieces[0].data, &size);
                if (dl_lvm_pv_parse(head, size, &pv) < 0)
                        continue;
                for (size_t k = 0; k < G_N_ELEMENTS(pv.text); k++)
                        if (pv.text[k].size > 0 && pv.text[k].offset < item->capacity)
                                want(look, item, pv.text[k].offset, pv.text[k].size);
        }
}

static void go_on(DlContentLook *look);

static void keep(Item *item, const DlIscsiExtent *extent, const DlIscsiPiece *piece)
{
        if (!piece->data) {
                if (!item->error)
                        item->error = g_error_copy(piece->error);
                return;
        }
        if (item->n_pieces < PIECES_MAX)
                item->pieces[item->n_pieces++] = (DlContentPiece){extent->offset,
                                                                  g_bytes_ref(piece->data)};
}

static void on_read(const DlIscsiPiece *pieces, size_t n_pieces, const GError *error,
                    void *userdata)
{
        DlContentLook *look = userdata;

        look->operation = NULL;
        for (unsigned i = 0; i < look->owners->len; i++) {
                DlIscsiPiece none = {.error = (GError *)error};

                keep(look->owners->pdata[i], &g_array_index(look->extents, DlIscsiExtent, i),
                     error ? &none : &pieces[i]);
        }
        g_array_set_size(look->extents, 0);
        g_ptr_array_set_size(look->owners, 0);
        go_on(look);
}

static void read_device(DlContentLook *look);

/* One extent after the other: it is one disk. */
static void on_device_read(const DlHelperResult *result, const GError *error, void *userdata)
{
        DlContentLook *look = userdata;
        DlIscsiPiece piece = {.data = result ? result->data : NULL, .error = (GError *)error};

        look->call = NULL;
        keep(look->owners->pdata[0], &g_array_index(look->extents, DlIscsiExtent, 0), &piece);
        g_array_remove_index(look->extents, 0);
        g_ptr_array_remove_index(look->owners, 0);
        if (look->extents->len > 0)
                read_device(look);
        else
                go_on(look);
}

static void read_device(DlContentLook *look)
{
        const DlIscsiExtent *extent = &g_array_index(look->extents, DlIscsiExtent, 0);
        DlHelperRequest request = {
                .verb = DL_HELPER_READ,
                .timeout_ms = READ_MSEC,
                .major = major(look->devnum),
                .minor = minor(look->devnum),
                .size = extent->size,
                .offset = extent->offset,
        };

        g_strlcpy(request.guid, ((const Item *)look->owners->pdata[0])->guid, sizeof request.guid);
        look->call = dl_helper_call(look->core->helper, &request, NULL, NULL, on_device_read, look);
}

static void read_portal(DlContentLook *look)
{
        const DlTarget *target = DL_LOOKUP_TARGET(look->core, look->iqn);
        DlIscsiPortal portal = {look->address, look->port};
        DlIscsiCredentials credentials = target ? dl_target_credentials(target)
                                                : (DlIscsiCredentials){0};

        look->operation = dl_iscsi_read(look->core->iscsi, look->iqn, &portal, &credentials,
                                        (DlIscsiExtent *)(void *)look->extents->data,
                                        look->extents->len, on_read, look);
}

/* What is wanted; then what that makes wanted; then what it all is. */
static void go_on(DlContentLook *look)
{
        if (look->extents->len == 0 && !look->has_texts) {
                look->has_texts = true;
                want_texts(look);
        }
        if (look->extents->len == 0)
                start_recognition(look);
        else if (look->devnum)
                read_device(look);
        else
                read_portal(look);
}

static void add_item(DlContentLook *look, const DlLun *lun, uint64_t number)
{
        Item *item = g_new0(Item, 1);

        item->guid = g_strdup(lun->object.id);
        item->lun = number;
        item->capacity = lun->capacity;
        item->block_size = lun->logical_block_size;
        g_ptr_array_add(look->items, item);
        if (item->block_size < 512 || item->block_size > BLOCK_SIZE_MAX)
                item->error = g_error_new(DL_ERROR, DL_ERROR_PROTOCOL_ERROR,
                                          "Blocks of %" G_GUINT32_FORMAT " bytes cannot be read",
                                          item->block_size);
        else
                want_ends(look, item);
}

static DlContentLook *look_new(DlCore *core, DlContentLooked done, void *userdata)
{
        DlContentLook *look = g_new0(DlContentLook, 1);

        *look = (DlContentLook){
                .core = core,
                .items = g_ptr_array_new_with_free_func(item_free),
                .extents = g_array_new(FALSE, FALSE, sizeof(DlIscsiExtent)),
                .owners = g_ptr_array_new(),
                .done = done,
                .userdata = userdata,
        };
        return look;
}

DlContentLook *dl_content_look_new(DlCore *core, DlLun *const *luns, DlPath *const *paths,
                                   size_t n_luns, DlContentLooked done, void *userdata)
{
        DlContentLook *look = look_new(core, done, userdata);

        look->iqn = g_strdup(paths[0]->iqn);
        look->address = g_strdup(paths[0]->address);
        look->port = paths[0]->port;
        for (size_t i = 0; i < n_luns; i++)
                add_item(look, luns[i], paths[i]->lun);
        go_on(look);
        return look;
}

DlContentLook *dl_content_look_new_device(DlCore *core, const DlLun *lun,
                                          const DlBlockDevice *device, DlContentLooked done,
                                          void *userdata)
{
        DlContentLook *look = look_new(core, done, userdata);

        look->devnum = device->devnum;
        add_item(look, lun, device->lun);
        go_on(look);
        return look;
}
