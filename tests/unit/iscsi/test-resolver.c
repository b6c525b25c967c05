/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Name resolution on workers that resolve for the first time. No network is needed. */

#include "iscsi/resolver.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static void on_resolved(char **portals, const GError *error, void *userdata)
{
        unsigned *left = userdata;

        g_assert_true(!portals == !!error);
        (*left)--;
}

static struct stat stat_of(int fd)
{
        struct stat st;

        g_assert_cmpint(fstat(fd, &st), ==, 0);
        return st;
}

/* Descriptor 0 belongs to whoever opened it, and glibc's state of a thread that has not resolved
 * anything is full of zeros. */
static void test_descriptors_of_others(void)
{
        static const char *const hosts[] = {"localhost", "ip6-localhost"};
        unsigned left = G_N_ELEMENTS(hosts);
        struct stat before, after;
        DlWorkers *workers;
        sd_event *event;
        int kept;

        kept = fcntl(0, F_DUPFD_CLOEXEC, 3);
        if (kept < 0)
                g_assert_cmpint(open("/dev/null", O_RDONLY), ==, 0);
        before = stat_of(0);
        g_assert_cmpint(sd_event_new(&event), >=, 0);
        g_assert_cmpint(dl_workers_new(event, G_N_ELEMENTS(hosts), &workers), ==, 0);
        for (size_t i = 0; i < G_N_ELEMENTS(hosts); i++)
                (void)dl_resolver_lookup(workers, hosts[i], 3260, 1000000, on_resolved, &left);
        while (left > 0)
                g_assert_cmpint(sd_event_run(event, G_MAXUINT64), >=, 0);
        after = stat_of(0);
        g_assert_true(after.st_dev == before.st_dev && after.st_ino == before.st_ino);
        dl_workers_free(workers);
        sd_event_unref(event);
        if (kept >= 0)
                close(kept);
}

int main(int argc, char *argv[])
{
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/iscsi/resolver/descriptors-of-others", test_descriptors_of_others);
        return g_test_run();
}
