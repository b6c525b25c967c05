// SPDX-License-Identifier: LGPL-2.1-or-later
// What this page has asked for and is not over, and all failures until somebody has dismissed them:
// of this page's calls, and of jobs that others have started.

import { service } from './bus/client';
import { callError } from './bus/errors';
import { newToken, type Options } from './bus/service';
import type { Fault, Job } from './bus/types';

export interface Failure {
    id: string;
    title: string; // empty: that of the job
    job: Job | null;
    fault: Fault;
}

class Tasks {
    private failures: readonly Failure[] = [];
    private readonly seen = new Set<string>(); // jobs that have been told, or are told by their caller
    private readonly listeners = new Set<() => void>();

    constructor() {
        service.subscribe(() => this.lookAtJobs());
    }

    readonly subscribe = (listener: () => void): (() => void) => {
        this.listeners.add(listener);
        return () => this.listeners.delete(listener);
    };

    readonly getFailures = (): readonly Failure[] => this.failures;

    private set(failures: readonly Failure[]): void {
        this.failures = failures;
        this.listeners.forEach(listener => listener());
    }

    private lookAtJobs(): void {
        for (const job of service.getState().model.jobs.values()) {
            const id = `${job.path} ${job.startTime}`;
            if (job.state !== 'failed' || !job.fault || this.seen.has(job.token) || this.seen.has(id))
                continue;
            this.seen.add(id);
            this.set([...this.failures, { id, title: '', job, fault: job.fault }]);
        }
    }

    /** Makes a call whose failure the caller shows. */
    async ask<T>(work: (options: Options) => Promise<T>): Promise<T> {
        const token = newToken();
        this.seen.add(token);
        return work({ token });
    }

    /** Makes a call whose failure is shown with the others. */
    start(title: string, work: (options: Options) => Promise<unknown>): void {
        void this.ask(work).catch(reason => {
            const fault = callError(reason);
            if (fault.name !== 'Cancelled')
                this.set([...this.failures, { id: newToken(), title, job: null, fault }]);
        });
    }

    dismiss(id: string): void {
        this.set(this.failures.filter(failure => failure.id !== id));
    }
}

export const tasks = new Tasks();
