/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Follows the kernel's block devices. An event only says which device is to be looked at: that is
 * done a moment later, once for all events that came, some devices at a time so that the loop is
 * never held up, and then told. What is read is the state of now; so nothing is lost when events
 * are, as long as it is known that some were.
 *
 * Of what the kernel sends no event, the state of paths is looked at every second, and the tables
 * of mounts and swap tell by themselves that they have changed. Loop thread only.
 */

#include "host/block-devices.h"

#include "host/block-device.h"
#include "host/block-luns.h"
#include "util/log.h"

#include <errno.h>
#include <fcntl.h>
#include <libudev.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define DEBOUNCE_USEC (50 * 1000)
#define STATES_USEC   G_USEC_PER_SEC

enum {
        RECEIVE_BUFFER = 16 * 1024 * 1024, /* some 10,000 events */
        EVENTS_MAX = 256,                  /* in one turn of the loop, */
        LOOKS_MAX = 32,                    /* and looks at devices */
        STATES_MAX = 1024,                 /* a second */
};

struct DlBlockDevices {
        sd_event *event;
        DlBlockChanged changed;
        void *userdata;
        struct udev *udev;
        struct udev_monitor *monitor;
        DlBlockTable *table;
        DlBlockUses *uses;
        char *mountinfo, *swaps;
        int mountinfo_fd, swaps_fd;
        GHashTable *failed;  /* set of dev_t: paths that the device mapper has given up on */
        GHashTable *waiting; /* set of directories in sysfs: to be looked at */
        GPtrArray *looking;  /* the same, now */
        bool is_scan_wanted, are_uses_wanted, are_holders_stale, are_known;
        bool is_told;      /* for the first time */
        unsigned n_stated; /* how far the look at the states has come */
        sd_event_source *events, *mounts, *swapped, *timer, *work, *states;
};

static void want(DlBlockDevices *b, const char *sysfs)
{
        if (!g_hash_table_contains(b->waiting, sysfs))
                g_hash_table_add(b->waiting, g_strdup(sysfs));
}

static bool is_wanted(const DlBlockDevices *b)
{
        return b->is_scan_wanted || b->are_uses_wanted || g_hash_table_size(b->waiting) > 0;
}

/* The first that comes sets the time, so that a flood of events does not put it off. */
static void begin_soon(DlBlockDevices *b)
{
        int state = SD_EVENT_OFF;

        (void)sd_event_source_get_enabled(b->timer, &state);
        if (state != SD_EVENT_OFF || b->looking->len > 0)
                return;
        (void)sd_event_source_set_time_relative(b->timer, DEBOUNCE_USEC);
        (void)sd_event_source_set_enabled(b->timer, SD_EVENT_ONESHOT);
}

/* ---- looking -------------------------------------------------------------------------------- */

static void look_at_uses(const char *sysfs, void *userdata)
{
        DlBlockDevices *b = userdata;
        DlBlockDevice *device = dl_block_table_get(b->table, sysfs);

        if (device && dl_block_device_read_uses(device, b->uses))
                dl_block_table_touch(b->table, device);
}

/* Something that stood on others has gone, and its place does not tell any more on which. */
static void look_at_held(DlBlockDevices *b)
{
        GHashTableIter iter;
        gpointer device;

        g_hash_table_iter_init(&iter, dl_block_table_devices(b->table));
        while (g_hash_table_iter_next(&iter, NULL, &device))
                if (((DlBlockDevice *)device)->holders[0] &&
                    dl_block_device_read_uses(device, b->uses))
                        dl_block_table_touch(b->table, device);
}

/* A map came or went: its paths say so, but those that already say that it came (known). */
static void want_paths_of(DlBlockDevices *b, const char *guid, const char *known)
{
        const DlBlockLun *lun = dl_block_table_lun(b->table, guid);

        for (unsigned i = 0; lun && i < lun->paths->len; i++) {
                const DlBlockDevice *path = lun->paths->pdata[i];

                if (g_strcmp0(path->map, known) != 0)
                        want(b, path->sysfs);
        }
}

