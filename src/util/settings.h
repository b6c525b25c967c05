/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The configuration: directlund.conf and its drop-ins, read once at the start. Immutable after
 * that, so any thread may read it; its strings belong to it.
 */

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/* Times are in microseconds here (seconds, with decimals if you like, in the file). */
typedef struct DlSettings {
        /* [Daemon] */
        uint64_t idle_exit_usec; /* 0: never */
        uint64_t job_linger_usec;
        uint64_t secret_timeout_usec;
        int log_level; /* LOG_ERR … LOG_DEBUG */
        unsigned worker_threads;
        unsigned jobs_per_client_max;
        unsigned jobs_max;
        unsigned objects_max;

        /* [iSCSI] */
        char *initiator_name; /* "": read it from initiator_name_file */
        unsigned sessions_max;
        unsigned commands_per_session_max;
        unsigned luns_per_target_max;
        unsigned targets_per_discovery_max;
        uint64_t resolve_timeout_usec;
        uint64_t connect_timeout_usec;
        uint64_t login_timeout_usec;
        uint64_t command_timeout_usec;
        uint64_t check_interval_usec;
        uint64_t hold_timeout_usec;
        char *data_path; /* "auto", "qemu", "block" */

        /* [Libvirt] */
        char *libvirt_uri;
        uint64_t attach_timeout_usec;
        uint64_t freeze_limit_usec;
        uint64_t release_timeout_usec;

        /* [Images] */
        char *image_directory;
        unsigned image_free_mib;
        unsigned images_max;
        uint64_t agent_timeout_usec;

        /* [Paths] */
        char *state_directory;
        char *initiator_name_file;
        char *secret_directory;
        char *helper_socket;
} DlSettings;

/* The main file: what the environment variable DIRECTLUND_CONFIG names, else DL_CONFIG_FILE. */
const char *dl_settings_path(void);

/*
 * Reads path (NULL: dl_settings_path()), then the files in PATH.d/ that end in ".conf" in the order
 * of their names; what comes later wins. Never fails: what is missing has its default, and what
 * cannot be used (an unknown group or name, a bad value, an unreadable file) is skipped with a line
 * in ret_warnings: an array of strings, empty if all is well, for g_ptr_array_unref(). No main file
 * at all is not worth a warning.
 */
DlSettings *dl_settings_load(const char *path, GPtrArray **ret_warnings);

void dl_settings_free(DlSettings *settings); /* takes NULL */

/* The text of the example file: every setting with its documentation and default, commented out. */
char *dl_settings_example(void);

/* The table of settings, for documentation and its tests: calls found() for each, in order. */
typedef void (*DlSettingFound)(const char *group, const char *name, const char *default_value,
                               const char *documentation, void *userdata);
void dl_settings_foreach(DlSettingFound found, void *userdata);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(DlSettings, dl_settings_free)
