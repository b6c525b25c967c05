/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The configuration file. One table knows every setting: its place in the file and in DlSettings,
 * its default (parsed like a value from the file), its limits and its documentation. Any thread;
 * the caller owns the result.
 */

#include "config.h"
#include "settings.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#define FILE_SIZE_MAX ((size_t)1024 * 1024)
#define MSEC          UINT64_C(1000)
#define SEC           UINT64_C(1000000)

typedef enum SettingType {
        TYPE_TIME,  /* uint64_t, microseconds */
        TYPE_COUNT, /* unsigned */
        TYPE_LEVEL, /* int, of syslog */
        TYPE_INITIATOR,
        TYPE_URI,
        TYPE_PATH,
        TYPE_DATA_PATH,
} SettingType;

typedef struct Setting {
        const char *group;
        const char *name;
        size_t offset;
        SettingType type;
        const char *default_value;
        uint64_t min; /* of times and counts */
        uint64_t max;
        const char *documentation;
} Setting;

#define FIELD(field) offsetof(DlSettings, field)

static const Setting table[] = {
        {"Daemon", "IdleExitSec", FIELD(idle_exit_usec), TYPE_TIME, "120", 0, 86400 * SEC,
         "How long the service stays with nothing to do before it exits. 0: it never exits."},
        {"Daemon", "JobLingerSec", FIELD(job_linger_usec), TYPE_TIME, "60", 0, 3600 * SEC,
         "How long the object of a finished job stays."},
        {"Daemon", "SecretTimeoutSec", FIELD(secret_timeout_usec), TYPE_TIME, "60", 100 * MSEC,
         600 * SEC, "How long a secret that AcceptSecret was called for may take to be used."},
        {"Daemon", "LogLevel", FIELD(log_level), TYPE_LEVEL, "info", 0, 0,
         "The least important messages to log: err, warning, notice, info or debug."},
        {"Daemon", "WorkerThreads", FIELD(worker_threads), TYPE_COUNT, "8", 1, 64,
         "How many threads make calls that block (libvirt, name resolution, the store)."},
        {"Daemon", "JobsPerClientMax", FIELD(jobs_per_client_max), TYPE_COUNT, "64", 1, 65536,
         "How many jobs one D-Bus client may have running."},
        {"Daemon", "JobsMax", FIELD(jobs_max), TYPE_COUNT, "1024", 1, 65536,
         "How many jobs may run in all."},
        {"Daemon", "ObjectsMax", FIELD(objects_max), TYPE_COUNT, "65536", 16, 1048576,
         "How many objects (targets, LUNs, vDisks, ...) the service keeps."},

        {"iSCSI", "InitiatorName", FIELD(initiator_name), TYPE_INITIATOR, "", 0, 0,
         "The iSCSI name of this host. Empty: what InitiatorNameFile says."},
        {"iSCSI", "SessionsMax", FIELD(sessions_max), TYPE_COUNT, "32", 1, 1024,
         "How many iSCSI sessions of the service itself may be open at once."},
        {"iSCSI", "CommandsPerSessionMax", FIELD(commands_per_session_max), TYPE_COUNT, "128", 1,
         1024, "How many SCSI commands may be in flight in one session."},
        {"iSCSI", "LunsPerTargetMax", FIELD(luns_per_target_max), TYPE_COUNT, "16384", 1, 16384,
         "How many LUNs of one target are looked at."},
        {"iSCSI", "TargetsPerDiscoveryMax", FIELD(targets_per_discovery_max), TYPE_COUNT, "4096", 1,
         65536, "How many targets one discovery may find."},
        {"iSCSI", "ResolveTimeoutSec", FIELD(resolve_timeout_usec), TYPE_TIME, "5", 100 * MSEC,
         300 * SEC, "How long the name of a portal may take to be resolved."},
        {"iSCSI", "ConnectTimeoutSec", FIELD(connect_timeout_usec), TYPE_TIME, "5", 100 * MSEC,
         300 * SEC, "How long a portal may take to accept a TCP connection."},
        {"iSCSI", "LoginTimeoutSec", FIELD(login_timeout_usec), TYPE_TIME, "10", 100 * MSEC,
         300 * SEC, "How long an iSCSI login may take."},
        {"iSCSI", "CommandTimeoutSec", FIELD(command_timeout_usec), TYPE_TIME, "10", 100 * MSEC,
         300 * SEC, "How long a target may take to answer a SCSI command."},
        {"iSCSI", "CheckIntervalSec", FIELD(check_interval_usec), TYPE_TIME, "30", 100 * MSEC,
         86400 * SEC, "How often the targets that are in use are checked."},
        {"iSCSI", "HoldTimeoutSec", FIELD(hold_timeout_usec), TYPE_TIME, "600", 100 * MSEC,
         86400 * SEC, "How long a connection that was asked for is held while nothing uses it."},

        {"iSCSI", "DataPath", FIELD(data_path), TYPE_DATA_PATH, "auto", 0, 0,
         "Whose initiator targets are connected by where it is not told: QEMU's, or this host's kernel's."},

        {"Libvirt", "Uri", FIELD(libvirt_uri), TYPE_URI, "qemu:///system", 0, 0,
         "The libvirt connection whose virtual machines are served."},
        {"Libvirt", "AttachTimeoutSec", FIELD(attach_timeout_usec), TYPE_TIME, "30", 100 * MSEC,
         3600 * SEC,
         "How long libvirt may take to plug a disk, to take a snapshot or to begin a merge."},
        {"Libvirt", "FreezeLimitSec", FIELD(freeze_limit_usec), TYPE_TIME, "1", 100 * MSEC,
         60 * SEC,
         "How long a plug may make a VM stand still until its connection to the portal is ended."},
        {"Libvirt", "ReleaseTimeoutSec", FIELD(release_timeout_usec), TYPE_TIME, "30", 100 * MSEC,
         3600 * SEC, "How long a guest may take to release a disk that is unplugged."},

        {"Images", "Directory", FIELD(image_directory), TYPE_PATH,
         "/var/lib/libvirt/images/directlun", 0, 0,
         "Where the files of snapshots are. libvirt makes it and them, and QEMU needs access."},
        {"Images", "FreeMinMiB", FIELD(image_free_mib), TYPE_COUNT, "1024", 0, 1048576,
         "How much must be free there for a snapshot: this, or the size of the LUN if that is less."},
        {"Images", "StackMax", FIELD(images_max), TYPE_COUNT, "16", 1, 64,
         "How many snapshots a vDisk may have at a time. Each makes reading slower."},
        {"Images", "AgentTimeoutSec", FIELD(agent_timeout_usec), TYPE_TIME, "5", SEC, 600 * SEC,
         "How long a guest's agent may take to answer before it is told to freeze file systems."},

        {"Paths", "StateDirectory", FIELD(state_directory), TYPE_PATH, DL_STATE_DIR, 0, 0,
         "Where the service keeps what must survive a restart."},
        {"Paths", "InitiatorNameFile", FIELD(initiator_name_file), TYPE_PATH,
         "/etc/iscsi/initiatorname.iscsi", 0, 0,
         "The file with the line InitiatorName=iqn... that open-iscsi uses."},
        {"Paths", "SecretDirectory", FIELD(secret_directory), TYPE_PATH, "/run/directlun/secret", 0,
         0, "Where the sockets are that AcceptSecret names. Clients must get through its parents."},
        {"Paths", "HelperSocket", FIELD(helper_socket), TYPE_PATH, "/run/directlun-helper.sock", 0,
         0, "The socket of the helper that does what takes root; see directlun-helper(8)."},
};

