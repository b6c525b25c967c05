/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The domains of the tests' libvirt: strings. It owns them; one thread: the test's. */

#include "fake-domains.h"

#include "virt/domain-xml.h"

#include <string.h>

#define DEFAULT_BYTES (UINT64_C(1024) * 1024 * 1024)

enum {
        LIVE,
        CONFIG,
};

typedef struct Disk {
        char *alias, *xml;
        uint64_t bytes; /* that the guest sees */
} Disk;

struct FakeDomain {
        char *uuid, *name;
        DlVirtState state;
        bool persistent;
        char *metadata[2];
        GPtrArray *disks[2]; /* Disk */
        GString *devices;
};

static GHashTable *domains; /* UUID → FakeDomain */
static GHashTable *images;  /* files that there are */
static DlVirtBlockJob block_job;
static char *committing; /* the file that is */
static FakeGuest guest;
static uint64_t size_of_luns = DEFAULT_BYTES;
static char *answered; /* alias of the disk that the guest has an answer for */

/* ---- what the test says -------------------------------------------------------------------- */

static void disk_free(gpointer p)
{
        Disk *disk = p;

        g_free(disk->alias);
        g_free(disk->xml);
        g_free(disk);
}

static void domain_free(gpointer p)
{
        FakeDomain *domain = p;

        for (int i = 0; i < 2; i++) {
                g_free(domain->metadata[i]);
                g_ptr_array_unref(domain->disks[i]);
        }
        g_string_free(domain->devices, TRUE);
        g_free(domain->uuid);
        g_free(domain->name);
        g_free(domain);
}

FakeDomain *fake_domain_of(const char *uuid)
{
        return domains ? g_hash_table_lookup(domains, uuid) : NULL;
}

const char *fake_domain_name(const FakeDomain *domain)
{
        return domain->name;
}

void fake_domain_add(const char *uuid, const char *name, DlVirtState state, bool persistent)
{
        FakeDomain *domain = g_new0(FakeDomain, 1);

        *domain = (FakeDomain){
                .uuid = g_strdup(uuid),
                .name = g_strdup(name),
                .state = state,
                .persistent = persistent,
                .disks = {g_ptr_array_new_with_free_func(disk_free),
                          g_ptr_array_new_with_free_func(disk_free)},
                .devices = g_string_new("<controller type='scsi' index='0' model='virtio-scsi'/>"),
        };
        if (!domains)
                domains = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, domain_free);
        g_hash_table_replace(domains, domain->uuid, domain);
}

void fake_domain_remove(const char *uuid)
{
        g_hash_table_remove(domains, uuid);
}

void fake_domain_set_state(const char *uuid, DlVirtState state)
{
        fake_domain_of(uuid)->state = state;
}

static void set_metadata(FakeDomain *domain, int where, const char *xml)
{
        g_free(domain->metadata[where]);
        domain->metadata[where] = g_strdup(xml);
}

void fake_domain_run(FakeDomain *domain, bool running)
{
        domain->state = running ? DL_VIRT_RUNNING : DL_VIRT_SHUTOFF;
        g_ptr_array_set_size(domain->disks[LIVE], 0);
        set_metadata(domain, LIVE, running ? domain->metadata[CONFIG] : NULL);
        for (unsigned i = 0; running && i < domain->disks[CONFIG]->len; i++) {
                const Disk *from = domain->disks[CONFIG]->pdata[i];
                Disk *disk = g_new0(Disk, 1);

                disk->alias = g_strdup(from->alias);
                disk->xml = g_strdup(from->xml);
                disk->bytes = size_of_luns;
                g_ptr_array_add(domain->disks[LIVE], disk);
        }
}

void fake_domain_start_or_stop(const char *uuid)
{
        fake_domain_run(fake_domain_of(uuid),
                        !dl_virt_state_is_active(fake_domain_of(uuid)->state));
}

void fake_domain_add_device(const char *uuid, const char *xml)
{
        g_string_append(fake_domain_of(uuid)->devices, xml);
}

const char *fake_domain_metadata(const char *uuid)
{
        return fake_domain_of(uuid)->metadata[fake_domain_of(uuid)->persistent ? CONFIG : LIVE];
}

void fake_domain_set_metadata(const char *uuid, const char *xml)
{
        set_metadata(fake_domain_of(uuid), LIVE, xml);
        set_metadata(fake_domain_of(uuid), CONFIG, xml);
}

static Disk *find_disk(const FakeDomain *domain, int where, const char *alias)
{
        for (unsigned i = 0; i < domain->disks[where]->len; i++) {
                Disk *disk = domain->disks[where]->pdata[i];

                if (strcmp(disk->alias, alias) == 0)
                        return disk;
        }
        return NULL;
}

const char *fake_domain_disk(const char *uuid, DlVirtAffect where, const char *alias)
{
        Disk *disk = find_disk(fake_domain_of(uuid), where == DL_VIRT_LIVE ? LIVE : CONFIG, alias);

        return disk ? disk->xml : NULL;
}

