// SPDX-License-Identifier: LGPL-2.1-or-later
// What CHAP asks for: who we are, and if wanted who the target is.
import React from 'react';
import { Checkbox } from '@patternfly/react-core';

import type { Fault } from '../bus/types';
import { _ } from '../i18n';
import { chapField, type Chap, type ChapField } from '../model/chap';
import { TextField } from './Field';

/** prefix: of the ids, where there are several. */
export const ChapFields = ({ chap, change, error, prefix = '' }: {
    chap: Chap;
    change: (chap: Chap) => void;
    error: Fault | null;
    prefix?: string;
}) => {
    const field = error && chapField(error, chap);
    const errorOf = (name: ChapField) => (field === name ? error?.message : null);
    const edit = (part: Partial<Chap>) => change({ ...chap, ...part });
    return (
        <>
            <TextField id={`${prefix}chap-user`} label={_("CHAP user name")} value={chap.user}
                error={errorOf('user')} change={user => edit({ user })} />
            <TextField id={`${prefix}chap-secret`} label={_("CHAP password")} type="password" value={chap.secret}
                error={errorOf('secret')} change={secret => edit({ secret })} />
            <Checkbox id={`${prefix}chap-mutual`} label={_("The target proves who it is, too (mutual CHAP)")}
                isChecked={chap.mutual} onChange={(_event, mutual) => edit({ mutual })} />
            {chap.mutual &&
                <>
                    <TextField id={`${prefix}chap-target-user`} label={_("User name of the target")}
                        value={chap.targetUser} change={targetUser => edit({ targetUser })} />
                    <TextField id={`${prefix}chap-target-secret`} label={_("Password of the target")} type="password"
                        value={chap.targetSecret} error={errorOf('targetSecret')}
                        change={targetSecret => edit({ targetSecret })} />
                </>}
        </>
    );
};
