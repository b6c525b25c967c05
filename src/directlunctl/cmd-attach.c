/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* attach: from options to oVirt's device dictionary. Options are GOption's until the end. One
 * thread. */

#include "directlunctl/command.h"
#include "directlunctl/disk.h"
#include "directlunctl/parse.h"
#include "directlunctl/secret-input.h"

#include <unistd.h>

#define INDEX_MAX      1023
#define BOOT_ORDER_MAX 1023

static struct {
        char *iface, *device, *index, *boot_order, *address, *data_path, *lun, *image;
        char *alias, *description;
        gboolean shared, readonly, optional, propagate_errors, discard, reservations, no_plug;
        gboolean force, if_needed;
} arg;
static CtlSecretSource secret = CTL_SECRET_SOURCE_NONE;

const GOptionEntry ctl_attach_options[] = {
        {"iface", 0, 0, G_OPTION_ARG_FILENAME, &arg.iface, "virtio (default), scsi, sata or ide",
         "IFACE"},
        {"device", 0, 0, G_OPTION_ARG_FILENAME, &arg.device, "disk (default) or lun", "DEVICE"},
        {"index", 0, 0, G_OPTION_ARG_FILENAME, &arg.index, "its place among the disks of its iface",
         "N"},
        {"boot-order", 0, 0, G_OPTION_ARG_FILENAME, &arg.boot_order, "when it is booted from", "N"},
        {"address", 0, 0, G_OPTION_ARG_FILENAME, &arg.address,
         "type=pci with domain, bus, slot, function; type=drive with controller, bus, target, unit",
         "KEY=VALUE,…"},
        {"shared", 0, 0, G_OPTION_ARG_NONE, &arg.shared, "other VMs may have it too", NULL},
        {"readonly", 0, 0, G_OPTION_ARG_NONE, &arg.readonly, "the guest may only read", NULL},
        {"image", 0, 0, G_OPTION_ARG_FILENAME, &arg.image,
         "what the vDisk was at the moment of this image; with --readonly", "IMAGE"},
        {"optional", 0, 0, G_OPTION_ARG_NONE, &arg.optional, "the VM may run without it", NULL},
        {"propagate-errors", 0, 0, G_OPTION_ARG_NONE, &arg.propagate_errors,
         "tell the guest of I/O errors, rather than pause it", NULL},
        {"discard", 0, 0, G_OPTION_ARG_NONE, &arg.discard,
         "free in the LUN what the guest discards", NULL},
        {"reservations", 0, 0, G_OPTION_ARG_NONE, &arg.reservations,
         "for persistent reservations of the guest; needs --device=lun", NULL},
        {"no-plug", 0, 0, G_OPTION_ARG_NONE, &arg.no_plug, "do not plug it, even if the VM runs",
         NULL},
        {"data-path", 0, 0, G_OPTION_ARG_FILENAME, &arg.data_path, "auto (default), qemu or block",
         "PATH"},
        {"alias", 0, 0, G_OPTION_ARG_FILENAME, &arg.alias, "name of a vDisk that this makes",
         "NAME"},
        {"description", 0, 0, G_OPTION_ARG_FILENAME, &arg.description, "description of it", "TEXT"},
        {"lun", 0, 0, G_OPTION_ARG_FILENAME, &arg.lun,
         "a LUN that need not be known: address, port, target, id (the GUID), user", "KEY=VALUE,…"},
        {"secret-file", 0, 0, G_OPTION_ARG_FILENAME, &secret.file,
         "read the CHAP secret of that user from a file (-: standard input)", "FILE"},
        {"secret-fd", 0, 0, G_OPTION_ARG_INT, &secret.fd, "read it from a file descriptor", "FD"},
        {"ask-secret", 0, 0, G_OPTION_ARG_NONE, &secret.ask, "ask for it", NULL},
        {"force", 0, 0, G_OPTION_ARG_NONE, &arg.force, "even if somebody else uses the LUN", NULL},
        {"if-needed", 0, 0, G_OPTION_ARG_NONE, &arg.if_needed,
         "succeed if it is attached to this VM already", NULL},
        {},
};

