/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The service on the bus: owns the core, the registrations and the calls in progress. Loop thread
 * only.
 */

#include "bus/bus.h"

#include "bus/bus-call.h"
#include "bus/bus-object.h"
#include "bus/bus-secret.h"

static int on_message(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
        DlBus *bus = userdata;

        if (sd_bus_message_is_method_call(m, NULL, NULL) > 0)
                (void)sd_event_now(bus->event, CLOCK_MONOTONIC, &bus->last_call_usec);
        return 0; /* for the next handler */
}

/* Before the connection is closed, which it is when the loop exits. */
static int on_loop_exit(sd_event_source *source, void *userdata)
{
        DlBus *bus = userdata;

        dl_bus_calls_end(bus);
        g_hash_table_remove_all(bus->secrets);
        return 0;
}

static void on_core_ready(void *userdata)
{
        DlBus *bus = userdata;

        bus->announcing = true;
        bus->ready(bus->userdata);
}

static void slot_free(void *slot)
{
        sd_bus_slot_unref(slot);
}

DlBus *dl_bus_new(sd_event *event, sd_bus *connection, const DlSettings *settings, DlBusReady ready,
                  void *userdata, GError **error)
{
        g_autoptr(DlBus) bus = g_new0(DlBus, 1);
        int r;

        bus->event = sd_event_ref(event);
        bus->connection = sd_bus_ref(connection);
        bus->settings = settings;
        bus->ready = ready;
        bus->userdata = userdata;
        bus->slots = g_ptr_array_new_with_free_func(slot_free);
        bus->calls = g_hash_table_new(NULL, NULL);
        bus->clients = g_hash_table_new(g_str_hash, g_str_equal);
        bus->uids = g_hash_table_new(NULL, NULL);
        bus->secrets = dl_bus_secrets_new();
        bus->core = dl_core_new(event, settings, &dl_bus_observer, on_core_ready, bus, error);
        if (!bus->core)
                return NULL;
        r = sd_event_add_exit(event, &bus->exit, on_loop_exit, bus);
        if (r >= 0)
                r = sd_event_source_set_priority(bus->exit, SD_EVENT_PRIORITY_IMPORTANT);
        if (r >= 0)
                r = sd_bus_add_filter(connection, &bus->filter, on_message, bus);
        if (r >= 0)
                r = dl_bus_objects_register(bus);
        if (r < 0) {
                g_set_error(error, DL_ERROR, DL_ERROR_FAILED,
                            "cannot show the objects on the bus: %s", g_strerror(-r));
                return NULL;
        }
        return g_steal_pointer(&bus);
}

void dl_bus_free(DlBus *bus)
{
        if (!bus)
                return;
        dl_bus_calls_end(bus);
        g_hash_table_unref(bus->secrets);
        sd_event_source_disable_unref(bus->exit);
        bus->announcing = false;
        g_ptr_array_unref(bus->slots);
        sd_bus_slot_unref(bus->filter);
        dl_core_free(bus->core);
        g_hash_table_unref(bus->calls);
        g_hash_table_unref(bus->clients);
        g_hash_table_unref(bus->uids);
        sd_bus_unref(bus->connection);
        sd_event_unref(bus->event);
        g_free(bus);
}

bool dl_bus_has_no_calls(DlBus *bus)
{
        uint64_t n_read = 0;

        (void)sd_bus_get_n_queued_read(bus->connection, &n_read);
        return n_read == 0 && g_hash_table_size(bus->calls) == 0;
}

bool dl_bus_is_idle(DlBus *bus)
{
        uint64_t n_written = 0;

        (void)sd_bus_get_n_queued_write(bus->connection, &n_written);
        return n_written == 0 && dl_bus_has_no_calls(bus) && g_hash_table_size(bus->secrets) == 0 &&
               dl_core_is_idle(bus->core);
}

uint64_t dl_bus_last_call_usec(const DlBus *bus)
{
        return bus->last_call_usec;
}
