/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What libvirt alone takes: virDomainAttachDeviceFlags() or virDomainDetachDeviceFlags() with the
 * XML on standard input.
 *
 *     bare-plug VM attach|detach live|both
 *
 * Prints milliseconds. live: the running domain only; both: its configuration too, in one call.
 * Detaching waits until libvirt has it out of the domain. One thread; all ends with the process.
 */

#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define XML_MAX   65536
#define WAIT_SEC  30
#define POLL_USEC 2000
#define URI       "qemu:///system"

static double now(void)
{
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void must(bool good, const char *what)
{
        if (good)
                return;
        fprintf(stderr, "%s: %s\n", what, virGetLastErrorMessage());
        exit(1);
}

static bool has_disk(virDomainPtr domain, const char *alias)
{
        char *xml = virDomainGetXMLDesc(domain, 0);
        bool has = xml && strstr(xml, alias);

        free(xml);
        return has;
}

/* The alias of the disk in the XML. */
static const char *find_alias(const char *xml)
{
        static char alias[128];
        const char *at = strstr(xml, "<alias name='");

        must(at && sscanf(at, "<alias name='%127[^']", alias) == 1, "alias");
        return alias;
}

int main(int argc, char **argv)
{
        static char xml[XML_MAX];
        unsigned flags = VIR_DOMAIN_AFFECT_LIVE;
        virConnectPtr connection;
        virDomainPtr domain;
        double start;

        if (argc != 4)
                return 2;
        if (strcmp(argv[3], "both") == 0)
                flags |= VIR_DOMAIN_AFFECT_CONFIG;
        must(fread(xml, 1, sizeof xml - 1, stdin) > 0, "standard input");
        must((connection = virConnectOpen(URI)) != NULL, "open");
        must((domain = virDomainLookupByName(connection, argv[1])) != NULL, argv[1]);
        start = now();
        if (strcmp(argv[2], "attach") == 0) {
                must(virDomainAttachDeviceFlags(domain, xml, flags) == 0, "attach");
        } else {
                must(virDomainDetachDeviceFlags(domain, xml, flags) == 0, "detach");
                while (has_disk(domain, find_alias(xml)) && now() - start < WAIT_SEC * 1e3)
                        (void)usleep(POLL_USEC);
        }
        printf("%.3f\n", now() - start);
        virDomainFree(domain);
        virConnectClose(connection);
        return 0;
}
