/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* discover, connect, unmanage, targets. Options are GOption's until the end. One thread. */

#include "directlunctl/command.h"
#include "directlunctl/parse.h"
#include "directlunctl/secret-input.h"
#include "directlunctl/view.h"

#include <unistd.h>

/* ---- discover ------------------------------------------------------------------------------ */

static CtlSecretSource initiator = CTL_SECRET_SOURCE_NONE;
static CtlSecretSource target = CTL_SECRET_SOURCE_NONE;

static const GOptionEntry discover_options[] = {
        {"user", 0, 0, G_OPTION_ARG_FILENAME, &initiator.user, "CHAP user", "USER"},
        {"secret-file", 0, 0, G_OPTION_ARG_FILENAME, &initiator.file,
         "read its secret from a file (-: standard input)", "FILE"},
        {"secret-fd", 0, 0, G_OPTION_ARG_INT, &initiator.fd,
         "read its secret from a file descriptor", "FD"},
        {"ask-secret", 0, 0, G_OPTION_ARG_NONE, &initiator.ask, "ask for its secret", NULL},
        {"target-user", 0, 0, G_OPTION_ARG_FILENAME, &target.user,
         "CHAP user that the target proves itself as", "USER"},
        {"target-secret-file", 0, 0, G_OPTION_ARG_FILENAME, &target.file,
         "read its secret from a file", "FILE"},
        {"target-secret-fd", 0, 0, G_OPTION_ARG_INT, &target.fd,
         "read its secret from a file descriptor", "FD"},
        {"ask-target-secret", 0, 0, G_OPTION_ARG_NONE, &target.ask, "ask for its secret", NULL},
        {},
};

static CtlCall *make_discover(Ctl *ctl, const char *address, uint16_t port, GError **error)
{
        CtlCall *call = ctl_call_new(ctl, CTL_ROOT, "Manager", "DiscoverTargets", error);

        if (!call)
                return NULL;
        ctl_call_append(call, "sq", address, port);
        ctl_call_open(call);
        return call;
}

static bool add_chap(Ctl *ctl, CtlCall *call, const CtlSecretSource *source, const char *user,
                     const char *secret, GError **error)
{
        int fd;

        if (!ctl_secret_open(ctl, source, &fd, error))
                return false;
        if (fd < 0)
                return true;
        ctl_call_entry(call, user, "s", source->user);
        ctl_call_entry(call, secret, "h", fd); /* the message has a descriptor of its own */
        close(fd);
        return true;
}

static bool run_discover(Ctl *ctl, char **args, GError **error)
{
        g_autoptr(CtlCall) call = NULL;
        g_autoptr(sd_bus_message) reply = NULL;
        g_autoptr(JsonNode) paths = NULL;
        g_autoptr(CtlObjects) objects = NULL;
        g_autofree char *address = NULL;
        uint16_t port;

        if (!ctl_parse_portal(args[0], &address, &port, error))
                return false;
        call = make_discover(ctl, address, port, error);
        if (!call || !add_chap(ctl, call, &initiator, "user", "secret", error) ||
            !add_chap(ctl, call, &target, "target-user", "target-secret", error))
                return false;
        reply = ctl_call_run(call, error);
        if (!reply || !ctl_read_ok(ctl_json_read(reply, &paths), error))
                return false;
        objects = ctl_objects_load(ctl, error);
        if (!objects)
                return false;

        g_autoptr(GPtrArray) found = ctl_objects_listed(objects, json_node_get_array(paths));
        if (found->len == 0)
                ctl_note(ctl, "The portal has no targets for this initiator.");
        ctl_view_list(ctl, objects, "target", found);
        return true;
}

/* ---- connect, unmanage --------------------------------------------------------------------- */

static gboolean pin;
static char **guids, **interfaces, *data_path;
static int n_paths;

static const GOptionEntry connect_options[] = {
        {"pin", 0, 0, G_OPTION_ARG_NONE, &pin, "keep it connected until 'unmanage'", NULL},
        {"guid", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &guids,
         "succeed only if this LUN is there and usable (may be repeated)", "GUID"},
        {"data-path", 0, 0, G_OPTION_ARG_FILENAME, &data_path,
         "auto (default), qemu, or block: by sessions of this host's kernel", "PATH"},
        {"paths", 0, 0, G_OPTION_ARG_INT, &n_paths,
         "by data path block, so many paths to each LUN are enough (default: all)", "N"},
        {"interface", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &interfaces,
         "log in through this interface of open-iscsi (may be repeated)", "NAME"},
        {},
};

