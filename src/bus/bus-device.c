/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * oVirt's device dictionary: whoever talks to VDSM sends strings for everything, others send native
 * types; both are taken. What a value means for a VM (interfaces, formats) is for the core to
 * judge; what cannot be understood at all is refused here. Loop thread only.
 */

#include "bus/bus-device.h"

#include "bus/bus-object.h"
#include "bus/bus-options.h"
#include "util/error.h"

#include <string.h>

#define ISCSI_PORT 3260

static bool refuse(GError **error, const char *key, const char *what)
{
        g_set_error(error, DL_ERROR, DL_ERROR_INVALID_ARGS, "'%s' %s", key, what);
        return false;
}

static bool is_one_of(const char *value, const char *const *allowed)
{
        return g_strv_contains(allowed, value);
}

/* ---- addresses ----------------------------------------------------------------------------- */

static bool is_number(const char *s)
{
        unsigned base = g_ascii_strncasecmp(s, "0x", 2) == 0 ? 16 : 10;

        return g_ascii_string_to_unsigned(base == 16 ? s + 2 : s, base, 0, UINT16_MAX, NULL, NULL);
}

static bool address_set(DlAddress *address, const char *key, const char *value, GError **error)
{
        static const char *const keys[] = {"type",       "domain", "bus",  "slot", "function",
                                           "controller", "target", "unit", NULL};
        static const char *const types[] = {"pci", "drive", NULL};

        if (!is_one_of(key, keys)) {
                g_set_error(error, DL_ERROR, DL_ERROR_INVALID_ARGS, "unknown key '%s' in 'address'",
                            key);
                return false;
        }
        if (strcmp(key, "type") == 0 ? !is_one_of(value, types) : !is_number(value)) {
                g_set_error(error, DL_ERROR, DL_ERROR_INVALID_ARGS,
                            "'%s' is no valid '%s' of an address", value, key);
                return false;
        }
        if (!g_hash_table_insert(address, g_strdup(key), g_strdup(value)))
                return refuse(error, key, "is given twice in 'address'");
        return true;
}

static bool read_address_entry(sd_bus_message *m, const char *key, const char *contents,
                               void *userdata, GError **error)
{
        g_autofree char *number = NULL;
        DlBusValue value;

        if (!dl_bus_value_read(m, key, contents, &value, error))
                return false;
        if (value.type == 'i')
                number = g_strdup_printf("%" G_GINT64_FORMAT, value.integer);
        else if (value.type != 's')
                return refuse(error, key, "of an address must be a string or an integer");
        return address_set(userdata, key, number ? number : value.string, error);
}

static bool read_string_address(sd_bus_message *m, DlAddress *address, GError **error)
{
        const char *key, *value;
        int r;

        r = sd_bus_message_enter_container(m, 'a', "{ss}");
        while (r >= 0 && (r = sd_bus_message_read(m, "{ss}", &key, &value)) > 0)
                if (!address_set(address, key, value, error))
                        return false;
        if (r >= 0)
                r = sd_bus_message_exit_container(m);
        return dl_bus_read_ok(r, "address", error);
}

/* A key belongs to PCI addresses, to drive addresses, or to both. */
static bool check_address(DlAddress *address, GError **error)
{
        static const char *const pci[] = {"domain", "slot", "function", NULL};
        static const char *const drive[] = {"controller", "target", "unit", NULL};
        const char *type = g_hash_table_lookup(address, "type");
        const char *const *wrong;

        if (!type)
                return refuse(error, "address", "needs a 'type': 'pci' or 'drive'");
        wrong = strcmp(type, "pci") == 0 ? drive : pci;
        for (; *wrong; wrong++)
                if (g_hash_table_contains(address, *wrong)) {
                        g_set_error(error, DL_ERROR, DL_ERROR_INVALID_ARGS,
                                    "an address of type '%s' has no '%s'", type, *wrong);
                        return false;
                }
        return true;
}

static bool read_address(sd_bus_message *m, const char *contents, DlBusDevice *device,
                         GError **error)
{
        bool ok;

        device->address = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
        if (strcmp(contents, "a{sv}") == 0)
                ok = dl_bus_dictionary_read(m, read_address_entry, device->address, error);
        else if (strcmp(contents, "a{ss}") == 0)
                ok = read_string_address(m, device->address, error);
        else
                return refuse(error, "address", "must be a dictionary of strings");
        if (!ok)
                return false;
        if (g_hash_table_size(device->address) == 0) /* oVirt's way to say: any */
                return true;
        device->spec.address = device->address;
        return check_address(device->address, error);
}

/* ---- the inline LUN ------------------------------------------------------------------------ */

