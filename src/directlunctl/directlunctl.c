/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* directlunctl: reads the command line and runs one command. One thread. */

#include "directlunctl/agent.h"
#include "directlunctl/command.h"
#include "directlunctl/parse.h"

#include "config.h"

#include <locale.h>
#include <stdio.h>
#include <string.h>

static const CtlCommand *const groups[] = {
        ctl_target_commands, ctl_lun_commands, ctl_disk_commands,    ctl_image_commands,
        ctl_vm_commands,     ctl_job_commands, ctl_monitor_commands, ctl_complete_commands};

/* ---- options of all commands --------------------------------------------------------------- */

static struct {
        char *json, *timeout;
        gboolean no_legend, no_ask_password, quiet, dry_run, help, version;
} arg;

static const GOptionEntry common_options[] = {
        {"json", 0, 0, G_OPTION_ARG_FILENAME, &arg.json, "print JSON: short, pretty or off",
         "MODE"},
        {"no-legend", 0, 0, G_OPTION_ARG_NONE, &arg.no_legend, "no headings of tables", NULL},
        {"no-ask-password", 0, 0, G_OPTION_ARG_NONE, &arg.no_ask_password,
         "never ask for a password", NULL},
        {"timeout", 0, 0, G_OPTION_ARG_FILENAME, &arg.timeout, "give up after so many seconds",
         "SEC"},
        {"quiet", 'q', 0, G_OPTION_ARG_NONE, &arg.quiet,
         "no progress, no notes, no tables of what was changed", NULL},
        {"dry-run", 'n', 0, G_OPTION_ARG_NONE, &arg.dry_run,
         "only check, and tell what would be done", NULL},
        {"help", 'h', 0, G_OPTION_ARG_NONE, &arg.help, "show this help", NULL},
        {"version", 0, 0, G_OPTION_ARG_NONE, &arg.version, "show the version", NULL},
        {},
};

bool ctl_usage_error(GError **error, const char *format, ...)
{
        va_list ap;

        va_start(ap, format);
        if (error)
                *error = g_error_new_valist(DL_ERROR, DL_ERROR_INVALID_ARGS, format, ap);
        va_end(ap);
        return false;
}

static bool read_common(Ctl *ctl, GError **error)
{
        ctl->format = CTL_TEXT;
        if (arg.json && strcmp(arg.json, "short") == 0)
                ctl->format = CTL_JSON_SHORT;
        else if (arg.json && strcmp(arg.json, "pretty") == 0)
                ctl->format = CTL_JSON_PRETTY;
        else if (arg.json && strcmp(arg.json, "off") != 0)
                return ctl_usage_error(error, "--json is short, pretty or off, not '%s'", arg.json);
        if (arg.timeout && !ctl_parse_timeout(arg.timeout, &ctl->timeout_msec, error))
                return false;
        ctl->legend = !arg.no_legend;
        ctl->ask_password = !arg.no_ask_password;
        ctl->quiet = arg.quiet;
        ctl->dry_run = arg.dry_run;
        return true;
}

/* ---- help ---------------------------------------------------------------------------------- */

static const CtlColumn help_columns[] = {
        {"", .cut = CTL_CUT_NEVER},
        {"", .cut = CTL_CUT_NEVER},
        {},
};

static void print_help_table(const char *title, const CtlTable *table)
{
        g_autofree char *text = ctl_table_format(table, 0, false);

        if (*text)
                printf("\n%s:\n%s", title, text);
}

static void print_options(const char *title, const GOptionEntry *options)
{
        g_autoptr(CtlTable) table = ctl_table_new(help_columns);

        for (; options->long_name; options++) {
                GString *name = g_string_new("  ");

                if (options->short_name)
                        g_string_append_printf(name, "-%c ", options->short_name);
                g_string_append_printf(name, "--%s", options->long_name);
                if (options->arg_description)
                        g_string_append_printf(name, "=%s", options->arg_description);
                ctl_table_take(table, g_string_free(name, false));
                ctl_table_add(table, options->description);
        }
        print_help_table(title, table);
}

