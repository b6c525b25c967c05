/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Dies on demand, for tests of the recovery. Only in builds with test hooks. Loop thread only. */

#include "core/steps/kill-point.h"
#include "util/log.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Which time it has to be: "POINT" is the first, "POINT:N" the Nth. 0: it is another point. */
static unsigned long wanted_pass(const char *wanted, const char *point)
{
        size_t n = strlen(point);

        if (strncmp(wanted, point, n) != 0)
                return 0;
        if (wanted[n] == '\0')
                return 1;
        return wanted[n] == ':' ? strtoul(wanted + n + 1, NULL, 10) : 0;
}

void dl_kill_point(const char *what, unsigned index, const char *when)
{
        static unsigned long passes;
        const char *wanted = getenv("DIRECTLUND_KILL_AT");
        g_autofree char *point = NULL;
        unsigned long pass;

        if (!wanted)
                return;
        point = g_strdup_printf("%s:%u:%s", what, index, when);
        if (strcmp(wanted, "list") == 0) {
                dl_notice("kill point %s", point);
                return;
        }
        pass = wanted_pass(wanted, point);
        if (pass > 0 && ++passes == pass)
                (void)kill(getpid(), SIGKILL);
}
