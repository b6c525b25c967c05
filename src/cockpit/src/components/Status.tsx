// SPDX-License-Identifier: LGPL-2.1-or-later
// States, in words and colours.
import React from 'react';
import { Label, type LabelProps } from '@patternfly/react-core';

import { _ } from '../i18n';

type Look = { text: () => string; status?: LabelProps['status']; color?: LabelProps['color'] };

const LUN: Record<string, Look> = {
    free: { text: () => _("Free"), status: 'success' },
    used: { text: () => _("In use"), color: 'grey' },
    unusable: { text: () => _("Unusable"), status: 'danger' },
    unknown: { text: () => _("Not seen"), status: 'warning' },
};

const TARGET: Record<string, Look> = {
    disconnected: { text: () => _("Disconnected"), color: 'grey' },
    connecting: { text: () => _("Connecting"), status: 'info' },
    connected: { text: () => _("Connected"), status: 'success' },
    degraded: { text: () => _("Degraded"), status: 'warning' },
    failed: { text: () => _("Failed"), status: 'danger' },
};

const VM: Record<string, Look> = {
    shutoff: { text: () => _("Shut off"), color: 'grey' },
    running: { text: () => _("Running"), status: 'success' },
    paused: { text: () => _("Paused"), status: 'warning' },
    shutdown: { text: () => _("Shutting down"), status: 'info' },
    crashed: { text: () => _("Crashed"), status: 'danger' },
    suspended: { text: () => _("Suspended"), status: 'info' },
};

const make = (looks: Record<string, Look>) => ({ state }: { state: string }) => {
    const look = looks[state];
    return (
        <Label isCompact variant="outline" {...(look?.status ? { status: look.status } : { color: look?.color ?? 'grey' })}>
            {look ? look.text() : state}
        </Label>
    );
};

export const LunStatus = make(LUN);
export const TargetState = make(TARGET);
export const VmState = make(VM);
