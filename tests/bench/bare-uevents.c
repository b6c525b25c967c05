/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What it costs to read uevents at all: a libudev monitor of block devices, as bare as can be.
 *
 *     bare-uevents COUNT
 *
 * Says "ready", reads that many events, then asks libudev who each of these devices is now, and how
 * large. Prints as one line of JSON when the last event came (by the monotonic clock), the
 * processor time of reading the events, and that of the looks; all in milliseconds. One thread.
 */

#include <errno.h>
#include <libudev.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

enum {
        BUFFER = 16 * 1024 * 1024,
        DEADLINE = 60 * 1000
};

static double processor_time(void)
{
        struct rusage u;

        getrusage(RUSAGE_SELF, &u);
        return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e3 +
               (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e3;
}

static unsigned read_all(struct udev_monitor *monitor, struct udev_device **devices)
{
        unsigned n = 0;

        while ((devices[n] = udev_monitor_receive_device(monitor)))
                n++;
        if (errno == ENOBUFS) {
                fputs("events were lost\n", stderr);
                exit(1);
        }
        return n;
}

static void look_at(struct udev *udev, struct udev_device *of)
{
        struct udev_device *device = udev_device_new_from_syspath(udev,
                                                                  udev_device_get_syspath(of));

        if (!device || !udev_device_get_property_value(device, "DEVLINKS") ||
            !udev_device_get_sysattr_value(device, "size"))
                exit(1);
        udev_device_unref(device);
}

int main(int argc, char **argv)
{
        struct udev *udev = udev_new();
        struct udev_monitor *monitor = udev_monitor_new_from_netlink(udev, "udev");
        unsigned count = argc == 2 ? (unsigned)atoi(argv[1]) : 0, n = 0;
        struct udev_device **devices = calloc(count + 1, sizeof *devices);
        double before, read, looked, at;
        struct timespec t;

        if (!count || !monitor || udev_monitor_set_receive_buffer_size(monitor, BUFFER) < 0 ||
            udev_monitor_filter_add_match_subsystem_devtype(monitor, "block", NULL) < 0 ||
            udev_monitor_enable_receiving(monitor) < 0)
                return 1;
        puts("ready");
        fflush(stdout);
        before = processor_time();
        while (n < count) {
                struct pollfd fd = {udev_monitor_get_fd(monitor), POLLIN, 0};

                if (poll(&fd, 1, DEADLINE) != 1)
                        return 1;
                n += read_all(monitor, devices + n);
        }
        clock_gettime(CLOCK_MONOTONIC, &t);
        at = (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
        read = processor_time();
        for (unsigned i = 0; i < n; i++)
                look_at(udev, devices[i]);
        looked = processor_time();
        printf("{\"at\": %.3f, \"cpu\": %.3f, \"look\": %.3f}\n", at, read - before, looked - read);
        return 0;
}
