// SPDX-License-Identifier: LGPL-2.1-or-later
import { useEffect, useState, useSyncExternalStore } from 'react';

import { service, type State } from './bus/client';
import type { Action } from './bus/permissions';

export const useService = (): State => useSyncExternalStore(service.subscribe, service.getState);

/** Whether what needs these actions can be offered now. */
export function useAllowed(...actions: Action[]): boolean {
    const { phase, permissions } = useService();
    return phase === 'ready' && permissions !== null && actions.every(action => permissions.has(action));
}

export interface Route {
    path: string[];
    options: Record<string, string>;
}

function route(): Route {
    const { path, options } = cockpit.location;
    return {
        path,
        options: Object.fromEntries(Object.entries(options)
                .map(([key, value]) => [key, Array.isArray(value) ? value[0] ?? '' : value])),
    };
}

export function useRoute(): Route {
    const [now, setNow] = useState(route);
    useEffect(() => {
        const changed = () => setNow(route());
        cockpit.addEventListener('locationchanged', changed);
        return () => cockpit.removeEventListener('locationchanged', changed);
    }, []);
    return now;
}
