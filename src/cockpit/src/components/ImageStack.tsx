// SPDX-License-Identifier: LGPL-2.1-or-later
// The history of a vDisk, the newest first: snapshots, and what can be done with each.
import React, { useState } from 'react';
import { Button, Checkbox, Flex, Label, Title } from '@patternfly/react-core';
import { Table, Tbody, Td, Th, Thead, Tr } from '@patternfly/react-table';

import { merge, revert, snapshot } from '../bus/service';
import type { Image, VDisk } from '../bus/types';
import { useAllowed, useService } from '../hooks';
import { _, fill, language } from '../i18n';
import { moment } from '../model/format';
import { isPlugged } from '../model/vms';
import { tasks } from '../tasks';
import { AskButton, Question } from './Ask';

const SnapshotQuestion = ({ vdisk, close }: { vdisk: VDisk; close: () => void }) => {
    const [quiesce, setQuiesce] = useState(false);
    return (
        <Question title={_("Take a snapshot?")} verb={_("Take a snapshot")} danger={false} close={close}
            act={options => snapshot(vdisk.path, quiesce, options)}>
            <p>{_("From now on, what is written goes to a file of its own; what is there now stays as it is.")}</p>
            <Checkbox id="quiesce" isChecked={quiesce} onChange={(_event, on) => setQuiesce(on)}
                label={_("Ask the guest to hold its file systems still (needs its agent)")} />
        </Question>
    );
};

const Row = ({ vdisk, image, first, plugged }: { vdisk: VDisk; image: Image; first: boolean; plugged: boolean }) => {
    const allowed = useAllowed('manage-vdisk');
    const when = moment(image.time, language());
    return (
        <Tr>
            <Td>
                {when}
                {first && <div className="dl-secondary">{_("The LUN itself")}</div>}
            </Td>
            <Td><span className="dl-guid">{image.uid}</span></Td>
            <Td>
                <Flex gap={{ default: 'gapXs' }}>
                    {image.current && <Label isCompact status="success" variant="outline">{_("Current")}</Label>}
                    {image.quiesced && <Label isCompact variant="outline">{_("Quiesced")}</Label>}
                    {image.spoiled && <Label isCompact status="warning" variant="outline">{_("To be merged")}</Label>}
                </Flex>
            </Td>
            <Td isActionCell>
                <Flex gap={{ default: 'gapSm' }} flexWrap={{ default: 'nowrap' }}>
                    {!first &&
                        <Button variant="secondary" size="sm" isAriaDisabled={!allowed || !plugged}
                            title={plugged ? undefined : _("Images are merged while a VM runs with the disk.")}
                            onClick={() => tasks.start(_("Merge an image"), options => merge(vdisk.path, image.uid, options))}>
                            {_("Merge")}
                        </Button>}
                    <AskButton variant="secondary" size="sm" isDanger isAriaDisabled={!allowed || image.spoiled || plugged}
                        title={plugged ? _("A VM runs with the disk: stop it, or unplug the disk.") : undefined} dialog={close => (
                        <Question title={_("Go back to this moment?")} verb={_("Go back")} close={close}
                            act={options => revert(vdisk.path, image.uid, options)}>
                            <p>{fill(_("$0 will be what it was on $1. What has been written since is lost."), vdisk.alias, when)}</p>
                        </Question>
                    )}>{_("Go back")}</AskButton>
                </Flex>
            </Td>
        </Tr>
    );
};

export const ImageStack = ({ vdisk }: { vdisk: VDisk }) => {
    const { model } = useService();
    const allowed = useAllowed('manage-vdisk');
    const first = vdisk.images[0]?.uid;
    return (
        <>
            <Flex className="dl-head">
                <Title headingLevel="h3">{_("History")}</Title>
                <AskButton variant="secondary" isDisabled={!allowed}
                    dialog={close => <SnapshotQuestion vdisk={vdisk} close={close} />}>{_("Take a snapshot")}</AskButton>
            </Flex>
            <Table aria-label={_("History")} variant="compact">
                <Thead>
                    <Tr>
                        <Th>{_("Moment")}</Th><Th>{_("Image")}</Th><Th>{_("State")}</Th>
                        <Th screenReaderText={_("Actions")} />
                    </Tr>
                </Thead>
                <Tbody>
                    {[...vdisk.images].reverse().map(image =>
                        <Row key={image.uid} vdisk={vdisk} image={image} first={image.uid === first} plugged={isPlugged(model, vdisk)} />)}
                </Tbody>
            </Table>
        </>
    );
};
