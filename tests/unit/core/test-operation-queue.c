/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How many operations there may be: one at a time of a VM, and the limits. One thread. */

#include "play.h"

/* ---- one VM, one operation ----------------------------------------------------------------- */

static const DlStep on_vm_steps[] = {{"waiting", play_wait}};

static void test_vm_queue(CoreFixture *f, gconstpointer data)
{
        DlVm *vm = play_make_vm(f);
        CoreResult results[4];
        DlOperation *ops[4];

        for (unsigned i = 0; i < 4; i++) {
                ops[i] = PLAY_START(f, on_vm_steps, &results[i]);
                dl_op_on_vm(ops[i], vm);
        }
        CORE_WAIT(f, play_waiting);
        core_fixture_settle(f);
        g_assert_true(play_waiting->waits == ops[0]);
        g_assert_cmpstr(play_trace->str, ==, "wait "); /* one of four */

        play_cancel(ops[2]); /* out of the middle of the queue */
        core_expect(&results[2], DL_ERROR_CANCELLED);
        core_fixture_settle(f);
        g_assert_true(play_waiting->waits == ops[0]);

        play_cancel(ops[0]);
        core_expect(&results[0], DL_ERROR_CANCELLED);
        CORE_WAIT(f, play_waiting);
        g_assert_true(play_waiting->waits == ops[1]);
        play_go_on();
        core_expect(&results[1], -1);
        CORE_WAIT(f, play_waiting);
        g_assert_true(play_waiting->waits == ops[3]);
        play_go_on();
        core_expect(&results[3], -1);
        g_assert_true(g_queue_is_empty(&vm->queue));
        for (unsigned i = 0; i < 4; i++)
                g_assert_cmpstr(((DlObjectRef *)ops[i]->job.objects->pdata[0])->id, ==, PLAY_VM);
}

static void test_vm_goes_while_queued(CoreFixture *f, gconstpointer data)
{
        static const DlStep looking_steps[] = {{"waiting", play_wait}, {"looking", dl_step_look}};
        DlVm *vm = play_make_vm(f);
        CoreResult first, second;
        DlOperation *op = PLAY_START(f, looking_steps, &first), *queued;

        dl_op_on_vm(op, vm);
        queued = play_start(f, looking_steps + 1, 1, &second, 0);
        dl_op_on_vm(queued, vm);
        CORE_WAIT(f, play_waiting);
        dl_vm_gone(vm); /* kept by those who wait for it */
        g_assert_null(DL_LOOKUP_VM(f->core, PLAY_VM));
        play_go_on();
        core_expect(&first, DL_ERROR_VM_NOT_FOUND);
        core_expect(&second, DL_ERROR_VM_NOT_FOUND); /* and then freed: the leak checker sees it */
}

/* Undefined and defined anew: what the operation knows of the VM is not true any more. */
static void test_vm_made_anew(CoreFixture *f, gconstpointer data)
{
        static const DlStep steps[] = {
                {"waiting", play_wait}, {"looking", dl_step_look}, {"changing", play_b}};
        DlVm *vm = play_make_vm(f), *other;
        CoreResult result;

        fake_domain_add(PLAY_VM, "vm", DL_VIRT_SHUTOFF, true);
        dl_op_on_vm(PLAY_START(f, steps, &result), vm);
        CORE_WAIT(f, play_waiting);
        dl_vm_gone(vm);
        other = play_make_vm(f);
        play_go_on();
        core_expect(&result, DL_ERROR_VM_NOT_FOUND);
        g_assert_cmpstr(play_trace->str, ==, "wait [freed]");
        g_assert_true(DL_LOOKUP_VM(f->core, PLAY_VM) == other);
}

/* ---- limits -------------------------------------------------------------------------------- */

/* What the service does by itself takes no place from root. */
static void test_internal_is_not_counted(CoreFixture *f, gconstpointer data)
{
        CoreResult result;
        DlRequest request = core_request(f, &result);
        static const DlRequest own = {.internal = true};
        g_autoptr(GError) error = NULL;

        f->settings->jobs_per_client_max = 1;
        request.uid = 0;
        for (int i = 0; i < 3; i++)
                g_assert_nonnull(DL_OP_NEW(f->core, "recover", &own, play_waiting_steps, 0,
                                           g_new0(Play, 1), play_free, NULL));
        g_assert_nonnull(DL_OP_NEW(f->core, "one", &request, play_waiting_steps, 0, g_new0(Play, 1),
                                   play_free, &error));
        g_assert_no_error(error);
        g_assert_null(DL_OP_NEW(f->core, "two", &request, play_waiting_steps, 0, g_new0(Play, 1),
                                play_free, &error));
        g_assert_error(error, DL_ERROR, DL_ERROR_LIMITS_EXCEEDED);
}

static void test_limits(CoreFixture *f, gconstpointer data)
{
        CoreResult results[6];
        unsigned n = 0;
        g_autoptr(GError) error = NULL;
        DlOperation *last = NULL;

        f->settings->jobs_per_client_max = 2;
        f->settings->jobs_max = 3;
        for (; n < 2; n++)
                last = PLAY_START(f, play_waiting_steps, &results[n]);

        DlRequest request = core_request(f, &results[n]);
        g_assert_null(DL_OP_NEW(f->core, "play", &request, play_waiting_steps, 0, g_new0(Play, 1),
                                play_free, &error));
        g_assert_error(error, DL_ERROR, DL_ERROR_LIMITS_EXCEEDED);
        g_assert_cmpstr(play_trace->str, ==, "[freed]"); /* data, when refused */
        g_clear_error(&error);

        request.uid = 1001; /* another client still may, up to the total */
        g_assert_nonnull(DL_OP_NEW(f->core, "play", &request, play_waiting_steps, 0,
                                   g_new0(Play, 1), play_free, &error));
        n++;
        request.uid = 1002;
        g_assert_null(dl_op_new_quiet(f->core, "play", &request, play_waiting_steps, 1, 0,
                                      g_new0(Play, 1), play_free, &error));
        g_assert_error(error, DL_ERROR, DL_ERROR_LIMITS_EXCEEDED);

        play_cancel(last); /* makes room at once, though the job lingers */
        request = core_request(f, &results[n]);
        g_assert_nonnull(DL_OP_NEW(f->core, "play", &request, play_waiting_steps, 0,
                                   g_new0(Play, 1), play_free, NULL));
        core_fixture_stop(f); /* drops three: their callbacks do not come */
        for (unsigned i = 0; i <= n; i++) {
                g_assert_cmpuint(results[i].n_done, ==, i == 1 ? 1 : 0);
                core_result_clear(&results[i]);
        }
}

int main(int argc, char *argv[])
{
        g_test_init(&argc, &argv, NULL);
#define TEST(name, function)                                                                       \
        g_test_add("/core/operation-queue/" name, CoreFixture, NULL, play_begin, function, play_end)
        TEST("vm-queue", test_vm_queue);
        TEST("vm-goes-while-queued", test_vm_goes_while_queued);
        TEST("vm-made-anew", test_vm_made_anew);
        TEST("limits", test_limits);
        TEST("internal-is-not-counted", test_internal_is_not_counted);
        return g_test_run();
}
