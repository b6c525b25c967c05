/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A kernel's initiator, and the helper that drives it, of plain files. One thread. */

#include "fake-kernel.h"

#include <glib/gstdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

typedef struct Silent {
        int fd;
        sd_event_source *source;
} Silent;

static struct {
        char *path, *sysfs, *udev, *socket, *sockets, *multipathd;
        int fd;
        CoreFixture *fixture;
        sd_event *event;
        sd_event_source *source;
        GArray *connections; /* Silent */
        struct {
                FakeAnswer answer;
                int code;
                bool once;
                unsigned n_asked;
        } verbs[_DL_HELPER_VERB_MAX];
        char *iface;
        unsigned last_session, last_disk;
        bool next_is_other;
        unsigned next_n_blocks;
        unsigned sessions['z' - 'a' + 1]; /* of each disk */
} fake;

/* ---- files --------------------------------------------------------------------------------- */

static void put(const void *data, gssize size, const char *format, ...) G_GNUC_PRINTF(3, 4);

static void put(const void *data, gssize size, const char *format, ...)
{
        va_list arguments;
        g_autofree char *file = NULL, *path = NULL, *directory = NULL;

        va_start(arguments, format);
        file = g_strdup_vprintf(format, arguments);
        va_end(arguments);
        path = g_build_filename(fake.path, file, NULL);
        directory = g_path_get_dirname(path);
        g_assert_cmpint(g_mkdir_with_parents(directory, 0700), ==, 0);
        g_assert_true(g_file_set_contents(path, data, size, NULL));
}

static void remove_all(const char *path)
{
        const char *argv[] = {"rm", "-rf", path, NULL};

        g_assert_true(g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL,
                                   NULL, NULL, NULL));
}

static unsigned count(const char *directory, const char *prefix)
{
        g_autofree char *path = g_build_filename(fake.sysfs, directory, NULL);
        g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
        const char *name;
        unsigned n = 0;

        while (dir && (name = g_dir_read_name(dir)))
                n += g_str_has_prefix(name, prefix);
        return n;
}

/* ---- the kernel ---------------------------------------------------------------------------- */

static unsigned add_session_of(const char *iface, const char *iqn, const char *address,
                               unsigned number)
{
        unsigned sid = ++fake.last_session;
        g_autofree char *port = g_strdup_printf("%u\n", number);
        g_autofree char *device = g_strdup_printf("%s/devices/host%u/session%u", fake.sysfs, sid,
                                                  sid);
        g_autofree char *link = g_strdup_printf("%s/class/iscsi_session/session%u/device",
                                                fake.sysfs, sid);

        put(port, -1, "sys/class/iscsi_connection/connection%u:0/persistent_port", sid);
        put(address, -1, "sys/class/iscsi_connection/connection%u:0/persistent_address", sid);
        put(iqn, -1, "sys/class/iscsi_session/session%u/targetname", sid);
        put(iface, -1, "sys/class/iscsi_session/session%u/ifacename", sid);
        put("LOGGED_IN\n", -1, "sys/class/iscsi_session/session%u/state", sid);
        g_assert_cmpint(g_mkdir_with_parents(device, 0700), ==, 0);
        g_assert_cmpint(symlink(device, link), ==, 0);
        return sid;
}

static unsigned add_session(const DlHelperRequest *r)
{
        g_autofree char *iface = g_strconcat("directlun", *r->iface ? "-" : "", r->iface, NULL);

        return add_session_of(iface, r->iqn, r->address, r->port);
}

void fake_kernel_add_session(const char *iface, const char *iqn, const char *address)
{
        (void)add_session_of(iface, iqn, address, 3260);
}

static void remove_disk(unsigned number)
{
        g_autofree char *disk = g_strdup_printf("%s/class/block/sd%c", fake.sysfs,
                                                'a' + (char)number);

        remove_all(disk);
}

static void remove_session(unsigned sid)
{
        g_autofree char *session = g_strdup_printf("%s/class/iscsi_session/session%u", fake.sysfs,
                                                   sid);

        remove_all(session);
        for (unsigned i = 0; i < fake.last_disk; i++)
                if (fake.sessions[i] == sid)
                        remove_disk(i);
}

