/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The queue from libvirt's threads to the loop: a locked list and an eventfd that wakes the loop.
 * The lock is held for list operations only. (A POSIX mutex, so that ThreadSanitizer can follow
 * what it protects.)
 */

#include "virt-private.h"

#include <errno.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct DlVirtInbox {
        int n_refs; /* atomic */
        int fd;
        pthread_mutex_t lock;
        GQueue messages; /* under lock */
        bool closed;     /* under lock */
};

void dl_virt_message_free(DlVirtMessage *message)
{
        if (!message)
                return;
        dl_virt_conn_unref(message->conn);
        g_free(message->uuid);
        g_free(message->alias);
        g_free(message->text);
        g_free(message);
}

int dl_virt_inbox_new(DlVirtInbox **ret)
{
        int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        DlVirtInbox *inbox;

        if (fd < 0)
                return -errno;
        inbox = g_new0(DlVirtInbox, 1);
        inbox->n_refs = 1;
        inbox->fd = fd;
        pthread_mutex_init(&inbox->lock, NULL);
        g_queue_init(&inbox->messages);
        *ret = inbox;
        return 0;
}

DlVirtInbox *dl_virt_inbox_ref(DlVirtInbox *inbox)
{
        __atomic_add_fetch(&inbox->n_refs, 1, __ATOMIC_RELAXED);
        return inbox;
}

void dl_virt_inbox_unref(DlVirtInbox *inbox)
{
        if (!inbox || __atomic_sub_fetch(&inbox->n_refs, 1, __ATOMIC_ACQ_REL) > 0)
                return;
        pthread_mutex_destroy(&inbox->lock);
        close(inbox->fd);
        g_free(inbox);
}

int dl_virt_inbox_fd(const DlVirtInbox *inbox)
{
        return inbox->fd;
}

void dl_virt_inbox_clear(DlVirtInbox *inbox)
{
        uint64_t count;

        /* Fails only if nothing was posted since the last time. */
        while (read(inbox->fd, &count, sizeof count) < 0 && errno == EINTR)
                ;
}

void dl_virt_inbox_wake(DlVirtInbox *inbox)
{
        uint64_t one = 1;

        /* Fails only if the counter is full, and then the loop is already woken. */
        while (write(inbox->fd, &one, sizeof one) < 0 && errno == EINTR)
                ;
}

void dl_virt_inbox_post(DlVirtInbox *inbox, DlVirtMessage message)
{
        DlVirtMessage *copy = g_memdup2(&message, sizeof message);
        bool closed;

        pthread_mutex_lock(&inbox->lock);
        closed = inbox->closed;
        if (!closed)
                g_queue_push_tail(&inbox->messages, copy);
        pthread_mutex_unlock(&inbox->lock);

        if (closed)
                dl_virt_message_free(copy);
        else
                dl_virt_inbox_wake(inbox);
}

void dl_virt_inbox_close(DlVirtInbox *inbox)
{
        DlVirtMessage *message;

        pthread_mutex_lock(&inbox->lock);
        inbox->closed = true;
        pthread_mutex_unlock(&inbox->lock);
        while ((message = dl_virt_inbox_take(inbox)))
                dl_virt_message_free(message);
}

DlVirtMessage *dl_virt_inbox_take(DlVirtInbox *inbox)
{
        DlVirtMessage *message;

        pthread_mutex_lock(&inbox->lock);
        message = g_queue_pop_head(&inbox->messages);
        pthread_mutex_unlock(&inbox->lock);
        return message;
}