static const char *const data_paths[] = {"auto", "qemu", "block", NULL};

static const struct {
        const char *name;
        int level;
} levels[] = {
        {"err", LOG_ERR},   {"warning", LOG_WARNING}, {"notice", LOG_NOTICE},
        {"info", LOG_INFO}, {"debug", LOG_DEBUG},
};

/* "12" or "12.5", at most six decimals: nothing that strtod() would make of "inf", "0x1" or "1e9".
 */
static bool parse_seconds(const char *text, uint64_t *ret)
{
        g_auto(GStrv) parts = g_strsplit(text, ".", 2);
        guint64 whole, fraction = 0;

        if (!parts[0] || !g_ascii_string_to_unsigned(parts[0], 10, 0, G_MAXUINT32, &whole, NULL))
                return false;
        if (parts[1]) {
                size_t digits = strlen(parts[1]);

                if (digits > 6 ||
                    !g_ascii_string_to_unsigned(parts[1], 10, 0, SEC - 1, &fraction, NULL))
                        return false;
                for (; digits < 6; digits++)
                        fraction *= 10;
        }
        *ret = whole * SEC + fraction;
        return true;
}

static bool set_time(const Setting *s, const char *text, uint64_t *field)
{
        uint64_t value;

        if (!parse_seconds(text, &value) || value < s->min || value > s->max)
                return false;
        *field = value;
        return true;
}

