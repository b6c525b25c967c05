/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Inspection of a target's LUNs: REPORT LUNS, then for every LUN at once what does not depend on
 * anything, then what the first answers say that it has. The session keeps commands_max of them in
 * flight. The operation owns the units (one a LUN) until its report is over.
 */

#include "operation.h"
#include "scsi/capacity.h"
#include "scsi/identity.h"
#include "scsi/luns.h"
#include "scsi/mode.h"
#include "util/error.h"

#include <errno.h>
#include <string.h>

typedef enum StepKind {
        STEP_READY,
        STEP_INQUIRY,
        STEP_PAGES,
        STEP_IDENTIFICATION,
        STEP_SERIAL,
        STEP_LIMITS,
        STEP_PROVISIONING,
        STEP_CAPACITY16,
        STEP_CAPACITY10,
        STEP_MODE,
        _STEP_MAX,
} StepKind;

typedef struct Unit Unit;
typedef struct Inspection Inspection;

/* What a command's reply finds its way home with. */
typedef struct Step {
        Unit *unit;
        StepKind kind;
} Step;

struct Unit {
        Inspection *inspection;
        DlIscsiLun *lun; /* the result, in inspection->luns */
        uint16_t address;
        unsigned pending; /* commands not answered yet */
        bool second;      /* the second wave has been sent */
        Step steps[_STEP_MAX];

        DlScsiInquiry inquiry;
        DlScsiCapacity capacity;  /* zeros if it has none */
        GBytes *pages[_STEP_MAX]; /* of the steps that read a page */
};

struct Inspection {
        DlIscsiOperation operation;
        DlIscsiInspected done;
        bool all;
        GArray *wanted; /* of uint64_t, ascending; if not all */
        uint16_t tpgt;
        char **way;
        Unit *units;
        DlIscsiLun *luns;
        size_t n_units, busy; /* busy: units with pending commands */
};

static void take_ready(Unit *unit, const DlReply *reply);
static void take_inquiry(Unit *unit, const DlReply *reply);
static void take_capacity16(Unit *unit, const DlReply *reply);
static void take_capacity10(Unit *unit, const DlReply *reply);
static void take_mode(Unit *unit, const DlReply *reply);

/* The CDBs, with the allocation length in place (SPC-6, SBC-4). take NULL: a page, kept as it is.
 */
static const struct {
        uint8_t cdb[16];
        size_t cdb_size, size;
        void (*take)(Unit *unit, const DlReply *reply);
} steps[] = {
        [STEP_READY] = {{0x00}, 6, 0, take_ready},
        [STEP_INQUIRY] = {{0x12, 0, 0, 0, 96}, 6, 96, take_inquiry},
        [STEP_PAGES] = {{0x12, 1, DL_SCSI_VPD_SUPPORTED, 0x02, 0}, 6, 0x200, NULL},
        [STEP_IDENTIFICATION] = {{0x12, 1, DL_SCSI_VPD_IDENTIFICATION, 0x40, 0}, 6, 0x4000, NULL},
        [STEP_SERIAL] = {{0x12, 1, DL_SCSI_VPD_SERIAL, 0x02, 0}, 6, 0x200, NULL},
        [STEP_LIMITS] = {{0x12, 1, DL_SCSI_VPD_BLOCK_LIMITS, 0x02, 0}, 6, 0x200, NULL},
        [STEP_PROVISIONING] = {{0x12, 1, DL_SCSI_VPD_PROVISIONING, 0x02, 0}, 6, 0x200, NULL},
        [STEP_CAPACITY16] = {{0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, DL_SCSI_CAPACITY16_SIZE},
                             16,
                             DL_SCSI_CAPACITY16_SIZE,
                             take_capacity16},
        [STEP_CAPACITY10] = {{0x25}, 10, DL_SCSI_CAPACITY10_SIZE, take_capacity10},
        [STEP_MODE] = {{0x1a, 0x08, 0x3f, 0, 252}, 6, 252, take_mode},
};

static void on_step(const DlReply *reply, void *userdata);

static void send_step(Unit *unit, StepKind kind)
{
        unit->pending++;
        dl_session_command(unit->inspection->operation.session, unit->address, steps[kind].cdb,
                           steps[kind].cdb_size, steps[kind].size, on_step, &unit->steps[kind]);
}

