/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The names of disks on their bus (vda, sdb …). Pure, any thread; the caller owns the names. */

#include "domain-xml.h"

static const char *prefix_of(const char *bus)
{
        if (g_strcmp0(bus, "virtio") == 0)
                return "vd";
        if (g_strcmp0(bus, "ide") == 0)
                return "hd";
        if (g_strcmp0(bus, "fdc") == 0)
                return "fd";
        if (g_strcmp0(bus, "xen") == 0)
                return "xvd";
        return "sd"; /* scsi, sata, usb: one row of names for all of them */
}

char *dl_target_dev(const char *bus, unsigned n)
{
        char letters[8]; /* 26^7 is more than an unsigned holds */
        size_t i = sizeof letters;

        letters[--i] = '\0';
        for (guint64 rest = (guint64)n + 1; rest > 0; rest = (rest - 1) / 26)
                letters[--i] = (char)('a' + (rest - 1) % 26);
        return g_strconcat(prefix_of(bus), letters + i, NULL);
}

static bool is_used(const DlDomain *domain, const char *name)
{
        for (guint i = 0; domain && i < domain->disks->len; i++) {
                const DlDomainDisk *disk = g_ptr_array_index(domain->disks, i);

                if (g_strcmp0(disk->target_dev, name) == 0)
                        return true;
        }
        return false;
}

char *dl_target_dev_free(const char *bus, int hint, const DlDomain *live, const DlDomain *inactive)
{
        /* Ends: each name that is taken belongs to one of a finite number of disks. */
        for (unsigned n = hint > 0 ? (unsigned)hint : 0;; n++) {
                g_autofree char *name = dl_target_dev(bus, n);

                if (!is_used(live, name) && !is_used(inactive, name))
                        return g_steal_pointer(&name);
        }
}
