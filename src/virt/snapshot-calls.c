/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Overlays of a domain's disk: laid over it, written in its definition, committed into what is
 * below. Disks are found by their alias in the domain as it is now, because libvirt's own names for
 * them change. The run_…() functions are on a worker, the rest is on the loop thread.
 */

#include "virt-private.h"

#include "domain-xml.h"
#include "util/error.h"

/* The domain of the job, and its disk of the alias in args[0]. */
typedef struct Subject {
        virDomainPtr domain;
        DlDomain *parsed;
        const DlDomainDisk *disk;
} Subject;

static void subject_clear(Subject *s)
{
        g_clear_pointer(&s->domain, virDomainFree);
        g_clear_pointer(&s->parsed, dl_domain_free);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Subject, subject_clear)

/* In the running domain. */
static bool find_subject(DlVirtJob *job, Subject *s)
{
        g_autofree char *xml = NULL;

        s->domain = dl_virt_look_up(job);
        if (!s->domain)
                return false;
        if (virDomainIsActive(s->domain) == 0) {
                g_set_error(&job->error, DL_ERROR, DL_ERROR_VM_NOT_RUNNING,
                            "libvirt: the VM does not run");
                return false;
        }
        xml = dl_virt_read_xml(s->domain, 0);
        if (!xml) {
                dl_virt_set_domain_error(job, s->domain, DL_VIRT_NEEDS_NOTHING);
                return false;
        }
        s->parsed = dl_domain_parse(xml, &job->error);
        for (unsigned i = 0; s->parsed && i < s->parsed->disks->len; i++) {
                const DlDomainDisk *disk = s->parsed->disks->pdata[i];

                if (g_strcmp0(disk->alias, job->args[0]) == 0 && disk->target_dev)
                        s->disk = disk;
        }
        if (!s->disk && !job->error)
                g_set_error(&job->error, DL_ERROR, DL_ERROR_NOT_ATTACHED,
                            "libvirt: the running VM has no disk %s", job->args[0]);
        return s->disk != NULL;
}

static DlVirtJob *job_new(DlVirtWork run, const char *uuid, const char *alias, const char *file)
{
        DlVirtJob *job = dl_virt_job_new(run, uuid, NULL);

        job->args = g_new0(char *, 3);
        job->args[0] = g_strdup(alias);
        job->args[1] = g_strdup(file);
        return job;
}

/* ---- snapshot ------------------------------------------------------------------------------ */

/*
 * The agent answers. One that hangs is found here, where libvirt can stop waiting for it; not while
 * it freezes: what it was told, it would do yet, and nobody would tell it to thaw. What limit there
 * was cannot be asked for; by default there is none.
 */
static bool check_agent(DlVirtJob *job, virDomainPtr domain, unsigned seconds)
{
        long long now;
        unsigned ns;
        bool answers;

        answers = virDomainAgentSetResponseTimeout(domain, (int)seconds, 0) == 0 &&
                  virDomainGetTime(domain, &now, &ns, 0) == 0;
        if (!answers)
                dl_virt_set_domain_error(job, domain, DL_VIRT_NEEDS_ACTIVE);
        (void)virDomainAgentSetResponseTimeout(domain, VIR_DOMAIN_AGENT_RESPONSE_TIMEOUT_BLOCK, 0);
        return answers;
}

static void run_snapshot(DlVirtJob *job)
{
        g_auto(Subject) s = {};
        unsigned agent_sec = (unsigned)job->bytes[0];
        unsigned flags = VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY | VIR_DOMAIN_SNAPSHOT_CREATE_ATOMIC |
                         VIR_DOMAIN_SNAPSHOT_CREATE_NO_METADATA |
                         VIR_DOMAIN_SNAPSHOT_CREATE_REUSE_EXT;
        virDomainSnapshotPtr snapshot;

        if (!find_subject(job, &s))
                return;
        if (agent_sec > 0 && !check_agent(job, s.domain, agent_sec))
                return;
        if (agent_sec > 0)
                flags |= VIR_DOMAIN_SNAPSHOT_CREATE_QUIESCE;
        g_autofree char *xml = dl_snapshot_to_xml(s.parsed, s.disk->target_dev, job->args[1]);
        snapshot = virDomainSnapshotCreateXML(s.domain, xml, flags);
        if (snapshot)
                virDomainSnapshotFree(snapshot);
        else
                dl_virt_set_domain_error(job, s.domain, DL_VIRT_NEEDS_ACTIVE);
}

DlVirtCall *dl_virt_snapshot(DlVirt *virt, const char *uuid, const char *alias, const char *file,
                             unsigned agent_sec, uint64_t timeout_usec, DlVirtDone done,
                             void *userdata)
{
        DlVirtJob *job = job_new(run_snapshot, uuid, alias, file);

        job->bytes[0] = agent_sec;
        return dl_virt_change(virt, job, timeout_usec, done, userdata);
}

/* ---- the persistent domain ----------------------------------------------------------------- */

static void run_set_images(DlVirtJob *job)
{
        g_autoptr(virDomain) domain = dl_virt_look_up(job);
        g_autofree char *before = domain ? dl_virt_read_xml(domain, VIR_DOMAIN_XML_INACTIVE) : NULL;
        g_autofree char *disk = before ? dl_disk_with_images(before, job->args[0],
                                                             (const char *const *)job->args + 1,
                                                             &job->error)
                                       : NULL;

        if (job->error ||
            (disk && virDomainUpdateDeviceFlags(domain, disk, VIR_DOMAIN_AFFECT_CONFIG) == 0))
                return;
        dl_virt_set_domain_error(job, domain, DL_VIRT_NEEDS_NOTHING);
}

