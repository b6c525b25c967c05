/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Writes what src/content/lvm.c reads, after the same description. Any thread. */

#include "lvm-image.h"

#include <stdbool.h>
#include <string.h>

enum {
        SECTOR = 512,
        LABEL = SECTOR, /* in the second sector, as pvcreate does */
        AREA = 4096,
};

static void put(uint8_t *at, unsigned n, uint64_t value)
{
        for (unsigned i = 0; i < n; i++)
                at[i] = (uint8_t)(value >> 8 * i);
}

static uint32_t checksum(const uint8_t *data, size_t size)
{
        static const uint32_t nibbles[] = {
                0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4,
                0x4db26158, 0x5005713c, 0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
                0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
        };
        uint32_t crc = 0xf597a6cf;

        for (size_t i = 0; i < size; i++) {
                crc ^= data[i];
                crc = crc >> 4 ^ nibbles[crc & 0xf];
                crc = crc >> 4 ^ nibbles[crc & 0xf];
        }
        return crc;
}

static void put_text(uint8_t *area, const char *text, size_t at, size_t area_size)
{
        size_t size = strlen(text) + 1;

        for (size_t i = 0; i < size; i++) {
                size_t where = at + i;

                if (where >= area_size)
                        where = where - area_size + SECTOR;
                area[where] = (uint8_t)text[i];
        }
}

static void put_area(uint8_t *area, const LvmImage *image, size_t area_size)
{
        size_t at = image->text_at ? image->text_at : SECTOR;

        put_text(area, image->text, at, area_size);
        memcpy(area + 4, " LVM2 x[5A%r0N*>", 16);
        put(area + 20, 4, 1);
        put(area + 24, 8, AREA);
        put(area + 32, 8, area_size);
        put(area + 40, 8, at);
        put(area + 48, 8, strlen(image->text) + 1);
        put(area + 60, 4, image->ignored);
        put(area, 4, checksum(area + 4, SECTOR - 4));
}

uint8_t *lvm_image_new(const LvmImage *image)
{
        uint8_t *data = g_malloc0(LVM_IMAGE_SIZE), *label = data + LABEL, *at = label + 32;
        size_t area_size = image->area_size ? image->area_size : LVM_IMAGE_SIZE - AREA;

        memcpy(label, "LABELONE", 8);
        put(label + 8, 8, 1);
        put(label + 20, 4, 32);
        memcpy(label + 24, "LVM2 001", 8);
        for (const char *c = image->pv ? image->pv : LVM_IMAGE_PV; *c; c++)
                if (*c != '-')
                        *at++ = (uint8_t)*c;
        put(at, 8, image->device_size);
        put(at + 8, 8, 1024 * 1024); /* the data area, to the end; then the list's end */
        if (image->text) {
                put(at + 40, 8, AREA);
                put(at + 48, 8, area_size);
                put_area(data + AREA, image, area_size);
        }
        put(label + 16, 4, checksum(label + 20, SECTOR - 20));
        return data;
}

static char *text_of(const char *vg, const char *tags, const char *more_pvs)
{
        return g_strdup_printf("%s {\n"
                               "id = \"" LVM_IMAGE_VG "\"\n"
                               "seqno = 3\n"
                               "format = \"lvm2\" # informational\n"
                               "status = [\"RESIZEABLE\", \"READ\", \"WRITE\"]\n"
                               "flags = []\n"
                               "tags = [%s]\n"
                               "extent_size = 8192\n"
                               "max_lv = 0\n\n"
                               "physical_volumes {\n\npv0 {\nid = \"" LVM_IMAGE_PV "\"\n"
                               "tags = [\"MDT_SDUUID=of-a-pv\"]\n}\n%s}\n}\n",
                               vg, tags, more_pvs);
}

char *lvm_image_text(const char *vg, const char *tags)
{
        return text_of(vg, tags, "");
}

char *lvm_image_text_of_two(const char *vg, const char *tags)
{
        return text_of(vg, tags,
                       "\npv1 {\ndevice = \"/dev/sdb\" # hint\nid = \"" LVM_IMAGE_OTHER_PV
                       "\"\ndev_size = 4096\nflags = []\n}\n");
}