/* ---- what to attach ------------------------------------------------------------------------ */

static bool add_inline_lun(Ctl *ctl, CtlCall *call, const char *const *lun, GError **error)
{
        const char *port = ctl_pair(lun, "port");
        uint16_t number = CTL_ISCSI_PORT;
        int fd;

        if (port && !ctl_parse_port(port, &number, error))
                return false;
        secret.user = (char *)ctl_pair(lun, "user");
        if (!ctl_secret_open(ctl, &secret, &fd, error))
                return false;
        ctl_call_entry_open(call, "lun");
        ctl_call_entry(call, "type", "s", "iscsi");
        ctl_call_entry(call, "address", "s", ctl_pair(lun, "address"));
        ctl_call_entry(call, "port", "q", number);
        ctl_call_entry(call, "target", "s", ctl_pair(lun, "target"));
        ctl_call_entry(call, "id", "s", ctl_pair(lun, "id"));
        if (fd >= 0) {
                ctl_call_entry(call, "user", "s", secret.user);
                ctl_call_entry(call, "secret", "h", fd); /* the message has one of its own */
                close(fd);
        }
        ctl_call_entry_close(call);
        return true;
}

static bool parse_inline_lun(GStrv *ret, GError **error)
{
        static const char *const allowed[] = {"address", "port", "target", "id", "user", NULL};
        static const char *const needed[] = {"address", "target", "id"};
        g_auto(GStrv) lun = NULL;

        if (!ctl_parse_pairs("--lun", arg.lun, allowed, &lun, error))
                return false;
        for (unsigned i = 0; i < G_N_ELEMENTS(needed); i++)
                if (!ctl_pair((const char *const *)lun, needed[i]))
                        return ctl_usage_error(error, "--lun needs '%s'", needed[i]);
        *ret = g_steal_pointer(&lun);
        return true;
}

/* A vDisk by whatever name; else it is a GUID, and the service says if it is none. */
static bool add_disk(CtlCall *call, const CtlObjects *objects, const char *word, GError **error)
{
        g_autoptr(GError) ambiguous = NULL;
        JsonObject *vdisk;

        if (ctl_objects_find(objects, "lun", word, NULL)) {
                JsonObject *lun = ctl_objects_find(objects, "lun", word, NULL);

                ctl_call_entry(call, "GUID", "s", ctl_json_string(lun, "Guid"));
                return true;
        }
        vdisk = ctl_objects_find(objects, "vdisk", word, &ambiguous);
        if (vdisk) {
                ctl_call_entry(call, "vdisk", "o", ctl_json_string(vdisk, "path"));
        } else if (dl_error_code(ambiguous) == DL_ERROR_INVALID_ARGS) {
                g_propagate_error(error, g_steal_pointer(&ambiguous));
                return false;
        } else {
                ctl_call_entry(call, "GUID", "s", word);
        }
        return true;
}

/* ---- how to attach it ---------------------------------------------------------------------- */

static void add_string(CtlCall *call, const char *name, const char *value)
{
        if (value)
                ctl_call_entry(call, name, "s", value);
}

static void add_flag(CtlCall *call, const char *name, bool value)
{
        if (value)
                ctl_call_entry(call, name, "b", 1);
}

static bool add_number(CtlCall *call, const char *option, const char *name, const char *text,
                       int64_t min, int64_t max, GError **error)
{
        int64_t number;

        if (!text)
                return true;
        if (!ctl_parse_integer(option, text, min, max, &number, error))
                return false;
        ctl_call_entry(call, name, "i", (int)number);
        return true;
}

static bool add_address(CtlCall *call, GError **error)
{
        static const char *const allowed[] = {"type",       "domain", "bus",  "slot", "function",
                                              "controller", "target", "unit", NULL};
        g_auto(GStrv) address = NULL;

        if (!arg.address)
                return true;
        if (!ctl_parse_pairs("--address", arg.address, allowed, &address, error))
                return false;
        ctl_call_entry_pairs(call, "address", (const char *const *)address);
        return true;
}

