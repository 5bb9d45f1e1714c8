// The page at /: a picture and a question to /v1/chat/completions, the answer as it streams in.

const form = document.querySelector('form');
const picture = document.querySelector('.picture');
const file = document.querySelector('#file');
const preview = document.querySelector('.picture img');
const model = document.querySelector('#model');
const question = document.querySelector('#question');
const submit = document.querySelector('[type=submit]');
const stop = document.querySelector('#stop');
const answers = document.querySelector('.answers');
const status = document.querySelector('[role=status]');

/** @type {File | undefined} */
let chosen;
/** @type {AbortController | undefined} */
let running;

file.addEventListener('change', () => choose(file.files[0]));
picture.addEventListener('dragover', (event) => {
  event.preventDefault();
  picture.classList.add('over');
});
picture.addEventListener('dragleave', () => picture.classList.remove('over'));
picture.addEventListener('drop', (event) => {
  event.preventDefault();
  picture.classList.remove('over');
  choose([...event.dataTransfer.files].find(({ type }) => type.startsWith('image/')));
});
document.addEventListener('paste', (event) => {
  choose([...event.clipboardData.files].find(({ type }) => type.startsWith('image/')));
});
question.addEventListener('keydown', (event) => {
  if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  form.requestSubmit();
});
form.addEventListener('submit', (event) => {
  event.preventDefault();
  if (running === undefined) void ask();
});
stop.addEventListener('click', () => running?.abort());

function choose(image) {
  if (image === undefined) return;
  chosen = image;
  preview.src = URL.createObjectURL(image);
  preview.alt = `The picture to ask about: ${image.name}`;
  preview.hidden = false;
  picture.classList.add('chosen');
}

async function ask() {
  const entry = addEntry();
  running = new AbortController();
  submit.disabled = true;
  stop.disabled = false;
  status.textContent = 'Answering…';
  try {
    await stream(entry, running.signal);
    status.textContent = `Answer: ${entry.text.textContent}`;
  } catch (error) {
    const stopped = running.signal.aborted;
    entry.facts.textContent = stopped ? 'stopped' : error.message;
    entry.facts.classList.toggle('failed', !stopped);
    status.textContent = entry.facts.textContent;
  } finally {
    entry.text.classList.remove('writing');
    running = undefined;
    submit.disabled = false;
    stop.disabled = true;
  }
}

/** A list item with what is asked, above the earlier ones. */
function addEntry() {
  const item = document.createElement('li');
  item.className = 'answer';
  if (chosen !== undefined) {
    const image = document.createElement('img');
    image.src = preview.src;
    image.alt = '';
    item.append(image);
  }
  const line = (className, text) => {
    const paragraph = document.createElement('p');
    paragraph.className = className;
    paragraph.textContent = text;
    item.append(paragraph);
    return paragraph;
  };
  line('question', `${question.value} — ${model.value}`);
  const entry = { text: line('text writing', ''), facts: line('facts', '') };
  answers.prepend(item);
  return entry;
}

async function stream(entry, signal) {
  const content = [{ type: 'text', text: question.value }];
  if (chosen !== undefined) content.unshift({ type: 'image_url', image_url: { url: await dataUrl(chosen) } });
  const since = performance.now();
  const response = await fetch('/v1/chat/completions', {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({
      model: model.value,
      messages: [{ role: 'user', content }],
      temperature: 0,
      stream: true,
      stream_options: { include_usage: true },
    }),
    signal,
  });
  if (!response.ok) throw new Error((await response.json()).error.message);
  let first;
  let usage;
  for await (const chunk of events(response.body)) {
    if (chunk.error !== undefined) throw new Error(chunk.error.message);
    const text = chunk.choices[0]?.delta.content ?? '';
    if (text !== '') first ??= performance.now();
    entry.text.textContent += text;
    usage = chunk.usage ?? usage;
  }
  if (usage === undefined) throw new Error('the answer was cut off');
  entry.facts.textContent = facts(usage, since, first ?? performance.now());
}

function facts({ prompt_tokens, completion_tokens }, since, first) {
  const ms = (time) => `${Math.round(time - since)} ms`;
  return `${prompt_tokens} tokens in, ${completion_tokens} out · first text after ${ms(first)} · done after ${ms(performance.now())}`;
}

/** The objects of an event stream, up to its [DONE]. */
async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const parts = (rest + value).split('\n\n');
    rest = parts.pop();
    for (const part of parts) {
      const data = part.replace(/^data: /, '');
      if (data === '[DONE]') return;
      yield JSON.parse(data);
    }
  }
}

function dataUrl(image) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.addEventListener('load', () => resolve(reader.result));
    reader.addEventListener('error', () => reject(new Error('the picture cannot be read')));
    reader.readAsDataURL(image);
  });
}
