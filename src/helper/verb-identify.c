/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Asks a SCSI disk itself who it is. What the kernel and udev remember of it is from when it was
 * found: it stays as it was when the array gives the LUN's number to another one. A process of its
 * own.
 */

#include "verbs.h"

#include "scsi/identity.h"
#include "scsi/sense.h"
#include "util/error.h"

#include <errno.h>
#include <fcntl.h>
#include <scsi/sg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum {
        INQUIRY = 0x12,       /* SPC-6, 6.7 */
        PAGE_SIZE_MAX = 1024, /* far more than dl_scsi_guid() looks at */
        COMMAND_MSEC = 5000,
        DRIVER_SENSE = 0x08, /* of older kernels: there is sense data, which tells the rest */
};

typedef struct Page {
        uint8_t bytes[PAGE_SIZE_MAX];
        size_t size; /* 0: it does not have this one */
} Page;

static bool fail(GError **error, const char *name, const char *why)
{
        g_set_error(error, DL_ERROR, DL_ERROR_LUN_NOT_VISIBLE, "%s does not say who it is: %s",
                    name, why);
        return false;
}

/* What did not go well. A page that the disk does not have is fine, and empty. */
static bool judge(const char *name, const struct sg_io_hdr *io, Page *page, GError **error)
{
        g_autofree char *text = NULL;
        DlScsiSense sense;

        if (io->host_status != 0 || (io->driver_status & ~DRIVER_SENSE) != 0)
                return fail(error, name, "the way to it does not work");
        if (io->status == 0) {
                page->size = sizeof page->bytes - (size_t)CLAMP(io->resid, 0, PAGE_SIZE_MAX);
                return true;
        }
        if (dl_scsi_sense_parse(io->sbp, io->sb_len_wr, &sense) < 0)
                return fail(error, name, "it is busy, or reserved");
        if (dl_scsi_sense_is_not_supported(&sense))
                return true;
        text = dl_scsi_sense_to_string(&sense);
        return fail(error, name, text);
}

/* code 0: not a page, but the standard data. */
static bool ask(int fd, const char *name, uint8_t code, Page *ret, GError **error)
{
        uint8_t command[] = {INQUIRY, code != 0, code, PAGE_SIZE_MAX >> 8, PAGE_SIZE_MAX & 0xff, 0};
        uint8_t sense[64] = {};
        struct sg_io_hdr io = {
                .interface_id = 'S',
                .dxfer_direction = SG_DXFER_FROM_DEV,
                .cmd_len = sizeof command,
                .cmdp = command,
                .dxfer_len = sizeof ret->bytes,
                .dxferp = ret->bytes,
                .mx_sb_len = sizeof sense,
                .sbp = sense,
                .timeout = COMMAND_MSEC,
        };

        *ret = (Page){};
        if (ioctl(fd, SG_IO, &io) < 0)
                return fail(error, name, g_strerror(errno));
        return judge(name, &io, ret, error);
}

static bool check_identity(int fd, const char *name, const char *wanted, GError **error)
{
        Page standard, page83, page80;
        DlScsiInquiry inquiry;
        g_autoptr(GPtrArray) names = NULL;

        if (!ask(fd, name, 0, &standard, error) ||
            !ask(fd, name, DL_SCSI_VPD_IDENTIFICATION, &page83, error) ||
            !ask(fd, name, DL_SCSI_VPD_SERIAL, &page80, error))
                return false;
        if (dl_scsi_inquiry_parse(standard.bytes, standard.size, &inquiry) < 0 ||
            inquiry.qualifier != DL_SCSI_QUALIFIER_CONNECTED)
                return fail(error, name, "there is no LUN any more");

        names = dl_scsi_names(&inquiry, page83.size ? page83.bytes : NULL, page83.size,
                              page80.size ? page80.bytes : NULL, page80.size);
        if (g_ptr_array_find_with_equal_func(names, wanted, g_str_equal, NULL))
                return true;
        if (names->len == 0)
                return fail(error, name, "it has neither VPD page 0x83 nor 0x80");
        g_set_error(error, DL_ERROR, DL_ERROR_GUID_MISMATCH,
                    "%s is not %s any more, but %s: the storage array has given its number to "
                    "another LUN; correct the mapping there, or remove what is stale (RemoveStale) "
                    "and rescan",
                    name, wanted, (char *)names->pdata[0]);
        return false;
}

bool dl_helper_identify(DlHelperRequest *request, DlHelperReply *reply, int *ret_fd, GError **error)
{
        g_autofree char *name = dl_helper_device_name(request, error);
        bool is_it;
        int fd = name ? dl_helper_open_device(request, name, O_NONBLOCK) : -1;

        if (!name)
                return false;
        if (fd < 0)
                return fail(error, name, g_strerror(-fd));
        is_it = check_identity(fd, name, request->guid, error);
        close(fd);
        return is_it;
}
