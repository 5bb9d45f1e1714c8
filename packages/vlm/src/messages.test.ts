import { expect, it } from 'vitest';
import { checkMessages, type Message } from './messages.js';

it('takes a string for one text part', () => {
  expect(checkMessages([{ role: 'user', content: 'Hi' }])).toEqual([
    { role: 'user', content: [{ type: 'text', text: 'Hi' }] },
  ]);
});

const pixels = { width: 2, height: 1, data: new Uint8Array(6) };

it.each([
  [[], 'messages: expected a non-empty array, got an array of 0'],
  [[{ role: 'tool', content: '' }], "messages[0].role: expected system or user or assistant, got 'tool'"],
  [[{ role: 'user' }], 'messages[0].content: expected a string or a non-empty array of parts, got undefined'],
  [[{ role: 'user', content: [{ type: 'text' }] }], 'messages[0].content[0].text: expected a string, got undefined'],
  [
    [{ role: 'user', content: [{ type: 'audio' }] }],
    "messages[0].content[0].type: expected 'text' or 'image', got 'audio'",
  ],
  [
    [{ role: 'user', content: [{ type: 'image', image: 'a.png' }] }],
    "messages[0].content[0].image: expected the bytes of a file, or { width, height, data }, got 'a.png'",
  ],
  [
    [{ role: 'user', content: [{ type: 'image', image: { ...pixels, width: 3 } }] }],
    'messages[0].content[0].image: expected width * height * 3 bytes of RGB in data',
  ],
  [
    [{ role: 'user', content: [{ type: 'image', image: { ...pixels, width: -2, height: -1 } }] }],
    'messages[0].content[0].image: expected width * height * 3 bytes of RGB in data',
  ],
])('refuses %j', (messages, message) => {
  expect(() => checkMessages(messages as Message[])).toThrow(
    expect.objectContaining({ code: 'INVALID_ARGUMENT', message }),
  );
});