static void on_gone(DlBlockDevices *b, const char *sysfs)
{
        DlBlockDevice *device = dl_block_table_get(b->table, sysfs);
        g_autofree char *guid = device ? g_strdup(device->guid) : NULL;
        bool was_map = device && device->kind == DL_BLOCK_MAP;

        if (!device) {
                b->are_holders_stale = true;
                return;
        }
        g_hash_table_remove(b->failed, &device->devnum);
        (void)dl_block_table_set(b->table, sysfs, NULL);
        if (was_map)
                want_paths_of(b, guid, NULL);
}

static void look_at(DlBlockDevices *b, const char *sysfs)
{
        struct udev_device *from = udev_device_new_from_syspath(b->udev, sysfs);
        DlBlockDevice *device = from ? dl_block_device_read(from, b->uses) : NULL;
        const DlBlockDevice *old = dl_block_table_get(b->table, sysfs);
        bool is_map = device && device->kind == DL_BLOCK_MAP, is_new = !old;
        g_autofree char *guid = device ? g_strdup(device->guid) : NULL;

        if (device)
                device->is_failed = g_hash_table_contains(b->failed, &device->devnum);
        if (!from || (!device && old))
                on_gone(b, sysfs);
        else if (!device)
                dl_block_below(sysfs, look_at_uses, b);
        else if (dl_block_table_set(b->table, sysfs, device) && is_map)
                want_paths_of(b, guid, is_new ? udev_device_get_sysname(from) : NULL);
        if (from)
                udev_device_unref(from);
}

/* Nothing wakes a host that has none. */
static void follow_states(DlBlockDevices *b)
{
        int state = SD_EVENT_OFF;

        (void)sd_event_source_get_enabled(b->states, &state);
        if (state != SD_EVENT_OFF || g_hash_table_size(dl_block_table_devices(b->table)) == 0)
                return;
        (void)sd_event_source_set_time_relative(b->states, STATES_USEC);
        (void)sd_event_source_set_enabled(b->states, SD_EVENT_ONESHOT);
}

static void tell(DlBlockDevices *b)
{
        g_autoptr(GPtrArray) guids = NULL;

        follow_states(b);

        if (b->are_holders_stale)
                look_at_held(b);
        b->are_holders_stale = false;
        guids = dl_block_table_take_changed(b->table);
        if (guids || !b->is_told)
                b->changed(guids ? (const char *const *)guids->pdata : NULL, guids ? guids->len : 0,
                           b->userdata);
        b->is_told = true;
}

/* ---- mounts and swap ------------------------------------------------------------------------ */

static void read_uses(DlBlockDevices *b)
{
        DlBlockUses *old = b->uses;

        b->uses = dl_block_uses_read(b->mountinfo, b->swaps);
        if (!old)
                return;

        g_autoptr(GPtrArray) devnums = dl_block_uses_compare(old, b->uses);
        for (unsigned i = 0; i < devnums->len; i++) {
                dev_t devnum = *(const dev_t *)devnums->pdata[i];
                struct udev_device *device = udev_device_new_from_devnum(b->udev, 'b', devnum);

                if (!device)
                        continue;
                look_at_uses(udev_device_get_syspath(device), b);
                dl_block_below(udev_device_get_syspath(device), look_at_uses, b);
                udev_device_unref(device);
        }
        dl_block_uses_free(old);
}

static int on_uses_changed(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
        DlBlockDevices *b = userdata;

        b->are_uses_wanted = true;
        begin_soon(b);
        return 0;
}

/* The kernel's own table says when it changes; another file does not, and need not. */
static int follow_table(DlBlockDevices *b, const char *path, int *fd, sd_event_source **source)
{
        int r;

        *fd = open(path, O_RDONLY | O_CLOEXEC);
        if (*fd < 0)
                return errno == ENOENT ? 0 : -errno;
        r = sd_event_add_io(b->event, source, *fd, EPOLLPRI | EPOLLET, on_uses_changed, b);
        return r == -EPERM ? 0 : r;
}

/* ---- enumerating ---------------------------------------------------------------------------- */

