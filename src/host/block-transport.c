/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where a disk is in the tree of sysfs says how it is reached:
 *   …/host3/session1/target3:0:0/3:0:0:1/block/sda          iSCSI
 *   …/host4/rport-4:0-1/target4:0:0/4:0:0:1/block/sdb       FC; below a ctlr_N: FCoE
 *   …/host5/port-5:0/end_device-5:0/target5:0:0/…           SAS
 *   …/nvme/nvme0/nvme0n1, …/nvme-subsystem/nvme-subsys0/…   NVMe
 * The transport classes' directories have the names. Where they are missing, as with some drivers,
 * udev's ID_PATH tells. One thread at a time.
 */

#include "host/block-transport.h"

#include "host/block-use.h"
#include "scsi/luns.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The part of a path that begins so and goes on with a digit: "session1". NULL: there is none. */
static char *find_part(const char *path, const char *prefix)
{
        g_auto(GStrv) parts = g_strsplit(path, "/", -1);

        for (char **part = parts; *part; part++)
                if (g_str_has_prefix(*part, prefix) && g_ascii_isdigit((*part)[strlen(prefix)]))
                        return g_strdup(*part);
        return NULL;
}

static char *class_attribute(const char *class_name, const char *device, const char *name)
{
        g_autofree char *directory = g_build_filename("/sys/class", class_name, device, NULL);

        return dl_block_attribute(directory, name);
}

static uint16_t to_u16(const char *text)
{
        guint64 value;

        return g_ascii_string_to_unsigned(text, 10, 0, UINT16_MAX, &value, NULL) ? (uint16_t)value
                                                                                 : 0;
}

/* ---- SCSI ----------------------------------------------------------------------------------- */

/* The kernel counts the eight wire bytes as 16-bit words, the first as the lowest. */
static uint64_t lun_of_kernel(uint64_t number)
{
        uint8_t wire[DL_SCSI_LUN_WIRE_SIZE];
        DlScsiLun lun;

        for (unsigned i = 0; i < sizeof wire; i += 2, number >>= 16) {
                wire[i] = (uint8_t)(number >> 8);
                wire[i + 1] = (uint8_t)number;
        }
        return dl_scsi_lun_decode(wire, &lun) == 0 ? lun.number : 0;
}

static void read_hctl(DlBlockDevice *d)
{
        g_auto(GStrv) parts = g_strsplit(d->sysfs, "/", -1);
        unsigned host, channel, target;
        unsigned long long lun;
        int size;

        for (char **part = parts; *part; part++) {
                size = 0;
                if (sscanf(*part, "%u:%u:%u:%llu%n", &host, &channel, &target, &lun, &size) < 4 ||
                    (*part)[size])
                        continue;
                d->hctl = g_strdup(*part);
                /* the first in the path is another's with NPIV: the physical port's */
                d->host = g_strdup_printf("host%u", host);
                d->lun = lun_of_kernel(lun);
                return;
        }
        d->host = find_part(d->sysfs, "host");
}

static void set_portal(DlBlockDevice *d, const char *address, const char *port)
{
        size_t n = strlen(address);
        g_autofree char *bare = n > 2 && *address == '[' ? g_strndup(address + 1, n - 2)
                                                         : g_strdup(address);

        g_free(d->address);
        d->address = dl_block_text(bare);
        d->port = to_u16(port);
}

static bool read_iscsi(DlBlockDevice *d)
{
        g_autofree char *session = find_part(d->sysfs, "session");

        if (!session)
                return false;

        const char *number = session + strlen("session");
        g_autofree char *connection = g_strdup_printf("connection%s:0", number);
        g_autofree char *address = class_attribute("iscsi_connection", connection,
                                                   "persistent_address");
        g_autofree char *port = class_attribute("iscsi_connection", connection, "persistent_port");
        g_autofree char *tpgt = class_attribute("iscsi_session", session, "tpgt");

        d->transport = DL_BLOCK_ISCSI;
        d->session = (unsigned)strtoul(number, NULL, 10);
        d->target = class_attribute("iscsi_session", session, "targetname");
        d->tpgt = to_u16(tpgt);
        set_portal(d, address, port);
        return true;
}

static bool read_fc(DlBlockDevice *d)
{
        g_autofree char *port = find_part(d->sysfs, "rport-");

        if (!port)
                return false;

        g_autofree char *adapter = class_attribute("fc_host", d->host ? d->host : "host",
                                                   "symbolic_name");
        bool is_fcoe = strstr(d->sysfs, "/ctlr_") || g_str_has_prefix(adapter, "fcoe");

        d->transport = is_fcoe ? DL_BLOCK_FCOE : DL_BLOCK_FC;
        d->target = class_attribute("fc_remote_ports", port, "port_name");
        return true;
}

static bool read_sas(DlBlockDevice *d)
{
        g_autofree char *end = find_part(d->sysfs, "end_device-");

        if (!end)
                return false;
        d->transport = DL_BLOCK_SAS;
        d->target = class_attribute("sas_device", end, "sas_address");
        return true;
}

