/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is asked of the helper in order. The plan owns its requests. Loop thread only. */

#include "core/steps/kernel-plan.h"

#include "core/model/attachment-index.h"
#include "core/steps/kill-point.h"

#define STEP_MSEC 30000

struct DlKernelPlan {
        DlCore *core;
        GPtrArray *requests; /* DlHelperRequest */
        unsigned next;
        DlHelperCall *call;
        sd_event_source *empty;
        DlKernelPlanDone done;
        void *userdata;
};

DlKernelPlan *dl_kernel_plan_new(DlCore *core)
{
        DlKernelPlan *plan = g_new0(DlKernelPlan, 1);

        plan->core = core;
        plan->requests = g_ptr_array_new_with_free_func(g_free);
        return plan;
}

void dl_kernel_plan_free(DlKernelPlan *plan)
{
        if (!plan)
                return;
        dl_helper_cancel(plan->call);
        sd_event_source_disable_unref(plan->empty);
        g_ptr_array_unref(plan->requests);
        g_free(plan);
}

void dl_kernel_plan_add(DlKernelPlan *plan, const DlHelperRequest *request)
{
        DlHelperRequest *copy = g_memdup2(request, sizeof *request);

        copy->timeout_ms = STEP_MSEC;
        g_ptr_array_add(plan->requests, copy);
}

/* ---- removing disks ------------------------------------------------------------------------ */

static bool is_among(GPtrArray *disks, const char *name)
{
        for (unsigned i = 0; i < disks->len; i++)
                if (g_str_equal(((const DlKernelDisk *)disks->pdata[i])->name, name))
                        return true;
        return false;
}

static bool is_over_others(const char *sysfs, const char *map, GPtrArray *disks)
{
        g_autoptr(GPtrArray) paths = dl_kernel_map_paths(sysfs, map);

        for (unsigned i = 0; i < paths->len; i++)
                if (!is_among(disks, paths->pdata[i]))
                        return true;
        return false;
}

static bool check_unused(DlCore *core, const char *guid, GError **error)
{
        g_autoptr(GPtrArray) attachments = dl_attachments_of(core, DL_BELONGS_TO_LUN, guid);

        for (unsigned i = 0; i < attachments->len; i++) {
                const DlAttachment *a = attachments->pdata[i];

                if (!a->plugged || g_strcmp0(a->meta->data_path, "qemu") == 0)
                        continue;
                g_set_error(error, DL_ERROR, DL_ERROR_IN_USE,
                            "VM %s, which runs, has %s; unplug it, or stop the VM, first",
                            a->vm->name, guid);
                return false;
        }
        return true;
}

static void add_guid(DlKernelPlan *plan, DlHelperVerb verb, const char *guid,
                     const DlKernelDisk *disk)
{
        DlHelperRequest request = {.verb = verb};

        if (disk) {
                request.major = disk->major;
                request.minor = disk->minor;
        }
        if (DL_HELPER_PUT(&request, guid, guid))
                dl_kernel_plan_add(plan, &request);
}

bool dl_kernel_plan_remove(DlKernelPlan *plan, GPtrArray *disks, GError **error)
{
        const char *sysfs = plan->core->sysfs;
        g_autoptr(GHashTable)
                flushed = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);

        for (unsigned i = 0; i < disks->len; i++) {
                const DlKernelDisk *disk = disks->pdata[i];
                g_autofree char *map = dl_kernel_map_over(sysfs, disk->name);
                /* The map's: at the disk's number there may be another LUN by now. */
                g_autofree char *guid = dl_kernel_guid(sysfs, map ? map : disk->name);

                if (!guid || (map && is_over_others(sysfs, map, disks)))
                        continue;
                if (!check_unused(plan->core, guid, error))
                        return false;
                if (map && g_hash_table_add(flushed, g_strdup(guid)))
                        add_guid(plan, DL_HELPER_FLUSH_MAP, guid, NULL);
        }
        for (unsigned i = 0; i < disks->len; i++) {
                const DlKernelDisk *disk = disks->pdata[i];
                g_autofree char *guid = dl_kernel_guid(sysfs, disk->name);

                if (guid)
                        add_guid(plan, DL_HELPER_DELETE_PATH, guid, disk);
        }
        return true;
}

bool dl_kernel_plan_remove_map(DlKernelPlan *plan, const char *guid, GError **error)
{
        if (!check_unused(plan->core, guid, error))
                return false;
        add_guid(plan, DL_HELPER_FLUSH_MAP, guid, NULL);
        return true;
}

GPtrArray *dl_kernel_plan_describe(const DlKernelPlan *plan)
{
        GPtrArray *lines = g_ptr_array_new_with_free_func(g_free);

        for (unsigned i = 0; i < plan->requests->len; i++) {
                const DlHelperRequest *r = plan->requests->pdata[i];
                char *line = NULL;

                if (r->verb == DL_HELPER_FLUSH_MAP)
                        line = g_strdup_printf("remove multipath's map of %s", r->guid);
                else if (r->verb == DL_HELPER_DELETE_PATH)
                        line = g_strdup_printf("remove path %u:%u of %s", r->major, r->minor,
                                               r->guid);
                else
                        line = g_strdup_printf("end session %u with %s", r->sid, r->iqn);
                g_ptr_array_add(lines, line);
        }
        return lines;
}

/* ---- running ------------------------------------------------------------------------------- */

static void ask_next(DlKernelPlan *plan);

static void finish(DlKernelPlan *plan, const GError *error)
{
        DlKernelPlanDone done = plan->done;
        void *userdata = plan->userdata;
        g_autoptr(GError) own = error ? g_error_copy(error) : NULL;

        dl_kernel_plan_free(plan);
        done(own, userdata);
}

static void on_answer(const DlHelperResult *result, const GError *error, void *userdata)
{
        DlKernelPlan *plan = userdata;

        dl_kill_point("kernel-plan", plan->next - 1, "answered");
        plan->call = NULL;
        if (error || plan->next == plan->requests->len)
                finish(plan, error);
        else
                ask_next(plan);
}

static void ask_next(DlKernelPlan *plan)
{
        plan->call = dl_helper_call(plan->core->helper, plan->requests->pdata[plan->next++], NULL,
                                    NULL, on_answer, plan);
        dl_kill_point("kernel-plan", plan->next - 1, "asked");
}

static int on_empty(sd_event_source *source, void *userdata)
{
        finish(userdata, NULL);
        return 0;
}

void dl_kernel_plan_run(DlKernelPlan *plan, DlKernelPlanDone done, void *userdata)
{
        plan->done = done;
        plan->userdata = userdata;
        if (plan->requests->len > 0)
                ask_next(plan);
        else
                (void)sd_event_add_defer(plan->core->event, &plan->empty, on_empty, plan);
}