static void scan(DlBlockDevices *b)
{
        struct udev_enumerate *enumerate = udev_enumerate_new(b->udev);
        struct udev_list_entry *entry;
        GHashTableIter iter;
        gpointer sysfs;

        g_hash_table_iter_init(&iter, dl_block_table_devices(b->table));
        while (g_hash_table_iter_next(&iter, &sysfs, NULL))
                want(b, sysfs);
        if (udev_enumerate_add_match_subsystem(enumerate, "block") < 0 ||
            udev_enumerate_scan_devices(enumerate) < 0)
                dl_warning("The block devices of this host cannot be listed");
        udev_list_entry_foreach(entry, udev_enumerate_get_list_entry(enumerate))
                want(b, udev_list_entry_get_name(entry));
        udev_enumerate_unref(enumerate);
}

void dl_block_devices_look(DlBlockDevices *b)
{
        b->is_scan_wanted = b->are_uses_wanted = true;
        begin_soon(b);
}

void dl_block_devices_look_at(DlBlockDevices *b, const char *guid)
{
        const DlBlockLun *lun = dl_block_table_lun(b->table, guid);
        g_autoptr(GPtrArray) directories = g_ptr_array_new_with_free_func(g_free);

        for (unsigned i = 0; lun && i < lun->paths->len; i++)
                g_ptr_array_add(directories,
                                g_strdup(((DlBlockDevice *)lun->paths->pdata[i])->sysfs));
        if (lun && lun->map)
                g_ptr_array_add(directories, g_strdup(lun->map->sysfs));
        for (unsigned i = 0; i < directories->len; i++)
                look_at(b, directories->pdata[i]);
        if (is_wanted(b))
                begin_soon(b);
        if (directories->len > 0)
                tell(b);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
        DlBlockDevices *b = userdata;
        GHashTableIter iter;
        gpointer sysfs;

        if (b->are_uses_wanted)
                read_uses(b);
        if (b->is_scan_wanted)
                scan(b);
        b->are_uses_wanted = b->is_scan_wanted = false;
        g_hash_table_iter_init(&iter, b->waiting);
        while (g_hash_table_iter_next(&iter, &sysfs, NULL)) {
                g_hash_table_iter_steal(&iter);
                g_ptr_array_add(b->looking, sysfs);
        }
        return sd_event_source_set_enabled(b->work, SD_EVENT_ON);
}

static int on_work(sd_event_source *source, void *userdata)
{
        DlBlockDevices *b = userdata;

        for (unsigned n = 0; n < LOOKS_MAX && b->looking->len > 0; n++) {
                g_autofree char *sysfs = g_ptr_array_steal_index_fast(b->looking,
                                                                      b->looking->len - 1);

                look_at(b, sysfs);
        }
        if (b->looking->len > 0)
                return 0;
        (void)sd_event_source_set_enabled(source, SD_EVENT_OFF);
        if (is_wanted(b))
                begin_soon(b);
        b->are_known = true;
        tell(b);
        return 0;
}

/* ---- events --------------------------------------------------------------------------------- */

static void set_failed(DlBlockDevices *b, dev_t devnum, bool is_failed)
{
        DlBlockDevice *device = dl_block_table_get_devnum(b->table, devnum);

        if (is_failed)
                g_hash_table_add(b->failed, g_memdup2(&devnum, sizeof devnum));
        else
                g_hash_table_remove(b->failed, &devnum);
        if (!device || device->is_failed == is_failed)
                return;
        device->is_failed = is_failed;
        dl_block_table_touch(b->table, device);
}

/* What the device mapper's multipath sends: DM_ACTION and DM_PATH ("8:16"). */
static void take_path_event(DlBlockDevices *b, struct udev_device *device)
{
        const char *action = udev_device_get_property_value(device, "DM_ACTION");
        const char *path = udev_device_get_property_value(device, "DM_PATH");
        unsigned major, minor;

        if (!action || !path || sscanf(path, "%u:%u", &major, &minor) != 2)
                return;
        if (strcmp(action, "PATH_FAILED") == 0)
                set_failed(b, makedev(major, minor), true);
        else if (strcmp(action, "PATH_REINSTATED") == 0)
                set_failed(b, makedev(major, minor), false);
}