void fake_domain_drop_disk(const char *uuid, DlVirtAffect where, const char *alias)
{
        FakeDomain *domain = fake_domain_of(uuid);
        int i = where == DL_VIRT_LIVE ? LIVE : CONFIG;
        Disk *disk = find_disk(domain, i, alias);

        if (disk)
                g_ptr_array_remove(domain->disks[i], disk);
}

void fake_guest_sees(uint64_t bytes)
{
        size_of_luns = bytes;
}

void fake_guest_does(FakeGuest does)
{
        guest = does;
}

FakeGuest fake_guest(void)
{
        return guest;
}

GHashTable *fake_images(void)
{
        if (!images)
                images = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
        return images;
}

void fake_domains_forget(void)
{
        g_clear_pointer(&domains, g_hash_table_unref);
        g_clear_pointer(&images, g_hash_table_unref);
        g_clear_pointer(&committing, g_free);
        block_job = (DlVirtBlockJob){};
        guest = FAKE_GUEST_RELEASES;
        size_of_luns = DEFAULT_BYTES;
}

/* ---- what libvirt sees --------------------------------------------------------------------- */

static char *domain_xml(const FakeDomain *domain, int where)
{
        GString *xml = g_string_new("<domain type='kvm'>");

        g_string_append_printf(xml, "<name>%s</name><uuid>%s</uuid>", domain->name, domain->uuid);
        if (domain->metadata[where])
                g_string_append_printf(xml, "<metadata>%s</metadata>", domain->metadata[where]);
        g_string_append_printf(xml, "<devices>%s", domain->devices->str);
        for (unsigned i = 0; i < domain->disks[where]->len; i++)
                g_string_append(xml, ((Disk *)domain->disks[where]->pdata[i])->xml);
        g_string_append(xml, "</devices></domain>");
        return g_string_free(xml, FALSE);
}

DlVirtDomain *fake_domain_look(const FakeDomain *domain)
{
        DlVirtDomain *d = g_new0(DlVirtDomain, 1);

        *d = (DlVirtDomain){
                .uuid = g_strdup(domain->uuid),
                .name = g_strdup(domain->name),
                .state = domain->state,
                .persistent = domain->persistent,
                .live_xml = dl_virt_state_is_active(domain->state) ? domain_xml(domain, LIVE)
                                                                   : NULL,
                .inactive_xml = domain->persistent ? domain_xml(domain, CONFIG) : NULL,
        };
        return d;
}

void fake_look_free(gpointer p)
{
        DlVirtDomain *d = p;

        g_free(d->uuid);
        g_free(d->name);
        g_free(d->live_xml);
        g_free(d->inactive_xml);
        g_free(d);
}

GPtrArray *fake_domains_look(void)
{
        GPtrArray *list = g_ptr_array_new_with_free_func(fake_look_free);
        GHashTableIter iter;
        gpointer domain;

        if (domains) {
                g_hash_table_iter_init(&iter, domains);
                while (g_hash_table_iter_next(&iter, NULL, &domain))
                        g_ptr_array_add(list, fake_domain_look(domain));
        }
        return list;
}

GPtrArray *fake_domain_sizes(const FakeDomain *domain)
{
        GPtrArray *sizes = g_ptr_array_new_with_free_func(g_free);

        for (unsigned i = 0; i < domain->disks[LIVE]->len; i++) {
                const Disk *disk = domain->disks[LIVE]->pdata[i];
                DlVirtDiskSize *size = g_new(DlVirtDiskSize, 1);

                *size = (DlVirtDiskSize){disk->alias, disk->bytes};
                g_ptr_array_add(sizes, size);
        }
        return sizes;
}

/* ---- what its calls do --------------------------------------------------------------------- */

void fake_domain_run_without(FakeDomain *domain, const char *joined)
{
        g_auto(GStrv) aliases = g_strsplit(joined, "\n", 0);
        g_autoptr(GString) metadata = g_string_new(domain->metadata[CONFIG]);

        fake_domain_run(domain, true);
        for (unsigned i = 0; aliases[i]; i++) {
                const char *vdisk = aliases[i] + strlen("ua-directlun-");
                g_autofree char *from = g_strdup_printf(" vdisk='%s'", vdisk);
                g_autofree char *to = g_strdup_printf(" left-out='yes' vdisk='%s'", vdisk);

                fake_domain_drop_disk(domain->uuid, DL_VIRT_LIVE, aliases[i]);
                g_string_replace(metadata, from, to, 1);
        }
        set_metadata(domain, LIVE, metadata->str);
}

void fake_domain_write_metadata(FakeDomain *domain, DlVirtAffect affect, const char *xml)
{
        if (affect & DL_VIRT_LIVE)
                set_metadata(domain, LIVE, xml);
        if (affect & DL_VIRT_CONFIG)
                set_metadata(domain, CONFIG, xml);
}

