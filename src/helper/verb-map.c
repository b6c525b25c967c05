/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Maps of multipath, through its daemon, which owns them: its socket takes the same words as
 * `multipathd -k`. A map is found by its GUID, whatever its name is. A process of its own a verb.
 */

#include "verbs.h"

#include "util/error.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* The abstract socket of multipathd (libmpathcmd). systemd starts the daemon when it is used. */
static const char socket_name[] = "/org/kernel/linux/storage/multipathd";

enum {
        REPLY_MAX = 65536, /* bytes */
        GONE_SECONDS = 10,
        FAIL_SECONDS = 4,
        FLUSH_TRIES = 12,
        FLUSH_PAUSE_USEC = 250000,
};

/* ---- the daemon ---------------------------------------------------------------------------- */

static int connect_to_daemon(void)
{
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        int r;

        if (fd < 0)
                return -errno;
        memcpy(address.sun_path + 1, socket_name, sizeof socket_name - 1);
        if (connect(fd, (struct sockaddr *)&address,
                    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + sizeof socket_name)) == 0)
                return fd;
        r = -errno;
        close(fd);
        return r;
}

/* The helper's own deadline ends what never comes. */
static bool receive_all(int fd, void *bytes, size_t size)
{
        return recv(fd, bytes, size, MSG_WAITALL) == (ssize_t)size;
}

/* Question and answer are a size_t and so many bytes, with a NUL at the end. */
static char *exchange(int fd, const char *words)
{
        size_t size = strlen(words) + 1;
        g_autofree char *reply = NULL;

        if (send(fd, &size, sizeof size, MSG_NOSIGNAL) != sizeof size ||
            send(fd, words, size, MSG_NOSIGNAL) != (ssize_t)size ||
            !receive_all(fd, &size, sizeof size) || size == 0 || size > REPLY_MAX)
                return NULL;
        reply = g_malloc(size);
        if (!receive_all(fd, reply, size))
                return NULL;
        reply[size - 1] = '\0';
        g_strstrip(reply);
        return g_str_to_ascii(reply, "C");
}

static bool tell(const char *what, const char *name, GError **error)
{
        g_autofree char *words = g_strdup_printf("%s %s", what, name), *reply = NULL;
        int fd = connect_to_daemon();

        if (fd < 0) {
                g_set_error(error, DL_ERROR, DL_ERROR_FAILED,
                            "multipath's daemon cannot be reached (%s); see systemctl status "
                            "multipathd",
                            g_strerror(-fd));
                return false;
        }
        reply = exchange(fd, words);
        close(fd);
        if (g_strcmp0(reply, "ok") == 0)
                return true;
        g_set_error(error, DL_ERROR, DL_ERROR_IN_USE,
                    "multipath's daemon does not %s %s (%s): it is in use, or being made; see "
                    "multipath -ll and lsblk",
                    what, name, reply && *reply ? reply : "no answer");
        return false;
}

/* ---- maps ---------------------------------------------------------------------------------- */

static char *read_dm(const char *device, const char *file)
{
        g_autofree char *path = g_build_filename(DL_HELPER_SYSFS "/block", device, "dm", file,
                                                 NULL);
        char *text = NULL;

        return g_file_get_contents(path, &text, NULL, NULL) ? g_strstrip(text) : NULL;
}

/* The map of a GUID, "dm-3"; NULL if there is none. */
static char *find_device(const char *guid)
{
        g_autofree char *wanted = g_strconcat("mpath-", guid, NULL);
        g_autoptr(GDir) devices = g_dir_open(DL_HELPER_SYSFS "/block", 0, NULL);
        const char *device;

        while (devices && (device = g_dir_read_name(devices))) {
                g_autofree char *uuid = g_str_has_prefix(device, "dm-") ? read_dm(device, "uuid")
                                                                        : NULL;

                if (g_strcmp0(uuid, wanted) == 0)
                        return g_strdup(device);
        }
        return NULL;
}

/* Its name, as the daemon takes it. */
static char *find(const char *guid)
{
        g_autofree char *device = find_device(guid);

        return device ? read_dm(device, "name") : NULL;
}

static bool map_is_gone(const void *data)
{
        g_autofree char *name = find(data);

        return !name;
}

/* Spaces and quotes would be other words to the daemon. NULL, without an error, if there is no map.
 */
static bool find_safe(const char *guid, char **ret, GError **error)
{
        g_autofree char *name = find(guid);

        for (const char *p = name; p && *p; p++)
                if (!g_ascii_isgraph(*p) || strchr("\"'\\", *p)) {
                        g_set_error(error, DL_ERROR, DL_ERROR_FAILED,
                                    "The map of %s has a name that its daemon cannot be told",
                                    guid);
                        return false;
                }
        *ret = g_steal_pointer(&name);
        return true;
}

/* udev looks into a map when something has happened to it, for a moment: then it only seems to be
 * in use. */
static bool remove_map(const char *name, GError **error)
{
        for (unsigned i = 1; i < FLUSH_TRIES; i++) {
                if (tell("del map", name, NULL))
                        return true;
                g_usleep(FLUSH_PAUSE_USEC);
        }
        return tell("del map", name, error);
}

