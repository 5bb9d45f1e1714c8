/** The demo model, and servers and clients for chats with it. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import OpenAI from 'openai';

export const DEMO = fileURLToPath(new URL('../../../../models/fixtures/demo', import.meta.url));
/** Random weights: writes until its context is full. */
export const TINY = fileURLToPath(new URL('../../../vlm/test/fixtures/tiny', import.meta.url));

export interface Recorded {
  readonly picture: string;
  readonly task: string;
  readonly question: string;
  readonly answer: string;
  /** Prompt. */
  readonly input_ids: readonly number[];
  /** What PyTorch answers, by adapter; the end of the answer included. */
  readonly tokens: Readonly<Record<string, readonly number[]>>;
}

const { vocab } = JSON.parse(readFileSync(`${DEMO}/tokenizer.json`, 'utf8')).model as { vocab: Record<string, number> };
const words = new Map(Object.entries(vocab).map(([token, id]) => [id, token]));

/** What PyTorch answers, as text; the answers of the demo are ASCII. */
export const answerOf = ({ tokens }: Recorded, model: 'base' | 'reading') =>
  tokens[model]!.slice(0, -1)
    .map((id) => words.get(id))
    .join('')
    .replaceAll('Ġ', ' ');

export const RECORDED = JSON.parse(readFileSync(`${DEMO}/recorded/questions.json`, 'utf8')) as readonly Recorded[];

export const pictureUrl = (path: string) =>
  `data:image/png;base64,${readFileSync(path.startsWith('/') ? path : `${DEMO}/recorded/${path}`).toString('base64')}`;

export const ask = (picture: string, question: string): OpenAI.ChatCompletionMessageParam[] => [
  {
    role: 'user',
    content: [
      { type: 'image_url', image_url: { url: pictureUrl(picture) } },
      { type: 'text', text: question },
    ],
  },
];

export const client = (url: string, apiKey = 'unused') => new OpenAI({ baseURL: `${url}/v1`, apiKey, maxRetries: 0 });
