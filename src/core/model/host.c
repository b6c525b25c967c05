/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The local host, and the name that it has as an initiator. Loop thread only. */

#include "core/core-private.h"
#include "core/model/host-private.h"

#include <stdlib.h>
#include <string.h>
#include <systemd/sd-id128.h>

const char *dl_host_state(const DlHost *host)
{
        return dl_core_has_libvirt(host->object.core) && host->object.core->vms_known ? "up"
                                                                                      : "degraded";
}

DlHost *dl_core_local_host(DlCore *core)
{
        GHashTableIter iter;
        gpointer host = NULL;

        g_hash_table_iter_init(&iter, core->objects[DL_KIND_HOST]);
        g_hash_table_iter_next(&iter, NULL, &host);
        return host;
}

void dl_host_targets_changed(DlCore *core)
{
        DlHost *host = core->original ? NULL : dl_core_local_host(core);

        if (host)
                dl_object_changed(&host->object, "Targets");
}

void dl_host_add_local(DlCore *core)
{
        DlHost *host = g_new0(DlHost, 1);
        sd_id128_t boot_id = SD_ID128_NULL;

        dl_object_init(&host->object, core, DL_KIND_HOST, g_get_host_name());
        host->local = true;
        host->boot_id = g_new(char, SD_ID128_STRING_MAX);
        (void)sd_id128_get_boot(&boot_id);
        sd_id128_to_string(boot_id, host->boot_id);
        dl_object_publish(&host->object);
}

void dl_host_free(DlHost *host)
{
        g_free(host->boot_id);
        dl_object_clear(&host->object);
        g_free(host);
}

/* ---- initiator name ------------------------------------------------------------------------ */

/* "InitiatorName=iqn…" of open-iscsi's file; NULL if it has none that is valid. */
static char *name_in_file(const char *path)
{
        g_autofree char *text = NULL;

        if (!g_file_get_contents(path, &text, NULL, NULL))
                return NULL;
        g_auto(GStrv) lines = g_strsplit(text, "\n", 0);
        for (GStrv line = lines; *line; line++) {
                const char *value = g_strstrip(*line);

                if (!g_str_has_prefix(value, "InitiatorName="))
                        continue;
                value += strlen("InitiatorName=");
                if (dl_iscsi_name_is_valid(value))
                        return g_strdup(value);
        }
        return NULL;
}

static char *name_in_credentials(void)
{
        const char *directory = getenv("CREDENTIALS_DIRECTORY");
        g_autofree char *path = directory ? g_build_filename(directory, "initiatorname", NULL)
                                          : NULL;

        return path ? name_in_file(path) : NULL;
}

/* Made from the machine's id, so that it is the same after every start, and tells nobody the id. */
static char *name_of_machine(void)
{
        static const sd_id128_t application = SD_ID128_MAKE(4c, 1f, 0b, 8e, 93, d2, 4d, 6a, 8b, 11,
                                                            5c, 07, 2e, a9, 60, f3);
        char id[SD_ID128_STRING_MAX];
        sd_id128_t machine;

        if (sd_id128_get_machine_app_specific(application, &machine) < 0)
                return g_strdup("iqn.2026-11.org.ovirt.directlun:host");
        sd_id128_to_string(machine, id);
        id[12] = 0;
        return g_strconcat("iqn.2026-11.org.ovirt.directlun:", id, NULL);
}

char *dl_host_initiator_name(const DlSettings *settings)
{
        char *name;

        if (settings->initiator_name[0]) {
                if (dl_iscsi_name_is_valid(settings->initiator_name))
                        return g_strdup(settings->initiator_name);
                dl_warning("InitiatorName=%s is no iSCSI name; it is ignored",
                           settings->initiator_name);
        }
        name = name_in_credentials();
        if (!name)
                name = name_in_file(settings->initiator_name_file);
        return name ? name : name_of_machine();
}
