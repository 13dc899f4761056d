// Light, dark, or as the system has it.
import {signal} from '@preact/signals';

const ORDER = ['system', 'light', 'dark'];

export const theme = signal(ORDER.includes(localStorage.getItem('theme')) ? localStorage.getItem('theme') : 'system');

theme.subscribe((name) => {
  document.documentElement.dataset.theme = name;
});

export function turnTheme() {
  theme.value = ORDER[(ORDER.indexOf(theme.value) + 1) % ORDER.length];
  localStorage.setItem('theme', theme.value);
}
