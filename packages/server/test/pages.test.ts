import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import supertest from 'supertest';
import { beforeAll, describe, expect, it } from 'vitest';
import type { OrtDoraServer } from '../src/index.js';
import { start } from './support/server.js';

let server: OrtDoraServer;
beforeAll(async () => {
  server = await start();
});

describe('pages', () => {
  it.each(['/', '/docs'])('%s is one file without scripts or anything from elsewhere', async (path) => {
    const { text, headers } = await supertest(server.url)
      .get(path)
      .expect(200)
      .expect('content-type', /text\/html/);
    expect(text).not.toMatch(/<script|<link|<img|<iframe|@import|url\(/i);
    const style = /<style>([\s\S]*?)<\/style>/.exec(text)![1]!;
    expect(headers['content-security-policy']).toContain(
      `'sha256-${createHash('sha256').update(style).digest('base64')}'`,
    );
  });

  it('/ lists models with a curl line that works', async () => {
    const { text } = await supertest(server.url).get('/');
    expect(text).toContain('<h3>identity.int64</h3>');
    expect(text).toContain(`curl -s ${server.url}/v2/models/gather/infer`);
  });

  it('/docs has every operation', async () => {
    const { text } = await supertest(server.url).get('/docs');
    expect(text).toContain('<code>POST /v2/models/{model}/infer</code>');
    expect(text).toContain('<code>GET /readyz</code>');
  });
});

interface Document {
  readonly openapi: string;
  readonly paths: Record<
    string,
    Record<string, { requestBody?: { content: Record<string, { schema: JsonSchema }> }; responses: object }>
  >;
  readonly security?: unknown;
}

interface JsonSchema {
  readonly properties?: Record<string, JsonSchema>;
  readonly items?: JsonSchema;
  readonly required?: readonly string[];
  readonly enum?: readonly string[];
  readonly type?: string;
}

describe('/openapi.json', () => {
  it('describes the request as it is checked', async () => {
    const document: Document = (await supertest(server.url).get('/openapi.json').expect(200)).body;
    expect(document.openapi).toBe('3.1.0');
    const request = document.paths['/v2/models/{model}/infer']!.post!.requestBody!.content['application/json']!.schema;
    expect(request.required).toEqual(['inputs']);
    const input = request.properties!.inputs!.items!;
    expect(input.required).toEqual(['name', 'shape', 'datatype']);
    expect(input.properties!.datatype!.enum).toContain('BF16');
    expect(input.properties!.data!.type).toBe('array');
    expect(Object.keys(input.properties!.parameters!.properties!)).toEqual(['binary_data_size']);
    expect(document.security).toBeUndefined();
  });

  it('has every route that the server answers', async () => {
    const document: Document = (await supertest(server.url).get('/openapi.json')).body;
    for (const [path, methods] of Object.entries(document.paths)) {
      for (const method of Object.keys(methods)) {
        const url = path.replace('{model}', 'identity.fp32').replace('{version}', '1');
        const { text } = await supertest(server.url)[method as 'get' | 'post'](url);
        expect(text, `${method} ${url}`).not.toContain('no route');
      }
    }
  });

  it('says when a key is needed', async () => {
    const locked = await start({ apiKey: 'correct-horse-battery' });
    const { body } = await supertest(locked.url)
      .get('/openapi.json')
      .set('Authorization', 'Bearer correct-horse-battery')
      .expect(200);
    expect(body.security).toEqual([{ bearer: [] }]);
    expect(body.paths['/livez'].get.security).toEqual([]);
  });
});

describe('/metrics', () => {
  it('has the metrics that the README names', async () => {
    const readme = await readFile(new URL('../README.md', import.meta.url), 'utf8');
    const named = [...readme.matchAll(/^\| `(ort_dora_\w+)`/gm)].map(([, name]) => name!);
    const { text } = await supertest(server.url)
      .get('/metrics')
      .expect(200)
      .expect('content-type', /text\/plain; version=0\.0\.4/);
    const exposed = [...text.matchAll(/^# TYPE (ort_dora_\w+) /gm)].map(([, name]) => name!);
    expect(named.toSorted()).toEqual(exposed.toSorted());
    expect(text).toContain('process_resident_memory_bytes');
    expect(text).toContain('nodejs_eventloop_lag_seconds');
    expect(text).toContain('ort_dora_model_ready{model="slow"} 1');
  });

  it('does not grow with the paths that clients make up', async () => {
    for (let index = 0; index < 20; index += 1) await supertest(server.url).get(`/made/up/${index}`);
    const { text } = await supertest(server.url).get('/metrics');
    expect(text).not.toContain('made');
    expect(text).toMatch(/ort_dora_http_requests_total\{method="GET",route="unmatched",status="404"\} 20/);
  });
});