static Disk *parse_disk(const FakeDomain *domain, const char *xml)
{
        g_autofree char *whole = g_strdup_printf("<domain><name>x</name><uuid>%s</uuid><devices>%s"
                                                 "</devices></domain>",
                                                 domain->uuid, xml);
        g_autoptr(GError) error = NULL;
        g_autoptr(DlDomain) parsed = dl_domain_parse(whole, &error);
        Disk *disk = g_new0(Disk, 1);

        g_assert_no_error(error);
        g_assert_cmpuint(parsed->disks->len, ==, 1);
        disk->alias = g_strdup(((DlDomainDisk *)parsed->disks->pdata[0])->alias);
        disk->xml = g_strdup(xml);
        return disk;
}

static void attach_to(FakeDomain *domain, int where, const char *xml)
{
        Disk *disk = parse_disk(domain, xml);

        g_assert_null(find_disk(domain, where, disk->alias));
        disk->bytes = size_of_luns;
        g_ptr_array_add(domain->disks[where], disk);
}

void fake_domain_attach(FakeDomain *domain, DlVirtAffect affect, const char *xml)
{
        if (affect & DL_VIRT_LIVE)
                attach_to(domain, LIVE, xml);
        if (affect & DL_VIRT_CONFIG)
                attach_to(domain, CONFIG, xml);
}

void fake_domain_update(FakeDomain *domain, const char *xml)
{
        Disk *disk = parse_disk(domain, xml);

        g_assert_nonnull(find_disk(domain, CONFIG, disk->alias));
        fake_domain_drop_disk(domain->uuid, DL_VIRT_CONFIG, disk->alias);
        g_ptr_array_add(domain->disks[CONFIG], disk);
}

void fake_domain_resize(FakeDomain *domain, const char *alias, uint64_t bytes)
{
        find_disk(domain, LIVE, alias)->bytes = bytes;
}

void fake_domain_unplug(FakeDomain *domain, const char *alias)
{
        switch (guest) {
        case FAKE_GUEST_RELEASES:
                fake_domain_drop_disk(domain->uuid, DL_VIRT_LIVE, alias);
                answered = g_strdup(alias);
                break;
        case FAKE_GUEST_REFUSES:
                answered = g_strdup(alias);
                break;
        case FAKE_GUEST_IS_SILENT:
                break;
        }
}

char *fake_guest_take_answer(void)
{
        return g_steal_pointer(&answered);
}

/* ---- images -------------------------------------------------------------------------------- */

/* The files over the disk, the uppermost first. */
static GPtrArray *images_of(const char *domain_xml, const char *alias)
{
        g_autoptr(DlDomain) domain = dl_domain_parse(domain_xml, NULL);
        GPtrArray *files = g_ptr_array_new_with_free_func(g_free);

        for (unsigned i = 0; i < domain->disks->len; i++) {
                const DlDomainDisk *disk = domain->disks->pdata[i];

                for (unsigned k = 0; g_strcmp0(disk->alias, alias) == 0 && k < disk->images->len;
                     k++)
                        g_ptr_array_add(files,
                                        g_strdup(((DlDomainImage *)disk->images->pdata[k])->file));
        }
        return files;
}

static void set_images_of(FakeDomain *domain, int where, const char *alias,
                          const char *const *files)
{
        DlVirtDomain *seen = fake_domain_look(domain);
        g_autofree char *xml = dl_disk_with_images(
                where == LIVE ? seen->live_xml : seen->inactive_xml, alias, files, NULL);

        g_assert_nonnull(xml);
        fake_domain_drop_disk(domain->uuid, where == LIVE ? DL_VIRT_LIVE : DL_VIRT_CONFIG, alias);
        attach_to(domain, where, xml);
        fake_look_free(seen);
}

void fake_domain_set_images(FakeDomain *domain, const char *alias, const char *const *files)
{
        set_images_of(domain, CONFIG, alias, files);
}

void fake_domain_snapshot(FakeDomain *domain, const char *alias, const char *file)
{
        DlVirtDomain *seen = fake_domain_look(domain);
        g_autoptr(GPtrArray) files = images_of(seen->live_xml, alias);

        g_assert_true(g_hash_table_contains(fake_images(), file));
        g_ptr_array_insert(files, 0, g_strdup(file));
        g_ptr_array_add(files, NULL);
        set_images_of(domain, LIVE, alias, (const char *const *)files->pdata);
        fake_look_free(seen);
}

void fake_domain_commit(const char *file)
{
        g_free(committing);
        committing = g_strdup(file);
        block_job = (DlVirtBlockJob){.running = true, .ready = true, .done = 1, .total = 1};
}

void fake_domain_end_block_job(void)
{
        block_job = (DlVirtBlockJob){};
}

void fake_domain_pivot(FakeDomain *domain, const char *alias)
{
        DlVirtDomain *seen = fake_domain_look(domain);
        g_autoptr(GPtrArray) files = images_of(seen->live_xml, alias);

        g_assert_true(block_job.ready);
        g_assert_cmpstr(files->pdata[0], ==, committing);
        g_ptr_array_remove_index(files, 0);
        g_ptr_array_add(files, NULL);
        set_images_of(domain, LIVE, alias, (const char *const *)files->pdata);
        fake_domain_end_block_job();
        fake_look_free(seen);
}

const DlVirtBlockJob *fake_domain_block_job(void)
{
        return &block_job;
}