static void add_disk(unsigned sid)
{
        static const uint8_t inquiry[96] = {0, 0, 6, 2, 91};
        const uint8_t page83[] = {
                0, 0x83, 0, 20,   1, 3, 0, 16, 0x60, 0x01, 0x40, 0x50,
                0, 0,    0, 0x10, 0, 0, 0, 0,  0,    0,    0,    fake.next_is_other ? 0x0b : 0x0a};
        g_autofree char *size = g_strdup_printf("%u\n",
                                                fake.next_n_blocks ? fake.next_n_blocks : 8);
        unsigned number = fake.last_disk++;
        g_autofree char *name = g_strdup_printf("sd%c", 'a' + (char)number);
        g_autofree char *dev = g_strdup_printf("8:%u\n", number);

        g_assert_cmpuint(number, <, G_N_ELEMENTS(fake.sessions));
        fake.sessions[number] = sid;
        put(dev, -1, "sys/devices/host%u/session%u/target%u:0:0/%u:0:0:1/block/%s/dev", sid, sid,
            sid, sid, name);
        put(inquiry, sizeof inquiry, "sys/class/block/%s/device/inquiry", name);
        put(page83, sizeof page83, "sys/class/block/%s/device/vpd_pg83", name);
        put(size, -1, "sys/class/block/%s/size", name);
        put(dev, -1, "sys/class/block/%s/dev", name);
        put("I:1\n", -1, "udev/data/b8:%u", number);
        fake_kernel_next_disk(false, 0);
}

void fake_kernel_next_disk(bool is_other, unsigned n_blocks)
{
        fake.next_is_other = is_other;
        fake.next_n_blocks = n_blocks;
}

void fake_kernel_map(void)
{
        put("mpath-" FAKE_KERNEL_GUID "\n", -1, "sys/class/block/dm-0/dm/uuid");
        put("8\n", -1, "sys/class/block/dm-0/size");
        put("254:0\n", -1, "sys/class/block/dm-0/dev");
        put("I:1\n", -1, "udev/data/b254:0");
        for (unsigned i = 0; i < fake.last_disk; i++) {
                put("", 0, "sys/class/block/sd%c/holders/dm-0", 'a' + (char)i);
                put("", 0, "sys/class/block/dm-0/slaves/sd%c", 'a' + (char)i);
        }
}

bool fake_kernel_has_map(void)
{
        return count("class/block", "dm-") > 0;
}

static void remove_map(void)
{
        g_autofree char *map = g_build_filename(fake.sysfs, "class/block/dm-0", NULL);

        remove_all(map);
        for (unsigned i = 0; i < fake.last_disk; i++) {
                g_autofree char *holder = g_strdup_printf("%s/class/block/sd%c/holders/dm-0",
                                                          fake.sysfs, 'a' + (char)i);

                (void)unlink(holder);
        }
}

void fake_kernel_name(const char *name)
{
        static const char named[] = "S:disk/by-id/lasting-" FAKE_KERNEL_GUID "\nI:1\n";

        put(g_strcmp0(name, "dm-0") == 0 ? named : "I:1\n", -1, "udev/data/b254:0");
        for (unsigned i = 0; i < fake.last_disk; i++) {
                const char disk[] = {'s', 'd', (char)('a' + i), '\0'};

                put(g_strcmp0(name, disk) == 0 ? named : "I:1\n", -1, "udev/data/b8:%u", i);
        }
}

unsigned fake_kernel_n_sessions(void)
{
        return count("class/iscsi_session", "session");
}

unsigned fake_kernel_n_disks(void)
{
        return count("class/block", "sd");
}

void fake_kernel_drop_sessions(void)
{
        for (unsigned sid = 1; sid <= fake.last_session; sid++)
                remove_session(sid);
}

/* ---- the helper ---------------------------------------------------------------------------- */

void fake_helper_does(DlHelperVerb verb, FakeAnswer answer, int code)
{
        fake.verbs[verb].answer = answer;
        fake.verbs[verb].code = code;
        fake.verbs[verb].once = false;
}

void fake_helper_fails_once(DlHelperVerb verb, int code)
{
        fake_helper_does(verb, FAKE_ANSWER_FAILS, code);
        fake.verbs[verb].once = true;
}

unsigned fake_helper_n_asked(DlHelperVerb verb)
{
        return fake.verbs[verb].n_asked;
}

const char *fake_helper_iface(void)
{
        return fake.iface;
}

static void carry_out(const DlHelperRequest *request, DlHelperReply *reply)
{
        if (request->verb == DL_HELPER_LOGIN)
                reply->sid = add_session(request);
        else if (request->verb == DL_HELPER_LOGOUT)
                remove_session(request->sid);
        else if (request->verb == DL_HELPER_SCAN)
                add_disk(request->sid);
        else if (request->verb == DL_HELPER_FLUSH_MAP)
                remove_map();
        else if (request->verb == DL_HELPER_DELETE_PATH)
                remove_disk(request->minor);
}

