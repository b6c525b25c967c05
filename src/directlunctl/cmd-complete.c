/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * __complete: words for the shells' completion, one a line; nothing at all if there is no service.
 * For the scripts in data/completions alone. One thread.
 */

#include "directlunctl/command.h"
#include "directlunctl/objects.h"

#include <stdio.h>
#include <string.h>

#define PATIENCE_MSEC 2000 /* of somebody who has pressed the tab key */

/* What a list of words is made of: the kind's property, "id" for the id itself. */
typedef struct Words {
        const char *list, *kind, *property;
} Words;

static const Words words[] = {
        {"targets", "target", "Iqn"},  {"luns", "lun", "Guid"},    {"disks", "lun", "Guid"},
        {"disks", "vdisk", "Alias"},   {"vms", "vm", "Name"},      {"hosts", "host", "Name"},
        {"vdisks", "vdisk", "Alias"},  {"vdisks", "vdisk", "Id"},  {"jobs", "job", "id"},
        {"objects", "target", "Iqn"},  {"objects", "lun", "Guid"}, {"objects", "vdisk", "Id"},
        {"objects", "vdisk", "Alias"}, {"objects", "vm", "Name"},  {"objects", "attachment", "id"},
        {"objects", "host", "Name"},   {"objects", "job", "id"},
};

/* No word may break the list; one with a blank cannot be completed by a shell's word list. */
static void print_word(GHashTable *seen, const char *word)
{
        if (*word && !strpbrk(word, " \t\n\r'\"\\$`") && g_hash_table_add(seen, (char *)word))
                puts(word);
}

/* The disks of one VM, for plug, unplug and detach. */
static void print_disks_of(const CtlObjects *objects, const char *vm, GHashTable *seen)
{
        JsonObject *found = ctl_objects_find(objects, "vm", vm, NULL);
        g_autoptr(GPtrArray) list = NULL;

        list = ctl_objects_listed(objects, found ? ctl_json_array(found, "Attachments") : NULL);
        for (unsigned i = 0; i < list->len; i++) {
                JsonObject *vdisk = ctl_objects_get(objects,
                                                    ctl_json_string(list->pdata[i], "VDisk"));

                print_word(seen, ctl_json_string(list->pdata[i], "Guid"));
                if (vdisk)
                        print_word(seen, ctl_json_string(vdisk, "Alias"));
        }
}

/* The images of one vDisk, for merge and revert. */
static void print_images_of(const CtlObjects *objects, const char *vdisk, GHashTable *seen)
{
        JsonObject *found = ctl_objects_find(objects, "vdisk", vdisk, NULL);
        JsonArray *images = found ? ctl_json_array(found, "Images") : NULL;

        for (unsigned i = 0; images && i < json_array_get_length(images); i++) {
                JsonNode *node = json_array_get_element(images, i);

                if (JSON_NODE_HOLDS_ARRAY(node))
                        print_word(seen, ctl_json_element(json_node_get_array(node), 1));
        }
}

static bool run_complete(Ctl *ctl, char **args, GError **error)
{
        g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);
        g_autoptr(CtlObjects) objects = NULL;

        ctl->timeout_msec = PATIENCE_MSEC;
        objects = ctl_objects_load(ctl, NULL);
        if (!objects)
                return true;
        if (strcmp(args[0], "disks-of") == 0 && args[1])
                print_disks_of(objects, args[1], seen);
        if (strcmp(args[0], "images-of") == 0 && args[1])
                print_images_of(objects, args[1], seen);
        for (unsigned w = 0; w < G_N_ELEMENTS(words); w++) {
                g_autoptr(GPtrArray) list = NULL;

                if (strcmp(words[w].list, args[0]) != 0)
                        continue;
                list = ctl_objects_of_kind(objects, words[w].kind);
                for (unsigned i = 0; i < list->len; i++)
                        print_word(seen, ctl_json_string(list->pdata[i], words[w].property));
        }
        return true;
}

static const GOptionEntry no_options[] = {{}};

const CtlCommand ctl_complete_commands[] = {
        {"__complete", "LIST [VM|VDISK]", "Words for completion", 1, 2, no_options, run_complete,
         .hidden = true},
        {},
};
