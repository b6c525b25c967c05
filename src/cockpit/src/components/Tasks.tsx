// SPDX-License-Identifier: LGPL-2.1-or-later
// Jobs and failures, in words.
import React from 'react';
import { Alert, AlertActionCloseButton, AlertGroup, Button, List, ListItem, Progress } from '@patternfly/react-core';

import type { Model } from '../bus/model';
import { cancelJob } from '../bus/service';
import type { Job } from '../bus/types';
import { useAllowed, useFailures, useService } from '../hooks';
import { _ } from '../i18n';
import { tasks, type Failure } from '../tasks';

const OPERATIONS: Record<string, () => string> = {
    discover: () => _("Discover targets"),
    'add-target': () => _("Add a target"),
    connect: () => _("Connect a target"),
    unmanage: () => _("Let go of a target"),
    rescan: () => _("Look at the LUNs again"),
    forget: () => _("Forget a target"),
    'set-credentials': () => _("Set credentials"),
    'create-vdisk': () => _("Make a disk"),
    'delete-vdisk': () => _("Forget a disk"),
    attach: () => _("Attach a disk"),
    detach: () => _("Detach a disk"),
    'hot-plug': () => _("Plug a disk"),
    'hot-unplug': () => _("Unplug a disk"),
    run: () => _("Run a VM"),
    restart: () => _("Restart a VM"),
    'prepare-start': () => _("Prepare the start of a VM"),
    stop: () => _("Stop a VM"),
    snapshot: () => _("Snapshot of a disk"),
    merge: () => _("Merge an image"),
    revert: () => _("Go back to an image"),
    refresh: () => _("Look at a LUN again"),
    claim: () => _("Claim for a storage domain"),
    release: () => _("Release from a storage domain"),
    recover: () => _("Settle what was interrupted"),
};

export const operation = (name: string): string => OPERATIONS[name]?.() ?? name;

/** The names of what a job works on, as far as it is still there. */
function about(model: Model, job: Job): string {
    return job.objects.flatMap(path =>
        model.vms.get(path)?.name ?? model.vdisks.get(path)?.alias ?? model.targets.get(path)?.iqn
        ?? model.luns.get(path)?.guid ?? []).join(', ');
}

export const JobTitle = ({ job }: { job: Job }) => {
    const { model } = useService();
    const names = about(model, job);
    return <>{operation(job.operation)}{names && <span className="dl-secondary">{` ${names}`}</span>}</>;
};

export const JobProgress = ({ job }: { job: Job }) => (job.progress === null
    ? <>{job.phase}</>
    : <Progress value={Math.round(job.progress * 100)} title={job.phase} size="sm" aria-label={job.phase} />);

export const CancelJob = ({ job }: { job: Job }) => {
    const allowed = useAllowed('cancel-job');
    return (
        <Button variant="secondary" size="sm" isDisabled={!allowed || !job.cancelable}
            onClick={() => tasks.start(_("Cancel"), () => cancelJob(job.path))}>{_("Cancel")}</Button>
    );
};

const FailureAlert = ({ failure }: { failure: Failure }) => (
    <Alert isInline component="p" variant="danger"
        title={failure.title || operation(failure.job?.operation ?? '')}
        actionClose={<AlertActionCloseButton aria-label={_("Dismiss")} onClose={() => tasks.dismiss(failure.id)} />}>
        {failure.fault.message}
        {failure.job && failure.job.report.length > 0 &&
            <List>{failure.job.report.map((line, n) => <ListItem key={n}>{line}</ListItem>)}</List>}
    </Alert>
);

/** What went wrong, until it is dismissed: what this page has asked for, or what others have, too. */
export const Failures = ({ own }: { own: boolean }) => {
    const failures = useFailures().filter(failure => !own || failure.job === null);
    return failures.length === 0
        ? null
        : <AlertGroup isLiveRegion>{failures.map(failure => <FailureAlert key={failure.id} failure={failure} />)}</AlertGroup>;
};
