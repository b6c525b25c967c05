/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A disk with a boot order for a domain that cannot have one as it is. run_…() is on a worker and
 * touches only its job and the job's connection; the rest is on the loop thread.
 */

#include "virt-private.h"

#include "domain-xml.h"
#include "util/error.h"

/* Between reading and defining somebody else's change would be lost: no longer than virsh edit
 * would, and our own changes of a domain come one after the other. */
static void run_attach_boot_disk(DlVirtJob *job)
{
        g_autoptr(virDomain) domain = dl_virt_look_up(job), defined = NULL;
        g_autofree char *xml = NULL, *changed = NULL;

        if (!domain)
                return;
        xml = dl_virt_read_xml(domain, VIR_DOMAIN_XML_INACTIVE | VIR_DOMAIN_XML_SECURE);
        if (!xml) {
                dl_virt_set_domain_error(job, domain, DL_VIRT_NEEDS_NOTHING);
                return;
        }
        changed = dl_domain_with_boot_disk(xml, job->text, &job->error);
        if (!changed)
                return;
        defined = virDomainDefineXMLFlags(job->conn->ptr, changed, 0);
        if (!defined)
                dl_virt_set_domain_error(job, domain, DL_VIRT_NEEDS_NOTHING);
}

DlVirtCall *dl_virt_attach_boot_disk(DlVirt *virt, const char *uuid, const char *xml,
                                     DlVirtDone done, void *userdata)
{
        return dl_virt_change(virt, dl_virt_job_new(run_attach_boot_disk, uuid, xml),
                              DL_VIRT_TIMEOUT_USEC, done, userdata);
}