static const uint8_t *page(const Unit *unit, StepKind kind, size_t *ret_size)
{
        *ret_size = 0;
        return unit->pages[kind] ? g_bytes_get_data(unit->pages[kind], ret_size) : NULL;
}

/* Asks for a page that the LUN says it has. */
static void send_page(Unit *unit, StepKind kind)
{
        size_t size;
        const uint8_t *pages = page(unit, STEP_PAGES, &size);

        if (pages && dl_scsi_vpd_supports(pages, size, steps[kind].cdb[2]))
                send_step(unit, kind);
}

/* ---- answers ------------------------------------------------------------------------------ */

/* Keeps the first reason why the LUN cannot be inspected. */
G_GNUC_PRINTF(3, 4)
static void unit_fail(Unit *unit, DlErrorCode code, const char *format, ...)
{
        va_list args;

        if (unit->lun->error)
                return;
        va_start(args, format);
        unit->lun->error = g_error_new_valist(DL_ERROR, (int)code, format, args);
        va_end(args);
}

static char *why(const DlReply *reply)
{
        switch (reply->status) {
        case DL_STATUS_CHECK_CONDITION:
                return dl_scsi_sense_to_string(&reply->sense);
        case DL_STATUS_BUSY:
                return g_strdup("it stays busy");
        case DL_STATUS_CONFLICT:
                return g_strdup("it is reserved by another initiator");
        default:
                return g_strdup("the target refuses the command");
        }
}

static bool is_check(const DlReply *reply, bool (*is)(const DlScsiSense *sense))
{
        return reply->status == DL_STATUS_CHECK_CONDITION && is(&reply->sense);
}

static void unit_fail_reply(Unit *unit, const char *command, const DlReply *reply)
{
        g_autofree char *reason = why(reply);

        if (is_check(reply, dl_scsi_sense_is_no_such_lun))
                unit_fail(unit, DL_ERROR_LUN_NOT_VISIBLE,
                          "The target has no LUN %" PRIu64 " for this initiator", unit->lun->lun);
        else
                unit_fail(unit, DL_ERROR_PROTOCOL_ERROR, "LUN %" PRIu64 " fails %s: %s",
                          unit->lun->lun, command, reason);
}

static void take_ready(Unit *unit, const DlReply *reply)
{
        unit->lun->ready = reply->status == DL_STATUS_GOOD;
        if (is_check(reply, dl_scsi_sense_is_no_such_lun))
                unit_fail_reply(unit, "TEST UNIT READY", reply);
}

static void take_inquiry(Unit *unit, const DlReply *reply)
{
        DlScsiInquiry *inquiry = &unit->inquiry;

        if (reply->status != DL_STATUS_GOOD) {
                unit_fail_reply(unit, "INQUIRY", reply);
                return;
        }
        if (dl_scsi_inquiry_parse(reply->data, reply->size, inquiry) < 0) {
                unit_fail(unit, DL_ERROR_PROTOCOL_ERROR,
                          "LUN %" PRIu64 " answers INQUIRY with too few bytes", unit->lun->lun);
                return;
        }
        if (inquiry->qualifier != DL_SCSI_QUALIFIER_CONNECTED)
                unit_fail(unit, DL_ERROR_LUN_NOT_VISIBLE,
                          "The target has no device behind LUN %" PRIu64, unit->lun->lun);
        unit->lun->device_type = inquiry->device_type;
}

static void set_capacity(Unit *unit, const char *command, int r, const DlScsiCapacity *capacity)
{
        if (r < 0) {
                unit_fail(unit, DL_ERROR_PROTOCOL_ERROR,
                          "LUN %" PRIu64 " answers %s with a size that no disk has", unit->lun->lun,
                          command);
                return;
        }
        unit->capacity = *capacity;
        unit->lun->capacity = capacity->bytes;
        unit->lun->logical_block_size = capacity->logical_block_size;
        unit->lun->physical_block_size = capacity->physical_block_size;
}

/* A LUN that is not ready need not know its size. */
static void no_capacity(Unit *unit, const char *command, const DlReply *reply)
{
        if (unit->lun->ready)
                unit_fail_reply(unit, command, reply);
}

