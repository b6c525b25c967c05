/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What is asked of libvirt about domains. The run_…() functions are on a worker and touch only
 * their job and its connection; the rest is on the loop thread.
 */

#include "virt-private.h"

#include "domain-xml.h"
#include "util/error.h"
#include "volumes.h"

#include <string.h>

/* A graceful destroy gives QEMU 15 s (libvirt's own limit) before the plain one begins. */
#define DESTROY_TIMEOUT_USEC (60 * G_USEC_PER_SEC)
#define READ_ATTEMPTS        5

static const char *const state_names[_DL_VIRT_STATE_MAX] = {
        [DL_VIRT_SHUTOFF] = "shutoff", [DL_VIRT_RUNNING] = "running",
        [DL_VIRT_PAUSED] = "paused",   [DL_VIRT_SHUTDOWN] = "shutdown",
        [DL_VIRT_CRASHED] = "crashed", [DL_VIRT_SUSPENDED] = "suspended",
};

const char *dl_virt_state_name(DlVirtState state)
{
        return state_names[state];
}

bool dl_virt_state_is_active(DlVirtState state)
{
        return state != DL_VIRT_SHUTOFF;
}

/* ---- errors */

void dl_virt_set_error(GError **error)
{
        const char *message = virGetLastErrorMessage();
        int code = virGetLastErrorCode();

        g_set_error(error, DL_ERROR, DL_ERROR_LIBVIRT_ERROR, "libvirt: %s (code %d)", message,
                    code);
}

void dl_virt_set_domain_error(DlVirtJob *job, virDomainPtr domain, DlVirtNeeds needs)
{
        int code = virGetLastErrorCode();

        dl_virt_set_error(&job->error); /* first: the next call forgets libvirt's last error */
        if (code == VIR_ERR_NO_DOMAIN) {
                g_clear_error(&job->error);
                g_set_error(&job->error, DL_ERROR, DL_ERROR_VM_NOT_FOUND, "libvirt has no VM %s",
                            job->uuid);
        } else if (code == VIR_ERR_DEVICE_MISSING)
                job->error->code = DL_ERROR_NOT_ATTACHED;
        else if (code == VIR_ERR_OPERATION_INVALID && needs != DL_VIRT_NEEDS_NOTHING) {
                int active = virDomainIsActive(domain);

                if (needs == DL_VIRT_NEEDS_ACTIVE && active == 0)
                        job->error->code = DL_ERROR_VM_NOT_RUNNING;
                else if (needs == DL_VIRT_NEEDS_INACTIVE && active == 1)
                        job->error->code = DL_ERROR_VM_RUNNING;
        }
}

virDomainPtr dl_virt_look_up(DlVirtJob *job)
{
        virDomainPtr domain = virDomainLookupByUUIDString(job->conn->ptr, job->uuid);

        if (!domain)
                dl_virt_set_domain_error(job, NULL, DL_VIRT_NEEDS_NOTHING);
        return domain;
}

/* ---- reading */

static DlVirtState state_from_libvirt(int state)
{
        switch (state) {
        case VIR_DOMAIN_PAUSED:
                return DL_VIRT_PAUSED;
        case VIR_DOMAIN_SHUTDOWN:
                return DL_VIRT_SHUTDOWN;
        case VIR_DOMAIN_SHUTOFF:
                return DL_VIRT_SHUTOFF;
        case VIR_DOMAIN_CRASHED:
                return DL_VIRT_CRASHED;
        case VIR_DOMAIN_PMSUSPENDED:
                return DL_VIRT_SUSPENDED;
        default: /* running, blocked, or a hypervisor that does not say */
                return DL_VIRT_RUNNING;
        }
}

char *dl_virt_read_xml(virDomainPtr domain, unsigned flags)
{
        char *xml = virDomainGetXMLDesc(domain, flags);
        char *copy = g_strdup(xml);

        free(xml); /* libvirt's is malloc()ed */
        return copy;
}

