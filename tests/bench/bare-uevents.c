/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What it costs to read uevents at all: a libudev monitor of block devices, as bare as can be.
 *
 *     bare-uevents COUNT
 *
 * Says "ready", reads that many events (and who each disk is), and prints as one line of JSON when
 * the last came (milliseconds of the monotonic clock) and the processor time. One thread.
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

static unsigned read_all(struct udev_monitor *monitor)
{
        struct udev_device *device;
        unsigned n = 0;

        while ((device = udev_monitor_receive_device(monitor))) {
                if (!udev_device_get_syspath(device) ||
                    !udev_device_get_property_value(device, "DEVTYPE"))
                        exit(1);
                udev_device_unref(device);
                n++;
        }
        if (errno == ENOBUFS) {
                fputs("events were lost\n", stderr);
                exit(1);
        }
        return n;
}

int main(int argc, char **argv)
{
        struct udev *udev = udev_new();
        struct udev_monitor *monitor = udev_monitor_new_from_netlink(udev, "udev");
        struct timespec t;
        double before;

        if (argc != 2 || !monitor || udev_monitor_set_receive_buffer_size(monitor, BUFFER) < 0 ||
            udev_monitor_filter_add_match_subsystem_devtype(monitor, "block", NULL) < 0 ||
            udev_monitor_enable_receiving(monitor) < 0)
                return 1;
        puts("ready");
        fflush(stdout);
        before = processor_time();
        for (unsigned left = (unsigned)atoi(argv[1]); left > 0; left -= read_all(monitor)) {
                struct pollfd fd = {udev_monitor_get_fd(monitor), POLLIN, 0};

                if (poll(&fd, 1, DEADLINE) != 1)
                        return 1;
        }
        clock_gettime(CLOCK_MONOTONIC, &t);
        printf("{\"at\": %.3f, \"cpu\": %.3f}\n", (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6,
               processor_time() - before);
        return 0;
}
