// Questions about pictures, as OpenAI chat completions: the same to every model, the answers side by side.
import { readFileSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { StepError } from '../steps/steps.mjs';
import { root } from '../steps/workspace.mjs';

/**
 * Asks every model every question and prints the answers, their tokens and times.
 * @param {{ url: string, models: string[], questions: { picture: string, question: string, answer: string }[], folder: string }}
 *   request picture: the path of a PNG; answer: the right one; folder: where the last request is kept for curl
 * @returns {Promise<string>} the curl line that asks the last question again
 */
export async function askAboutPictures({ url, models, questions, folder }) {
  const address = `${url}/v1/chat/completions`;
  // The first run of a graph takes its memory; what is shown is what later ones take.
  const [{ picture, question }] = questions;
  for (const model of models) await complete(address, JSON.stringify(chatRequest(model, picture, question)));
  let last = '';
  for (const { picture, question, answer } of questions) {
    console.log(`  ${relative(root, picture)}: ${question} (right: ${answer})`);
    for (const model of models) {
      last = JSON.stringify(chatRequest(model, picture, question));
      const { text, tokens, milliseconds } = await complete(address, last);
      const figures = `${tokens} tokens, ${milliseconds.toFixed(0).padStart(3)} ms`;
      console.log(`    ${model.padEnd(24)} ${text.padEnd(6)} ${figures}`);
    }
  }
  const file = join(folder, 'chat.json');
  writeFileSync(file, last);
  return `curl -s ${address} -H 'Content-Type: application/json' -d @${relative(root, file)}`;
}

function chatRequest(model, picture, question) {
  const url = `data:image/png;base64,${readFileSync(picture).toString('base64')}`;
  const content = [
    { type: 'image_url', image_url: { url } },
    { type: 'text', text: question },
  ];
  return { model, messages: [{ role: 'user', content }], temperature: 0, max_tokens: 16 };
}

async function complete(address, body) {
  const started = performance.now();
  const response = await fetch(address, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body });
  const answer = await response.json();
  if (!response.ok) throw new StepError(`${address} answered ${response.status}: ${answer.error?.message}`);
  return {
    text: answer.choices[0].message.content,
    tokens: answer.usage.completion_tokens,
    milliseconds: performance.now() - started,
  };
}
