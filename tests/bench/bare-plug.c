/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What libvirt alone takes: virDomainAttachDeviceFlags() on the running domain, with the XML on
 * standard input, as the service calls it: once for the configuration, once live.
 *
 *     bare-plug VM attach|detach [live]
 *
 * Prints milliseconds as JSON. live: only the running domain. Detaching waits until libvirt has it
 * out of the domain. One thread; all ends with the process.
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
        bool attach = argc >= 3 && strcmp(argv[2], "attach") == 0, live = argc == 4;
        double start, configured, end;
        virConnectPtr connection;
        virDomainPtr domain;

        if (argc < 3)
                return 2;
        must(fread(xml, 1, sizeof xml - 1, stdin) > 0, "standard input");
        must((connection = virConnectOpen(URI)) != NULL, "open");
        must((domain = virDomainLookupByName(connection, argv[1])) != NULL, argv[1]);
        start = now();
        if (attach && !live)
                must(virDomainAttachDeviceFlags(domain, xml, VIR_DOMAIN_AFFECT_CONFIG) == 0,
                     "attach");
        if (!attach && !live)
                must(virDomainDetachDeviceFlags(domain, xml, VIR_DOMAIN_AFFECT_CONFIG) == 0,
                     "detach");
        configured = now();
        if (attach) {
                must(virDomainAttachDeviceFlags(domain, xml, VIR_DOMAIN_AFFECT_LIVE) == 0,
                     "attach");
        } else {
                must(virDomainDetachDeviceFlags(domain, xml, VIR_DOMAIN_AFFECT_LIVE) == 0,
                     "detach");
                while (has_disk(domain, find_alias(xml)) && now() - start < WAIT_SEC * 1e3)
                        (void)usleep(POLL_USEC);
        }
        end = now();
        printf("{\"config\": %.3f, \"live\": %.3f, \"ms\": %.3f}\n", configured - start,
               end - configured, end - start);
        virDomainFree(domain);
        virConnectClose(connection);
        return 0;
}
