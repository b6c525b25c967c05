// SPDX-License-Identifier: LGPL-2.1-or-later
import React, { Fragment } from 'react';

/** The name of a target, which may be long: it is broken after its dots and colons. */
export const Iqn = ({ iqn }: { iqn: string }) => (
    <span className="dl-iqn">
        {iqn.split(/(?<=[.:])/).map((part, n) => <Fragment key={n}>{part}<wbr /></Fragment>)}
    </span>
);
