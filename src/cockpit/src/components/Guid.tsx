// SPDX-License-Identifier: LGPL-2.1-or-later
import React, { useState } from 'react';
import { Button, Tooltip } from '@patternfly/react-core';
import { CheckIcon, CopyIcon } from '@patternfly/react-icons';

import { _, fill } from '../i18n';

/** To the clipboard, on a page that is not on a secure origin too, where there is no navigator.clipboard. */
async function copy(text: string): Promise<void> {
    if (navigator.clipboard) {
        await navigator.clipboard.writeText(text);
        return;
    }
    const area = document.createElement('textarea');
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand('copy');
    area.remove();
}

/** A LUN ID: never wrapped, and copied by a click. */
export const Guid = ({ guid }: { guid: string }) => {
    const [copied, setCopied] = useState(false);
    return (
        <span className="dl-guid">
            {guid}
            <Tooltip content={copied ? _("Copied") : _("Copy")} onTooltipHidden={() => setCopied(false)}>
                <Button variant="plain" size="sm" aria-label={fill(_("Copy LUN ID $0"), guid)}
                    icon={copied ? <CheckIcon /> : <CopyIcon />}
                    onClick={() => copy(guid).then(() => setCopied(true))} />
            </Tooltip>
        </span>
    );
};
