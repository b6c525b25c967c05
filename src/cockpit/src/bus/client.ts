// SPDX-License-Identifier: LGPL-2.1-or-later
// The page's one way to the service: keeps the live model, makes calls, tells who may do what, and
// comes back by itself when the service ends or starts anew. A client of cockpit.js is good for one
// owner of the bus name only, so each owner gets a new one.

import { _ } from '../i18n';
import { CallError, callError, isAbsent, isCutOff, isDenied } from './errors';
import { BUS_NAME, EMPTY, ModelBuilder, ROOT, type Model } from './model';
import { askPermissions, type Permissions } from './permissions';
import { list, text } from './values';

const OBJECT_MANAGER = 'org.freedesktop.DBus.ObjectManager';
const PROPERTIES = 'org.freedesktop.DBus.Properties';
const MANAGER = `${BUS_NAME}.Manager`;

const COALESCE_MS = 40; // signals that come in a burst are one change
const SHOW_SHARE = 4; // a storm of changes leaves so many times the time that showing one takes
const RETRY_MS = [200, 1000, 2000, 5000];
const ALIVE_MS = 30_000; // an asked service does not leave for being idle
const ANSWER_MS = 20_000;

/** "lost": there was a service, and it may come back; "cut-off": Cockpit has gone, which does not come
 *  back to a page that is loaded. */
export type Phase = 'connecting' | 'ready' | 'lost' | 'cut-off' | 'absent' | 'denied' | 'failed';

export interface State {
    phase: Phase;
    problem: CallError | null;
    model: Model;
    permissions: Permissions | null; // null: not known yet
    version: string;
}

export interface Call {
    path: string;
    iface: string; // without the bus name in front
    method: string;
    type: string;
    args: unknown[];
}

export class ServiceClient {
    private state: State = {
        phase: 'connecting', problem: null, model: EMPTY, permissions: null, version: '',
    };

    private readonly listeners = new Set<() => void>();
    private bus: cockpit.DBusClient | null = null;
    private builder = new ModelBuilder();
    private flushTimer: number | undefined;
    private showMs = 0; // what showing the last change took
    private retryTimer: number | undefined;
    private aliveTimer: number | undefined;
    private failures = 0;

    readonly subscribe = (listener: () => void): (() => void) => {
        this.listeners.add(listener);
        return () => this.listeners.delete(listener);
    };

    readonly getState = (): State => this.state;

    private set(change: Partial<State>): void {
        this.state = { ...this.state, ...change };
        this.listeners.forEach(listener => listener());
    }

    start(): void {
        window.clearTimeout(this.retryTimer);
        const bus = cockpit.dbus(BUS_NAME, { bus: 'system', superuser: 'try' });
        const builder = new ModelBuilder();
        let owner: string | null = null;
        let listening = false;

        this.bus = bus;
        this.builder = builder;
        bus.addEventListener('close', (_, options) => this.over(bus, callError(options)));
        bus.addEventListener('owner', (_, now) => {
            if (owner !== null && now !== owner)
                this.over(bus, null);
            owner = now;
        });
        const signal = (handle: (path: string, args: unknown[]) => void): cockpit.SignalHandler =>
            (path, _iface, _member, args) => {
                // Until the whole has been told, signals are of what it will have.
                if (listening && bus === this.bus) {
                    handle(path, args);
                    this.flushSoon();
                }
            };
        bus.subscribe({ interface: OBJECT_MANAGER, member: 'InterfacesAdded', path: ROOT },
                      signal((_, [path, interfaces]) => builder.add(text(path), interfaces)));
        bus.subscribe({ interface: OBJECT_MANAGER, member: 'InterfacesRemoved', path: ROOT },
                      signal((_, [path, interfaces]) => builder.remove(text(path), interfaces)));
        bus.subscribe({ interface: PROPERTIES, member: 'PropertiesChanged', path_namespace: ROOT },
                      signal((path, [iface, values]) => builder.update(path, text(iface), values)));

        bus.call(ROOT, OBJECT_MANAGER, 'GetManagedObjects', [], { timeout: ANSWER_MS })
                .then(([objects]) => {
                    if (bus !== this.bus)
                        return;
                    builder.replace(objects);
                    listening = true;
                    this.begun(bus);
                })
                .catch(reason => this.over(bus, callError(reason)));
    }

    private begun(bus: cockpit.DBusClient): void {
        this.failures = 0;
        this.set({ phase: 'ready', problem: null, model: this.builder.snapshot() });
        askPermissions(bus.unique_name).then(permissions => this.set({ permissions }));
        const ask = () => bus.call(ROOT, PROPERTIES, 'Get', [MANAGER, 'Version'], { timeout: ANSWER_MS })
                .then(([version]) => {
                    const value = text((version as cockpit.DBusVariant).v);
                    if (value !== this.state.version)
                        this.set({ version: value });
                })
                .catch(reason => this.over(bus, callError(reason)));
        window.clearInterval(this.aliveTimer);
        this.aliveTimer = window.setInterval(ask, ALIVE_MS);
        void ask();
    }

    /** This client is of no use any more; the next one comes by itself, as long as Cockpit is there. */
    private over(bus: cockpit.DBusClient, problem: CallError | null): void {
        if (bus !== this.bus)
            return;
        this.bus = null;
        window.clearInterval(this.aliveTimer);
        bus.close();
        const seen = isShown(this.state.phase);
        this.set({ phase: phaseOf(problem, seen), problem });
        if (this.state.phase === 'cut-off')
            return;
        const delay = RETRY_MS[Math.min(this.failures++, RETRY_MS.length - 1)];
        this.retryTimer = window.setTimeout(() => this.start(), delay);
    }

    private flushSoon(): void {
        this.flushTimer ??= window.setTimeout(() => {
            this.flushTimer = undefined;
            const model = this.builder.snapshot();
            const begun = performance.now();
            if (this.state.phase === 'ready' && model !== this.state.model)
                this.set({ model });
            this.showMs = performance.now() - begun;
        }, COALESCE_MS + SHOW_SHARE * this.showMs);
    }

    /** Calls a method; its results, or a CallError. Takes as long as the work does. */
    async call({ path, iface, method, type, args }: Call): Promise<unknown[]> {
        const bus = this.bus;
        if (!bus)
            throw interrupted();
        try {
            return list(await bus.call(path, `${BUS_NAME}.${iface}`, method, args, { type, flags: 'i' }));
        } catch (reason) {
            const error = callError(reason);
            throw bus === this.bus && error.name !== 'NoReply' ? error : interrupted();
        }
    }
}

const interrupted = () => new CallError('Interrupted',
    _("The service has ended before it has answered. What it had begun it settles by itself: look at how things are now."));

/** Whether there is something to show, however old. */
export const isShown = (phase: Phase): boolean => ['ready', 'lost', 'cut-off'].includes(phase);

function phaseOf(problem: CallError | null, seen: boolean): Phase {
    if (problem && isDenied(problem))
        return 'denied';
    if (problem && isAbsent(problem))
        return 'absent';
    if (seen && problem && isCutOff(problem))
        return 'cut-off';
    if (seen || !problem)
        return 'lost';
    return 'failed';
}

export const service = new ServiceClient();
