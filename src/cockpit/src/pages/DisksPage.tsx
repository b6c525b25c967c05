// SPDX-License-Identifier: LGPL-2.1-or-later
import React, { useMemo } from 'react';
import { EmptyState, EmptyStateBody, PageSection, ToggleGroup, ToggleGroupItem, ToolbarItem } from '@patternfly/react-core';

import { AddDisk } from '../components/AddDisk';
import { AskButton } from '../components/Ask';
import { DiskTable } from '../components/DiskTable';
import { useAllowed, useService } from '../hooks';
import { _ } from '../i18n';
import { deviceRows, vdiskRows } from '../model/disks';

const NoDisks = ({ devices }: { devices: boolean }) => (
    <EmptyState headingLevel="h2" titleText={devices ? _("No devices are known") : _("No disks yet")}>
        <EmptyStateBody>
            {devices
                ? _("The devices of a target are known once it has been connected.")
                : _("A disk is a whole LUN of a storage array that a VM can have.")}
        </EmptyStateBody>
    </EmptyState>
);

/** All vDisks, or all devices that are known, those in use too. */
export const DisksPage = ({ show }: { show: string }) => {
    const { model } = useService();
    const mayAdd = useAllowed('manage-vdisk');
    const devices = show === 'devices';
    const rows = useMemo(() => (devices ? deviceRows(model) : vdiskRows(model)), [model, devices]);
    const choose = (name: string) => cockpit.location.go([], name === 'devices' ? { show: name } : {});

    return (
        <PageSection hasBodyWrapper={false}>
            <DiskTable key={show} label={devices ? _("Devices") : _("Disks")} rows={rows} first={devices ? 'guid' : 'name'}
                empty={<NoDisks devices={devices} />}
                toolbar={
                    <>
                    <ToolbarItem>
                        <ToggleGroup aria-label={_("What is shown")}>
                            <ToggleGroupItem text={_("Disks")} isSelected={!devices} onChange={() => choose('vdisks')} />
                            <ToggleGroupItem text={_("All devices")} isSelected={devices} onChange={() => choose('devices')} />
                        </ToggleGroup>
                    </ToolbarItem>
                    <ToolbarItem>
                        <AskButton isDisabled={!mayAdd} dialog={close => <AddDisk close={close} />}>{_("Add disk")}</AskButton>
                    </ToolbarItem>
                    </>
                } />
        </PageSection>
    );
};
