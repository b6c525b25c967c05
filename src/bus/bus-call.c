/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The life of a method call. A call belongs to the table of the DlBus from its begin to its answer;
 * it holds a reference to the message, and the message everything that was read from it. The object
 * is held by its id and looked up again at each step. Loop thread only.
 */

#include "bus/bus-call.h"

#include "bus/bus-error.h"
#include "bus/bus-object.h"
#include "bus/bus-reply.h"
#include "util/log.h"

static void call_free(DlBusCall *call)
{
        if (call->method->clear && call->args)
                call->method->clear(call->args);
        g_free(call->args);
        dl_bus_auth_free(call->auth);
        if (call->counted)
                dl_bus_user_exit(call->bus, call->uid);
        if (call->client)
                dl_bus_client_leave(call->client, call);
        g_hash_table_remove(call->bus->calls, call);
        g_hash_table_unref(call->details);
        sd_bus_message_unref(call->message);
        g_free(call->id);
        g_free(call);
}

static void answer_failed(int r)
{
        if (r < 0)
                dl_warning("cannot answer a call: %s", g_strerror(-r));
}

static void call_fail(DlBusCall *call, const GError *error)
{
        answer_failed(dl_bus_reply_error(call->message, error));
        call_free(call);
}

static int make_reply(DlBusCall *call, const DlJob *job, sd_bus_message **ret)
{
        sd_bus_message *reply = NULL;
        int r;

        r = sd_bus_message_new_method_return(call->message, &reply);
        if (r >= 0 && call->method->reply)
                r = call->method->reply(call, job, reply);
        if (r < 0) {
                sd_bus_message_unref(reply);
                return r;
        }
        *ret = reply;
        return 0;
}

static void call_succeed(DlBusCall *call, const DlJob *job)
{
        g_autoptr(GError) error = NULL;
        sd_bus_message *reply;
        int r;

        r = make_reply(call, job, &reply);
        if (r < 0) {
                g_set_error(&error, DL_ERROR, DL_ERROR_FAILED,
                            "it is done, but the result cannot be told: %s", g_strerror(-r));
                call_fail(call, error);
                return;
        }
        answer_failed(sd_bus_send(call->bus->connection, reply, NULL));
        sd_bus_message_unref(reply);
        call_free(call);
}

/* ---- acting -------------------------------------------------------------------------------- */

static void on_done(DlJob *job, const GError *error, void *userdata)
{
        if (error)
                call_fail(userdata, error);
        else
                call_succeed(userdata, job);
}

static void call_act(DlBusCall *call, void *object)
{
        g_autoptr(GError) error = NULL;
        DlRequest request = {
                .uid = call->uid,
                .job_token = call->options.job_token,
                .timeout_usec = (uint64_t)call->options.timeout_ms * 1000,
                .force = call->options.force,
                .dry_run = call->options.dry_run,
                .done = on_done,
                .userdata = call,
        };

        if (call->method->start) {
                if (call->method->start(call, call->args, object, &request, &error))
                        call->acting = true;
        } else if (call->method->act(call, call->args, object, &error)) {
                call_succeed(call, NULL);
                return;
        }
        if (error)
                call_fail(call, error);
}

/* ---- authorisation ------------------------------------------------------------------------- */

static void call_authorise(DlBusCall *call);

static void on_authorised(const GError *error, void *userdata)
{
        DlBusCall *call = userdata;

        if (error) {
                call_fail(call, error);
                return;
        }
        g_clear_pointer(&call->auth, dl_bus_auth_free);
        call->granted |= call->asked;
        call_authorise(call);
}

static void ask(DlBusCall *call, DlBusAction missing)
{
        g_autoptr(GError) error = NULL;
        int r;

        call->asked = missing & -missing; /* the lowest of them: one question at a time */
        r = dl_bus_auth_new(call->bus, call->message, call->asked, call->details, on_authorised,
                            call, &call->auth);
        if (r < 0) {
                g_set_error(&error, DL_ERROR, DL_ERROR_ACCESS_DENIED, "polkit cannot be asked: %s",
                            g_strerror(-r));
                call_fail(call, error);
        }
}

static void fail_gone(DlBusCall *call)
{
        answer_failed(sd_bus_reply_method_errorf(call->message, SD_BUS_ERROR_UNKNOWN_OBJECT,
                                                 "the object %s is gone",
                                                 sd_bus_message_get_path(call->message)));
        call_free(call);
}

static void call_authorise(DlBusCall *call)
{
        const DlBusMethod *method = call->method;
        DlBusAction missing = method->action;
        DlObject *object = NULL;

        if (call->id) {
                object = dl_core_lookup(call->bus->core, call->kind, call->id);
                if (!object) {
                        fail_gone(call);
                        return;
                }
        }
        if (method->more_actions)
                missing |= method->more_actions(call, call->args, object);
        if (call->options.force)
                missing |= DL_BUS_FORCE;
        missing &= ~call->granted;
        if (call->uid == 0 || missing == 0)
                call_act(call, object);
        else
                ask(call, missing);
}

