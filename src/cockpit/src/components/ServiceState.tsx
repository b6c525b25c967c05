// SPDX-License-Identifier: LGPL-2.1-or-later
// What is shown in place of the page, or above it, when the service is not what it should be.
import React from 'react';
import { Alert, AlertGroup, Button, EmptyState, EmptyStateBody, PageSection, Spinner } from '@patternfly/react-core';
import { DisconnectedIcon, LockIcon, PluggedIcon } from '@patternfly/react-icons';

import { useService } from '../hooks';
import { _ } from '../i18n';

/** Instead of a page: there is nothing to show yet. */
export const NoService = () => {
    const { phase, problem } = useService();
    const detail = problem && <p className="dl-secondary">{problem.message}</p>;
    switch (phase) {
    case 'connecting':
        return <EmptyState headingLevel="h1" titleText={_("Connecting to the service")} icon={Spinner} />;
    case 'denied':
        return (
            <EmptyState headingLevel="h1" titleText={_("You may not talk to the service")} icon={LockIcon}>
                <EmptyStateBody>{_("The policy of the system bus forbids it. Ask the administrator of this machine.")}{detail}</EmptyStateBody>
            </EmptyState>
        );
    case 'absent':
        return (
            <EmptyState headingLevel="h1" titleText={_("directlund is not there")} icon={PluggedIcon}>
                <EmptyStateBody>
                    {_("Install the package directlun. This page goes on by itself as soon as the service can be started.")}
                    {detail}
                </EmptyStateBody>
            </EmptyState>
        );
    default:
        return (
            <EmptyState headingLevel="h1" titleText={_("The service does not answer")} icon={DisconnectedIcon}>
                <EmptyStateBody>{_("It is tried again by itself. The journal of directlund.service tells more.")}{detail}</EmptyStateBody>
            </EmptyState>
        );
    }
};

/** Above a page: what is shown is old, or cannot be changed. */
export const ServiceNotices = () => {
    const { phase, permissions } = useService();
    const readOnly = phase === 'ready' && permissions !== null && !permissions.has('attach') && !permissions.has('connect')
        && !permissions.has('manage-vdisk');
    if (phase === 'ready' && !readOnly)
        return null;
    return (
        <PageSection hasBodyWrapper={false}>
            <AlertGroup isLiveRegion>
                {phase === 'lost' &&
                    <Alert isInline component="p" variant="warning" title={_("The service has gone, and is being called again")}>
                        {_("What is shown here is what was last known.")}
                    </Alert>}
                {phase === 'cut-off' &&
                    <Alert isInline component="p" variant="warning" title={_("The connection to this machine is lost")}
                        actionLinks={<Button variant="link" isInline onClick={() => window.location.reload()}>{_("Reload")}</Button>}>
                        {_("What is shown here is what was last known.")}
                    </Alert>}
                {readOnly &&
                    <Alert isInline component="p" variant="info" title={_("You can look, but change nothing")}
                        actionLinks={<Button variant="link" isInline onClick={() => cockpit.jump('/users')}>{_("Accounts")}</Button>}>
                        {_("polkit allows this user none of the actions of org.ovirt.DirectLun. Turn on administrative access, or ask the administrator of this machine.")}
                    </Alert>}
            </AlertGroup>
        </PageSection>
    );
};
