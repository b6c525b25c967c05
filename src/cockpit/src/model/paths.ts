// SPDX-License-Identifier: LGPL-2.1-or-later
// The ways to a LUN, as a person tells them apart.

import type { Lun, Path } from '../bus/types';
import { portal } from './format';

/** From where to where: a portal, or an adapter of this host and what it leads to. */
export const wayOf = (path: Path): string => (path.address
    ? portal(path.address, path.port)
    : [path.host, path.remote].filter(Boolean).join(' → '));

/** The names of multipath's maps over its paths. */
export const mapsOf = (lun: Lun): string[] => [...new Set(lun.paths.map(path => path.map).filter(Boolean))];

/** Whether this host's kernel has, or has had, something of it. */
export const isInKernel = (lun: Lun): boolean => lun.paths.some(path => path.device);
