// SPDX-License-Identifier: LGPL-2.1-or-later
// Secrets never go over the bus. The service takes each by a socket of its own, which Cockpit's bridge
// writes to as the user that the service is called as, and is then told which one is meant.

import type { Chap } from '../model/chap';
import { service } from './client';
import { callError } from './errors';
import { ROOT } from './model';
import { text } from './values';

/** Ends when the service has read it, and has ended the connection. */
function write(path: string, secret: string): Promise<void> {
    return new Promise((resolve, reject) => {
        const channel = cockpit.channel({ payload: 'stream', unix: path, superuser: 'try' });
        channel.addEventListener('close', (_event, options) => {
            if (options.problem)
                reject(callError(options));
            else
                resolve();
        });
        channel.send(secret);
        channel.control({ command: 'done' });
    });
}

/** Hands a secret over; the token that stands for it in one call. */
async function handOver(secret: string): Promise<string> {
    const [path, token] = await service.call({
        path: ROOT, iface: 'Manager', method: 'AcceptSecret', type: 'a{sv}', args: [{}],
    });
    await write(text(path), secret);
    return text(token);
}

export interface HandedOver {
    token: string;
    target: Record<string, cockpit.DBusVariant>; // options for mutual CHAP
}

export async function handOverChap({ secret, mutual, targetUser, targetSecret }: Chap): Promise<HandedOver> {
    return {
        token: await handOver(secret),
        target: mutual
            ? {
                'target-user': cockpit.variant('s', targetUser),
                'target-secret-token': cockpit.variant('s', await handOver(targetSecret)),
            }
            : {},
    };
}
