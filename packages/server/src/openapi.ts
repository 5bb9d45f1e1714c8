/** /openapi.json, put together from what each group of routes says about itself. */
import { Router } from 'express';
import { z } from 'zod';
import { VERSION } from './version.js';

/** OpenAPI path items by path. */
export type OpenApiPaths = Readonly<Record<string, Readonly<Record<string, Operation>>>>;

export interface Operation {
  readonly summary: string;
  readonly tags: readonly string[];
  readonly security?: readonly [];
  readonly parameters?: readonly object[];
  readonly requestBody?: object;
  readonly responses: Readonly<Record<string, { readonly description: string; readonly content?: object }>>;
}

export interface OpenApiDocument {
  readonly openapi: '3.1.0';
  readonly info: { readonly title: string; readonly version: string };
  readonly paths: OpenApiPaths;
  readonly [key: string]: unknown;
}

export function openApiDocument(
  groups: readonly OpenApiPaths[],
  options: { readonly bearer: boolean },
): OpenApiDocument {
  return {
    openapi: '3.1.0',
    info: { title: 'ort-dora', version: VERSION },
    paths: Object.assign({}, ...groups) as OpenApiPaths,
    ...(options.bearer && {
      components: { securitySchemes: { bearer: { type: 'http', scheme: 'bearer' } } },
      security: [{ bearer: [] }],
    }),
  };
}

export function openApiRoutes(document: OpenApiDocument): Router {
  const router = Router();
  router.get('/openapi.json', (_req, res) => {
    res.json(document);
  });
  return router;
}

/** `content` of one media type, its schema made from the one that checks it. */
export function jsonContent(schema: z.ZodType, io: 'input' | 'output'): object {
  return { 'application/json': { schema: jsonSchema(schema, io) } };
}

export function jsonSchema(schema: z.ZodType, io: 'input' | 'output'): object {
  const { $schema, ...rest } = z.toJSONSchema(schema, {
    io,
    override({ zodSchema, jsonSchema }) {
      const { shape } = zodSchema._zod.def as { shape?: Record<string, z.ZodType> };
      // Fields that exist in the check only to be refused are no part of the interface.
      for (const [key, field] of Object.entries(shape ?? {})) {
        if (field.meta()?.['x-unsupported'] === true) delete jsonSchema.properties?.[key];
      }
    },
    unrepresentable: 'any',
  });
  return rest;
}

export const textContent = { 'text/plain': { schema: { type: 'string' } } } as const;
