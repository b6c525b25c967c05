// SPDX-License-Identifier: LGPL-2.1-or-later
// A question of a form, with the error that its answer has caused beside it.
import React, { type ReactNode } from 'react';
import { FormGroup, FormHelperText, FormSelect, FormSelectOption, HelperText, HelperTextItem, TextInput } from '@patternfly/react-core';

const Below = ({ id, error, help }: { id: string; error?: string | null; help?: string }) => (error || help
    ? (
        <FormHelperText>
            <HelperText id={`${id}-help`} aria-live="polite">
                <HelperTextItem variant={error ? 'error' : 'default'}>{error || help}</HelperTextItem>
            </HelperText>
        </FormHelperText>
    )
    : null);

interface Common {
    id: string;
    label: string;
    error?: string | null;
    help?: string;
    children?: ReactNode;
}

export const Field = ({ id, label, error, help, children }: Common) => (
    <FormGroup fieldId={id} label={label}>
        {children}
        <Below id={id} {...{ error, help }} />
    </FormGroup>
);

export const TextField = ({ value, change, type = 'text', ...common }: Common & {
    value: string;
    change: (value: string) => void;
    type?: 'text' | 'password' | 'number';
}) => (
    <Field {...common}>
        <TextInput id={common.id} type={type} value={value} validated={common.error ? 'error' : 'default'}
            aria-describedby={common.error ? `${common.id}-help` : undefined}
            autoComplete={type === 'password' ? 'new-password' : 'off'}
            onChange={(_event, text) => change(text)} />
    </Field>
);

export const SelectField = ({ value, change, choices, ...common }: Common & {
    value: string;
    change: (value: string) => void;
    choices: { value: string; label: string }[];
}) => (
    <Field {...common}>
        <FormSelect id={common.id} value={value} validated={common.error ? 'error' : 'default'}
            onChange={(_event, text) => change(text)}>
            {choices.map(choice => <FormSelectOption key={choice.value} {...choice} />)}
        </FormSelect>
    </Field>
);
