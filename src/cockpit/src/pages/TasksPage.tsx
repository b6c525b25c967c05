// SPDX-License-Identifier: LGPL-2.1-or-later
import React from 'react';
import { EmptyState, PageSection } from '@patternfly/react-core';
import { Table, Tbody, Td, Th, Thead, Tr } from '@patternfly/react-table';

import { CancelJob, Failures, JobProgress, JobTitle } from '../components/Tasks';
import { useFailures, useService } from '../hooks';
import { _, language } from '../i18n';
import { moment } from '../model/format';

export const TasksPage = () => {
    const { model } = useService();
    const failures = useFailures();
    const running = [...model.jobs.values()].filter(job => job.state === 'running');

    return (
        <PageSection hasBodyWrapper={false}>
            <Failures own={false} />
            {running.length === 0 && failures.length === 0 &&
                <EmptyState headingLevel="h2" titleText={_("Nothing is going on")} />}
            {running.length > 0 &&
                <Table aria-label={_("Tasks")} variant="compact">
                    <Thead>
                        <Tr>
                            <Th>{_("Task")}</Th><Th>{_("Begun")}</Th><Th>{_("Progress")}</Th>
                            <Th screenReaderText={_("Actions")} />
                        </Tr>
                    </Thead>
                    <Tbody>
                        {running.map(job => (
                            <Tr key={job.path}>
                                <Td><JobTitle job={job} /></Td>
                                <Td>{moment(job.startTime, language())}</Td>
                                <Td><JobProgress job={job} /></Td>
                                <Td isActionCell><CancelJob job={job} /></Td>
                            </Tr>
                        ))}
                    </Tbody>
                </Table>}
        </PageSection>
    );
};
