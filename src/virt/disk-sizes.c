/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How large a running QEMU believes its disks to be, and telling it to look again. The run_…()
 * functions are on a worker and touch only their job and its connection; the rest is on the loop
 * thread.
 */

#include "virt-private.h"

#include "domain-xml.h"
#include "util/error.h"

/* What libvirt's statistics call "block.7.name". */
#define STATISTIC_MAX 64

/* The running domain's disks; NULL: job->error says why. */
static DlDomain *read_live(DlVirtJob *job, virDomainPtr domain)
{
        g_autofree char *xml = NULL;

        if (virDomainIsActive(domain) == 0) {
                g_set_error(&job->error, DL_ERROR, DL_ERROR_VM_NOT_RUNNING, "VM %s does not run",
                            virDomainGetName(domain));
                return NULL;
        }
        xml = dl_virt_read_xml(domain, 0);
        if (xml)
                return dl_domain_parse(xml, &job->error);
        dl_virt_set_domain_error(job, domain, DL_VIRT_NEEDS_NOTHING);
        return NULL;
}

static const DlDomainDisk *find_disk(const DlDomain *domain, const char *key, bool by_alias)
{
        for (unsigned i = 0; i < domain->disks->len; i++) {
                const DlDomainDisk *disk = domain->disks->pdata[i];

                if (g_strcmp0(by_alias ? disk->alias : disk->target_dev, key) == 0)
                        return disk;
        }
        return NULL;
}

static void take_sizes(DlVirtJob *job, const DlDomain *domain, virDomainStatsRecordPtr record)
{
        unsigned n = 0;

        (void)virTypedParamsGetUInt(record->params, record->nparams, "block.count", &n);
        for (unsigned i = 0; i < n; i++) {
                char name[STATISTIC_MAX], capacity[STATISTIC_MAX];
                const char *dev = NULL;
                unsigned long long bytes = 0;
                const DlDomainDisk *disk;

                g_snprintf(name, sizeof name, "block.%u.name", i);
                g_snprintf(capacity, sizeof capacity, "block.%u.capacity", i);
                if (virTypedParamsGetString(record->params, record->nparams, name, &dev) <= 0 ||
                    virTypedParamsGetULLong(record->params, record->nparams, capacity, &bytes) <= 0)
                        continue;
                disk = find_disk(domain, dev, false);
                if (disk && disk->alias)
                        g_ptr_array_add(job->sizes, dl_virt_disk_size_new(disk->alias, bytes));
        }
}

/* One question for all disks: to ask for each would be a look at all of them each time. */
static void run_get_sizes(DlVirtJob *job)
{
        g_autoptr(virDomain) domain = dl_virt_look_up(job);
        g_autoptr(DlDomain) live = NULL;
        virDomainStatsRecordPtr *records = NULL;
        virDomainPtr list[] = {NULL, NULL};

        if (!domain)
                return;
        live = read_live(job, domain);
        if (!live)
                return;
        list[0] = domain;
        if (virDomainListGetStats(list, VIR_DOMAIN_STATS_BLOCK, &records, 0) < 0) {
                dl_virt_set_domain_error(job, domain, DL_VIRT_NEEDS_ACTIVE);
                return;
        }
        if (records && records[0])
                take_sizes(job, live, records[0]);
        virDomainStatsRecordListFree(records);
}

DlVirtCall *dl_virt_get_disk_sizes(DlVirt *virt, const char *uuid, DlVirtGotSizes done,
                                   void *userdata)
{
        return dl_virt_submit(virt, dl_virt_job_new(run_get_sizes, uuid, NULL), NULL,
                              DL_VIRT_TIMEOUT_USEC,
                              (DlVirtAnswer){.got_sizes = done, .userdata = userdata});
}

/* By the alias: between two calls the disk's target may be another one's. */
static void run_resize_disk(DlVirtJob *job)
{
        g_autoptr(virDomain) domain = dl_virt_look_up(job);
        g_autoptr(DlDomain) live = NULL;
        const DlDomainDisk *disk;

        if (!domain)
                return;
        live = read_live(job, domain);
        if (!live)
                return;
        disk = find_disk(live, job->text, true);
        if (!disk || !disk->target_dev)
                g_set_error(&job->error, DL_ERROR, DL_ERROR_NOT_ATTACHED,
                            "VM %s has no disk %s any more", live->name, job->text);
        else if (virDomainBlockResize(domain, disk->target_dev, job->bytes[0],
                                      VIR_DOMAIN_BLOCK_RESIZE_BYTES) < 0)
                dl_virt_set_domain_error(job, domain, DL_VIRT_NEEDS_ACTIVE);
}

DlVirtCall *dl_virt_resize_disk(DlVirt *virt, const char *uuid, const char *alias, uint64_t bytes,
                                DlVirtDone done, void *userdata)
{
        DlVirtJob *job = dl_virt_job_new(run_resize_disk, uuid, alias);

        job->bytes[0] = bytes;
        return dl_virt_change(virt, job, DL_VIRT_TIMEOUT_USEC, done, userdata);
}
