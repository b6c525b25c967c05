// SPDX-License-Identifier: LGPL-2.1-or-later
// What this page uses of cockpit.js, which the Cockpit that serves the page brings.

declare namespace cockpit {
    interface DBusError {
        name?: string;
        message?: string;
        problem?: string;
    }

    interface DBusVariant {
        t: string;
        v: unknown;
    }

    interface DBusMatch {
        interface?: string;
        member?: string;
        path?: string;
        path_namespace?: string;
    }

    type SignalHandler = (path: string, iface: string, member: string, args: unknown[]) => void;

    interface DBusClient {
        unique_name: string | null;
        wait(): Promise<void>;
        call(
            path: string,
            iface: string,
            method: string,
            args?: unknown[] | null,
            options?: { type?: string; timeout?: number; flags?: string },
        ): Promise<unknown[]>;
        subscribe(match: DBusMatch, handler: SignalHandler): { remove(): void };
        addEventListener(type: 'owner', handler: (event: unknown, owner: string | null) => void): void;
        addEventListener(type: 'close', handler: (event: unknown, options: DBusError) => void): void;
        close(problem?: string): void;
    }

    interface Channel {
        send(data: string): void;
        control(options: { command: string }): void;
        addEventListener(type: 'close', handler: (event: unknown, options: DBusError) => void): void;
    }

    interface Location {
        path: string[];
        options: Record<string, string | string[]>;
        go(path: string | string[], options?: Record<string, string>): void;
        encode(path: string[], options?: Record<string, string>): string;
    }

    const location: Location;

    function dbus(name: string | null, options?: { bus?: string; superuser?: string }): DBusClient;
    function channel(options: { payload: string; unix: string; superuser?: string }): Channel;
    function variant(type: string, value: unknown): DBusVariant;
    function gettext(text: string): string;
    function format(template: string, ...values: unknown[]): string;
    function jump(path: string): void;
    function addEventListener(type: 'locationchanged', handler: () => void): void;
    function removeEventListener(type: 'locationchanged', handler: () => void): void;
    const language: string | undefined;
    const transport: { wait(callback: () => void): void };
}