/* How a LUN discards is asked only of one that does: most do not, and there are many. */
static void take_capacity16(Unit *unit, const DlReply *reply)
{
        DlScsiCapacity capacity = {0};

        if (reply->status == DL_STATUS_GOOD) {
                set_capacity(unit, "READ CAPACITY(16)",
                             dl_scsi_capacity16_parse(reply->data, reply->size, &capacity),
                             &capacity);
                if (unit->capacity.provisioning) {
                        send_page(unit, STEP_LIMITS);
                        send_page(unit, STEP_PROVISIONING);
                }
        } else if (is_check(reply, dl_scsi_sense_is_not_supported)) {
                send_step(unit, STEP_CAPACITY10);
        } else {
                no_capacity(unit, "READ CAPACITY(16)", reply);
        }
}

static void take_capacity10(Unit *unit, const DlReply *reply)
{
        DlScsiCapacity capacity = {0};

        if (reply->status == DL_STATUS_GOOD)
                set_capacity(unit, "READ CAPACITY(10)",
                             dl_scsi_capacity10_parse(reply->data, reply->size, &capacity),
                             &capacity);
        else
                no_capacity(unit, "READ CAPACITY(10)", reply);
}

static void take_mode(Unit *unit, const DlReply *reply)
{
        DlScsiMode mode;

        unit->lun->told_protection = true;
        if (reply->status == DL_STATUS_GOOD &&
            dl_scsi_mode6_parse(reply->data, reply->size, &mode) == 0)
                unit->lun->write_protected = mode.write_protected;
}

static void keep_page(Unit *unit, StepKind kind, const DlReply *reply)
{
        if (reply->status == DL_STATUS_GOOD && reply->size > 0)
                unit->pages[kind] = g_bytes_new(reply->data, reply->size);
}

/* ---- conclusions -------------------------------------------------------------------------- */

static void conclude_discard(Unit *unit)
{
        size_t limits_size, provisioning_size;
        const uint8_t *limits_page = page(unit, STEP_LIMITS, &limits_size),
                      *provisioning_page = page(unit, STEP_PROVISIONING, &provisioning_size);
        DlScsiBlockLimits limits;
        DlScsiProvisioning provisioning;
        bool has_limits = limits_page &&
                          dl_scsi_block_limits_parse(limits_page, limits_size, &limits) == 0;
        bool has_provisioning = provisioning_page &&
                                dl_scsi_provisioning_parse(provisioning_page, provisioning_size,
                                                           &provisioning) == 0;

        unit->lun->discard_max_bytes = dl_scsi_discard_max_bytes(
                &unit->capacity, has_provisioning ? &provisioning : NULL,
                has_limits ? &limits : NULL);
}

static void replace(char **string, char *with)
{
        if (!with)
                return;
        g_free(*string);
        *string = with;
}

static void conclude(Unit *unit)
{
        size_t id_size, serial_size;
        const uint8_t *id = page(unit, STEP_IDENTIFICATION, &id_size),
                      *serial = page(unit, STEP_SERIAL, &serial_size);
        DlIscsiLun *lun = unit->lun;

        if (!unit->second)
                return;
        replace(&lun->vendor, g_strdup(unit->inquiry.vendor));
        replace(&lun->product, g_strdup(unit->inquiry.product));
        replace(&lun->revision, g_strdup(unit->inquiry.revision));
        if (serial)
                replace(&lun->serial, dl_scsi_vpd_serial(serial, serial_size));
        lun->guid = dl_scsi_guid(&unit->inquiry, id, id_size, serial, serial_size);
        lun->fingerprint = dl_scsi_fingerprint(id, id_size);
        conclude_discard(unit);
}

/* ---- waves -------------------------------------------------------------------------------- */

static void send_second_wave(Unit *unit)
{
        unit->second = true;
        send_page(unit, STEP_IDENTIFICATION);
        send_page(unit, STEP_SERIAL);
        if (dl_scsi_inquiry_is_disk(&unit->inquiry)) {
                send_step(unit, STEP_CAPACITY16);
                if (!unit->inspection->all) /* it matters to who uses it, and there are many */
                        send_step(unit, STEP_MODE);
        }
}

static void unit_done(Unit *unit)
{
        Inspection *inspection = unit->inspection;

        conclude(unit);
        if (--inspection->busy == 0)
                dl_operation_finish(&inspection->operation, NULL);
}