static bool read_lun_entry(sd_bus_message *m, const char *key, const char *contents, void *userdata,
                           GError **error)
{
        DlBusDevice *device = userdata;
        DlDeviceSpec *spec = &device->spec;
        const char *type;
        DlBusValue value;
        int64_t port;

        if (!dl_bus_value_read(m, key, contents, &value, error))
                return false;
        if (strcmp(key, "type") == 0) {
                if (!dl_bus_value_to_name(&value, &type, error))
                        return false;
                return g_ascii_strcasecmp(type, "iscsi") == 0 ||
                       refuse(error, key, "of a LUN must be 'iscsi'");
        }
        if (strcmp(key, "address") == 0)
                return dl_bus_value_to_name(&value, &spec->inline_lun.address, error);
        if (strcmp(key, "target") == 0)
                return dl_bus_value_to_name(&value, &spec->inline_lun.iqn, error);
        if (strcmp(key, "id") == 0)
                return dl_bus_value_to_name(&value, &spec->inline_lun.guid, error);
        if (strcmp(key, "user") == 0)
                return dl_bus_value_to_name(&value, &device->chap.user, error);
        if (strcmp(key, "port") == 0) {
                if (!dl_bus_value_to_integer(&value, 1, UINT16_MAX, &port, error))
                        return false;
                spec->inline_lun.port = (uint16_t)port;
                return true;
        }
        if (strcmp(key, "secret") == 0) {
                device->chap.secret = value.fd;
                return value.type == 'h' || refuse(error, key, "must be a file descriptor");
        }
        if (strcmp(key, "secret-token") == 0)
                return dl_bus_value_to_name(&value, &device->chap.secret_token, error);
        g_set_error(error, DL_ERROR, DL_ERROR_INVALID_ARGS, "unknown key '%s' in 'lun'", key);
        return false;
}

static bool read_lun(sd_bus_message *m, const char *contents, DlBusDevice *device, GError **error)
{
        DlDeviceSpec *spec = &device->spec;

        if (strcmp(contents, "a{sv}") != 0)
                return refuse(error, "lun", "must be a dictionary a{sv}");
        device->has_lun = true;
        spec->inline_lun.port = ISCSI_PORT;
        if (!dl_bus_dictionary_read(m, read_lun_entry, device, error))
                return false;
        if (!spec->inline_lun.address || !spec->inline_lun.iqn || !spec->inline_lun.guid)
                return refuse(error, "lun", "needs 'address', 'target' and 'id'");
        return dl_bus_chap_check(&device->chap, error);
}

/* ---- the device ---------------------------------------------------------------------------- */

static const char *const device_types[] = {"disk", NULL};
static const char *const device_devices[] = {"disk", "lun", NULL};
static const char *const device_data_paths[] = {"auto", "qemu", "block", NULL};

static const struct {
        const char *key;
        size_t offset; /* in DlDeviceSpec: const char * */
        const char *const *allowed;
        size_t max; /* bytes; 0: DL_BUS_NAME_MAX, and not empty */
} strings[] = {
        {"type", offsetof(DlDeviceSpec, type), device_types},
        {"device", offsetof(DlDeviceSpec, device), device_devices},
        {"iface", offsetof(DlDeviceSpec, iface)},
        {"format", offsetof(DlDeviceSpec, format)},
        {"GUID", offsetof(DlDeviceSpec, guid)},
        {"image", offsetof(DlDeviceSpec, image)},
        {"data-path", offsetof(DlDeviceSpec, data_path), device_data_paths},
        {"alias", offsetof(DlDeviceSpec, alias)},
        {"description", offsetof(DlDeviceSpec, description), NULL, DL_BUS_DESCRIPTION_MAX},
};

static const struct {
        const char *key;
        size_t offset; /* in DlDeviceSpec: bool */
} booleans[] = {
        {"propagateErrors", offsetof(DlDeviceSpec, propagate_errors)},
        {"optional", offsetof(DlDeviceSpec, optional)},
        {"readonly", offsetof(DlDeviceSpec, readonly)},
        {"discard", offsetof(DlDeviceSpec, discard)},
        {"reservations", offsetof(DlDeviceSpec, reservations)},
        {"managed_reservation", offsetof(DlDeviceSpec, reservations)}, /* as VDSM calls it */
};

/* What VDSM knows besides, and a LUN does not have or is not asked about. */
static const struct {
        const char *key, *why;
} refused[] = {
        {"serial", "cannot be set: it is the vDisk's id, and stays the same for good"},
        {"cache", "cannot be set: a LUN is used without the host's cache (none), so that several "
                  "hosts see the same data"},
        {"io", "cannot be set: QEMU's iSCSI initiator is asynchronous by itself"},
        {"sgio", "cannot be set: QEMU's iSCSI initiator passes every SCSI command of device lun"},
        {"iotune", "is not supported: set limits with virsh blkdeviotune"},
        {"specParams", "is not supported: a LUN has no such parameters here"},
        {"custom", "is not supported: a LUN has no custom properties here"},
        {"diskType", "is not supported: give data-path, or leave it to the service"},
        {"path", "is not supported: name the LUN by its GUID"},
        {"deviceId", "cannot be set: attachments have ids of their own"},
        {"imageID", "is not supported: a LUN is no image of a storage domain"},
        {"volumeID", "is not supported: a LUN is no image of a storage domain"},
        {"domainID", "is not supported: a LUN is no image of a storage domain"},
        {"poolID", "is not supported: a LUN is no image of a storage domain"},
};