static void answer(int fd, const DlHelperRequest *request)
{
        static const char garbage[3 * sizeof(DlHelperReply)] = "garbage";
        DlHelperReply reply = {.magic = DL_HELPER_MAGIC, .code = DL_HELPER_OK};
        const void *bytes = &reply;
        size_t size = sizeof reply;

        switch (fake.verbs[request->verb].answer) {
        case FAKE_ANSWER_DOES:
                carry_out(request, &reply);
                break;
        case FAKE_ANSWER_FAILS:
                reply.code = (uint32_t)fake.verbs[request->verb].code;
                g_strlcpy(reply.message, "The test says so", sizeof reply.message);
                if (fake.verbs[request->verb].once)
                        fake_helper_does(request->verb, FAKE_ANSWER_DOES, 0);
                break;
        case FAKE_ANSWER_IS_GARBAGE:
                bytes = garbage;
                break;
        case FAKE_ANSWER_IS_LONG:
                bytes = garbage;
                size = sizeof garbage;
                break;
        default:
                g_assert_not_reached();
        }
        /* the last word may come too late for who has cancelled */
        (void)send(fd, bytes, size, MSG_NOSIGNAL);
        close(fd);
}

static int on_request(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
        DlHelperRequest request;
        ssize_t n = recv(fd, &request, sizeof request, 0);

        (void)sd_event_source_set_enabled(source, SD_EVENT_OFF);
        g_assert_cmpint(n, ==, sizeof request);
        g_assert_cmpuint(request.verb, <, _DL_HELPER_VERB_MAX);
        fake.verbs[request.verb].n_asked++;
        if (request.verb == DL_HELPER_LOGIN) {
                g_free(fake.iface);
                fake.iface = g_strdup(request.iface);
        }
        if (fake.verbs[request.verb].answer == FAKE_ANSWER_DIES)
                close(fd);
        else if (fake.verbs[request.verb].answer != FAKE_ANSWER_IS_SILENT)
                answer(fd, &request);
        return 0;
}

static int on_connection(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
        Silent connection = {.fd = accept(fd, NULL, NULL)};

        g_assert_cmpint(connection.fd, >=, 0);
        g_assert_cmpint(sd_event_add_io(fake.event, &connection.source, connection.fd, EPOLLIN,
                                        on_request, NULL),
                        >=, 0);
        g_array_append_val(fake.connections, connection);
        return 0;
}

/* ---- life ---------------------------------------------------------------------------------- */

void fake_kernel_prepare(CoreFixture *f)
{
        struct sockaddr_un address = {.sun_family = AF_UNIX};

        memset(&fake, 0, sizeof fake);
        fake.path = g_dir_make_tmp("directlun-kernel-XXXXXX", NULL);
        fake.sysfs = g_build_filename(fake.path, "sys", NULL);
        fake.udev = g_build_filename(fake.path, "udev", NULL);
        fake.socket = g_build_filename(fake.path, "helper.sock", NULL);
        fake.sockets = g_build_filename(fake.path, "sockets", NULL);
        fake.multipathd = g_build_filename(fake.path, "multipathd.pid", NULL);
        fake.fixture = f;
        fake.event = f->event;
        fake.connections = g_array_new(FALSE, FALSE, sizeof(Silent));
        g_free(f->settings->helper_socket);
        f->settings->helper_socket = g_strdup(fake.socket);
        g_strlcpy(address.sun_path, fake.socket, sizeof address.sun_path);
        fake.fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
        g_assert_cmpint(bind(fake.fd, (struct sockaddr *)&address, sizeof address), ==, 0);
        g_assert_cmpint(listen(fake.fd, 64), ==, 0);
        g_assert_cmpint(
                sd_event_add_io(f->event, &fake.source, fake.fd, EPOLLIN, on_connection, NULL), >=,
                0);
}

void fake_host_has(bool iscsid, bool multipathd)
{
        put(iscsid ? "0: 00000002 00000000 00010000 0001 01 9 @ISCSIADM_ABSTRACT_NAMESPACE\n" : "",
            -1, "sockets");
        if (multipathd)
                put("1\n", -1, "multipathd.pid");
        else
                (void)unlink(fake.multipathd);
}

void fake_kernel_start(CoreFixture *f)
{
        fake_host_has(true, true);
        f->core->unix_sockets = fake.sockets;
        f->core->multipathd = fake.multipathd;
        f->core->sysfs = fake.sysfs;
        f->core->udev = fake.udev;
}

void fake_kernel_end(void)
{
        core_fixture_stop(fake.fixture); /* it looks at the kernel to its end */
        for (unsigned i = 0; i < fake.connections->len; i++)
                sd_event_source_disable_unref(g_array_index(fake.connections, Silent, i).source);
        g_array_unref(fake.connections);
        sd_event_source_disable_unref(fake.source);
        close(fake.fd);
        remove_all(fake.path);
        g_free(fake.path);
        g_free(fake.sysfs);
        g_free(fake.udev);
        g_free(fake.socket);
        g_free(fake.sockets);
        g_free(fake.multipathd);
        g_free(fake.iface);
}