static void on_step(const DlReply *reply, void *userdata)
{
        Step *step = userdata;
        Unit *unit = step->unit;

        if (!reply)
                unit_fail(unit, DL_ERROR_TIMED_OUT, "LUN %" PRIu64 " does not answer in time",
                          unit->lun->lun);
        else if (steps[step->kind].take)
                steps[step->kind].take(unit, reply);
        else
                keep_page(unit, step->kind, reply);
        if (--unit->pending > 0)
                return;
        if (!unit->second && !unit->lun->error)
                send_second_wave(unit);
        if (unit->pending == 0)
                unit_done(unit);
}

static void send_first_wave(Unit *unit)
{
        send_step(unit, STEP_READY);
        send_step(unit, STEP_INQUIRY);
        send_step(unit, STEP_PAGES);
}

/* ---- REPORT LUNS -------------------------------------------------------------------------- */

/* libiscsi has room for the first two bytes of a LUN's address. */
static bool short_address(const DlScsiLun *lun, uint16_t *ret)
{
        static const uint8_t zeros[DL_SCSI_LUN_WIRE_SIZE - 2];

        if (memcmp(lun->wire + 2, zeros, sizeof zeros) != 0)
                return false;
        *ret = (uint16_t)(lun->wire[0] << 8 | lun->wire[1]);
        return true;
}

static void unit_init(Inspection *inspection, size_t index, uint64_t number, const DlScsiLun *lun)
{
        Unit *unit = &inspection->units[index];

        *unit = (Unit){.inspection = inspection, .lun = &inspection->luns[index]};
        *unit->lun = (DlIscsiLun){
                .lun = number,
                .device_type = DL_SCSI_TYPE_UNKNOWN,
                .vendor = g_strdup(""),
                .product = g_strdup(""),
                .revision = g_strdup(""),
                .serial = g_strdup(""),
        };
        for (unsigned i = 0; i < _STEP_MAX; i++)
                unit->steps[i] = (Step){.unit = unit, .kind = (StepKind)i};
        if (!lun)
                unit_fail(unit, DL_ERROR_LUN_NOT_VISIBLE,
                          "The target has no LUN %" PRIu64 " for this initiator; map it on the "
                          "array",
                          number);
        else if (!short_address(lun, &unit->address))
                unit_fail(unit, DL_ERROR_LIMITS_EXCEEDED,
                          "LUN numbers above %" PRIu64 " cannot be used", DL_SCSI_LUN_FLAT_MAX);
}

/* units for all the LUNs, or for the wanted ones; both lists ascend */
static void make_units(Inspection *inspection, const DlScsiLun *luns, size_t n_luns)
{
        size_t n = inspection->all ? n_luns : inspection->wanted->len, at = 0;

        inspection->n_units = n;
        inspection->units = g_new0(Unit, n);
        inspection->luns = g_new0(DlIscsiLun, n);
        for (size_t i = 0; i < n; i++) {
                uint64_t number = inspection->all ? luns[i].number
                                                  : g_array_index(inspection->wanted, uint64_t, i);

                while (at < n_luns && luns[at].number < number)
                        at++;
                unit_init(inspection, i, number,
                          at < n_luns && luns[at].number == number ? &luns[at] : NULL);
        }
}

static void start_units(Inspection *inspection)
{
        for (size_t i = 0; i < inspection->n_units; i++)
                if (!inspection->units[i].lun->error) {
                        inspection->busy++;
                        send_first_wave(&inspection->units[i]);
                }
        if (inspection->busy == 0)
                dl_operation_finish(&inspection->operation, NULL);
}

static GError *luns_error(const Inspection *inspection, int r)
{
        unsigned max = dl_operation_limits(&inspection->operation)->luns_max;

        if (r == -EBADMSG)
                return g_error_new_literal(DL_ERROR, DL_ERROR_PROTOCOL_ERROR,
                                           "The target's list of LUNs is malformed");
        return g_error_new(DL_ERROR, DL_ERROR_LIMITS_EXCEEDED,
                           "The target has more than %u LUNs; raise the limit", max);
}