/* NULL if libvirt refuses something; its last error says why. */
static DlVirtDomain *read_once(virDomainPtr domain)
{
        g_autoptr(DlVirtDomain) d = g_new0(DlVirtDomain, 1);
        char uuid[VIR_UUID_STRING_BUFLEN];
        int state, persistent;

        if (virDomainGetUUIDString(domain, uuid) < 0 ||
            virDomainGetState(domain, &state, NULL, 0) < 0)
                return NULL;
        persistent = virDomainIsPersistent(domain);
        if (persistent < 0)
                return NULL;
        d->uuid = g_strdup(uuid);
        d->name = g_strdup(virDomainGetName(domain));
        d->state = state_from_libvirt(state);
        d->persistent = persistent;
        int autostart = 0;
        if (persistent && virDomainGetAutostart(domain, &autostart) < 0)
                return NULL;
        d->autostart = autostart;

        if (dl_virt_state_is_active(d->state)) {
                d->live_xml = dl_virt_read_xml(domain, 0);
                if (!d->live_xml)
                        return NULL;
        }
        if (d->persistent) {
                d->inactive_xml = dl_virt_read_xml(domain, VIR_DOMAIN_XML_INACTIVE);
                if (!d->inactive_xml)
                        return NULL;
        }
        return g_steal_pointer(&d);
}

/* Asked for the live XML, libvirt gives the other one of a domain that does not run (any more);
 * only in the live one <domain> has an id. */
static bool is_live_xml(const char *xml)
{
        const char *begin = strstr(xml, "<domain"), *end = begin ? strchr(begin, '>') : NULL;

        return end && g_strstr_len(begin, end - begin, " id=");
}

/* What is read is of one moment, unless the domain starts and stops faster than we read. One that
 * starts meanwhile sends an event. */
static DlVirtDomain *read_domain(virDomainPtr domain)
{
        for (int attempt = 0;; attempt++) {
                g_autoptr(DlVirtDomain) d = read_once(domain);

                if (!d)
                        return NULL;
                if (attempt == READ_ATTEMPTS || !d->live_xml || is_live_xml(d->live_xml))
                        return g_steal_pointer(&d);
        }
}

static void run_get_domain(DlVirtJob *job)
{
        g_autoptr(virDomain) domain = dl_virt_look_up(job);
        DlVirtDomain *d;

        if (!domain)
                return;
        d = read_domain(domain);
        if (d) {
                dl_volumes_resolve(job->conn->ptr, d);
                g_ptr_array_add(job->domains, d);
        } else
                dl_virt_set_domain_error(job, domain, DL_VIRT_NEEDS_NOTHING);
}

static bool mentions(const DlVirtDomain *d, const char *const *texts)
{
        for (; *texts; texts++)
                if ((d->live_xml && strstr(d->live_xml, *texts)) ||
                    (d->inactive_xml && strstr(d->inactive_xml, *texts)))
                        return true;
        return false;
}

/* Takes it. */
static void add_if_wanted(DlVirtJob *job, const char *const *texts, DlVirtDomain *d)
{
        if (!texts || mentions(d, texts)) {
                dl_volumes_resolve(job->conn->ptr, d);
                g_ptr_array_add(job->domains, d);
        } else
                dl_virt_domain_free(d);
}

static void run_list_domains(DlVirtJob *job)
{
        g_auto(GStrv) texts = job->text ? g_strsplit(job->text, "\n", -1) : NULL;
        virDomainPtr *domains = NULL;
        int n = virConnectListAllDomains(job->conn->ptr, &domains, 0);

        if (n < 0) {
                dl_virt_set_error(&job->error);
                return;
        }
        for (int i = 0; i < n; i++) {
                DlVirtDomain *d = job->error ? NULL : read_domain(domains[i]);

                if (d)
                        add_if_wanted(job, (const char *const *)texts, d);
                /* One that went away meanwhile is not there. */
                else if (!job->error && virGetLastErrorCode() != VIR_ERR_NO_DOMAIN)
                        dl_virt_set_error(&job->error);
                virDomainFree(domains[i]);
        }
        free(domains);
}

DlVirtCall *dl_virt_list_domains(DlVirt *virt, DlVirtListed done, void *userdata)
{
        return dl_virt_submit(virt, dl_virt_job_new(run_list_domains, NULL, NULL), NULL,
                              DL_VIRT_TIMEOUT_USEC,
                              (DlVirtAnswer){.listed = done, .userdata = userdata});
}

