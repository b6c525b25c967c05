// SPDX-License-Identifier: LGPL-2.1-or-later
// The wizard: discover → connect → choose → details. This has the order of the steps; each step has a
// file of its own, and keeps nothing that another needs.
import React, { useState } from 'react';
import { Modal, ModalHeader, ProgressStep, ProgressStepper } from '@patternfly/react-core';

import { useService } from '../hooks';
import { _, fill } from '../i18n';
import type { DiskRow } from '../model/disks';
import { ChooseStep } from './add-disk/ChooseStep';
import { ConnectStep } from './add-disk/ConnectStep';
import { DetailsStep } from './add-disk/DetailsStep';
import { DiscoverStep, type Portal } from './add-disk/DiscoverStep';

const STEPS = ['discover', 'connect', 'choose', 'details'] as const;
type Step = (typeof STEPS)[number];

const titles = (): Record<Step, string> => ({
    discover: _("Discover"),
    connect: _("Connect"),
    choose: _("Choose a device"),
    details: _("Details"),
});

const Steps = ({ current }: { current: Step }) => (
    <ProgressStepper aria-label={_("Steps")} isCenterAligned>
        {STEPS.map((step, n) => {
            const done = n < STEPS.indexOf(current);
            return (
                <ProgressStep key={step} id={`step-${step}`} titleId={`step-${step}-title`}
                    variant={done ? 'success' : step === current ? 'info' : 'pending'}
                    isCurrent={step === current} aria-label={titles()[step]}>
                    {titles()[step]}
                </ProgressStep>
            );
        })}
    </ProgressStepper>
);

export const AddDisk = ({ vm = '', close }: { vm?: string; close: () => void }) => {
    const { model } = useService();
    const [step, setStep] = useState<Step>(vm && model.luns.size > 0 ? 'choose' : 'discover');
    const [portal, setPortal] = useState<Portal>({ address: '', port: '3260', chap: null });
    const [found, setFound] = useState<string[]>([]);
    const [targets, setTargets] = useState<string[] | null>(null); // null: all that are known
    const [row, setRow] = useState<DiskRow | null>(null);
    const name = vm && model.vms.get(vm)?.name;

    return (
        <Modal isOpen width="82rem" aria-labelledby="add-disk" onClose={close}>
            <ModalHeader labelId="add-disk" title={name ? fill(_("Attach a disk to $0"), name) : _("Add disk")}
                description={<Steps current={step} />} />
            {step === 'discover' &&
                <DiscoverStep portal={portal} change={setPortal} close={close}
                    known={model.luns.size > 0}
                    useKnown={() => { setTargets(null); setStep('choose'); }}
                    done={paths => { setFound(paths); setStep('connect'); }} />}
            {step === 'connect' &&
                <ConnectStep found={found} back={() => setStep('discover')} close={close}
                    done={paths => { setTargets(paths); setStep('choose'); }} />}
            {step === 'choose' &&
                <ChooseStep targets={targets} row={row} choose={setRow} close={close}
                    back={() => setStep(targets ? 'connect' : 'discover')} done={() => setStep('details')} />}
            {step === 'details' && row &&
                <DetailsStep row={row} vm={vm} back={() => setStep('choose')} close={close} />}
        </Modal>
    );
};