/* Its path, and what it was like before. */
static JsonObject *find_target(Ctl *ctl, const char *word, CtlObjects **ret_objects, GError **error)
{
        g_autoptr(CtlObjects) objects = ctl_objects_load(ctl, error);
        JsonObject *found = objects ? ctl_objects_find(objects, "target", word, error) : NULL;

        if (found)
                *ret_objects = g_steal_pointer(&objects);
        return found;
}

static bool show_luns(const Ctl *ctl, const CtlObjects *objects, JsonObject *connected)
{
        g_autoptr(GPtrArray) luns = ctl_objects_listed(objects, ctl_json_array(connected, "Luns"));

        if (!ctl->quiet)
                ctl_view_list(ctl, objects, "lun", luns);
        return true;
}

static bool run_connect(Ctl *ctl, char **args, GError **error)
{
        g_autoptr(CtlObjects) before = NULL, after = NULL;
        g_autoptr(sd_bus_message) reply = NULL;
        g_autoptr(CtlCall) call = NULL;
        const char *path;
        JsonObject *found = find_target(ctl, args[0], &before, error);

        if (!found)
                return false;
        path = ctl_json_string(found, "path");
        call = ctl_call_new(ctl, path, "Target", "Connect", error);
        if (!call)
                return false;
        ctl_call_open(call);
        if (pin)
                ctl_call_entry(call, "pin", "b", 1);
        if (guids)
                ctl_call_entry_strings(call, "guids", (const char *const *)guids);
        if (interfaces)
                ctl_call_entry_strings(call, "interfaces", (const char *const *)interfaces);
        if (data_path)
                ctl_call_entry(call, "data-path", "s", data_path);
        if (n_paths > 0)
                ctl_call_entry(call, "paths", "u", (uint32_t)n_paths);
        reply = ctl_call_run(call, error);
        after = reply ? ctl_objects_load(ctl, error) : NULL;
        found = after ? ctl_objects_find(after, "target", path, error) : NULL;
        if (!found)
                return false;
        if (ctl->format == CTL_TEXT)
                return show_luns(ctl, after, found);
        ctl_view_result(ctl, after, found, true);
        return true;
}

static gboolean force;

static const GOptionEntry unmanage_options[] = {
        {"force", 0, 0, G_OPTION_ARG_NONE, &force, "even if a running VM uses it", NULL},
        {},
};

static bool run_unmanage(Ctl *ctl, char **args, GError **error)
{
        g_autoptr(CtlObjects) before = NULL, after = NULL;
        g_autoptr(sd_bus_message) reply = NULL;
        g_autoptr(CtlCall) call = NULL;
        const char *path;
        bool managed;
        JsonObject *found = find_target(ctl, args[0], &before, error);

        if (!found)
                return false;
        path = ctl_json_string(found, "path");
        managed = ctl_json_bool(found, "Managed");
        ctl->force = force;
        call = ctl_call_new(ctl, path, "Target", "Unmanage", error);
        if (!call)
                return false;
        ctl_call_open(call);
        reply = ctl_call_run(call, error);
        after = reply ? ctl_objects_load(ctl, error) : NULL;
        found = after ? ctl_objects_find(after, "target", path, error) : NULL;
        if (!found)
                return false;
        if (!managed)
                ctl_note(ctl, "%s was not managed.", ctl_json_string(found, "Iqn"));
        ctl_view_result(ctl, after, found, managed);
        return true;
}

static const GOptionEntry no_options[] = {{}};

/* ---- targets ------------------------------------------------------------------------------- */

static bool run_targets(Ctl *ctl, char **args, GError **error)
{
        g_autoptr(CtlObjects) objects = ctl_objects_load(ctl, error);
        g_autoptr(GPtrArray) list = NULL;

        if (!objects)
                return false;
        list = ctl_objects_of_kind(objects, "target");
        if (list->len == 0)
                ctl_note(ctl, "No target is known yet: see 'directlunctl discover'.");
        ctl_view_list(ctl, objects, "target", list);
        return true;
}

const CtlCommand ctl_target_commands[] = {
        {"discover", "ADDRESS[:PORT]", "Ask an iSCSI portal for its targets", 1, 1,
         discover_options, run_discover},
        {"connect", "TARGET", "Connect a target and see its LUNs", 1, 1, connect_options,
         run_connect},
        {"unmanage", "TARGET", "Let go of a target's connection", 1, 1, unmanage_options,
         run_unmanage},
        {"targets", "", "List the targets", 0, 0, no_options, run_targets},
        {},
};