static bool set_count(const Setting *s, const char *text, unsigned *field)
{
        guint64 value;

        if (!g_ascii_string_to_unsigned(text, 10, s->min, s->max, &value, NULL))
                return false;
        *field = (unsigned)value;
        return true;
}

static bool set_level(const char *text, int *field)
{
        for (size_t i = 0; i < G_N_ELEMENTS(levels); i++)
                if (g_str_equal(text, levels[i].name)) {
                        *field = levels[i].level;
                        return true;
                }
        return false;
}

/* RFC 7143, 4.2.7; empty is "not set". */
static bool initiator_name_valid(const char *text)
{
        static const char allowed[] =
                "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.:-_";
        bool prefixed = g_str_has_prefix(text, "iqn.") || g_str_has_prefix(text, "eui.") ||
                        g_str_has_prefix(text, "naa.");

        return !*text || (prefixed && strlen(text) <= 223 && !text[strspn(text, allowed)]);
}

static bool string_valid(SettingType type, const char *text)
{
        for (const char *p = text; *p; p++)
                if (g_ascii_iscntrl(*p))
                        return false;
        switch (type) {
        case TYPE_INITIATOR:
                return initiator_name_valid(text);
        case TYPE_URI:
                return strstr(text, ":/") && !strchr(text, ' ');
        case TYPE_DATA_PATH:
                return g_strv_contains(data_paths, text);
        default:
                return g_path_is_absolute(text);
        }
}

static bool set_string(const Setting *s, const char *text, char **field)
{
        if (!string_valid(s->type, text))
                return false;
        g_free(*field);
        *field = g_strdup(text);
        return true;
}

static bool set(DlSettings *settings, const Setting *s, const char *text)
{
        void *field = (char *)settings + s->offset;

        switch (s->type) {
        case TYPE_TIME:
                return set_time(s, text, field);
        case TYPE_COUNT:
                return set_count(s, text, field);
        case TYPE_LEVEL:
                return set_level(text, field);
        default:
                return set_string(s, text, field);
        }
}

/* "a number from 1 to 64" */
static char *describe_type(const Setting *s)
{
        switch (s->type) {
        case TYPE_TIME:
                return g_strdup_printf("seconds, from %g to %g", (double)s->min / (double)SEC,
                                       (double)s->max / (double)SEC);
        case TYPE_COUNT:
                return g_strdup_printf("a number from %" G_GUINT64_FORMAT " to %" G_GUINT64_FORMAT,
                                       s->min, s->max);
        case TYPE_LEVEL:
                return g_strdup("err, warning, notice, info or debug");
        case TYPE_INITIATOR:
                return g_strdup("an iSCSI name");
        case TYPE_URI:
                return g_strdup("a libvirt URI");
        case TYPE_DATA_PATH:
                return g_strdup("auto, qemu or block");
        default:
                return g_strdup("an absolute path");
        }
}