/* "pci-0000:05:00.0-fc-0x5006016041e0a5a5-lun-0" */
static void read_address_of(DlBlockDevice *d, const char *path, const char *word,
                            DlBlockTransport transport)
{
        const char *begin = strstr(path, word);
        const char *end = begin ? g_strrstr(begin, "-lun-") : NULL;

        if (!end || end <= begin + strlen(word))
                return;
        g_autofree char *name = g_strndup(begin + strlen(word),
                                          (size_t)(end - begin) - strlen(word));
        d->transport = transport;
        g_free(d->target);
        d->target = dl_block_text(name);
}

/* "ip-192.0.2.1:3260-iscsi-iqn.2026-11.org.example:t-lun-1" */
static void read_iscsi_of_path(DlBlockDevice *d, const char *path)
{
        const char *begin = strstr(path, "ip-"), *end = begin ? strstr(begin, "-iscsi-") : NULL;

        read_address_of(d, path, "-iscsi-", DL_BLOCK_ISCSI);
        if (d->transport != DL_BLOCK_ISCSI || !end)
                return;
        g_autofree char *portal = g_strndup(begin + 3, (size_t)(end - begin - 3));
        char *colon = strrchr(portal, ':');

        if (!colon)
                return;
        *colon = '\0';
        set_portal(d, portal, colon + 1);
}

static void read_id_path(DlBlockDevice *d, const char *path)
{
        if (strstr(path, "-iscsi-"))
                read_iscsi_of_path(d, path);
        else if (strstr(path, "-fc-"))
                read_address_of(d, path, "-fc-", DL_BLOCK_FC);
        else if (strstr(path, "-sas-0x"))
                read_address_of(d, path, "-sas-", DL_BLOCK_SAS);
        else if (strstr(path, "-sas-")) /* "-sas-exp0x…-phy6-lun-0": the address is an expander's */
                d->transport = DL_BLOCK_SAS;
}

/* ---- NVMe ----------------------------------------------------------------------------------- */

/* "traddr=192.0.2.1,trsvcid=4420,…" */
static char *field_of(const char *text, const char *name)
{
        g_auto(GStrv) fields = g_strsplit(text, ",", -1);
        size_t n = strlen(name);

        for (char **field = fields; *field; field++)
                if (strncmp(*field, name, n) == 0 && (*field)[n] == '=')
                        return g_strdup(*field + n + 1);
        return g_strdup("");
}

/* With native multipath the device is the subsystem; its controllers are beside it. */
static char *find_controller(const char *directory)
{
        g_autofree char *path = g_build_filename(directory, "device", NULL);
        g_autoptr(GDir) entries = g_dir_open(path, 0, NULL);
        g_autofree char *own = dl_block_attribute(path, "transport");
        const char *name;

        if (*own)
                return g_steal_pointer(&path);
        while (entries && (name = g_dir_read_name(entries))) {
                g_autofree char *controller = g_build_filename(path, name, NULL);
                g_autofree char *transport = g_str_has_prefix(name, "nvme")
                                                     ? dl_block_attribute(controller, "transport")
                                                     : NULL;

                if (transport && *transport)
                        return g_steal_pointer(&controller);
        }
        return NULL;
}

static void read_nvme(DlBlockDevice *d)
{
        g_autofree char *controller = find_controller(d->sysfs);
        g_autofree char *transport = controller ? dl_block_attribute(controller, "transport")
                                                : g_strdup("");
        g_autofree char *where = controller ? dl_block_attribute(controller, "address")
                                            : g_strdup("");
        g_autofree char *real = controller ? realpath(controller, NULL) : NULL;
        g_autofree char *number = dl_block_attribute(d->sysfs, "nsid");
        g_autofree char *address = field_of(where, "traddr");
        g_autofree char *port = field_of(where, "trsvcid");

        d->transport = strcmp(transport, "pcie") == 0 || *transport == '\0' ? DL_BLOCK_NVME_PCIE
                                                                            : DL_BLOCK_NVME_FABRICS;
        d->target = controller ? dl_block_attribute(controller, "subsysnqn") : NULL;
        d->host = real ? g_path_get_basename(real) : NULL;
        d->lun = g_ascii_strtoull(number, NULL, 10);
        if (d->transport == DL_BLOCK_NVME_FABRICS)
                set_portal(d, address, port);
}

void dl_block_transport_read(struct udev_device *device, DlBlockDevice *ret)
{
        const char *id_path = udev_device_get_property_value(device, "ID_PATH");

        if (ret->kind == DL_BLOCK_NVME) {
                read_nvme(ret);
                return;
        }
        read_hctl(ret);
        if (!read_iscsi(ret) && !read_fc(ret))
                (void)read_sas(ret);
        if (id_path && (!ret->target || *ret->target == '\0'))
                read_id_path(ret, id_path);
}