static bool set_string(DlDeviceSpec *spec, unsigned i, const DlBusValue *value, GError **error)
{
        const char **to = (const char **)(void *)((char *)spec + strings[i].offset);

        if (strings[i].max && value->type == 's') {
                *to = value->string;
                return dl_bus_check_text(value->name, value->string, 0, strings[i].max, error);
        }
        if (!dl_bus_value_to_name(value, to, error))
                return false;
        if (!strings[i].allowed || is_one_of(*to, strings[i].allowed))
                return true;
        g_set_error(error, DL_ERROR, DL_ERROR_INVALID_ARGS, "'%s' cannot be '%s'", value->name,
                    *to);
        return false;
}

static bool set_number(DlDeviceSpec *spec, const DlBusValue *value, GError **error)
{
        int64_t integer;
        bool plug;

        if (strcmp(value->name, "index") == 0) {
                if (!dl_bus_value_to_integer(value, 0, 1023, &integer, error))
                        return false;
                spec->index = (int)integer;
                return true;
        }
        if (strcmp(value->name, "bootOrder") == 0) {
                if (!dl_bus_value_to_integer(value, 0, 1023, &integer, error))
                        return false;
                spec->boot_order = (unsigned)integer;
                return true;
        }
        if (strcmp(value->name, "plug") == 0) {
                if (!dl_bus_value_to_bool(value, &plug, error))
                        return false;
                spec->plug = plug;
                return true;
        }
        g_set_error(error, DL_ERROR, DL_ERROR_INVALID_ARGS, "unknown key '%s' in the device",
                    value->name);
        return false;
}

static bool set_vdisk(DlBusDevice *device, const DlBusValue *value, GError **error)
{
        device->vdisk = value->type == 's' ? dl_bus_path_id(DL_KIND_VDISK, value->string) : NULL;
        device->spec.vdisk = device->vdisk;
        return device->vdisk || refuse(error, "vdisk", "must be the object path of a vDisk");
}

/* VDSM also says how it is shared; other overlays of the data than images there are not. */
static bool set_shared(DlDeviceSpec *spec, const DlBusValue *value, GError **error)
{
        const char *text = value->type == 's' ? value->string : "";

        if (g_ascii_strcasecmp(text, "transient") == 0)
                return refuse(error, "shared", "cannot be 'transient': a LUN has no such overlay");
        spec->shared = g_ascii_strcasecmp(text, "shared") == 0;
        return spec->shared || g_ascii_strcasecmp(text, "exclusive") == 0 ||
               g_ascii_strcasecmp(text, "none") == 0 ||
               dl_bus_value_to_bool(value, &spec->shared, error);
}

static bool read_device_entry(sd_bus_message *m, const char *key, const char *contents,
                              void *userdata, GError **error)
{
        DlBusDevice *device = userdata;
        DlBusValue value;

        if (strcmp(key, "address") == 0)
                return read_address(m, contents, device, error);
        if (strcmp(key, "lun") == 0)
                return read_lun(m, contents, device, error);
        for (unsigned i = 0; i < G_N_ELEMENTS(refused); i++)
                if (strcmp(key, refused[i].key) == 0)
                        return refuse(error, key, refused[i].why);
        if (!dl_bus_value_read(m, key, contents, &value, error))
                return false;
        if (strcmp(key, "vdisk") == 0)
                return set_vdisk(device, &value, error);
        if (strcmp(key, "shared") == 0)
                return set_shared(&device->spec, &value, error);
        for (unsigned i = 0; i < G_N_ELEMENTS(strings); i++)
                if (strcmp(key, strings[i].key) == 0)
                        return set_string(&device->spec, i, &value, error);
        for (unsigned i = 0; i < G_N_ELEMENTS(booleans); i++)
                if (strcmp(key, booleans[i].key) == 0)
                        return dl_bus_value_to_bool(
                                &value,
                                (bool *)(void *)((char *)&device->spec + booleans[i].offset),
                                error);
        return set_number(&device->spec, &value, error);
}

bool dl_bus_device_read(sd_bus_message *m, DlBusDevice *ret, GError **error)
{
        *ret = (DlBusDevice){
                .spec = {.index = -1, .plug = -1},
                .chap = DL_BUS_CHAP_NONE,
        };
        if (!dl_bus_dictionary_read(m, read_device_entry, ret, error))
                return false;
        if (!!ret->spec.guid + !!ret->spec.vdisk + ret->has_lun != 1) {
                g_set_error(error, DL_ERROR, DL_ERROR_INVALID_ARGS,
                            "the device must have exactly one of 'GUID', 'vdisk' and 'lun'");
                return false;
        }
        return true;
}

void dl_bus_device_clear(DlBusDevice *device)
{
        g_clear_pointer(&device->address, g_hash_table_unref);
        g_clear_pointer(&device->vdisk, g_free);
        dl_bus_chap_clear(&device->chap);
}
