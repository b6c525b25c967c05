/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Finding a VM that libvirt has and nobody has told us of yet. Loop thread only. */

#include "core/steps/operation.h"

typedef struct FindWork {
        char *name;    /* or UUID */
        GError *error; /* why it was not found among the known ones */
} FindWork;

static void work_free(void *p)
{
        FindWork *work = p;

        g_free(work->name);
        g_clear_error(&work->error);
        g_free(work);
}

static void find_known(DlOperation *op)
{
        FindWork *work = op->data;
        DlVm *vm = dl_core_find_vm(op->job.object.core, work->name, &work->error);

        if (vm) {
                dl_op_result(op, vm);
                dl_op_finish(op);
        } else if (dl_error_code(work->error) == DL_ERROR_VM_NOT_FOUND)
                dl_op_next(op);
        else
                dl_op_fail(op, g_steal_pointer(&work->error));
}

static void on_listed(DlVirtDomain *const *domains, size_t n_domains, const GError *error,
                      void *userdata)
{
        DlOperation *op = userdata;
        DlCore *core = op->job.object.core;

        for (size_t i = 0; i < n_domains; i++)
                if (!DL_LOOKUP_VM(core, domains[i]->uuid))
                        dl_vm_merge(core, domains[i]);
        if (error)
                dl_op_fail(op, g_error_copy(error));
        else
                dl_op_next(op);
}

static void ask_libvirt(DlOperation *op)
{
        dl_op_wait(op, dl_virt_list_domains(op->job.object.core->virt, on_listed, op),
                   (void (*)(void *))dl_virt_cancel);
}

static void find_new(DlOperation *op)
{
        FindWork *work = op->data;
        DlVm *vm = dl_core_find_vm(op->job.object.core, work->name, NULL);

        if (vm) {
                dl_op_result(op, vm);
                dl_op_next(op);
        } else
                dl_op_fail(op, g_steal_pointer(&work->error));
}

static const DlStep find_steps[] = {
        {"looking", find_known},
        {"asking libvirt", ask_libvirt},
        {"looking", find_new},
};

DlJob *dl_flow_find_vm(DlCore *core, const DlRequest *request, const char *name_or_uuid,
                       GError **error)
{
        FindWork *work = g_new0(FindWork, 1);

        work->name = g_strdup(name_or_uuid);
        return (DlJob *)dl_op_new_quiet(core, "find-vm", request, find_steps,
                                        G_N_ELEMENTS(find_steps), 0, work, work_free, error);
}