DlVirtCall *dl_virt_find_domains(DlVirt *virt, const char *const *texts, DlVirtListed done,
                                 void *userdata)
{
        g_autofree char *joined = g_strjoinv("\n", (char **)texts);

        return dl_virt_submit(virt, dl_virt_job_new(run_list_domains, NULL, joined), NULL,
                              DL_VIRT_TIMEOUT_USEC,
                              (DlVirtAnswer){.listed = done, .userdata = userdata});
}

DlVirtCall *dl_virt_get_domain(DlVirt *virt, const char *uuid, DlVirtGotDomain done, void *userdata)
{
        /* No key: what changes the domain may hang, and then it matters most to see its state. */
        return dl_virt_submit(virt, dl_virt_job_new(run_get_domain, uuid, NULL), NULL,
                              DL_VIRT_TIMEOUT_USEC,
                              (DlVirtAnswer){.got_domain = done, .userdata = userdata});
}

/* ---- changing */

DlVirtCall *dl_virt_change(DlVirt *virt, DlVirtJob *job, uint64_t timeout_usec, DlVirtDone done,
                           void *userdata)
{
        job->changes_domain = true;
        return dl_virt_submit(virt, job, job->uuid, timeout_usec,
                              (DlVirtAnswer){.done = done, .userdata = userdata});
}

static void run_start(DlVirtJob *job)
{
        g_autoptr(virDomain) domain = dl_virt_look_up(job);

        if (domain && virDomainCreateWithFlags(domain, 0) < 0)
                dl_virt_set_domain_error(job, domain, DL_VIRT_NEEDS_INACTIVE);
}

DlVirtCall *dl_virt_start(DlVirt *virt, const char *uuid, uint64_t timeout_usec, DlVirtDone done,
                          void *userdata)
{
        return dl_virt_change(virt, dl_virt_job_new(run_start, uuid, NULL), timeout_usec, done,
                              userdata);
}

/* NULL: the job has an error. */
static char *definition_without(DlVirtJob *job, virDomainPtr domain)
{
        g_auto(GStrv) aliases = g_strsplit(job->text, "\n", 0);
        g_autofree char *xml = NULL;

        if (virDomainHasManagedSaveImage(domain, 0) == 1) {
                g_set_error(&job->error, DL_ERROR, DL_ERROR_LIBVIRT_ERROR,
                            "VM %s has a saved state, which can only go on with all of its disks; "
                            "make them reachable, or remove the saved state",
                            virDomainGetName(domain));
                return NULL;
        }
        xml = dl_virt_read_xml(domain, VIR_DOMAIN_XML_INACTIVE | VIR_DOMAIN_XML_SECURE);
        if (!xml) {
                dl_virt_set_domain_error(job, domain, DL_VIRT_NEEDS_NOTHING);
                return NULL;
        }
        return dl_domain_leave_out(xml, (const char *const *)aliases, &job->error);
}

/* libvirt keeps what was defined, and goes back to it when the domain that was created is off. */
static void run_start_without(DlVirtJob *job)
{
        g_autoptr(virDomain) domain = dl_virt_look_up(job), created = NULL;
        g_autofree char *xml = domain ? definition_without(job, domain) : NULL;

        if (!xml)
                return;
        created = virDomainCreateXML(job->conn->ptr, xml, 0);
        if (!created)
                dl_virt_set_domain_error(job, domain, DL_VIRT_NEEDS_INACTIVE);
}

DlVirtCall *dl_virt_start_without(DlVirt *virt, const char *uuid, const char *const *aliases,
                                  uint64_t timeout_usec, DlVirtDone done, void *userdata)
{
        g_autofree char *joined = g_strjoinv("\n", (char **)aliases);

        return dl_virt_change(virt, dl_virt_job_new(run_start_without, uuid, joined), timeout_usec,
                              done, userdata);
}

static void run_shutdown(DlVirtJob *job)
{
        g_autoptr(virDomain) domain = dl_virt_look_up(job);

        if (domain && virDomainShutdown(domain) < 0)
                dl_virt_set_domain_error(job, domain, DL_VIRT_NEEDS_ACTIVE);
}

DlVirtCall *dl_virt_shutdown(DlVirt *virt, const char *uuid, DlVirtDone done, void *userdata)
{
        return dl_virt_change(virt, dl_virt_job_new(run_shutdown, uuid, NULL), DL_VIRT_TIMEOUT_USEC,
                              done, userdata);
}

