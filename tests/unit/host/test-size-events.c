/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What udev says of unit attentions. One thread. */

#include "mock-host.h"

#include "host/size-events.h"

#include <string.h>

typedef struct World {
        MockHost host;
        DlSizeEvents *events;
        char *scsi[2];
        GString *told; /* names, each followed by a space; "?": of lost events */
} World;

static void on_told(const char *name, void *userdata)
{
        g_string_append_printf(((World *)userdata)->told, "%s ", name ? name : "?");
}

static bool is_told(const MockHost *host, const void *what)
{
        return strcmp(((const World *)host)->told->str, what) == 0;
}

static char *add_scsi(const World *w, const char *hctl)
{
        char *scsi = mock_add_scsi(&w->host, NULL, hctl);

        umockdev_testbed_set_property(w->host.bed, scsi, "DEVTYPE", "scsi_device");
        return scsi;
}

static void begin(World *w, gconstpointer data)
{
        mock_begin(&w->host, NULL);
        w->scsi[0] = add_scsi(w, "1:0:0:1");
        w->scsi[1] = add_scsi(w, "1:0:0:2");
        umockdev_testbed_set_attribute(w->host.bed, w->scsi[0], "block/sda/size", "2048");
        umockdev_testbed_set_attribute(w->host.bed, w->scsi[1], "scsi_generic/sg1/dev", "21:1");
        w->told = g_string_new(NULL);
        g_assert_cmpint(dl_size_events_new(w->host.event, on_told, w, &w->events), ==, 0);
}

static void end(World *w, gconstpointer data)
{
        dl_size_events_free(w->events);
        g_string_free(w->told, TRUE);
        g_free(w->scsi[0]);
        g_free(w->scsi[1]);
        mock_end(&w->host, NULL);
}

static void say(const World *w, unsigned index, const char *attention)
{
        umockdev_testbed_set_property(w->host.bed, w->scsi[index], "SDEV_UA", attention);
        umockdev_testbed_uevent(w->host.bed, w->scsi[index], "change");
}

/* What is no size, and what is no disk, is not told; nor is an event of another subsystem. */
static void test_attentions(World *w, gconstpointer data)
{
        g_autofree char *disk = mock_add_disk(&w->host, w->scsi[0], "sda", 0, NULL);

        umockdev_testbed_set_property(w->host.bed, disk, "SDEV_UA", "CAPACITY_DATA_HAS_CHANGED");
        umockdev_testbed_uevent(w->host.bed, disk, "change");
        say(w, 0, "INQUIRY_DATA_HAS_CHANGED");
        say(w, 0, "REPORTED_LUNS_DATA_HAS_CHANGED");
        say(w, 1, "CAPACITY_DATA_HAS_CHANGED");
        say(w, 0, "CAPACITY_DATA_HAS_CHANGED");
        mock_wait_until(&w->host, is_told, "sda ");
        say(w, 0, "CAPACITY_DATA_HAS_CHANGED");
        mock_wait_until(&w->host, is_told, "sda sda ");
}

static void test_lost(World *w, gconstpointer data)
{
        mock_loses_events = true;
        say(w, 1, "CAPACITY_DATA_HAS_CHANGED");
        mock_wait_until(&w->host, is_told, "? ");
        mock_loses_events = false;
        say(w, 0, "CAPACITY_DATA_HAS_CHANGED");
        mock_wait_until(&w->host, is_told, "? sda ");
}

int main(int argc, char **argv)
{
        g_test_init(&argc, &argv, NULL);
        g_test_add("/size-events/attentions", World, NULL, begin, test_attentions, end);
        g_test_add("/size-events/lost", World, NULL, begin, test_lost, end);
        return g_test_run();
}
