/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Every error has the exit status that the man page says. */

#include "directlunctl/exit-code.h"

#include <string.h>

/* As documented in directlunctl(1), by number. */
static const char *const documented[] = {
        [CTL_EXIT_FAILED] = "Failed ProtocolError",
        [CTL_EXIT_USAGE] = "InvalidArgs UnsupportedFormat UnsupportedInterface",
        [CTL_EXIT_NOT_FOUND] = "TargetNotFound LunNotFound VmNotFound HostNotFound NotAttached",
        [CTL_EXIT_REFUSED] = "InUse NotShareable AlreadyAttached VmNotRunning VmRunning Busy "
                             "LimitsExceeded FencingRequired ReservationBlocksMigration "
                             "StorageDomainConflict",
        [CTL_EXIT_UNREACHABLE] =
                "PortalUnreachable NameResolution LunNotVisible NoHostAvailable TimedOut",
        [CTL_EXIT_CHAP] = "AuthFailed",
        [CTL_EXIT_PERMISSION] = "AccessDenied InteractiveAuthorizationRequired",
        [CTL_EXIT_CANCELLED] = "Cancelled",
        [CTL_EXIT_GUEST] = "GuestDidNotRelease",
        [CTL_EXIT_LIBVIRT] = "LibvirtError",
        [CTL_EXIT_IDENTITY] = "GuidMismatch GuidNotUnique PathsInconsistent LunShrunk",
        [CTL_EXIT_SERVICE] = "EngineUnavailable",
};

static int documented_status(const char *name)
{
        int found = 0;

        for (unsigned status = 1; status < G_N_ELEMENTS(documented); status++) {
                g_auto(GStrv) names = g_strsplit(documented[status], " ", -1);

                if (!g_strv_contains((const char *const *)names, name))
                        continue;
                g_assert_cmpint(found, ==, 0); /* in one class only */
                found = (int)status;
        }
        return found;
}

static void test_every_error(void)
{
        for (int code = 0; code < _DL_ERROR_MAX; code++) {
                g_autoptr(GError) error = g_error_new(DL_ERROR, code, "x");
                int status = documented_status(dl_error_name(code));

                g_test_message("%s", dl_error_name(code));
                g_assert_cmpint(status, !=, 0);
                g_assert_cmpint(ctl_exit_code(error), ==, status);
                g_assert_cmpstr(ctl_error_name(error), ==, dl_error_name(code));
        }
}

static void test_numbers(void)
{
        g_assert_cmpint(ctl_exit_code(NULL), ==, 0);
        g_assert_cmpint(CTL_EXIT_USAGE, ==, 2);
        g_assert_cmpint(CTL_EXIT_NOT_FOUND, ==, 3);
        g_assert_cmpint(CTL_EXIT_REFUSED, ==, 4);
        g_assert_cmpint(CTL_EXIT_UNREACHABLE, ==, 5);
        g_assert_cmpint(CTL_EXIT_CHAP, ==, 6);
        g_assert_cmpint(CTL_EXIT_PERMISSION, ==, 7);
        g_assert_cmpint(CTL_EXIT_CANCELLED, ==, 8);
        g_assert_cmpint(CTL_EXIT_GUEST, ==, 9);
        g_assert_cmpint(CTL_EXIT_LIBVIRT, ==, 10);
        g_assert_cmpint(CTL_EXIT_IDENTITY, ==, 11);
        g_assert_cmpint(CTL_EXIT_SERVICE, ==, 12);
        g_assert_cmpint(CTL_EXIT_INTERRUPTED, ==, 130);
}

static void test_other_domains(void)
{
        g_autoptr(GError) other = g_error_new(G_FILE_ERROR, G_FILE_ERROR_NOENT, "no file");

        g_assert_cmpint(ctl_exit_code(other), ==, CTL_EXIT_FAILED);
        g_assert_null(ctl_error_name(other));
}

/* What the service sends under its own name arrives as the same error. */
static void test_our_names_from_the_bus(void)
{
        for (int code = 0; code < _DL_ERROR_MAX; code++) {
                g_autofree char *name = g_strconcat("org.ovirt.DirectLun.Error.",
                                                    dl_error_name(code), NULL);
                g_autoptr(GError) error = ctl_error_from_bus(name, "what happened");

                g_assert_error(error, DL_ERROR, code);
                g_assert_cmpstr(error->message, ==, "what happened");
        }
}

static void test_other_names_from_the_bus(void)
{
        static const struct {
                const char *name;
                CtlExit status;
        } cases[] = {
                {"org.freedesktop.DBus.Error.InvalidArgs", CTL_EXIT_USAGE},
                {"org.freedesktop.DBus.Error.AccessDenied", CTL_EXIT_PERMISSION},
                {"org.freedesktop.DBus.Error.InteractiveAuthorizationRequired",
                 CTL_EXIT_PERMISSION},
                {"org.freedesktop.DBus.Error.NoReply", CTL_EXIT_UNREACHABLE},
                {"org.freedesktop.DBus.Error.Timeout", CTL_EXIT_UNREACHABLE},
                {"org.freedesktop.DBus.Error.LimitsExceeded", CTL_EXIT_REFUSED},
                {"org.freedesktop.DBus.Error.UnknownObject", CTL_EXIT_NOT_FOUND},
                {"org.freedesktop.DBus.Error.ServiceUnknown", CTL_EXIT_SERVICE},
                {"org.freedesktop.DBus.Error.NameHasNoOwner", CTL_EXIT_SERVICE},
                {"org.freedesktop.DBus.Error.Spawn.ChildExited", CTL_EXIT_SERVICE},
                {"org.freedesktop.systemd1.UnitMasked", CTL_EXIT_SERVICE},
                {"org.freedesktop.DBus.Error.UnknownMethod", CTL_EXIT_FAILED},
                {"org.ovirt.DirectLun.Error.FromTheFuture", CTL_EXIT_FAILED},
                {"System.Error.EIO", CTL_EXIT_FAILED},
        };

        for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
                g_autoptr(GError) error = ctl_error_from_bus(cases[i].name, NULL);

                g_test_message("%s", cases[i].name);
                g_assert_cmpint(ctl_exit_code(error), ==, cases[i].status);
                g_assert_cmpuint(strlen(error->message), >, 0);
        }
}

int main(int argc, char *argv[])
{
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/exit-code/every-error", test_every_error);
        g_test_add_func("/exit-code/numbers", test_numbers);
        g_test_add_func("/exit-code/other-domains", test_other_domains);
        g_test_add_func("/exit-code/our-names-from-the-bus", test_our_names_from_the_bus);
        g_test_add_func("/exit-code/other-names-from-the-bus", test_other_names_from_the_bus);
        return g_test_run();
}
