/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * CHAP passwords as libvirt secrets: ephemeral (never on libvirt's disk) and private (never to be
 * read back). The run_…() functions are on a worker, the rest is on the loop thread.
 */

#include "virt-private.h"

#include "util/secret.h"
#include "xml.h"

G_DEFINE_AUTOPTR_CLEANUP_FUNC(virSecret, virSecretFree)

static char *secret_to_xml(const char *uuid, const char *usage)
{
        g_autoptr(GString) out = g_string_new("<secret ephemeral='yes' private='yes'>");

        dl_xml_append_element(out, "uuid", uuid);
        g_string_append(out, "<usage type='iscsi'>");
        dl_xml_append_element(out, "target", usage);
        g_string_append(out, "</usage></secret>");
        return g_string_free(g_steal_pointer(&out), FALSE);
}

static void run_set_secret(DlVirtJob *job)
{
        g_autofree char *xml = secret_to_xml(job->uuid, job->text);
        g_autoptr(virSecret) secret = virSecretDefineXML(job->conn->ptr, xml, 0);
        const unsigned char *value = (const unsigned char *)dl_secret_peek(job->secret);

        if (!secret || virSecretSetValue(secret, value, dl_secret_size(job->secret), 0) < 0)
                dl_virt_set_error(&job->error);
}

static DlVirtCall *submit(DlVirt *virt, DlVirtJob *job, DlVirtDone done, void *userdata)
{
        return dl_virt_submit(virt, job, job->uuid, DL_VIRT_TIMEOUT_USEC,
                              (DlVirtAnswer){.done = done, .userdata = userdata});
}

DlVirtCall *dl_virt_set_secret(DlVirt *virt, const char *secret_uuid, const char *usage,
                               struct DlSecret *value, DlVirtDone done, void *userdata)
{
        DlVirtJob *job = dl_virt_job_new(run_set_secret, secret_uuid, usage);

        job->secret = dl_secret_ref(value);
        return submit(virt, job, done, userdata);
}

static void run_forget_secret(DlVirtJob *job)
{
        g_autoptr(virSecret) secret = virSecretLookupByUUIDString(job->conn->ptr, job->uuid);

        if (secret && virSecretUndefine(secret) == 0)
                return;
        /* One that is not there is forgotten. */
        if (virGetLastErrorCode() != VIR_ERR_NO_SECRET)
                dl_virt_set_error(&job->error);
}

DlVirtCall *dl_virt_forget_secret(DlVirt *virt, const char *secret_uuid, DlVirtDone done,
                                  void *userdata)
{
        return submit(virt, dl_virt_job_new(run_forget_secret, secret_uuid, NULL), done, userdata);
}
