/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Recognising content by libblkid, which reads a file: the pieces are laid out in a sparse file in
 * memory that is as large as the device. LVM's own description is read by lvm.c. Nothing outlives a
 * call; any thread.
 */

#include "content/content-private.h"

#include "util/error.h"

#include <blkid.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
        SIGNATURES_MAX = 8,
        VALUE_MAX = 255, /* bytes of a label or an id that is told */
};

/* ---- the file ------------------------------------------------------------------------------ */

static int write_piece(int fd, const DlContentPiece *piece)
{
        gsize size;
        const char *data = g_bytes_get_data(piece->data, &size);

        for (gsize done = 0; done < size;) {
                ssize_t n = pwrite(fd, data + done, size - done, (off_t)(piece->offset + done));

                if (n < 0 && errno != EINTR)
                        return -errno;
                done += n > 0 ? (gsize)n : 0;
        }
        return 0;
}

/* Negative errno, or a descriptor. */
static int open_device(const DlContentPiece *pieces, size_t n_pieces, uint64_t size)
{
        int fd = memfd_create("directlun-content", MFD_CLOEXEC);
        int r = fd < 0 || ftruncate(fd, (off_t)size) < 0 ? -errno : 0;

        for (size_t i = 0; r >= 0 && i < n_pieces; i++)
                r = write_piece(fd, &pieces[i]);
        if (r >= 0)
                return fd;
        if (fd >= 0)
                (void)close(fd);
        return r;
}

/* ---- libblkid ------------------------------------------------------------------------------ */

/* What the device says is told to people and to D-Bus: printable, and not long. */
static char *value_of(blkid_probe probe, const char *name)
{
        const char *data = NULL;
        size_t size = 0;

        if (blkid_probe_lookup_value(probe, name, &data, &size) < 0 || !data)
                return g_strdup("");
        g_autofree char *text = g_strndup(data, MIN(size, VALUE_MAX));
        char *valid = g_utf8_make_valid(text, -1);

        for (char *c = valid; *c; c++)
                if (g_ascii_iscntrl(*c))
                        *c = '?';
        return valid;
}

static void add_signature(DlContent *content, blkid_probe probe)
{
        DlSignature *signature = g_new0(DlSignature, 1);
        bool is_table = blkid_probe_has_value(probe, "PTTYPE");

        signature->type = value_of(probe, is_table ? "PTTYPE" : "TYPE");
        signature->usage = is_table ? g_strdup("partition-table") : value_of(probe, "USAGE");
        signature->label = value_of(probe, is_table ? "PTLABEL" : "LABEL");
        signature->uuid = value_of(probe, is_table ? "PTUUID" : "UUID");
        g_ptr_array_add(content->signatures, signature);
}

/* Every chain, and all that each of them finds: a device may have an old RAID beside a new file
 * system. */
static void recognise(DlContent *content, int fd, uint64_t size, uint32_t logical_block_size)
{
        blkid_probe probe = blkid_new_probe();

        if (!probe)
                return;
        if (blkid_probe_set_device(probe, fd, 0, (blkid_loff_t)size) == 0) {
                (void)blkid_probe_set_sectorsize(probe, logical_block_size);
                (void)blkid_probe_enable_superblocks(probe, 1);
                (void)blkid_probe_set_superblocks_flags(
                        probe, BLKID_SUBLKS_TYPE | BLKID_SUBLKS_USAGE | BLKID_SUBLKS_LABEL |
                                       BLKID_SUBLKS_UUID);
                (void)blkid_probe_enable_partitions(probe, 1);
                while (content->signatures->len < SIGNATURES_MAX && blkid_do_probe(probe) == 0)
                        if (blkid_probe_has_value(probe, "TYPE") ||
                            blkid_probe_has_value(probe, "PTTYPE"))
                                add_signature(content, probe);
        }
        blkid_free_probe(probe);
}

/* ---- LVM ----------------------------------------------------------------------------------- */

static const DlContentPiece *piece_at(const DlContentPiece *pieces, size_t n_pieces,
                                      uint64_t offset)
{
        for (size_t i = 0; i < n_pieces; i++)
                if (pieces[i].offset == offset)
                        return &pieces[i];
        return NULL;
}

static char *text_of(const DlLvmPv *pv, const DlContentPiece *pieces, size_t n_pieces, gsize *ret)
{
        g_autoptr(GString) text = g_string_new(NULL);

        for (size_t i = 0; i < G_N_ELEMENTS(pv->text); i++) {
                const DlContentPiece *piece = pv->text[i].size == 0 ? NULL
                                                                    : piece_at(pieces, n_pieces,
                                                                               pv->text[i].offset);
                gsize size;
                const char *data;

                if (!piece)
                        break;
                data = g_bytes_get_data(piece->data, &size);
                g_string_append_len(text, data, (gssize)MIN(size, pv->text[i].size));
        }
        *ret = text->len;
        return g_string_free(g_steal_pointer(&text), FALSE);
}

static void read_lvm(DlContent *content, const DlContentPiece *pieces, size_t n_pieces)
{
        const DlContentPiece *head = piece_at(pieces, n_pieces, 0);
        g_autoptr(DlLvmVg) vg = NULL;
        gsize size;
        DlLvmPv pv;

        if (!head)
                return;
        const uint8_t *data = g_bytes_get_data(head->data, &size);
        if (dl_lvm_pv_parse(data, size, &pv) < 0)
                return;
        content->pv_uuid = g_strdup(pv.uuid);
        content->pv_size = pv.size;
        g_autofree char *text = text_of(&pv, pieces, n_pieces, &size);
        if (dl_lvm_vg_parse(text, size, &vg) < 0)
                return;
        content->vg_name = g_strdup(vg->name);
        content->vg_uuid = g_strdup(vg->uuid);
        content->storage_domain = g_strdup(dl_lvm_vg_storage_domain(vg));
        if (g_strv_length(vg->pvs) > 1) /* most groups have one only, and need no list */
                content->vg_pvs = g_steal_pointer(&vg->pvs);
}

DlContent *dl_content_probe(const DlContentPiece *pieces, size_t n_pieces, uint64_t size,
                            uint32_t logical_block_size, GError **error)
{
        g_autoptr(DlContent) content = dl_content_new();
        int fd = open_device(pieces, n_pieces, size);

        if (fd < 0) {
                g_set_error(error, DL_ERROR, DL_ERROR_FAILED,
                            "The content of a LUN cannot be looked at: %s", g_strerror(-fd));
                return NULL;
        }
        recognise(content, fd, size, logical_block_size);
        (void)close(fd);
        read_lvm(content, pieces, n_pieces);
        return g_steal_pointer(&content);
}
