/** The result of a verification at the head of a page. */

import type { DetailedVerification } from '../verification.js';
import { html, type Markup } from './markup.js';

/** @param otherwise what to say where there was none */
export function verdict(verification: Pick<DetailedVerification, 'passed'> | undefined, otherwise: string): Markup {
  if (!verification) return html`<span class="verdict wait">${otherwise}</span>`;
  return verification.passed
    ? html`<span class="verdict good">verified</span>`
    : html`<span class="verdict bad">verification failed</span>`;
}

export const sentence = (text: string) => `${text.slice(0, 1).toUpperCase()}${text.slice(1)}.`;
