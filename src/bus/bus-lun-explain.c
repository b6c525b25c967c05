/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Lun.Explain: the core's facts as dictionaries. It only reads, and answers at once. Nothing is
 * owned. Loop thread only. */

#include "bus/bus-lun-explain.h"

#include "bus/bus-error.h"
#include "bus/bus-options.h"
#include "bus/bus-reply.h"
#include "core/model/explain.h"

static int append_signature(sd_bus_message *m, const DlSignature *signature)
{
        int r;

        r = dl_bus_append_text_entry(m, "usage", signature->usage);
        if (r >= 0)
                r = dl_bus_append_text_entry(m, "label", signature->label);
        return r < 0 ? r : dl_bus_append_text_entry(m, "uuid", signature->uuid);
}

static int append_fact(sd_bus_message *m, const DlFact *fact)
{
        int r;

        r = sd_bus_message_open_container(m, 'a', "{sv}");
        if (r >= 0)
                r = dl_bus_append_text_entry(m, "about", fact->about);
        if (r >= 0)
                r = dl_bus_append_text_entry(m, "name", fact->name);
        if (r >= 0)
                r = dl_bus_append_text_entry(m, "text", fact->text);
        if (r >= 0 && fact->object)
                r = dl_bus_append_path_entry(m, "object", fact->object);
        if (r >= 0 && fact->signature)
                r = append_signature(m, fact->signature);
        if (r >= 0 && g_str_equal(fact->about, "unmanage"))
                r = dl_bus_append_entry(m, "refused", "b", fact->refused);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

static int append_facts(sd_bus_message *m, const GPtrArray *facts)
{
        int r = sd_bus_message_open_container(m, 'a', "a{sv}");

        for (unsigned i = 0; r >= 0 && i < facts->len; i++)
                r = append_fact(m, facts->pdata[i]);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

int dl_bus_lun_explain(sd_bus_message *m, void *lun, sd_bus_error *ret_error)
{
        g_autoptr(GPtrArray) facts = NULL;
        g_autoptr(GError) error = NULL;
        sd_bus_message *reply = NULL;
        int r;

        if (!dl_bus_options_read(m, NULL, NULL, NULL, &error))
                return dl_bus_reply_error(m, error);
        facts = dl_lun_explain(lun);
        r = sd_bus_message_new_method_return(m, &reply);
        if (r >= 0)
                r = append_facts(reply, facts);
        if (r >= 0)
                r = sd_bus_send(sd_bus_message_get_bus(m), reply, NULL);
        sd_bus_message_unref(reply);
        return r < 0 ? r : 1;
}
