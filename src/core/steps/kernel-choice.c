/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Chooses between the kernel's initiator and QEMU's. Loop thread only. */

#include "core/steps/kernel-choice.h"

#include "core/steps/kernel-leave.h"

#include <string.h>
#include <sys/stat.h>

struct DlKernelChoice {
        DlTarget *target;
        DlDataPath choice;
        char *why;
        GStrv interfaces; /* NULL: those of the target stay */
        bool was_by_kernel;
        DlKernelConnect *connect;
        DlConnect *proof;     /* for QEMU's initiator after all */
        sd_event_source *now; /* there is nothing to make */
        DlKernelChosen done;
        void *userdata;
};

/* ---- what this host has -------------------------------------------------------------------- */

bool dl_kernel_has_multipath(const DlCore *core)
{
        return g_file_test(core->multipathd, G_FILE_TEST_EXISTS);
}

static bool has_helper(const DlCore *core)
{
        struct stat st;

        return stat(core->settings->helper_socket, &st) == 0 && S_ISSOCK(st.st_mode);
}

/* iscsiadm talks to it over this socket, by which systemd starts it, too. */
static bool has_iscsid(const DlCore *core)
{
        g_autofree char *sockets = NULL;

        return g_file_get_contents(core->unix_sockets, &sockets, NULL, NULL) &&
               strstr(sockets, " @ISCSIADM_ABSTRACT_NAMESPACE\n");
}

static unsigned n_proven_portals(const DlTarget *target)
{
        unsigned n = 0;

        for (unsigned i = 0; i < target->portals->len; i++)
                n += ((const DlPortal *)target->portals->pdata[i])->state == DL_TARGET_CONNECTED;
        return n;
}

/* NULL: nothing. */
static const char *what_is_missing(const DlTarget *target)
{
        const DlCore *core = target->object.core;

        if (!has_helper(core))
                return "this host has no directlun-helper.socket";
        if (!has_iscsid(core))
                return "open-iscsi's iscsid does not run on this host";
        if (!core->block_devices)
                return "this host's block devices cannot be followed";
        if (n_proven_portals(target) > 1 && !dl_kernel_has_multipath(core))
                return "the target has several portals, and multipathd does not run on this host";
        return NULL;
}

/* The target was proven by libiscsi just before: these tell of the host. */
static bool is_of_host(const GError *error)
{
        int code = (int)dl_error_code(error);

        return code == DL_ERROR_FAILED || code == DL_ERROR_TIMED_OUT ||
               code == DL_ERROR_INVALID_ARGS || code == DL_ERROR_PROTOCOL_ERROR;
}

DlDataPath dl_kernel_choose(const DlTarget *target, DlDataPath wish, char **ret_why)
{
        DlDataPath setting = dl_data_path(target->object.core->settings->data_path);
        const char *missing;

        if (wish != DL_DATA_PATH_AUTO) {
                *ret_why = g_strdup("asked for");
                return wish;
        }
        if (setting != DL_DATA_PATH_AUTO) {
                *ret_why = g_strdup("this host's setting DataPath");
                return setting;
        }
        missing = what_is_missing(target);
        *ret_why = g_strdup(missing ? missing : "this host has what it takes");
        return missing ? DL_DATA_PATH_QEMU : DL_DATA_PATH_AUTO;
}

bool dl_kernel_is_auto(const DlTarget *target)
{
        g_autofree char *why = NULL;

        if (!target->by_kernel && target->data_path_why && dl_target_is_managed(target))
                return false;
        return dl_kernel_choose(target, DL_DATA_PATH_AUTO, &why) != DL_DATA_PATH_QEMU;
}

/* ---- making it so -------------------------------------------------------------------------- */

static void choice_free(DlKernelChoice *choice)
{
        dl_kernel_connect_cancel(choice->connect);
        dl_connect_cancel(choice->proof);
        sd_event_source_disable_unref(choice->now);
        g_free(choice->why);
        g_strfreev(choice->interfaces);
        g_free(choice);
}

static void finish(DlKernelChoice *choice, const GError *error, bool by_kernel)
{
        DlKernelChosen done = choice->done;
        void *userdata = choice->userdata;

        choice_free(choice);
        done(error, by_kernel, userdata);
}

static void on_proven_again(const GError *error, void *userdata)
{
        DlKernelChoice *choice = userdata;

        choice->proof = NULL;
        finish(choice, error, false);
}

/* Sessions that came to nothing are not left behind, and what the portals' states said of them is
 * not true of QEMU's initiator. */
static void go_by_qemu(DlKernelChoice *choice, const GError *error)
{
        g_autofree char *why = g_strdup_printf("this host's kernel could not: %s", error->message);

        dl_target_set_data_path(choice->target, false, why);
        dl_kernel_leave(choice->target);
        choice->proof = dl_connect_start(choice->target, NULL, 0, on_proven_again, choice);
}

static void on_connected(const GError *error, void *userdata)
{
        DlKernelChoice *choice = userdata;
        DlTarget *target = choice->target;

        choice->connect = NULL;
        if (error && !choice->was_by_kernel && choice->choice == DL_DATA_PATH_AUTO &&
            is_of_host(error)) {
                go_by_qemu(choice, error);
                return;
        }
        target->by_kernel = choice->was_by_kernel;
        if (!error && choice->interfaces)
                dl_target_set_interfaces(target, (const char *const *)choice->interfaces);
        if (!error)
                dl_target_set_data_path(target, true, choice->why);
        finish(choice, error, true);
}

static int on_now(sd_event_source *source, void *userdata)
{
        DlKernelChoice *choice = userdata;
        DlTarget *target = choice->target;

        if (!target->by_kernel) /* else it stays so, for whoever has asked for it */
                dl_target_set_data_path(target, false, choice->why);
        finish(choice, NULL, target->by_kernel);
        return 0;
}

DlKernelChoice *dl_kernel_choice_start(DlTarget *target, DlDataPath data_path,
                                       const DlKernelWish *wish, DlKernelChosen done,
                                       void *userdata)
{
        DlKernelChoice *choice = g_new0(DlKernelChoice, 1);

        choice->target = target;
        choice->was_by_kernel = target->by_kernel;
        choice->done = done;
        choice->userdata = userdata;
        choice->interfaces = g_strdupv((char **)wish->interfaces);
        choice->choice = dl_kernel_choose(target, data_path, &choice->why);
        if (choice->choice == DL_DATA_PATH_QEMU) {
                (void)sd_event_add_defer(target->object.core->event, &choice->now, on_now, choice);
                return choice;
        }
        target->by_kernel = true;
        choice->connect = dl_kernel_connect_start(target, wish, on_connected, choice);
        return choice;
}

void dl_kernel_choice_cancel(DlKernelChoice *choice)
{
        if (!choice)
                return;
        if (choice->connect)
                choice->target->by_kernel = choice->was_by_kernel;
        choice_free(choice);
}
