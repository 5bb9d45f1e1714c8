/** A curl line that asks a chat model about the smallest picture: for people who try a model for the first time. */

/** PNG, 1 × 1, white. */
const WHITE = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR42mP4DwABAQEAHLCMmQAAAABJRU5ErkJggg==';

/** @param url of the server, without a slash at its end */
export function exampleChatCurl(url: string, model: string): string {
  const content = [
    { type: 'image_url', image_url: { url: `data:image/png;base64,${WHITE}` } },
    { type: 'text', text: 'What is in the picture?' },
  ];
  const body = JSON.stringify({ model, max_tokens: 64, messages: [{ role: 'user', content }] });
  return `curl -s ${url}/v1/chat/completions -H 'Content-Type: application/json' -d '${body}'`;
}
