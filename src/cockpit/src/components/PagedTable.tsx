// SPDX-License-Identifier: LGPL-2.1-or-later
// A table with filter, order and pages: what all pages' lists have in common.
import React, { useMemo, useState, type ReactNode } from 'react';
import { EmptyState, EmptyStateBody, Button, Pagination, SearchInput, Toolbar, ToolbarContent, ToolbarItem } from '@patternfly/react-core';
import { Table, Tbody, Td, Th, Thead, Tr } from '@patternfly/react-table';

import { _, fill } from '../i18n';
import { filtered, page as pageOf, sorted, type Key, type Order } from '../model/table';

const PAGE_SIZE = 100;

export interface Column<Row, Name extends string> {
    name: Name;
    title: string;
    cell: (row: Row) => ReactNode;
    sortable?: boolean;
}

interface Properties<Row, Name extends string> {
    label: string;
    rows: readonly Row[];
    columns: readonly Column<Row, Name>[];
    idOf: (row: Row) => string;
    textOf: (row: Row) => string;
    keyOf: (row: Row, column: Name) => Key;
    greyed?: (row: Row) => boolean;
    first: Name; // by which it is in order at first
    toolbar?: ReactNode; // beside the filter
    actions?: (row: Row) => ReactNode;
    select?: { chosen: string | null; can: (row: Row) => boolean; choose: (row: Row) => void };
    empty: ReactNode; // instead of no rows
}

export const PagedTable = <Row, Name extends string>(props: Properties<Row, Name>) => {
    const { rows, textOf, keyOf, idOf } = props;
    const [filter, setFilter] = useState('');
    const [order, setOrder] = useState<Order<Name>>({ column: props.first, descending: false });
    const [number, setNumber] = useState(1);
    const found = useMemo(
        () => sorted(filtered(rows, filter, textOf), row => keyOf(row, order.column), order.descending, idOf),
        [rows, filter, order, textOf, keyOf, idOf]);
    const shown = pageOf(found, number, PAGE_SIZE);

    const sort = (column: Column<Row, Name>, index: number) => column.sortable === false
        ? {}
        : {
            sort: {
                sortBy: {
                    index: props.columns.findIndex(each => each.name === order.column),
                    direction: order.descending ? 'desc' as const : 'asc' as const,
                },
                columnIndex: index,
                onSort: (_event: unknown, _index: number, direction: string) =>
                    setOrder({ column: column.name, descending: direction === 'desc' }),
            },
        };

    return (
        <>
            <Toolbar>
                <ToolbarContent>
                    <ToolbarItem>
                        <SearchInput aria-label={_("Filter")} placeholder={_("Filter")} value={filter}
                            onChange={(_event, value) => { setFilter(value); setNumber(1); }}
                            onClear={() => setFilter('')} />
                    </ToolbarItem>
                    {props.toolbar}
                    {found.length > PAGE_SIZE &&
                        <ToolbarItem variant="pagination">
                            <Pagination isCompact itemCount={found.length} perPage={PAGE_SIZE} page={shown.number}
                                perPageOptions={[{ title: String(PAGE_SIZE), value: PAGE_SIZE }]}
                                titles={{ paginationAriaLabel: fill(_("Pages of $0"), props.label) }}
                                onSetPage={(_event, value) => setNumber(value)} />
                        </ToolbarItem>}
                </ToolbarContent>
            </Toolbar>
            {rows.length === 0 && props.empty}
            {rows.length > 0 && found.length === 0 &&
                <EmptyState headingLevel="h2" titleText={_("Nothing matches the filter")}>
                    <EmptyStateBody>
                        <Button variant="link" onClick={() => setFilter('')}>{_("Clear the filter")}</Button>
                    </EmptyStateBody>
                </EmptyState>}
            {found.length > 0 &&
                <div className="dl-table">
                    <Table aria-label={props.label} variant="compact">
                        <Thead>
                            <Tr>
                                {props.select && <Th screenReaderText={_("Choice")} />}
                                {props.columns.map((column, index) =>
                                    <Th key={column.name} modifier="nowrap" {...sort(column, index)}>{column.title}</Th>)}
                                {props.actions && <Th screenReaderText={_("Actions")} />}
                            </Tr>
                        </Thead>
                        <Tbody>
                            {shown.rows.map((row, rowIndex) => (
                                <Tr key={idOf(row)} className={props.greyed?.(row) ? 'dl-used' : undefined}>
                                    {props.select &&
                                        <Td select={{
                                            rowIndex,
                                            variant: 'radio',
                                            isSelected: props.select.chosen === idOf(row),
                                            isDisabled: !props.select.can(row),
                                            onSelect: () => props.select!.choose(row),
                                        }} />}
                                    {props.columns.map(column =>
                                        <Td key={column.name} dataLabel={column.title}>{column.cell(row)}</Td>)}
                                    {props.actions && <Td isActionCell>{props.actions(row)}</Td>}
                                </Tr>
                            ))}
                        </Tbody>
                    </Table>
                </div>}
        </>
    );
};
