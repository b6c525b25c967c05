/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A reader over bytes that somebody else made: the only code of src/scsi that touches raw bytes.
 * All numbers are big-endian, as everything in SCSI is. Reading past the end yields zeros and marks
 * the cursor as failed for good, so that a parser reads all its fields and asks dl_cursor_ok()
 * once.
 *
 * A cursor borrows its bytes and is a plain value: copy it, drop it. Pure, any thread.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct DlCursor {
        const uint8_t *data;
        size_t size;
        size_t pos; /* never beyond size */
        bool failed;
} DlCursor;

/* data may be NULL: that is no bytes, whatever the size says. */
static inline DlCursor dl_cursor(const uint8_t *data, size_t size)
{
        static const uint8_t nothing;

        return (DlCursor){.data = data ? data : &nothing, .size = data ? size : 0};
}

static inline size_t dl_cursor_left(const DlCursor *c)
{
        return c->size - c->pos;
}

/* Whether everything that was read was there. */
static inline bool dl_cursor_ok(const DlCursor *c)
{
        return !c->failed;
}

/* The next n bytes, which stay where they are; NULL (and the cursor failed) if there are fewer. */
static inline const uint8_t *dl_cursor_bytes(DlCursor *c, size_t n)
{
        if (c->failed || n > dl_cursor_left(c)) {
                c->failed = true;
                return NULL;
        }
        const uint8_t *p = c->data + c->pos;
        c->pos += n;
        return p;
}

static inline void dl_cursor_skip(DlCursor *c, size_t n)
{
        (void)dl_cursor_bytes(c, n);
}

/* Copies the next n bytes to dest, which is zeroed if they are not all there. */
static inline void dl_cursor_copy(DlCursor *c, void *dest, size_t n)
{
        const uint8_t *p = dl_cursor_bytes(c, n);

        if (p)
                memcpy(dest, p, n);
        else
                memset(dest, 0, n);
}

/* A cursor over the next n bytes alone; one that has failed already if they are not all there. */
static inline DlCursor dl_cursor_sub(DlCursor *c, size_t n)
{
        const uint8_t *p = dl_cursor_bytes(c, n);

        return (DlCursor){.data = p, .size = p ? n : 0, .failed = !p};
}

/* A big-endian number of n (at most 8) bytes; 0 if they are not there. */
static inline uint64_t dl_cursor_uint(DlCursor *c, size_t n)
{
        const uint8_t *p = dl_cursor_bytes(c, n);
        uint64_t value = 0;

        for (size_t i = 0; p && i < n; i++)
                value = value << 8 | p[i];
        return value;
}

static inline uint8_t dl_cursor_u8(DlCursor *c)
{
        return (uint8_t)dl_cursor_uint(c, 1);
}

static inline uint16_t dl_cursor_u16(DlCursor *c)
{
        return (uint16_t)dl_cursor_uint(c, 2);
}

static inline uint32_t dl_cursor_u32(DlCursor *c)
{
        return (uint32_t)dl_cursor_uint(c, 4);
}

static inline uint64_t dl_cursor_u64(DlCursor *c)
{
        return dl_cursor_uint(c, 8);
}