static const Setting *find(const char *group, const char *name)
{
        for (size_t i = 0; i < G_N_ELEMENTS(table); i++)
                if (g_str_equal(table[i].group, group) && g_str_equal(table[i].name, name))
                        return &table[i];
        return NULL;
}

static bool group_known(const char *group)
{
        for (size_t i = 0; i < G_N_ELEMENTS(table); i++)
                if (g_str_equal(table[i].group, group))
                        return true;
        return false;
}

static void G_GNUC_PRINTF(2, 3) warn(GPtrArray *warnings, const char *format, ...)
{
        va_list ap;

        va_start(ap, format);
        g_ptr_array_add(warnings, g_strdup_vprintf(format, ap));
        va_end(ap);
}

static void apply_one(DlSettings *settings, const char *path, GKeyFile *file, const char *group,
                      const char *name, GPtrArray *warnings)
{
        g_autofree char *text = g_key_file_get_string(file, group, name, NULL);
        const Setting *s = find(group, name);

        if (!s) {
                warn(warnings, "%s: [%s] has no setting %s; ignored", path, group, name);
                return;
        }
        if (text)
                g_strchomp(text);
        if (!text || !set(settings, s, text)) {
                g_autofree char *type = describe_type(s);

                warn(warnings, "%s: [%s] %s must be %s; this line is ignored", path, group, name,
                     type);
        }
}

static void apply(DlSettings *settings, const char *path, GKeyFile *file, GPtrArray *warnings)
{
        g_auto(GStrv) groups = g_key_file_get_groups(file, NULL);

        for (char **group = groups; *group; group++) {
                g_auto(GStrv) names = g_key_file_get_keys(file, *group, NULL, NULL);

                if (!group_known(*group)) {
                        warn(warnings, "%s: there is no group [%s]; ignored", path, *group);
                        continue;
                }
                for (char **name = names; name && *name; name++)
                        apply_one(settings, path, file, *group, *name, warnings);
        }
}

/* The whole text of a regular file of a sane size; negative errno. */
static int read_text(const char *path, char **ret, size_t *ret_size)
{
        g_autofree char *text = NULL;
        size_t size = 0;
        struct stat st;
        ssize_t n;
        int fd, r = 0;

        fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        if (fd < 0)
                return -errno;
        if (fstat(fd, &st) < 0)
                r = -errno;
        else if (S_ISDIR(st.st_mode))
                r = -EISDIR;
        else if (!S_ISREG(st.st_mode) && !S_ISCHR(st.st_mode)) /* /dev/null is an empty file */
                r = -EINVAL;
        else {
                text = g_malloc(FILE_SIZE_MAX + 1);
                while (size <= FILE_SIZE_MAX &&
                       (n = read(fd, text + size, FILE_SIZE_MAX + 1 - size)) != 0) {
                        if (n < 0 && errno == EINTR)
                                continue;
                        if (n < 0) {
                                r = -errno;
                                break;
                        }
                        size += (size_t)n;
                }
                if (size > FILE_SIZE_MAX)
                        r = -EFBIG;
        }
        close(fd);
        if (r < 0)
                return r;
        *ret = g_steal_pointer(&text);
        *ret_size = size;
        return 0;
}