void dl_bus_call_identified(DlBusCall *call)
{
        g_autoptr(GError) error = NULL;

        g_return_if_fail(dl_bus_client_is_known(call->client, &call->uid));
        if (call->method->start) {
                if (!dl_bus_user_enter(call->bus, call->uid, &error)) {
                        call_fail(call, error);
                        return;
                }
                call->counted = true;
        }
        call_authorise(call);
}

void dl_bus_call_unidentified(DlBusCall *call)
{
        g_autoptr(GError) error = g_error_new(DL_ERROR, DL_ERROR_ACCESS_DENIED,
                                              "the bus does not tell who calls");

        call_fail(call, error);
}

void dl_bus_call_abandoned(DlBusCall *call)
{
        if (!call->acting)
                call_free(call);
}

/* ---- beginning ----------------------------------------------------------------------------- */

void dl_bus_call_detail(DlBusCall *call, const char *key, const char *value)
{
        if (value && *value)
                g_hash_table_replace(call->details, (char *)key, g_strdup(value));
}

static void describe_vm(DlBusCall *call, const DlVm *vm)
{
        dl_bus_call_detail(call, "vm", vm->name);
        dl_bus_call_detail(call, "host", dl_vm_host(vm));
}

static void describe_object(DlBusCall *call, const DlObject *object)
{
        const DlAttachment *attachment;

        switch (object->kind) {
        case DL_KIND_TARGET:
                dl_bus_call_detail(call, "target", object->id);
                break;
        case DL_KIND_LUN:
                dl_bus_call_detail(call, "guid", object->id);
                break;
        case DL_KIND_VDISK:
                dl_bus_call_detail(call, "guid", ((const DlVDisk *)object)->guid);
                break;
        case DL_KIND_VM:
                describe_vm(call, (const DlVm *)object);
                break;
        case DL_KIND_ATTACHMENT:
                attachment = (const DlAttachment *)object;
                dl_bus_call_detail(call, "guid", attachment->meta->guid);
                dl_bus_call_detail(call, "target", attachment->meta->iqn);
                describe_vm(call, attachment->vm);
                break;
        default:
                break;
        }
}

static DlBusCall *call_new(sd_bus_message *message, const DlObject *object,
                           const DlBusMethod *method)
{
        const DlBusFolder *folder = dl_bus_current_folder(message);
        DlBusCall *call = g_new0(DlBusCall, 1);

        call->bus = folder->bus;
        call->message = sd_bus_message_ref(message);
        call->method = method;
        call->kind = folder->kind;
        call->id = g_strdup(object ? object->id : NULL);
        call->args = g_malloc0(MAX(method->args_size, 1));
        call->details = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, g_free);
        g_hash_table_add(call->bus->calls, call);
        dl_bus_call_detail(call, "verb", method->verb);
        if (object)
                describe_object(call, object);
        return call;
}

int dl_bus_call_begin(sd_bus_message *message, DlObject *object, const DlBusMethod *method)
{
        DlBusCall *call = call_new(message, object, method);
        unsigned max = call->bus->settings->jobs_per_client_max;
        g_autoptr(GError) error = NULL;

        if (!method->start) /* a client with all the jobs it may have must be able to cancel one */
                max *= 2;
        if (!method->parse(call, call->args, &error)) {
                call_fail(call, error);
                return 1;
        }
        call->client = dl_bus_client_join(call->bus, call, sd_bus_message_get_sender(message), max,
                                          &error);
        if (!call->client)
                call_fail(call, error);
        else if (dl_bus_client_is_known(call->client, &call->uid))
                dl_bus_call_identified(call);
        return 1;
}

bool dl_bus_parse_options(DlBusCall *call, void *args, GError **error)
{
        return dl_bus_options_read(call->message, NULL, NULL, &call->options, error);
}

void dl_bus_calls_end(DlBus *bus)
{
        g_autoptr(GError)
                error = g_error_new(DL_ERROR, DL_ERROR_CANCELLED, "the service stops: try again");
        GHashTableIter i;
        void *call;

        for (;;) { /* each leaves the table */
                g_hash_table_iter_init(&i, bus->calls);
                if (!g_hash_table_iter_next(&i, &call, NULL))
                        break;
                call_fail(call, error);
        }
}

/* ---- results ------------------------------------------------------------------------------- */

int dl_bus_reply_object(DlBusCall *call, const DlJob *job, sd_bus_message *reply)
{
        return dl_bus_append_result(reply, job);
}

int dl_bus_reply_objects(DlBusCall *call, const DlJob *job, sd_bus_message *reply)
{
        return dl_bus_append_results(reply, job);
}

int dl_bus_reply_string(DlBusCall *call, const DlJob *job, sd_bus_message *reply)
{
        return sd_bus_message_append(reply, "s", job->result_string ? job->result_string : "");
}
