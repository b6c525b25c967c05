/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * QEMU's monitor. run_…() is on a worker and touches only its job and the job's connection; the
 * rest is on the loop thread.
 */

#include "virt-private.h"

#include <libvirt/libvirt-qemu.h>

static void run_ask_qemu(DlVirtJob *job)
{
        g_autoptr(virDomain) domain = dl_virt_look_up(job);

        if (domain && virDomainQemuMonitorCommand(domain, job->text, &job->reply, 0) < 0)
                dl_virt_set_domain_error(job, domain, DL_VIRT_NEEDS_ACTIVE);
}

DlVirtCall *dl_virt_ask_qemu(DlVirt *virt, const char *uuid, const char *command,
                             DlVirtAnswered done, void *userdata)
{
        return dl_virt_submit(virt, dl_virt_job_new(run_ask_qemu, uuid, command), uuid,
                              DL_VIRT_TIMEOUT_USEC,
                              (DlVirtAnswer){.answered = done, .userdata = userdata});
}