static void load_file(DlSettings *settings, const char *path, bool optional, GPtrArray *warnings)
{
        g_autoptr(GKeyFile) file = g_key_file_new();
        g_autoptr(GError) error = NULL;
        g_autofree char *text = NULL;
        size_t size = 0;
        int r;

        r = read_text(path, &text, &size);
        if (r == -ENOENT && optional)
                return;
        if (r < 0)
                warn(warnings, "%s: cannot be read: %s; ignored", path, g_strerror(-r));
        else if (size == 0) /* GLib asserts that there is something */
                return;
        else if (!g_key_file_load_from_data(file, text, size, G_KEY_FILE_NONE, &error))
                warn(warnings, "%s: the whole file is ignored: %s", path, error->message);
        else
                apply(settings, path, file, warnings);
}

static int compare_names(gconstpointer a, gconstpointer b)
{
        return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void load_drop_ins(DlSettings *settings, const char *path, GPtrArray *warnings)
{
        g_autofree char *folder = g_strconcat(path, ".d", NULL);
        g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
        g_autoptr(GError) error = NULL;
        g_autoptr(GDir) dir = g_dir_open(folder, 0, &error);
        const char *name;

        if (!dir) {
                if (!g_error_matches(error, G_FILE_ERROR, G_FILE_ERROR_NOENT))
                        warn(warnings, "%s; ignored", error->message);
                return;
        }
        while ((name = g_dir_read_name(dir)))
                if (*name != '.' && g_str_has_suffix(name, ".conf"))
                        g_ptr_array_add(names, g_strdup(name));
        g_ptr_array_sort(names, compare_names);

        for (guint i = 0; i < names->len; i++) {
                g_autofree char *file = g_build_filename(folder, names->pdata[i], NULL);

                load_file(settings, file, false, warnings);
        }
}

const char *dl_settings_path(void)
{
        const char *path = getenv("DIRECTLUND_CONFIG");

        return path && *path ? path : DL_CONFIG_FILE;
}

DlSettings *dl_settings_load(const char *path, GPtrArray **ret_warnings)
{
        DlSettings *settings = g_new0(DlSettings, 1);
        GPtrArray *warnings = g_ptr_array_new_with_free_func(g_free);

        if (!path)
                path = dl_settings_path();
        for (size_t i = 0; i < G_N_ELEMENTS(table); i++)
                if (!set(settings, &table[i], table[i].default_value))
                        g_error("default of %s is not valid", table[i].name);
        load_file(settings, path, true, warnings);
        load_drop_ins(settings, path, warnings);
        *ret_warnings = warnings;
        return settings;
}

void dl_settings_free(DlSettings *settings)
{
        if (!settings)
                return;
        g_free(settings->initiator_name);
        g_free(settings->data_path);
        g_free(settings->libvirt_uri);
        g_free(settings->image_directory);
        g_free(settings->state_directory);
        g_free(settings->initiator_name_file);
        g_free(settings->secret_directory);
        g_free(settings->helper_socket);
        g_free(settings);
}

char *dl_settings_example(void)
{
        GString *text = g_string_new(
                "# SPDX-License-Identifier: LGPL-2.1-or-later\n"
                "#\n"
                "# The configuration of directlund. Every setting is shown with its default.\n"
                "# Change it here, or in a file of any name that ends in .conf in the folder\n"
                "# directlund.conf.d next to this file; the service reads it when it starts.\n"
                "# Times are in seconds and may have decimals.\n");
        const char *group = "";

        for (size_t i = 0; i < G_N_ELEMENTS(table); i++) {
                const Setting *s = &table[i];
                g_autofree char *type = describe_type(s);

                if (!g_str_equal(group, s->group))
                        g_string_append_printf(text, "\n[%s]\n", s->group);
                group = s->group;
                g_string_append_printf(text, "\n# %s\n# (%s)\n#%s=%s\n", s->documentation, type,
                                       s->name, s->default_value);
        }
        return g_string_free(text, FALSE);
}

void dl_settings_foreach(DlSettingFound found, void *userdata)
{
        for (size_t i = 0; i < G_N_ELEMENTS(table); i++)
                found(table[i].group, table[i].name, table[i].default_value, table[i].documentation,
                      userdata);
}
