// SPDX-License-Identifier: LGPL-2.1-or-later
// What polkit lets this user do. The service asks again at each call; this is so that the page does
// not offer what cannot be.

import { list } from './values';

const ACTIONS = [
    'discover', 'connect', 'unmanage', 'manage-vdisk', 'attach', 'hot-plug', 'run-vm',
    'manage-credentials', 'storage-domain', 'force', 'cancel-job', 'cancel-job-other-user',
] as const;

export type Action = (typeof ACTIONS)[number];
export type Permissions = ReadonlySet<Action>;

/** All that is allowed, or allowed after a question. Without polkit only root may do anything. */
export async function askPermissions(uniqueName: string | null): Promise<Permissions> {
    const polkit = cockpit.dbus('org.freedesktop.PolicyKit1', { bus: 'system', superuser: 'try' });
    const subject = ['system-bus-name', { name: cockpit.variant('s', uniqueName ?? '') }];
    const ask = async (action: Action): Promise<Action | null> => {
        const [answer] = await polkit.call(
            '/org/freedesktop/PolicyKit1/Authority', 'org.freedesktop.PolicyKit1.Authority',
            'CheckAuthorization', [subject, `org.ovirt.DirectLun.${action}`, {}, 0, ''],
            { type: '(sa{sv})sa{ss}us' });
        const [authorized, challenge] = list(answer);
        return authorized === true || challenge === true ? action : null;
    };
    try {
        const allowed = await Promise.all(ACTIONS.map(ask));
        return new Set(allowed.filter((action): action is Action => action !== null));
    } catch (reason) {
        console.warn('polkit does not tell what is allowed:', reason);
        return new Set(ACTIONS); // the service decides, and says so
    } finally {
        polkit.close();
    }
}
