/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Appending what many members show. Nothing is owned. Loop thread only. */

#include "bus/bus-reply.h"

#include "bus/bus-object.h"

#include <stdarg.h>

int dl_bus_append_path(sd_bus_message *m, const void *object)
{
        const DlObject *o = object;
        g_autofree char *path = o ? dl_bus_path(o->kind, o->id) : NULL;

        return sd_bus_message_append(m, "o", path ? path : "/");
}

int dl_bus_append_paths(sd_bus_message *m, const GPtrArray *objects)
{
        int r = sd_bus_message_open_container(m, 'a', "o");

        for (unsigned i = 0; r >= 0 && i < objects->len; i++)
                r = dl_bus_append_path(m, objects->pdata[i]);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

int dl_bus_append_result(sd_bus_message *m, const DlJob *job)
{
        const DlObjectRef *would;

        if (job->result_objects->len > 0)
                return dl_bus_append_path(m, job->result_objects->pdata[0]);
        if (job->would_give->len == 0) /* a dry run that cannot tell */
                return sd_bus_message_append(m, "o", "/");
        would = job->would_give->pdata[0];
        g_autofree char *path = dl_bus_path(would->kind, would->id);
        return sd_bus_message_append(m, "o", path);
}

int dl_bus_append_results(sd_bus_message *m, const DlJob *job)
{
        int r = sd_bus_message_open_container(m, 'a', "o");

        for (unsigned i = 0; r >= 0 && i < job->result_objects->len; i++)
                r = dl_bus_append_path(m, job->result_objects->pdata[i]);
        for (unsigned i = 0; r >= 0 && i < job->would_give->len; i++) {
                const DlObjectRef *would = job->would_give->pdata[i];
                g_autofree char *path = dl_bus_path(would->kind, would->id);

                r = sd_bus_message_append(m, "o", path);
        }
        return r < 0 ? r : sd_bus_message_close_container(m);
}

int dl_bus_append_text(sd_bus_message *m, const char *text)
{
        g_autofree char *valid = g_utf8_make_valid(text ? text : "", -1);

        return sd_bus_message_append(m, "s", valid);
}

int dl_bus_append_last_error(sd_bus_message *m, const DlLastError *e)
{
        g_autofree char *message = g_utf8_make_valid(dl_last_error_message(e), -1);

        return sd_bus_message_append(m, "(ss)", dl_last_error_name(e), message);
}

int dl_bus_append_strv(sd_bus_message *m, const char *const *strv)
{
        int r = sd_bus_message_open_container(m, 'a', "s");

        for (; r >= 0 && strv && *strv; strv++)
                r = dl_bus_append_text(m, *strv);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

int dl_bus_append_entry(sd_bus_message *m, const char *key, const char *signature, ...)
{
        va_list ap;
        int r;

        r = sd_bus_message_open_container(m, 'e', "sv");
        if (r >= 0)
                r = sd_bus_message_append(m, "s", key);
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'v', signature);
        if (r >= 0) {
                va_start(ap, signature);
                r = sd_bus_message_appendv(m, signature, ap);
                va_end(ap);
        }
        if (r >= 0)
                r = sd_bus_message_close_container(m);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

int dl_bus_append_text_entry(sd_bus_message *m, const char *key, const char *text)
{
        g_autofree char *valid = g_utf8_make_valid(text ? text : "", -1);

        return dl_bus_append_entry(m, key, "s", valid);
}

int dl_bus_append_path_entry(sd_bus_message *m, const char *key, const void *object)
{
        const DlObject *o = object;
        g_autofree char *path = o ? dl_bus_path(o->kind, o->id) : NULL;

        return dl_bus_append_entry(m, key, "o", path ? path : "/");
}
