// /api/openapi.json, made of the same routes and schemas that serve, so that it cannot say anything else.
import { ErrorSchema } from './schemas.ts';
import type { Route } from './routes.ts';

const parameters = (place: 'query' | 'path', schema: Route['query']): object[] =>
  Object.entries(schema?.properties ?? {}).map(([name, { description, ...property }]) => ({
    name,
    in: place,
    required: place === 'path' || (schema?.required ?? []).includes(name),
    ...(description === undefined ? {} : { description }),
    schema: property,
  }));

const answer = ({ answer: schema, type, status }: Route): object => ({
  [status ?? 200]: {
    description: 'done',
    ...(schema === undefined && type === undefined
      ? {}
      : { content: { [type ?? 'application/json']: { schema: schema ?? { type: 'string' } } } }),
  },
});

const SECURITY = { anybody: [], listener: [{}, { token: [] }, { session: [] }], owner: [{ token: [] }, { session: [] }] } as const;

export function openapiOf(routes: readonly Route[], version: string): object {
  const paths: Record<string, Record<string, object>> = {};
  for (const route of routes) {
    const path = route.path.replace(/:(\w+)/g, '{$1}');
    paths[path] ??= {};
    paths[path][route.method.toLowerCase()] = {
      summary: route.summary,
      security: SECURITY[route.audience],
      parameters: [...parameters('path', route.params), ...parameters('query', route.query)],
      ...(route.body === undefined ? {} : { requestBody: { required: true, content: { 'application/json': { schema: route.body } } } }),
      responses: {
        ...answer(route),
        ...(route.audio ? { 206: { description: 'the range that was asked for' }, 304: { description: 'unchanged' }, 416: { description: 'no such range' } } : {}),
        default: { description: 'an error', content: { 'application/json': { schema: ErrorSchema } } },
      },
    };
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'spotify-peer',
      version,
      description: "One peer's own API. On an open network everybody may listen without a login; what manages the machine takes its token.",
    },
    components: {
      securitySchemes: {
        token: { type: 'http', scheme: 'bearer', description: "the machine's own token" },
        session: { type: 'apiKey', in: 'cookie', name: 'spotify-peer', description: 'what a login link sets; the name ends in eight digits of its own' },
      },
    },
    paths,
  };
}