static void on_luns(const DlReply *reply, void *userdata)
{
        Inspection *inspection = userdata;
        g_autofree DlScsiLun *luns = NULL;
        size_t n_luns, ignored;
        int r;

        if (!reply || reply->status != DL_STATUS_GOOD) {
                g_autofree char *reason = reply ? why(reply) : NULL;

                dl_operation_finish(
                        &inspection->operation,
                        reply ? g_error_new(DL_ERROR, DL_ERROR_PROTOCOL_ERROR,
                                            "The target does not list its LUNs: %s", reason)
                              : g_error_new_literal(DL_ERROR, DL_ERROR_TIMED_OUT,
                                                    "The target does not list its LUNs in time"));
                return;
        }
        r = dl_scsi_luns_parse(reply->data, reply->size,
                               dl_operation_limits(&inspection->operation)->luns_max, &luns,
                               &n_luns, &ignored);
        if (r < 0) {
                dl_operation_finish(&inspection->operation, luns_error(inspection, r));
                return;
        }
        make_units(inspection, luns, n_luns);
        start_units(inspection);
}

static void inspection_ready(DlIscsiOperation *operation)
{
        Inspection *inspection = (Inspection *)operation;
        size_t max = MIN(dl_operation_limits(operation)->luns_max, DL_SCSI_LUN_FLAT_MAX + 1);
        uint32_t size = (uint32_t)(DL_SCSI_LUN_WIRE_SIZE * (max + 1));
        uint8_t cdb[12] = {[0] = 0xa0};

        for (unsigned i = 0; i < 4; i++)
                cdb[6 + i] = (uint8_t)(size >> (24 - 8 * i));
        inspection->tpgt = dl_session_tpgt(operation->session);
        g_strfreev(inspection->way);
        inspection->way = dl_session_way(operation->session);
        dl_session_command(operation->session, 0, cdb, sizeof cdb, size, on_luns, inspection);
}

/* ---- the operation ------------------------------------------------------------------------ */

static void inspection_report(DlIscsiOperation *operation, const GError *error)
{
        Inspection *inspection = (Inspection *)operation;
        DlIscsiInspection result = {
                .tpgt = inspection->tpgt,
                .way = (const char *const *)inspection->way,
                .luns = inspection->luns,
                .n_luns = inspection->n_units,
        };

        inspection->done(error ? NULL : &result, error, operation->userdata);
}

static void unit_clear(Unit *unit)
{
        for (unsigned i = 0; i < _STEP_MAX; i++)
                g_bytes_unref(unit->pages[i]);
        g_clear_error(&unit->lun->error);
        g_free(unit->lun->guid);
        g_free(unit->lun->fingerprint);
        g_free(unit->lun->vendor);
        g_free(unit->lun->product);
        g_free(unit->lun->revision);
        g_free(unit->lun->serial);
}

static void inspection_clear(DlIscsiOperation *operation)
{
        Inspection *inspection = (Inspection *)operation;

        for (size_t i = 0; i < inspection->n_units; i++)
                unit_clear(&inspection->units[i]);
        g_free(inspection->units);
        g_free(inspection->luns);
        g_strfreev(inspection->way);
        g_array_unref(inspection->wanted);
}

static const DlOperationKind inspection_kind = {
        .size = sizeof(Inspection),
        .ready = inspection_ready,
        .report = inspection_report,
        .clear = inspection_clear,
};

static int compare_numbers(const void *a, const void *b)
{
        uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

        return x < y ? -1 : x > y;
}

DlIscsiOperation *dl_iscsi_inspect(DlIscsi *iscsi, const char *iqn, const DlIscsiPortal *portal,
                                   const DlIscsiCredentials *credentials, const uint64_t *luns,
                                   size_t n_luns, DlIscsiInspected done, void *userdata)
{
        DlIscsiOperation *operation = dl_operation_new(iscsi, &inspection_kind, iqn, portal,
                                                       credentials, userdata);
        Inspection *inspection = (Inspection *)operation;

        inspection->done = done;
        inspection->all = n_luns == 0;
        inspection->wanted = g_array_new(FALSE, FALSE, sizeof(uint64_t));
        if (n_luns > 0)
                g_array_append_vals(inspection->wanted, luns, (guint)n_luns);
        g_array_sort(inspection->wanted, compare_numbers);
        for (guint i = inspection->wanted->len; i > 1; i--)
                if (g_array_index(inspection->wanted, uint64_t, i - 1) ==
                    g_array_index(inspection->wanted, uint64_t, i - 2))
                        g_array_remove_index(inspection->wanted, i - 1);
        return operation;
}
