// SPDX-License-Identifier: LGPL-2.1-or-later
import React, { useMemo, useState } from 'react';
import { Button, Checkbox, EmptyState, ModalBody, ModalFooter, Switch, ToolbarItem } from '@patternfly/react-core';

import { useService } from '../../hooks';
import { _, fill } from '../../i18n';
import { canChoose } from '../../model/add-disk';
import { deviceRows, type DiskRow } from '../../model/disks';
import { DiskTable } from '../DiskTable';

/** The choice of a device: all are shown, those that cannot be chosen too, with the reason. */
export const ChooseStep = ({ targets, row, choose, done, back, close }: {
    targets: string[] | null;
    row: DiskRow | null;
    choose: (row: DiskRow | null) => void;
    done: () => void;
    back: () => void;
    close: () => void;
}) => {
    const { model } = useService();
    const [fromVm, setFromVm] = useState(false);
    const [consent, setConsent] = useState(false);
    const rows = useMemo(() => {
        const iqns = targets?.map(path => model.targets.get(path)?.iqn);
        return deviceRows(model).filter(each => !iqns || each.targets.some(iqn => iqns.includes(iqn)));
    }, [model, targets]);
    const now = rows.find(each => each.guid === row?.guid) ?? null;
    const shares = now !== null && now.users.length > 0;

    return (
        <>
            <ModalBody>
                <DiskTable label={_("Devices")} rows={rows} first="guid"
                    empty={<EmptyState headingLevel="h2" titleText={_("The targets show no devices")} />}
                    toolbar={
                        <ToolbarItem>
                            <Switch id="from-vm" label={_("From a VM")} isChecked={fromVm}
                                onChange={(_event, on) => { setFromVm(on); choose(null); setConsent(false); }} />
                        </ToolbarItem>}
                    select={{
                        chosen: now?.id ?? null,
                        can: each => canChoose(each, fromVm),
                        choose: each => { choose(each); setConsent(false); },
                    }} />
                {shares &&
                    <Checkbox id="consent" isChecked={consent} onChange={(_event, on) => setConsent(on)}
                        label={fill(_("Share it with $0: both can write to it at the same time, which only a cluster file system or database survives"),
                                    now.users.map(user => user.name).join(', '))} />}
            </ModalBody>
            <ModalFooter>
                <Button isDisabled={!now || !canChoose(now, fromVm) || (shares && !consent)} onClick={done}>{_("Next")}</Button>
                <Button variant="secondary" onClick={back}>{_("Back")}</Button>
                <Button variant="link" onClick={close}>{_("Cancel")}</Button>
            </ModalFooter>
        </>
    );
};
