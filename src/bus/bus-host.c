/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* org.ovirt.DirectLun.Host. Loop thread only. */

#include "bus/bus-object.h"
#include "bus/bus-reply.h"

DL_BUS_GETTER(get_name, DlHost, host, reply)
{
        return dl_bus_append_text(reply, host->object.id);
}

DL_BUS_GETTER(get_state, DlHost, host, reply)
{
        return sd_bus_message_append(reply, "s", dl_host_state(host));
}

DL_BUS_GETTER(get_local, DlHost, host, reply)
{
        return sd_bus_message_append(reply, "b", host->local);
}

DL_BUS_GETTER(get_boot_id, DlHost, host, reply)
{
        return sd_bus_message_append(reply, "s", host->boot_id);
}

DL_BUS_GETTER(get_initiator_name, DlHost, host, reply)
{
        return dl_bus_append_text(reply, dl_core_initiator_name(host->object.core));
}

static int append_target(sd_bus_message *m, const DlTarget *target)
{
        int r;

        r = sd_bus_message_open_container(m, 'e', "o(sss)");
        if (r >= 0)
                r = dl_bus_append_path(m, target);
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'r', "sss");
        if (r >= 0)
                r = sd_bus_message_append(m, "ss", dl_target_state_name(target->state),
                                          dl_last_error_name(&target->last_error));
        if (r >= 0)
                r = dl_bus_append_text(m, dl_last_error_message(&target->last_error));
        if (r >= 0)
                r = sd_bus_message_close_container(m);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

DL_BUS_GETTER(get_targets, DlHost, host, reply)
{
        g_autoptr(GPtrArray) targets = dl_core_list(host->object.core, DL_KIND_TARGET);
        int r = sd_bus_message_open_container(reply, 'a', "{o(sss)}");

        for (unsigned i = 0; r >= 0 && i < targets->len; i++)
                r = append_target(reply, targets->pdata[i]);
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

const sd_bus_vtable dl_bus_host_vtable[] = {
        SD_BUS_VTABLE_START(0),
        DL_BUS_CONST("Name", "s", get_name),
        DL_BUS_CHANGES("State", "s", get_state),
        DL_BUS_CONST("Local", "b", get_local),
        DL_BUS_CONST("BootId", "s", get_boot_id),
        DL_BUS_CONST("InitiatorName", "s", get_initiator_name),
        /* Without the value: with many targets that would be most of what the bus has to carry. */
        SD_BUS_PROPERTY("Targets", "a{o(sss)}", get_targets, 0,
                        SD_BUS_VTABLE_PROPERTY_EMITS_INVALIDATION),
        SD_BUS_VTABLE_END,
};