/* Whether the last error only says that it is off: by itself meanwhile, or (transient) gone. */
static bool is_off_already(DlVirtJob *job, virDomainPtr domain)
{
        dl_virt_set_domain_error(job, domain, DL_VIRT_NEEDS_ACTIVE);
        if (job->error->code != DL_ERROR_VM_NOT_RUNNING &&
            job->error->code != DL_ERROR_VM_NOT_FOUND)
                return false;
        g_clear_error(&job->error);
        return true;
}

static void run_destroy(DlVirtJob *job)
{
        g_autoptr(virDomain) domain = dl_virt_look_up(job);

        if (!domain || virDomainDestroyFlags(domain, VIR_DOMAIN_DESTROY_GRACEFUL) == 0 ||
            is_off_already(job, domain))
                return;
        g_clear_error(&job->error);
        if (virDomainDestroyFlags(domain, VIR_DOMAIN_DESTROY_DEFAULT) < 0)
                (void)is_off_already(job, domain);
}

DlVirtCall *dl_virt_destroy(DlVirt *virt, const char *uuid, DlVirtDone done, void *userdata)
{
        return dl_virt_change(virt, dl_virt_job_new(run_destroy, uuid, NULL), DESTROY_TIMEOUT_USEC,
                              done, userdata);
}

/* ---- devices and metadata */

static unsigned affect_flags(unsigned affect)
{
        return (affect & DL_VIRT_LIVE ? (unsigned)VIR_DOMAIN_AFFECT_LIVE : 0U) |
               (affect & DL_VIRT_CONFIG ? (unsigned)VIR_DOMAIN_AFFECT_CONFIG : 0U);
}

static DlVirtNeeds affect_needs(unsigned affect)
{
        return affect & DL_VIRT_LIVE ? DL_VIRT_NEEDS_ACTIVE : DL_VIRT_NEEDS_NOTHING;
}

static bool attach_device(DlVirtJob *job, virDomainPtr domain)
{
        if (virDomainAttachDeviceFlags(domain, job->text, affect_flags(job->affect)) == 0)
                return true;
        dl_virt_set_domain_error(job, domain, affect_needs(job->affect));
        return false;
}

static void run_attach_device(DlVirtJob *job)
{
        g_autoptr(virDomain) domain = dl_virt_look_up(job);

        if (domain)
                (void)attach_device(job, domain);
}

static void run_plug_device(DlVirtJob *job)
{
        g_autoptr(virDomain) domain = dl_virt_look_up(job);
        DlVirtDomain *d = domain && attach_device(job, domain) ? read_domain(domain) : NULL;

        if (d)
                g_ptr_array_add(job->domains, d);
}

DlVirtCall *dl_virt_attach_device(DlVirt *virt, const char *uuid, const char *xml,
                                  DlVirtAffect affect, uint64_t timeout_usec, DlVirtDone done,
                                  void *userdata)
{
        DlVirtJob *job = dl_virt_job_new(run_attach_device, uuid, xml);

        job->affect = affect;
        return dl_virt_change(virt, job, timeout_usec, done, userdata);
}

DlVirtCall *dl_virt_plug_device(DlVirt *virt, const char *uuid, const char *xml,
                                DlVirtAffect affect, uint64_t timeout_usec, DlVirtGotDomain done,
                                void *userdata)
{
        DlVirtJob *job = dl_virt_job_new(run_plug_device, uuid, xml);

        job->affect = affect;
        job->changes_domain = true;
        return dl_virt_submit(virt, job, job->uuid, timeout_usec,
                              (DlVirtAnswer){.got_domain = done, .userdata = userdata});
}

static void run_update_device(DlVirtJob *job)
{
        g_autoptr(virDomain) domain = dl_virt_look_up(job);

        if (domain && virDomainUpdateDeviceFlags(domain, job->text, affect_flags(job->affect)) < 0)
                dl_virt_set_domain_error(job, domain, affect_needs(job->affect));
}

DlVirtCall *dl_virt_update_device(DlVirt *virt, const char *uuid, const char *xml,
                                  DlVirtAffect affect, DlVirtDone done, void *userdata)
{
        DlVirtJob *job = dl_virt_job_new(run_update_device, uuid, xml);

        job->affect = affect;
        return dl_virt_change(virt, job, DL_VIRT_TIMEOUT_USEC, done, userdata);
}

