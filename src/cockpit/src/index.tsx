// SPDX-License-Identifier: LGPL-2.1-or-later
import '@patternfly/react-core/dist/styles/base.css';
import './app.css';

import React from 'react';
import { createRoot } from 'react-dom/client';

import { App } from './App';
import { service } from './bus/client';
import { _, language } from './i18n';
import { followTheme } from './theme';

followTheme();
cockpit.transport.wait(() => {
    document.documentElement.lang = language();
    document.title = _("SAN disks"); // as in manifest.json
    service.start();
    createRoot(document.getElementById('app')!).render(<App />);
});