static void print_help(void)
{
        g_autoptr(CtlTable) table = ctl_table_new(help_columns);

        for (unsigned g = 0; g < G_N_ELEMENTS(groups); g++)
                for (const CtlCommand *c = groups[g]; c->name; c++) {
                        if (c->hidden)
                                continue;
                        ctl_table_take(table, g_strdup_printf("  %s %s", c->name, c->arguments));
                        ctl_table_add(table, c->summary);
                }
        printf("directlunctl [OPTION…] COMMAND …\n\n"
               "Gives LUNs of iSCSI targets to virtual machines.\n");
        print_help_table("Commands", table);
        print_options("Options of all commands", common_options);
        printf("\n'directlunctl COMMAND --help' tells more of a command, directlunctl(1) all.\n");
}

static void print_command_help(const CtlCommand *command)
{
        printf("directlunctl %s [OPTION…] %s\n\n%s.\n", command->name, command->arguments,
               command->summary);
        print_options("Options", command->options);
        print_options("Options of all commands", common_options);
}

/* ---- running ------------------------------------------------------------------------------- */

/* Reads options from argv and takes them out; with strict only those before the first word. */
static bool parse_options(const GOptionEntry *options, bool strict, char ***argv, GError **error)
{
        g_autoptr(GOptionContext) context = g_option_context_new(NULL);
        g_autoptr(GError) failure = NULL;

        g_option_context_set_help_enabled(context, false);
        g_option_context_set_strict_posix(context, strict);
        g_option_context_add_main_entries(context, common_options, NULL);
        if (options)
                g_option_context_add_main_entries(context, options, NULL);
        if (g_option_context_parse_strv(context, argv, &failure))
                return true;
        return ctl_usage_error(error, "%s", failure->message);
}

static const CtlCommand *find_command(const char *name, GError **error)
{
        for (unsigned g = 0; g < G_N_ELEMENTS(groups); g++)
                for (const CtlCommand *c = groups[g]; c->name; c++)
                        if (strcmp(c->name, name) == 0)
                                return c;
        ctl_usage_error(error, "there is no command '%s': see 'directlunctl --help'", name);
        return NULL;
}

static bool check_arguments(const CtlCommand *command, char **args, GError **error)
{
        int n = (int)g_strv_length(args);

        for (char **a = args; *a; a++)
                if (!**a)
                        return ctl_usage_error(error, "an argument is empty");
        if (n >= command->min && (command->max < 0 || n <= command->max))
                return true;
        return ctl_usage_error(error, "usage: directlunctl %s [OPTION…] %s", command->name,
                               command->arguments);
}

static void drop_word(char **argv, unsigned n)
{
        g_free(argv[n]);
        for (; argv[n]; n++)
                argv[n] = argv[n + 1];
}

static bool run(Ctl *ctl, char ***argv, GError **error)
{
        const CtlCommand *command = NULL;

        if (!parse_options(NULL, true, argv, error))
                return false;
        if ((*argv)[1] && !arg.version) {
                command = find_command((*argv)[1], error);
                if (!command)
                        return false;
                drop_word(*argv, 1);
                if (!parse_options(command->options, false, argv, error))
                        return false;
                if ((*argv)[1] && strcmp((*argv)[1], "--") == 0)
                        drop_word(*argv, 1);
        }
        if (arg.version)
                printf("directlunctl " DL_VERSION "\n");
        else if (arg.help && command)
                print_command_help(command);
        else if (arg.help)
                print_help();
        else if (!command)
                return ctl_usage_error(error, "no command is given: see 'directlunctl --help'");
        else
                return read_common(ctl, error) && check_arguments(command, *argv + 1, error) &&
                       command->run(ctl, *argv + 1, error);
        return true;
}

int main(int argc, char *argv[])
{
        g_auto(GStrv) words = g_strdupv(argv);
        g_autoptr(GError) error = NULL;
        Ctl ctl = {};
        bool ok;

        setlocale(LC_ALL, "");
        ok = run(&ctl, &words, &error);
        ctl_agent_close(&ctl);
        if (ctl.bus)
                sd_bus_flush_close_unref(ctl.bus);
        sd_event_unref(ctl.event);
        if (fflush(stdout) == EOF && ok) {
                perror("directlunctl: stdout");
                return CTL_EXIT_FAILED;
        }
        if (!ok && ctl_exit_code(error) != CTL_EXIT_OK)
                ctl_print_error(error);
        return ok ? CTL_EXIT_OK : (int)ctl_exit_code(error);
}