/* The number is another device's then, or that of one that starts anew. */
static void forget_failure(DlBlockDevices *b, struct udev_device *device)
{
        const char *action = udev_device_get_action(device);
        dev_t devnum = udev_device_get_devnum(device);

        if (g_strcmp0(action, "add") == 0 || g_strcmp0(action, "remove") == 0)
                set_failed(b, devnum, false);
}

/* What has become of the paths meanwhile nobody tells any more: one that was reinstated would stay
 * failed for ever, while one that fails does so again with the next command. */
static void lose_events(DlBlockDevices *b)
{
        GHashTableIter iter;
        gpointer devnum;

        g_hash_table_iter_init(&iter, b->failed);
        while (g_hash_table_iter_next(&iter, &devnum, NULL)) {
                DlBlockDevice *device = dl_block_table_get_devnum(b->table, *(const dev_t *)devnum);

                if (device) {
                        device->is_failed = false;
                        dl_block_table_touch(b->table, device);
                }
                g_hash_table_iter_remove(&iter);
        }
        if (!b->is_scan_wanted)
                dl_notice("Events of block devices were lost; looking at all of them");
        dl_block_devices_look(b);
}

static int on_events(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
        DlBlockDevices *b = userdata;

        for (unsigned n = 0; n < EVENTS_MAX; n++) {
                errno = 0;
                struct udev_device *device = udev_monitor_receive_device(b->monitor);

                if (!device && errno == ENOBUFS) {
                        lose_events(b);
                        continue;
                }
                if (!device)
                        break;
                forget_failure(b, device);
                take_path_event(b, device);
                want(b, udev_device_get_syspath(device));
                udev_device_unref(device);
        }
        if (is_wanted(b))
                begin_soon(b);
        return 0;
}

static int follow_events(DlBlockDevices *b)
{
        int r;

        b->udev = udev_new();
        b->monitor = b->udev ? udev_monitor_new_from_netlink(b->udev, "udev") : NULL;
        if (!b->monitor)
                return errno ? -errno : -ENOMEM;
        /* the kernel gives less to who may not have so much; then all is looked at again sooner */
        (void)udev_monitor_set_receive_buffer_size(b->monitor, RECEIVE_BUFFER);
        r = udev_monitor_filter_add_match_subsystem_devtype(b->monitor, "block", NULL);
        if (r >= 0)
                r = udev_monitor_enable_receiving(b->monitor);
        return r < 0 ? r
                     : sd_event_add_io(b->event, &b->events, udev_monitor_get_fd(b->monitor),
                                       EPOLLIN, on_events, b);
}

/* ---- states --------------------------------------------------------------------------------- */

/* A disk that the host itself runs from says enough by the host's end. */
static void look_at_state(DlBlockDevices *b, DlBlockDevice *device)
{
        g_autofree char *state = NULL;

        if (device->kind == DL_BLOCK_MAP || device->is_system)
                return;
        state = dl_block_device_read_state(device);
        if (strcmp(state, device->state) == 0)
                return;
        g_free(device->state);
        device->state = g_steal_pointer(&state);
        dl_block_table_touch(b->table, device);
}

/* From where the last look ended. */
static int on_states(sd_event_source *source, uint64_t usec, void *userdata)
{
        DlBlockDevices *b = userdata;
        GHashTable *devices = dl_block_table_devices(b->table);
        unsigned n = 0, first = b->n_stated;
        GHashTableIter iter;
        gpointer device;

        g_hash_table_iter_init(&iter, devices);
        while (g_hash_table_iter_next(&iter, NULL, &device) && n < first + STATES_MAX)
                if (n++ >= first)
                        look_at_state(b, device);
        b->n_stated = n < g_hash_table_size(devices) ? n : 0;
        if (b->are_known && b->looking->len == 0)
                tell(b);
        else
                follow_states(b);
        return 0;
}

/* ---- life ----------------------------------------------------------------------------------- */