/* What has it for itself alone, as a mount or LVM, waits for its paths: nothing of it may fail. */
static bool check_not_held(const char *guid, GError **error)
{
        g_autofree char *device = find_device(guid);
        g_autofree char *path = device ? g_strconcat("/dev/", device, NULL) : NULL;
        int fd = path ? open(path, O_RDONLY | O_EXCL | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW) : -1;

        if (fd < 0 && path && errno == EBUSY) {
                g_set_error(error, DL_ERROR, DL_ERROR_IN_USE,
                            "The map of %s is in use on this host; see lsblk /dev/%s", guid,
                            device);
                return false;
        }
        if (fd >= 0)
                close(fd);
        return true;
}

/* First nothing waits in it any more: a map without a path would keep what is in it for ever. If it
 * has to stay, it is as it was. */
bool dl_helper_flush_map(DlHelperRequest *request, DlHelperReply *reply, int *ret_fd,
                         GError **error)
{
        g_autofree char *name = NULL;

        if (!find_safe(request->guid, &name, error))
                return false;
        if (!name)
                return true;
        if (!check_not_held(request->guid, error))
                return false;
        (void)tell("disablequeueing map", name, NULL);
        if (!remove_map(name, error)) {
                (void)tell("restorequeueing map", name, NULL);
                return false;
        }
        if (dl_helper_wait(map_is_gone, request->guid, GONE_SECONDS))
                return true;
        g_set_error(error, DL_ERROR, DL_ERROR_BUSY, "Map %s was removed, and is still there", name);
        return false;
}

static bool tell_existing(const char *what, const char *guid, GError **error)
{
        g_autofree char *name = NULL;

        if (!find_safe(guid, &name, error))
                return false;
        if (name)
                return tell(what, name, error);
        g_set_error(error, DL_ERROR, DL_ERROR_LUN_NOT_VISIBLE, "multipath has no map of %s", guid);
        return false;
}

/* Also what comes while its user is being ended; then the map is as it was. Who has it for himself
 * alone is not being ended. */
bool dl_helper_fail_queued(DlHelperRequest *request, DlHelperReply *reply, int *ret_fd,
                           GError **error)
{
        if (!check_not_held(request->guid, error) ||
            !tell_existing("disablequeueing map", request->guid, error))
                return false;
        g_usleep(FAIL_SECONDS * G_USEC_PER_SEC);
        (void)tell_existing("restorequeueing map", request->guid, NULL);
        return true;
}

static unsigned count_slaves(const char *map)
{
        g_autofree char *path = g_build_filename(DL_HELPER_SYSFS "/block", map, "slaves", NULL);
        g_autoptr(GDir) slaves = g_dir_open(path, 0, NULL);
        unsigned n = 0;

        while (slaves && g_dir_read_name(slaves))
                n++;
        return n;
}

/* The map of multipath over a path, "dm-3". It may be of another GUID: of the LUN that was at this
 * number before. */
static char *map_over(const char *path)
{
        g_autofree char *directory = g_build_filename(DL_HELPER_SYSFS "/block", path, "holders",
                                                      NULL);
        g_autoptr(GDir) holders = g_dir_open(directory, 0, NULL);
        const char *holder;

        while (holders && (holder = g_dir_read_name(holders))) {
                g_autofree char *uuid = read_dm(holder, "uuid");

                if (uuid && g_str_has_prefix(uuid, "mpath-"))
                        return g_strdup(holder);
        }
        return NULL;
}

static bool is_out(const void *path)
{
        g_autofree char *map = map_over(path);

        return !map;
}

bool dl_helper_leave_map(const char *path, GError **error)
{
        g_autofree char *map = map_over(path);

        if (!map || count_slaves(map) < 2)
                return true;
        if (!tell("del path", path, error))
                return false;
        if (dl_helper_wait(is_out, path, GONE_SECONDS))
                return true;
        g_set_error(error, DL_ERROR, DL_ERROR_BUSY, "%s was taken out of %s, and is still there",
                    path, map);
        return false;
}

/* Sectors; 0: not known. */
static uint64_t size_of(const char *device)
{
        g_autofree char *path = g_build_filename(DL_HELPER_SYSFS "/block", device, "size", NULL);
        g_autofree char *text = NULL;

        return g_file_get_contents(path, &text, NULL, NULL) ? g_ascii_strtoull(text, NULL, 10) : 0;
}

/* A map that is larger than one of its paths loses what is written beyond that one's end. */
static bool check_sizes(const char *map, GError **error)
{
        g_autofree char *path = g_build_filename(DL_HELPER_SYSFS "/block", map, "slaves", NULL);
        g_autoptr(GDir) slaves = g_dir_open(path, 0, NULL);
        g_autofree char *first = NULL;
        const char *slave;

        while (slaves && (slave = g_dir_read_name(slaves))) {
                if (!first)
                        first = g_strdup(slave);
                if (size_of(slave) == size_of(first))
                        continue;
                g_set_error(error, DL_ERROR, DL_ERROR_PATHS_INCONSISTENT,
                            "%s and %s, paths of one LUN, differ in size; mend the path that has "
                            "failed, or see to the array, and refresh the LUN then",
                            first, slave);
                return false;
        }
        return true;
}

bool dl_helper_resize_map(DlHelperRequest *request, DlHelperReply *reply, int *ret_fd,
                          GError **error)
{
        g_autofree char *map = find_device(request->guid);

        if (map && !check_sizes(map, error))
                return false;
        return tell_existing("resize map", request->guid, error);
}
