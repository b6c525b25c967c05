/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The domains of the tests' libvirt (what a test says of them and of their guests is in fakes.h):
 * what libvirt sees of them, and what its calls do to them. Only fake-virt.c needs it. They are
 * global; one thread: the test's.
 */

#include "fakes.h"

typedef struct FakeDomain FakeDomain;

FakeDomain *fake_domain_of(const char *uuid); /* NULL if there is none */
const char *fake_domain_name(const FakeDomain *domain);
void fake_domains_forget(void); /* and the guests, the images and the block job */

/* What is seen of it, newly allocated. */
DlVirtDomain *fake_domain_look(const FakeDomain *domain);
void fake_look_free(gpointer look);
GPtrArray *fake_domains_look(void);                     /* DlVirtDomain: all of them */
GPtrArray *fake_domain_sizes(const FakeDomain *domain); /* DlVirtDiskSize; its text is borrowed */

/* What it starts with is what is defined; what it had live is gone when it stops. */
void fake_domain_run(FakeDomain *domain, bool running);
/* aliases: joined by newlines. */
void fake_domain_run_without(FakeDomain *domain, const char *aliases);

void fake_domain_write_metadata(FakeDomain *domain, DlVirtAffect affect, const char *xml);
void fake_domain_attach(FakeDomain *domain, DlVirtAffect affect, const char *xml);
void fake_domain_update(FakeDomain *domain, const char *xml); /* as it is defined */
void fake_domain_resize(FakeDomain *domain, const char *alias, uint64_t bytes);

/* The guest is asked, and does what the test has said; what it has answered, once (NULL: nothing).
 */
void fake_domain_unplug(FakeDomain *domain, const char *alias);
char *fake_guest_take_answer(void);
FakeGuest fake_guest(void);

/* The images over a disk. */
void fake_domain_snapshot(FakeDomain *domain, const char *alias, const char *file);
void fake_domain_set_images(FakeDomain *domain, const char *alias, const char *const *files);
void fake_domain_commit(const char *file); /* begins a block job */
void fake_domain_pivot(FakeDomain *domain, const char *alias);
void fake_domain_end_block_job(void);
const DlVirtBlockJob *fake_domain_block_job(void);
