/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reading pieces of LUNs: READ(16) (SBC-4, 5.15), all of them side by side in one session, each in
 * parts of a size that every target serves. The operation owns the pieces until its report is over.
 */

#include "operation.h"
#include "scsi/luns.h"
#include "util/error.h"

#include <string.h>

enum {
        PART_MAX = 64 * 1024, /* bytes a command */
};

typedef struct Reading Reading;

typedef struct Piece {
        Reading *reading;
        DlIscsiExtent extent;
        uint16_t address;
        uint8_t *data;
        GError *error; /* the first */
        unsigned pending;
} Piece;

typedef struct Part {
        Piece *piece;
        uint32_t offset, size; /* in the piece */
} Part;

struct Reading {
        DlIscsiOperation operation;
        DlIscsiRead done;
        Piece *pieces;
        Part *parts; /* of all pieces */
        size_t n_pieces, n_parts, pending;
};

/* ---- answers ------------------------------------------------------------------------------- */

static void piece_fail(Piece *piece, DlErrorCode code, const char *why)
{
        if (!piece->error)
                piece->error = g_error_new(DL_ERROR, (int)code, "LUN %" PRIu64 " fails READ: %s",
                                           piece->extent.lun, why);
}

static void take(Part *part, const DlReply *reply)
{
        Piece *piece = part->piece;

        if (!reply) {
                piece_fail(piece, DL_ERROR_TIMED_OUT, "it does not answer in time");
        } else if (reply->status == DL_STATUS_CHECK_CONDITION) {
                g_autofree char *sense = dl_scsi_sense_to_string(&reply->sense);

                piece_fail(piece, DL_ERROR_PROTOCOL_ERROR, sense);
        } else if (reply->status == DL_STATUS_CONFLICT) {
                piece_fail(piece, DL_ERROR_PROTOCOL_ERROR, "it is reserved by another initiator");
        } else if (reply->status != DL_STATUS_GOOD) {
                piece_fail(piece, DL_ERROR_PROTOCOL_ERROR, "the target refuses it");
        } else if (reply->size != part->size) {
                piece_fail(piece, DL_ERROR_PROTOCOL_ERROR, "it gives fewer bytes than asked for");
        } else {
                memcpy(piece->data + part->offset, reply->data, part->size);
        }
}

static void on_part(const DlReply *reply, void *userdata)
{
        Part *part = userdata;
        Reading *reading = part->piece->reading;

        take(part, reply);
        if (--reading->pending == 0)
                dl_operation_finish(&reading->operation, NULL);
}

/* ---- commands ------------------------------------------------------------------------------ */

static void put_be(uint8_t *at, unsigned n, uint64_t value)
{
        for (unsigned i = 0; i < n; i++)
                at[i] = (uint8_t)(value >> 8 * (n - 1 - i));
}

static void send_part(Part *part)
{
        const Piece *piece = part->piece;
        uint32_t block = piece->extent.block_size;
        uint8_t cdb[16] = {0x88};

        put_be(cdb + 2, 8, (piece->extent.offset + part->offset) / block);
        put_be(cdb + 10, 4, part->size / block);
        dl_session_command(piece->reading->operation.session, piece->address, cdb, sizeof cdb,
                           part->size, on_part, part);
}

static void reading_ready(DlIscsiOperation *operation)
{
        Reading *reading = (Reading *)operation;

        reading->pending = reading->n_parts;
        if (reading->n_parts == 0)
                dl_operation_finish(operation, NULL);
        for (size_t i = 0; i < reading->n_parts; i++)
                send_part(&reading->parts[i]);
}

/* ---- the operation ------------------------------------------------------------------------- */

static void reading_report(DlIscsiOperation *operation, const GError *error)
{
        Reading *reading = (Reading *)operation;
        g_autofree DlIscsiPiece *pieces = g_new0(DlIscsiPiece, reading->n_pieces);

        for (size_t i = 0; i < reading->n_pieces; i++) {
                Piece *piece = &reading->pieces[i];

                if (piece->error || error)
                        pieces[i].error = piece->error;
                else
                        pieces[i].data = g_bytes_new_take(g_steal_pointer(&piece->data),
                                                          piece->extent.size);
        }
        reading->done(error ? NULL : pieces, error ? 0 : reading->n_pieces, error,
                      operation->userdata);
        for (size_t i = 0; i < reading->n_pieces; i++)
                g_bytes_unref(pieces[i].data);
}

static void reading_clear(DlIscsiOperation *operation)
{
        Reading *reading = (Reading *)operation;

        for (size_t i = 0; i < reading->n_pieces; i++) {
                g_free(reading->pieces[i].data);
                g_clear_error(&reading->pieces[i].error);
        }
        g_free(reading->pieces);
        g_free(reading->parts);
}

static const DlOperationKind reading_kind = {
        .size = sizeof(Reading),
        .ready = reading_ready,
        .report = reading_report,
        .clear = reading_clear,
};

/* libiscsi has room for the first two bytes of a LUN's address. */
static bool short_address(uint64_t lun, uint16_t *ret)
{
        uint8_t wire[DL_SCSI_LUN_WIRE_SIZE];

        if (lun > DL_SCSI_LUN_FLAT_MAX || dl_scsi_lun_encode(lun, wire) < 0)
                return false;
        *ret = (uint16_t)(wire[0] << 8 | wire[1]);
        return true;
}

static void piece_init(Reading *reading, Piece *piece, const DlIscsiExtent *extent)
{
        *piece = (Piece){.reading = reading, .extent = *extent};
        if (!short_address(extent->lun, &piece->address))
                piece_fail(piece, DL_ERROR_LIMITS_EXCEEDED, "numbers as high cannot be used");
        else if (extent->block_size == 0 || extent->block_size > PART_MAX ||
                 PART_MAX % extent->block_size != 0 || extent->offset % extent->block_size != 0 ||
                 extent->size % extent->block_size != 0 || extent->size > DL_ISCSI_EXTENT_MAX)
                piece_fail(piece, DL_ERROR_INVALID_ARGS, "these are no whole blocks");
        else
                piece->data = g_malloc(extent->size);
}

static void make_parts(Reading *reading)
{
        g_autoptr(GArray) parts = g_array_new(FALSE, FALSE, sizeof(Part));

        for (size_t i = 0; i < reading->n_pieces; i++) {
                Piece *piece = &reading->pieces[i];

                for (uint32_t at = 0; piece->data && at < piece->extent.size; at += PART_MAX) {
                        Part part = {piece, at, MIN(PART_MAX, piece->extent.size - at)};

                        g_array_append_val(parts, part);
                }
        }
        reading->n_parts = parts->len;
        reading->parts = (Part *)(void *)g_array_free(g_steal_pointer(&parts), FALSE);
}

DlIscsiOperation *dl_iscsi_read(DlIscsi *iscsi, const char *iqn, const DlIscsiPortal *portal,
                                const DlIscsiCredentials *credentials, const DlIscsiExtent *extents,
                                size_t n_extents, DlIscsiRead done, void *userdata)
{
        DlIscsiOperation *operation = dl_operation_new(iscsi, &reading_kind, iqn, portal,
                                                       credentials, userdata);
        Reading *reading = (Reading *)operation;

        reading->done = done;
        reading->n_pieces = n_extents;
        reading->pieces = g_new0(Piece, n_extents);
        for (size_t i = 0; i < n_extents; i++)
                piece_init(reading, &reading->pieces[i], &extents[i]);
        make_parts(reading);
        return operation;
}
