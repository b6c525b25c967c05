/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What the tests of domain XML share. The files in golden/ say what is written (DL_TEST_UPDATE=1
 * writes them anew). What is returned is the caller's; one thread.
 */

#include "virt/domain-xml.h"

#define UUID  "11111111-2222-4333-8444-555555555555"
#define VDISK "22222222-2222-4333-8444-555555555555"

char *read_golden(const char *name);
/* xml is what the file says. */
void check_golden(const char *name, const char *xml);
/* A domain with these elements inside its devices and its metadata. */
char *domain_with(const char *devices, const char *metadata);
/* It can be read. */
DlDomain *parse(const char *xml);
/* Of keys and values, NULL at the end. */
DlAddress *address_of(const char *first, ...) G_GNUC_NULL_TERMINATED;