static int start(DlBlockDevices *b)
{
        int r = follow_events(b);

        if (r >= 0)
                r = follow_table(b, b->mountinfo, &b->mountinfo_fd, &b->mounts);
        if (r >= 0)
                r = follow_table(b, b->swaps, &b->swaps_fd, &b->swapped);
        if (r >= 0)
                r = sd_event_add_time_relative(b->event, &b->timer, CLOCK_MONOTONIC, 0, 0, on_timer,
                                               b);
        if (r >= 0)
                r = sd_event_add_time_relative(b->event, &b->states, CLOCK_MONOTONIC, STATES_USEC,
                                               STATES_USEC / 4, on_states, b);
        if (r >= 0)
                r = sd_event_add_defer(b->event, &b->work, on_work, b);
        if (r >= 0)
                r = sd_event_source_set_enabled(b->work, SD_EVENT_OFF);
        return r < 0 ? r : sd_event_source_set_priority(b->work, SD_EVENT_PRIORITY_IDLE);
}

int dl_block_devices_new(sd_event *event, const DlBlockSources *sources, DlBlockChanged changed,
                         void *userdata, DlBlockDevices **ret)
{
        DlBlockDevices *b = g_new(DlBlockDevices, 1);
        int r;

        *b = (DlBlockDevices){
                .event = sd_event_ref(event),
                .changed = changed,
                .userdata = userdata,
                .table = dl_block_table_new(),
                .mountinfo = g_strdup(sources && sources->mountinfo ? sources->mountinfo
                                                                    : "/proc/self/mountinfo"),
                .swaps = g_strdup(sources && sources->swaps ? sources->swaps : "/proc/swaps"),
                .mountinfo_fd = -1,
                .swaps_fd = -1,
                .failed = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL),
                .waiting = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL),
                .looking = g_ptr_array_new_with_free_func(g_free),
                .is_scan_wanted = true,
                .are_uses_wanted = true,
        };
        r = start(b);
        if (r < 0) {
                dl_block_devices_free(b);
                return r;
        }
        *ret = b;
        return 0;
}

void dl_block_devices_free(DlBlockDevices *b)
{
        if (!b)
                return;

        sd_event_source *sources[] = {b->events, b->mounts, b->swapped,
                                      b->timer,  b->work,   b->states};

        for (size_t i = 0; i < G_N_ELEMENTS(sources); i++)
                sd_event_source_disable_unref(sources[i]);
        if (b->monitor)
                udev_monitor_unref(b->monitor);
        if (b->udev)
                udev_unref(b->udev);
        if (b->mountinfo_fd >= 0)
                close(b->mountinfo_fd);
        if (b->swaps_fd >= 0)
                close(b->swaps_fd);
        dl_block_table_free(b->table);
        dl_block_uses_free(b->uses);
        g_hash_table_unref(b->failed);
        g_hash_table_unref(b->waiting);
        g_ptr_array_unref(b->looking);
        g_free(b->mountinfo);
        g_free(b->swaps);
        sd_event_unref(b->event);
        g_free(b);
}

/* ---- looking up ----------------------------------------------------------------------------- */

bool dl_block_devices_are_known(const DlBlockDevices *b)
{
        return b->are_known;
}

const DlBlockLun *dl_block_devices_find(const DlBlockDevices *b, const char *guid)
{
        return dl_block_table_lun(b->table, guid);
}

const DlBlockDevice *dl_block_devices_find_devnum(const DlBlockDevices *b, dev_t devnum)
{
        return dl_block_table_get_devnum(b->table, devnum);
}

const DlBlockDevice *dl_block_devices_find_name(const DlBlockDevices *b, const char *name)
{
        return dl_block_table_get_name(b->table, name);
}

static int compare_luns(gconstpointer a, gconstpointer b)
{
        return strcmp((*(const DlBlockLun *const *)a)->guid, (*(const DlBlockLun *const *)b)->guid);
}

GPtrArray *dl_block_devices_list(const DlBlockDevices *b)
{
        GPtrArray *list = g_ptr_array_new();
        GHashTableIter iter;
        gpointer lun;

        g_hash_table_iter_init(&iter, dl_block_table_luns(b->table));
        while (g_hash_table_iter_next(&iter, NULL, &lun))
                g_ptr_array_add(list, lun);
        g_ptr_array_sort(list, compare_luns);
        return list;
}