static bool add_options(CtlCall *call, GError **error)
{
        add_string(call, "iface", arg.iface);
        add_string(call, "device", arg.device);
        add_string(call, "data-path", arg.data_path);
        add_string(call, "image", arg.image);
        add_string(call, "alias", arg.alias);
        add_string(call, "description", arg.description);
        add_flag(call, "shared", arg.shared);
        add_flag(call, "readonly", arg.readonly);
        add_flag(call, "optional", arg.optional);
        add_flag(call, "propagateErrors", arg.propagate_errors);
        add_flag(call, "discard", arg.discard);
        add_flag(call, "reservations", arg.reservations);
        if (arg.no_plug)
                ctl_call_entry(call, "plug", "b", 0);
        return add_number(call, "--index", "index", arg.index, 0, INDEX_MAX, error) &&
               add_number(call, "--boot-order", "bootOrder", arg.boot_order, 0, BOOT_ORDER_MAX,
                          error) &&
               add_address(call, error);
}

/* ---- attach -------------------------------------------------------------------------------- */

static bool check_arguments(char **args, GError **error)
{
        if (!arg.lun == !args[1])
                return ctl_usage_error(error, "attach needs one disk: a GUID, a vDisk or --lun");
        if (!arg.lun && (secret.file || secret.fd >= 0 || secret.ask))
                return ctl_usage_error(error, "a secret is for a LUN given with --lun");
        return true;
}

static bool show(Ctl *ctl, const CtlObjects *objects, JsonObject *attachment, bool changed)
{
        if (attachment)
                ctl_view_result(ctl, objects, attachment, changed);
        return attachment;
}

/* With --if-needed it is no error that the VM has the disk already. */
static bool forgive(Ctl *ctl, const char *vm, const char *disk, GError *failure, GError **error)
{
        g_autoptr(CtlObjects) objects = NULL;
        JsonObject *attachment = NULL;

        if (arg.if_needed && dl_error_code(failure) == DL_ERROR_ALREADY_ATTACHED) {
                objects = ctl_objects_load(ctl, NULL);
                attachment = objects ? ctl_find_disk(objects, vm, disk, NULL) : NULL;
        }
        if (!attachment) {
                g_propagate_error(error, failure);
                return false;
        }
        g_error_free(failure);
        ctl_note(ctl, "Nothing to do: it is attached, as it was.");
        return show(ctl, objects, attachment, false);
}

static sd_bus_message *call_attach(Ctl *ctl, const char *vm, const char *disk,
                                   const char *const *lun, GError **error)
{
        g_autoptr(CtlObjects) objects = lun ? NULL : ctl_objects_load(ctl, error);
        g_autoptr(CtlCall) call = NULL;

        if (!lun && !objects)
                return NULL;
        call = ctl_call_new(ctl, vm, "Vm", "AttachDisk", error);
        if (!call)
                return NULL;
        ctl_call_open(call);
        if (!(lun ? add_inline_lun(ctl, call, lun, error) : add_disk(call, objects, disk, error)) ||
            !add_options(call, error))
                return NULL;
        ctl_call_close(call);
        ctl_call_open(call);
        return ctl_call_run(call, error);
}

bool ctl_attach(Ctl *ctl, char **args, GError **error)
{
        g_autoptr(sd_bus_message) reply = NULL;
        g_autoptr(CtlObjects) objects = NULL;
        g_autofree char *vm = NULL;
        g_auto(GStrv) lun = NULL;
        GError *failure = NULL;
        const char *disk = args[1], *path;

        if (!check_arguments(args, error) || (arg.lun && !parse_inline_lun(&lun, error)))
                return false;
        if (lun)
                disk = ctl_pair((const char *const *)lun, "id");
        vm = ctl_find_vm(ctl, args[0], error);
        if (!vm)
                return false;
        ctl->force = arg.force;
        reply = call_attach(ctl, vm, disk, (const char *const *)lun, &failure);
        if (!reply)
                return forgive(ctl, vm, disk, failure, error);
        if (!ctl_read_ok(sd_bus_message_read(reply, "o", &path), error))
                return false;
        objects = ctl_objects_load(ctl, error);
        return objects &&
               show(ctl, objects, ctl_objects_find(objects, "attachment", path, error), true);
}
