// The page at / in a real browser: a picture, a question, the answer.
import { existsSync } from 'node:fs';
import { type Browser, chromium, type Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { OrtDoraServer } from '../src/index.js';
import { answerOf, DEMO, RECORDED, TINY } from './support/chat.js';
import { metric, start, until } from './support/server.js';

const CHROMIUM = process.env.CHROMIUM ?? '/usr/bin/chromium';
/** As root there is no sandbox; the other flags keep Chromium from calling home. */
const ARGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

describe.skipIf(!existsSync(CHROMIUM))(
  'the playground in Chromium (skipped where there is none; CHROMIUM names it)',
  () => {
    let browser: Browser;
    beforeAll(async () => {
      browser = await chromium.launch({ executablePath: CHROMIUM, args: ARGS });
    }, 60_000);
    afterAll(async () => {
      await browser.close();
    });

    /** A page whose complaints (policy violations, errors) and requests to elsewhere are collected. */
    async function open(server: OrtDoraServer, width = 1200): Promise<{ page: Page; complaints: string[] }> {
      const page = await browser.newPage({ viewport: { width, height: 800 } });
      const complaints: string[] = [];
      page.on('console', (message) => {
        // Chromium asks every site for an icon.
        if (message.type() === 'error' && !message.location().url.endsWith('/favicon.ico'))
          complaints.push(message.text());
      });
      page.on('pageerror', (error) => complaints.push(error.message));
      page.on('request', (request) => {
        if (!request.url().startsWith(server.url) && !/^(blob|data):/.test(request.url()))
          complaints.push(request.url());
      });
      await page.goto(server.url);
      return { page, complaints };
    }

    it('answers about a picture, by the model that was chosen', async () => {
      const server = await start({ models: DEMO });
      const { page, complaints } = await open(server);
      const record = RECORDED.find((candidate) => answerOf(candidate, 'base') !== answerOf(candidate, 'reading'))!;
      await page.getByLabel('Picture').setInputFiles(`${DEMO}/recorded/${record.picture}`);
      await page.getByLabel('Question').fill(record.question);
      const latest = page.locator('.answer').first();
      for (const [model, name] of [
        ['demo', 'base'],
        ['demo-reading', 'reading'],
      ] as const) {
        await page.getByLabel('Model', { exact: true }).selectOption(model);
        await page.getByRole('button', { name: 'Ask' }).click();
        await latest.getByText(`${record.question} — ${model}`).waitFor();
        await latest.getByText(/tokens in, \d+ out · first text after \d+ ms · done after \d+ ms/).waitFor();
        expect(await latest.locator('.text').textContent()).toBe(answerOf(record, name));
      }
      expect(await page.locator('.answer').count()).toBe(2);
      expect(complaints).toEqual([]);
      await page.close();
    }, 60_000);

    it('takes a dropped picture, on a phone, without scrolling sideways', async () => {
      const server = await start({ models: DEMO });
      const { page, complaints } = await open(server, 375);
      const transfer = await page.evaluateHandle(async (path) => {
        const canvas = new OffscreenCanvas(96, 96);
        const context = canvas.getContext('2d')!;
        context.fillStyle = path;
        context.fillRect(0, 0, 96, 96);
        const data = new DataTransfer();
        data.items.add(new File([await canvas.convertToBlob()], 'blue.png', { type: 'image/png' }));
        return data;
      }, 'blue');
      await page.dispatchEvent('.picture', 'drop', { dataTransfer: transfer });
      expect(await page.locator('.picture img').getAttribute('alt')).toContain('blue.png');
      await page.getByLabel('Question').fill('Which color is the circle?');
      await page.keyboard.press('Enter');
      await page.locator('.facts', { hasText: 'done after' }).waitFor();
      expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(375);
      expect(complaints).toEqual([]);
      await page.close();
    }, 60_000);

    it('shows what is wrong, and stops when told to', async () => {
      const server = await start({ models: TINY });
      const { page } = await open(server);
      await page
        .getByLabel('Picture')
        .setInputFiles({ name: 'a.png', mimeType: 'image/png', buffer: Buffer.from('?') });
      await page.getByLabel('Question').fill('What?');
      await page.getByRole('button', { name: 'Ask' }).click();
      await page.locator('.failed').first().waitFor();
      expect(await page.locator('.failed').first().textContent()).toMatch(/image/);
      await page.reload();
      await page.getByLabel('Question').fill('Go on for ever');
      await page.getByRole('button', { name: 'Ask' }).click();
      await page.locator('.text', { hasText: /./ }).first().waitFor();
      await page.getByRole('button', { name: 'Stop' }).click();
      await page.getByText('stopped', { exact: true }).first().waitFor();
      const line = 'ort_dora_chat_requests_total{model="tiny",outcome="cancelled"}';
      await until(async () => (await metric(server.url, line)) === 1, 'the generation to stop');
      await page.close();
    }, 60_000);
  },
);

it('/ is one page whose style and script are named by their hashes', async () => {
  const server = await start({ models: DEMO });
  const response = await fetch(server.url);
  const text = await response.text();
  const policy = response.headers.get('content-security-policy')!;
  expect(policy).toMatch(/^default-src 'none'; style-src 'sha256-[^']+'; /);
  expect(policy).not.toContain('unsafe');
  expect(text).not.toMatch(/<link|<iframe|@import|url\(|\son\w+=|style=|src="http/);
  expect(text).toContain('<option>demo-reading</option>');
  expect(text).toContain(`curl -s ${server.url}/v1/chat/completions`);
  expect(text).toContain('<code>POST /v1/chat/completions</code>');
});