static bool has_disk(virDomainPtr domain, const char *alias, unsigned xml_flags)
{
        g_autofree char *xml = dl_virt_read_xml(domain, xml_flags);
        g_autoptr(DlDomain) parsed = xml ? dl_domain_parse(xml, NULL) : NULL;

        if (!parsed)
                return true; /* nobody knows */
        for (guint i = 0; i < parsed->disks->len; i++) {
                const DlDomainDisk *disk = g_ptr_array_index(parsed->disks, i);

                if (g_strcmp0(disk->alias, alias) == 0)
                        return true;
        }
        return false;
}

/* libvirt 9.0 calls it an internal error (code 1), newer ones a missing device. */
static bool is_not_attached(DlVirtJob *job, virDomainPtr domain)
{
        return (job->affect & DL_VIRT_LIVE && !has_disk(domain, job->text, 0)) ||
               (job->affect & DL_VIRT_CONFIG &&
                !has_disk(domain, job->text, VIR_DOMAIN_XML_INACTIVE));
}

static void run_detach_device(DlVirtJob *job)
{
        g_autoptr(virDomain) domain = dl_virt_look_up(job);

        if (domain &&
            virDomainDetachDeviceAlias(domain, job->text, affect_flags(job->affect)) < 0) {
                dl_virt_set_domain_error(job, domain, affect_needs(job->affect));
                if (job->error->code == DL_ERROR_LIBVIRT_ERROR && is_not_attached(job, domain))
                        job->error->code = DL_ERROR_NOT_ATTACHED;
        }
}

DlVirtCall *dl_virt_detach_device(DlVirt *virt, const char *uuid, const char *alias,
                                  DlVirtAffect affect, uint64_t timeout_usec, DlVirtDone done,
                                  void *userdata)
{
        DlVirtJob *job = dl_virt_job_new(run_detach_device, uuid, alias);

        job->affect = affect;
        return dl_virt_change(virt, job, timeout_usec, done, userdata);
}

/* Of both places those that the domain has: one call changes both or neither. */
static unsigned metadata_affect(virDomainPtr domain, unsigned affect)
{
        if (affect != (DL_VIRT_LIVE | DL_VIRT_CONFIG))
                return affect;
        if (virDomainIsPersistent(domain) == 0)
                return DL_VIRT_LIVE;
        return virDomainIsActive(domain) == 0 ? DL_VIRT_CONFIG : affect;
}

static void run_set_metadata(DlVirtJob *job)
{
        g_autoptr(virDomain) domain = dl_virt_look_up(job);
        unsigned affect;

        if (!domain)
                return;
        affect = metadata_affect(domain, job->affect);
        if (virDomainSetMetadata(domain, VIR_DOMAIN_METADATA_ELEMENT, job->text,
                                 job->text ? DL_METADATA_KEY : NULL, DL_METADATA_URI,
                                 affect_flags(affect)) < 0)
                dl_virt_set_domain_error(job, domain, affect_needs(affect));
}

DlVirtCall *dl_virt_set_metadata(DlVirt *virt, const char *uuid, const char *xml,
                                 DlVirtAffect affect, DlVirtDone done, void *userdata)
{
        DlVirtJob *job = dl_virt_job_new(run_set_metadata, uuid, xml);

        job->affect = affect;
        return dl_virt_change(virt, job, DL_VIRT_TIMEOUT_USEC, done, userdata);
}

/* Changes and this query exclude each other in libvirt, whoever asks. What it answers, and whether
 * it can, does not matter. */
static void run_wait_for_others(DlVirtJob *job)
{
        g_autoptr(virDomain) domain = dl_virt_look_up(job);
        virDomainMemoryStatStruct stats[VIR_DOMAIN_MEMORY_STAT_NR];

        if (domain)
                (void)virDomainMemoryStats(domain, stats, VIR_DOMAIN_MEMORY_STAT_NR, 0);
}

DlVirtCall *dl_virt_wait_for_others(DlVirt *virt, const char *uuid, DlVirtDone done, void *userdata)
{
        /* As if it were a change: its late end is told, too. */
        return dl_virt_change(virt, dl_virt_job_new(run_wait_for_others, uuid, NULL),
                              DL_VIRT_TIMEOUT_USEC, done, userdata);
}