DlVirtCall *dl_virt_set_images(DlVirt *virt, const char *uuid, const char *alias,
                               const char *const *images, DlVirtDone done, void *userdata)
{
        DlVirtJob *job = dl_virt_job_new(run_set_images, uuid, NULL);
        unsigned n = images ? g_strv_length((char **)images) : 0;

        job->args = g_new0(char *, n + 2);
        job->args[0] = g_strdup(alias);
        for (unsigned i = 0; i < n; i++)
                job->args[i + 1] = g_strdup(images[i]);
        return dl_virt_change(virt, job, DL_VIRT_TIMEOUT_USEC, done, userdata);
}

/* ---- commit -------------------------------------------------------------------------------- */

/* libvirt's name of the n-th layer, counted from above. */
static char *layer_name(const DlDomainDisk *disk, unsigned n)
{
        unsigned index = n < disk->images->len ? ((DlDomainImage *)disk->images->pdata[n])->index
                                               : disk->base_index;

        return g_strdup_printf("%s[%u]", disk->target_dev, index);
}

static bool find_image(DlVirtJob *job, const DlDomainDisk *disk, unsigned *ret)
{
        for (unsigned i = 0; i < disk->images->len; i++)
                if (g_strcmp0(((DlDomainImage *)disk->images->pdata[i])->file, job->args[1]) == 0) {
                        *ret = i;
                        return true;
                }
        g_set_error(&job->error, DL_ERROR, DL_ERROR_LIBVIRT_ERROR,
                    "libvirt: the running VM's disk has no image %s", job->args[1]);
        return false;
}

static void run_commit(DlVirtJob *job)
{
        g_auto(Subject) s = {};
        unsigned flags = VIR_DOMAIN_BLOCK_COMMIT_BANDWIDTH_BYTES;
        unsigned n = 0;

        if (!find_subject(job, &s) || !find_image(job, s.disk, &n))
                return;
        if (n == 0)
                flags |= VIR_DOMAIN_BLOCK_COMMIT_ACTIVE;
        g_autofree char *top = layer_name(s.disk, n);
        g_autofree char *base = layer_name(s.disk, n + 1);
        if (virDomainBlockCommit(s.domain, s.disk->target_dev, base, n == 0 ? NULL : top,
                                 job->bytes[0], flags) < 0)
                dl_virt_set_domain_error(job, s.domain, DL_VIRT_NEEDS_ACTIVE);
}

DlVirtCall *dl_virt_commit_image(DlVirt *virt, const char *uuid, const char *alias,
                                 const char *file, uint64_t bytes_per_sec, uint64_t timeout_usec,
                                 DlVirtDone done, void *userdata)
{
        DlVirtJob *job = job_new(run_commit, uuid, alias, file);

        job->bytes[0] = bytes_per_sec;
        return dl_virt_change(virt, job, timeout_usec, done, userdata);
}

static void run_get_block_job(DlVirtJob *job)
{
        g_auto(Subject) s = {};
        virDomainBlockJobInfo info;
        int r;

        if (!find_subject(job, &s))
                return;
        r = virDomainGetBlockJobInfo(s.domain, s.disk->target_dev, &info, 0);
        if (r < 0)
                dl_virt_set_domain_error(job, s.domain, DL_VIRT_NEEDS_ACTIVE);
        else if (r > 0)
                job->block_job = (DlVirtBlockJob){
                        .running = true,
                        .ready = s.disk->mirror_ready,
                        .done = info.cur,
                        .total = info.end,
                };
}

DlVirtCall *dl_virt_get_block_job(DlVirt *virt, const char *uuid, const char *alias,
                                  DlVirtGotBlockJob done, void *userdata)
{
        return dl_virt_submit(virt, job_new(run_get_block_job, uuid, alias, NULL), NULL,
                              DL_VIRT_TIMEOUT_USEC,
                              (DlVirtAnswer){.got_block_job = done, .userdata = userdata});
}

static void run_end_block_job(DlVirtJob *job)
{
        unsigned flags = job->flag ? VIR_DOMAIN_BLOCK_JOB_ABORT_PIVOT : 0U;
        g_auto(Subject) s = {};
        virDomainBlockJobInfo info;

        if (!find_subject(job, &s))
                return;
        if (!job->flag && virDomainGetBlockJobInfo(s.domain, s.disk->target_dev, &info, 0) == 0)
                return;
        if (virDomainBlockJobAbort(s.domain, s.disk->target_dev, flags) < 0)
                dl_virt_set_domain_error(job, s.domain, DL_VIRT_NEEDS_ACTIVE);
}

DlVirtCall *dl_virt_end_block_job(DlVirt *virt, const char *uuid, const char *alias, bool pivot,
                                  DlVirtDone done, void *userdata)
{
        DlVirtJob *job = job_new(run_end_block_job, uuid, alias, NULL);

        job->flag = pivot;
        return dl_virt_change(virt, job, DL_VIRT_TIMEOUT_USEC, done, userdata);
}
