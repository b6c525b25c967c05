/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A monitor of udev of its own, for SCSI devices alone. Loop thread only. */

#include "host/size-events.h"

#include <errno.h>
#include <glib.h>
#include <libudev.h>
#include <sys/epoll.h>

/* A target can send as many as it likes: others get their turn between. */
#define EVENTS_MAX 64

struct DlSizeEvents {
        DlSizeTold told;
        void *userdata;
        struct udev *udev;
        struct udev_monitor *monitor;
        sd_event_source *source;
};

/* A SCSI device that is a disk has one directory in block/. */
static char *disk_of(struct udev_device *device)
{
        g_autofree char *path = g_build_filename(udev_device_get_syspath(device), "block", NULL);
        g_autoptr(GDir) directory = g_dir_open(path, 0, NULL);

        return directory ? g_strdup(g_dir_read_name(directory)) : NULL;
}

static void take(DlSizeEvents *events, struct udev_device *device)
{
        const char *attention = udev_device_get_property_value(device, "SDEV_UA");
        g_autofree char *name = NULL;

        if (g_strcmp0(attention, "CAPACITY_DATA_HAS_CHANGED") != 0)
                return;
        name = disk_of(device);
        if (name)
                events->told(name, events->userdata);
}

static int on_events(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
        DlSizeEvents *events = userdata;

        for (unsigned n = 0; n < EVENTS_MAX; n++) {
                errno = 0;
                struct udev_device *device = udev_monitor_receive_device(events->monitor);

                if (!device && errno == ENOBUFS) {
                        events->told(NULL, events->userdata);
                        continue;
                }
                if (!device)
                        break;
                take(events, device);
                udev_device_unref(device);
        }
        return 0;
}

int dl_size_events_new(sd_event *event, DlSizeTold told, void *userdata, DlSizeEvents **ret)
{
        DlSizeEvents *events = g_new0(DlSizeEvents, 1);
        int r;

        events->told = told;
        events->userdata = userdata;
        events->udev = udev_new();
        events->monitor = events->udev ? udev_monitor_new_from_netlink(events->udev, "udev") : NULL;
        r = events->monitor ? 0 : -ENOMEM;
        if (r >= 0)
                r = udev_monitor_filter_add_match_subsystem_devtype(events->monitor, "scsi",
                                                                    "scsi_device");
        if (r >= 0)
                r = udev_monitor_enable_receiving(events->monitor);
        if (r >= 0)
                r = sd_event_add_io(event, &events->source, udev_monitor_get_fd(events->monitor),
                                    EPOLLIN, on_events, events);
        if (r < 0) {
                dl_size_events_free(events);
                return r;
        }
        *ret = events;
        return 0;
}

void dl_size_events_free(DlSizeEvents *events)
{
        if (!events)
                return;
        sd_event_source_disable_unref(events->source);
        if (events->monitor)
                udev_monitor_unref(events->monitor);
        if (events->udev)
                udev_unref(events->udev);
        g_free(events);
}
