// SPDX-License-Identifier: LGPL-2.1-or-later
// The theme that the user has chosen in Cockpit's own menu, or else the browser's.

const CHOICE = 'shell:style';
const DARK = 'pf-v6-theme-dark';

export function followTheme(): void {
    const browser = window.matchMedia('(prefers-color-scheme: dark)');
    const apply = () => {
        const choice = window.localStorage.getItem(CHOICE) ?? 'auto';
        const dark = choice === 'dark' || (choice !== 'light' && browser.matches);
        document.documentElement.classList.toggle(DARK, dark);
    };
    window.addEventListener('storage', event => event.key === CHOICE && apply());
    window.addEventListener('cockpit-style', apply);
    browser.addEventListener('change', apply);
    apply();
}
