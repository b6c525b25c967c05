// SPDX-License-Identifier: LGPL-2.1-or-later
import { useEffect, useState, useSyncExternalStore } from 'react';

import { service, type State } from './bus/client';
import { callError, type CallError } from './bus/errors';
import type { Action } from './bus/permissions';
import type { Options } from './bus/service';
import { tasks, type Failure } from './tasks';

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

export const useFailures = (): readonly Failure[] => useSyncExternalStore(tasks.subscribe, tasks.getFailures);

/** A call of a dialog: whether it runs, what went wrong, and its job to cancel it by. */
export function useAsk() {
    const [busy, setBusy] = useState(false);
    const [error, setError] = useState<CallError | null>(null);
    const [token, setToken] = useState('');
    const { model } = useService();
    const job = [...model.jobs.values()].find(each => each.token !== '' && each.token === token) ?? null;

    async function ask<T>(work: (options: Options) => Promise<T>): Promise<T | undefined> {
        setBusy(true);
        setError(null);
        try {
            return await tasks.ask(options => {
                setToken(options.token ?? '');
                return work(options);
            });
        } catch (reason) {
            setError(callError(reason));
            return undefined;
        } finally {
            setBusy(false);
        }
    }
    return { ask, busy, error, job, forget: () => setError(null) };
}
