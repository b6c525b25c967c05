/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A kernel's initiator in a sysfs of plain files, and a helper on a socket that makes sessions and
 * disks in it: what a test needs of both. Global, and the test's; its end
 * stops the core, and comes before the fixture is closed. The test's thread only.
 */

#include "core-fixture.h"
#include "host/helper-protocol.h"

#define FAKE_KERNEL_GUID "36001405000000010000000000000000a"

typedef enum FakeAnswer {
        FAKE_ANSWER_DOES, /* what it was asked for */
        FAKE_ANSWER_FAILS,
        FAKE_ANSWER_IS_SILENT,
        FAKE_ANSWER_DIES, /* closes the connection */
        FAKE_ANSWER_IS_GARBAGE,
        FAKE_ANSWER_IS_LONG,
} FakeAnswer;

/* open-iscsi's daemon, and multipath's; they are there from the start. */
void fake_host_has(bool iscsid, bool multipathd);

/* Sets the paths of the fixture's core, which has started, and of its settings; a socket first. */
void fake_kernel_prepare(CoreFixture *f); /* before the core starts: where the socket is */
void fake_kernel_start(CoreFixture *f);   /* after: where sysfs is */
void fake_kernel_end(void);

/* Asked for this verb, from now on. code: of what fails. */
void fake_helper_does(DlHelperVerb verb, FakeAnswer answer, int code);
void fake_helper_fails_once(DlHelperVerb verb, int code); /* the next time only */
unsigned fake_helper_n_asked(DlHelperVerb verb);
/* The interface of the last login. */
const char *fake_helper_iface(void);

/* LUN 1 of each session is FAKE_KERNEL_GUID; a disk comes when it is scanned for. */
unsigned fake_kernel_n_sessions(void);
unsigned fake_kernel_n_disks(void);
bool fake_kernel_has_map(void);
/* A session that nobody has just asked the helper for. */
void fake_kernel_add_session(const char *iface, const char *iqn, const char *address);
/* Somebody else ends all of them. */
void fake_kernel_drop_sessions(void);
/* The next disk that comes is of another LUN, or of another size (512-byte blocks; 8 is the usual).
 */
void fake_kernel_next_disk(bool is_other, unsigned n_blocks);
/* multipath puts its map over all disks that are there. */
void fake_kernel_map(void);
/* What udev calls the device lastingly: it has made that name for the device with this kernel name,
 * and for no other; NULL: for none. */
#define FAKE_KERNEL_NODE "/dev/disk/by-id/lasting-" FAKE_KERNEL_GUID
void fake_kernel_name(const char *name);
